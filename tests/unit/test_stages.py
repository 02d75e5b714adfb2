"""One agent first, then a share, then all; halted by failures or by the operator."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.stages import (
    HALT_AT_LEAST,
    Course,
    RolloutRecord,
    Stages,
    may_begin_work,
    obey,
    standing,
    still_forgiven,
    taken_up,
)

RULES = Stages(canary=1, share=25, halt=20, parallel=4, plan="p1")
TOLD = RolloutRecord(plan="p1")


def course(*, ready: int = 0, failed: int = 0, waiting: int = 0, begun: int = 0) -> Course:
    """Agents named after what they are: ready0, failed0, begun0 (holds a place), waiting0."""
    phases = {f"ready{n}": "ready" for n in range(ready)}
    phases |= {f"failed{n}": "failed" for n in range(failed)}
    phases |= {f"begun{n}": "installing" for n in range(begun)}
    phases |= {f"waiting{n}": "installing" for n in range(waiting)}
    return Course(
        phases=phases,
        begun=frozenset(f"begun{n}" for n in range(begun)),
        failed=frozenset(f"failed{n}" for n in range(failed)),
    )


def verdict(host: str, seen: Course, word: RolloutRecord = TOLD, rules: Stages = RULES) -> str:
    return may_begin_work(host, seen, rules, standing(seen, rules, word))


def test_the_canary_goes_alone_until_it_is_ready() -> None:
    assert verdict("waiting0", course(waiting=20)) == ""
    assert "canary" in verdict("waiting0", course(begun=1, waiting=19))
    assert "begun0" in verdict("waiting0", course(begun=1, waiting=19))


def test_after_the_canary_a_share_goes_and_then_all() -> None:
    assert standing(course(ready=1, waiting=19), RULES, TOLD).stage == "share"
    assert verdict("waiting0", course(ready=1, begun=3, waiting=16)) == ""
    assert "first 5 of 20" in verdict("waiting0", course(ready=1, begun=4, waiting=15))
    assert standing(course(ready=5, waiting=15), RULES, TOLD).stage == "all"
    assert verdict("waiting0", course(ready=5, begun=4, waiting=11)) == ""


def test_a_rollout_that_fits_into_its_places_is_one_stage() -> None:
    assert verdict("waiting0", course(begun=3, waiting=1)) == ""
    assert "canary" in verdict("waiting0", course(begun=1, waiting=4))


@pytest.mark.parametrize("phase", ["held", "lost", "draining", "retired"])
def test_who_is_out_of_the_rollout_does_not_count(phase: str) -> None:
    seen = course(begun=1, waiting=3)
    more = {**seen.phases, **{f"out{n}": phase for n in range(30)}}
    assert verdict("waiting0", attrs.evolve(seen, phases=more)) == ""


@pytest.mark.parametrize("phase", ["reboot_wanted", "rebooting", "activating"])
def test_an_agent_that_waits_for_its_reboot_is_still_the_canary(phase: str) -> None:
    seen = course(waiting=19)
    moving = attrs.evolve(seen, phases={**seen.phases, "first": phase})
    assert "first" in verdict("waiting0", moving)
    assert verdict("first", moving) == "", "it goes on"


def test_a_stage_of_none_is_left_out() -> None:
    assert standing(course(waiting=20), attrs.evolve(RULES, canary=0), TOLD).stage == "share"
    assert standing(course(waiting=20), attrs.evolve(RULES, canary=0, share=0), TOLD).stage == "all"
    assert standing(course(ready=1, waiting=19), attrs.evolve(RULES, share=0), TOLD).stage == "all"


def test_a_canary_that_fails_halts_everybody() -> None:
    seen = course(failed=1, waiting=19)
    assert standing(seen, RULES, TOLD).state == "halted"
    assert "failed0" in verdict("waiting0", seen)


def test_later_a_share_of_failures_halts() -> None:
    assert standing(course(ready=10, failed=3, waiting=7), RULES, TOLD).halted == ""
    assert standing(course(ready=10, failed=4, waiting=6), RULES, TOLD).state == "halted"


def test_few_failures_are_no_pattern() -> None:
    small = attrs.evolve(RULES, parallel=10)
    below = course(ready=1, failed=HALT_AT_LEAST - 1, waiting=1)
    assert standing(below, small, TOLD).state == "running"
    at = course(ready=1, failed=HALT_AT_LEAST, waiting=1)
    assert standing(at, small, TOLD).state == "halted"


def test_no_share_of_failures_never_halts() -> None:
    never = attrs.evolve(RULES, halt=0)
    assert standing(course(failed=19, waiting=1), never, TOLD).state == "running"


def test_what_has_begun_comes_to_its_end_in_a_halt() -> None:
    seen = course(ready=10, failed=4, begun=1, waiting=5)
    assert verdict("begun0", seen) == ""
    assert "halted" in verdict("waiting0", seen)


def test_a_resume_forgives_who_has_failed_until_it_fails_anew() -> None:
    seen = course(ready=10, failed=4, waiting=6)
    word, status, _ = obey("resume", seen, RULES, TOLD)
    assert status == 202
    assert standing(seen, RULES, word).state == "running"
    worse = course(ready=9, failed=8, waiting=3)
    assert standing(worse, RULES, word).state == "halted", "four new ones"
    retried = attrs.evolve(seen, phases={**seen.phases, "failed0": "installing"})
    assert "failed0" not in still_forgiven(retried, word).forgiven
    assert still_forgiven(seen, word) is word


def test_another_plan_is_not_judged_by_the_failures_of_the_last() -> None:
    seen = course(ready=10, failed=4, waiting=6)
    anew = taken_up(TOLD, "p2", seen.failed)
    assert standing(seen, attrs.evolve(RULES, plan="p2"), anew).state == "running"
    assert taken_up(TOLD, "p1", seen.failed) == TOLD


@pytest.mark.parametrize(("word", "state"), [("pause", "paused"), ("abort", "aborted")])
def test_the_operator_stops_and_resumes(word: str, state: str) -> None:
    seen = course(ready=10, waiting=10)
    stopped, status, _ = obey(word, seen, RULES, TOLD)
    assert (status, standing(seen, RULES, stopped).state) == (202, state)
    assert "resume" in verdict("waiting0", seen, stopped)
    going, _, _ = obey("resume", seen, RULES, stopped)
    assert standing(seen, RULES, going).state == "running"


def test_with_ask_nobody_begins_before_the_word_for_this_plan() -> None:
    asks = attrs.evolve(RULES, asks=True)
    seen = course(waiting=20)
    assert standing(seen, asks, TOLD).state == "asking"
    assert "/v1/rollout/start" in verdict("waiting0", seen, rules=asks)
    word, status, told = obey("start", seen, asks, TOLD)
    assert (status, "canary" in told) == (202, True)
    assert verdict("waiting0", seen, word, asks) == ""
    other = attrs.evolve(asks, plan="p2")
    assert standing(seen, other, taken_up(word, "p2", frozenset())).state == "asking"


def test_only_ask_waits_for_the_word_to_start() -> None:
    assert obey("start", course(waiting=1), RULES, TOLD)[:2] == (TOLD, 409)
    assert obey("jump", course(waiting=1), RULES, TOLD)[:2] == (TOLD, 404)


@given(
    ready=st.integers(0, 30),
    begun=st.integers(0, 10),
    waiting=st.integers(1, 30),
    canary=st.integers(0, 5),
    share=st.integers(0, 100),
)
def test_there_is_always_somebody_who_may_go_on(
    ready: int, begun: int, waiting: int, canary: int, share: int
) -> None:
    """Without failures and orders: who has begun goes on, or the next may begin."""
    rules = attrs.evolve(RULES, canary=canary, share=share)
    seen = course(ready=ready, begun=begun, waiting=waiting)
    assert seen.under_way or verdict("waiting0", seen, rules=rules) == ""
