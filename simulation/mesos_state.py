"""What a simulated master knows: frameworks, agents, offers, tasks. No waiting, no HTTP."""

from __future__ import annotations

import base64
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

import attrs

from simulation import mesos_json
from simulation.mesos_json import JsonObject
from simulation.mesos_observed import (
    AgentChanged,
    AgentState,
    FrameworkRemoved,
    Listener,
    MesosEvent,
    OfferRescinded,
    OfferVoided,
)
from simulation.mesos_ports import AgentPort, DrainOrder
from simulation.mesos_resources import Bundle
from simulation.mesos_stream import EventStream
from simulation.mesos_values import (
    Address,
    FrameworkInfo,
    MachineId,
    Status,
    TaskOrder,
    Unavailability,
    version_of,
)
from simulation.timers import Timer, Timers

COMPLETED_MAX: Final = 1000  # --max_completed_tasks_per_framework


@attrs.frozen(kw_only=True)
class Offer:
    id: str
    framework_id: str
    agent_id: str
    role: str
    resources: Bundle


@attrs.frozen
class Filter:
    """Nothing that is contained in `refused` is offered before `until`."""

    until: float
    refused: Bundle


@attrs.define(eq=False, kw_only=True)
class Task:
    """`state` is the newest that the agent has told of; `shown` is what was last forwarded."""

    order: TaskOrder
    framework_id: str
    agent_id: str
    role: str
    state: str = "TASK_STAGING"
    shown: Status | None = None
    holds_resources: bool = True
    statuses: list[Status] = attrs.field(factory=list)  # of one state in a row, the newest

    @property
    def shown_state(self) -> str:
        return self.state if self.shown is None else self.shown.state

    def note(self, status: Status) -> None:
        if self.statuses and self.statuses[-1].state == status.state:
            self.statuses.pop()
        self.statuses.append(status)


@attrs.define(eq=False, kw_only=True)
class OperationRecord:
    """An operation that was carried out, until its framework acknowledges that."""

    operation_id: str
    agent_id: str
    uuid: str


@attrs.define(eq=False, kw_only=True)
class Framework:
    info: FrameworkInfo
    registered_at: float
    reregistered_at: float
    stream: EventStream | None = None
    suppressed: set[str] = attrs.field(factory=set)
    filters: dict[tuple[str, str], list[Filter]] = attrs.field(factory=dict)
    offers: dict[str, Offer] = attrs.field(factory=dict)
    tasks: dict[str, Task] = attrs.field(factory=dict)
    unreachable_tasks: dict[str, Task] = attrs.field(factory=dict)
    completed_tasks: deque[Task] = attrs.field(factory=lambda: deque(maxlen=COMPLETED_MAX))
    operations: dict[str, OperationRecord] = attrs.field(factory=dict)  # those with an id
    inverse_offers: dict[str, str] = attrs.field(factory=dict)  # id -> agent id
    inverse_filters: dict[str, float] = attrs.field(factory=dict)  # agent id -> until
    recovered: bool = False  # known only from an agent, after a master failover
    failover_timer: Timer | None = None
    heartbeat_timer: Timer | None = None

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def connected(self) -> bool:
        return self.stream is not None and self.stream.open


@attrs.define(eq=False, kw_only=True)
class Drain:
    """An operator's order to end all tasks of an agent. `over`: there are none any more."""

    began_at: float
    order: DrainOrder
    over: bool = False


@attrs.frozen
class Window:
    """One window of the maintenance schedule."""

    machines: tuple[MachineId, ...]
    unavailability: Unavailability


