"""The fault dials of the simulated Mesos: synchronous, to be turned at any moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from simulation.mesos_agent import SimulatedAgent
from simulation.mesos_forwarding import Forwarding
from simulation.mesos_master import MasterFront
from simulation.mesos_observed import FaultInjected
from simulation.mesos_registrar import REREGISTER_TIMEOUT_S
from simulation.mesos_state import Window
from simulation.mesos_values import TERMINAL, Unavailability

if TYPE_CHECKING:
    from simulation.mesos import SimulatedMesos

LEAVES_FOR_S: Final = 5.0


@attrs.define(eq=False)
class Faults:
    """Hosts are named by hostname. Methods with `for_s` undo themselves after that time."""

    mesos: SimulatedMesos
    forwarding: Forwarding
    _reboots: dict[str, int] = attrs.field(factory=dict, init=False)  # host -> how many so far

    def _tell(self, fault: str, target: str = "") -> None:
        state = self.mesos.state
        state.tell(FaultInjected(at=state.now, fault=fault, target=target))

    # ---- the stream

    def drop_stream(self, *, mid_record: bool = False) -> None:
        """Every subscription breaks; `mid_record` with half a record on its way."""
        self._tell("drop_stream", "mid_record" if mid_record else "")
        for framework in tuple(self.mesos.state.frameworks.values()):
            self.mesos.master.subscriptions.cut(framework, "cut by a fault", mid_record=mid_record)

    def mute_stream(self) -> None:
        """Nothing arrives on the present subscriptions any more, not even heartbeats."""
        self._tell("mute_stream")
        for framework in self.mesos.state.frameworks.values():
            if framework.stream is not None:
                framework.stream.muted = True

    def garbage_next(self, count: int = 1) -> None:
        """The next answers, streams included, are not what Mesos sends."""
        self._tell("garbage_next", str(count))
        self.mesos.master.dials.garbage += count

    def garbage_on_stream(self) -> None:
        """Bytes that are no RecordIO, in the middle of the present subscriptions."""
        self._tell("garbage_on_stream")
        for framework in self.mesos.state.frameworks.values():
            if framework.stream is not None:
                framework.stream.send_raw(b"<html>\n")

    # ---- calls

    def lose_next_calls(self, count: int, *kinds: str) -> None:
        """Answered 202 and forgotten; only calls of these kinds (ACKNOWLEDGE, ...), if named.

        The master goes on to hold the offers of a lost ACCEPT or DECLINE, as long as the
        stream lives.
        """
        self._tell("lose_next_calls", f"{count} {' '.join(kinds)}".strip())
        self.mesos.master.dials.lose += count
        self.mesos.master.dials.lose_kinds = frozenset(kinds)

    def slow_next_calls(self, count: int, delay_s: float) -> None:
        self._tell("slow_next_calls", f"{count} by {delay_s:g} s")
        self.mesos.master.dials.slow += count
        self.mesos.master.dials.slow_s = delay_s

    # ---- updates and offers

    def duplicate_next_updates(self, count: int) -> None:
        self._tell("duplicate_next_updates", str(count))
        self.forwarding.duplicates += count

    def delay_next_updates(self, count: int, delay_s: float) -> None:
        self._tell("delay_next_updates", f"{count} by {delay_s:g} s")
        self.forwarding.late += count
        self.forwarding.late_s = delay_s

    def reorder_next_updates(self, count: int) -> None:
        """They arrive after the next one that is not held (or are lost, and sent again)."""
        self._tell("reorder_next_updates", str(count))
        self.forwarding.reorders += count

    def replay_next_updates(self, count: int) -> None:
        """After an update, the same task's update before it comes once more."""
        self._tell("replay_next_updates", str(count))
        self.forwarding.replays += count

    def rescind(self, target: str) -> int:
        """Rescind an offer by its id, or all offers of a host; tells how many there were."""
        self._tell("rescind", target)
        state = self.mesos.state
        offers = [
            offer
            for framework in state.frameworks.values()
            for offer in framework.offers.values()
            if target in {offer.id, offer.agent_id, self._hostname(offer.agent_id)}
        ]
        state.rescind(offers)
        self.mesos.allocator.next_tick()
        return len(offers)

    def _hostname(self, agent_id: str) -> str:
        record = self.mesos.state.agents.get(agent_id)
        return "" if record is None else record.hostname

    # ---- masters

    def busy(self, for_s: float) -> None:
        """The leader answers 503 for a while, and keeps its streams."""
        front = self.mesos.leader
        if front is not None:
            self._tell("busy", f"{for_s:g} s")
            front.status = "recovering"
            self.mesos.timers.later(for_s, lambda: self._resume(front))

    def _resume(self, front: MasterFront) -> None:
        if front.status == "recovering" and self.mesos.state.leading:
            front.status = "leading"

    def master_failover(
        self, *, down_s: float = 5.0, recover_s: float = 2.0, agents_within_s: float = 30.0
    ) -> None:
        """The leader dies, and another master takes its place (itself, when it is the only one).

        It is elected after `down_s`, answers 503 for `recover_s`, and leads; the agents come
        back within `agents_within_s` after that.
        """
        if not self.mesos.state.leading:
            return
        self._tell("master_failover")
        self.master_down()
        self.mesos.timers.later(
            down_s,
            lambda: self.master_up(recover_s=recover_s, agents_within_s=agents_within_s),
        )

    def master_down(self) -> None:
        """The leader dies, and nobody leads until `master_up`."""
        mesos, state = self.mesos, self.mesos.state
        old = next(front for front in mesos.fronts if front.address == state.address)
        new = mesos.fronts[(mesos.fronts.index(old) + 1) % len(mesos.fronts)]
        for framework in tuple(state.frameworks.values()):
            mesos.master.subscriptions.cut(framework, "the master died")
        state.leading = False
        state.forget(new.address)
        mesos.allocator.forget()
        self.forwarding.forget()
        for agent in mesos.agents.values():
            agent.lose_master()
        for front in mesos.fronts:
            front.status = "electing"
        old.status = "down"
        mesos.close(old.address)

    def master_up(self, *, recover_s: float = 2.0, agents_within_s: float = 30.0) -> None:
        """The next master is elected; one that died stands by."""
        for front in self.mesos.fronts:
            self.mesos.open(front.address)
            front.status = "standby"
        leader = self.mesos.state.address
        new = next(front for front in self.mesos.fronts if front.address == leader)
        new.status = "recovering"
        self.mesos.timers.later(recover_s, lambda: self._lead(new, agents_within_s))

    def _lead(self, new: MasterFront, agents_within_s: float) -> None:
        state = self.mesos.state
        new.status = "leading"
        state.leading = True
        state.started_at = state.now
        generation = state.generation
        for agent in self.mesos.agents.values():
            agent.find_master(agents_within_s)
        self.mesos.timers.later(
            REREGISTER_TIMEOUT_S, lambda: self.mesos.registrar.expire_recovered(generation)
        )

    def remove_framework(self, framework_id: str) -> None:
        """What an operator's TEARDOWN does."""
        self._tell("remove_framework", framework_id)
        framework = self.mesos.state.frameworks[framework_id]
        self.mesos.master.subscriptions.remove(framework, "removed by an operator")

    # ---- agents

    def _agent(self, hostname: str) -> SimulatedAgent:
        return self.mesos.agents[hostname]

    def agent_down(self, hostname: str) -> None:
        """The agent process is killed; executors live on."""
        self._tell("agent_down", hostname)
        self._agent(hostname).crash()
        self.mesos.close(self._agent(hostname).address)

    def agent_up(self, hostname: str, *, new_id: bool = False) -> None:
        """It starts again; `new_id`: its identity was wiped, running tasks end unseen."""
        agent = self._agent(hostname)
        if agent.up:
            return
        self._tell("agent_up", f"{hostname} new id" if new_id else hostname)
        if new_id:
            agent.forget_identity()
        self.mesos.open(agent.address)
        agent.start()

    def agent_restart(self, hostname: str, *, down_s: float = 5.0, new_id: bool = False) -> None:
        """Nothing where the agent is down already."""
        if self._agent(hostname).up:
            self.agent_down(hostname)
            self._up_later(hostname, down_s, new_id=new_id)

    def _up_later(self, hostname: str, down_s: float, *, new_id: bool) -> None:
        """Unless the host goes down (again) meanwhile: its boot then starts the agent."""
        reboots = self._reboots.get(hostname, 0)

        def up() -> None:
            if self._reboots.get(hostname, 0) == reboots:
                self.agent_up(hostname, new_id=new_id)

        self.mesos.timers.later(down_s, up)

    def reboot(self, hostname: str, *, down_s: float = 60.0, new_id: bool = False) -> None:
        """The whole host goes down, and comes back after `down_s`."""
        self._tell("reboot", hostname)
        self._reboots[hostname] = self._reboots.get(hostname, 0) + 1
        self._agent(hostname).reboot()
        self.mesos.close(self._agent(hostname).address)
        self._up_later(hostname, down_s, new_id=new_id)

    def agent_leaves(self, hostname: str, *, for_s: float = LEAVES_FOR_S) -> None:
        """A clean unregistration; it comes back with the same id, and without its tasks."""
        self._tell("agent_leaves", hostname)
        self._agent(hostname).leave()
        self.mesos.close(self._agent(hostname).address)
        self._up_later(hostname, for_s, new_id=False)

    def partition(self, hostname: str, *, for_s: float) -> None:
        """No message passes between master and agent; executors and health checks go on."""
        self._tell("partition", hostname)
        agent = self._agent(hostname)
        agent.partition()
        limit_s = self.mesos.registrar.ping_timeout_s
        self.mesos.timers.later(for_s, lambda: agent.heal(limit_s))

    def close_sandbox(self, hostname: str, *, closed: bool = True) -> None:
        self._tell("close_sandbox", hostname)
        self.mesos.agent_http[hostname].closed = closed

    def maintenance(
        self, hostname: str, *, start_s: float, duration_s: float | None = None
    ) -> None:
        """A window that starts at simulated time `start_s`."""
        self._tell("maintenance", hostname)
        record = self.mesos.state.agents[self._agent(hostname).agent_id]
        window = Window((record.machine,), Unavailability.at(start_s, duration_s))
        others = [one for one in self.mesos.state.schedule if record.machine not in one.machines]
        self.mesos.maintenance.post((*others, window))

    # ---- tasks

    def task_fails_next(self, hostname: str, exit_code: int) -> None:
        """The next task launched there ends with that code; its step has no effect."""
        self._tell("task_fails_next", hostname)
        self._agent(hostname).fail_next.append(exit_code)

    def task_lost(self, hostname: str) -> int:
        """Executors of that host's running tasks die; tells how many."""
        self._tell("task_lost", hostname)
        agent = self._agent(hostname)
        keys = [key for key, task in agent.tasks.items() if task.state not in TERMINAL]
        return sum(agent.kill_executor(key) for key in keys)
