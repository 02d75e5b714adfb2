"""An aborted rollout holds who is at work after its present step, until the rollout is resumed."""

from __future__ import annotations

import pytest

from domain import inbox
from domain.agent import Phase
from tests.unit.agent_story import Story

ABORT, TAKE_UP = inbox.Command(name="abort"), inbox.Command(name="take-up")


def test_who_is_at_work_is_held_when_its_step_ends() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(ABORT)
    assert story.phase is Phase.HELD
    story.ends(0)
    assert story.phase is Phase.HELD
    assert "aborted" in story.record.reason
    assert not story.running


def test_a_resumed_rollout_takes_it_up_again() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(ABORT)
    story.ends(0)
    story.tell(TAKE_UP)
    story.until_phase(Phase.READY)


def test_a_host_that_reboots_is_held_when_it_is_back() -> None:
    story = Story(codes={"sdc": 20})
    story.until_phase(Phase.REBOOTING)
    story.tell(ABORT)
    assert story.phase is Phase.REBOOTING, "it may happen at any moment"
    story.until_phase(Phase.HELD)
    assert story.record.held_by == "rollout"


def test_what_an_operator_holds_is_not_taken_up_with_the_rollout() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(inbox.Command(name="hold"))
    story.tell(ABORT)
    story.tell(TAKE_UP)
    assert story.phase is Phase.HELD
    assert story.record.held_by == "operator"


@pytest.mark.parametrize("phase", [Phase.READY])
def test_who_is_at_rest_is_left_alone(phase: Phase) -> None:
    story = Story()
    story.until_phase(phase)
    story.tell(ABORT)
    assert story.phase is phase


def test_an_agent_of_an_aborted_rollout_can_be_resumed_alone() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(ABORT)
    story.tell(inbox.Command(name="resume"))
    assert story.phase is Phase.SURVEYING
