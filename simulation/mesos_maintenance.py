"""Maintenance: windows that operators schedule, and the inverse offers that come of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from simulation import mesos_json
from simulation.allocator import Allocator
from simulation.mesos_fields import CallError, JsonObject, inner, items, number, objects, text
from simulation.mesos_registrar import Registrar
from simulation.mesos_state import AgentRecord, Framework, MasterState, Window
from simulation.mesos_values import AnswerInverseOffers, MachineId, Unavailability

DOWN: Final = "Operator initiated 'Machine DOWN'"


@attrs.define(eq=False)
class Maintenance:
    state: MasterState
    allocator: Allocator
    registrar: Registrar

    # ---- operators

    def update_schedule(self, body: JsonObject) -> None:
        """The schedule is replaced as a whole; every agent's offers are made anew."""
        windows = [_window(one) for one in objects(inner(body, "schedule"), "windows")]
        _refuse_twice(machine for window in windows for machine in window.machines)
        kept = {machine for window in windows for machine in window.machines}
        for machine in sorted(self.state.down - kept, key=lambda one: one.hostname):
            why = "is deactivated and cannot be removed from the schedule"
            raise CallError(f"{_shown(machine)} {why}")
        self.post(tuple(windows))

    def post(self, windows: tuple[Window, ...]) -> None:
        self.state.schedule = windows
        for agent in self.state.agents.values():
            agent.unavailability = self.state.scheduled(agent.machine)
            self.state.rescind(agent.offers.values())
            self.state.rescind_inverse(agent)
        self.allocator.poke()

    def start(self, body: JsonObject) -> None:
        """START_MAINTENANCE: agents on these machines are shut down."""
        machines = _machines(body)
        for machine in machines:
            if self.state.scheduled(machine) is None or machine in self.state.down:
                raise CallError(
                    f"{_shown(machine)} is not in DRAINING mode and cannot be brought down"
                )
        self.state.down.update(machines)
        for agent in tuple(self.state.agents.values()):
            if agent.machine in machines:
                agent.port.shut_down()
                self.registrar.remove(agent, DOWN)

    def stop(self, body: JsonObject) -> None:
        """STOP_MAINTENANCE: these machines are up again, and out of the schedule."""
        machines = _machines(body)
        for machine in machines:
            if machine not in self.state.down:
                raise CallError(f"{_shown(machine)} is not in DOWN mode and cannot be brought up")
        self.state.down.difference_update(machines)
        left = []
        for window in self.state.schedule:
            kept = tuple(one for one in window.machines if one not in machines)
            if kept:
                left.append(attrs.evolve(window, machines=kept))
        self.state.schedule = tuple(left)

    def schedule(self) -> JsonObject:
        windows = [
            {
                "machine_ids": [machine.json for machine in window.machines],
                "unavailability": mesos_json.unavailability(window.unavailability),
            }
            for window in self.state.schedule
        ]
        return {"schedule": {"windows": windows} if windows else {}}

    def status(self) -> JsonObject:
        machines = [machine for window in self.state.schedule for machine in window.machines]
        draining = [self._draining(one) for one in machines if one not in self.state.down]
        down = [one.json for one in machines if one in self.state.down]
        parts = (("draining_machines", draining), ("down_machines", down))
        return {"status": {name: rows for name, rows in parts if rows}}

    def _draining(self, machine: MachineId) -> JsonObject:
        agents = [one for one in self.state.agents.values() if one.machine == machine]
        answers = [
            {
                "status": "ACCEPT" if accepted else "DECLINE",
                "framework_id": mesos_json.named(framework_id),
                "timestamp": mesos_json.nanoseconds(at),
            }
            for agent in agents
            for framework_id, (accepted, at) in agent.answers.items()
        ]
        return {"id": machine.json, **({"statuses": answers} if answers else {})}

    # ---- frameworks

    def answer(self, framework: Framework, call: AnswerInverseOffers) -> None:
        """Unknown ids are passed over."""
        for offer_id in call.ids:
            agent_id = framework.inverse_offers.pop(offer_id, None)
            agent = None if agent_id is None else self.state.agents.get(agent_id)
            if agent is None:
                continue
            agent.answers[framework.id] = (call.accepted, self.state.now)
            self._filter(framework, agent, call.refuse_s)

    def _filter(self, framework: Framework, agent: AgentRecord, refuse_s: float) -> None:
        self.allocator.next_tick()
        if refuse_s > 0:
            until = self.state.now + max(refuse_s, self.allocator.interval_s)
            framework.inverse_filters[agent.id] = until
            self.allocator.next_tick(until)


def _window(of: JsonObject) -> Window:
    machines = tuple(_machine(one) for one in objects(of, "machine_ids"))
    if not machines:
        raise CallError("List of machines in the maintenance window is empty")
    when = inner(of, "unavailability")
    start_ns = int(number(inner(when, "start"), "nanoseconds", 0))
    if when.get("duration") is None:
        return Window(machines, Unavailability(start_ns))
    duration_ns = int(number(inner(when, "duration"), "nanoseconds", 0))
    if duration_ns < 0:
        raise CallError("Unavailability 'duration' is negative")
    return Window(machines, Unavailability(start_ns, duration_ns))


def _machine(of: JsonObject) -> MachineId:
    machine = MachineId(text(of, "hostname").lower(), text(of, "ip"))
    if machine == MachineId():
        raise CallError("Both 'hostname' and 'ip' for a machine are empty")
    return machine


def _machines(body: JsonObject) -> tuple[MachineId, ...]:
    if not items(body, "machines"):
        raise CallError("List of machines is empty")
    return tuple(_machine(one) for one in objects(body, "machines"))


def _refuse_twice(machines: Iterable[MachineId]) -> None:
    seen: set[MachineId] = set()
    for machine in machines:
        if machine in seen:
            raise CallError(f"{_shown(machine)} appears more than once in the schedule")
        seen.add(machine)


def _shown(machine: MachineId) -> str:
    return f"Machine '{mesos_json.encode(machine.json).decode()}'"
