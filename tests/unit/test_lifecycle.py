"""How steps end, and what follows: exit codes, losses, strangers, retries, and the words shown."""

from __future__ import annotations

import attrs
import pytest

from domain import effects, inbox
from domain.agent import Phase, TaskState
from domain.draft import PAUSE_CEILING_S
from domain.rules import Rules
from domain.statuses import status_exit_code
from tests.unit.agent_story import HOST, Story


def test_an_agent_becomes_ready_step_by_step() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    assert story.launched() == [
        "survey", "prerequisites", "sds", "sdc", "survey", "probe", "keeper",
    ]  # fmt: skip
    assert story.record.error == ""
    assert not story.record.slot
    assert story.did(effects.FreeSlot)


def test_what_is_there_already_is_not_installed_again() -> None:
    story = Story(installed={"prerequisites", "sds"})
    story.until_phase(Phase.READY)
    assert "sds" not in story.launched()
    assert "sdc" in story.launched()


# -- exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1, 2, 65, 127, 255])
def test_a_failed_step_is_looked_at_and_tried_again_after_a_pause(code: int) -> None:
    story = Story()
    story.until_running("sds")
    story.ends(code, stderr="reading\nno space left on device\n")
    assert story.record.attempts["sds"] == 1
    assert "no space left on device" in story.record.error
    assert f"exit status {code}" in story.record.error
    assert story.record.tail.endswith("no space left on device")
    assert story.running == "", "not at once"
    story.until_running("sds")
    assert story.launched()[-2:] == ["survey", "sds"]
    story.ends(0)
    assert story.record.error == ""


def test_a_failure_is_told_in_the_steps_own_words_not_in_those_of_mesos() -> None:
    """Mesos' executor writes into the same file, and has the last line of it."""
    story = Story()
    story.until_running("sds")
    own = "sds: no space left\nsds: the disk of the host is full\n"
    story.ends(1, stderr=f"13:44:35 subscribed\n{own}13:44:36 done\n")
    assert "exit status 1: the disk of the host is full;" in story.record.error
    assert story.record.tail.endswith("13:44:36 done")


def test_a_step_that_asks_for_later_is_not_blamed_for_it() -> None:
    story = Story()
    story.until_running("sds")
    story.ends(75, stderr="the lock is held\n")
    assert story.record.attempts.get("sds", 0) == 0
    assert "the lock is held" in story.record.reason
    assert not story.at(Phase.FAILED)
    story.until_phase(Phase.READY)


def test_a_cause_that_lasts_for_days_needs_nobody_when_it_is_gone() -> None:
    story = Story()
    story.until_running("sds")
    story.ends(75, stderr="the lock is held\n")
    since, told = story.record.later_since, story.record.reason
    assert since > 0
    for _ in range(100):
        story.until_running("sds")
        story.ends(75, stderr="the lock is held\n")
        assert not story.at(Phase.FAILED)
        assert story.agent.not_before - story.now <= PAUSE_CEILING_S
    assert (story.record.later_since, story.record.reason) == (since, told)
    assert story.record.attempts.get("sds", 0) == 0
    story.until_phase(Phase.READY)
    assert (story.record.later, story.record.later_since) == ("", 0.0)


def test_a_step_that_holds_ends_the_wait() -> None:
    story = Story()
    story.until_running("sds")
    story.ends(75, stderr="the lock is held\n")
    story.until_running("sds")
    story.ends(0)
    assert story.record.later == ""


def test_a_survey_that_asks_for_later_is_not_blamed_for_it() -> None:
    story = Story()
    for _ in range(20):
        story.until_running("survey")
        story.ends(75, stderr="the file system / is full")
        assert not story.at(Phase.FAILED)
    assert story.record.later == "step survey asks to be tried later: the file system / is full"
    story.until_running("sds")
    assert (story.record.later, story.record.later_since) == ("", 0.0)
    story.ends(75, stderr="the lock is held\n")
    story.until_running("sds")
    assert "the lock is held" in story.record.later, (
        "the survey in between ends no wait but its own"
    )


def test_a_step_that_cannot_work_here_fails_the_agent_at_once() -> None:
    story = Story()
    story.until_running("sds")
    story.ends(78, stderr="no such platform\n")
    assert story.at(Phase.FAILED)
    assert story.record.error == (
        f"{HOST}: step sds cannot work on this host: no such platform; mend it, then retry"
    )
    assert story.did(effects.FreeSlot)


