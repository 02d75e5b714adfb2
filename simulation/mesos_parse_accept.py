"""Reading what an ACCEPT holds: offers, tasks, resources, operations."""

from __future__ import annotations

import math
from typing import Final

from simulation.mesos_fields import (
    JsonObject,
    identifier,
    inner,
    number,
    objects,
    seconds,
    text,
)
from simulation.mesos_resources import UNRESERVED, Bundle, Owner, Piece, Reserved, merged
from simulation.mesos_values import (
    REFUSE_DEFAULT_S,
    REFUSE_MAX_S,
    Accept,
    Conversion,
    HealthCheck,
    LaunchTasks,
    Operation,
    TaskOrder,
)

_TIMES: Final = ("delay_seconds", "interval_seconds", "timeout_seconds", "grace_period_seconds")


def refuse_s(of: JsonObject) -> float:
    asked = number(inner(of, "filters"), "refuse_seconds", REFUSE_DEFAULT_S)
    if math.isnan(asked) or asked < 0:
        return REFUSE_DEFAULT_S
    return min(asked, REFUSE_MAX_S)


def ids(body: JsonObject, name: str) -> tuple[str, ...]:
    return tuple(text(entry, "value") for entry in objects(body, name))


def accept(framework_id: str, body: JsonObject) -> Accept:
    operations = [_operation(entry) for entry in objects(body, "operations")]
    return Accept(
        framework_id=framework_id,
        offer_ids=ids(body, "offer_ids"),
        operations=tuple(one for one in operations if one is not None),
        refuse_s=refuse_s(body),
    )


def _operation(of: JsonObject) -> Operation | None:
    """None for a kind that changes nothing here (CREATE, GROW_VOLUME, ...)."""
    match of.get("type"):
        case "LAUNCH":
            infos = objects(inner(of, "launch"), "task_infos")
            return LaunchTasks(tasks=tuple(task_order(info) for info in infos))
        case "RESERVE" | "UNRESERVE" as kind:
            pieces = _pieces(objects(inner(of, kind.lower()), "resources"))
            return Conversion(
                kind=kind, operation_id=identifier(of, "id"), resources=bundle(pieces)
            )
        case _:
            return None


# ---- resources


def _owner(of: JsonObject) -> Owner:
    stack = objects(of, "reservations")
    if stack:
        role = text(stack[-1], "role")
        if text(stack[-1], "type") == "DYNAMIC":
            return Reserved(role, text(stack[-1], "principal"))
        return role
    role = text(of, "role") or UNRESERVED
    if of.get("reservation") is not None:
        return Reserved(role, text(inner(of, "reservation"), "principal"))
    return role


def _pieces(entries: list[JsonObject]) -> tuple[Piece, ...]:
    out = []
    for entry in entries:
        key = (_owner(entry), text(entry, "name"))
        role = text(inner(entry, "allocation_info"), "role")
        if entry.get("type") == "SCALAR":
            milli = round(number(inner(entry, "scalar"), "value", 0.0) * 1000)
            out.append(Piece(key, milli=milli, role=role))
        elif entry.get("type") == "RANGES":
            pairs = objects(inner(entry, "ranges"), "range")
            some = tuple((int(number(p, "begin", 0)), int(number(p, "end", 0))) for p in pairs)
            out.append(Piece(key, ranges=merged(some), role=role))
    return tuple(out)


def bundle(pieces: tuple[Piece, ...]) -> Bundle:
    """The sum; nothing that is zero, or less, is in it."""
    total = Bundle()
    for piece in pieces:
        if piece.milli > 0:
            total += Bundle({piece.key: piece.milli})
        if piece.ranges:
            total += Bundle({}, {piece.key: piece.ranges})
    return total


# ---- tasks


def _pairs(entries: list[JsonObject], key: str) -> dict[str, str]:
    return {text(entry, key): text(entry, "value") for entry in entries}


def task_order(of: JsonObject) -> TaskOrder:
    command = inner(of, "command")
    check = inner(of, "health_check")
    pieces = _pieces(objects(of, "resources"))
    return TaskOrder(
        task_id=identifier(of, "task_id"),
        name=text(of, "name"),
        agent_id=identifier(of, "agent_id"),
        resources=bundle(pieces),
        pieces=pieces,
        executors=sum(of.get(name) is not None for name in ("command", "executor")),
        command=text(command, "value"),
        environment=_environment(command),
        labels=_pairs(objects(inner(of, "labels"), "labels"), "key"),
        grace_s=seconds(inner(of, "kill_policy"), "grace_period"),
        max_completion_s=seconds(of, "max_completion_time"),
        health_check=None if not check else _health_check(check),
    )


def _environment(command: JsonObject) -> dict[str, str]:
    return _pairs(objects(inner(command, "environment"), "variables"), "name")


def _health_check(of: JsonObject) -> HealthCheck:
    negative = [name for name in _TIMES if number(of, name, 0.0) < 0]
    problem = f"Expecting '{negative[0]}' to be non-negative" if negative else ""
    if text(of, "type") == "COMMAND" and of.get("command") is None:
        problem = "Expecting 'command' to be set for COMMAND health check"
    return HealthCheck(
        delay_s=number(of, "delay_seconds", 15.0),
        interval_s=number(of, "interval_seconds", 10.0),
        consecutive_failures=int(number(of, "consecutive_failures", 3.0)),
        grace_period_s=number(of, "grace_period_seconds", 10.0),
        environment=_environment(inner(of, "command")),
        problem=problem,
    )
