"""Scheduler events (v1 scheduler.proto `Event`), decoded to values; unknown things stay harmless.

Fields that we do not use are ignored. Enum values that we do not know are kept as text: a
newer master must never crash an older scheduler.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.resources import Resource, usable

TERMINAL: Final = frozenset(
    {
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    }
)


@attrs.frozen(kw_only=True)
class Subscribed:
    framework_id: str
    heartbeat_s: float
    master_id: str = ""
    master_version: str = ""


@attrs.frozen(kw_only=True)
class Offer:
    """One agent's resources for one role. `url` is host:port of the agent's own HTTP API."""

    offer_id: str
    agent_id: str
    hostname: str
    ip: str
    port: int
    role: str
    resources: tuple[Resource, ...]
    attributes: Mapping[str, str]
    unavailable_from_s: float | None = None  # unix time of a posted maintenance window


@attrs.frozen(kw_only=True)
class Offers:
    offers: tuple[Offer, ...]


@attrs.frozen(kw_only=True)
class Rescind:
    offer_id: str


@attrs.frozen(kw_only=True)
class Update:
    """One status update. `uuid` empty: from the master, must not be acknowledged."""

    task_id: str
    agent_id: str
    state: str
    uuid: str = ""
    message: str = ""
    reason: str = ""
    source: str = ""
    healthy: bool | None = None
    timestamp: float = 0.0

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL


@attrs.frozen(kw_only=True)
class Failure:
    """`executor_id` empty: the whole agent is gone or unreachable."""

    agent_id: str
    executor_id: str = ""


@attrs.frozen(kw_only=True)
class ErrorEvent:
    message: str


@attrs.frozen(kw_only=True)
class Heartbeat:
    pass


@attrs.frozen(kw_only=True)
class Unknown:
    """An event type of a newer master: counted, otherwise ignored."""

    kind: str


Event = Subscribed | Offers | Rescind | Update | Failure | ErrorEvent | Heartbeat | Unknown


def decode_event(record: bytes, *, role: str) -> Event:
    """One RecordIO record as a value; `role` is the one whose reservations we may use.

    Raises RemoteMesosError when it is no event at all.
    """
    try:
        raw = msgspec.json.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteMesosError(f"an event that is no JSON: {record[:80]!r}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise RemoteMesosError(f"an event without a type: {record[:80]!r}")
    try:
        return _decode(raw["type"], raw, role)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RemoteMesosError(f"a malformed {raw['type'][:40]} event: {error!r}") from error


def _decode(kind: str, raw: dict[str, Any], role: str) -> Event:
    match kind:
        case "HEARTBEAT":
            return Heartbeat()
        case "OFFERS":
            found = raw["offers"].get("offers", [])
            return Offers(offers=tuple(_offer(o, role) for o in found))
        case "UPDATE":
            return _update(raw["update"]["status"])
        case "SUBSCRIBED":
            return _subscribed(raw["subscribed"])
        case "RESCIND":
            return Rescind(offer_id=_id(raw["rescind"]["offer_id"]))
        case "FAILURE":
            failure = raw["failure"]
            return Failure(
                agent_id=_id(failure.get("agent_id") or {"value": ""}),
                executor_id=_id(failure.get("executor_id") or {"value": ""}),
            )
        case "ERROR":
            inner = raw.get("error")  # the published page shows a bare `message`
            message = inner.get("message") if isinstance(inner, dict) else raw.get("message")
            return ErrorEvent(message=str(message or "no message"))
        case _:
            return Unknown(kind=kind[:60])


def _subscribed(raw: dict[str, Any]) -> Subscribed:
    master = raw.get("master_info") or {}
    return Subscribed(
        framework_id=_id(raw["framework_id"]),
        heartbeat_s=float(raw.get("heartbeat_interval_seconds") or 15.0),
        master_id=str(master.get("id") or ""),
        master_version=str(master.get("version") or ""),
    )


def _offer(raw: dict[str, Any], role: str) -> Offer:
    address = (raw.get("url") or {}).get("address") or {}
    window = (raw.get("unavailability") or {}).get("start") or {}
    start = window.get("nanoseconds")
    allocation = raw.get("allocation_info") or {}
    return Offer(
        offer_id=_id(raw["id"]),
        agent_id=_id(raw["agent_id"]),
        hostname=_text(raw["hostname"]),
        ip=str(address.get("ip") or ""),
        port=int(address.get("port") or 5051),
        role=str(allocation.get("role") or role),
        resources=usable(raw.get("resources") or (), role=role),
        attributes=attributes_of(raw.get("attributes") or ()),
        unavailable_from_s=None if start is None else int(start) / 1e9,
    )


def _update(raw: dict[str, Any]) -> Update:
    healthy = raw.get("healthy")
    return Update(
        task_id=_id(raw["task_id"]),
        agent_id=_id(raw.get("agent_id") or {"value": ""}),
        state=_text(raw["state"]),
        uuid=_uuid(raw.get("uuid")),
        message=str(raw.get("message") or ""),
        reason=str(raw.get("reason") or ""),
        source=str(raw.get("source") or ""),
        healthy=healthy if isinstance(healthy, bool) else None,
        timestamp=float(raw.get("timestamp") or 0.0),
    )


def _uuid(raw: object) -> str:
    if raw is None:
        return ""
    text = _text(raw)
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"uuid {text[:40]!r}") from error
    return text


def _id(raw: dict[str, Any]) -> str:
    return _text(raw["value"])


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"expected text, got {type(raw).__name__}")
    return raw


def attributes_of(raw: object) -> dict[str, str]:
    """Agent attributes as text: the first of equal names wins; a number has no needless `.0`.

    RANGES become `1-5,9-9`. Mesos turns numeric-looking text into SCALAR, so both are read.
    """
    found: dict[str, str] = {}
    for entry in raw if isinstance(raw, list) else ():
        name, kind = entry.get("name"), entry.get("type")
        if not isinstance(name, str) or name.strip() in found:
            continue
        if kind == "TEXT":
            found[name.strip()] = str(entry["text"]["value"])
        elif kind == "SCALAR":
            found[name.strip()] = _number(float(entry["scalar"]["value"]))
        elif kind == "RANGES":
            ranges = entry["ranges"].get("range", [])
            found[name.strip()] = ",".join(f"{r['begin']}-{r['end']}" for r in ranges)
    return found


def _number(value: float) -> str:
    """A whole number in all its digits: it may be a name that only looks like one."""
    return str(int(value)) if value.is_integer() else f"{value:.15g}"
