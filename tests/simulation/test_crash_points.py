"""The scheduler may die between any two steps it takes: the next one finishes the agent.

Here one agent is onboarded, and 100 places are tried; `make crash-points POINTS=all` tries every
place of the onboarding of three.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio

from simulation.crash_points import Steps, spread
from simulation.world import World
from tools import crash_points
from tools.crash_points import Course, Onboarding, Part, chosen

POINTS_TRIED: Final = 100  # of about 3,400: what fits into `make test`
WRITES_TRIED: Final = 8  # of about 40, each twice: it is lost, it lands
PAIRS_TRIED: Final = 6  # the second crash hits the scheduler that is just finding its way
BETWEEN_CRASHES: Final = 90  # steps: loading, subscribing, reconciling
LOOKED_AT_EVERY: Final = 10  # steps
SEED: Final = 7


def onboard(*crash_before: int) -> Course:
    return crash_points.onboard(*crash_before, agents=1, seed=SEED)


@pytest.fixture(scope="module")
def undisturbed() -> Course:
    return onboard()


def test_the_same_seed_takes_the_same_steps(undisturbed: Course) -> None:
    """Otherwise a crash point would name another place in each run."""
    assert undisturbed.whole, undisturbed.fault
    assert undisturbed.killed == 0
    assert onboard() == undisturbed


@pytest.mark.timeout(600)  # takes about one minute
def test_a_crash_at_any_await_forgets_nothing_and_repeats_nothing(
    undisturbed: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    points = spread(undisturbed.steps, POINTS_TRIED)
    failed: dict[int, str] = {}
    for point in points:
        course = onboard(point)
        assert course.killed == 1, f"no crash happened before step {point}"
        if not course.whole:
            failed[point] = course.fault
    with capsys.disabled():
        print(f"\ncrash points: tried={len(points)} of {undisturbed.steps}")
    assert len(points) == POINTS_TRIED
    assert failed == {}


def test_a_crash_of_three_agents_scheduler_is_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    """The command, with few points of the many that it can try."""
    assert crash_points.main(["--points", "3", "--seed", "1"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    words = dict(word.split("=") for word in told.removeprefix("crash-points: ").split())
    assert words["tried"] == "3"
    assert words["violations"] == "0"
    assert int(words["awaits"]) > int(words["distinct"]) > 1000


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
        assert course.killed == 2
        if not course.whole:
            failed[point] = course.fault
    assert failed == {}


# -- which places are the same ---------------------------------------------------------------------


@attrs.define
class Eye:
    """Remembers the world before the last step that was looked at."""

    steps: int = 0
    compared: int = 0
    differ: list[int] = attrs.field(factory=list)
    changes: int = 0
    _last: str = ""

    def look(self, steps: Steps, world: World, folder: Path) -> None:
        """Before some steps of the process, and before the next ones."""
        if steps.taken % LOOKED_AT_EVERY not in (0, 1):
            return
        seen = world_digest(world, folder)
        if steps.taken == self.steps + 1:
            self.changes += seen != self._last
            if steps.firsts[-1] != steps.taken:  # it is said to leave the same world
                self.compared += 1
                if seen != self._last:
                    self.differ.append(steps.taken)
        self.steps, self._last = steps.taken, seen


def world_digest(world: World, folder: Path) -> str:
    """All that a crash leaves: hosts, Mesos, the Gateway, the store, and the time."""
    books = _plain([world.hosts, world.gateway.state, world.mesos], set())
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    return hashlib.sha256(repr((trio.current_time(), books, files)).encode()).hexdigest()


def _plain(value: object, seen: set[int]) -> object:
    match value:
        case None | str() | bytes() | bool() | int() | float():
            return value
        case dict():
            return [(_plain(key, seen), _plain(item, seen)) for key, item in value.items()]
        case list() | tuple():
            return [_plain(item, seen) for item in value]
        case set() | frozenset():
            return sorted(repr(_plain(item, seen)) for item in value)
        case random.Random():
            return value.getstate()
    kind = type(value)
    ours = kind.__module__.partition(".")[0] == "simulation"
    if not attrs.has(kind) or not ours or id(value) in seen:
        return kind.__name__
    seen.add(id(value))
    return [kind.__name__, *(_plain(getattr(value, f.name), seen) for f in attrs.fields(kind))]


@pytest.mark.timeout(600)
def test_steps_that_are_said_to_leave_the_same_world_do(undisturbed: Course) -> None:
    eye = Eye()
    course = Onboarding(agents=1, seed=SEED, looker=eye.look).play()
    assert course.distinct == undisturbed.distinct, "to look changes nothing"
    assert eye.compared > 100
    assert eye.changes > 10, "the digest sees no change"
    assert eye.differ == []


def test_all_points_are_tried_by_the_parts_together() -> None:
    distinct = tuple(range(1, 24, 2))
    parts = [chosen(distinct, "all", Part(number, 5)) for number in range(1, 6)]
    assert sorted(point for part in parts for point in part) == list(distinct)
    assert chosen(distinct, "3", Part()) == [1, 9, 17]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        crash_points.main(["--part", text])


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
