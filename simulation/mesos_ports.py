"""What master, agents and hosts of the simulation ask of each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from simulation.mesos_resources import Bundle
from simulation.mesos_values import Address, FrameworkInfo, Status, TaskOrder


class StepOutcome(Protocol):
    """What the command left behind."""

    @property
    def exit_code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class StepRun(Protocol):
    """A step under way on a host: `finish` after `duration_s`, or `abort` before.

    A step that runs until it is killed (the keeper) has an infinite duration.
    """

    @property
    def duration_s(self) -> float: ...

    def finish(self) -> StepOutcome:
        """The step's time is over: its effect happens now."""

    def abort(self) -> None:
        """The step was killed, or its host went down."""


class HostModel(Protocol):
    """A machine. The agent on it asks these, and nothing else."""

    @property
    def hostname(self) -> str: ...
    @property
    def address(self) -> str: ...

    @property
    def isolation(self) -> tuple[str, ...]:
        """The Mesos agent's isolators in effect, as its /flags tells."""

    @property
    def launcher(self) -> str: ...

    def begin(self, step: str, environment: Mapping[str, str]) -> StepRun:
        """A command task of ours starts."""

    def health(self, environment: Mapping[str, str]) -> bool:
        """What the health check of a task with that environment finds."""


@attrs.frozen(kw_only=True)
class Launch:
    """A task on its way to an agent, with what the agent must know of its framework."""

    order: TaskOrder
    framework: FrameworkInfo
    role: str


@attrs.frozen(kw_only=True)
class TaskReport:
    """One task in an agent's re-registration: its newest state, and what was last shown."""

    launch: Launch
    state: str
    shown: Status | None


@attrs.frozen(kw_only=True)
class DrainOrder:
    """Kill all tasks, with no more grace than that; `mark_gone`: the agent will not be back."""

    max_grace_s: float | None = None
    mark_gone: bool = False


class AgentPort(Protocol):
    """An agent, as the master reaches it. Calls take effect after the wire's delay, or never."""

    @property
    def address(self) -> Address: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def resources(self) -> Bundle: ...
    @property
    def needs(self) -> frozenset[str]: ...
    @property
    def version(self) -> str: ...

    def accepted(self, agent_id: str, missing: tuple[Launch, ...]) -> None:
        """The master has (re-)registered it; `missing` are tasks that it did not report."""

    def shut_down(self) -> None:
        """The master does not want this agent id any more."""

    def launch(self, launch: Launch) -> None: ...
    def kill(self, framework_id: str, task_id: str, grace_s: float | None) -> None: ...
    def acknowledge(self, framework_id: str, task_id: str, uuid: str) -> None: ...
    def end_framework(self, framework_id: str) -> None: ...
    def end_executor(self, framework_id: str, executor_id: str) -> None: ...
    def framework_changed(self, framework_id: str) -> None:
        """It subscribed again: an agent that runs tasks of it sends all open updates once more."""

    def drain(self, order: DrainOrder) -> None:
        """Kill all tasks."""

    def convert(self, taken: Bundle, given: Bundle) -> None:
        """Some of its resources have other owners from now on."""


class MasterPort(Protocol):
    """The leading master, as an agent reaches it; called when a message arrives.

    A message that was sent to one `generation` does not reach the next.
    """

    @property
    def generation(self) -> int: ...
    @property
    def leading(self) -> bool: ...

    def register(self, agent: AgentPort) -> None: ...
    def reregister(
        self, agent: AgentPort, agent_id: str, reports: tuple[TaskReport, ...]
    ) -> None: ...
    def unregister(self, agent_id: str) -> None: ...
    def update(
        self, agent_id: str, framework_id: str, status: Status, latest_state: str
    ) -> None: ...
    def broken(self, agent_id: str) -> None:
        """The connection to the agent broke."""

    def silent(self, agent_id: str) -> None:
        """From now on the agent does not answer pings; nothing else is noticed."""

    def heard(self, agent_id: str) -> None:
        """It answers pings again."""
