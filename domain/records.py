"""What is stored, as versioned JSON: `{"v": 1, "kind": …, "body": {…}}`, and its upgrades.

A new field with a default is no new version: older records lack it, older programs drop it. A
field that changes its name or meaning is one: raise VERSION, and say in UPGRADES how a body of
the version before becomes one of ours. Each stored version has samples in tests/data/records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, get_type_hints

import attrs
import msgspec

from domain.agent import AgentRecord
from domain.audit import AuditRecord, SilencesRecord
from domain.closing import ClosingRecord
from domain.debts import DebtsRecord
from domain.evacuation import OrdersRecord
from domain.facts import Facts
from domain.stages import RolloutRecord
from domain.told import NoticesRecord

VERSION: Final = 1
FRAMEWORK_KEY: Final = "framework"
CLOSING_KEY: Final = "closing"
GATEWAY_KEY: Final = "gateway"
ROLLOUT_KEY: Final = "rollout"
DEBTS_KEY: Final = "debts"
ORDERS_KEY: Final = "removals"
IMPORTED_KEY: Final = "imported"
INSTALLATION_KEY: Final = "installation"
NOTICES_KEY: Final = "notices"
AUDIT_KEY: Final = "audit"
SILENCES_KEY: Final = "silences"
AGENT_PREFIX: Final = "agents/"

R = TypeVar("R")
Upgrade = Callable[[str, Any], Any]
"""(kind, body) -> the body in the next version."""

UPGRADES: Final[Mapping[int, Upgrade]] = {}  # from each older version to the next


class RecordError(Exception):
    """A stored record can't be read; the text names the key and what to do."""


@attrs.frozen(kw_only=True)
class FrameworkRecord:
    """Our identity at the master. Stored before anything else is done with it."""

    framework_id: str
    name: str = ""
    principal: str = ""
    role: str = ""
    adopted: bool = False  # taken over after the store was lost: its tasks are not all known


@attrs.frozen(kw_only=True)
class InstallationRecord:
    """Made once: the key under which secrets are told apart without telling anything of them."""

    key: str


@attrs.frozen(kw_only=True)
class GatewayRecord:
    """SHA-256 fingerprints of Gateways' certificates, as first seen.

    `pins`: host:port -> fingerprint. `fingerprint` alone: of the only Gateway there was.
    """

    fingerprint: str = ""
    pins: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ImportedRecord:
    """What the store of the original framework held, once, as it was taken over.

    `hosts`: host -> persona and state in words; `mdms`: hosts it had built MDMs on.
    """

    hosts: Mapping[str, str] = attrs.field(factory=dict)
    mdms: tuple[str, ...] = ()
    at: float = 0.0  # unix


Record = (
    AgentRecord
    | ClosingRecord
    | FrameworkRecord
    | InstallationRecord
    | GatewayRecord
    | ImportedRecord
    | RolloutRecord
    | DebtsRecord
    | OrdersRecord
    | NoticesRecord
    | AuditRecord
    | SilencesRecord
)


_KINDS: Final[Mapping[str, type[Record]]] = {
    FRAMEWORK_KEY: FrameworkRecord,
    CLOSING_KEY: ClosingRecord,
    GATEWAY_KEY: GatewayRecord,
    ROLLOUT_KEY: RolloutRecord,
    DEBTS_KEY: DebtsRecord,
    ORDERS_KEY: OrdersRecord,
    NOTICES_KEY: NoticesRecord,
    AUDIT_KEY: AuditRecord,
    SILENCES_KEY: SilencesRecord,
    INSTALLATION_KEY: InstallationRecord,
    IMPORTED_KEY: ImportedRecord,
}


def kind_of(key: str) -> type[Record] | None:
    """What stands under a key; None where no record of ours does."""
    if key.startswith(AGENT_PREFIX) and key != AGENT_PREFIX:
        return AgentRecord
    return _KINDS.get(key)


def encode(body: Record) -> bytes:
    return msgspec.json.encode({"v": VERSION, "kind": type(body).__name__, "body": body})


def decode(raw: bytes, kind: type[R], *, key: str) -> R:
    """The record under `key`. Raises RecordError on garbage and on a newer version than ours."""
    try:
        envelope = msgspec.json.decode(raw)
        version = envelope["v"]
        body: Any = envelope["body"]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordError(
            f"store record {key!r} is no record of ours: {raw[:40]!r}; put back a copy of the "
            f"store, or remove it with -store.del.key={key}"
        ) from error
    if type(version) is not int or not 1 <= version <= VERSION:
        raise RecordError(
            f"store record {key!r} has version {version}, this program reads up to {VERSION}: "
            "start the newer program again, or export with it"
        )
    try:
        for older in range(version, VERSION):
            body = UPGRADES[older](kind.__name__, body)
        return msgspec.convert(body, kind)
    except (msgspec.ValidationError, LookupError, TypeError, AttributeError) as error:
        raise RecordError(
            f"store record {key!r} is damaged ({error}): put back a copy of the store, or remove "
            f"the record with -store.del.key={key}; what it told is then learned anew"
        ) from error


@attrs.define
class AgentReader:
    """Reads the records of many agents; equal parts of their facts are one object.

    Hosts of one kind differ in a few things: their facts would be half of what ten thousand
    agents take in memory.
    """

    _parts: dict[tuple[str, bytes], object] = attrs.field(factory=dict, init=False)

    def read(self, raw: bytes, *, key: str) -> AgentRecord:
        """As `decode` does, which also says what is wrong with one that is damaged."""
        try:
            envelope = _ENVELOPE.decode(raw)
            if envelope.v != VERSION:
                return decode(raw, AgentRecord, key=key)
            body = {name: msgspec.json.decode(part) for name, part in envelope.body.items()}
            facts = self._facts(envelope.body["facts"]) if body.pop("facts", None) else None
            return attrs.evolve(msgspec.convert(body, AgentRecord), facts=facts)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
            return decode(raw, AgentRecord, key=key)

    def _facts(self, raw: msgspec.Raw) -> Facts:
        found: dict[str, Any] = {}
        for name, part in _PARTS.decode(raw).items():
            kind = _FACTS.get(name)
            if kind is None:
                continue  # of a newer program
            known = (name, bytes(part))
            if known not in self._parts:
                self._parts[known] = msgspec.json.decode(part, type=kind)
            found[name] = self._parts[known]
        return Facts(**found)


class _Envelope(msgspec.Struct):
    v: int
    body: dict[str, msgspec.Raw]


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FACTS: Final[Mapping[str, Any]] = get_type_hints(Facts)


def agent_key(host: str) -> str:
    return AGENT_PREFIX + host
