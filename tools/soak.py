"""`make soak`: simulated clusters in all kinds of trouble, seed after seed, for some time."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Final

import attrs

from simulation.scripts import Line, parse
from tools.shrink import shortest
from tools.soak_worker import Case, Outcome, Player

AGENTS: Final = (3, 3, 3, 4, 6)
FAULTS: Final = ("some", "storm", "storm", "all", "all")
HOURS: Final = (0.0, 0.0, 0.5, 1.0, 1.5)
LONG_EVERY: Final = 20  # such a seed has a larger cluster that goes on for longer
LONG_AGENTS, LONG_HOURS = 40, 5.0
SHRINK_S: Final = 120.0
SHRINK_TRIES: Final = 150
SHRUNK_MAX: Final = 5  # seeds of one soak


def case_of(seed: int) -> Case:
    """The shape of the cluster and its troubles, drawn from the seed."""
    rng = random.Random(f"soak {seed}")  # noqa: S311 - simulated chance
    agents, faults, hours = rng.choice(AGENTS), rng.choice(FAULTS), rng.choice(HOURS)
    if seed % LONG_EVERY == 0:
        agents, hours = LONG_AGENTS, LONG_HOURS
    return Case(seed=seed, agents=agents, faults=faults, hours=hours)


@attrs.define
class Total:
    seeds: int = 0
    virtual_s: float = 0.0
    agent_s: float = 0.0
    events: int = 0
    violations: int = 0
    faults: Counter[str] = attrs.field(factory=Counter)
    checks: Counter[str] = attrs.field(factory=Counter)

    def add(self, case: Case, outcome: Outcome) -> None:
        """A run that ends badly without a violation (a crash, agents left over) counts as one."""
        report = outcome.report
        found = len(report.get("violations", ()))
        virtual_s = report.get("virtual_seconds", 0.0)
        self.seeds += 1
        self.virtual_s += virtual_s
        self.agent_s += virtual_s * case.agents
        self.events += report.get("events", 0)
        self.faults.update(report.get("faults", {}))
        self.checks.update(report.get("invariants_checked", {}))
        self.violations += max(found, 1) if outcome.status else found

    def tables(self) -> Iterator[str]:
        for title, counts in (("faults", self.faults), ("checks", self.checks)):
            yield f"{title}:"
            yield from (f"  {name:<34} {count:>10}" for name, count in sorted(counts.items()))

    def line(self) -> str:
        return (
            f"soak: seeds={self.seeds} agent_hours={self.agent_s / 3600:.1f} "
            f"hours={self.virtual_s / 3600:.1f} events={self.events} "
            f"faults={self.faults.total()} checks={self.checks.total()} "
            f"violations={self.violations}"
        )


@attrs.define
class Soak:
    """Takes seeds until there are none, or the time is up."""

    seeds: Iterator[int]
    ends_at: float
    total: Total = attrs.field(factory=Total)
    shrunk: int = 0
    _lock: Lock = attrs.field(factory=Lock)

    def work(self) -> None:
        """One player; several of these may run at a time."""
        player = Player()
        try:
            while (seed := self._next()) is not None:
                case = case_of(seed)
                outcome = player.play(case)
                with self._lock:
                    self.total.add(case, outcome)
                if outcome.status:
                    self._failed(case, outcome, player)
        finally:
            player.close()

    def _next(self) -> int | None:
        with self._lock:
            return None if _now() >= self.ends_at else next(self.seeds, None)

    def _failed(self, case: Case, outcome: Outcome, player: Player) -> None:
        with self._lock:
            for line in told(case, outcome):
                print(line, flush=True)
            self.shrunk += 1
            again = self.shrunk <= SHRUNK_MAX and "script" in outcome.report
        if again:
            line = shrink(case, outcome, player)
            with self._lock:
                print(f"seed {case.seed}, shortest: {line}", flush=True)


def told(case: Case, outcome: Outcome) -> Iterator[str]:
    yield f"seed {case.seed} ended with {outcome.status}; again: {case.command()}"
    if outcome.said:
        yield f"  {outcome.said}"
    for violation in outcome.report.get("violations", ())[:3]:
        yield f"  {violation['invariant']} at {violation['at']:.0f} s: {violation['text']}"


def shrink(case: Case, outcome: Outcome, player: Player) -> str:
    """The command with the fewest faults that still breaks one of the same promises."""
    ends_at, tries = _now() + SHRINK_S, 0

    def enough() -> bool:
        return tries >= SHRINK_TRIES or _now() >= ends_at

    def fails(lines: Sequence[Line]) -> bool:
        nonlocal tries
        tries += 1
        again = player.play(attrs.evolve(short, script=tuple(lines)))
        same = not outcome.broken or outcome.broken & again.broken
        return bool(again.status) and bool(same)

    script = parse(outcome.report["script"])
    short = attrs.evolve(case, script=script, hours=0.0)
    if not fails(script):
        short = attrs.evolve(short, hours=case.hours)
        if not fails(script):
            return f"its script did not fail again: {short.command()}"
    return attrs.evolve(short, script=tuple(shortest(script, fails, enough=enough))).command()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="at most so many")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="at most so long")
    parser.add_argument("--first", type=int, default=1, metavar="S", help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="clusters at a time")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.seeds)
    soak = Soak(iter(seeds), _now() + 60 * options.minutes)
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for done in [pool.submit(soak.work) for _ in range(max(1, options.jobs))]:
            done.result()
    _print(soak.total.tables())
    print(soak.total.line())
    return 1 if soak.total.violations or not soak.total.seeds else 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _now() -> float:
    return time.monotonic()  # noqa: TID251 - real time, of which there is so much


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
