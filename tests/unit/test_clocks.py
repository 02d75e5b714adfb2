"""The wall clock is set back: nothing waits for it to catch up, and no look passes for fresh."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from domain.agent import AgentRecord, Phase
from domain.clocks import AHEAD_S, LOOK_AFTER_MAX_S, settled
from domain.rules import Rules
from tests.unit.agent_story import DISK, HOST, UNIX, Story

DELAY_S = 600.0
BACK_S = 7200.0
NOW = 1_000_000.0


@attrs.define
class SetBack(Story):
    """A story whose wall clock can be set."""

    off_s: float = 0.0

    @property
    def unix(self) -> float:
        return UNIX + self.now + self.off_s


def test_empty_disks_wait_their_delay_again_and_no_longer() -> None:
    story = SetBack(disks=(DISK,), rules=Rules(claim_delay_s=DELAY_S))
    story.until(lambda now: now.at(Phase.JOINING))
    story.off_s = -BACK_S
    set_at = story.now
    story.until_running("claim")
    assert DELAY_S <= story.now - set_at < DELAY_S + 300.0
    assert story.record.surveyed - story.record.candidates[DISK] >= DELAY_S


def test_a_disk_that_was_found_empty_at_a_time_to_come_is_looked_at_anew() -> None:
    """Until then the look would pass for fresh, whoever uses the disk meanwhile."""
    story = SetBack(disks=(DISK,), rules=Rules(claim_delay_s=DELAY_S))
    story.until(lambda now: bool(now.record.claimed))
    story.off_s = -BACK_S
    story.agent = attrs.evolve(story.agent, asked={}, not_before=0.0)
    story.later(1.0)
    assert story.running == "survey"


def test_a_survey_that_was_to_wait_waits_two_minutes_at_most() -> None:
    record = AgentRecord(host=HOST, agent_id="S1", look_after=NOW + BACK_S)
    assert settled(record, NOW).look_after == NOW + LOOK_AFTER_MAX_S


@given(st.lists(st.floats(0, NOW + AHEAD_S), min_size=5, max_size=5))
def test_a_record_of_the_past_stays_as_it_is(times: list[float]) -> None:
    record = AgentRecord(
        host=HOST,
        agent_id="S1",
        since=times[0],
        surveyed=times[1],
        claimed_at=times[2],
        later_since=times[3],
        candidates={DISK: times[4]},
        look_after=NOW + LOOK_AFTER_MAX_S,
    )
    assert settled(record, NOW) is record


@given(st.lists(st.floats(0, 2 * NOW), min_size=6, max_size=6))
def test_once_settled_a_record_stays_so(times: list[float]) -> None:
    record = AgentRecord(
        host=HOST,
        agent_id="S1",
        since=times[0],
        surveyed=times[1],
        claimed_at=times[2],
        later_since=times[3],
        candidates={DISK: times[4]},
        look_after=times[5],
    )
    once = settled(record, NOW)
    assert settled(once, NOW) is once
    assert max(once.since, once.surveyed, once.claimed_at, once.later_since) <= NOW + AHEAD_S