def test_retries_are_bounded_and_the_last_word_says_what_to_do() -> None:
    story = Story(rules=Rules(attempts_max=3), codes={"sds": 1})
    story.until_phase(Phase.FAILED)
    assert story.launched().count("sds") == 3
    assert "failed 3 times" in story.record.error
    assert "retry" in story.record.error
    story.later(100_000.0)
    assert story.at(Phase.FAILED), "it stands still until somebody acts"
    story.codes.clear()
    story.tell(inbox.Command(name="retry"))
    assert story.record.error == ""
    story.until_phase(Phase.READY)


def test_a_step_that_always_ends_well_and_never_helps_is_not_repeated_for_ever() -> None:
    story = Story(rules=Rules(attempts_max=3))
    story.until_running("sds")
    for _ in range(3):
        story.ends(0)
        story.installed.discard("sds")
        story.until(lambda now: now.running == "sds" or now.phase is Phase.FAILED)
    assert story.at(Phase.FAILED)
    assert "the survey still does not see" in story.record.error


def test_a_step_that_holds_after_an_agent_restart_orders_one_when_all_else_is_done() -> None:
    story = Story(codes={"sds": 21})
    story.until_running("agent-restart")
    assert story.launched() == ["survey", "prerequisites", "sds", "sdc", "agent-restart"]
    story.ends(0)
    assert story.at(Phase.SURVEYING)
    assert story.running == "", "the restart takes a while: a survey now would die with it"
    story.until_phase(Phase.READY)
    assert story.launched().count("agent-restart") == 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Command exited with status 0", 0),
        ("Command exited with status 75", 75),
        ("Command exited with status 3; more", 3),
        ("Command terminated with signal Killed", None),
        ("Command exited with status", None),
        ("Command exited with status x", None),
        ("Command exited with status 99999", None),
        ("Executor terminated", None),
        ("", None),
    ],
)
def test_the_exit_code_is_read_where_mesos_tells_it(message: str, expected: int | None) -> None:
    status = inbox.Status(
        task_id="t", agent_id="S1", state="TASK_FAILED", terminal=True, message=message
    )
    assert status_exit_code(status) == expected


def test_without_a_readable_sandbox_the_exit_code_alone_decides() -> None:
    story = Story()
    story.until_running("sds")
    story.ends(0, fault="the sandbox is closed")
    assert story.running == "sdc"
    story.ends(1, fault="the sandbox is closed")
    assert "the sandbox is closed" in story.record.error


def test_a_survey_that_cannot_be_read_is_repeated_and_then_fails_with_its_reason() -> None:
    story = Story(rules=Rules(attempts_max=2))
    for _ in range(2):
        story.until_running("survey")
        story.ends(0, fault="frame 3 is cut")
    assert story.at(Phase.FAILED)
    assert "frame 3 is cut" in story.record.error


def test_a_host_that_no_plan_serves_fails_with_the_plans_sentence() -> None:
    story = Story(fault="no packages for alpine 3.1: add a catalog entry")
    story.until_phase(Phase.FAILED)
    assert story.record.error == f"{HOST}: {story.fault}; mend it, then retry"


def test_a_blocked_step_says_what_is_missing_and_makes_room_for_others() -> None:
    story = Story(blocked="no package of rexray in the catalog")
    story.until(lambda now: now.record.reason == now.blocked)
    assert not story.record.slot
    assert story.did(effects.FreeSlot)
    count = len(story.log)
    story.later(800.0)
    assert len(story.log) == count, "it waits quietly"
    story.later(101.0)
    assert story.at(Phase.SURVEYING), "it looks now and then whether the cause is mended"


# -- ends without an exit code --------------------------------------------------------------------


def test_a_task_that_mesos_refuses_is_a_bug_to_be_shown_not_repeated() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_ERROR", message="Task uses no resources", reason="REASON_TASK_INVALID")
    assert story.at(Phase.FAILED)
    assert "Task uses no resources" in story.record.error
    assert "retry" in story.record.error


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        ("REASON_MAX_COMPLETION_TIME_REACHED", "Task exceeded its limit", "within its time"),
        ("", "Command terminated with signal Killed", "signal Killed"),
        ("REASON_CONTAINER_LIMITATION_MEMORY", "Memory limit exceeded", "Memory limit"),
    ],
)
def test_a_step_that_ends_by_its_own_doing_is_counted(
    reason: str, message: str, words: str
) -> None:
    """Else one that is always killed would be tried for ever."""
    story = Story(rules=Rules(attempts_max=2))
    for _ in range(2):
        story.until_running("sds")
        story.status("TASK_FAILED", reason=reason, message=message, uuid="u")
        assert words in story.record.error
    assert story.at(Phase.FAILED)


