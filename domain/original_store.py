"""The store of the original framework (0.3.1), and what it becomes here. Pure.

    version                                              1
    configuration/configured                             true once the primary had built the cluster
    configuration/{primary,secondary,tiebreaker}         hostname
    configuration/<hostname>/persona, .../state          decimal
    configuration/<hostname>/domains/domains             names of protection domains, comma list
    configuration/<hostname>/domains/<domain>/sdss, .../pools
    configuration/<hostname>/domains/<domain>/<pool>     device paths, comma list

Its keys are read and never changed, so that one can go back to it. It knew neither a framework id
(Mesos forgot its framework when the scheduler ended) nor addresses: what is taken over is which
hosts are ours. Each is surveyed before anything is done, and what is installed stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from domain import records
from domain.agent import AgentRecord, Phase
from domain.records import ImportedRecord

LAYOUT: Final = "1"
ROOT: Final = "scaleio-framework"
CONFIGURATION: Final = "configuration/"
FINISHED: Final = 1024
FATAL: Final = 4096
PERSONAS: Final = ("unknown", "primary", "secondary", "tiebreaker", "data")
MDM_ROLES: Final = PERSONAS[1:4]
STATES: Final[Mapping[int, str]] = {
    0: "Installing Prerequisite Packages",
    1: "Sync on Prerequisite Install",
    2: "Installing ScaleIO Packages",
    3: "Creating ScaleIO Cluster",
    4: "Initializing ScaleIO",
    5: "Adding resources to ScaleIO cluster",
    6: "Installing REX-Ray",
    7: "Sync Before for Reboot",
    8: "System is Rebooting",
    FINISHED: "ScaleIO Running",
    FATAL: "Installation Failed",
}
UNREADABLE: Final = -1


class OriginalStoreError(Exception):
    """One line: what was found in place of the original's keys."""


@attrs.frozen(kw_only=True)
class OriginalNode:
    """One host. `devices`: (protection domain, pool) -> device paths, as it had them stored."""

    host: str
    persona: int = 0
    state: int = UNREADABLE
    devices: Mapping[tuple[str, str], tuple[str, ...]] = attrs.field(factory=dict)

    @property
    def in_words(self) -> str:
        persona = PERSONAS[self.persona] if 0 <= self.persona < len(PERSONAS) else PERSONAS[0]
        if self.state == UNREADABLE:
            return f"{persona}, state not readable"
        return f"{persona}, state {self.state}: {STATES.get(self.state, 'unknown')}"


@attrs.frozen(kw_only=True)
class OriginalStore:
    """What the original had stored. `mdms`: hosts that it had built MDMs on."""

    configured: bool = False
    mdms: tuple[str, ...] = ()
    nodes: tuple[OriginalNode, ...] = ()


def below_root(keys: Mapping[str, str], *, role: str) -> dict[str, str]:
    """Of a dump with absolute keys, those of this role, relative. Raises OriginalStoreError."""
    root = f"{ROOT}/{role}/"
    paths = {key.strip("/"): value for key, value in keys.items()}
    found = {
        path.removeprefix(root): value for path, value in paths.items() if path.startswith(root)
    }
    if not any(path.startswith(CONFIGURATION) for path in found):
        roles = sorted({path.split("/")[1] for path in paths if path.startswith(f"{ROOT}/")})
        there = f"; there is: {', '.join(roles)}: name it with -role" if roles else ""
        raise OriginalStoreError(f"no keys of the original below {root}{CONFIGURATION}{there}")
    return found


def read(keys: Mapping[str, str]) -> OriginalStore:
    """`keys` are relative to the root of one role. Raises OriginalStoreError on another layout.

    A number that can't be read is told as such: the host is taken over all the same.
    """
    version = keys.get("version", LAYOUT).strip()
    if version not in ("", LAYOUT):
        raise OriginalStoreError(f"layout {version!a} is not the original's ({LAYOUT})")
    inner = {
        key.removeprefix(CONFIGURATION).strip("/"): value
        for key, value in keys.items()
        if key.startswith(CONFIGURATION)
    }
    hosts = {path.rpartition("/")[0] for path in inner if path.endswith(("/persona", "/state"))}
    return OriginalStore(
        configured=inner.get("configured", "") == "true",
        mdms=tuple(inner[role] for role in MDM_ROLES if inner.get(role)),
        nodes=tuple(_node(host, inner) for host in sorted(hosts) if host and "/" not in host),
    )


def _node(host: str, inner: Mapping[str, str]) -> OriginalNode:
    devices: dict[tuple[str, str], tuple[str, ...]] = {}
    for domain in _list(inner.get(f"{host}/domains/domains", "")):
        for pool in _list(inner.get(f"{host}/domains/{domain}/pools", "")):
            devices[domain, pool] = _list(inner.get(f"{host}/domains/{domain}/{pool}", ""))
    return OriginalNode(
        host=host,
        persona=_number(inner.get(f"{host}/persona", ""), 0),
        state=_number(inner.get(f"{host}/state", ""), UNREADABLE),
        devices=devices,
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else otherwise


def may_take_over(stored: Mapping[str, bytes]) -> bool:
    """Only before the very first registration: later our own records know better."""
    return records.FRAMEWORK_KEY not in stored and records.IMPORTED_KEY not in stored


def as_records(
    original: OriginalStore, *, now: float, stored: Mapping[str, bytes]
) -> dict[str, bytes]:
    """What is stored here in its place: every host, seen and not yet surveyed. `now`: unix.

    An agent that `stored` knows already is left as it is. That the whole is taken over is the
    last key: where all do not fit into one write, one that was cut short is done again.
    """
    imported = ImportedRecord(
        hosts={node.host: node.in_words for node in original.nodes}, mdms=original.mdms, at=now
    )
    changes: dict[str, bytes] = {}
    for node in original.nodes:
        record = AgentRecord(
            host=node.host, agent_id="", phase=Phase.SEEN, since=now, reason=_reason(node)
        )
        if records.agent_key(node.host) not in stored:
            changes[records.agent_key(node.host)] = records.encode(record)
    return changes | {records.IMPORTED_KEY: records.encode(imported)}


def _reason(node: OriginalNode) -> str:
    return (
        f"known from the original framework ({node.in_words}): waits until Mesos shows it, "
        "then it is surveyed"
    )
