"""Command tasks and reservations as the wire has them (mesos.proto TaskInfo, Offer.Operation)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

import attrs

from protocol.mesos.amounts import duration, seconds_out
from protocol.mesos.errors import LocalMesosError
from protocol.mesos.framework import Version
from protocol.mesos.resources import Resource, reserved, unreserved, wire


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
class Reserve:
    """Reserve unreserved resources for our role. `principal`: the authenticated one, or ""."""

    taken: tuple[Taken, ...]
    principal: str = ""


@attrs.frozen(kw_only=True)
class Unreserve:
    """Give up dynamic reservations of our role."""

    taken: tuple[Taken, ...]


Operation = Reserve | Unreserve


def task_info(task: Task, taken: Iterable[Taken], version: Version) -> dict[str, object]:
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
        "kill_policy": kill_policy(task.kill_grace_s),
        "labels": {"labels": [{"key": k, "value": v} for k, v in sorted(task.labels.items())]},
    }
    if task.completion_s is not None and version >= (1, 6):
        info["max_completion_time"] = duration(task.completion_s)
    if task.health is not None:
        info["health_check"] = _health(task.health, version)
    return info


def kill_policy(grace_s: float) -> dict[str, object]:
    return {"grace_period": duration(grace_s)}


def _health(check: HealthCheck, version: Version) -> dict[str, object]:
    body: dict[str, object] = {
        "command": {"shell": True, "value": check.command},
        "delay_seconds": seconds_out(check.delay_s),
        "interval_seconds": seconds_out(check.interval_s),
        "timeout_seconds": seconds_out(check.timeout_s),
        "consecutive_failures": check.consecutive_failures,
        "grace_period_seconds": seconds_out(check.grace_s),
    }
    if version >= (1, 1):
        body["type"] = "COMMAND"
    return body


def operation_info(operation: Operation, role: str, version: Version) -> dict[str, object]:
    """RESERVE or UNRESERVE, in the form in which the resources were offered."""
    refinement = version >= (1, 4)
    if not refinement and any("reservations" in t.resource.echo for t in operation.taken):
        raise LocalMesosError("masters before 1.4 do not know `reservations`")
    match operation:
        case Reserve():
            held = [
                reserved(t.resource, role, operation.principal, refinement=refinement)
                for t in operation.taken
            ]
            return _operation("RESERVE", held, operation.taken)
        case Unreserve():
            held = [unreserved(t.resource, role) for t in operation.taken]
            return _operation("UNRESERVE", held, operation.taken)
        case _:
            assert_never(operation)


def _operation(
    kind: str, resources: Iterable[Resource], taken: Iterable[Taken]
) -> dict[str, object]:
    pairs = zip(resources, taken, strict=True)
    listed = [wire(resource, one.amount_milli) for resource, one in pairs]
    return {"type": kind, kind.lower(): {"resources": listed}}
