"""Scheduler events (v1 scheduler.proto `Event`), decoded to values; unknown things stay harmless.

Fields that we do not use are ignored. Enum values that we do not know are kept as text: a
newer master must never crash an older scheduler.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import attrs

from protocol.mesos import fields
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.fields import JsonObject
from protocol.mesos.offered import Offers, decode_offers

HEARTBEAT_S: Final = 15.0  # hard-coded in masters; 1.0.0 does not tell it
HEARTBEAT_S_MIN: Final = 1.0
HEARTBEAT_S_MAX: Final = 300.0  # a silent stream must be noticed within the hour
_OFFERS: Final = b'{"type":"OFFERS"'
ERROR_MAX: Final = 400  # characters of an ERROR that people read
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
class Rescind:
    offer_id: str


@attrs.frozen(kw_only=True)
class InverseOffer:
    """The operator wants that agent for maintenance. `hostname` and `ip` may be empty.

    Times as in `Offer`; an answer is advice to the operator, no more.
    """

    offer_id: str
    agent_id: str
    hostname: str
    ip: str
    unavailable_from_s: float
    unavailable_for_s: float | None


@attrs.frozen(kw_only=True)
class InverseOffers:
    offers: tuple[InverseOffer, ...]


@attrs.frozen(kw_only=True)
class RescindInverseOffer:
    offer_id: str


@attrs.frozen(kw_only=True)
class Update:
    """One status update. `uuid` empty: from the master, must not be acknowledged.

    `unreachable_at_s`: with TASK_UNREACHABLE, the unix time since which the agent is.
    """

    task_id: str
    agent_id: str
    state: str
    uuid: str = ""
    message: str = ""
    reason: str = ""
    source: str = ""
    healthy: bool | None = None
    timestamp: float = 0.0
    unreachable_at_s: float | None = None

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


Event = (
    Subscribed
    | Offers
    | Rescind
    | InverseOffers
    | RescindInverseOffer
    | Update
    | Failure
    | ErrorEvent
    | Heartbeat
    | Unknown
)


def decode_event(record: bytes) -> Event:
    """One RecordIO record as a value; of offers only the ids (see protocol.mesos.offered).

    Raises RemoteMesosError when it is no event at all.
    """
    if record.startswith(_OFFERS):  # as every master writes it: large, so read once
        return decode_offers(record)
    raw = fields.parse_object(record, "an event")
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise RemoteMesosError(f"an event without a type: {record[:80]!r}")
    with fields.malformed(f"{fields.shown(kind)[:40]} event"):
        return _decode(kind, raw, record)


def _decode(kind: str, raw: JsonObject, record: bytes) -> Event:
    match kind:
        case "HEARTBEAT":
            return Heartbeat()
        case "OFFERS":
            return decode_offers(record)
        case "UPDATE":
            return _update(fields.required(fields.required(raw, "update"), "status"))
        case "SUBSCRIBED":
            return _subscribed(fields.required(raw, "subscribed"))
        case "RESCIND":
            return Rescind(offer_id=fields.identifier(fields.required(raw, "rescind"), "offer_id"))
        case "INVERSE_OFFERS":
            listed = fields.objects(fields.required(raw, "inverse_offers"), "inverse_offers")
            return InverseOffers(offers=tuple(_inverse_offer(one) for one in listed))
        case "RESCIND_INVERSE_OFFER":
            rescinded = fields.required(raw, "rescind_inverse_offer")
            return RescindInverseOffer(offer_id=fields.identifier(rescinded, "inverse_offer_id"))
        case "FAILURE":
            failure = fields.required(raw, "failure")
            return Failure(
                agent_id=fields.identifier(failure, "agent_id", ""),
                executor_id=fields.identifier(failure, "executor_id", ""),
            )
        case "ERROR":
            return _error(raw)
        case _:
            return Unknown(kind=kind[:60])


def _error(raw: JsonObject) -> ErrorEvent:
    """The schema nests the message; the published page shows it bare."""
    error = raw.get("error")
    message = error.get("message") if isinstance(error, dict) else raw.get("message")
    told = fields.shown(message, ERROR_MAX) if isinstance(message, str) else ""
    return ErrorEvent(message=told or "no message")


def _subscribed(raw: JsonObject) -> Subscribed:
    master = fields.inner(raw, "master_info")
    told_s = fields.number(raw, "heartbeat_interval_seconds", 0.0) or HEARTBEAT_S
    return Subscribed(
        framework_id=fields.identifier(raw, "framework_id"),
        heartbeat_s=min(max(told_s, HEARTBEAT_S_MIN), HEARTBEAT_S_MAX),
        master_id=fields.text(master, "id", ""),
        master_version=fields.text(master, "version", ""),
    )


def _inverse_offer(raw: JsonObject) -> InverseOffer:
    address = fields.inner(fields.inner(raw, "url"), "address")
    window = fields.inner(raw, "unavailability")
    return InverseOffer(
        offer_id=fields.identifier(raw, "id"),
        agent_id=fields.identifier(raw, "agent_id", ""),
        hostname=fields.text(address, "hostname", ""),
        ip=fields.text(address, "ip", ""),
        unavailable_from_s=fields.seconds(window, "start") or 0.0,
        unavailable_for_s=fields.seconds(window, "duration"),
    )


def _update(raw: JsonObject) -> Update:
    return Update(
        task_id=fields.identifier(raw, "task_id"),
        agent_id=fields.identifier(raw, "agent_id", ""),
        state=fields.text(raw, "state"),
        uuid=_uuid(fields.text(raw, "uuid", "")),
        message=fields.text(raw, "message", ""),
        reason=fields.text(raw, "reason", ""),
        source=fields.text(raw, "source", ""),
        healthy=None if raw.get("healthy") is None else fields.flag(raw, "healthy", default=False),
        timestamp=fields.number(raw, "timestamp", 0.0),
        unreachable_at_s=fields.seconds(raw, "unreachable_time"),
    )


def _uuid(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"uuid {text[:40]!r}") from error
    return text
