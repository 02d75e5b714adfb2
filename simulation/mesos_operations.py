"""RESERVE and UNRESERVE: resources change their owner, and frameworks that ask are told."""

from __future__ import annotations

import attrs

from simulation import mesos_json
from simulation.mesos_agent import LINK_S
from simulation.mesos_json import JsonObject
from simulation.mesos_resources import Bundle
from simulation.mesos_state import AgentRecord, Framework, MasterState, OperationRecord
from simulation.mesos_values import AcknowledgeOperation, Conversion, ReconcileOperations

UNKNOWN = "Reconciliation: Operation is unknown and no 'agent_id' was provided"


@attrs.define(eq=False)
class Operations:
    """Only operations with an id are told of, as in Mesos. Such news is not sent again."""

    state: MasterState

    def apply(
        self, framework: Framework, agent: AgentRecord, call: Conversion, left: Bundle, role: str
    ) -> Bundle:
        """What is left of the offers afterwards: the same amounts, or all as before."""
        plain = call.resources.without_dynamic()
        taken, given = plain, call.resources
        if call.kind == "UNRESERVE":
            taken, given = given, taken
        if not left.contains(taken):
            self._refused(framework, call, f"{left.text(role)} does not contain {taken.text(role)}")
            return left
        agent.total = agent.total - taken + given
        agent.port.convert(taken, given)
        if call.operation_id:
            self._done(framework, agent, call.operation_id)
        return left - taken + given

    def _refused(self, framework: Framework, call: Conversion, why: str) -> None:
        if call.operation_id:
            self._tell(
                framework,
                operation_id=mesos_json.named(call.operation_id),
                state="OPERATION_ERROR",
                message=why,
            )

    def _done(self, framework: Framework, agent: AgentRecord, operation_id: str) -> None:
        uuid = self.state.new_wire_uuid()
        record = OperationRecord(operation_id=operation_id, agent_id=agent.id, uuid=uuid)
        framework.operations[operation_id] = record
        # The agent says so: there and back again.
        self.state.timers.later(2 * LINK_S, lambda: self._finished(framework, record, uuid))

    def _finished(self, framework: Framework, record: OperationRecord, uuid: str = "") -> None:
        reliable = {"uuid": mesos_json.named(uuid)} if uuid else {}
        self._tell(
            framework,
            operation_id=mesos_json.named(record.operation_id),
            state="OPERATION_FINISHED",
            agent_id=mesos_json.named(record.agent_id),
            **reliable,
        )

    def acknowledge(self, framework: Framework, call: AcknowledgeOperation) -> None:
        framework.operations.pop(call.operation_id, None)

    def reconcile(self, framework: Framework, call: ReconcileOperations) -> None:
        asked = call.operation_ids or tuple(framework.operations)
        for operation_id in asked:
            record = framework.operations.get(operation_id)
            if record is not None:
                self._finished(framework, record)
                continue
            self._tell(
                framework,
                operation_id=mesos_json.named(operation_id),
                state="OPERATION_UNKNOWN",
                message=UNKNOWN,
            )

    def _tell(self, framework: Framework, **status: str | JsonObject) -> None:
        self.state.send(framework, mesos_json.operation_update(status))
