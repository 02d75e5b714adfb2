"""UPDATE events on their way to a framework, with the dials that disturb them."""

from __future__ import annotations

import attrs

from simulation import mesos_json
from simulation.mesos_observed import UpdateSent
from simulation.mesos_state import Framework, MasterState
from simulation.mesos_values import Status


@attrs.define(eq=False)
class Forwarding:
    """The counters say how many of the next updates with a uuid are disturbed in that way."""

    state: MasterState
    duplicates: int = 0
    late: int = 0
    late_s: float = 0.0
    reorders: int = 0
    replays: int = 0
    _held: list[tuple[Framework, Status]] = attrs.field(factory=list, init=False)
    _before: dict[tuple[str, str], Status] = attrs.field(factory=dict, init=False)

    def send(self, framework: Framework, status: Status) -> None:
        if not status.uuid:
            self._put(framework, status)
        elif self.late > 0:
            self.late -= 1
            generation = self.state.generation
            self.state.timers.later(
                self.late_s, lambda: self._put_late(framework, status, generation)
            )
        elif self.reorders > 0:
            self.reorders -= 1
            self._held.append((framework, status))
        else:
            self._send_plainly(framework, status)

    def _send_plainly(self, framework: Framework, status: Status) -> None:
        self._put(framework, status)
        if self.duplicates > 0:
            self.duplicates -= 1
            self._put(framework, status)
        key = (framework.id, status.task_id)
        old = self._before.get(key)
        if self.replays > 0 and old is not None:
            self.replays -= 1
            self._put(framework, old)
        if status.terminal:
            self._before.pop(key, None)
        else:
            self._before[key] = status
        held, self._held = self._held, []
        for pair in held:
            self._put(*pair)

    def _put_late(self, framework: Framework, status: Status, generation: int) -> None:
        if generation == self.state.generation:
            self._put(framework, status)

    def _put(self, framework: Framework, status: Status) -> None:
        if not framework.connected or self.state.frameworks.get(framework.id) is not framework:
            return
        self.state.send(framework, mesos_json.update(status))
        again = status.uuid in self.state.sent_uuids
        if status.uuid and not again:
            self.state.sent_uuids[status.uuid] = 0
        self.state.tell(
            UpdateSent(
                at=self.state.now,
                framework_id=framework.id,
                task_id=status.task_id,
                agent_id=status.agent_id,
                state=status.state,
                reason=status.reason,
                uuid=status.uuid,
                again=again,
            )
        )

    def forget(self) -> None:
        """Another master leads: what was held here is lost (agents send it again)."""
        self._held.clear()
        self._before.clear()