def test_a_task_that_never_started_is_launched_again_at_once_and_not_counted() -> None:
    story = Story()
    story.until_running("sds")
    assert story.record.task is not None
    first = story.record.task.task_id
    story.status("TASK_DROPPED", reason="REASON_INVALID_OFFERS")
    assert story.running == "sds"
    assert story.record.task.task_id != first, "an id is never used again"
    assert story.record.attempts["sds"] == 1
    story.status("TASK_DROPPED", reason="REASON_INVALID_OFFERS")
    assert story.running == "sds"
    story.status("TASK_DROPPED", reason="REASON_INVALID_OFFERS")
    assert story.running == "", "the third time there is a pause"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("TASK_LOST", "REASON_AGENT_REMOVED"),
        ("TASK_GONE", "REASON_RECONCILIATION"),
        ("TASK_FAILED", "REASON_EXECUTOR_TERMINATED"),
        ("TASK_KILLED", "REASON_AGENT_DRAINING"),
        ("TASK_GONE_BY_OPERATOR", "REASON_AGENT_REMOVED_BY_OPERATOR"),
    ],
)
def test_after_a_lost_task_the_host_is_looked_at_before_anything_is_done(
    state: str, reason: str
) -> None:
    story = Story()
    story.until_running("sds")
    story.status(state, reason=reason, message="Executor terminated")
    assert story.at(Phase.SURVEYING)
    assert story.record.attempts.get("sds", 0) == 0, "not the step's fault"
    assert story.running == "", "not at once"
    story.later(10.0)
    assert story.running == "survey"


def test_losses_in_a_row_are_followed_by_growing_pauses() -> None:
    story = Story()
    pauses = []
    for _ in range(6):
        story.until_running("sds")
        story.status("TASK_LOST", reason="REASON_AGENT_REMOVED")
        pauses.append(story.agent.not_before - story.now)
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 8 * pauses[0], "the surveys in between do not start it over"


def test_an_unreachable_agent_is_waited_for_and_its_task_goes_on() -> None:
    """No second task: the first may run on beyond the partition."""
    story = Story()
    story.until_running("sds")
    story.status("TASK_UNREACHABLE")
    assert story.at(Phase.LOST)
    assert not any(isinstance(one, effects.Kill | effects.Launch) for one in story.todo)
    count = len(story.launched())
    story.later(10_000.0)
    story.status("TASK_RUNNING", reason="REASON_AGENT_REREGISTERED")
    assert story.at(Phase.SURVEYING)
    assert len(story.launched()) == count, "the task that runs is waited for"
    assert story.did(effects.Track)
    story.until_phase(Phase.READY)


def test_a_lost_agent_whose_own_word_arrives_is_back() -> None:
    """Even where it is the end of its keeper, and nobody saw it return."""
    story = Story()
    story.until_phase(Phase.READY)
    story.keeper("TASK_UNREACHABLE", uuid="")
    assert story.at(Phase.LOST)
    story.keeper("TASK_FAILED", uuid="u")
    assert story.at(Phase.SURVEYING)
    story.until_phase(Phase.READY)


# -- updates --------------------------------------------------------------------------------------


def test_an_update_is_acknowledged_if_it_has_a_uuid_and_only_then() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_RUNNING", uuid="abc")
    [ack] = [one for one in story.todo if isinstance(one, effects.Acknowledge)]
    assert (ack.uuid, ack.agent_id) == ("abc", "S1")
    story.status("TASK_RUNNING")
    assert not story.did(effects.Acknowledge)


def test_an_update_that_comes_twice_has_one_effect_and_two_acknowledgements() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_FINISHED", uuid="abc")
    before = story.record
    story.status("TASK_FINISHED", uuid="abc")
    assert story.record == before
    assert story.did(effects.Acknowledge)
    task_id = before.task.task_id if before.task is not None else ""
    story.output()
    after = story.record
    story.status("TASK_FINISHED", task_id=task_id, uuid="abc")
    assert story.record == after, "long over"
    assert story.did(effects.Acknowledge)
    story.status("TASK_RUNNING", task_id=task_id, uuid="abc")
    assert story.record == after, "overtaken by its own end"


def test_a_task_may_end_without_having_been_seen_running() -> None:
    story = Story()
    story.until(lambda now: now.running == "sds")
    assert story.record.task is not None
    assert story.record.task.state is TaskState.WANTED
    story.ends(0)
    assert story.running == "sdc"


def test_an_unknown_state_of_a_newer_mesos_ends_nothing() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_LEVITATING", uuid="abc")
    assert story.running == "sds"
    assert story.did(effects.Acknowledge)


# -- strangers ------------------------------------------------------------------------------------

STRANGER = f"{HOST}.sds.7.0badcafe"


