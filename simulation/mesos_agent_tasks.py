"""An agent's tasks, and what stays of them."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from simulation.mesos_executor import CommandTask
from simulation.mesos_ports import Launch
from simulation.mesos_values import Status
from simulation.timers import Timer

RESEND_FIRST_S: Final = 10.0
RESEND_MAX_S: Final = 600.0

TaskKey = tuple[str, str]  # framework id, task id


@attrs.define(eq=False)
class AgentTask:
    """A task until its terminal update is acknowledged, with its updates in order."""

    launch: Launch
    command: CommandTask | None
    state: str = "TASK_STAGING"
    shown: Status | None = None
    updates: deque[Status] = attrs.field(factory=deque)
    resend_s: float = RESEND_FIRST_S
    resend: Timer | None = None

    def stop_sending(self) -> None:
        if self.resend is not None:
            self.resend.cancel()


@attrs.define(eq=False)
class Sandbox:
    """Where a task's output stays readable after its end."""

    command: CommandTask

    def file(self, name: str) -> str | None:
        return {"stdout": self.command.stdout, "stderr": self.command.stderr}.get(name)
