"""What the scheduler's calls do to the master's books."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

from simulation.allocator import Allocator
from simulation.mesos_forwarding import Forwarding
from simulation.mesos_observed import Acknowledged, OfferAnswered, TaskLaunched, TaskRefused
from simulation.mesos_operations import Operations
from simulation.mesos_ports import Launch
from simulation.mesos_resources import Bundle
from simulation.mesos_state import AgentRecord, Framework, MasterState, Offer, Task
from simulation.mesos_validate import task_problem
from simulation.mesos_values import (
    TERMINAL,
    Accept,
    Acknowledge,
    Conversion,
    Decline,
    Kill,
    Reconcile,
    Revive,
    Shutdown,
    Status,
    Suppress,
    TaskOrder,
)


@attrs.define(eq=False)
class Calls:
    state: MasterState
    allocator: Allocator
    forwarding: Forwarding
    operations: Operations

    # ---- offers

    def decline(self, framework: Framework, call: Decline) -> None:
        for offer_id in call.offer_ids:
            offer = self.state.take_offer(framework, offer_id)
            self._answered(framework, offer_id, "DECLINE", offer, call.refuse_s)
            if offer is not None:
                self.allocator.recover(framework, offer, offer.resources, call.refuse_s)

    def lost(self, framework: Framework, call: Accept | Decline) -> None:
        """Tell observers of the answers in a call that is not carried out."""
        for offer_id in call.offer_ids:
            self.state.tell(
                OfferAnswered(
                    at=self.state.now,
                    offer_id=offer_id,
                    framework_id=framework.id,
                    by="ACCEPT" if isinstance(call, Accept) else "DECLINE",
                    outstanding=offer_id in framework.offers,
                    refuse_s=call.refuse_s,
                    lost=True,
                )
            )

    def accept(self, framework: Framework, call: Accept) -> None:
        """Operations on offers of one agent and role; anything wrong spoils them all."""
        why = self._invalid_offers(framework, call.offer_ids)
        offers = []
        for offer_id in call.offer_ids:
            offer = self.state.take_offer(framework, offer_id)
            self._answered(framework, offer_id, "ACCEPT", offer, call.refuse_s)
            if offer is not None:
                offers.append(offer)
        if why:
            self._refuse_all(framework, call.tasks, why)
            for offer in offers:
                self.allocator.recover(framework, offer, offer.resources, 0.0)
        elif offers:
            self._perform(framework, offers, call)

    def _answered(
        self,
        framework: Framework,
        offer_id: str,
        by: Literal["ACCEPT", "DECLINE"],
        offer: Offer | None,
        refuse_s: float,
    ) -> None:
        self.state.tell(
            OfferAnswered(
                at=self.state.now,
                offer_id=offer_id,
                framework_id=framework.id,
                by=by,
                outstanding=offer is not None,
                refuse_s=refuse_s,
            )
        )

    def _invalid_offers(self, framework: Framework, offer_ids: tuple[str, ...]) -> str:
        if not offer_ids:
            return "No offers specified"
        first: Offer | None = None
        for position, offer_id in enumerate(offer_ids):
            if offer_id in offer_ids[:position]:
                return f"Duplicate offer {offer_id} in offer list"
            offer = framework.offers.get(offer_id)
            if offer is None:
                return f"Offer {offer_id} is no longer valid"
            first = first or offer
            if offer.role != first.role:
                return (  # the quotes are Mesos' own
                    "Aggregated offers must be allocated to the same role."
                    f" Offer {offer_id} uses role '{offer.role} but another is using"
                    f" role '{first.role}"
                )
            if offer.agent_id != first.agent_id:
                return (
                    "Aggregated offers must belong to one single agent."
                    f" Offer {offer_id} uses agent {offer.agent_id} and agent {first.agent_id}"
                )
        return ""

    def _refuse_all(self, framework: Framework, tasks: Iterable[TaskOrder], why: str) -> None:
        message = f"Task launched with invalid offers: {why}"
        for order in tasks:
            state = framework.info.lost_state("TASK_DROPPED")
            self._refuse(framework, order, state, "REASON_INVALID_OFFERS", message)

    def _refuse(
        self, framework: Framework, order: TaskOrder, state: str, reason: str, message: str
    ) -> None:
        self.state.tell(
            TaskRefused(
                at=self.state.now,
                task_id=order.task_id,
                framework_id=framework.id,
                agent_id=order.agent_id,
                state=state,
                reason=reason,
                message=message,
            )
        )
        status = self._status(order.task_id, state, reason, message, order.agent_id)
        self.forwarding.send(framework, status)

    def _perform(self, framework: Framework, offers: list[Offer], call: Accept) -> None:
        agent = self.state.agents[offers[0].agent_id]
        role = offers[0].role
        offered = sum((offer.resources for offer in offers), Bundle())
        left = offered
        for operation in call.operations:
            if isinstance(operation, Conversion):
                left = self.operations.apply(framework, agent, operation, left, role)
                continue
            for order in operation.tasks:
                if self._refused(framework, agent, order, left, role):
                    continue
                left -= order.resources
                self._launch(framework, agent, order, role)
                self._tell_launch(framework, agent, order, call.offer_ids, offered)
        converted = left.beyond(offered)
        self.allocator.recover(framework, offers[0], converted, 0.0)  # not declined
        self.allocator.recover(framework, offers[0], left - converted, call.refuse_s)

    def _refused(
        self, framework: Framework, agent: AgentRecord, order: TaskOrder, left: Bundle, role: str
    ) -> bool:
        task_id = order.task_id
        why = task_problem(
            order,
            is_taken=task_id in framework.tasks or task_id in framework.unreachable_tasks,
            agent_id=agent.id,
            left=left,
            role=role,
        )
        if why:
            self._refuse(framework, order, "TASK_ERROR", "REASON_TASK_INVALID", why)
        return bool(why)

    def _launch(
        self, framework: Framework, agent: AgentRecord, order: TaskOrder, role: str
    ) -> None:
        task = Task(order=order, framework_id=framework.id, agent_id=agent.id, role=role)
        self.state.add_task(framework, task)
        agent.port.launch(Launch(order=order, framework=framework.info, role=role))

    def _tell_launch(
        self,
        framework: Framework,
        agent: AgentRecord,
        order: TaskOrder,
        offer_ids: tuple[str, ...],
        offered: Bundle,
    ) -> None:
        self.state.tell(
            TaskLaunched(
                at=self.state.now,
                task_id=order.task_id,
                framework_id=framework.id,
                agent_id=agent.id,
                hostname=agent.hostname,
                step=order.step,
                environment=order.environment,
                labels=order.labels,
                resources=order.resources,
                offer_ids=offer_ids,
                offered=offered,
            )
        )

    # ---- roles

    def revive(self, framework: Framework, call: Revive) -> None:
        roles = set(call.roles or framework.info.roles)
        framework.suppressed -= roles
        for key in [key for key in framework.filters if key[1] in roles]:
            del framework.filters[key]
        self.allocator.poke()

    def suppress(self, framework: Framework, call: Suppress) -> None:
        framework.suppressed |= set(call.roles or framework.info.roles)

    # ---- tasks

    def acknowledge(self, framework: Framework, call: Acknowledge) -> None:
        before = self.state.sent_uuids.get(call.uuid)
        if before is not None:
            self.state.sent_uuids[call.uuid] = before + 1
        self.state.tell(
            Acknowledged(
                at=self.state.now,
                framework_id=framework.id,
                task_id=call.task_id,
                agent_id=call.agent_id,
                uuid=call.uuid,
                known=before is not None,
                duplicate=bool(before),
            )
        )
        agent = self.state.agents.get(call.agent_id)
        if agent is None or not agent.connected:
            return
        task = framework.tasks.get(call.task_id)
        shown = task.shown if task is not None else None
        if task is not None and shown is not None and shown.uuid == call.uuid and shown.terminal:
            self.state.drop_task(task)
            framework.completed_tasks.append(task)
            self.allocator.next_tick()
        agent.port.acknowledge(framework.id, call.task_id, call.uuid)

    def kill(self, framework: Framework, call: Kill) -> None:
        task = framework.tasks.get(call.task_id)
        if task is None:
            self._reconcile_one(framework, call.task_id, call.agent_id)
            return
        agent = self.state.agents.get(task.agent_id)
        if agent is None or (call.agent_id and call.agent_id != task.agent_id):
            return
        if agent.connected:
            agent.port.kill(framework.id, call.task_id, call.grace_s)
        else:
            agent.kills[framework.id, call.task_id] = call.grace_s

    def shut_down(self, framework: Framework, call: Shutdown) -> None:
        agent = self.state.agents.get(call.agent_id)
        if agent is not None and agent.connected:
            agent.port.end_executor(framework.id, call.executor_id)

    def reconcile(self, framework: Framework, call: Reconcile) -> None:
        if not call.tasks:
            for task in tuple(framework.tasks.values()):
                if task.shown_state not in TERMINAL:
                    self._latest(framework, task)
            return
        for task_id, agent_id in call.tasks:
            self._reconcile_one(framework, task_id, agent_id)

    def _latest(self, framework: Framework, task: Task) -> None:
        status = self._status(
            task.order.task_id,
            task.shown_state,
            "REASON_RECONCILIATION",
            "Reconciliation: Latest task state",
            task.agent_id,
        )
        if task.shown is not None:
            status = attrs.evolve(
                status, container=task.shown.container, healthy=task.shown.healthy
            )
        self.forwarding.send(framework, status)

    def _reconcile_one(self, framework: Framework, task_id: str, agent_id: str) -> None:
        task = framework.tasks.get(task_id)
        if task is not None:
            self._latest(framework, task)
            return
        missing = self.state.recovered
        if agent_id in missing or (not agent_id and missing):
            return  # the agent may still come back with the task
        unreachable_at = self.state.unreachable.get(agent_id)
        if unreachable_at is not None:
            state, why = "TASK_UNREACHABLE", "Task is unreachable"
        elif agent_id in self.state.gone:
            state, why = "TASK_GONE_BY_OPERATOR", "Task is gone"
        elif agent_id in self.state.agents:
            state, why = "TASK_GONE", "Task is unknown to the agent"
        else:
            state, why = "TASK_UNKNOWN", "Task is unknown"
        status = self._status(
            task_id,
            framework.info.lost_state(state),
            "REASON_RECONCILIATION",
            f"Reconciliation: {why}",
            agent_id,
        )
        self.forwarding.send(framework, attrs.evolve(status, unreachable_at_s=unreachable_at))

    def _status(self, task_id: str, state: str, reason: str, message: str, agent_id: str) -> Status:
        """A status of the master's own: without a uuid, not to be acknowledged."""
        return Status(
            task_id=task_id,
            state=state,
            source="SOURCE_MASTER",
            at_s=self.state.now,
            agent_id=agent_id,
            reason=reason,
            message=message,
        )