@attrs.define(eq=False, kw_only=True)
class AgentRecord:
    """An agent that has registered with this master. `free` is neither used nor offered."""

    id: str
    port: AgentPort
    total: Bundle
    free: Bundle
    registered_at: float
    reregistered_at: float | None = None
    connected: bool = True
    deactivated: bool = False
    drain: Drain | None = None
    unavailability: Unavailability | None = None
    answers: dict[str, tuple[bool, float]] = attrs.field(factory=dict)  # to inverse offers
    offers: dict[str, Offer] = attrs.field(factory=dict)
    tasks: dict[tuple[str, str], Task] = attrs.field(factory=dict)
    kills: dict[tuple[str, str], float | None] = attrs.field(factory=dict)  # for its return
    ping_timer: Timer | None = None

    @property
    def hostname(self) -> str:
        return self.port.address.shown

    @property
    def machine(self) -> MachineId:
        return MachineId(self.port.address.shown, self.port.address.ip)

    @property
    def offering(self) -> bool:
        return self.connected and not self.deactivated


@attrs.frozen(kw_only=True)
class Removed:
    """A framework that is over for good."""

    info: FrameworkInfo
    registered_at: float
    reregistered_at: float
    removed_at: float
    tasks: tuple[Task, ...] = ()


@attrs.define(eq=False, kw_only=True)
class MasterState:
    """The memory of the leading master; `forget` is what a failover does to it."""

    timers: Timers
    rng: random.Random
    version: str
    address: Address
    listeners: list[Listener] = attrs.field(factory=list)
    id: str = ""
    generation: int = 0
    leading: bool = True
    started_at: float = 0.0
    frameworks: dict[str, Framework] = attrs.field(factory=dict, init=False)
    completed: dict[str, Removed] = attrs.field(factory=dict, init=False)
    agents: dict[str, AgentRecord] = attrs.field(factory=dict, init=False)
    recovered: dict[str, AgentRecord] = attrs.field(factory=dict, init=False)
    unreachable: dict[str, float] = attrs.field(factory=dict, init=False)
    gone: set[str] = attrs.field(factory=set, init=False)
    """Agents that an operator has declared gone. As in the registry, it outlives a failover."""
    schedule: tuple[Window, ...] = attrs.field(default=(), init=False)
    down: set[MachineId] = attrs.field(factory=set, init=False)
    emptied: Callable[[AgentRecord], object] = attrs.field(default=lambda _: None, init=False)
    """Told when the last task of a draining agent is over."""
    sent_uuids: dict[str, int] = attrs.field(factory=dict, init=False)
    """Updates sent, and how often acknowledged: for observers, so it outlives a failover."""
    _frameworks_made: int = attrs.field(default=0, init=False)
    _agents_made: int = attrs.field(default=0, init=False)
    _offers_made: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.id = self.id or self.new_uuid()

    @property
    def now(self) -> float:
        return self.timers.now()

    @property
    def version_tuple(self) -> tuple[int, ...]:
        return version_of(self.version)

    def tell(self, event: MesosEvent) -> None:
        for listener in self.listeners:
            listener(event)

    # ---- names

    def new_uuid(self) -> str:
        return str(UUID(bytes=self.rng.randbytes(16), version=4))

    def new_wire_uuid(self) -> str:
        return base64.b64encode(UUID(bytes=self.rng.randbytes(16), version=4).bytes).decode()

    def new_framework_id(self) -> str:
        self._frameworks_made += 1
        return f"{self.id}-{self._frameworks_made - 1:04d}"

    def new_agent_id(self) -> str:
        self._agents_made += 1
        return f"{self.id}-S{self._agents_made - 1}"

    def scheduled(self, machine: MachineId) -> Unavailability | None:
        windows = (one for one in self.schedule if machine in one.machines)
        return next((one.unavailability for one in windows), None)

    def new_offer_id(self) -> str:
        self._offers_made += 1
        return f"{self.id}-O{self._offers_made - 1}"

    # ---- offers

    def make_offer(
        self, framework: Framework, agent: AgentRecord, role: str, some: Bundle
    ) -> Offer:
        offer = Offer(
            id=self.new_offer_id(),
            framework_id=framework.id,
            agent_id=agent.id,
            role=role,
            resources=some,
        )
        agent.free -= some
        agent.offers[offer.id] = offer
        framework.offers[offer.id] = offer
        return offer

    def take_offer(self, framework: Framework, offer_id: str) -> Offer | None:
        """Out of the books; its resources are the caller's to give back."""
        offer = framework.offers.pop(offer_id, None)
        if offer is not None and (agent := self.agents.get(offer.agent_id)) is not None:
            agent.offers.pop(offer_id, None)
        return offer

    def give_back(self, agent_id: str, some: Bundle) -> None:
        if (agent := self.agents.get(agent_id)) is not None:
            agent.free += some

    def rescind(self, offers: Iterable[Offer]) -> None:
        for offer in tuple(offers):
            framework = self.frameworks[offer.framework_id]
            if self.take_offer(framework, offer.id) is None:
                continue
            self.give_back(offer.agent_id, offer.resources)
            self.send(framework, mesos_json.rescind(offer.id))
            self.tell(OfferRescinded(at=self.now, offer_id=offer.id, framework_id=framework.id))

    def rescind_inverse(self, agent: AgentRecord) -> None:
        """All inverse offers of an agent are taken back, and what was answered is forgotten."""
        agent.answers.clear()
        for framework in self.frameworks.values():
            framework.inverse_filters.pop(agent.id, None)
            for offer_id, agent_id in tuple(framework.inverse_offers.items()):
                if agent_id == agent.id:
                    del framework.inverse_offers[offer_id]
                    self.send(framework, mesos_json.rescind_inverse(offer_id))

    def void(self, framework: Framework, why: str) -> None:
        """All offers of a framework are gone, and it is not told."""
        framework.inverse_offers.clear()
        for offer in tuple(framework.offers.values()):
            self.take_offer(framework, offer.id)
            self.give_back(offer.agent_id, offer.resources)
            self.tell(
                OfferVoided(at=self.now, offer_id=offer.id, framework_id=framework.id, why=why)
            )

    # ---- tasks

    def add_task(self, framework: Framework, task: Task) -> None:
        framework.tasks[task.order.task_id] = task
        self.agents[task.agent_id].tasks[framework.id, task.order.task_id] = task

    def drop_task(self, task: Task) -> None:
        framework = self.frameworks.get(task.framework_id)
        if framework is not None and framework.tasks.get(task.order.task_id) is task:
            del framework.tasks[task.order.task_id]
        self.release(task)
        if (agent := self.agents.get(task.agent_id)) is not None:
            agent.tasks.pop((task.framework_id, task.order.task_id), None)
            if agent.drain is not None and not agent.drain.over and not agent.tasks:
                self.emptied(agent)

    def release(self, task: Task) -> bool:
        """Give a task's resources back, once; true when that happened now."""
        if not task.holds_resources:
            return False
        task.holds_resources = False
        self.give_back(task.agent_id, task.order.resources)
        return True

    # ---- streams and lives

    def send(self, framework: Framework, event: JsonObject) -> None:
        if framework.stream is not None:
            framework.stream.send(event)

    def changed(self, agent: AgentRecord, state: AgentState) -> None:
        self.tell(
            AgentChanged(at=self.now, agent_id=agent.id, hostname=agent.hostname, state=state)
        )

    def complete(self, framework: Framework, why: str) -> None:
        self.completed[framework.id] = Removed(
            info=framework.info,
            registered_at=framework.registered_at,
            reregistered_at=framework.reregistered_at,
            removed_at=self.now,
            tasks=tuple(framework.completed_tasks),
        )
        del self.frameworks[framework.id]
        self.tell(FrameworkRemoved(at=self.now, framework_id=framework.id, why=why))

    def forget(self, address: Address) -> None:
        """Another master leads: it knows the agents from the registry, and nothing else."""
        for framework in self.frameworks.values():
            self.void(framework, "the master failed over")
            for timer in (framework.failover_timer, framework.heartbeat_timer):
                if timer is not None:
                    timer.cancel()
        for agent in self.agents.values():
            if agent.ping_timer is not None:
                agent.ping_timer.cancel()
        self.recovered = {**self.recovered, **self.agents}
        self.frameworks, self.completed, self.agents = {}, {}, {}
        self.address, self.id = address, self.new_uuid()
        self._frameworks_made = self._agents_made = self._offers_made = 0
        self.generation += 1
        self.started_at = self.now
