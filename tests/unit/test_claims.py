"""Only what a claim task looked at becomes claimed, and only while it is still asked for."""

from __future__ import annotations

import json

import attrs
import pytest

from domain import effects, inbox, records
from domain.agent import AgentRecord, Phase
from domain.plan import Claim
from domain.rules import Rules
from tests.unit.agent_story import DISK, HOST, Story

OTHER = "/dev/disk/by-id/d2"
DELAY_S = 600.0


def claiming(*disks: str) -> Story:
    """A claim task runs that looks at these disks."""
    story = Story(disks=disks or (DISK,), rules=Rules(claim_delay_s=DELAY_S))
    story.until_running("claim")
    return story


def looked_at(story: Story) -> dict[str, Claim]:
    assert story.record.task is not None
    return dict(story.record.task.claims)


def given_away(story: Story) -> bool:
    return any(isinstance(one, effects.AskStorage) for one in story.log)


def test_what_a_claim_task_looks_at_is_stored_with_it() -> None:
    story = claiming(DISK, OTHER)
    assert looked_at(story) == {DISK: Claim("default"), OTHER: Claim("default")}
    stored = records.decode(records.encode(story.record), AgentRecord, key="k")
    assert stored == story.record


@pytest.mark.parametrize("disks", [(DISK, OTHER), (OTHER,), ()], ids=str)
def test_settings_that_change_under_a_claim_end_it_without_a_disk(disks: tuple[str, ...]) -> None:
    """The scheduler comes back with other -devices flags: a disk must not slip in, or stay in."""
    story = claiming(DISK)
    story.disks = disks
    story.process_restarts()
    story.ends(0)
    assert story.record.claimed == {}
    assert not given_away(story)
    assert story.running == "survey"


def test_a_disk_that_slips_in_has_its_own_two_looks_and_its_own_claim() -> None:
    story = claiming(DISK)
    story.disks = (DISK, OTHER)
    story.process_restarts()
    changed_at = story.unix
    story.ends(0)
    story.until(lambda now: bool(now.record.claimed))
    assert set(story.record.claimed) == {DISK, OTHER}
    assert story.record.candidates[OTHER] >= changed_at
    assert story.record.surveyed - story.record.candidates[OTHER] >= DELAY_S
    assert story.launched().count("claim") == 2


def test_disks_that_no_survey_judged_are_surveyed_before_they_are_waited_for() -> None:
    story = Story(disks=(DISK,), rules=Rules(claim_delay_s=DELAY_S))
    story.until(lambda now: now.at(Phase.JOINING))
    story.disks = (DISK, OTHER)
    story.process_restarts()
    assert story.running == "survey"


@pytest.mark.parametrize("claim", [Claim("other-pool"), Claim("default", "overwrite")], ids=str)
def test_another_pool_or_another_level_is_another_claim(claim: Claim) -> None:
    story = claiming(DISK)
    assert story.record.task is not None
    task = attrs.evolve(story.record.task, claims={DISK: claim})
    story.agent = attrs.evolve(story.agent, record=attrs.evolve(story.record, task=task))
    story.ends(0)
    assert story.record.claimed == {}
    assert story.running == "survey"


def test_a_claim_that_an_older_program_launched_claims_nothing() -> None:
    """Its record does not say what it looked at."""
    story = claiming(DISK)
    stored = json.loads(records.encode(story.record))
    del stored["body"]["task"]["claims"]
    record = records.decode(json.dumps(stored).encode(), AgentRecord, key="k")
    assert record.task is not None
    assert record.task.claims == {}
    story.agent = attrs.evolve(story.agent, record=record)
    story.process_restarts()
    story.ends(0)
    assert story.record.claimed == {}
    assert not given_away(story)
    story.until(lambda now: now.record.claimed == {DISK: "default"})


def test_a_claim_that_is_only_heard_of_claims_nothing() -> None:
    story = claiming(DISK)
    task = story.record.task
    assert task is not None
    story.agent = attrs.evolve(story.agent, record=attrs.evolve(story.record, task=None))
    story.status("TASK_RUNNING", task_id=task.task_id, agent_id=task.agent_id)
    assert story.running == "claim"
    story.ends(0)
    assert story.record.claimed == {}


@pytest.mark.parametrize("phase", [Phase.INSTALLING, Phase.JOINING, Phase.ACTIVATING, Phase.READY])
def test_changed_attributes_void_what_was_planned_by_the_old_ones(phase: Phase) -> None:
    story = Story(disks=(DISK,), rules=Rules(claim_delay_s=DELAY_S))
    story.until_phase(phase)
    story.sighted("S1", rack="r7")
    assert story.at(Phase.SURVEYING)


@pytest.mark.parametrize("sent", [False, True])
def test_attributes_that_change_under_a_claim_end_it_without_a_disk(*, sent: bool) -> None:
    story = Story(disks=(DISK,), rules=Rules(claim_delay_s=DELAY_S))
    story.until(lambda now: now.running == "claim")
    if sent:
        story.status("TASK_RUNNING", uuid="u")
    task = story.record.task
    assert task is not None
    story.sighted("S1", rack="r7")
    assert story.did(effects.Withdraw) is not sent
    if sent:
        story.ends(0)
    else:
        story.tell(inbox.NeverSent(task_id=task.task_id, why="given back"))
        story.later(60.0)
    assert story.record.claimed == {}
    assert not given_away(story)
    assert story.running == "survey"


def test_an_agent_that_was_held_under_a_claim_keeps_no_claim() -> None:
    story = claiming(DISK)
    story.tell(inbox.Command(name="hold"))
    story.ends(0)
    assert (story.phase, story.record.claimed) == (Phase.HELD, {})
    assert story.record.host == HOST


def test_a_claim_that_looked_at_nothing_does_not_renew_the_last_one() -> None:
    story = claiming(DISK)
    task_id = f"{HOST}.claim.99.0000abcd"
    story.ends(0)
    claimed_at = story.record.claimed_at
    story.disks = ()  # it is ours now: the plan asks for no more
    story.process_restarts()
    story.now += 30.0
    story.status("TASK_RUNNING", task_id=task_id, agent_id=story.record.agent_id)
    assert story.running == "claim"
    story.ends(0)
    assert story.record.claimed_at == claimed_at
