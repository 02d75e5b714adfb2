"""Agents coming, going and coming back, and the updates they send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from simulation import mesos_json
from simulation.allocator import Allocator
from simulation.mesos_forwarding import Forwarding
from simulation.mesos_observed import AgentState
from simulation.mesos_ports import AgentPort, Launch, TaskReport
from simulation.mesos_state import AgentRecord, Framework, MasterState, Task
from simulation.mesos_values import TERMINAL, MachineId, Status

PING_TIMEOUT_S: Final = 75.0  # --agent_ping_timeout 15 s x --max_agent_ping_timeouts 5
REREGISTER_TIMEOUT_S: Final = 600.0  # --agent_reregister_timeout, after a master failover


@attrs.define(eq=False)
class Registrar:
    """The `MasterPort` of the leading master."""

    state: MasterState
    allocator: Allocator
    forwarding: Forwarding
    ping_timeout_s: float = PING_TIMEOUT_S

    @property
    def generation(self) -> int:
        return self.state.generation

    @property
    def leading(self) -> bool:
        return self.state.leading

    # ---- coming

    def register(self, agent: AgentPort) -> None:
        machine = MachineId(agent.address.shown, agent.address.ip)
        if machine in self.state.down:
            agent.shut_down()
            return
        self._replace_same_address(agent)
        record = AgentRecord(
            id=self.state.new_agent_id(),
            port=agent,
            total=agent.resources,
            free=agent.resources,
            registered_at=self.state.now,
            unavailability=self.state.scheduled(machine),
        )
        self.state.agents[record.id] = record
        self.state.changed(record, "registered")
        agent.accepted(record.id, ())
        self.allocator.poke()

    def _replace_same_address(self, agent: AgentPort) -> None:
        for old in tuple(self.state.agents.values()):
            if old.port is agent or old.port.address == agent.address:
                self.remove(old, "a new agent registered at the same address")

    def reregister(self, agent: AgentPort, agent_id: str, reports: tuple[TaskReport, ...]) -> None:
        machine = MachineId(agent.address.shown, agent.address.ip)
        if agent_id in self.state.gone or machine in self.state.down:
            agent.shut_down()
            return
        known = self.state.agents.get(agent_id)
        if known is not None:
            self._reconnect(known, reports)
            return
        was_unreachable = self.state.unreachable.pop(agent_id, None) is not None
        recovered = self.state.recovered.pop(agent_id, None)
        record = AgentRecord(
            id=agent_id,
            port=agent,
            total=agent.resources,
            free=agent.resources,
            registered_at=self.state.now if recovered is None else recovered.registered_at,
            reregistered_at=self.state.now,
            unavailability=self.state.scheduled(machine),
            deactivated=recovered is not None and recovered.deactivated,
            drain=None if recovered is None else recovered.drain,
        )
        self.state.agents[agent_id] = record
        self.allocator.changed(agent_id)
        self._adopt(record, reports)
        self.state.changed(record, "reregistered")
        agent.accepted(agent_id, ())
        self._inform(record)
        if recovered is None:
            why = "Unreachable" if was_unreachable else "Unknown"
            self._push_states(record, f"{why} agent re-reregistered")
        self.allocator.poke()

    def _reconnect(self, record: AgentRecord, reports: tuple[TaskReport, ...]) -> None:
        """Back within the ping timeout: nothing is lost, nobody is told."""
        if record.ping_timer is not None:
            record.ping_timer.cancel()
            record.ping_timer = None
        record.connected = True
        record.reregistered_at = self.state.now
        self.state.changed(record, "reregistered")
        reported = {(one.launch.framework.id, one.launch.order.task_id) for one in reports}
        missing = [
            Launch(order=task.order, framework=framework.info, role=task.role)
            for key, task in record.tasks.items()
            if key not in reported
            and task.shown_state not in TERMINAL
            and (framework := self.state.frameworks.get(task.framework_id)) is not None
        ]
        record.port.accepted(record.id, tuple(missing))
        self._inform(record)
        for (framework_id, task_id), grace_s in record.kills.items():
            record.port.kill(framework_id, task_id, grace_s)
        record.kills.clear()
        self.allocator.poke()

    def _inform(self, record: AgentRecord) -> None:
        """What an agent must hear when it is back: who its frameworks are, and whether to drain."""
        for framework_id in {key[0]: None for key in record.tasks}:
            if self.state.frameworks[framework_id].connected:
                record.port.framework_changed(framework_id)
        if record.drain is not None and not record.drain.over:
            record.port.drain(record.drain.order)

    def _adopt(self, record: AgentRecord, reports: tuple[TaskReport, ...]) -> None:
        for report in reports:
            info = report.launch.framework
            if info.id in self.state.completed:
                record.port.end_framework(info.id)
                continue
            framework = self.state.frameworks.get(info.id)
            if framework is None:
                framework = Framework(
                    info=info,
                    registered_at=self.state.now,
                    reregistered_at=self.state.now,
                    recovered=True,
                )
                self.state.frameworks[info.id] = framework
            order = report.launch.order
            framework.unreachable_tasks.pop(order.task_id, None)
            task = Task(
                order=order,
                framework_id=info.id,
                agent_id=record.id,
                role=report.launch.role,
                state=report.state,
                shown=report.shown,
                statuses=[] if report.shown is None else [report.shown],
                holds_resources=report.state not in TERMINAL,
            )
            self.state.add_task(framework, task)
            if task.holds_resources:
                record.free -= order.resources

    def _push_states(self, record: AgentRecord, message: str) -> None:
        for task in tuple(record.tasks.values()):
            framework = self.state.frameworks[task.framework_id]
            if task.state in TERMINAL or self.state.version_tuple < (1, 5):
                continue
            shown = task.shown
            status = Status(
                task_id=task.order.task_id,
                state=task.shown_state,
                source="SOURCE_MASTER",
                at_s=self.state.now,
                agent_id=record.id,
                reason="REASON_AGENT_REREGISTERED",
                message=message,
                container=None if shown is None else shown.container,
                healthy=None if shown is None else shown.healthy,
            )
            self.forwarding.send(framework, status)

    # ---- going

    def broken(self, agent_id: str) -> None:
        record = self.state.agents.get(agent_id)
        if record is None or not record.connected:
            return
        record.connected = False
        self.state.changed(record, "disconnected")
        self.state.rescind(record.offers.values())
        self.state.rescind_inverse(record)
        for task in tuple(record.tasks.values()):
            framework = self.state.frameworks[task.framework_id]
            if not framework.info.checkpoint:
                self._lose(framework, task, record)
        self._start_pings(record)

    def silent(self, agent_id: str) -> None:
        record = self.state.agents.get(agent_id)
        if record is not None and record.ping_timer is None:
            self._start_pings(record)

    def heard(self, agent_id: str) -> None:
        record = self.state.agents.get(agent_id)
        if record is not None and record.connected and record.ping_timer is not None:
            record.ping_timer.cancel()
            record.ping_timer = None

    def _start_pings(self, record: AgentRecord) -> None:
        if record.ping_timer is not None:
            record.ping_timer.cancel()
        record.ping_timer = self.state.timers.later(
            self.ping_timeout_s, lambda: self._unreachable(record)
        )

    def _lose(self, framework: Framework, task: Task, record: AgentRecord) -> None:
        """A framework without checkpointing loses its tasks with the connection."""
        status = self._status(task, "TASK_LOST", "REASON_AGENT_DISCONNECTED")
        message = f"Agent {record.hostname} disconnected"
        self._end(framework, task, attrs.evolve(status, message=message))

    def _unreachable(self, record: AgentRecord) -> None:
        if self.state.agents.get(record.id) is not record:
            return
        now = self.state.now
        self._forget(record)
        self.state.unreachable[record.id] = now
        for task in tuple(record.tasks.values()):
            framework = self.state.frameworks[task.framework_id]
            self.state.drop_task(task)
            framework.unreachable_tasks[task.order.task_id] = task
            state = framework.info.lost_state("TASK_UNREACHABLE")
            status = attrs.evolve(
                self._status(task, state, "REASON_AGENT_REMOVED"),
                message="health check timed out",
                unreachable_at_s=now,
            )
            task.note(status)
            task.state = state
            self.forwarding.send(framework, status)
        self._gone(record, "unreachable")

    def unregister(self, agent_id: str) -> None:
        if (record := self.state.agents.get(agent_id)) is not None:
            self.remove(record, "the agent unregistered")

    def remove(self, record: AgentRecord, why: str) -> None:
        """TASK_LOST for every framework, PARTITION_AWARE or not. It may come back empty."""
        record.drain = None
        for task in tuple(record.tasks.values()):
            framework = self.state.frameworks[task.framework_id]
            status = attrs.evolve(
                self._status(task, "TASK_LOST", "REASON_AGENT_REMOVED"),
                message=f"Agent {record.hostname} removed: {why}",
            )
            self._end(framework, task, status)
        self._forget(record)
        self._gone(record, "removed")

    def forget_gone(self, agent_id: str) -> None:
        """An operator has declared it gone: its tasks are, too, and it is told to end."""
        record = self.state.agents.get(agent_id)
        if record is not None:
            record.drain = None
            record.port.shut_down()
        for framework in self.state.frameworks.values():
            tasks = (*framework.tasks.values(), *framework.unreachable_tasks.values())
            for task in tasks:
                if task.agent_id == agent_id:
                    state = framework.info.lost_state("TASK_GONE_BY_OPERATOR")
                    status = self._status(task, state, "REASON_AGENT_REMOVED_BY_OPERATOR")
                    message = "Agent has been marked gone"
                    self._end(framework, task, attrs.evolve(status, message=message))
        if record is not None:
            self._forget(record)
            self._gone(record, "removed")

    def _end(self, framework: Framework, task: Task, status: Status) -> None:
        self.state.drop_task(task)
        framework.unreachable_tasks.pop(task.order.task_id, None)
        task.note(status)
        task.state = status.state
        framework.completed_tasks.append(task)
        self.forwarding.send(framework, status)

    def _forget(self, record: AgentRecord) -> None:
        """Out of the books, with its offers and what was refused of it."""
        if record.ping_timer is not None:
            record.ping_timer.cancel()
        self.state.rescind(record.offers.values())
        self.state.rescind_inverse(record)
        self.state.agents.pop(record.id, None)
        for framework in self.state.frameworks.values():
            for key in [key for key in framework.filters if key[0] == record.id]:
                del framework.filters[key]

    def _gone(self, record: AgentRecord, state: AgentState) -> None:
        for framework in self.state.frameworks.values():
            self.state.send(framework, mesos_json.failure(record.id))
        self.state.changed(record, state)

    def expire_recovered(self, generation: int) -> None:
        """Agents of the registry that did not come back after a failover are unreachable."""
        if generation != self.state.generation:
            return
        for agent_id, record in tuple(self.state.recovered.items()):
            del self.state.recovered[agent_id]
            self.state.unreachable[agent_id] = self.state.now
            self._gone(record, "unreachable")

    # ---- updates

    def update(self, agent_id: str, framework_id: str, status: Status, latest_state: str) -> None:
        record = self.state.agents.get(agent_id)
        framework = self.state.frameworks.get(framework_id)
        if record is None or framework is None:
            return
        task = framework.tasks.get(status.task_id)
        if task is not None and task.agent_id == agent_id:
            task.shown = status
            task.state = latest_state
            task.note(status)
            # Resources come back with the news of the end, long before its acknowledgement:
            # the agent adds its newest state to every older update that it sends again.
            if latest_state in TERMINAL and self.state.release(task):
                self.allocator.next_tick()
        self.forwarding.send(framework, status)

    def _status(self, task: Task, state: str, reason: str) -> Status:
        return Status(
            task_id=task.order.task_id,
            state=state,
            source="SOURCE_MASTER",
            at_s=self.state.now,
            agent_id=task.agent_id,
            reason=reason,
        )

    # ---- operators

    def set_offering(self, records: Iterable[AgentRecord], *, deactivated: bool) -> None:
        for record in records:
            record.deactivated = deactivated
            if deactivated:
                self.state.rescind(record.offers.values())
        self.allocator.poke()
