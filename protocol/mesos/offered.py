"""Offers as they arrive by the thousand: ids decoded, all else kept as the bytes that came.

One OFFERS event can hold an offer of every agent. Nearly all are declined by their ids alone, so
the rest is read only when somebody wants one of them. The structs hold no references back, and
are not tracked by the garbage collector: ten thousand of them start no collection.
"""

from __future__ import annotations

from typing import Annotated, Final

import attrs
import msgspec

from protocol.mesos import fields
from protocol.mesos.attributes import attributes_of
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.fields import JsonObject
from protocol.mesos.resources import Resource, usable

Id = Annotated[str, msgspec.Meta(min_length=1)]
NOTHING: Final = msgspec.Raw(b"null")


class Named(msgspec.Struct, frozen=True, gc=False):
    """An id object."""

    value: Id


@attrs.frozen(kw_only=True)
class Offer:
    """One agent's resources for one role. `ip` and `port` are those of the agent's own HTTP API.

    `unavailable_from_s` is the unix time of a posted maintenance window; the window lasts
    `unavailable_for_s`, or for ever where that is None.
    """

    offer_id: str
    agent_id: str
    hostname: str
    ip: str
    port: int
    role: str
    resources: tuple[Resource, ...]
    attributes: dict[str, str] = attrs.field(factory=dict)
    unavailable_from_s: float | None = None
    unavailable_for_s: float | None = None


@attrs.frozen(kw_only=True)
class Whereabouts:
    """What an offer tells of its agent."""

    ip: str
    port: int
    attributes: dict[str, str]


class Head(msgspec.Struct, frozen=True, gc=False):
    """Which offer, of which agent."""

    id: Named
    agent_id: Named


class Sketch(msgspec.Struct, frozen=True, gc=False):
    """An offer (v1 mesos.proto `Offer`) with its larger parts as they came."""

    id: Named
    agent_id: Named
    hostname: str
    url: msgspec.Raw = NOTHING
    attributes: msgspec.Raw = NOTHING
    resources: msgspec.Raw = NOTHING
    unavailability: msgspec.Raw = NOTHING
    allocation_info: msgspec.Raw = NOTHING

    def looks(self) -> int:
        """The same number for as long as the agent is told of in the same words."""
        return hash((bytes(self.url), bytes(self.attributes)))

    def where(self) -> Whereabouts:
        """Raises RemoteMesosError where that can't be read."""
        with fields.malformed(f"offer of {fields.shown(self.hostname)}"):
            address = fields.inner(_object(self.url), "address")
            return Whereabouts(
                ip=fields.text(address, "ip", ""),
                port=fields.port(address, "port"),
                attributes=attributes_of(_value(self.attributes)),
            )

    def whole(self, role: str) -> Offer:
        """All of it; `role` is the one whose reservations we may use. Raises RemoteMesosError."""
        with fields.malformed(f"offer of {fields.shown(self.hostname)}"):
            address = fields.inner(_object(self.url), "address")
            window = _object(self.unavailability)
            allocated = fields.text(_object(self.allocation_info), "role", "")
            listed = fields.objects({"resources": _value(self.resources)}, "resources")
            return Offer(
                offer_id=self.id.value,
                agent_id=self.agent_id.value,
                hostname=self.hostname,
                ip=fields.text(address, "ip", ""),
                port=fields.port(address, "port"),
                role=allocated or role,
                resources=usable(listed, role=role),
                attributes=attributes_of(_value(self.attributes)),
                unavailable_from_s=fields.seconds(window, "start"),
                unavailable_for_s=fields.seconds(window, "duration"),
            )


class _Heads(msgspec.Struct, frozen=True, gc=False):
    offers: list[Head] | None = None


class _HeadsEvent(msgspec.Struct, frozen=True, gc=False):
    offers: _Heads


class _Sketches(msgspec.Struct, frozen=True, gc=False):
    offers: list[Sketch] | None = None


class _SketchesEvent(msgspec.Struct, frozen=True, gc=False):
    offers: _Sketches


_HEADS: Final = msgspec.json.Decoder(_HeadsEvent)
_SKETCHES: Final = msgspec.json.Decoder(_SketchesEvent)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


@attrs.frozen(kw_only=True)
class Offers:
    """An OFFERS event. `record`: its JSON, which holds all that the heads leave out."""

    heads: tuple[Head, ...]
    record: bytes = attrs.field(repr=False)

    def sketches(self) -> tuple[Sketch, ...]:
        """In the order of the heads. Raises RemoteMesosError when one has no host name."""
        try:
            return tuple(_SKETCHES.decode(self.record).offers.offers or ())
        except _UNREADABLE as error:
            raise _malformed(error) from error


def decode_offers(record: bytes) -> Offers:
    """Raises RemoteMesosError when an offer has no ids."""
    try:
        heads = _HEADS.decode(record).offers.offers or ()
    except _UNREADABLE as error:
        raise _malformed(error) from error
    return Offers(heads=tuple(heads), record=record)


def _malformed(error: Exception) -> RemoteMesosError:
    return RemoteMesosError(f"a malformed OFFERS event: {fields.shown(str(error))}")


def _value(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _object(raw: msgspec.Raw) -> JsonObject:
    """Empty where it is absent."""
    return fields.inner({"it": _value(raw)}, "it")
