"""The promises of DESIGN, each a named checker that sees every simulated event.

A checker never asks the product; it compares what the world did with what was promised, and
with the records that were stored. `counts` says how often each promise was put to the test.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import attrs

from domain.agent import AgentRecord, Phase, TaskState
from simulation.gateway_model import pool_health
from simulation.host import SimulatedHost
from simulation.mesos_observed import (
    Acknowledged,
    FaultInjected,
    OfferAnswered,
    OfferMade,
    OfferRescinded,
    OfferVoided,
    TaskChanged,
    TaskLaunched,
    TaskRefused,
    UpdateSent,
)
from simulation.mesos_resources import Key
from simulation.promises import (
    ACKNOWLEDGED,
    ANSWERED,
    ARRIVES,
    DEBTS,
    FAULT_UNIT,
    HEALTHY,
    NO_DATA,
    NO_SECRET,
    NOT_TWICE,
    ONE_TASK,
    ORDER,
    OWN_HOST_LAST,
    STANDS_STILL,
    WITHIN,
    Book,
    Violation,
)
from simulation.watch_cluster import ClusterWatch
from simulation.watch_link import LinkWatch
from simulation.watch_pace import PaceWatch
from simulation.watch_shown import ShownWatch
from simulation.world import DeviceTaken, HostEvent, World, WorldEvent

OFFER_PATIENCE_S: Final = 10.0
# What the world does to calls and events on their way; the offers of that time may go unanswered.
DEAFENING: Final = frozenset(
    {"mute_stream", "busy", "slow_next_calls", "lose_next_calls", "garbage_next"}
)
DEAF_S: Final = 300.0
INSTALLS: Final = ("prerequisites", "sds", "sdc", "rexray", "isolator")
NOT_COMING: Final = (Phase.FAILED, Phase.HELD, Phase.LOST, Phase.RETIRED)
ALIVE: Final = ("TASK_STARTING", "TASK_RUNNING", "TASK_STAGING", "TASK_KILLING")


@attrs.define
class Checkers:
    """One set per run; it outlives the schedulers that crash under it."""

    world: World
    secrets: tuple[str, ...] = ()
    own_address: str = ""
    book: Book = attrs.field(factory=Book)
    link: LinkWatch = attrs.field(init=False)
    shown: ShownWatch = attrs.field(init=False)
    _cluster: ClusterWatch = attrs.field(init=False)
    _pace: PaceWatch = attrs.field(init=False)
    _deaf_until: float = float("-inf")
    _running: dict[str, set[str]] = attrs.field(factory=dict)  # host -> tasks, keeper aside
    _offers: OrderedDict[str, float] = attrs.field(factory=OrderedDict)
    _answered: set[str] = attrs.field(factory=set)
    _sent: dict[str, int] = attrs.field(factory=dict)  # uuid -> times sent
    _acked: dict[str, int] = attrs.field(factory=dict)
    _states: dict[str, tuple[str, str]] = attrs.field(factory=dict)  # uuid -> (host, state)
    _records: dict[str, AgentRecord] = attrs.field(factory=dict)
    _down: set[str] = attrs.field(factory=set)  # hosts that are down on our account
    _commands: set[str] = attrs.field(factory=set)  # hosts that an operator spoke to

    def __attrs_post_init__(self) -> None:
        self.link = LinkWatch(self.book)
        self.shown = ShownWatch(self.book)
        self._cluster = ClusterWatch(self.book, self.world)
        self._pace = PaceWatch(self.book, self.world)

    @property
    def violations(self) -> list[Violation]:
        return self.book.violations

    @property
    def counts(self) -> dict[str, int]:
        return self.book.counts

    def check(self, invariant: str, holds: object, text: str) -> None:
        self.book.check(invariant, holds, text)

    # -- what the world did --------------------------------------------------------------------

    def saw(self, event: WorldEvent) -> None:
        self.book.now = event.at
        self._late_offers()
        self._look_on(event)
        self.link.saw(event)
        self._cluster.saw(event)
        self._pace.saw(event)
        self.shown.passes()

    def _look_on(self, event: WorldEvent) -> None:
        match event:
            case TaskChanged():
                self._task_changed(event)
            case TaskLaunched():
                self._launched(event)
            case TaskRefused():
                more = "more than available" in event.message
                self.check(WITHIN, not more, f"{event.task_id}: {event.message}")
            case OfferMade():
                self._offer_made(event)
            case OfferAnswered():
                self._offer_answered(event)
            case OfferRescinded() | OfferVoided():
                self._offers.pop(event.offer_id, None)
            case UpdateSent() if event.uuid:
                self._sent[event.uuid] = self._sent.get(event.uuid, 0) + 1
                self._states[event.uuid] = (self._host_of(event.task_id), event.state)
            case Acknowledged():
                self._acknowledged(event)
            case FaultInjected() if event.fault in DEAFENING:
                self._offers.clear()
                self._deaf_until = event.at + DEAF_S
            case HostEvent():
                self._host(event)
            case DeviceTaken():
                self.check(NO_DATA, not event.data, f"{event.host} {event.path}: {event.data}")
            case _:
                pass

    def _offer_made(self, event: OfferMade) -> None:
        if event.at >= self._deaf_until:
            self._offers[event.offer_id] = event.at

    def _late_offers(self) -> None:
        while self._offers:
            offer_id, made = next(iter(self._offers.items()))
            if self.book.now - made <= OFFER_PATIENCE_S:
                return
            del self._offers[offer_id]
            self.check(ANSWERED, holds=False, text=f"{offer_id} was not answered in 10 s")

    def _offer_answered(self, event: OfferAnswered) -> None:
        again = event.offer_id in self._answered
        self._offers.pop(event.offer_id, None)
        self._answered.add(event.offer_id)
        self.check(ANSWERED, not again, f"{event.offer_id} was answered again ({event.by})")

    def _task_changed(self, event: TaskChanged) -> None:
        if event.step == "keeper":
            return
        here = self._running.setdefault(event.hostname, set())
        if not event.running:
            here.discard(event.task_id)
            return
        here.add(event.task_id)
        self.check(ONE_TASK, len(here) == 1, f"{event.hostname} runs {sorted(here)} at once")

    def _launched(self, event: TaskLaunched) -> None:
        self.check(
            WITHIN,
            _fits(event.resources.scalars, event.offered.scalars),
            f"{event.task_id} takes {event.resources}, offered was {event.offered}",
        )
        self.secret_free(
            f"task {event.task_id}", repr((dict(event.environment), dict(event.labels)))
        )
        host = self.world.hosts[event.hostname]
        if event.step in INSTALLS and host.up:  # a task for one that is down never begins there
            self._install(event, host)

    def _install(self, event: TaskLaunched, host: SimulatedHost) -> None:
        before = INSTALLS[: INSTALLS.index(event.step)]
        needed = [s for s in before if s != "sds" or self._provides(event.hostname)]
        missing = [s for s in needed if not is_installed(host, s)]
        self.check(ORDER, not missing, f"{event.task_id} starts without {missing}")
        # What only half a task brought may be there by chance; that is nobody's to know.
        done = event.step in host.ended_well and is_installed(host, event.step)
        self.check(
            NOT_TWICE,
            not done,
            f"{event.task_id}: step {event.step} was done on {event.hostname} already",
        )

    def _provides(self, host: str) -> bool:
        return any(disk.mounted_at != "/" for disk in self.world.hosts[host].disks)

    def _acknowledged(self, event: Acknowledged) -> None:
        self._acked[event.uuid] = self._acked.get(event.uuid, 0) + 1
        once = event.known and self._acked[event.uuid] <= self._sent.get(event.uuid, 0)
        self.check(ACKNOWLEDGED, once, f"{event.task_id}: {event.uuid} acknowledged too often")
        host, state = self._states.get(event.uuid, ("", ""))
        record = self._records.get(host)
        if record is not None:
            stored = _is_stored(record, event.task_id, state)
            text = f"{event.task_id}: {state} was acknowledged, but is not stored"
            self.check(ACKNOWLEDGED, stored, text)

    def _host_of(self, task_id: str) -> str:
        return task_id.rsplit(".", 3)[0]

    def _host(self, event: HostEvent) -> None:
        if event.kind in ("up", "sds-back"):
            self._down.discard(event.host)
        if event.kind in ("rebooting", "sds-replaced"):
            self._down.add(event.host)
            self._check_storage(event.host)
        if event.kind == "rebooting":
            self._check_own(event.host)

    def _check_storage(self, host: str) -> None:
        gateway = self.world.gateway
        domain = self._unit(host)[0]
        units = {unit for of, unit in map(self._unit, self._down) if unit and of == domain}
        self.check(FAULT_UNIT, len(units) <= 1, f"{host} goes down beside {sorted(self._down)}")
        whole = not degraded_pools(self.world)
        normal = all(member.good for member in gateway.state.mdms)
        # Nobody can know better than the Gateway tells.
        lied_to = gateway.faults.stale and gateway.faults.excused
        self.check(
            HEALTHY, (whole and normal) or lied_to, f"{host} goes down while data is degraded"
        )

    def _check_own(self, host: str) -> None:
        address = self.world.hosts[host].address
        others = [
            name
            for name, record in self._records.items()
            if name != host and (record.rebooted or _is_coming(record))
        ]
        last = address != self.own_address or not others
        self.check(OWN_HOST_LAST, last, f"the scheduler's host goes down before {others}")

    def _unit(self, host: str) -> tuple[str, str]:
        """Protection domain and fault unit of a host's SDS; empty where it has none."""
        sds = self.world.gateway.state.sds_at(self.world.hosts[host].address)
        return ("", "") if sds is None else (sds.domain_id, sds.unit)

    # -- what was stored and shown ---------------------------------------------------------------

    def stored(self, record: AgentRecord, *, at: float | None = None) -> None:
        """A record is durable now (`at`), whether anybody was told or not."""
        if at is not None:
            self.book.now = at
        old = self._records.get(record.host)
        self._records[record.host] = record
        self.shown.stored(record)
        self.secret_free(f"record of {record.host}", repr(record))
        if old is None:
            return
        moved = old.phase is not record.phase
        still = old.phase not in (Phase.HELD, Phase.FAILED) or not moved
        told = record.host in self._commands
        if old.phase in (Phase.HELD, Phase.FAILED) or record.phase in (Phase.HELD, Phase.FAILED):
            self.check(STANDS_STILL, still or told, f"{record.host} left {old.phase} by itself")
        if moved:
            self._commands.discard(record.host)

    def commanded(self, host: str) -> None:
        """An operator speaks to that agent: it may move once."""
        self._commands.add(host)

    def secret_free(self, where: str, text: str) -> None:
        found = any(secret in text for secret in self.secrets)
        self.check(NO_SECRET, not found, f"a secret stands in {where}")

    # -- the end -----------------------------------------------------------------------------------

    def finish(self, phases: Mapping[str, tuple[str, str]]) -> None:
        """`phases`: host -> (phase, error), when the run is over and the faults are."""
        for host in self.world.hosts:
            phase, error = phases.get(host, ("unknown", ""))
            arrived = phase in ("ready", "retired") or (phase == "failed" and bool(error))
            self.check(ARRIVES, arrived, f"{host} ended as {phase}")
            self.check(NOT_TWICE, host in phases, f"{host} was forgotten")
            self.check(STANDS_STILL, host in phases, f"{host} was forgotten")
        for agent_id, agent in self.world.mesos.state.agents.items():
            self.check(DEBTS, not agent.deactivated, f"agent {agent_id} is left deactivated")


