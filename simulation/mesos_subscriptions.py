"""Frameworks coming, going, and taking over from themselves."""

from __future__ import annotations

from typing import Final

import attrs

from simulation import mesos_json
from simulation.allocator import Allocator
from simulation.mesos_observed import StreamClosed, StreamOpened
from simulation.mesos_state import Framework, MasterState
from simulation.mesos_stream import EventStream
from simulation.mesos_validate import framework_problem, update_problem
from simulation.mesos_values import FrameworkInfo, Subscribe, UpdateFramework

HEARTBEAT_S: Final = 15.0
REMOVED: Final = "Framework has been removed"
FAILED_OVER: Final = "Framework failed over"


@attrs.define(eq=False)
class Subscriptions:
    """`stall_limit_s`: a reader that takes a chunk no sooner is taken for gone."""

    state: MasterState
    allocator: Allocator
    stall_limit_s: float = 1.0

    def subscribe(self, call: Subscribe) -> EventStream:
        stream = EventStream(self.state.new_uuid(), call.info.id, self._hung_up)
        why = self._refusal(call)
        if why:
            stream.send(mesos_json.error(why))
            stream.end()
            return stream
        framework, fresh = self._framework(call)
        stream.framework_id = framework.id
        active = framework.connected
        self._replace_stream(framework, stream)
        framework.suppressed = set(call.suppressed_roles)
        self.state.tell(
            StreamOpened(
                at=self.state.now,
                framework_id=framework.id,
                stream_id=stream.stream_id,
                fresh=fresh,
            )
        )
        self._welcome(framework, stream)
        self._inform_agents(framework)
        # A framework that took over from a live one waits for the next pass of the grid.
        if active:
            self.allocator.next_tick()
        else:
            self.allocator.poke()
        return stream

    def _refusal(self, call: Subscribe) -> str:
        if call.info.id in self.state.completed:
            return REMOVED
        known = self.state.frameworks.get(call.info.id)
        if known is not None and self._principal_changed(known.info, call.info):
            return "Changing framework's principal is not allowed."
        return framework_problem(call.info, call.suppressed_roles)

    def _principal_changed(self, old: FrameworkInfo, new: FrameworkInfo) -> bool:
        return self.state.version_tuple >= (1, 9) and old.principal != new.principal

    def _framework(self, call: Subscribe) -> tuple[Framework, bool]:
        now = self.state.now
        known = self.state.frameworks.get(call.info.id)
        if known is not None:
            if known.failover_timer is not None:
                known.failover_timer.cancel()
            known.info = self._merged(known.info, call.info)
            known.reregistered_at, known.recovered = now, False
            return known, False
        fresh = not call.info.id
        info = attrs.evolve(call.info, id=self.state.new_framework_id()) if fresh else call.info
        framework = Framework(info=info, registered_at=now, reregistered_at=now)
        self.state.frameworks[framework.id] = framework
        return framework, fresh

    def _merged(self, old: FrameworkInfo, new: FrameworkInfo) -> FrameworkInfo:
        """What a re-subscription may change; roles not before 1.3."""
        roles = new.roles if self.state.version_tuple >= (1, 3) else old.roles
        return attrs.evolve(
            new, user=old.user, checkpoint=old.checkpoint, principal=old.principal, roles=roles
        )

    def _replace_stream(self, framework: Framework, stream: EventStream) -> None:
        old = framework.stream
        if old is not None and old.open:
            old.send(mesos_json.error(FAILED_OVER))
            old.end()
            self._closed(framework, old, FAILED_OVER)
        self.state.void(framework, FAILED_OVER)
        framework.stream = stream

    def _welcome(self, framework: Framework, stream: EventStream) -> None:
        info = None
        if self.state.version_tuple >= (1, 1):
            info = mesos_json.master_info(self.state.id, self.state.address, self.state.version)
        stream.send(mesos_json.subscribed(framework.id, info))
        stream.send(mesos_json.HEARTBEAT)
        self._plan_heartbeat(framework, stream)

    def _inform_agents(self, framework: Framework) -> None:
        """Those with tasks of it: they send open updates again, at once."""
        for agent_id in {task.agent_id: None for task in framework.tasks.values()}:
            if (agent := self.state.agents.get(agent_id)) is not None:
                agent.port.framework_changed(framework.id)

    def _plan_heartbeat(self, framework: Framework, stream: EventStream) -> None:
        if framework.heartbeat_timer is not None:
            framework.heartbeat_timer.cancel()
        framework.heartbeat_timer = self.state.timers.later(
            HEARTBEAT_S, lambda: self._heartbeat(framework, stream)
        )

    def _heartbeat(self, framework: Framework, stream: EventStream) -> None:
        if framework.stream is not stream or not stream.open:
            return
        if stream.stalled_s() > self.stall_limit_s:
            stream.gone()
            return
        stream.send(mesos_json.HEARTBEAT)
        self._plan_heartbeat(framework, stream)

    # ---- endings

    def _closed(self, framework: Framework, stream: EventStream, why: str) -> None:
        self.state.tell(
            StreamClosed(
                at=self.state.now,
                framework_id=framework.id,
                stream_id=stream.stream_id,
                why=why,
            )
        )

    def _hung_up(self, stream: EventStream) -> None:
        framework = self.state.frameworks.get(stream.framework_id)
        if framework is not None and framework.stream is stream:
            self.disconnect(framework, "the reader hung up")

    def disconnect(self, framework: Framework, why: str) -> None:
        """The stream is no more: offers and filters go, `failover_timeout` starts."""
        stream = framework.stream
        framework.stream = None
        if stream is not None:
            self._closed(framework, stream, why)
        self.state.void(framework, "the framework is disconnected")
        framework.filters.clear()
        framework.inverse_filters.clear()
        self.allocator.next_tick()
        timeout_s = max(framework.info.failover_timeout_s, 0.0)
        framework.failover_timer = self.state.timers.later(
            timeout_s, lambda: self.remove(framework, "failover_timeout is over")
        )

    def cut(self, framework: Framework, why: str, *, mid_record: bool = False) -> None:
        """The connection breaks, and the master notices at once."""
        if framework.stream is not None:
            framework.stream.cut(mid_record=mid_record)
            self.disconnect(framework, why)

    def remove(self, framework: Framework, why: str) -> None:
        """The framework and all its tasks end; its id is never accepted again."""
        if self.state.frameworks.get(framework.id) is not framework:
            return
        self.state.void(framework, why)
        for timer in (framework.failover_timer, framework.heartbeat_timer):
            if timer is not None:
                timer.cancel()
        for task in tuple(framework.tasks.values()):
            self.state.drop_task(task)
            framework.completed_tasks.append(task)
        for agent in self.state.agents.values():
            agent.port.end_framework(framework.id)
        if framework.stream is not None:
            framework.stream.end()
            self._closed(framework, framework.stream, why)
            framework.stream = None
        self.state.complete(framework, why)
        self.allocator.next_tick()

    # ---- changes

    def update(self, framework: Framework, call: UpdateFramework) -> str:
        """UPDATE_FRAMEWORK: why it is refused, or "" when it is done."""
        why = update_problem(framework.info, call.info, call.suppressed_roles)
        if why:
            return why
        if framework.info != call.info:
            self._inform_agents(framework)
        framework.info = call.info
        framework.suppressed = set(call.suppressed_roles)
        self.state.rescind(
            one for one in framework.offers.values() if one.role not in call.info.roles
        )
        self.allocator.poke()
        self.allocator.next_tick()
        return ""
