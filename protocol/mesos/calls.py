"""Scheduler calls (v1 scheduler.proto `Call`) as JSON bytes, and what each master version takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
import msgspec

from protocol.mesos.resources import Resource, wire

SCHEDULER_PATH: Final = "/api/v1/scheduler"
DECLINE_IDS_MAX: Final = 1000  # keeps a DECLINE below 1 MB, which proxies take

Version = tuple[int, int]


def parse_version(text: str) -> Version:
    """Major and minor of `1.11.0` or `1.12.0-dev`; (1, 0) when it says nothing we can read.

    The oldest version is the safe reading: masters before 1.5 refuse what they don't know.
    """
    found = re.match(r"\s*(\d{1,4})\.(\d{1,4})", text)
    return (int(found[1]), int(found[2])) if found else (1, 0)


@attrs.frozen(kw_only=True)
class FrameworkInfo:
    """Who we are to the master (mesos.proto FrameworkInfo). `failover_timeout_s` in seconds."""

    user: str
    name: str
    role: str
    hostname: str
    webui_url: str
    failover_timeout_s: float
    principal: str = ""
    framework_id: str = ""


def capabilities(version: Version) -> tuple[str, ...]:
    """What to ask for; a master before 1.5 answers 400 to a name it does not know."""
    wanted = ["TASK_KILLING_STATE", "GPU_RESOURCES"]
    if version >= (1, 1):
        wanted.append("PARTITION_AWARE")
    if version >= (1, 3):
        wanted.append("MULTI_ROLE")
    if version >= (1, 4):
        wanted.append("REGION_AWARE")
    return tuple(wanted)


def subscribe(info: FrameworkInfo, version: Version, *, suppressed: bool) -> bytes:
    body: dict[str, object] = {
        "user": info.user,
        "name": info.name,
        "hostname": info.hostname,
        "webui_url": info.webui_url,
        "failover_timeout": info.failover_timeout_s,
        "checkpoint": True,
        "capabilities": [{"type": kind} for kind in capabilities(version)],
    }
    if version >= (1, 3):
        body["roles"] = [info.role]
    else:
        body["role"] = info.role
    if info.principal:
        body["principal"] = info.principal
    inner: dict[str, object] = {"framework_info": body}
    if version >= (1, 4):
        inner["suppressed_roles"] = [info.role] if suppressed else []
    call: dict[str, object] = {"type": "SUBSCRIBE", "subscribe": inner}
    if info.framework_id:
        body["id"] = {"value": info.framework_id}
        call["framework_id"] = {"value": info.framework_id}
    return msgspec.json.encode(call)


@attrs.frozen(kw_only=True)
class HealthCheck:
    """COMMAND health check (mesos.proto HealthCheck); seconds."""

    command: str
    delay_s: float = 15.0
    interval_s: float = 30.0
    timeout_s: float = 20.0
    consecutive_failures: int = 3
    grace_s: float = 60.0


@attrs.frozen(kw_only=True)
class Task:
    """A command task. `environment` and `labels` can be read by anybody: nothing secret."""

    task_id: str
    name: str
    agent_id: str
    command: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    user: str = "root"
    completion_s: float | None = None  # max_completion_time, from 1.6
    kill_grace_s: float = 10.0
    health: HealthCheck | None = None


@attrs.frozen
class Taken:
    """So much of that offered resource."""

    resource: Resource
    amount_milli: int


@attrs.frozen(kw_only=True)
class Accept:
    """One task on the offers of one agent. `refuse_s` filters what is left over."""

    offer_ids: tuple[str, ...]
    task: Task
    taken: tuple[Taken, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class Decline:
    offer_ids: tuple[str, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class Acknowledge:
    agent_id: str
    task_id: str
    uuid: str


@attrs.frozen(kw_only=True)
class Reconcile:
    """`tasks`: pairs of task id and agent id; empty asks for everything the master knows."""

    tasks: tuple[tuple[str, str], ...]


@attrs.frozen(kw_only=True)
class Kill:
    task_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class Suppress:
    pass


@attrs.frozen(kw_only=True)
class Revive:
    pass


Call = Accept | Decline | Acknowledge | Reconcile | Kill | Suppress | Revive


def encode_call(call: Call, *, framework_id: str, role: str, version: Version) -> bytes:
    """The body of one POST, after subscription."""
    kind, inner = _inner(call, role, version)
    body: dict[str, object] = {"type": kind, "framework_id": {"value": framework_id}}
    if inner is not None:
        body[kind.lower()] = inner
    return msgspec.json.encode(body)


def _inner(call: Call, role: str, version: Version) -> tuple[str, dict[str, object] | None]:
    match call:
        case Accept():
            launch = {"task_infos": [_task(call.task, call.taken, version)]}
            return "ACCEPT", {
                "offer_ids": _ids(call.offer_ids),
                "operations": [{"type": "LAUNCH", "launch": launch}],
                "filters": {"refuse_seconds": call.refuse_s},
            }
        case Decline():
            filters = {"refuse_seconds": call.refuse_s}
            return "DECLINE", {"offer_ids": _ids(call.offer_ids), "filters": filters}
        case Acknowledge():
            return "ACKNOWLEDGE", {
                "agent_id": {"value": call.agent_id},
                "task_id": {"value": call.task_id},
                "uuid": call.uuid,
            }
        case Reconcile():
            return "RECONCILE", {
                "tasks": [
                    {"task_id": {"value": task}, "agent_id": {"value": agent}}
                    for task, agent in call.tasks
                ]
            }
        case Kill():
            return "KILL", {
                "task_id": {"value": call.task_id},
                "agent_id": {"value": call.agent_id},
            }
        case Suppress():
            return "SUPPRESS", _roles(role, version)
        case Revive():
            return "REVIVE", _roles(role, version)


def _roles(role: str, version: Version) -> dict[str, object] | None:
    """1.0 knows no body, 1.2 one `role`: with a single role no body means the same everywhere."""
    return {"roles": [role]} if version >= (1, 3) else None


def _ids(values: Iterable[str]) -> list[dict[str, str]]:
    return [{"value": value} for value in values]


def _task(task: Task, taken: Iterable[Taken], version: Version) -> dict[str, object]:
    variables = [{"name": k, "value": v} for k, v in sorted(task.environment.items())]
    info: dict[str, object] = {
        "name": task.name,
        "task_id": {"value": task.task_id},
        "agent_id": {"value": task.agent_id},
        "resources": [wire(t.resource, t.amount_milli) for t in taken],
        "command": {
            "shell": True,
            "value": task.command,
            "user": task.user,
            "environment": {"variables": variables},
        },
        "kill_policy": {"grace_period": {"nanoseconds": int(task.kill_grace_s * 1e9)}},
        "labels": {"labels": [{"key": k, "value": v} for k, v in sorted(task.labels.items())]},
    }
    if task.completion_s is not None and version >= (1, 6):
        info["max_completion_time"] = {"nanoseconds": int(task.completion_s * 1e9)}
    if task.health is not None:
        info["health_check"] = _health(task.health, version)
    return info


def _health(check: HealthCheck, version: Version) -> dict[str, object]:
    body: dict[str, object] = {
        "command": {"shell": True, "value": check.command},
        "delay_seconds": check.delay_s,
        "interval_seconds": check.interval_s,
        "timeout_seconds": check.timeout_s,
        "consecutive_failures": check.consecutive_failures,
        "grace_period_seconds": check.grace_s,
    }
    if version >= (1, 1):
        body["type"] = "COMMAND"
    return body
