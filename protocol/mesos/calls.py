"""Scheduler calls (v1 scheduler.proto `Call`) as JSON bytes, and what each master version takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

import attrs
import msgspec

from protocol.mesos.amounts import filters
from protocol.mesos.errors import LocalMesosError
from protocol.mesos.framework import (
    FrameworkInfo,
    Version,
    capabilities,
    parse_version,
    registration,
    subscribe,
)
from protocol.mesos.tasks import (
    HealthCheck,
    Operation,
    Reserve,
    Taken,
    Task,
    Unreserve,
    kill_policy,
    operation_info,
    task_info,
)

__all__ = [
    "CALL_SINCE", "DECLINE_IDS_MAX", "SCHEDULER_PATH", "Accept", "AcceptInverseOffers",
    "Acknowledge", "Call", "Decline", "DeclineInverseOffers", "FrameworkInfo", "HealthCheck",
    "Kill", "Operate", "Operation", "Reconcile", "Reserve", "Revive", "Shutdown", "Suppress",
    "Taken", "Task", "Teardown", "Unreserve", "UpdateFramework", "Version", "capabilities",
    "encode_call", "parse_version", "subscribe",
]  # fmt: skip

SCHEDULER_PATH: Final = "/api/v1/scheduler"
DECLINE_IDS_MAX: Final = 1000  # keeps a DECLINE below 1 MB, which proxies take
CALL_SINCE: Final[dict[str, Version]] = {"UPDATE_FRAMEWORK": (1, 9)}  # the others: from 1.0 on


@attrs.frozen(kw_only=True)
class Accept:
    """One task on the offers of one agent. `refuse_s` filters what is left over."""

    offer_ids: tuple[str, ...]
    task: Task
    taken: tuple[Taken, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class Operate:
    """Reservations on the offers of one agent (an ACCEPT without a launch)."""

    offer_ids: tuple[str, ...]
    operations: tuple[Operation, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class Decline:
    offer_ids: tuple[str, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class AcceptInverseOffers:
    """'Go ahead with the maintenance.' Advice to the operator; nothing follows from it."""

    inverse_offer_ids: tuple[str, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class DeclineInverseOffers:
    """'Not now.' `refuse_s`: when the question may come again."""

    inverse_offer_ids: tuple[str, ...]
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
    """`grace_s` between SIGTERM and SIGKILL; None leaves it to the task's own kill policy."""

    task_id: str
    agent_id: str
    grace_s: float | None = None


@attrs.frozen(kw_only=True)
class Shutdown:
    """End a custom executor with all its tasks."""

    executor_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class Suppress:
    pass


@attrs.frozen(kw_only=True)
class Revive:
    pass


@attrs.frozen(kw_only=True)
class UpdateFramework:
    """Tell anew all that SUBSCRIBE told (from 1.9). User, principal and checkpoint must not change.

    Answered 200 once it is applied. `minimal`: as the subscription was.
    """

    info: FrameworkInfo
    suppressed: bool
    minimal: bool = False


@attrs.frozen(kw_only=True)
class Teardown:
    """Remove the framework: all its tasks are killed, and its id is dead."""


Call = (
    Accept
    | Operate
    | Decline
    | AcceptInverseOffers
    | DeclineInverseOffers
    | Acknowledge
    | Reconcile
    | Kill
    | Shutdown
    | Suppress
    | Revive
    | UpdateFramework
    | Teardown
)


def encode_call(call: Call, *, framework_id: str, role: str, version: Version) -> bytes:
    """The body of one POST, after subscription.

    Raises LocalMesosError for a call that a master of that version does not know, and for
    numbers that are no times.
    """
    kind, inner = _inner(call, framework_id, role, version)
    since = CALL_SINCE.get(kind, (1, 0))
    if version < since:
        raise LocalMesosError(
            f"{kind} needs Mesos {_dotted(since)}, and the master is {_dotted(version)}"
        )
    body: dict[str, object] = {"type": kind, "framework_id": {"value": framework_id}}
    if inner is not None:
        body[kind.lower()] = inner
    return msgspec.json.encode(body)


def _inner(
    call: Call, framework_id: str, role: str, version: Version
) -> tuple[str, dict[str, object] | None]:
    match call:
        case Accept():
            launch = {"task_infos": [task_info(call.task, call.taken, version)]}
            return "ACCEPT", _accept(call, [{"type": "LAUNCH", "launch": launch}])
        case Operate():
            listed = [operation_info(one, role, version) for one in call.operations]
            return "ACCEPT", _accept(call, listed)
        case Decline():
            return "DECLINE", {
                "offer_ids": _ids(call.offer_ids),
                "filters": filters(call.refuse_s),
            }
        case AcceptInverseOffers():
            return "ACCEPT_INVERSE_OFFERS", _inverse(call)
        case DeclineInverseOffers():
            return "DECLINE_INVERSE_OFFERS", _inverse(call)
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
            return "KILL", _kill(call)
        case Shutdown():
            return "SHUTDOWN", {
                "executor_id": {"value": call.executor_id},
                "agent_id": {"value": call.agent_id},
            }
        case Suppress():
            return "SUPPRESS", _roles(role, version)
        case Revive():
            return "REVIVE", _roles(role, version)
        case UpdateFramework():
            return "UPDATE_FRAMEWORK", _update(call, framework_id, version)
        case Teardown():
            return "TEARDOWN", None
        case _:
            assert_never(call)


def _accept(call: Accept | Operate, operations: list[dict[str, object]]) -> dict[str, object]:
    return {
        "offer_ids": _ids(call.offer_ids),
        "operations": operations,
        "filters": filters(call.refuse_s),
    }


def _inverse(call: AcceptInverseOffers | DeclineInverseOffers) -> dict[str, object]:
    return {
        "inverse_offer_ids": _ids(call.inverse_offer_ids),
        "filters": filters(call.refuse_s),
    }


def _kill(call: Kill) -> dict[str, object]:
    """`kill_policy` is part of KILL from 1.0 on, and goes before that of the task."""
    body: dict[str, object] = {
        "task_id": {"value": call.task_id},
        "agent_id": {"value": call.agent_id},
    }
    if call.grace_s is not None:
        body["kill_policy"] = kill_policy(call.grace_s)
    return body


def _update(call: UpdateFramework, framework_id: str, version: Version) -> dict[str, object]:
    if call.info.framework_id not in ("", framework_id):
        raise LocalMesosError(f"{call.info.framework_id} is not the id that is subscribed")
    info = attrs.evolve(call.info, framework_id=framework_id)
    return registration(info, version, suppressed=call.suppressed, minimal=call.minimal)


def _roles(role: str, version: Version) -> dict[str, object] | None:
    """1.0 knows no body, 1.2 one `role`: with a single role no body means the same everywhere."""
    return {"roles": [role]} if version >= (1, 3) else None


def _ids(values: Iterable[str]) -> list[dict[str, str]]:
    return [{"value": value} for value in values]


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
