"""A host that does not come back from our reboot is lost, and halts the reboots of all others."""

from __future__ import annotations

from typing import Final

import attrs
import pytest
from trio.testing import MockClock

from actors.board import AgentSnapshot
from actors.messages import AskReboot, AskRestart, FreeReboot
from domain import effects, health, inbox, storage_health
from domain.agent import AgentRecord, Phase
from domain.draft import REBOOT_PATIENCE_S, Agent, Draft
from domain.rollout import Limits, Rebooting, halted_by
from domain.rules import Moment, Rules
from tests.unit.agent_story import HOST, Story
from tests.unit.test_actors_gate import address, gatehouse

AGENT: Final = "S1"

CAPACITY = storage_health.Limits()


def rebooting() -> Story:
    """Its host unit is armed, and Mesos has lost the agent."""
    story = Story(codes={"sdc": 20})
    story.until(lambda now: now.record.reboot is not None and now.record.reboot.armed)
    story.tell(inbox.AgentGone(agent_id=AGENT))
    assert story.at(Phase.REBOOTING)
    return story


def missing() -> Story:
    story = rebooting()
    story.later(REBOOT_PATIENCE_S + 1.0)
    assert story.at(Phase.LOST)
    return story


def is_missing(story: Story) -> bool:
    return story.record.missing


# -- one agent ------------------------------------------------------------------------------------


def test_a_host_that_does_not_return_in_time_is_lost_and_says_what_to_do() -> None:
    story = rebooting()
    story.later(REBOOT_PATIENCE_S - 60.0)
    assert story.at(Phase.REBOOTING)
    assert story.agent.wake_at is not None
    story.later(story.agent.wake_at - story.now)
    assert story.at(Phase.LOST), "nobody has to tell it anything: it wakes for that"
    assert is_missing(story)
    assert "has not come back" in story.record.reason
    assert "console" in story.record.reason
    assert not story.did(effects.FreeReboot), "it keeps its place"


def test_one_whose_survey_runs_is_there() -> None:
    story = Story(codes={"sdc": 20})
    story.until(lambda now: now.record.reboot is not None and now.record.reboot.armed)
    story.later(31.0)
    assert story.running == "survey"
    story.status("TASK_RUNNING", uuid="u")
    story.later(REBOOT_PATIENCE_S + 1.0)
    assert story.at(Phase.REBOOTING)
    assert not is_missing(story)


def test_one_that_returns_late_halts_the_others_until_it_is_whole() -> None:
    story = missing()
    story.boot += 1
    story.codes.clear()
    story.sighted(AGENT)
    story.until_phase(Phase.JOINING)
    assert is_missing(story)
    assert story.record.rebooted
    assert story.record.reboot is None
    story.until_phase(Phase.READY)
    assert not is_missing(story)
    assert effects.FreeReboot() in story.log


def test_one_that_was_up_all_the_time_gives_its_place_back_and_asks_anew() -> None:
    story = missing()
    story.sighted(AGENT)
    story.until(lambda now: now.at(Phase.REBOOT_WANTED))
    assert not is_missing(story)
    assert effects.FreeReboot() in story.log
    story.until_phase(Phase.READY)
    assert story.boot == 1


def test_a_missing_host_is_remembered_by_the_next_process() -> None:
    story = missing()
    story.process_restarts()
    assert is_missing(story)
    assert story.at(Phase.LOST)


@pytest.mark.parametrize("word", ["hold", "retry", "drain"])
def test_the_operators_word_gives_it_up(word: str) -> None:
    story = missing()
    story.tell(inbox.Command(name=word))
    assert not is_missing(story)
    assert story.record.reboot is None
    assert effects.FreeReboot() in story.todo


def test_a_retry_of_one_that_is_back_and_not_whole_leaves_it_its_place() -> None:
    story = missing()
    story.boot += 1
    story.fault = "nothing works here"
    story.sighted(AGENT)
    story.until_phase(Phase.FAILED)
    assert is_missing(story)
    story.tell(inbox.Command(name="retry"))
    assert not is_missing(story)
    assert story.record.rebooted
    assert effects.FreeReboot() not in story.todo


def test_another_machine_of_that_name_is_not_missing() -> None:
    story = missing()
    story.machine = "m2"
    story.sighted(AGENT)
    story.until_phase(Phase.READY)
    assert not is_missing(story)
    assert story.boot == 0
    assert effects.FreeReboot() in story.log


# -- all the others -------------------------------------------------------------------------------


def test_the_others_are_told_for_whom_they_wait_and_itself_is_not_halted() -> None:
    assert halted_by("a1", frozenset()) == ""
    assert halted_by("a1", frozenset({"a1"})) == ""
    said = halted_by("a1", frozenset({"a3", "a2"}))
    assert "a2, a3" in said
    assert "hold" in said


