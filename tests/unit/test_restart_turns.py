"""Mesos agents are restarted in turns: the first alone, and nobody after one that went back."""

from __future__ import annotations

import attrs
import pytest
from trio.testing import MockClock

from actors.messages import AskRestart, AskSlot, FreeRestart, FreeSlot
from domain import effects, inbox
from domain.agent import Phase
from domain.facts import Facts, Receipt
from domain.rollout import Limits, Rebooting, may_restart
from tests.unit.agent_story import Story
from tests.unit.test_actors_gate import HOSTS, gatehouse

STEPS = ("prerequisites", "isolator")


@attrs.define
class Host(Story):
    """Its isolator step asks for a restart of the agent; `receipt` is what its watcher wrote."""

    receipt: str = ""

    def facts(self) -> Facts:
        receipts = (Receipt(step="agent-restart", state=self.receipt),) if self.receipt else ()
        return attrs.evolve(super().facts(), receipts=receipts)


def host(**fields: object) -> Host:
    return Host(steps=STEPS, codes={"isolator": 21}, **fields)  # type: ignore[arg-type]


def armed() -> Host:
    """Its restart is ordered, and its watcher at work."""
    story = host()
    story.until_running("agent-restart")
    story.receipt = "open"
    story.ends(0)
    return story


def outcomes(story: Story) -> list[str]:
    """What was told of how turns ended; a turn that is only given back says nothing."""
    frees = [one for one in story.log if isinstance(one, effects.FreeRestart)]
    return [one.outcome for one in frees if one.outcome]


# -- one agent ------------------------------------------------------------------------------------


def test_nothing_of_the_agent_is_changed_before_its_turn() -> None:
    story = host()
    story.until(lambda now: now.did(effects.AskRestart))
    assert story.launched() == ["survey", "prerequisites"]
    assert not story.record.slot, "who waits for its turn leaves its place to others"
    story.later(61.0)
    assert story.did(effects.AskRestart), "asked again, in case the gate was restarted"
    story.tell(inbox.RestartGranted())
    assert story.record.restarting == "granted"
    story.until_running("isolator")


def test_a_turn_lasts_until_the_host_says_how_the_restart_ended() -> None:
    story = armed()
    for _ in range(3):
        story.until_running("survey")
        story.ends(0)
        assert story.record.restarting == "armed"
        assert outcomes(story) == []
    story.receipt = "kept"
    story.until_phase(Phase.READY)
    assert outcomes(story) == ["kept"]
    assert story.record.restarting == ""
    assert story.launched().count("agent-restart") == 1


def test_a_restart_step_that_was_killed_is_tried_again_and_not_waited_for() -> None:
    """Its receipt is open, but nobody may watch: the step itself sees whether somebody does."""
    story = host()
    story.until_running("agent-restart")
    story.receipt = "open"
    story.installed.discard("isolator")  # not in effect yet
    begun = story.now
    story.ends(137, stderr="Killed")
    story.until_running("agent-restart")
    assert story.launched().count("agent-restart") == 2
    assert story.now - begun < 300.0, "of virtual time"
    assert outcomes(story) == []
    story.receipt = "kept"
    story.ends(0)
    story.until_phase(Phase.READY)
    assert outcomes(story) == ["kept"]


def test_a_turn_outlives_the_process() -> None:
    story = armed()
    story.process_restarts()
    assert story.record.restarting == "armed"
    story.receipt = "kept"
    story.until_phase(Phase.READY)
    assert outcomes(story) == ["kept"]


def went_back() -> Host:
    story = armed()
    story.receipt = "rolled-back"
    story.installed.discard("isolator")
    story.until_phase(Phase.FAILED)
    return story


def test_a_host_that_went_back_fails_by_name_and_is_not_tried_again() -> None:
    story = went_back()
    assert outcomes(story) == ["undone"]
    assert story.record.undone == "halt"
    assert "Mesos agent" in story.record.error
    story.later(3600.0)
    story.process_restarts()
    story.later(3600.0)
    assert story.launched().count("agent-restart") == 1


def test_an_operators_retry_gives_it_another_turn() -> None:
    story = went_back()
    story.tell(inbox.Command(name="retry"))
    assert outcomes(story) == ["undone", "forgiven"]
    assert story.record.undone == "forgiven"
    story.until_running("agent-restart")
    story.receipt = "kept"
    story.ends(0)
    story.until_phase(Phase.READY)
    assert story.record.undone == ""
    assert outcomes(story) == ["undone", "forgiven", "kept"]


def test_a_second_time_back_halts_again() -> None:
    story = went_back()
    story.tell(inbox.Command(name="retry"))
    story.until_running("agent-restart")
    story.ends(0)
    story.installed.discard("isolator")
    story.until_phase(Phase.FAILED)
    assert outcomes(story) == ["undone", "forgiven", "undone"]


def test_a_held_agent_gives_back_a_turn_that_it_has_not_used() -> None:
    story = host()
    story.until(lambda now: now.record.restarting == "granted")
    story.tell(inbox.Command(name="hold"))
    assert story.record.restarting == ""
    assert story.did(effects.FreeRestart)


def test_a_turn_whose_grant_was_lost_in_a_crash_goes_back_when_the_agent_rests() -> None:
    story = host()
    story.until(lambda now: now.did(effects.AskRestart))
    story.tell(inbox.Command(name="hold"))
    assert story.did(effects.FreeRestart)


def test_a_host_that_is_lost_while_it_watches_keeps_the_turn_until_the_operator_speaks() -> None:
    story = armed()
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.at(Phase.LOST)
    assert story.record.restarting == "armed"
    story.tell(inbox.Command(name="hold"))
    assert story.record.restarting == ""
    assert story.did(effects.FreeRestart)