def is_installed(host: SimulatedHost, step: str) -> bool:
    """The truth on the host, as opposed to what anybody says of it."""
    match step:
        case "prerequisites":
            return host.key is not None and host.kernel == host.next_kernel
        case "sds":
            return "sds" in host.services
        case "sdc":
            return host.has_sdc and host.module_loaded
        case "rexray":
            return bool(host.password) and "rexray" in host.services
        case "isolator":
            return "docker/volume" in host.isolation
        case _:
            return False


def degraded_pools(world: World) -> list[str]:
    state = world.gateway.state
    return [pool.name for pool in state.pools.values() if pool_health(state, pool).degraded]


def _is_coming(record: AgentRecord) -> bool:
    """Its reboot is wanted or under way, and needs no word of the operator to happen."""
    return record.reboot is not None and record.phase not in NOT_COMING


def _fits(taken: Mapping[Key, int], offered: Mapping[Key, int]) -> bool:
    return all(amount <= offered.get(key, 0) for key, amount in taken.items())


def _is_stored(record: AgentRecord, task_id: str, state: str) -> bool:
    """True if the stored record knows at least that much of the task."""
    if record.keeper is not None and record.keeper.task_id == task_id:
        return state in ALIVE
    if record.task is not None and record.task.task_id == task_id:
        known = record.task.state
        return known is TaskState.ENDED or (known is TaskState.RUNNING and state in ALIVE)
    return True  # it is over for the record, or never was
