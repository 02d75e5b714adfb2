"""The simulated Mesos as a ground: in memory, in virtual time, with the same dials as the real."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import attrs
import httpx
import trio

from adapters.http_client import make_client
from simulation.mesos import SimulatedMesos
from simulation.mesos_resources import Bundle
from simulation.mesos_values import EPOCH_S, Address
from simulation.network import MemoryBackend, Network
from tests.fidelity.dials import ALLOCATION_INTERVAL_S, PING_TIMEOUT_S, REGISTER_WITHIN_S
from tests.fidelity.programs import PROGRAMS, Program
from tests.fidelity.table import Needs

QUIET_S: Final = 3.0  # virtual: it costs nothing
SEED: Final = 7

Turn = Callable[[SimulatedMesos], object]


@attrs.frozen(kw_only=True)
class Ended:
    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""


@attrs.frozen(kw_only=True)
class ProgramRun:
    program: Program
    began_at: float

    @property
    def duration_s(self) -> float:
        return self.program.duration_s

    @property
    def deaf_to_term(self) -> bool:
        return self.program.deaf_to_term

    def finish(self) -> Ended:
        return Ended(exit_code=self.program.exit_code)

    def abort(self) -> None:
        """Nothing is left behind."""


@attrs.define(eq=False, kw_only=True)
class ScriptedHost:
    """Runs the programs of `programs.PROGRAMS`, by name."""

    hostname: str
    address: str
    isolation: tuple[str, ...] = ("posix/cpu", "posix/mem")
    launcher: str = "posix"
    runs: list[ProgramRun] = attrs.field(factory=list)

    def begin(self, step: str, environment: Mapping[str, str]) -> ProgramRun:  # noqa: ARG002
        run = ProgramRun(program=PROGRAMS[step], began_at=trio.current_time())
        self.runs.append(run)
        return run

    def health(self, environment: Mapping[str, str]) -> bool:  # noqa: ARG002
        now = trio.current_time()
        return all(now < run.began_at + run.program.ill_after_s for run in self.runs)


@attrs.define(eq=False, kw_only=True)
class SimulatedGround:
    mesos: SimulatedMesos
    quiet_s: float = QUIET_S

    @property
    def master(self) -> str:
        return _url(self.mesos.state.address)

    @property
    def masters(self) -> tuple[str, ...]:
        return tuple(_url(front.address) for front in self.mesos.fronts)

    @property
    def now_s(self) -> float:
        return EPOCH_S + trio.current_time()

    def address(self, name: str) -> str:
        return self.mesos.agents[f"{name}.test"].address.ip

    async def agent_down(self, name: str) -> None:
        self.mesos.faults.agent_down(f"{name}.test")
        await trio.lowlevel.checkpoint()

    async def agent_up(self, name: str, *, new_id: bool = False) -> None:
        self.mesos.faults.agent_up(f"{name}.test", new_id=new_id)
        await trio.lowlevel.checkpoint()

    async def agent_leaves(self, name: str) -> None:
        self.mesos.faults.agent_leaves(f"{name}.test", for_s=float("inf"))
        await trio.lowlevel.checkpoint()

    async def agent_silent(self, name: str) -> None:
        self.mesos.agents[f"{name}.test"].partition()
        await trio.lowlevel.checkpoint()

    async def agent_heard(self, name: str) -> None:
        self.mesos.agents[f"{name}.test"].heal(PING_TIMEOUT_S)
        await trio.lowlevel.checkpoint()

    async def executor_dies(self, framework_id: str, task_id: str) -> None:
        for agent in self.mesos.agents.values():
            agent.kill_executor((framework_id, task_id))
        await trio.lowlevel.checkpoint()

    async def master_down(self) -> None:
        self.mesos.faults.master_down()
        await trio.lowlevel.checkpoint()

    async def master_up(self) -> None:
        self.mesos.faults.master_up(recover_s=0.1, agents_within_s=REGISTER_WITHIN_S)
        await trio.sleep(0.2)


def _url(at: Address) -> str:
    return f"http://{at.shown}:{at.port}"


def _resources(number: int) -> Bundle:
    """As the real cluster's agents."""
    ports = (31000 + 100 * number, 31099 + 100 * number)
    return Bundle.of(cpus=4, mem=4096, disk=8192, ports=(ports,))


def _attributes(flag: str) -> dict[str, str]:
    """As --attributes names them."""
    pairs = (entry.partition(":") for entry in flag.split(";") if entry)
    return {name: value for name, _, value in pairs}


def _parsed(flag: str) -> Bundle:
    """Scalars, as --resources names them: cpus:2;cpus(role):1. Ports are the usual ones."""
    total = Bundle.of(ports=((31000, 32000),))
    for entry in flag.split(";"):
        key, _, value = entry.partition(":")
        name, _, role = key.rstrip(")").partition("(")
        total += Bundle({(role or "*", name): round(float(value) * 1000)})
    return total


def _built(network: Network, needs: Needs) -> SimulatedMesos:
    mesos = SimulatedMesos(
        rng=random.Random(SEED),  # noqa: S311 - the simulation's chance, replayable
        network=network,
        masters=tuple(
            Address(ip=f"10.0.0.{one}", port=5050, hostname=f"master{one}.test")
            for one in range(needs.masters)
        ),
    )
    mesos.master.credentials = dict(needs.credentials)
    mesos.registrar.ping_timeout_s = PING_TIMEOUT_S
    mesos.allocator.interval_s = ALLOCATION_INTERVAL_S
    for number in range(needs.agents):
        host = ScriptedHost(hostname=f"agent{number}.test", address=f"127.0.0.{number + 2}")
        agent = mesos.add_agent(
            host,
            attributes=_attributes(needs.attributes or f"rack:r{number}"),
            resources=_parsed(needs.resources) if needs.resources else _resources(number),
        )
        agent.register_within_s = REGISTER_WITHIN_S
    return mesos


@asynccontextmanager
async def simulated_ground(
    needs: Needs, turn: Turn | None = None
) -> AsyncIterator[tuple[SimulatedGround, httpx.AsyncClient]]:
    """A cluster whose agents are registered. `turn` changes it first: tests of the comparison."""
    async with trio.open_nursery() as nursery:
        network = Network(nursery)
        mesos = _built(network, needs)
        if turn is not None:
            turn(mesos)
        await nursery.start(mesos.run)
        client = make_client(network_backend=MemoryBackend(network), read_timeout_s=None)
        client.headers["Connection"] = "close"  # a pooled one may have been cut by a fault
        async with client:
            await trio.sleep(2 * REGISTER_WITHIN_S + 1)
            yield SimulatedGround(mesos=mesos), client
        nursery.cancel_scope.cancel(reason="the script has ended")
