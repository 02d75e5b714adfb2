"""One command task on an agent: its command executor, as Mesos' own behaves."""

from __future__ import annotations

import math
from typing import Final, Literal, Protocol

import attrs

from simulation.mesos_ports import HostModel, Launch, StepRun
from simulation.mesos_values import Container, HealthCheck
from simulation.timers import Timer, Timers

LAUNCH_S: Final = 0.1  # from the agent's order to the executor's first word
TERM_S: Final = 0.1  # how long a command takes to die of SIGTERM
GRACE_S: Final = 3.0  # where neither the KILL nor the task names a grace period
CHECKED: Final = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"

Phase = Literal["launching", "running", "killing", "ended"]


@attrs.frozen(kw_only=True)
class Word:
    """What an executor, or the agent for it, has to say about a task."""

    state: str
    message: str = ""
    reason: str = ""
    source: str = "SOURCE_EXECUTOR"
    healthy: bool | None = None
    contained: bool = True  # there was an executor to say it


class Watcher(Protocol):
    """The agent, as its executors see it."""

    def said(self, task: CommandTask, word: Word) -> None:
        """A status update to be delivered."""

    def moved(self, task: CommandTask, state: str, *, running: bool) -> None:
        """The truth on the host has changed."""


@attrs.define(eq=False, kw_only=True)
class CommandTask:
    launch: Launch
    container: Container
    host: HostModel
    timers: Timers
    watcher: Watcher
    says_starting: bool = True  # built-in executors send TASK_STARTING since 1.5
    forced_exit: int | None = None  # a dial: end with this instead of the step's own outcome
    phase: Phase = "launching"
    stdout: str = ""
    stderr: str = ""
    _run: StepRun | None = attrs.field(default=None, init=False)
    _pending: list[Timer] = attrs.field(factory=list, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _reported: bool | None = attrs.field(default=None, init=False)
    _started_at: float = attrs.field(default=0.0, init=False)

    @property
    def task_id(self) -> str:
        return self.launch.order.task_id

    @property
    def step(self) -> str:
        return self.launch.order.step

    def start(self) -> None:
        self._pending.append(self.timers.later(LAUNCH_S, self._begin))

    def _begin(self) -> None:
        if self.says_starting:
            self.watcher.said(self, Word(state="TASK_STARTING"))
        self.phase = "running"
        self._started_at = self.timers.now()
        self.watcher.moved(self, "TASK_RUNNING", running=True)
        self.watcher.said(self, Word(state="TASK_RUNNING"))
        self._run = self.host.begin(self.step, self.launch.order.environment)
        if self._run.duration_s < math.inf:
            self._pending.append(self.timers.later(self._run.duration_s, self._finish))
        if self.launch.order.max_completion_s is not None:
            limit_s = self.launch.order.max_completion_s
            self._pending.append(self.timers.later(limit_s, self._out_of_time))
        check = self.launch.order.health_check
        if check is not None:
            self._pending.append(self.timers.later(check.delay_s, lambda: self._check(check)))

    # ---- ends

    def _finish(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        if self.forced_exit is None:
            outcome = run.finish()
            exit_code, self.stdout, self.stderr = outcome.exit_code, outcome.stdout, outcome.stderr
        else:
            run.abort()
            exit_code, self.stderr = self.forced_exit, "injected failure\n"
        self._end(
            Word(
                state="TASK_FINISHED" if exit_code == 0 else "TASK_FAILED",
                message=f"Command exited with status {exit_code}",
            )
        )

    def _out_of_time(self) -> None:
        if self.phase == "running":
            self._die(
                Word(
                    state="TASK_FAILED",
                    message="Command terminated with signal Terminated",
                    reason="REASON_MAX_COMPLETION_TIME_REACHED",
                )
            )

    def kill(self, grace_s: float | None, *, healthy: bool | None = None) -> None:
        """SIGTERM, and SIGKILL after the grace period of the call, of the task, or 3 s."""
        if self.phase == "launching":
            self._end(
                Word(
                    state="TASK_KILLED",
                    source="SOURCE_AGENT",
                    message="Killed before delivery to the executor",
                    reason="REASON_TASK_KILLED_DURING_LAUNCH",
                    contained=False,
                )
            )
            return
        if self.phase != "running":
            return
        self.phase = "killing"
        if "TASK_KILLING_STATE" in self.launch.framework.capabilities:
            self.watcher.said(self, Word(state="TASK_KILLING"))
        named = (grace_s, self.launch.order.grace_s, GRACE_S)
        wanted = next(one for one in named if one is not None)
        # Steps of the host model die of SIGTERM; a run of another host may say that it does not.
        deaf = bool(getattr(self._run, "deaf_to_term", False))
        in_time = wanted >= TERM_S and not deaf
        word = Word(
            state="TASK_KILLED",
            message=f"Command terminated with signal {'Terminated' if in_time else 'Killed'}",
            healthy=healthy,
        )
        takes_s = TERM_S if in_time else wanted
        self._pending.append(self.timers.later(takes_s, lambda: self._die(word)))

    def _die(self, word: Word) -> None:
        self._abort_run()
        self._end(word)

    def vanish(self) -> None:
        """The executor is gone without a word: killed, or its host went down."""
        if self.phase != "ended":
            self._abort_run()
            self._close("TASK_LOST")

    def _abort_run(self) -> None:
        if self._run is not None:
            run, self._run = self._run, None
            run.abort()

    def _end(self, word: Word) -> None:
        self._close(word.state)
        self.watcher.said(self, word)

    def _close(self, state: str) -> None:
        self.phase = "ended"
        for timer in self._pending:
            timer.cancel()
        self._pending.clear()
        self.watcher.moved(self, state, running=False)

    # ---- health

    def _check(self, check: HealthCheck) -> None:
        if self.phase != "running":
            return
        if self.host.health(self.launch.order.environment | check.environment):
            self._failures = 0
            if self._reported is not True:
                self._report(healthy=True)
        elif (
            self._reported is not None
            or self.timers.now() - self._started_at > check.grace_period_s
        ):
            self._failures += 1
            self._report(healthy=False)
            if self._failures >= check.consecutive_failures:
                self.kill(None, healthy=False)
                return
        self._pending = [one for one in self._pending if one.call is not None]
        self._pending.append(self.timers.later(check.interval_s, lambda: self._check(check)))

    def _report(self, *, healthy: bool) -> None:
        self._reported = healthy
        self.watcher.said(self, Word(state="TASK_RUNNING", reason=CHECKED, healthy=healthy))