def shown(host: str, *, missing: bool) -> AgentSnapshot:
    return AgentSnapshot(
        host=host, agent_id="S1", address=address(host), phase="lost", since=0.0, missing=missing
    )


async def test_nobody_is_rebooted_or_restarted_while_a_host_is_missing(
    autojump_clock: MockClock,
) -> None:
    """Although more than one reboot at a time is allowed."""
    held = Rebooting(host="a1", address=address("a1"), provides_storage=False, permit="p")
    async with gatehouse(Limits(parallel=5, reboots=3), rebooting={"a1": held}) as here:
        here.gate.board.post_agent(shown("a1", missing=True))
        assert await here.ask_reboot("a2") == ""
        await here.tell(AskRestart(host="a3"))
        assert here.heard("a3") == []
        for host in ("a2", "a3"):
            assert "a1" in here.gate.board.gate_verdicts[host]
            assert "console" in here.gate.board.gate_verdicts[host]
        await here.ask_permit("p")
        assert here.answers[-1][1] == 404, "its own reboot is overdue, too"
        here.gate.board.post_agent(shown("a1", missing=False))
        await here.tell(FreeReboot(host="a1"))
        assert here.heard("a3") == [inbox.RestartGranted()]
        assert await here.ask_reboot("a2")


async def test_an_armed_host_is_not_permitted_to_go_when_another_has_gone_missing(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse(Limits(parallel=5, reboots=3)) as here:
        permit = await here.ask_reboot("a2")
        here.gate.board.post_agent(shown("a1", missing=True))
        await here.ask_permit(permit)
        assert here.answers[-1][1] == 409
        assert "a1" in here.answers[-1][2]


async def test_a_gate_that_begins_anew_halts_before_any_agent_has_spoken(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse(Limits(parallel=5, reboots=3)) as here:
        here.gate.restore(AgentRecord(host="a1", agent_id="S1", missing=True))
        await here.tell(
            AskReboot(host="a2", address=address("a2"), provides_storage=True),
            AskRestart(host="a3"),
        )
        assert (here.granted("a2"), here.heard("a3")) == ("", [])
        here.gate.board.post_agent(shown("a1", missing=False))
        await here.tell(AskRestart(host="a3"))
        assert here.heard("a3") == [inbox.RestartGranted()]


def test_it_is_one_critical_condition_that_says_what_to_do() -> None:
    view = health.AgentView(host="a1", phase="lost", missing=True)
    scene = health.Scene(agents=(view,))
    found = [one for one in health.judge(scene, CAPACITY, frozenset()) if one.subject]
    assert [(one.name, one.severity, one.subject) for one in found] == [
        ("reboot-overdue", "critical", "a1")
    ]
    assert "console" in found[0].text
    plain = health.Scene(agents=(attrs.evolve(view, missing=False),))
    found = [one for one in health.judge(plain, CAPACITY, frozenset()) if one.subject]
    assert [one.name for one in found] == ["agent-lost"]


# -- as few as possible ---------------------------------------------------------------------------


def test_one_reboot_serves_several_steps_and_the_rest_are_counted() -> None:
    story = Story(codes={"sds": 20, "sdc": 20})
    story.until_phase(Phase.READY)
    assert story.boot == 1
    assert len(story.record.reboots_avoided) == 1
    assert "step sdc" in story.record.reboots_avoided[0]


def test_a_step_that_needs_the_reboot_before_the_join_brings_the_deferred_one_forward() -> None:
    facts = Story().facts()
    agent = Agent(record=AgentRecord(host=HOST, agent_id=AGENT, facts=facts))
    moment = Moment(now=0.0, unix=0.0, token="0" * 8, jitter=0.0)
    draft = Draft(agent, moment, Rules())
    draft.want_reboot("one", before_join=False)
    draft.want_reboot("two", before_join=True)
    draft.want_reboot("two", before_join=True)
    wanted = draft.record.reboot
    assert wanted is not None
    assert (wanted.reason, wanted.before_join) == ("one; two", True)
    assert len(draft.record.reboots_avoided) == 1, "the same wish is no second one"


def test_rexray_without_a_reboot_counts_as_one_that_was_avoided() -> None:
    story = Story(steps=("prerequisites", "rexray"))
    story.until_phase(Phase.READY)
    assert len(story.record.reboots_avoided) == 1
    assert "REX-Ray" in story.record.reboots_avoided[0]


def test_a_reboot_that_came_all_the_same_is_not_counted() -> None:
    story = Story(steps=("prerequisites", "rexray", "sdc"), codes={"sdc": 20})
    story.until_phase(Phase.READY)
    assert story.boot == 1
    assert story.record.reboots_avoided == ()
