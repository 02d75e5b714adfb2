"""The simulated Mesos' writing: values in, JSON objects and RecordIO records out."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import msgspec

from simulation.mesos_resources import UNRESERVED, Bundle
from simulation.mesos_values import (
    EPOCH_S,
    REFINED,
    Address,
    Container,
    FrameworkInfo,
    Status,
)

JsonObject = dict[str, Any]

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
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


def unavailability(start_s: float, duration_s: float | None) -> JsonObject:
    out: JsonObject = {"start": nanoseconds(start_s)}
    if duration_s is not None:
        out["duration"] = {"nanoseconds": round(duration_s * 1e9)}
    return out


def named(value: str) -> JsonObject:
    return {"value": value}


@attrs.frozen(kw_only=True)
class ResourceForm:
    """How a reader wants resources: `allocated` role (or None), old or refined reservations."""

    allocated: str | None = None
    refined: bool = False

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

    def _object(self, key: tuple[str, str], amount: JsonObject) -> JsonObject:
        owner, name = key
        out: JsonObject = {"name": name, **amount}
        if self.allocated is not None:
            out["allocation_info"] = {"role": self.allocated}
        if not self.refined:
            out["role"] = owner
        elif owner != UNRESERVED:
            out["reservations"] = [{"type": "STATIC", "role": owner}]
        return out


def attribute_objects(attributes: Mapping[str, str]) -> list[JsonObject]:
    """As an agent parses its --attributes: numbers become scalars, all else is text."""
    out: list[JsonObject] = []
    for name, value in attributes.items():
        if _NUMBER.fullmatch(value):
            out.append({"name": name, "type": "SCALAR", "scalar": {"value": float(value)}})
        else:
            out.append({"name": name, "type": "TEXT", "text": {"value": value}})
    return out


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
    out: JsonObject = {
        "user": info.user,
        "name": info.name,
        "id": named(info.id),
        "failover_timeout": info.failover_timeout_s,
        "checkpoint": info.checkpoint,
        "hostname": info.hostname,
        "webui_url": info.webui_url,
        "capabilities": [{"type": word} for word in info.capability_list],
    }
    if info.multi_role:
        out["roles"] = list(info.roles)
    else:
        out["role"] = info.roles[0]
    if info.principal is not None:
        out["principal"] = info.principal
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
