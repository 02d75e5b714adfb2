"""`make crash-points`: the scheduler dies between any two steps of one onboarding of three agents.

    crash-points: seed=7 awaits=9000 distinct=4000 tried=4000 violations=0

`awaits` are all steps of the reference run, in which nothing is killed; `distinct` those of them
that leave different worlds (see `simulation.crash_points`); one crash is tried for each of these.
After every crash the next scheduler has to make all agents ready, and to keep every promise.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio
from trio.testing import MockClock

from actors.ports import Store
from commands.rehearsal import Rehearsal, phases_of
from commands.simulate import Options, prepare, scratch
from simulation.crash_points import Steps, spread
from simulation.seed import deterministic
from simulation.world import Shape, World, build

PATIENCE_S: Final = 7200.0  # virtual
LOOK_EVERY_S: Final = 1.0
CLAIM_DELAY: Final = "-devices.claim-delay=5"
TOLD_EVERY: Final = 100
STEPS_MAX: Final = 10_000_000


@attrs.frozen(kw_only=True)
class Write:
    """Numbers of the step that handed it to the store, and of the one that made it durable."""

    begun: int
    landed: int


@attrs.frozen(kw_only=True)
class Course:
    """How one onboarding went. `fault` is empty if all are ready and every promise was kept."""

    steps: int
    killed: int  # crashes of ours; that of the scheduler's own host is none
    virtual_s: float
    fault: str = ""
    writes: tuple[Write, ...] = ()
    distinct: tuple[int, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.fault


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


Looker = Callable[[Steps, World, Path], None]


@attrs.define
class Onboarding:
    """One run: `agents` storage hosts, a reboot on each one's way, a crash before those steps."""

    agents: int
    seed: int
    crash_before: tuple[int, ...] = ()
    looker: Looker | None = None  # is called before every step instead, to look at the world
    _killed: int = attrs.field(default=0, init=False)
    _steps: Steps = attrs.field(init=False)
    _writes: list[Write] = attrs.field(factory=list, init=False)

    def play(self) -> Course:
        every = range(1, STEPS_MAX) if self.looker else self.crash_before
        self._steps = Steps(at=every)
        try:
            with scratch() as folder, deterministic(self.seed), warnings.catch_warnings():
                # A process that dies finishes nothing: generators of its HTTP library neither.
                warnings.filterwarnings("ignore", "Async generator", ResourceWarning)
                return trio.run(
                    self._run, folder, clock=MockClock(autojump_threshold=0),
                    instruments=[self._steps],
                )  # fmt: skip
        finally:
            structlog.reset_defaults()

    async def _run(self, folder: Path) -> Course:
        self._steps.look_on()
        rng = random.Random(self.seed)  # noqa: S311 - simulated chance
        options = Options(agents=self.agents, seed=self.seed, extra=(CLAIM_DELAY,))
        async with trio.open_nursery() as nursery:
            shape = Shape(agents=self.agents, storage=self.agents)
            world = build(rng=rng, shape=shape, nursery=nursery)
            for host in world.hosts.values():
                host.kernel = host.next_kernel = host.os.kernel  # one reboot is enough: rexray's
                host.dials.slow = 0.1  # fewer polls in between, so that points differ more
            rehearsal, _ = prepare(world, options, folder, rng, "critical")
            rehearsal.through = lambda store: Writes(store, self._steps, self._writes)
            rehearsal.outward = self._steps.outward
            self._steps.act = lambda: self._act(rehearsal, folder)
            await nursery.start(world.mesos.run)
            nursery.start_soon(self._process, rehearsal)
            course = await self._end_of(rehearsal)
            nursery.cancel_scope.cancel(reason="the course is run")
        return course

    async def _process(self, rehearsal: Rehearsal) -> None:
        self._steps.adopt()
        await rehearsal.run()

    def _act(self, rehearsal: Rehearsal, folder: Path) -> None:
        if self.looker is not None:
            self.looker(self._steps, rehearsal.world, folder)
        else:
            self._killed += 1
            rehearsal.crash()

    async def _end_of(self, rehearsal: Rehearsal) -> Course:
        hosts = rehearsal.world.hosts

        def phases() -> dict[str, tuple[str, str]]:
            return {} if rehearsal.service is None else phases_of(rehearsal.service)

        def all_ready() -> bool:
            shown = phases()
            return all(shown.get(host, ("", ""))[0] == "ready" for host in hosts)

        with trio.move_on_after(PATIENCE_S):
            while not all_ready():  # noqa: ASYNC110 - looks on from outside
                await trio.sleep(LOOK_EVERY_S)
        rehearsal.checkers.finish(phases())
        broken = [] if all_ready() else [f"they ended as {phases()}"]
        broken += [f"{v.invariant} at {v.at:g}: {v.text}" for v in rehearsal.checkers.violations]
        return Course(
            steps=self._steps.taken,
            killed=self._killed,
            virtual_s=rehearsal.wall(),
            fault="; ".join(broken),
            writes=tuple(self._writes),
            distinct=tuple(self._steps.firsts),
        )


