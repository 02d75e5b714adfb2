"""An agent among others: keeper, reboot, disks, places, the operator, and a world that changes."""

from __future__ import annotations

import attrs
import pytest

from domain import effects, inbox
from domain.agent import Phase
from domain.rules import Rules
from tests.unit.agent_story import DISK, HOST, STEPS, Story

# -- the keeper -----------------------------------------------------------------------------------


def test_ready_means_that_the_keeper_runs_and_is_healthy() -> None:
    story = Story()
    story.until_phase(Phase.ACTIVATING)
    story.keeper("TASK_STARTING")
    story.keeper("TASK_RUNNING")
    assert story.at(Phase.ACTIVATING)
    story.keeper("TASK_RUNNING", healthy=False)
    assert story.at(Phase.ACTIVATING)
    story.keeper("TASK_RUNNING", healthy=True)
    assert story.at(Phase.READY)


@pytest.mark.parametrize("state", ["TASK_KILLED", "TASK_FAILED", "TASK_LOST", "TASK_FINISHED"])
def test_a_keeper_that_ends_starts_a_survey_and_a_repair(state: str) -> None:
    """Mesos kills it when its health check fails: the services are down."""
    story = Story()
    story.until_phase(Phase.READY)
    count = len(story.launched())
    story.keeper(state, healthy=False)
    assert story.at(Phase.SURVEYING)
    assert state in story.record.reason
    story.installed.discard("sds")
    story.until_phase(Phase.READY)
    assert story.launched()[count:] == ["survey", "sds", "survey", "keeper"]


def test_a_keeper_that_never_stays_up_is_a_named_failure() -> None:
    story = Story(rules=Rules(attempts_max=2))
    story.until_phase(Phase.ACTIVATING)
    for _ in range(10):
        if story.at(Phase.FAILED):
            break
        story.keeper("TASK_FAILED")
        story.until(
            lambda now: (
                now.phase is Phase.FAILED
                or (now.phase is Phase.ACTIVATING and now.record.keeper is not None)
            )
        )
    assert story.at(Phase.FAILED)
    assert "keeper" in story.record.error


def test_what_the_storage_does_not_see_is_looked_at() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    story.tell(inbox.Doubted(why="its SDC is not connected to the MDM"))
    assert story.at(Phase.SURVEYING)
    assert story.record.reason == "" or "SDC" in story.record.reason
    assert story.running == "survey"


def test_who_is_at_work_is_not_disturbed_by_doubts() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(inbox.Doubted(why="its SDC is not connected to the MDM"))
    assert (story.phase, story.running) == (Phase.INSTALLING, "sds")


# -- the agent's identity -------------------------------------------------------------------------


def test_a_new_agent_id_closes_the_old_tasks_and_looks_again() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    assert story.record.keeper is not None
    keeper = story.record.keeper.task_id
    story.sighted("S2")
    dead = [one.task_id for one in story.todo if isinstance(one, effects.Withdraw) and one.dead]
    assert dead == [keeper]
    assert (story.phase, story.running) == (Phase.SURVEYING, "survey")
    count = len(story.launched())
    story.until_phase(Phase.READY)
    assert story.launched()[count:] == ["keeper"], "nothing is installed a second time"


def test_a_new_agent_id_in_the_middle_of_a_step_does_not_run_it_twice_at_once() -> None:
    story = Story()
    story.until_running("sds")
    assert story.record.task is not None
    old = story.record.task.task_id
    story.sighted("S2")
    assert effects.Withdraw(task_id=old, dead=True) in story.todo
    assert story.running == "survey"
    story.status("TASK_FINISHED", task_id=old, agent_id="S1", uuid="late")
    assert story.running == "survey", "the dead task's late end means nothing"
    assert story.did(effects.Acknowledge)


def test_the_same_agent_seen_again_changes_nothing() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    before = story.record
    story.sighted()
    assert story.record == before
    assert not story.todo


def test_new_attributes_of_a_ready_agent_are_looked_into() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    story.sighted(rack="r2")
    assert story.at(Phase.SURVEYING)
    assert story.record.attributes == {"rack": "r2"}


def test_only_the_present_agent_id_can_be_lost() -> None:
    story = Story()
    story.until_phase(Phase.READY)
    story.tell(inbox.AgentGone(agent_id="S0"))
    assert story.at(Phase.READY)
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.at(Phase.LOST)
    story.sighted()
    assert story.at(Phase.SURVEYING)
    story.until_phase(Phase.READY)


