"""A stage for whole-product stories: the real scheduler in a simulated world, in virtual time.

    def test_it_gets_there() -> None:
        async def story(stage: Stage) -> None:
            await stage.all_ready()
        play(story, seed=7, shape=Shape(agents=3))

The world runs when the story begins, and the scheduler does after `raise_curtain` (which
`play` calls unless `curtain=False`). Same seed, same story: same course of events.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, TypeVar

import attrs
import httpx
import structlog
import trio
from trio.testing import MockClock

from actors.board import AgentSnapshot
from commands.rehearsal import OWN_URL, Rehearsal, phases_of
from commands.simulate import Options, prepare, scratch
from domain.agent import AgentRecord
from simulation.checkers import Checkers
from simulation.mesos_observed import TaskLaunched
from simulation.promises import Violation
from simulation.scripts import Line
from simulation.seed import deterministic
from simulation.storms import Storm
from simulation.world import Shape, World, WorldEvent, build
from supervisor import Service

T = TypeVar("T")

LOOK_EVERY_S: Final = 1.0
PATIENCE_S: Final = 3600.0  # virtual
TOKEN: Final = "operators-token-of-tests"


@attrs.define(eq=False)
class Stage:
    world: World
    rehearsal: Rehearsal
    nursery: trio.Nursery
    events: list[WorldEvent] = attrs.field(factory=list)
    adopt: Callable[[], None] = lambda: None

    @property
    def checkers(self) -> Checkers:
        return self.rehearsal.checkers

    @property
    def service(self) -> Service:
        assert self.rehearsal.service is not None, "no scheduler has started yet"
        return self.rehearsal.service

    def raise_curtain(self) -> None:
        """The (first, or next) scheduler starts."""
        self.nursery.start_soon(self._run)

    async def _run(self) -> None:
        self.adopt()
        await self.rehearsal.run()

    # -- what scripts say (simulation/scripts.py) --------------------------------------------------

    def disturb(self, line: Line) -> None:
        """One fault, now."""
        chance = random.Random(7)  # noqa: S311 - simulated chance; an injection draws nothing
        Storm(world=self.world, process=self.rehearsal.dials, rng=chance).inject(line)

    async def tell(self, command: str, host: str) -> int:
        await trio.lowlevel.checkpoint()
        return self.rehearsal.command(command, host)[0]

    async def wait_for(self, condition: Callable[[], object], *, within_s: float) -> bool:
        with trio.move_on_after(within_s):
            while not condition():  # noqa: ASYNC110 - any view of the world: nobody tells of it
                await trio.sleep(LOOK_EVERY_S)
        return bool(condition())

    def situation(self) -> object:
        return self.phases()

    # -- looking ---------------------------------------------------------------------------------

    def phases(self) -> dict[str, tuple[str, str]]:
        """Host -> (phase, error); empty while no scheduler runs."""
        service = self.rehearsal.service
        return {} if service is None else phases_of(service)

    def phase(self, host: str) -> str:
        return self.phases().get(host, ("", ""))[0]

    def shown(self, host: str) -> AgentSnapshot:
        return self.service.board.agents[host]

    def record(self, host: str) -> AgentRecord:
        return self.service.agents[host].agent.record

    def launches(self, *steps: str) -> list[TaskLaunched]:
        """Launches that the master accepted: of these steps, or of all."""
        launched = [event for event in self.events if isinstance(event, TaskLaunched)]
        return [event for event in launched if not steps or event.step in steps]

    # -- waiting ---------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
        """Let virtual time pass until it holds; the assertion says how all stood otherwise."""
        came = await self.wait_for(condition, within_s=within_s)
        assert came, f"not within {within_s:g} s; the agents: {self.phases()}"

    async def pass_time(self, seconds: float) -> None:
        """For what must not happen: virtual time costs nothing."""
        await trio.sleep(seconds)

    async def all_ready(self, *, within_s: float = PATIENCE_S) -> None:
        """Every host of the world is ready, and no promise was broken on the way."""

        def arrived() -> bool:
            phases = self.phases()
            return all(phases.get(host, ("", ""))[0] == "ready" for host in self.world.hosts)

        await self.until(arrived, within_s=within_s)
        violations = self.violations()
        assert violations == [], violations

    def violations(self) -> list[Violation]:
        """All that the checkers saw, the end of the run included."""
        self.checkers.finish(self.phases())
        return self.checkers.violations

    # -- the web, in process -----------------------------------------------------------------------

    async def get(self, path: str) -> httpx.Response:
        return await self._web("GET", path)

    async def command(self, name: str, host: str, *, token: str = TOKEN) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return await self._web("POST", f"/v1/agents/{host}/{name}", headers)

    async def post(
        self, path: str, *, json: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """With the operator's token."""
        return await self._web(
            "POST", path, {"authorization": f"Bearer {TOKEN}", **(headers or {})}, json
        )

    async def order(self, path: str, body: object = None) -> httpx.Response:
        """A POST for the whole framework."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        return await self._web("POST", f"/v1/framework/{path}", headers, body)

    async def _web(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: object = None,
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.rehearsal.application(self.service))
        async with httpx.AsyncClient(transport=transport, base_url=OWN_URL) as client:
            return await client.request(method, path, headers=headers, json=body)


Story = Callable[[Stage], Awaitable[T]]


def play(
    story: Story[T],
    *,
    seed: int = 7,
    shape: Shape | None = None,
    extra: Sequence[str] = (),
    folder: Path | None = None,
    curtain: bool = True,
    plant: str = "",
    loglevel: str = "critical",
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run one story to its end. `folder`: where the store is, to be kept for the next play."""
    shape = shape or Shape(agents=1, storage=1)
    options = Options(agents=shape.agents, seed=seed, extra=tuple(extra), plant=plant)
    kept = scratch() if folder is None else nullcontext(folder)
    try:
        with kept as where, deterministic(seed), warnings.catch_warnings():
            # A process that dies finishes nothing: generators of its HTTP library neither.
            warnings.filterwarnings("ignore", "Async generator", ResourceWarning)
            return trio.run(
                _play, story, options, shape, where, curtain, loglevel,
                clock=MockClock(autojump_threshold=0), instruments=instruments,
            )  # fmt: skip
    finally:
        structlog.reset_defaults()


async def _play(
    story: Story[T], options: Options, shape: Shape, folder: Path, curtain: bool, loglevel: str
) -> T:
    rng = random.Random(options.seed)  # noqa: S311 - simulated chance
    async with trio.open_nursery() as nursery:
        world = build(rng=rng, shape=shape, nursery=nursery)
        rehearsal, _ = prepare(world, options, folder, rng, loglevel)
        stage = Stage(world=world, rehearsal=rehearsal, nursery=nursery)
        world.listeners.append(stage.events.append)
        await nursery.start(world.mesos.run)
        if curtain:
            stage.raise_curtain()
        told = await story(stage)
        nursery.cancel_scope.cancel(reason="the story is told")
    return told