def test_a_running_task_of_ours_that_the_record_does_not_know_is_adopted() -> None:
    """The store was lost: better one more task to wait for than two at once."""
    story = Story()
    story.sighted()
    story.status("TASK_LOST")  # its survey
    story.status("TASK_RUNNING", task_id=STRANGER, uuid="u")
    assert (story.running, story.record.task and story.record.task.task_id) == ("sds", STRANGER)
    story.ends(0)
    story.until_phase(Phase.READY)


def test_what_runs_is_adopted_in_place_of_a_first_survey_that_is_only_wished_for() -> None:
    """Its offer came before the master told of the task: a kill would cut an installation short."""
    story = Story()
    story.sighted()
    wished = story.record.task
    assert wished is not None
    assert wished.step == "survey"
    story.status("TASK_RUNNING", task_id=STRANGER, uuid="u")
    assert not story.did(effects.Kill)
    assert effects.Withdraw(task_id=wished.task_id) in story.todo
    assert (story.running, story.record.task and story.record.task.task_id) == ("sds", STRANGER)
    story.ends(0)
    story.until_phase(Phase.READY)


def test_a_second_task_is_killed() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_RUNNING", task_id=STRANGER, uuid="u")
    [kill] = [one for one in story.todo if isinstance(one, effects.Kill)]
    assert (kill.task_id, kill.agent_id) == (STRANGER, "S1")
    assert story.did(effects.Acknowledge)
    assert story.record.task is not None
    assert story.record.task.task_id != STRANGER


def test_a_task_on_a_dead_agent_id_is_killed_not_adopted() -> None:
    story = Story()
    story.sighted()
    story.status("TASK_LOST")
    story.status("TASK_RUNNING", task_id=STRANGER, agent_id="S0")
    assert story.did(effects.Kill)
    assert story.running == ""


def test_a_keeper_that_the_record_does_not_know_is_adopted_and_a_second_one_killed() -> None:
    story = Story()
    story.sighted()
    story.status("TASK_RUNNING", task_id=f"{HOST}.keeper.7.0badcafe")
    assert story.record.keeper is not None
    story.status("TASK_RUNNING", task_id=f"{HOST}.keeper.8.0badcafe")
    assert story.did(effects.Kill)
    assert story.record.keeper.task_id == f"{HOST}.keeper.7.0badcafe"


@pytest.mark.parametrize("state", ["TASK_UNKNOWN", "TASK_UNREACHABLE", "TASK_FINISHED"])
def test_a_stranger_that_does_not_run_is_nobody(state: str) -> None:
    """A KILL of an unknown task is answered with such a state: no loop."""
    story = Story()
    story.until_running("sds")
    before = story.record
    story.status(state, task_id=STRANGER)
    assert story.record == before
    assert not story.todo


def test_a_task_with_a_name_that_is_not_ours_is_left_alone() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_RUNNING", task_id="somebody-elses", uuid="u")
    assert not story.did(effects.Kill)
    assert story.did(effects.Acknowledge), "else Mesos would repeat it for ever"


# -- what is forgotten ----------------------------------------------------------------------------


def test_after_a_restart_of_the_process_tasks_are_asked_about_not_repeated() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    story.tell(inbox.Doubted(why="its SDC is not connected"))
    assert story.running == "survey"
    story.process_restarts()
    tracked = {one.task_id for one in story.todo if isinstance(one, effects.Track)}
    assert story.record.task is not None
    assert story.record.keeper is not None
    assert tracked == {story.record.task.task_id, story.record.keeper.task_id}
    assert not story.did(effects.Launch)


def test_output_that_was_not_read_before_a_restart_is_read_after_it() -> None:
    story = Story()
    story.until_running("sds")
    story.status("TASK_FINISHED", uuid="u")
    story.process_restarts()
    assert story.did(effects.ReadOutput)
    story.output()
    assert "sds" in story.record.done


def test_a_want_that_was_given_back_is_posted_again_and_not_counted() -> None:
    story = Story()
    story.until(lambda now: now.running == "sds")
    assert story.record.task is not None
    story.tell(inbox.NeverSent(task_id=story.record.task.task_id, why="no password is set"))
    assert story.record.reason == "no password is set"
    assert story.record.attempts.get("sds", 0) == 0
    story.later(10.0)
    assert story.running == "sds"


def test_words_about_other_tasks_change_nothing() -> None:
    story = Story()
    story.until_running("sds")
    before = story.record
    story.tell(inbox.NeverSent(task_id="other", why="x"))
    story.tell(inbox.Output(task_id="other"))
    story.tell(inbox.Surveyed(task_id="other", facts=story.facts(), plan=story.plan()))
    story.tell(inbox.StorageAnswer(request="join", outcome="done"))
    assert attrs.evolve(story.record, reason=before.reason) == before