def test_another_machine_under_the_same_name_voids_all_that_was_known() -> None:
    story = Story(disks=(DISK,))
    story.until_phase(Phase.READY)
    known = story.record
    assert (known.claimed, known.probe, known.sds_id) == ({DISK: "default"}, "ok", "s1")
    story.machine, story.installed = "m2", set()
    story.sighted("S2")
    story.until(lambda now: now.record.facts is not None and now.record.facts.machine_id == "m2")
    record = story.record
    assert (record.candidates, record.claimed, record.probe, record.sds_id) == ({}, {}, "", "")
    assert not record.joined
    story.until_phase(Phase.READY)
    assert story.launched().count("sds") == 2


def test_a_disk_that_is_in_its_pool_is_not_claimed_again() -> None:
    story = Story(disks=(DISK,))
    story.until_phase(Phase.READY)
    story.sighted("S2")
    story.until_phase(Phase.READY)
    assert story.record.claimed == {}, "what is in a pool is the Gateway's to say"
    assert story.launched().count("claim") == 1


# -- reboots --------------------------------------------------------------------------------------


def test_a_reboot_waits_for_its_permission_and_is_proved_by_the_boot_id() -> None:
    story = Story(codes={"sds": 20})
    story.until(lambda now: now.did(effects.AskReboot))
    assert story.at(Phase.REBOOT_WANTED)
    story.later(10_000.0)
    assert "reboot" not in story.launched(), "silence means no"
    story.tell(inbox.RebootGranted(permit="p1"))
    assert story.running == "reboot"
    assert story.record.reboot is not None
    assert (story.record.reboot.permit, story.record.reboot.armed) == ("p1", False)
    story.ends(0)
    assert story.record.reboot.armed
    story.until_running("survey")
    story.boot += 1
    story.codes.clear()
    story.ends(0)
    assert story.at(Phase.INSTALLING) or story.at(Phase.JOINING)
    assert story.record.rebooted, "its place is kept until the storage is whole"
    story.until(lambda now: now.did(effects.FreeReboot))
    assert story.record.joined
    story.until_phase(Phase.READY)


def test_a_reboot_is_progress_and_not_a_loss() -> None:
    story = Story(codes={"sds": 20})
    story.until(lambda now: now.record.reboot is not None and now.record.reboot.armed)
    story.tell(inbox.AgentGone(agent_id="S1"))
    assert story.at(Phase.REBOOTING)
    assert not story.did(effects.FreeReboot)
    story.boot += 1
    story.sighted("S2")
    story.until_phase(Phase.READY)


def test_a_reboot_that_never_came_is_given_back_and_wanted_again() -> None:
    story = Story(codes={"sds": 20})
    story.until(lambda now: now.record.reboot is not None and now.record.reboot.armed)
    for _ in range(100):
        if not story.at(Phase.REBOOTING):
            break
        if story.running:
            story.ends(0)
        else:
            story.later(31.0)
    assert story.at(Phase.REBOOT_WANTED)
    assert "did not reboot" in story.record.error
    assert story.record.reboot is not None
    assert (story.record.reboot.permit, story.record.reboot.armed) == ("", False)
    assert any(isinstance(one, effects.FreeReboot) for one in story.log)


def test_a_reboot_that_cannot_be_prepared_is_given_back_and_in_the_end_a_failure() -> None:
    story = Story(rules=Rules(attempts_max=2), codes={"sds": 20, "reboot": 1})
    story.until_running("reboot")
    story.ends(1, stderr="the init system did not take the unit\n")
    assert story.at(Phase.REBOOT_WANTED)
    assert story.did(effects.FreeReboot)
    story.until_phase(Phase.FAILED)
    assert "could not be prepared" in story.record.error
    assert story.record.reboot is not None
    assert story.record.reboot.permit == ""


def test_a_permission_given_twice_is_one_permission() -> None:
    """The question is repeated each minute, and may cross its answer."""
    story = Story(codes={"sds": 20})
    story.until(lambda now: now.did(effects.AskReboot))
    story.tell(inbox.RebootGranted(permit="p1"))
    story.tell(inbox.RebootGranted(permit="p1"))
    assert not story.did(effects.FreeReboot), "else the gate forgets the permit of an armed host"
    assert story.record.reboot is not None
    assert story.record.reboot.permit == "p1"


@pytest.mark.parametrize("phase", [Phase.INSTALLING, Phase.READY])
def test_a_permission_that_is_not_wanted_any_more_goes_back(phase: Phase) -> None:
    story = Story()
    story.until_phase(phase)
    story.tell(inbox.RebootGranted(permit="p1"))
    assert story.did(effects.FreeReboot)
    assert "reboot" not in story.launched()


def test_a_reboot_step_of_unknown_fate_is_not_repeated_before_the_boot_is_known() -> None:
    """It may have armed the host, which may have rebooted: a second time would be one too many."""
    story = Story(codes={"sds": 20})
    story.until_running("reboot")
    story.boot += 1
    story.sighted("S2")
    assert story.running == "survey"
    story.codes.clear()
    story.ends(0)
    assert story.record.reboot is None
    story.until_phase(Phase.READY)
    assert story.launched().count("reboot") == 1


