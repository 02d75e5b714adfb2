"""The operator API calls that we make (v1 master.proto), and their answers as values.

Every parser takes the body of a 200 and raises RemoteMesosError, in one line, when it is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

from protocol.mesos import fields
from protocol.mesos.amounts import seconds_out
from protocol.mesos.attributes import attributes_of
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.fields import JsonObject
from protocol.mesos.resources import reserved_sums, sums

DRAIN_SINCE: Final = (1, 9)  # DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT


# -- questions ----------------------------------------------------------------------------------


def _call(kind: str, body: Mapping[str, object] | None = None) -> bytes:
    call: dict[str, object] = {"type": kind}
    if body is not None:
        call[kind.lower()] = body
    return msgspec.json.encode(call)


GET_VERSION: Final = _call("GET_VERSION")
GET_AGENTS: Final = _call("GET_AGENTS")
GET_FRAMEWORKS: Final = _call("GET_FRAMEWORKS")
GET_TASKS: Final = _call("GET_TASKS")
GET_MAINTENANCE_SCHEDULE: Final = _call("GET_MAINTENANCE_SCHEDULE")


def drain_agent(agent_id: str, grace_s: float | None, *, mark_gone: bool = False) -> bytes:
    """Kills the tasks of all frameworks on that agent, and cannot be taken back (from 1.9).

    `mark_gone` forbids the agent ever to return.
    """
    body: dict[str, object] = {"agent_id": {"value": agent_id}}
    if grace_s is not None:
        whole, rest = divmod(round(seconds_out(grace_s) * 1e9), 10**9)
        body["max_grace_period"] = {"seconds": whole, **({"nanos": rest} if rest else {})}
    if mark_gone:
        body["mark_gone"] = True
    return _call("DRAIN_AGENT", body)


def deactivate_agent(agent_id: str) -> bytes:
    """No offers of that agent any more; what runs there goes on (from 1.9)."""
    return _call("DEACTIVATE_AGENT", {"agent_id": {"value": agent_id}})


def reactivate_agent(agent_id: str) -> bytes:
    """Ends a deactivation, or a drain that is complete (from 1.9)."""
    return _call("REACTIVATE_AGENT", {"agent_id": {"value": agent_id}})


# -- answers ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AgentSeen:
    """A registered agent. `ip` and `port` are those of its own HTTP API (from its pid).

    `active`: registered and connected; one that is deactivated or draining is still there. The
    amounts are thousandths of plain scalars by name: `total_milli` is all that the agent has,
    `reserved_milli` the part of it that is reserved, by role.
    """

    agent_id: str
    hostname: str
    ip: str
    port: int
    attributes: dict[str, str]
    active: bool
    version: str = ""
    total_milli: Mapping[str, int] = attrs.field(factory=dict)
    allocated_milli: Mapping[str, int] = attrs.field(factory=dict)
    offered_milli: Mapping[str, int] = attrs.field(factory=dict)
    reserved_milli: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    capabilities: frozenset[str] = frozenset()
    deactivated: bool = False
    draining: bool = False
    region: str = ""
    registered_s: float | None = None
    reregistered_s: float | None = None


@attrs.frozen
class AgentList:
    """`recovered`: ids of agents known to the registry that are not back after a failover yet."""

    agents: tuple[AgentSeen, ...]
    recovered: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class FrameworkSeen:
    """A framework as the master has it. `completed`: removed, its id is dead."""

    framework_id: str
    name: str
    principal: str
    roles: tuple[str, ...]
    active: bool
    connected: bool
    recovered: bool
    completed: bool
    registered_s: float | None
    user: str = ""
    checkpoint: bool = True


@attrs.frozen(kw_only=True)
class TaskSeen:
    """A task that has not ended. `unreachable`: its agent is."""

    task_id: str
    agent_id: str
    framework_id: str
    state: str
    unreachable: bool


@attrs.frozen(kw_only=True)
class MaintenanceWindow:
    """One machine's window: from that unix time, for so long, or for ever where that is None."""

    hostname: str
    ip: str
    from_s: float
    for_s: float | None


def _answer(body: str | bytes, kind: str) -> JsonObject:
    raw = fields.parse_object(body, f"the answer to {kind}")
    return fields.required(raw, kind.lower())


def parse_agents(body: str | bytes) -> AgentList:
    with fields.malformed("answer to GET_AGENTS"):
        answer = _answer(body, "GET_AGENTS")
        return AgentList(
            tuple(agent_seen(one) for one in fields.objects(answer, "agents")),
            recovered_ids(fields.objects(answer, "recovered_agents")),
        )


def recovered_ids(infos: Iterable[JsonObject]) -> frozenset[str]:
    """Raises ValueError."""
    return frozenset(fields.identifier(info, "id") for info in infos)


