"""A whole simulated Mesos: masters, agents, their HTTP, their faults and what was seen of them.

    async with trio.open_nursery() as nursery:
        network = Network(nursery)
        mesos = SimulatedMesos(rng=random.Random(7), network=network)
        mesos.add_agent(host)
        await nursery.start(mesos.run)

All time is Trio's, all chance comes from `rng`: the same seed gives the same history.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, Protocol

import attrs
import trio

from simulation.allocator import Allocator
from simulation.http_server import Handler
from simulation.mesos_agent import LINK_S, SimulatedAgent
from simulation.mesos_agent_http import AgentHttp
from simulation.mesos_calls import Calls
from simulation.mesos_drain import Draining
from simulation.mesos_faults import Faults
from simulation.mesos_forwarding import Forwarding
from simulation.mesos_maintenance import Maintenance
from simulation.mesos_master import Master, MasterFront
from simulation.mesos_observed import Listener
from simulation.mesos_operations import Operations
from simulation.mesos_operator import Operator
from simulation.mesos_operator_views import OperatorViews
from simulation.mesos_ports import HostModel
from simulation.mesos_registrar import Registrar
from simulation.mesos_resources import Bundle
from simulation.mesos_state import MasterState
from simulation.mesos_subscriptions import Subscriptions
from simulation.mesos_values import Address
from simulation.timers import Timers

AGENT_PORT: Final = 5051
ONE_MASTER: Final = (Address(ip="10.0.0.1", port=5050, hostname="master1.test"),)
USUAL: Final = Bundle.of(cpus=4, mem=4096, disk=8192, ports=((31000, 32000),))


class Listening(Protocol):
    """What is needed of a network: `simulation.network.Network` has it."""

    @property
    def down(self) -> set[tuple[str, int]]: ...
    def listen(self, host: str, port: int, handler: Handler) -> None: ...
    def cut(self, host: str, port: int) -> None: ...


@attrs.define(eq=False, kw_only=True)
class SimulatedMesos:
    """`network` may be None: the handlers are then served by the caller."""

    rng: random.Random
    network: Listening | None = None
    version: str = "1.11.0"
    masters: tuple[Address, ...] = ONE_MASTER
    offers_per_event: int = 0
    stall_limit_s: float = 1.0
    listeners: list[Listener] = attrs.field(factory=list)
    timers: Timers = attrs.field(factory=Timers)
    agents: dict[str, SimulatedAgent] = attrs.field(factory=dict, init=False)
    agent_http: dict[str, AgentHttp] = attrs.field(factory=dict, init=False)
    state: MasterState = attrs.field(init=False)
    allocator: Allocator = attrs.field(init=False)
    registrar: Registrar = attrs.field(init=False)
    maintenance: Maintenance = attrs.field(init=False)
    master: Master = attrs.field(init=False)
    fronts: tuple[MasterFront, ...] = attrs.field(init=False)
    faults: Faults = attrs.field(init=False)
    _running: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.state = MasterState(
            timers=self.timers,
            rng=self.rng,
            version=self.version,
            address=self.masters[0],
            listeners=self.listeners,
        )
        self.allocator = Allocator(self.state, self.offers_per_event)
        forwarding = Forwarding(self.state)
        self.registrar = Registrar(self.state, self.allocator, forwarding)
        self.maintenance = Maintenance(self.state, self.allocator, self.registrar)
        operations = Operations(self.state)
        subscriptions = Subscriptions(self.state, self.allocator, self.stall_limit_s)
        self.master = Master(
            state=self.state,
            subscriptions=subscriptions,
            calls=Calls(self.state, self.allocator, forwarding, operations),
            operations=operations,
            maintenance=self.maintenance,
            operator=Operator(
                state=self.state,
                views=OperatorViews(self.state, self.allocator),
                maintenance=self.maintenance,
                draining=Draining(self.state, self.registrar),
                subscriptions=subscriptions,
            ),
        )
        self.fronts = tuple(MasterFront(at, self.master) for at in self.masters)
        self.fronts[0].status = "leading"
        for front in self.fronts:
            self._listen(front.address, front.handle)
        self.faults = Faults(self, forwarding)

    @property
    def master_handler(self) -> Handler:
        """The first master's."""
        return self.fronts[0].handle

    @property
    def leader(self) -> MasterFront | None:
        return next((front for front in self.fronts if front.status == "leading"), None)

    def add_agent(
        self,
        host: HostModel,
        *,
        attributes: Mapping[str, str] | None = None,
        resources: Bundle = USUAL,
        port: int = AGENT_PORT,
        needs: frozenset[str] = frozenset(),
        version: str = "",
    ) -> SimulatedAgent:
        """An agent on `host`; it registers once `run` is running.

        `needs` are capabilities without which a framework is offered nothing of it:
        GPU_RESOURCES (by itself where it has gpus), REGION_AWARE.
        """
        address = Address(ip=host.address, port=port, hostname=host.hostname)
        if host.hostname in self.agents:
            raise ValueError(f"there is an agent on {host.hostname} already")
        gpus = frozenset({"GPU_RESOURCES"}) if resources.milli("gpus") else frozenset()
        agent = SimulatedAgent(
            host=host,
            address=address,
            attributes=dict(attributes or {}),
            resources=resources,
            needs=needs | gpus,
            version=version or self.version,
            timers=self.timers,
            rng=self.rng,
            master=self.registrar,
            tell=self.state.tell,
        )
        self.agents[host.hostname] = agent
        self.agent_http[host.hostname] = AgentHttp(agent)
        self._listen(address, self.agent_http[host.hostname].handle)
        if self._running:
            agent.start()
        return agent

    def agent_handler(self, hostname: str) -> Handler:
        return self.agent_http[hostname].handle

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The cluster's own time; everything in it stops when this is cancelled."""
        self.state.started_at = self.timers.now()
        self._running = True
        for agent in self.agents.values():
            agent.start()
        task_status.started()
        await self.timers.run()

    # ---- addresses

    def _listen(self, at: Address, handler: Handler) -> None:
        if self.network is not None:
            for name in _names(at):
                self.network.listen(name, at.port, handler)

    def close(self, at: Address) -> None:
        """Nobody listens there: new connections are refused, and open ones break.

        They break a moment later, so that what is just being written gets out.
        """
        if self.network is not None:
            for name in _names(at):
                self.network.down.add((name, at.port))
            self.timers.later(LINK_S, lambda: self._cut(at))

    def _cut(self, at: Address) -> None:
        if self.network is not None:
            for name in _names(at):
                self.network.cut(name, at.port)

    def open(self, at: Address) -> None:
        if self.network is not None:
            for name in _names(at):
                self.network.down.discard((name, at.port))


def _names(at: Address) -> tuple[str, ...]:
    return (at.ip, at.hostname) if at.hostname and at.hostname != at.ip else (at.ip,)