def test_a_reboot_step_that_was_lost_is_repeated_when_the_boot_is_the_same() -> None:
    story = Story(codes={"sds": 20})
    story.until_running("reboot")
    story.status("TASK_FAILED", reason="REASON_EXECUTOR_TERMINATED", uuid="u")
    story.until_running("survey")
    story.ends(0)
    assert story.at(Phase.REBOOTING)
    story.until_running("reboot")


def test_somebody_elses_reboot_serves_as_well() -> None:
    story = Story(codes={"sds": 20})
    story.until(lambda now: now.did(effects.AskReboot))
    story.boot += 1
    story.codes.clear()
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.sighted("S1")
    story.until_phase(Phase.READY)
    assert "reboot" not in story.launched()


# -- disks ----------------------------------------------------------------------------------------


def test_a_disk_is_claimed_only_after_two_looks_a_delay_apart() -> None:
    story = Story(disks=(DISK,), rules=Rules(claim_delay_s=600.0))
    begun = story.unix
    story.until_running("claim")
    surveys = [one for one in story.log if isinstance(one, effects.Launch) and one.step == "survey"]
    assert len(surveys) >= 2
    first_seen = story.record.candidates[DISK]
    assert begun <= first_seen <= story.record.surveyed - 600.0
    story.ends(0)
    assert story.record.claimed == {DISK: "default"}
    assert story.did(effects.AskStorage)


def test_a_disk_that_vanished_between_the_looks_is_not_claimed() -> None:
    other = "/dev/disk/by-id/d2"
    story = Story(disks=(DISK, other), rules=Rules(claim_delay_s=600.0))
    story.until(lambda now: DISK in now.record.candidates)
    story.disks = (other,)
    story.until_phase(Phase.READY)
    assert story.record.claimed == {other: "default"}


def test_a_disk_that_came_later_has_its_own_two_looks() -> None:
    other = "/dev/disk/by-id/d2"
    story = Story(disks=(DISK,), rules=Rules(claim_delay_s=600.0))
    story.until(lambda now: DISK in now.record.candidates)
    story.disks = (DISK, other)
    story.until_running("claim")
    assert set(story.record.candidates) == {DISK, other}
    assert story.record.surveyed - max(story.record.candidates.values()) >= 600.0


def test_a_disk_that_is_not_empty_at_the_last_moment_stops_the_agent() -> None:
    story = Story(disks=(DISK,))
    story.until_running("claim")
    story.ends(65, stderr=f"{DISK} has a signature: ext4\n")
    assert story.at(Phase.FAILED)
    assert "ext4" in story.record.error
    assert story.record.claimed == {}
    assert not any(isinstance(one, effects.AskStorage) for one in story.log)


def test_a_disk_that_the_gateway_does_not_take_soon_is_looked_at_again_before_it_does() -> None:
    """Somebody may have begun to use it meanwhile; the Gateway can be away for as long as it is."""
    story = Story(disks=(DISK,))
    story.until(lambda now: now.did(effects.AskStorage))
    for _ in range(8):
        claimed = story.unix
        while not story.running:
            story.storage("later", "the Gateway does not answer")
            story.later(20.0)
        assert story.unix - claimed >= 120.0
        story.until(lambda now: now.did(effects.AskStorage))
        assert story.launched()[-2:] == ["survey", "claim"]
    story.until_phase(Phase.READY)


def test_a_join_that_is_under_way_is_not_disturbed_by_another_look() -> None:
    story = Story(disks=(DISK,))
    story.until(lambda now: now.did(effects.AskStorage))
    story.later(150.0)
    assert story.running == ""
    story.storage("done")
    assert story.record.joined


def test_a_disk_that_the_storage_cluster_has_taken_is_shown_in_its_pool() -> None:
    story = Story(disks=(DISK,))
    story.until(lambda now: now.record.joined)
    assert dict(story.agent.plan.verdicts) == {DISK: "in pool default"}


# -- places of the rollout, the Gateway -----------------------------------------------------------


def test_nothing_is_installed_without_a_place() -> None:
    story = Story()
    story.until(lambda now: now.did(effects.AskSlot))
    for _ in range(5):
        story.later(61.0)
        assert story.did(effects.AskSlot), "asked again, in case the gate was restarted"
    assert story.launched() == ["survey"]
    story.tell(inbox.SlotGranted())
    assert story.running == "prerequisites"


def test_facts_that_grew_old_while_it_waited_are_looked_at_again() -> None:
    story = Story(rules=Rules(facts_fresh_s=900.0))
    story.until(lambda now: now.did(effects.AskSlot))
    story.now += 1000.0
    story.tell(inbox.SlotGranted())
    assert story.running == "survey"