def agent_seen(raw: JsonObject) -> AgentSeen:
    """One entry of GET_AGENTS. Raises ValueError, TypeError, AttributeError."""
    info = fields.required(raw, "agent_info")
    ip, port = _listens_at(raw, info)
    fault_domain = fields.inner(fields.inner(info, "domain"), "fault_domain")
    deactivated = fields.flag(raw, "deactivated", default=False)
    draining = bool(fields.inner(raw, "drain_info"))
    total = fields.objects(raw, "total_resources")
    return AgentSeen(
        agent_id=fields.identifier(info, "id"),
        hostname=fields.text(info, "hostname"),
        ip=ip,
        port=port,
        attributes=attributes_of(info.get("attributes")),
        # Masters call an agent inactive that they do not offer: because it is cut off, or because
        # an operator said so. Only the first one may be missing.
        active=fields.flag(raw, "active", default=True) or deactivated or draining,
        version=fields.text(raw, "version", ""),
        total_milli=sums(total),
        allocated_milli=sums(fields.objects(raw, "allocated_resources")),
        offered_milli=sums(fields.objects(raw, "offered_resources")),
        reserved_milli=reserved_sums(total),
        capabilities=fields.kinds(raw, "capabilities"),
        deactivated=deactivated,
        draining=draining,
        region=fields.text(fields.inner(fault_domain, "region"), "name", ""),
        registered_s=fields.seconds(raw, "registered_time"),
        reregistered_s=fields.seconds(raw, "reregistered_time"),
    )


def _listens_at(raw: JsonObject, info: JsonObject) -> tuple[str, int]:
    """From a pid such as `slave(1)@10.0.0.1:5051`; the port of the info where there is none."""
    where = fields.text(raw, "pid", "").rpartition("@")[2]
    ip, _, digits = where.rpartition(":")
    if digits.isascii() and digits.isdigit() and len(digits) < 6 and 0 < int(digits) < 65536:
        return ip.strip("[]"), int(digits)
    return ip.strip("[]"), fields.port(info, "port")


def parse_frameworks(body: str | bytes) -> tuple[FrameworkSeen, ...]:
    """Those that are known first, then the last ones that were removed."""
    with fields.malformed("answer to GET_FRAMEWORKS"):
        answer = _answer(body, "GET_FRAMEWORKS")
        known = fields.objects(answer, "frameworks")
        removed = fields.objects(answer, "completed_frameworks")
        return (
            *(_framework(one, completed=False) for one in known),
            *(_framework(one, completed=True) for one in removed),
        )


def _framework(raw: JsonObject, *, completed: bool) -> FrameworkSeen:
    info = fields.required(raw, "framework_info")
    return FrameworkSeen(
        framework_id=fields.identifier(info, "id"),
        name=fields.text(info, "name", ""),
        principal=fields.text(info, "principal", ""),
        roles=fields.texts(info, "roles") or (fields.text(info, "role", "") or "*",),
        active=fields.flag(raw, "active", default=False),
        connected=fields.flag(raw, "connected", default=False),
        recovered=fields.flag(raw, "recovered", default=False),
        completed=completed,
        registered_s=fields.seconds(raw, "registered_time"),
        user=fields.text(info, "user", ""),
        checkpoint=fields.flag(info, "checkpoint", default=False),
    )


def parse_tasks(body: str | bytes) -> tuple[TaskSeen, ...]:
    """The tasks that have not ended: launched ones, and (from 1.2) those on unreachable agents."""
    with fields.malformed("answer to GET_TASKS"):
        answer = _answer(body, "GET_TASKS")
        return (
            *(_task(one, unreachable=False) for one in fields.objects(answer, "tasks")),
            *(_task(one, unreachable=True) for one in fields.objects(answer, "unreachable_tasks")),
        )


def _task(raw: JsonObject, *, unreachable: bool) -> TaskSeen:
    return TaskSeen(
        task_id=fields.identifier(raw, "task_id"),
        agent_id=fields.identifier(raw, "agent_id", ""),
        framework_id=fields.identifier(raw, "framework_id", ""),
        state=fields.text(raw, "state", ""),
        unreachable=unreachable,
    )


def parse_maintenance(body: str | bytes) -> tuple[MaintenanceWindow, ...]:
    """One window per machine, in the order of the schedule."""
    with fields.malformed("answer to GET_MAINTENANCE_SCHEDULE"):
        answer = _answer(body, "GET_MAINTENANCE_SCHEDULE")
        return tuple(
            window
            for one in fields.objects(fields.inner(answer, "schedule"), "windows")
            for window in _windows(one)
        )


def _windows(raw: JsonObject) -> tuple[MaintenanceWindow, ...]:
    when = fields.required(raw, "unavailability")
    from_s = fields.seconds(when, "start") or 0.0
    for_s = fields.seconds(when, "duration")
    return tuple(
        MaintenanceWindow(
            hostname=fields.text(machine, "hostname", ""),
            ip=fields.text(machine, "ip", ""),
            from_s=from_s,
            for_s=for_s,
        )
        for machine in fields.objects(raw, "machine_ids")
    )


def parse_version_call(body: str | bytes) -> str:
    """The `version` in the answer to GET_VERSION."""
    with fields.malformed("answer to GET_VERSION"):
        info = fields.required(_answer(body, "GET_VERSION"), "version_info")
        return fields.text(info, "version")


def parse_version_answer(body: str | bytes) -> str:
    """The `version` of GET /version."""
    raw = fields.parse_object(body, "GET /version")
    version = raw.get("version")
    if not isinstance(version, str):
        raise RemoteMesosError(f"GET /version names no version: {body[:60]!r}")
    return version
