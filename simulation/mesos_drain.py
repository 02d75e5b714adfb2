"""Agents that operators deactivate, drain, or declare gone."""

from __future__ import annotations

import attrs

from simulation.mesos_ports import DrainOrder
from simulation.mesos_registrar import Registrar
from simulation.mesos_state import AgentRecord, Drain, MasterState


@attrs.define(eq=False)
class Draining:
    state: MasterState
    registrar: Registrar

    def __attrs_post_init__(self) -> None:
        self.state.emptied = self._drained

    def deactivate(self, record: AgentRecord) -> None:
        """It offers nothing; its tasks run on."""
        self.registrar.set_offering([record], deactivated=True)

    def reactivate(self, record: AgentRecord) -> str:
        """Why not, or ""."""
        if not record.deactivated:
            return "Agent is not deactivated"
        if record.drain is not None and not record.drain.over:
            return "Agent is still in the DRAINING state"
        record.drain = None
        self.registrar.set_offering([record], deactivated=False)
        return ""

    def drain(self, record: AgentRecord, order: DrainOrder) -> None:
        """Its tasks are killed; when the last has ended, and that is known, it is drained."""
        record.drain = Drain(began_at=self.state.now, order=order)
        self.deactivate(record)
        record.port.drain(order)
        if not record.tasks:
            self._drained(record)

    def _drained(self, record: AgentRecord) -> None:
        if record.drain is not None:
            record.drain.over = True
            if record.drain.order.mark_gone:
                self.mark_gone(record.id)

    def mark_gone(self, agent_id: str) -> bool:
        """For good. False when no such agent was ever known."""
        state = self.state
        if agent_id in state.gone:
            return True
        known = agent_id in state.agents or agent_id in state.recovered
        if not known and agent_id not in state.unreachable:
            return False
        state.gone.add(agent_id)
        state.unreachable.pop(agent_id, None)
        state.recovered.pop(agent_id, None)
        self.registrar.forget_gone(agent_id)
        return True
