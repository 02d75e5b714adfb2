"""What the master finds wrong with a task, a role, a framework: its own words, or ""."""

from __future__ import annotations

import re
from typing import Final

from simulation.mesos_resources import Bundle, Piece
from simulation.mesos_values import FrameworkInfo, TaskOrder

FAILOVER_MAX_S: Final = 2**63 / 1e9  # must fit int64 nanoseconds
ID_CHARS_MAX: Final = 255


# ---- tasks


def task_problem(
    order: TaskOrder, *, is_taken: bool, agent_id: str, left: Bundle, role: str
) -> str:
    """`is_taken`: the framework has such a task; `left`: what is left of the offers."""
    return (
        _id_problem(order.task_id)
        or (f"Task has duplicate ID: {order.task_id}" if is_taken else "")
        or _agent_problem(order, agent_id)
        or _times_problem(order)
        or _resources_problem(order)
        or _executor_problem(order)
        or _size_problem(order, left, role)
    )


def _id_problem(task_id: str) -> str:
    if not task_id:
        return "ID must not be empty"
    if len(task_id) > ID_CHARS_MAX:
        return f"ID must not be greater than {ID_CHARS_MAX} characters"
    if task_id in {".", ".."}:
        return f"'{task_id}' is disallowed"
    if any(char in "/\\" or ord(char) < 32 or ord(char) == 127 for char in task_id):
        return f"'{task_id}' contains invalid characters"
    return ""


def _agent_problem(order: TaskOrder, agent_id: str) -> str:
    if order.agent_id == agent_id:
        return ""
    return f"Task uses invalid agent {order.agent_id} while agent {agent_id} is expected"


def _times_problem(order: TaskOrder) -> str:
    if order.grace_s is not None and order.grace_s < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    if order.max_completion_s is not None and order.max_completion_s < 0:
        return "Task's `max_completion_time` must be non-negative"
    if order.health_check is not None and order.health_check.problem:
        return f"Task uses invalid health check: {order.health_check.problem}"
    return ""


def _resources_problem(order: TaskOrder) -> str:
    for piece in order.pieces:
        if piece.milli < 0:
            text = piece.text(piece.role)
            return f"Resource '{text}' is invalid: Invalid scalar resource: value <= 0"
    if not order.pieces:
        return "Task uses no resources"
    if any(piece.key[1] == "gpus" and piece.milli % 1000 for piece in order.pieces):
        why = "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer"
        return f"Task uses invalid resources: {why}"
    return ""


def _executor_problem(order: TaskOrder) -> str:
    if order.executors == 1:
        return ""
    return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"


def _size_problem(order: TaskOrder, left: Bundle, role: str) -> str:
    foreign = any(piece.role not in {"", role} for piece in order.pieces)
    if left.contains(order.resources) and not foreign:
        return ""
    return (
        f"Total resources {_total(order.pieces, role)} required by task and its executor is"
        f" more than available {left.text(role)}"
    )


def _total(pieces: tuple[Piece, ...], role: str) -> str:
    return "; ".join(piece.text(role) for piece in pieces if piece.milli or piece.ranges)


# ---- frameworks


def role_problem(role: str) -> str:
    if role == "*":
        return ""
    if not role:
        return "Role names cannot be the empty string"
    if role.startswith("/"):
        return f"Role '{role}' cannot start with a slash"
    if role.endswith("/"):
        return f"Role '{role}' cannot end with a slash"
    if "//" in role:
        return f"Role '{role}' cannot contain two adjacent slashes"
    for component in role.split("/"):
        if component in {".", "..", "*"}:
            return f"Role '{role}' cannot include '{component}' as a component"
        if component.startswith("-"):
            return f"Role component '{component}' is invalid because it starts with a dash"
        if re.search(r"[\s\x08]", component):
            return (
                f"Role component '{component}' is invalid because it contains backspace or"
                " whitespace"
            )
    return ""


def framework_problem(info: FrameworkInfo, suppressed: tuple[str, ...]) -> str:
    """Why a FrameworkInfo is not accepted; "" when it is."""
    if info.multi_role and info.role_field is not None:
        return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    if not info.multi_role and info.roles_field:
        return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
    twice = sorted({role for role in info.roles if info.roles.count(role) > 1})
    if twice:
        return f"'FrameworkInfo.roles' contains duplicate items: {{ {', '.join(twice)} }}"
    for role in info.roles:
        if why := role_problem(role):
            words = (
                "roles' contains invalid role" if info.multi_role else "role' is not a valid role"
            )
            return f"'FrameworkInfo.{words}: {why}"
    for role in suppressed:
        if role not in info.roles:
            return f"Suppressed role '{role}' is not contained in the list of roles"
    if info.failover_timeout_s >= FAILOVER_MAX_S:
        return f"The framework failover_timeout ({info.failover_timeout_s:g}) is invalid"
    return ""


def update_problem(old: FrameworkInfo, new: FrameworkInfo, suppressed: tuple[str, ...]) -> str:
    """Why an UPDATE_FRAMEWORK is refused; "" when it is done."""
    if why := framework_problem(new, suppressed):
        return f"Supplied FrameworkInfo is not valid: {why}"
    changes = "FrameworkInfo update is not valid:"
    if old.principal != new.principal:
        return f"{changes} Changing framework's principal is not allowed."
    for name, before, after in (
        ("user", old.user, new.user),
        ("checkpoint", _word(flag=old.checkpoint), _word(flag=new.checkpoint)),
    ):
        if before != after:
            return (
                f"{changes} Updating 'FrameworkInfo.{name}' is unsupported; attempted to update"
                f" from '{before}' to '{after}'"
            )
    return ""


def _word(*, flag: bool) -> str:
    return "true" if flag else "false"
