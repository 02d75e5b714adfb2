"""The simulated Mesos' writing: values in, JSON objects and RecordIO records out."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import msgspec

from simulation.mesos_resources import UNRESERVED, Bundle, Key, Owner, Reserved, role_of
from simulation.mesos_values import (
    EPOCH_S,
    REFINED,
    Address,
    Container,
    FrameworkInfo,
    Status,
    Unavailability,
)

JsonObject = dict[str, Any]

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_RANGES: Final = re.compile(r"\[\d+-\d+(,\d+-\d+)*\]")
_HEARTBEAT_S: Final = 15.0


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def record(event: JsonObject) -> bytes:
    """One RecordIO record."""
    body = encode(event)
    return b"%d\n%b" % (len(body), body)


def nanoseconds(at_s: float) -> JsonObject:
    """A TimeInfo for a moment of simulated time."""
    return {"nanoseconds": round((EPOCH_S + at_s) * 1e9)}


def unavailability(window: Unavailability) -> JsonObject:
    out: JsonObject = {"start": {"nanoseconds": window.start_ns}}
    if window.duration_ns is not None:
        out["duration"] = {"nanoseconds": window.duration_ns}
    return out


def named(value: str) -> JsonObject:
    return {"value": value}


@attrs.frozen(kw_only=True)
class ResourceForm:
    """How a reader wants resources: `allocated` role (or None), old or refined reservations."""

    allocated: str | None = None
    refined: bool = False
    both: bool = False  # as operators are told: either form, side by side

    @classmethod
    def for_framework(cls, info: FrameworkInfo, role: str) -> ResourceForm:
        return cls(
            allocated=role if info.multi_role else None, refined=REFINED in info.capabilities
        )

    def objects(self, bundle: Bundle, *, ranges_first: bool = False) -> list[JsonObject]:
        scalars = [
            self._object(key, {"type": "SCALAR", "scalar": {"value": milli / 1000}})
            for key, milli in bundle.scalars.items()
        ]
        ranges = [
            self._object(
                key,
                {
                    "type": "RANGES",
                    "ranges": {"range": [{"begin": low, "end": high} for low, high in some]},
                },
            )
            for key, some in bundle.ranges.items()
        ]
        return ranges + scalars if ranges_first else scalars + ranges

    def _object(self, key: Key, amount: JsonObject) -> JsonObject:
        owner, name = key
        out: JsonObject = {"name": name, **amount}
        if self.allocated is not None:
            out["allocation_info"] = {"role": self.allocated}
        if not self.refined or self.both:
            out["role"] = role_of(owner)
            if isinstance(owner, Reserved):
                out["reservation"] = _principal(owner)
        if self.refined and owner != UNRESERVED:
            out["reservations"] = [_reservation(owner)]
        return out


def _principal(of: Reserved) -> JsonObject:
    return {"principal": of.principal} if of.principal else {}


def _reservation(owner: Owner) -> JsonObject:
    if isinstance(owner, Reserved):
        return {"type": "DYNAMIC", "role": owner.role, **_principal(owner)}
    return {"type": "STATIC", "role": owner}


def attribute_objects(attributes: Mapping[str, str]) -> list[JsonObject]:
    """As an agent parses its --attributes: numbers, ranges in brackets, all else is text."""
    return [{"name": name, **_attribute("".join(v.split()))} for name, v in attributes.items()]


def _attribute(value: str) -> JsonObject:
    if _NUMBER.fullmatch(value):
        return {"type": "SCALAR", "scalar": {"value": float(value)}}
    if _RANGES.fullmatch(value):
        pairs = (pair.split("-") for pair in value[1:-1].split(","))
        some = [{"begin": int(low), "end": int(high)} for low, high in pairs]
        return {"type": "RANGES", "ranges": {"range": some}}
    return {"type": "TEXT", "text": {"value": value}}


def agent_url(at: Address) -> JsonObject:
    return {
        "scheme": "http",
        "address": {"hostname": at.shown, "ip": at.ip, "port": at.port},
        "path": "/slave(1)",
    }


def master_info(master_id: str, at: Address, version: str) -> JsonObject:
    return {
        "id": master_id,
        "ip": _ip_number(at.ip),
        "port": at.port,
        "pid": f"master@{at.ip}:{at.port}",
        "hostname": at.shown,
        "version": version,
        "address": {"hostname": at.shown, "ip": at.ip, "port": at.port},
        "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}, {}],
    }


def _ip_number(ip: str) -> int:
    """The deprecated form: four bytes in network order, read as a number of this machine."""
    address = ipaddress.ip_address(ip)
    return int.from_bytes(address.packed, sys.byteorder) if address.version == 4 else 0


def version_body(version: str) -> JsonObject:
    return {
        "build_date": "2020-11-24 15:38:37",
        "build_time": 1606232317.0,
        "build_user": "simulation",
        "git_sha": "0" * 40,
        "git_tag": version,
        "version": version,
    }


def framework_info(info: FrameworkInfo) -> JsonObject:
    """What the framework sent of itself: nothing is added."""
    out: JsonObject = {
        "user": info.user,
        "name": info.name,
        "id": named(info.id),
        "failover_timeout": info.failover_timeout_s,
        "checkpoint": info.checkpoint,
    }
    if info.capability_list:
        out["capabilities"] = [{"type": word} for word in info.capability_list]
    if info.multi_role:
        out["roles"] = list(info.roles)
    elif info.role_field is not None:
        out["role"] = info.role_field
    for name, value in (
        ("principal", info.principal or ""),
        ("hostname", info.hostname),
        ("webui_url", info.webui_url),
    ):
        if value:
            out[name] = value
    return out


# ---- events

HEARTBEAT: Final[JsonObject] = {"type": "HEARTBEAT"}


def subscribed(framework_id: str, info: JsonObject | None) -> JsonObject:
    body: JsonObject = {
        "framework_id": named(framework_id),
        "heartbeat_interval_seconds": _HEARTBEAT_S,
    }
    if info is not None:
        body["master_info"] = info
    return {"type": "SUBSCRIBED", "subscribed": body}


def error(message: str) -> JsonObject:
    return {"type": "ERROR", "error": {"message": message}}


def offers(made: Iterable[JsonObject]) -> JsonObject:
    return {"type": "OFFERS", "offers": {"offers": list(made)}}


def rescind(offer_id: str) -> JsonObject:
    return {"type": "RESCIND", "rescind": {"offer_id": named(offer_id)}}


def rescind_inverse(offer_id: str) -> JsonObject:
    body = {"inverse_offer_id": named(offer_id)}
    return {"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": body}


def inverse_offers(made: Iterable[JsonObject]) -> JsonObject:
    return {"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": list(made)}}


def operation_update(status: JsonObject) -> JsonObject:
    return {"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": status}}


def failure(agent_id: str) -> JsonObject:
    return {"type": "FAILURE", "failure": {"agent_id": named(agent_id)}}


def update(status: Status) -> JsonObject:
    return {"type": "UPDATE", "update": {"status": status_object(status)}}


def status_object(status: Status) -> JsonObject:
    out: JsonObject = {"task_id": named(status.task_id), "state": status.state}
    if status.message:
        out["message"] = status.message
    out["source"] = status.source
    if status.reason:
        out["reason"] = status.reason
    if status.agent_id:
        out["agent_id"] = named(status.agent_id)
    if status.executor_id:
        out["executor_id"] = named(status.executor_id)
    if status.healthy is not None:
        out["healthy"] = status.healthy
    out["timestamp"] = EPOCH_S + status.at_s
    if status.uuid:
        out["uuid"] = status.uuid
    if status.container is not None:
        out["container_status"] = _container(status.container)
    if status.unreachable_at_s is not None:
        out["unreachable_time"] = nanoseconds(status.unreachable_at_s)
    return out


def _container(container: Container) -> JsonObject:
    address = {"protocol": "IPv4", "ip_address": container.ip}
    return {
        "container_id": named(container.container_id),
        "network_infos": [{"ip_addresses": [address]}],
        "executor_pid": container.executor_pid,
    }