def test_a_place_that_comes_to_an_agent_at_rest_goes_back() -> None:
    """The gate took back the place of the held agent before it read its answer."""
    story = Story()
    story.until(lambda now: now.did(effects.AskSlot))
    story.tell(inbox.Command(name="hold"))
    assert story.did(effects.FreeSlot)
    story.tell(inbox.SlotGranted())
    assert not story.record.slot
    assert story.did(effects.FreeSlot)


def test_a_place_granted_twice_is_one_place() -> None:
    story = Story()
    story.until(lambda now: now.did(effects.AskSlot))
    story.tell(inbox.SlotGranted())
    story.tell(inbox.SlotGranted())
    assert story.record.slot
    assert not story.did(effects.FreeSlot)


def test_a_refusal_of_the_gateway_is_shown_with_its_words() -> None:
    story = Story(disks=(DISK,))
    story.until(lambda now: now.did(effects.AskStorage))
    story.storage("refused", "protection domain pd is inactive: activate it")
    assert story.at(Phase.FAILED)
    assert "protection domain pd is inactive" in story.record.error


def test_what_the_storage_cluster_still_does_is_waited_for() -> None:
    story = Story()
    story.until(lambda now: now.did(effects.AskStorage))
    story.storage("waiting", "SDS sds_10.0.0.1 is not healthy yet")
    assert story.record.reason == "SDS sds_10.0.0.1 is not healthy yet"
    assert not story.did(effects.AskStorage), "not at once"
    story.later(11.0)
    assert story.did(effects.AskStorage)


def test_a_probe_that_cannot_be_made_yet_is_skipped_and_said() -> None:
    story = Story()
    story.until(
        lambda now: any(
            isinstance(one, effects.AskStorage) and one.request == "probe-map" for one in now.todo
        )
    )
    story.storage("skipped", "pool default cannot hold a volume yet")
    assert story.record.probe == "skipped: pool default cannot hold a volume yet"
    story.until_phase(Phase.READY)
    assert "probe" not in story.launched()


# -- the operator ---------------------------------------------------------------------------------


def test_observe_mode_holds_with_the_plan_and_changes_nothing() -> None:
    story = Story(rules=Rules(mode="observe"), disks=(DISK,))
    story.until_phase(Phase.HELD)
    story.later(100_000.0)
    story.sighted("S2")
    assert story.launched() == ["survey"]
    asked = effects.AskSlot | effects.AskReboot | effects.AskStorage
    assert not any(isinstance(one, asked) for one in story.log)
    assert [step.name for step in story.agent.plan.steps] == list(STEPS)
    assert story.record.held_by == "observe"
    assert "observe" in story.record.reason
    assert story.at(Phase.HELD)


def test_what_was_only_observed_is_carried_out_when_the_mode_is_run() -> None:
    story = Story(rules=Rules(mode="observe"))
    story.until_phase(Phase.HELD)
    story.rules = Rules(mode="run")
    story.process_restarts()
    assert story.at(Phase.SURVEYING)
    story.until_phase(Phase.READY)


def test_what_an_operator_holds_stays_held_over_restarts_and_events() -> None:
    story = Story()
    story.until_running("sds")
    story.tell(inbox.Command(name="hold"))
    assert story.at(Phase.HELD)
    story.ends(0)
    story.process_restarts()
    story.sighted("S2")
    story.tell(inbox.AgentGone(agent_id="S2"))
    story.tell(inbox.Doubted(why="x"))
    story.tell(inbox.SlotGranted())
    story.later(100_000.0)
    assert story.at(Phase.HELD)
    assert story.launched()[-1] == "sds"
    story.tell(inbox.Command(name="resume"))
    story.sighted("S2")
    story.until_phase(Phase.READY)


def test_a_hold_gives_back_what_was_not_sent() -> None:
    story = Story()
    story.until(lambda now: now.running == "sds")
    assert story.record.task is not None
    story.tell(inbox.Command(name="hold"))
    assert effects.Withdraw(task_id=story.record.task.task_id) in story.todo


@pytest.mark.parametrize("name", ["retry", "resume", "dance"])
def test_words_that_do_not_fit_change_no_phase(name: str) -> None:
    story = Story()
    story.until_phase(Phase.READY)
    before = story.record
    story.tell(inbox.Command(name=name))
    assert attrs.evolve(story.record, held_by=before.held_by) == before


def test_every_failure_names_the_host_the_cause_and_a_cure() -> None:
    for code, word in ((78, "cannot work"), (1, "failed")):
        story = Story(rules=Rules(attempts_max=1), codes={"sds": code})
        story.until_phase(Phase.FAILED)
        assert story.record.error.startswith(f"{HOST}: ")
        assert word in story.record.error
        assert "retry" in story.record.error
