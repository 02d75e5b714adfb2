"""The scheduler may die between any two steps it takes: the next one finishes the agent.

`CRASH_POINTS=all` tries every step of the reference run, `CRASH_POINTS=1000` that many.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import attrs
import pytest
import trio

from actors.ports import Store
from simulation.crash_points import Steps, spread
from simulation.world import Shape
from tests.simulation.stage import Stage, play

POINTS_TRIED: Final = 100  # of about 3,400: what fits into `make test`
WRITES_TRIED: Final = 8  # of about 40, each twice: it is lost, it lands
PAIRS_TRIED: Final = 6  # the second crash hits the scheduler that is just finding its way
BETWEEN_CRASHES: Final = 90  # steps: loading, subscribing, reconciling
SEED: Final = 7


@attrs.frozen(kw_only=True)
class Write:
    """Numbers of the step that handed it to the store, and of the one that made it durable."""

    begun: int
    landed: int


@attrs.frozen(kw_only=True)
class Course:
    """How one onboarding went. `whole`: it ended ready and no promise was broken."""

    steps: int
    crashes: int
    virtual_s: float
    whole: bool
    fault: str = ""
    writes: tuple[Write, ...] = ()


@attrs.define
class Writes:
    """Passes on to the store, and notes in which step each write began and landed."""

    inner: Store
    steps: Steps
    noted: list[Write]
    kind: str = "simulated"

    async def load(self) -> Mapping[str, bytes]:
        return await self.inner.load()

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        begun = self.steps.taken
        await self.inner.write(changes)
        self.noted.append(Write(begun=begun, landed=self.steps.taken))

    async def close(self) -> None:
        await self.inner.close()


def onboard(*crash_before: int) -> Course:
    """One storage agent with a reboot on its way, and a crash before each of those steps."""
    steps = Steps(at=frozenset(crash_before))
    writes: list[Write] = []

    async def story(stage: Stage) -> Course:
        for host in stage.world.hosts.values():
            host.kernel = host.next_kernel = host.os.kernel  # one reboot is enough: rexray's
            host.dials.slow = 0.1  # fewer polls in between, so that points differ more
        stage.adopt, steps.act = steps.adopt, stage.rehearsal.crash
        stage.rehearsal.through = lambda store: Writes(store, steps, writes)
        stage.raise_curtain()
        fault = ""
        try:
            await stage.all_ready()
        except AssertionError as broken:
            fault = f"{broken}; {stage.checkers.violations}"
        return Course(
            steps=steps.taken,
            crashes=stage.rehearsal.crashes,
            virtual_s=stage.rehearsal.wall(),
            whole=not fault,
            fault=fault,
            writes=tuple(writes),
        )

    shape = Shape(agents=1, storage=1)
    extra = ("-devices.claim-delay=5",)
    return play(story, seed=SEED, shape=shape, extra=extra, curtain=False, instruments=[steps])


@pytest.fixture(scope="module")
def undisturbed() -> Course:
    return onboard()


def test_the_same_seed_takes_the_same_steps(undisturbed: Course) -> None:
    """Otherwise a crash point would name another place in each run."""
    assert undisturbed.whole, undisturbed.fault
    assert undisturbed.crashes == 0
    assert onboard() == undisturbed


@pytest.mark.timeout(7200)  # of which `make test` takes less than one minute
def test_a_crash_at_any_await_forgets_nothing_and_repeats_nothing(
    undisturbed: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    total = undisturbed.steps
    asked = os.environ.get("CRASH_POINTS", str(POINTS_TRIED))
    points = spread(total, total if asked == "all" else int(asked))
    failed: dict[int, str] = {}
    for point in points:
        course = onboard(point)
        assert course.crashes == 1, f"no crash happened before step {point}"
        if not course.whole:
            failed[point] = course.fault
    with capsys.disabled():
        print(f"\ncrash points: tried={len(points)} of {total} violations={len(failed)}")
    assert len(points) >= min(total, 100)
    assert failed == {}


@pytest.mark.parametrize("lands", [False, True], ids=["it is lost", "it lands"])
def test_a_write_in_flight_may_land_or_not(undisturbed: Course, lands: bool) -> None:
    """The record is durable, or it is not; in both cases nobody was told before the crash."""
    writes = undisturbed.writes
    failed: dict[int, str] = {}
    for place in spread(len(writes), WRITES_TRIED):
        write = writes[place - 1]
        point = write.landed + 1 if lands else write.begun
        course = onboard(point)
        reached = [one.landed for one in course.writes if one.landed <= point]
        assert (write.landed in reached) == lands
        if not course.whole:
            failed[point] = course.fault
    assert failed == {}


def test_a_crash_right_after_a_crash_is_no_worse(undisturbed: Course) -> None:
    failed: dict[int, str] = {}
    for point in spread(undisturbed.steps, PAIRS_TRIED):
        course = onboard(point, point + BETWEEN_CRASHES)
        assert course.crashes == 2
        if not course.whole:
            failed[point] = course.fault
    assert failed == {}


# -- the counting ----------------------------------------------------------------------------------


def test_only_the_steps_of_the_process_are_counted() -> None:
    steps = Steps()

    async def walk(number: int) -> None:
        for _ in range(number):
            await trio.lowlevel.checkpoint()

    async def process(world: trio.Nursery) -> None:
        steps.adopt()
        world.start_soon(walk, 1000)  # started from in here, but it belongs to the world
        async with trio.open_nursery() as nursery:
            nursery.start_soon(walk, 10)
            nursery.start_soon(walk, 10)

    async def everything() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process, nursery)

    trio.run(everything, instruments=[steps])
    assert 20 < steps.taken < 30


@pytest.mark.parametrize(
    ("total", "wanted", "points"),
    [(10, 5, (1, 3, 5, 7, 9)), (3, 100, (1, 2, 3)), (7, 2, (1, 4)), (1000, 1, (1,))],
)
def test_crash_points_are_spread_evenly(total: int, wanted: int, points: tuple[int, ...]) -> None:
    assert spread(total, wanted) == points
