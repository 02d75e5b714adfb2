"""One agent is taken out of use: stage by stage, each stored before its acts."""

from __future__ import annotations

import attrs
import pytest

from domain import effects, inbox, records
from domain.agent import AgentRecord, Phase
from domain.facts import Facts
from domain.rules import Rules
from tests.unit.agent_story import Story


def ready() -> Story:
    story = Story()
    story.until_phase(Phase.READY)
    story.log.clear()
    return story


def order(story: Story, name: str = "uninstall") -> None:
    story.tell(inbox.Command(name=name))


def stage(story: Story) -> str:
    return story.record.removal.stage if story.record.removal is not None else ""


def asked(story: Story) -> list[str]:
    return [one.request for one in story.log if isinstance(one, effects.AskStorage)]


def at_leaving(story: Story) -> None:
    order(story)
    story.tell(inbox.RebootGranted(permit="p9"))
    story.storage("done")
    assert stage(story) == "leaving"


def at_uninstalling(story: Story) -> None:
    at_leaving(story)
    story.keeper("TASK_KILLED")
    story.later(200.0)
    story.storage("done")
    story.later(61.0)
    assert (stage(story), story.running) == ("uninstalling", "uninstall")


@pytest.mark.parametrize("word", ["uninstall", "drain"])
def test_it_is_removed_step_by_step_and_then_rests(word: str) -> None:
    story = ready()
    order(story, word)
    assert (story.phase, stage(story)) == (Phase.DRAINING, "asked")
    assert effects.AskReboot(provides_storage=True, boots=False) in story.todo
    assert asked(story) == [], "the gate has not spoken yet"
    story.tell(inbox.RebootGranted(permit="p9"))
    assert (asked(story), story.record.disrupt) == (["leave-check"], "p9")
    assert not any(isinstance(one, effects.Kill) for one in story.log)
    story.storage("done")
    assert (asked(story), stage(story)) == (["leave-check", "leave"], "leaving")
    assert story.did(effects.Kill), "the keeper"
    story.keeper("TASK_KILLED")
    story.storage("waiting", "its data moves")
    assert (stage(story), story.record.reason) == ("leaving", "its data moves")
    story.later(200.0)
    story.storage("done")
    assert (stage(story), story.record.disrupt) == ("uninstalling", "")
    assert story.did(effects.FreeReboot)
    story.later(61.0)
    assert story.running == "uninstall"
    story.ends(0)
    assert (stage(story), asked(story)[-1]) == ("last", "leave-last")
    story.storage("done")
    assert (story.phase, story.record.facts, story.record.removal) == (Phase.RETIRED, None, None)
    story.later(100_000.0)
    assert story.at(Phase.RETIRED)
    assert story.todo == ()


def test_the_agents_old_settings_are_watched_as_the_new_ones_were() -> None:
    story = ready()
    at_uninstalling(story)
    story.ends(21)
    assert stage(story) == "settling"
    assert story.did(effects.AskRestart)
    assert story.running == ""
    story.tell(inbox.RestartGranted())
    assert story.running == "agent-restart"
    story.ends(0)
    assert (stage(story), story.record.restarting) == ("uninstalling", "armed")
    story.later(61.0)
    assert story.running == "uninstall"
    story.ends(75)
    assert story.record.restarting == "armed", "the host still watches"
    story.later(400.0)
    story.ends(0)
    assert (stage(story), story.record.restarting) == ("last", "")


def test_it_can_be_called_off_as_long_as_nothing_was_removed() -> None:
    story = ready()
    order(story)
    story.tell(inbox.RebootGranted(permit="p9"))
    story.storage("waiting", "volumes are mapped to its SDC (mysql)")
    order(story, "resume")
    assert (story.phase, story.record.removal) == (Phase.SURVEYING, None)
    assert story.did(effects.FreeReboot)
    story.until_phase(Phase.READY)


def test_later_it_only_goes_forward() -> None:
    story = ready()
    at_leaving(story)
    order(story, "resume")
    assert story.at(Phase.DRAINING)
    assert "cannot be called off" in story.record.reason
    order(story, "hold")
    assert story.at(Phase.HELD)
    story.later(1000.0)
    assert story.at(Phase.HELD)
    order(story, "resume")
    assert (story.phase, stage(story)) == (Phase.DRAINING, "leaving")


def test_a_failed_removal_goes_on_when_it_is_retried() -> None:
    story = ready()
    at_uninstalling(story)
    story.ends(78, stderr="uninstall: volumes are mapped to this host")
    assert story.at(Phase.FAILED)
    assert "mapped" in story.record.error
    order(story, "retry")
    assert (story.phase, stage(story), story.running) == (
        Phase.DRAINING,
        "uninstalling",
        "uninstall",
    )


def test_a_retired_agent_is_taken_up_again() -> None:
    story = ready()
    at_uninstalling(story)
    story.ends(0)
    story.storage("done")
    assert story.at(Phase.RETIRED)
    story.installed.clear()
    order(story, "resume")
    story.until_phase(Phase.READY)