def onboard(*crash_before: int, agents: int, seed: int) -> Course:
    return Onboarding(agents=agents, seed=seed, crash_before=crash_before).play()


# -- the command -----------------------------------------------------------------------------------


@attrs.frozen
class Part:
    """The I-th of N equal shares of the points."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> Part:
        match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
        if match is None or int(match[1]) > int(match[2]):
            raise argparse.ArgumentTypeError(f"{text!r}: expected I/N with I from 1 to N")
        return cls(int(match[1]), int(match[2]))


def chosen(distinct: tuple[int, ...], asked: str, part: Part) -> list[int]:
    """`asked`: all, or how many, evenly spread."""
    count = len(distinct) if asked == "all" else int(asked)
    points = [distinct[place - 1] for place in spread(len(distinct), count)]
    return points[part.number - 1 :: part.of]


def _count(text: str) -> str:
    if text != "all" and not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected `all` or a number")
    return text


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--points", type=_count, default="100", metavar="N|all")
    parser.add_argument("--part", type=Part.read, default=Part(), metavar="I/N")
    parser.add_argument("--agents", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=7, metavar="S")
    parser.add_argument("--minutes", type=float, default=1440.0, metavar="M", help="at most")
    parser.add_argument("--only", type=int, metavar="STEP", help="replay the crash before that one")
    asked = parser.parse_args(arguments)
    if asked.only is not None:
        course = onboard(asked.only, agents=asked.agents, seed=asked.seed)
        print(f"crash before step {asked.only}: {course.fault or 'every promise was kept'}")
        return 0 if course.whole else 1
    until = time.perf_counter() + 60.0 * asked.minutes
    reference = onboard(agents=asked.agents, seed=asked.seed)
    if not reference.whole:
        print(f"the reference run failed: {reference.fault}", file=sys.stderr)
        return 1
    points = chosen(reference.distinct, asked.points, asked.part)
    tried, failed = try_all(points, asked.agents, asked.seed, until)
    print(
        f"crash-points: seed={asked.seed} agents={asked.agents} awaits={reference.steps} "
        f"distinct={len(reference.distinct)} asked={len(points)} tried={tried} "
        f"violations={failed}"
    )
    return 1 if failed or tried < len(points) else 0


def try_all(points: list[int], agents: int, seed: int, until: float) -> tuple[int, int]:
    """How many were tried until that moment (of time.perf_counter), and how many failed."""
    tried = failed = 0
    for point in points:
        if time.perf_counter() > until:
            break
        course = onboard(point, agents=agents, seed=seed)
        tried += 1
        if course.killed != 1 or not course.whole:
            failed += 1
            print(f"crash before step {point}: {course.fault or 'did not happen'}", flush=True)
        if tried % TOLD_EVERY == 0:
            print(f"tried {tried} of {len(points)}, failed {failed}", file=sys.stderr, flush=True)
    return tried, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
