"""The simulated master's own vocabulary: what its wire format means, without JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs

from simulation.mesos_resources import Bundle, Piece

EPOCH_S: Final = 1_795_334_400.0  # simulated time zero as the wire tells it (22 November 2026)
REFUSE_DEFAULT_S: Final = 5.0
REFUSE_MAX_S: Final = 365 * 86400.0
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
PARTITION_AWARE: Final = "PARTITION_AWARE"
MULTI_ROLE: Final = "MULTI_ROLE"
REFINED: Final = "RESERVATION_REFINEMENT"


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.partition("-")[0].split("."))


@attrs.frozen(kw_only=True)
class Address:
    """Where a master or an agent listens, and the name that it announces."""

    ip: str
    port: int
    hostname: str = ""

    @property
    def shown(self) -> str:
        return self.hostname or self.ip


@attrs.frozen
class MachineId:
    """A machine, as a maintenance schedule names it."""

    hostname: str = ""
    ip: str = ""

    @property
    def json(self) -> dict[str, str]:
        both = (("hostname", self.hostname), ("ip", self.ip))
        return {name: value for name, value in both if value}


@attrs.frozen
class Unavailability:
    """When a machine is in maintenance, in nanoseconds since the epoch; without end: for ever."""

    start_ns: int
    duration_ns: int | None = None

    @classmethod
    def at(cls, start_s: float, duration_s: float | None) -> Unavailability:
        """From simulated time."""
        length = None if duration_s is None else round(duration_s * 1e9)
        return cls(round((EPOCH_S + start_s) * 1e9), length)


@attrs.frozen(kw_only=True)
class FrameworkInfo:
    """`roles` is never empty: without MULTI_ROLE it holds the one role."""

    user: str
    name: str
    id: str = ""
    roles: tuple[str, ...] = ("*",)
    role_field: str | None = None
    roles_field: tuple[str, ...] = ()
    failover_timeout_s: float = 0.0
    checkpoint: bool = False
    principal: str | None = None
    hostname: str = ""
    webui_url: str = ""
    capabilities: frozenset[str] = frozenset()
    capability_list: tuple[str, ...] = ()

    @property
    def partition_aware(self) -> bool:
        return PARTITION_AWARE in self.capabilities

    @property
    def multi_role(self) -> bool:
        return MULTI_ROLE in self.capabilities

    def lost_state(self, state: str) -> str:
        """The state as this framework may see it: TASK_LOST for what it does not know."""
        known = self.partition_aware or state not in {
            "TASK_DROPPED",
            "TASK_UNREACHABLE",
            "TASK_GONE",
            "TASK_GONE_BY_OPERATOR",
            "TASK_UNKNOWN",
        }
        return state if known else "TASK_LOST"


@attrs.frozen(kw_only=True)
class HealthCheck:
    delay_s: float = 15.0
    interval_s: float = 10.0
    consecutive_failures: int = 3
    grace_period_s: float = 10.0
    environment: dict[str, str] = attrs.field(factory=dict)
    problem: str = ""  # why the master does not take it


@attrs.frozen(kw_only=True)
class TaskOrder:
    """A TaskInfo, as far as the simulation looks into it. `pieces`: its resources as written."""

    task_id: str
    name: str
    agent_id: str
    resources: Bundle
    pieces: tuple[Piece, ...] = ()
    executors: int = 1  # how many of `command` and `executor` are set: must be one
    command: str = ""
    environment: dict[str, str] = attrs.field(factory=dict)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    grace_s: float | None = None
    max_completion_s: float | None = None
    health_check: HealthCheck | None = None

    @property
    def step(self) -> str:
        return self.labels.get("scaleio.step", "")


@attrs.frozen(kw_only=True)
class Container:
    container_id: str
    ip: str
    executor_pid: int


@attrs.frozen(kw_only=True)
class Status:
    """A TaskStatus. With a `uuid` (base64) it must be acknowledged."""

    task_id: str
    state: str
    source: str
    at_s: float
    agent_id: str = ""
    message: str = ""
    reason: str = ""
    executor_id: str = ""
    uuid: str = ""
    healthy: bool | None = None
    container: Container | None = None
    unreachable_at_s: float | None = None

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL


# ---- calls


@attrs.frozen(kw_only=True)
class Subscribe:
    info: FrameworkInfo
    suppressed_roles: tuple[str, ...] = ()
    framework_id: str = ""


@attrs.frozen(kw_only=True)
class LaunchTasks:
    tasks: tuple[TaskOrder, ...]


@attrs.frozen(kw_only=True)
class Conversion:
    """RESERVE or UNRESERVE; `resources` are the reserved ones in both. The id may be ""."""

    kind: Literal["RESERVE", "UNRESERVE"]
    operation_id: str
    resources: Bundle


Operation = LaunchTasks | Conversion


@attrs.frozen(kw_only=True)
class Accept:
    framework_id: str
    offer_ids: tuple[str, ...]
    operations: tuple[Operation, ...]
    refuse_s: float

    @property
    def tasks(self) -> tuple[TaskOrder, ...]:
        """Of all its LAUNCH operations."""
        launches = (one for one in self.operations if isinstance(one, LaunchTasks))
        return tuple(order for launch in launches for order in launch.tasks)


@attrs.frozen(kw_only=True)
class Decline:
    framework_id: str
    offer_ids: tuple[str, ...]
    refuse_s: float


@attrs.frozen(kw_only=True)
class Revive:
    framework_id: str
    roles: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Suppress:
    framework_id: str
    roles: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Kill:
    framework_id: str
    task_id: str
    agent_id: str = ""
    grace_s: float | None = None


@attrs.frozen(kw_only=True)
class Acknowledge:
    framework_id: str
    agent_id: str
    task_id: str
    uuid: str


@attrs.frozen(kw_only=True)
class Reconcile:
    """`tasks` are pairs of task id and agent id ("" when not given); none asks for all."""

    framework_id: str
    tasks: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True)
class Teardown:
    framework_id: str


@attrs.frozen(kw_only=True)
class UpdateFramework:
    framework_id: str
    info: FrameworkInfo
    suppressed_roles: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class AnswerInverseOffers:
    """ACCEPT_INVERSE_OFFERS or DECLINE_INVERSE_OFFERS."""

    framework_id: str
    ids: tuple[str, ...]
    accepted: bool
    refuse_s: float


@attrs.frozen(kw_only=True)
class Shutdown:
    framework_id: str
    executor_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class AcknowledgeOperation:
    framework_id: str
    operation_id: str


@attrs.frozen(kw_only=True)
class ReconcileOperations:
    framework_id: str
    operation_ids: tuple[str, ...]


@attrs.frozen(kw_only=True)
class OtherCall:
    """A call that a master takes and that changes nothing here (messages, requests)."""

    framework_id: str
    kind: str


Call = (
    Subscribe
    | Accept
    | Decline
    | Revive
    | Suppress
    | Kill
    | Acknowledge
    | Reconcile
    | Teardown
    | UpdateFramework
    | AnswerInverseOffers
    | Shutdown
    | AcknowledgeOperation
    | ReconcileOperations
    | OtherCall
)