def test_a_reboot_under_way_is_waited_for() -> None:
    story = Story(codes={"sdc": 20})
    story.until_phase(Phase.REBOOTING)
    order(story)
    assert (story.phase, stage(story)) == (Phase.REBOOTING, "asked")
    story.until_phase(Phase.DRAINING)


def test_who_is_held_can_be_removed() -> None:
    story = ready()
    order(story, "hold")
    order(story)
    assert (story.phase, story.record.held_by) == (Phase.DRAINING, "")


def test_observe_mode_removes_nothing() -> None:
    story = Story(rules=Rules(mode="observe"))
    story.until_phase(Phase.HELD)
    story.log.clear()
    order(story)
    story.later(1000.0)
    assert (story.phase, asked(story), story.launched()) == (Phase.DRAINING, [], [])
    assert "observe" in story.record.reason


@pytest.mark.parametrize("last", [False, True])
def test_a_restart_of_the_process_changes_nothing(last: bool) -> None:
    story = ready()
    at_uninstalling(story)
    if last:
        story.ends(0)
    before = story.record.removal
    story.process_restarts()
    story.later(200.0)
    assert (story.phase, story.record.removal) == (Phase.DRAINING, before)


@attrs.define
class Telling(Story):
    def facts(self) -> Facts:
        return attrs.evolve(super().facts(), isolation=("posix/cpu", "posix/mem"))


def test_what_the_agent_ran_with_before_us_is_remembered() -> None:
    story = Telling(steps=("isolator",))
    story.until_running("isolator")
    assert story.record.isolation_before == ("posix/cpu", "posix/mem")


def test_a_record_of_before_removals_is_read() -> None:
    old = records.encode(AgentRecord(host="a1", agent_id="S1", phase=Phase.DRAINING))
    text = old.replace(b',"removal":null', b"").replace(b',"isolation_before":[]', b"")
    assert text != old
    record = records.decode(text, AgentRecord, key="agents/a1")
    assert (record.removal, record.isolation_before) == (None, ())


def lost(rules: Rules | None = None) -> Story:
    story = ready()
    story.rules = rules or Rules()
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.at(Phase.LOST)
    return story


def test_who_is_gone_for_good_leaves_the_cluster_without_a_task_or_a_permit() -> None:
    story = lost()
    launches = story.launched()
    order(story, "retire")
    assert (story.phase, stage(story), story.record.keeper) == (Phase.DRAINING, "asked", None)
    story.storage("waiting", "data is degraded")
    story.later(200.0)
    story.storage("done")
    assert stage(story) == "leaving"
    story.storage("done")
    assert (stage(story), asked(story)[-1]) == ("last", "leave-last")
    story.storage("done")
    assert story.at(Phase.RETIRED)
    assert story.launched() == launches
    assert not any(isinstance(one, effects.AskReboot | effects.Kill) for one in story.log)
    story.sighted()
    assert (story.phase, story.record.removal) == (Phase.SURVEYING, None), "it was not gone"


def test_only_who_is_lost_is_retired() -> None:
    story = ready()
    order(story, "retire")
    assert (story.phase, story.record.removal) == (Phase.READY, None)


def test_who_comes_back_in_time_is_not_retired() -> None:
    story = lost()
    order(story, "retire")
    story.sighted()
    assert (story.phase, story.record.removal) == (Phase.SURVEYING, None)
    story.until_phase(Phase.READY)


@pytest.mark.parametrize("ordered", [False, True])
def test_who_comes_back_when_its_sds_has_left_is_taken_up_or_removed_as_it_was_ordered(
    ordered: bool,
) -> None:
    story = lost()
    if ordered:
        order(story)
    order(story, "retire")
    story.storage("done")
    story.storage("done")
    assert stage(story) == "last"
    story.sighted()
    if ordered:
        assert (stage(story), story.running) == ("uninstalling", "uninstall")
    else:
        assert (stage(story), story.phase) == ("", Phase.SURVEYING)


def test_who_was_ordered_away_and_comes_back_retired_is_cleaned() -> None:
    story = lost()
    order(story)
    order(story, "retire")
    for _ in range(3):
        story.storage("done")
    assert story.at(Phase.RETIRED)
    story.sighted()
    assert (story.phase, stage(story)) == (Phase.DRAINING, "asked")


def test_a_host_given_up_holds_nothing_that_others_wait_for() -> None:
    story = ready()
    order(story)
    story.tell(inbox.RebootGranted(permit="p9"))
    story.storage("waiting", "volumes are mapped to its SDC (mysql)")
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.record.disrupt == "p9"
    story.later(200.0)
    assert (story.record.disrupt, story.did(effects.FreeReboot)) == ("", True)
    held = attrs.evolve(story.record, restarting="armed", undone="halt")
    story.agent = attrs.evolve(story.agent, record=held)
    order(story, "retire")
    assert effects.FreeRestart(outcome="") in story.todo
    for _ in range(3):
        story.storage("done")
    assert effects.FreeRestart(outcome="forgiven") in story.todo


