"""An estimate says how long, and by what it is reckoned."""

from __future__ import annotations

import attrs

from domain.estimate import REBOOT_S, WORK_S, Work, estimate

WORK = Work(to_do=40, places=10, reboots=0, reboots_at_once=1)


def test_with_nothing_measured_it_is_called_a_guess() -> None:
    told = estimate(WORK)
    assert told.seconds == 4 * WORK_S
    assert told.sentence == (
        "about 20 min: 40 agents to do, 10 at a time, 5 min each (a guess, none is done yet)"
    )


def test_what_was_measured_is_taken_the_median_of() -> None:
    told = estimate(attrs.evolve(WORK, work_s=(100.0, 120.0, 9000.0)))
    assert told.seconds == 4 * 120.0
    assert "2 min each (measured on 3)" in told.sentence


def test_reboots_one_after_the_other_take_the_longest() -> None:
    told = estimate(attrs.evolve(WORK, reboots=41, reboot_s=(270.0,)))
    assert told.seconds == 41 * 270.0
    assert told.sentence.startswith("about 3 h 04 min: ")
    assert "41 reboots, one at a time" in told.sentence


def test_the_rest_will_need_reboots_as_those_did_that_are_done() -> None:
    told = estimate(attrs.evolve(WORK, done=10, rebooted=5))
    assert told.seconds == 20 * REBOOT_S
    assert "about 20 reboots" in told.sentence


def test_two_agents_tell_nothing_of_the_others() -> None:
    assert "reboots" not in estimate(attrs.evolve(WORK, done=2, rebooted=2)).sentence


def test_a_rollout_that_stands_has_no_end() -> None:
    told = estimate(attrs.evolve(WORK, waits="it is paused"))
    assert told.seconds is None
    assert told.sentence.startswith("no end in sight: it is paused (40 agents")


def test_where_nothing_may_reboot_there_is_no_end() -> None:
    told = estimate(attrs.evolve(WORK, reboots=2, reboots_at_once=0))
    assert told.seconds is None
    assert "switched off" in told.sentence


def test_nothing_left_is_said() -> None:
    done = attrs.evolve(WORK, to_do=0)
    assert estimate(done).seconds == 0.0
    assert estimate(done).sentence == "nothing is left to do"


def test_reboots_that_are_left_are_waited_for_after_all_work() -> None:
    assert estimate(attrs.evolve(WORK, to_do=0, reboots=2)).seconds == 2 * REBOOT_S
