"""`make soak`: what its seeds draw, what it counts, and how it makes a failing script short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from simulation.scripts import Line, render
from tools.shrink import shortest
from tools.soak import LONG_AGENTS, LONG_HOURS, Total, case_of, shrink, told
from tools.soak_worker import Case, Outcome, Player

CASE = Case(seed=5, agents=3, faults="all", hours=1.5)
SCRIPT = tuple(Line(float(at), "rescind", f"agent{at % 3}.sim") for at in range(40))


def broken(*lines: Line, invariant: str = "1-one-task-per-agent") -> Outcome:
    violation = {"invariant": invariant, "at": 7.2, "text": "two at once"}
    return Outcome(status=1, report={"violations": [violation], "script": render(lines)})


WHOLE = Outcome(status=0, report={"violations": []})


@given(st.sets(st.integers(0, 59), max_size=4))
def test_what_stays_is_what_it_takes_to_fail(culprits: set[int]) -> None:
    def fails(lines: Sequence[int]) -> bool:
        return culprits <= set(lines)

    assert shortest(range(60), fails) == sorted(culprits)


def test_shortening_ends_when_it_is_enough_with_what_still_fails() -> None:
    tried: list[Sequence[int]] = []

    def fails(lines: Sequence[int]) -> bool:
        tried.append(lines)
        return {3, 57} <= set(lines)

    left = shortest(range(60), fails, enough=lambda: len(tried) >= 6)
    assert len(tried) <= 7
    assert {3, 57} <= set(left)
    assert len(left) < 60


@attrs.define
class FakePlayer(Player):
    """Fails with these two lines in the script, and not before so many hours."""

    hours: float = 0.0
    always: Outcome | None = None
    asked: list[Case] = attrs.field(factory=list)

    def play(self, case: Case) -> Outcome:
        self.asked.append(case)
        if self.always is not None:
            return self.always
        lines = case.script or ()
        fails = SCRIPT[4] in lines and SCRIPT[31] in lines and case.hours >= self.hours
        return broken(*lines) if fails else WHOLE


def test_a_failing_seed_gets_the_command_with_the_shortest_script() -> None:
    assert shrink(CASE, broken(*SCRIPT), FakePlayer()) == (
        ".venv/bin/python cli.py simulate --agents 3 --seed 5 "
        "--script '4 rescind agent1.sim; 31 rescind agent1.sim'"
    )


def test_the_hours_stay_where_it_takes_them_to_fail() -> None:
    said = shrink(CASE, broken(*SCRIPT), FakePlayer(hours=1.0))
    assert "--hours 1.5 --script '4 rescind agent1.sim; 31 rescind agent1.sim'" in said


def test_another_broken_promise_is_no_shorter_script_of_this_one() -> None:
    player = FakePlayer(always=broken(invariant="12-mailboxes-bounded"))
    assert "did not fail again" in shrink(CASE, broken(*SCRIPT), player)
    assert all(case.script == SCRIPT for case in player.asked)


def test_a_failing_seed_is_told_with_the_command_that_plays_it_again() -> None:
    first, second = told(CASE, broken(*SCRIPT))
    again = ".venv/bin/python cli.py simulate --agents 3 --seed 5 --faults all --hours 1.5"
    assert first.endswith(f"again: {again}")
    assert "1-one-task-per-agent at 7 s: two at once" in second


def test_the_sum_counts_a_bad_end_without_a_violation_as_one() -> None:
    report: dict[str, Any] = {
        "virtual_seconds": 1800.0,
        "events": 10,
        "violations": [],
        "faults": {"reboot": 2},
        "invariants_checked": {"1-one-task-per-agent": 5},
    }
    total = Total()
    total.add(CASE, Outcome(status=0, report=report))
    total.add(CASE, Outcome(status=1, report=report))
    total.add(CASE, Outcome(status=1, said="the process died"))
    assert total.line() == (
        "soak: seeds=3 agent_hours=3.0 hours=1.0 events=20 faults=4 checks=10 violations=2"
    )
    assert any(line.split() == ["reboot", "4"] for line in total.tables())


def test_seeds_draw_different_shapes_and_every_twentieth_goes_on_for_long() -> None:
    cases = [case_of(seed) for seed in range(1, 101)]
    assert cases == [case_of(seed) for seed in range(1, 101)]
    assert {case.agents for case in cases} == {3, 4, 6, LONG_AGENTS}
    assert {case.faults for case in cases} == {"some", "storm", "all"}
    long = [case for case in cases if case.hours >= LONG_HOURS]
    assert [case.seed for case in long] == [20, 40, 60, 80, 100]
    assert {case.agents for case in long} == {LONG_AGENTS}