def test_a_task_that_lives_on_is_adopted_by_who_comes_back() -> None:
    story = Story()
    story.until_running("sds")
    task = story.record.task
    assert task is not None
    story.tell(inbox.AgentGone(agent_id="S1"))
    order(story, "retire")
    assert story.running == ""
    story.status("TASK_RUNNING", task_id=task.task_id, agent_id="S1", uuid="u")
    assert story.running == "sds"


def test_nothing_runs_on_a_retired_host() -> None:
    story = lost()
    keeper = story.record.keeper
    assert keeper is not None
    order(story, "retire")
    for _ in range(3):
        story.storage("done")
    story.status("TASK_RUNNING", task_id=keeper.task_id, agent_id="S1", uuid="u")
    assert effects.Kill(task_id=keeper.task_id, agent_id="S1") in story.todo


def test_a_missing_host_that_policy_has_retired_halts_nobody_when_it_is_whole_again() -> None:
    story = Story(codes={"sdc": 20}, rules=Rules(retire_after_s=3600.0))
    story.until_phase(Phase.REBOOTING)
    story.until_running("reboot")
    story.ends(0)
    story.tell(inbox.AgentGone(agent_id="S1"))
    for _ in range(10):
        story.later(100.0)
    assert story.record.missing
    story.later(3600.0)
    assert story.at(Phase.DRAINING)
    story.boot += 1
    story.codes.clear()
    story.sighted()
    story.until_phase(Phase.READY)
    assert not story.record.missing


def test_the_word_resume_makes_policy_count_anew() -> None:
    story = lost(Rules(retire_after_s=3600.0))
    story.later(3601.0)
    order(story, "resume")
    assert story.at(Phase.LOST)
    story.later(3601.0)
    assert story.at(Phase.DRAINING)


@pytest.mark.parametrize("begun", [False, True])
def test_a_removal_that_waits_for_a_lost_host_goes_on_when_it_is_said_to_be_gone(
    begun: bool,
) -> None:
    story = ready()
    if begun:
        at_uninstalling(story)
        story.ends(75)
    story.tell(inbox.AgentGone(agent_id="S1"))
    order(story)
    story.later(400.0)
    assert "retire it if it is gone for good" in story.record.reason
    order(story, "retire")
    for _ in range(4):
        if story.phase is not Phase.RETIRED:
            story.storage("done")
    assert story.at(Phase.RETIRED)


def test_policy_retires_who_stays_away_and_takes_it_up_again() -> None:
    story = lost(Rules(retire_after_s=3600.0))
    assert story.agent.wake_at is not None
    assert story.agent.wake_at <= story.now + 3600.0
    story.later(3599.0)
    assert story.at(Phase.LOST)
    story.later(2.0)
    assert (story.phase, stage(story)) == (Phase.DRAINING, "asked")
    for _ in range(3):
        story.storage("done")
    assert (story.phase, story.record.on_return) == (Phase.RETIRED, "resume")
    story.sighted()
    assert (story.phase, story.record.on_return) == (Phase.SURVEYING, "")


def test_policy_believes_no_absence_of_before_this_process() -> None:
    story = lost(Rules(retire_after_s=3600.0))
    story.process_restarts()
    story.later(7200.0)
    assert story.at(Phase.LOST)
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.at(Phase.DRAINING), "it was away all the time"


@pytest.mark.parametrize("word", ["hold", "observe"])
def test_policy_leaves_alone_what_operators_have_taken(word: str) -> None:
    story = lost(Rules(retire_after_s=3600.0, mode="observe" if word == "observe" else "run"))
    if word == "hold":
        order(story, "hold")
    story.later(7200.0)
    assert story.record.removal is None


def test_who_is_taken_up_again_while_mesos_has_lost_it_is_lost() -> None:
    story = lost()
    order(story, "hold")
    order(story, "resume")
    assert (story.phase, story.running) == (Phase.LOST, "")


def test_an_agent_that_speaks_is_not_lost() -> None:
    story = ready()
    at_uninstalling(story)
    story.status("TASK_RUNNING", uuid="u")
    story.status("TASK_UNREACHABLE")
    assert story.record.lost_at
    story.status("TASK_RUNNING", uuid="u")
    assert (story.record.lost_at, story.agent.told_gone) == (0.0, False)
    story.ends(0)
    assert stage(story) == "last"


def test_a_removed_host_that_is_away_for_a_while_stays_removed() -> None:
    story = ready()
    at_uninstalling(story)
    story.ends(0)
    story.storage("done")
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.sighted()
    assert (story.phase, story.record.lost_at) == (Phase.RETIRED, 0.0)
