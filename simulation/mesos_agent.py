"""A simulated agent: the process, the executors it looks after, and its updates' delivery."""

from __future__ import annotations

import base64
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

import attrs

from simulation.mesos_agent_tasks import (
    RESEND_FIRST_S,
    RESEND_MAX_S,
    AgentTask,
    Sandbox,
    TaskKey,
)
from simulation.mesos_executor import CommandTask, Word
from simulation.mesos_observed import Listener, TaskChanged
from simulation.mesos_ports import DrainOrder, HostModel, Launch, MasterPort, TaskReport
from simulation.mesos_resources import Bundle
from simulation.mesos_values import TERMINAL, Address, Container, Status, version_of
from simulation.timers import Timer, Timers

LINK_S: Final = 0.001  # a message between master and agent; constant, so that order is kept
REGISTER_RETRY_S: Final = 10.0
RECOVERY_TIMEOUT_S: Final = 900.0  # executors end when their agent stays away for longer
FIRST_PID: Final = 2000


@attrs.define(eq=False, kw_only=True)
class SimulatedAgent:
    """The `AgentPort` that the master speaks to. Its faults are plain methods."""

    host: HostModel
    address: Address
    attributes: Mapping[str, str]
    resources: Bundle
    needs: frozenset[str]
    version: str
    timers: Timers
    rng: random.Random
    master: MasterPort
    tell: Listener
    agent_id: str = ""
    register_within_s: float = 1.0  # --registration_backoff_factor: a random part of it
    fail_next: deque[int] = attrs.field(factory=deque)  # exit codes for the tasks to come
    clock_off_s: float = 0.0  # how wrong its host's clock goes: updates carry it
    up: bool = attrs.field(default=False, init=False)
    connected: bool = attrs.field(default=False, init=False)
    draining: DrainOrder | None = attrs.field(default=None, init=False)
    partitioned_at: float | None = attrs.field(default=None, init=False)
    _held: list[Callable[[], None]] = attrs.field(factory=list, init=False)  # on the cut line
    tasks: dict[TaskKey, AgentTask] = attrs.field(factory=dict, init=False)
    sandboxes: dict[TaskKey, Sandbox] = attrs.field(factory=dict, init=False)
    _life: int = attrs.field(default=0, init=False)
    _down_at: float = attrs.field(default=0.0, init=False)
    _pids: int = attrs.field(default=FIRST_PID, init=False)
    _registering: Timer | None = attrs.field(default=None, init=False)

    @property
    def version_tuple(self) -> tuple[int, ...]:
        return version_of(self.version)

    # ---- life of the process

    def start(self) -> None:
        """The process starts; executors that outlived it are taken up again."""
        if self.up:
            return
        self.up, self._life = True, self._life + 1
        if self.timers.now() - self._down_at > RECOVERY_TIMEOUT_S:
            self._lose_executors()
        for task in self.tasks.values():
            ended = task.command is not None and task.command.phase == "ended"
            if ended and task.state not in TERMINAL:
                self._executor_gone(task)
        self.find_master(self.register_within_s)

    def find_master(self, within_s: float) -> None:
        """A master leads: register with it, some time from now."""
        if self._registering is not None:
            self._registering.cancel()
        if self.up and not self.connected:
            delay_s = self.rng.uniform(0.0, within_s)
            self._registering = self.timers.later(delay_s, self._register)

    def lose_master(self) -> None:
        self.connected = False
        for task in self.tasks.values():
            task.stop_sending()

    def crash(self) -> None:
        """The process dies. Executors of checkpointing frameworks live on."""
        if not self.up:
            return
        agent_id = self.agent_id
        self._to_master(lambda: self.master.broken(agent_id))
        self._down()
        for key, task in tuple(self.tasks.items()):
            if not task.launch.framework.checkpoint:
                self._forget_task(key)

    def _down(self) -> None:
        self.up, self._life, self._down_at = False, self._life + 1, self.timers.now()
        self.lose_master()

    def reboot(self) -> None:
        """The whole host goes down: process and executors. `start` brings it back."""
        self.crash()
        self._lose_executors()

    def forget_identity(self) -> None:
        """What `rm meta/slaves/latest` does to a stopped agent: a new id, nothing recovered."""
        self._forget_tasks()
        self.agent_id = ""

    def leave(self) -> None:
        """SIGUSR1: end the executors, tell the master, exit. Its id stays on its disk."""
        if not self.up:
            return
        agent_id = self.agent_id
        self._to_master(lambda: self.master.unregister(agent_id))
        self._forget_tasks()
        self._down()

    def partition(self) -> None:
        """No message passes between it and the master; everything else goes on."""
        if self.partitioned_at is None and self.up:
            self.partitioned_at = self.timers.now()
            self.master.silent(self.agent_id)

    def heal(self, ping_timeout_s: float) -> None:
        if self.partitioned_at is None:
            return
        away_s, self.partitioned_at = self.timers.now() - self.partitioned_at, None
        held, self._held = self._held, []
        if away_s < ping_timeout_s and self.connected:
            self.master.heard(self.agent_id)
            for go_on in held:  # TCP sends again what was not received, in order
                go_on()
        else:
            self.lose_master()
            self.find_master(self.register_within_s)

    def kill_executor(self, key: TaskKey) -> bool:
        """One executor dies of SIGKILL; true when there was one."""
        task = self.tasks.get(key)
        if task is None or task.command is None or task.command.phase == "ended":
            return False
        task.command.vanish()
        self._executor_gone(task, "Executor terminated")
        return True

    def _lose_executors(self) -> None:
        for task in self.tasks.values():
            if task.command is not None:
                task.command.vanish()

    def _executor_gone(
        self, task: AgentTask, why: str = "Abnormal executor termination: unknown container"
    ) -> None:
        task.command = None
        word = Word(
            state="TASK_FAILED",
            source="SOURCE_AGENT",
            message=why,
            reason="REASON_EXECUTOR_TERMINATED",
        )
        self._queue(task, word)

    # ---- the wire

    def _to_master(self, deliver: Callable[[], None]) -> None:
        generation = self.master.generation
        if self.partitioned_at is not None:
            self._held.append(lambda: self._arrive_there(generation, deliver))
        elif self.master.leading:
            self.timers.later(LINK_S, lambda: self._arrive_there(generation, deliver))

    def _arrive_there(self, generation: int, deliver: Callable[[], None]) -> None:
        if generation == self.master.generation and self.master.leading:
            deliver()

    def _from_master(self, deliver: Callable[[], None]) -> None:
        life, generation = self._life, self.master.generation
        self.timers.later(LINK_S, lambda: self._arrive_here(life, generation, deliver))

    def _arrive_here(self, life: int, generation: int, deliver: Callable[[], None]) -> None:
        same = life == self._life and generation == self.master.generation
        if same and self.up and self.partitioned_at is not None:
            self._held.append(lambda: self._arrive_here(life, generation, deliver))
        elif same and self.up:
            deliver()

    def _register(self) -> None:
        if self.connected or not self.up:
            return
        if self.master.leading:
            self._registering = self.timers.later(REGISTER_RETRY_S, self._register)
        if not self.agent_id:
            self._to_master(lambda: self.master.register(self))
            return
        agent_id = self.agent_id
        reports = tuple(
            TaskReport(launch=task.launch, state=task.state, shown=task.shown)
            for task in self.tasks.values()
        )
        self._to_master(lambda: self.master.reregister(self, agent_id, reports))

    # ---- what the master says (AgentPort)

    def accepted(self, agent_id: str, missing: tuple[Launch, ...]) -> None:
        self._from_master(lambda: self._accepted(agent_id, missing))

    def _accepted(self, agent_id: str, missing: tuple[Launch, ...]) -> None:
        self.agent_id, self.connected = agent_id, True
        if self._registering is not None:
            self._registering.cancel()
        self._resume()
        for launch in missing:
            self._drop_missing(launch)

    def _resume(self) -> None:
        for task in tuple(self.tasks.values()):
            task.resend_s = RESEND_FIRST_S
            self._send_front(task)

    def _drop_missing(self, launch: Launch) -> None:
        task = AgentTask(launch, None)
        self.tasks[launch.framework.id, launch.order.task_id] = task
        word = Word(
            state=launch.framework.lost_state("TASK_DROPPED"),
            source="SOURCE_AGENT",
            message="Reconciliation: task unknown to the agent",
            reason="REASON_RECONCILIATION",
        )
        self._queue(task, word)

    def shut_down(self) -> None:
        self._from_master(self._shut_down)

    def _shut_down(self) -> None:
        """For good: whoever starts it again sees it told the same."""
        self._forget_tasks()
        self._down()

    def launch(self, launch: Launch) -> None:
        self._from_master(lambda: self._launch(launch))

    def _launch(self, launch: Launch) -> None:
        key = (launch.framework.id, launch.order.task_id)
        if key in self.tasks:
            return
        self._pids += 7
        command = CommandTask(
            launch=launch,
            container=Container(
                container_id=str(UUID(bytes=self.rng.randbytes(16), version=4)),
                ip=self.address.ip,
                executor_pid=self._pids,
            ),
            host=self.host,
            timers=self.timers,
            watcher=self,
            says_starting=self.version_tuple >= (1, 5),
            forced_exit=self.fail_next.popleft() if self.fail_next else None,
        )
        self.tasks[key] = AgentTask(launch, command)
        self.sandboxes[key] = Sandbox(command)
        command.start()

    def kill(self, framework_id: str, task_id: str, grace_s: float | None) -> None:
        self._from_master(lambda: self._kill((framework_id, task_id), grace_s))

    def _kill(self, key: TaskKey, grace_s: float | None) -> None:
        task = self.tasks.get(key)
        if task is not None and task.command is not None:
            task.command.kill(grace_s)

    def acknowledge(self, framework_id: str, task_id: str, uuid: str) -> None:
        self._from_master(lambda: self._acknowledge((framework_id, task_id), uuid))

    def _acknowledge(self, key: TaskKey, uuid: str) -> None:
        task = self.tasks.get(key)
        if task is None or not task.updates or task.updates[0].uuid != uuid:
            return
        status = task.updates.popleft()
        task.stop_sending()
        task.resend_s = RESEND_FIRST_S
        if status.terminal:
            del self.tasks[key]
            self.draining = self.draining if self.tasks else None
        else:
            self._send_front(task)

    def end_framework(self, framework_id: str) -> None:
        self._from_master(lambda: self._end_framework(framework_id))

    def _end_framework(self, framework_id: str) -> None:
        for key in [key for key in self.tasks if key[0] == framework_id]:
            self._forget_task(key)

    def end_executor(self, framework_id: str, executor_id: str) -> None:
        self._from_master(lambda: self._kill((framework_id, executor_id), None))

    def framework_changed(self, framework_id: str) -> None:
        self._from_master(lambda: self._framework_changed(framework_id))

    def _framework_changed(self, framework_id: str) -> None:
        if any(key[0] == framework_id for key in self.tasks):
            self._resume()

    def drain(self, order: DrainOrder) -> None:
        self._from_master(lambda: self._drain(order))

    def _drain(self, order: DrainOrder) -> None:
        self.draining = order if self.tasks else None
        for task in tuple(self.tasks.values()):
            if task.command is not None:
                limits = (order.max_grace_s, task.launch.order.grace_s)
                task.command.kill(min((one for one in limits if one is not None), default=None))

    def _as_drained(self, task: AgentTask, word: Word) -> Word:
        """While an agent drains, it says so of every task that is being killed."""
        if self.draining is None or word.state not in {"TASK_KILLING", "TASK_KILLED"}:
            return word
        gone = self.draining.mark_gone and task.launch.framework.partition_aware
        state = "TASK_GONE_BY_OPERATOR" if gone else word.state
        return attrs.evolve(word, state=state, reason="REASON_AGENT_DRAINING")

    def convert(self, taken: Bundle, given: Bundle) -> None:
        self.resources = self.resources - taken + given

    def _forget_tasks(self) -> None:
        for key in tuple(self.tasks):
            self._forget_task(key)

    def _forget_task(self, key: TaskKey) -> None:
        task = self.tasks.pop(key)
        task.stop_sending()
        if task.command is not None:
            task.command.vanish()

    # ---- what executors say (Watcher)

    def said(self, task: CommandTask, word: Word) -> None:
        known = self.tasks.get((task.launch.framework.id, task.task_id))
        if known is not None and known.command is task:
            self._queue(known, word)

    def moved(self, task: CommandTask, state: str, *, running: bool) -> None:
        self.tell(
            TaskChanged(
                at=self.timers.now(),
                task_id=task.task_id,
                framework_id=task.launch.framework.id,
                agent_id=self.agent_id,
                hostname=self.address.shown,
                step=task.step,
                state=state,
                running=running,
            )
        )

    # ---- updates: one task's oldest only, again and again until it is acknowledged

    def _queue(self, task: AgentTask, word: Word) -> None:
        if task.state in TERMINAL:
            return
        word = self._as_drained(task, word)
        order = task.launch.order
        uuid = UUID(bytes=self.rng.randbytes(16), version=4).bytes
        status = Status(
            task_id=order.task_id,
            state=word.state,
            source=word.source,
            at_s=self.timers.now() + self.clock_off_s,
            agent_id=self.agent_id,
            message=word.message,
            reason=word.reason,
            executor_id=order.task_id,
            uuid=base64.b64encode(uuid).decode(),
            healthy=word.healthy,
            container=task.command.container if task.command and word.contained else None,
        )
        task.state = word.state
        task.updates.append(status)
        if len(task.updates) == 1:
            self._send_front(task)

    def _send_front(self, task: AgentTask) -> None:
        task.stop_sending()
        if not task.updates or not self.connected:
            return
        status = task.updates[0]
        task.shown = status
        agent_id, framework_id, newest = self.agent_id, task.launch.framework.id, task.state
        self._to_master(lambda: self.master.update(agent_id, framework_id, status, newest))
        task.resend = self.timers.later(task.resend_s, lambda: self._send_front(task))
        task.resend_s = min(task.resend_s * 2, RESEND_MAX_S)
