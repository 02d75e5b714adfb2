"""What receivers of notifications know of the conditions, as it is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

SEVERITIES: Final = ("info", "warning", "critical")
STORED_BYTES_MAX: Final = 256 * 1024  # of all receivers: ZooKeeper takes 1 MB, and a batch has more
STORED_TEXT_MAX: Final = 200  # characters

Key = tuple[str, str]
"""(name, subject): what a condition is known by."""


def rank(severity: str) -> int:
    """A word that we do not know is not kept from anybody."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


@attrs.frozen(kw_only=True)
class Said:
    """What a receiver knows of one condition. Times are unix seconds."""

    name: str
    severity: str
    subject: str = ""
    since: float = 0.0
    at: float = 0.0  # told last; 0: perhaps never
    text: str = ""
    unsure: str = ""  # the state and severity that were sent, and not answered
    turn: int = 0  # how often something else was sent since the last answer

    @property
    def key(self) -> Key:
        return self.name, self.subject


@attrs.frozen(kw_only=True)
class Ledger:
    """`key` and `sequence` are those of the last message that was sent."""

    told: tuple[Said, ...] = ()
    sequence: int = 0
    key: str = ""


@attrs.frozen(kw_only=True)
class NoticesRecord:
    """By the digest of the receiver's address."""

    receivers: Mapping[str, Ledger] = attrs.field(factory=dict)


def recorded(ledgers: Mapping[str, Ledger]) -> NoticesRecord:
    """As much as the store takes, the worst first: what is left out may be told twice."""
    room = STORED_BYTES_MAX // max(1, len(ledgers))
    return NoticesRecord(
        receivers={
            digest: attrs.evolve(ledger, told=_fitting(ledger.told, room))
            for digest, ledger in ledgers.items()
        }
    )


def _fitting(told: Iterable[Said], room: int) -> tuple[Said, ...]:
    found: list[Said] = []
    for said in sorted(told, key=lambda s: (-rank(s.severity), s.key)):
        room -= len(msgspec.json.encode(said)) + 1
        if room < 0:
            break
        found.append(said)
    return tuple(found)