def test_a_turn_that_comes_too_late_goes_back() -> None:
    story = host()
    story.until(lambda now: now.did(effects.AskRestart))
    story.tell(inbox.Command(name="hold"))
    story.tell(inbox.RestartGranted())
    assert story.did(effects.FreeRestart)


# -- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "together"), [(0, 1), (1, 2), (3, 4), (30, 5)])
def test_each_restart_that_is_kept_allows_one_more_at_a_time(kept: int, together: int) -> None:
    limits = Limits(parallel=5)
    others = [f"b{number}" for number in range(together)]
    for busy in range(together + 1):
        why_not = may_restart(
            "a", restarting=frozenset(others[:busy]), undone=frozenset(), kept=kept, limits=limits
        )
        assert bool(why_not) is (busy == together)


async def test_one_that_went_back_halts_all_but_itself(autojump_clock: MockClock) -> None:
    async with gatehouse(Limits(parallel=10)) as here:
        await here.tell(AskRestart(host="a1"), AskRestart(host="a2"))
        assert here.heard("a1") == [inbox.RestartGranted()]
        assert here.heard("a2") == []
        await here.tell(FreeRestart(host="a1", outcome="undone"))
        assert here.heard("a2") == []
        assert "a1" in here.gate.board.gate_verdicts["a2"]
        await here.tell(AskRestart(host="a1"))
        assert here.heard("a1") == [inbox.RestartGranted()], "the operator has retried it"
        await here.tell(FreeRestart(host="a1", outcome="kept"))
        assert here.heard("a2") == [inbox.RestartGranted()]


async def test_who_holds_a_turn_gets_a_place_before_the_others(autojump_clock: MockClock) -> None:
    async with gatehouse(Limits(parallel=1)) as here:
        await here.tell(AskRestart(host="a3"), AskSlot(host="a1"))
        await here.tell(AskSlot(host="a3"))
        assert here.heard("a1") == [inbox.SlotGranted()]
        assert here.heard("a3") == [inbox.RestartGranted()]
        await here.tell(AskSlot(host="a2"), AskSlot(host="a3"), FreeSlot(host="a1"))
        assert here.heard("a3") == [inbox.SlotGranted()], "within the limit"
        assert here.heard("a2") == []


async def test_a_turn_that_was_not_used_is_the_next_ones(autojump_clock: MockClock) -> None:
    async with gatehouse(Limits(parallel=10)) as here:
        await here.tell(*(AskRestart(host=name) for name in HOSTS))
        await here.tell(FreeRestart(host="a1"))
        assert here.heard("a2") == [inbox.RestartGranted()]
        assert here.heard("a3") == []


def test_a_halt_ends_when_the_host_was_mended_without_a_retry() -> None:
    """By hand, then hold and resume: what counts is what the host shows."""
    story = went_back()
    story.receipt = ""
    story.installed.add("isolator")
    story.tell(inbox.Command(name="hold"))
    story.tell(inbox.Command(name="resume"))
    story.until_phase(Phase.READY)
    assert story.record.undone == ""
    assert outcomes(story) == ["undone", "forgiven"]


def test_a_host_lost_after_its_settings_may_have_been_written_keeps_the_turn() -> None:
    """It may come back with them, and unable to start its agent: nobody shall follow it."""
    story = host()
    story.until_running("isolator")
    assert story.record.restarting == "begun"
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.record.restarting == "begun"


def test_a_host_that_cannot_take_the_settings_holds_nobody_up() -> None:
    story = host()
    story.until_running("isolator")
    story.ends(78, stderr="isolator: the agent's launcher is not linux")
    assert story.at(Phase.FAILED)
    assert story.record.restarting == ""
    assert story.did(effects.FreeRestart)


def test_an_agent_that_waits_for_its_operator_gives_its_turn_back() -> None:
    story = host()
    story.until(lambda now: now.record.restarting == "granted")
    story.blocked = "no package for rexray"
    story.installed.add("isolator")
    story.now += story.rules.facts_fresh_s + 1
    story.tell(inbox.SlotGranted())
    story.until(lambda now: "no package" in now.record.reason)
    assert story.record.restarting == ""


def test_a_hold_in_the_middle_of_the_order_leaves_no_turn_behind() -> None:
    story = host()
    story.until_running("agent-restart")
    story.tell(inbox.Command(name="hold"))
    story.receipt = "open"
    story.ends(0)
    assert story.at(Phase.HELD)
    assert story.record.restarting == ""


def test_a_watch_that_is_found_open_takes_the_turn_without_asking() -> None:
    story = host(receipt="open")
    story.until_running("survey")
    story.ends(0)
    assert story.record.restarting == "armed"
    assert effects.AskRestart(begun=True) in story.log


async def test_a_watch_that_is_under_way_counts_whatever_the_gate_says(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse(Limits(parallel=10)) as here:
        await here.tell(AskRestart(host="a1", begun=True), AskRestart(host="a2"))
        assert here.heard("a1") == []
        assert here.heard("a2") == []


async def test_a_host_with_a_reboot_does_not_wait_behind_one_with_a_turn(
    autojump_clock: MockClock,
) -> None:
    held = Rebooting(host="a3", address="10.0.0.3", provides_storage=True, permit="p")
    async with gatehouse(Limits(parallel=1), rebooting={"a3": held}) as here:
        await here.tell(AskSlot(host="a1"), AskRestart(host="a2"))
        await here.tell(AskSlot(host="a2"), AskSlot(host="a3"))
        assert here.heard("a2") == [inbox.RestartGranted()]
        assert here.heard("a3") == [inbox.SlotGranted()]
