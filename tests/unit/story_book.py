"""Courses of one agent's life, told move by move: what is stored, asked and done at each.

`python -m tests.unit.story_book` writes them to tests/data/stories, where a change of what the
product says or does is read as a difference; a test holds them against that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from domain import inbox
from domain.agent import AgentRecord, Phase
from domain.draft import Agent
from domain.facts import Facts, Receipt
from domain.rules import Rules
from tests.unit.agent_story import DISK, HOST, Story

FOLDER: Final = Path(__file__).resolve().parent.parent / "data" / "stories"
AGENT_STEPS: Final = ("isolator",)


@attrs.define
class Told(Story):
    """A story that writes itself down."""

    lines: list[str] = attrs.field(factory=list)
    receipts: tuple[Receipt, ...] = ()
    key: str = ""

    def tell(self, message: inbox.AgentInbox) -> None:
        before, moved = self.agent, self.now
        super().tell(message)
        told = [f"> {self.now - 1000.0:g} s: {_plainly(message)}"]
        told += [f"    {name}: {value!r}" for name, value in _changes(before, self.agent, moved)]
        told += [f"    do {effect!r}" for effect in self.todo]
        self.lines += told

    def facts(self) -> Facts:
        return attrs.evolve(super().facts(), receipts=self.receipts, public_key=self.key)

    def word(self, name: str) -> None:
        self.tell(inbox.Command(name=name))

    def ready(self) -> None:
        """So far as every agent comes; that is told elsewhere."""
        self.until_phase(Phase.READY)
        self.lines.clear()


def _plainly(message: inbox.AgentInbox) -> str:
    if isinstance(message, inbox.Surveyed):
        return f"Surveyed(fault={message.fault!r})"
    return repr(message)


def _changes(before: Agent, after: Agent, now: float) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field in attrs.fields(AgentRecord):
        old, new = getattr(before.record, field.name), getattr(after.record, field.name)
        if old != new:
            found.append((field.name, "as surveyed" if isinstance(new, Facts) else new))
    asked = {name: f"in {at - now:g} s" for name, at in sorted(after.asked.items())}
    if before.asked != after.asked:
        found.append(("asked", asked))
    if before.not_before != after.not_before:
        found.append(("waits", f"{after.not_before - now:g} s"))
    counts = ("lost_in_row", "ignored", "told_gone")
    changed = [name for name in counts if getattr(before, name) != getattr(after, name)]
    found += [(name, getattr(after, name)) for name in changed]
    wakes = after.wake_at
    found.append(("wakes", "never" if wakes is None else f"in {wakes - now:g} s"))
    return found


BOOK: Final[dict[str, Callable[[], Told]]] = {}


def told(make: Callable[[], Told]) -> Callable[[], Told]:
    BOOK[make.__name__.replace("_", "-")] = make
    return make


# -- from the first sight to the keeper ------------------------------------------------------------


@told
def onboarded_with_disks() -> Told:
    story = Told(disks=(DISK,), rules=Rules(claim_delay_s=30.0))
    story.until_phase(Phase.READY)
    return story


@told
def onboarded_with_a_reboot() -> Told:
    story = Told(codes={"sdc": 20})
    story.until_phase(Phase.READY)
    return story


@told
def onboarded_with_a_restart_of_the_mesos_agent() -> Told:
    story = Told(steps=AGENT_STEPS, codes={"isolator": 21})
    story.until_running("agent-restart")
    story.ends(0)
    story.receipts = (Receipt(step="agent-restart", state="open"),)
    story.later(61.0)
    if story.running == "survey":
        story.ends(0)
    story.receipts = (Receipt(step="agent-restart", state="kept"),)
    story.until_phase(Phase.READY)
    return story


@told
def replaces_a_running_sds() -> Told:
    story = Told(disrupts=("sds",))
    story.until_running("sds")
    story.ends(75, stderr="sds: the permit was not confirmed")
    story.until_phase(Phase.READY)
    return story


@told
def rexray_and_no_reboot() -> Told:
    story = Told(steps=("rexray",))
    story.until_phase(Phase.READY)
    return story


@told
def without_a_probe() -> Told:
    story = Told(rules=Rules(probe=False))
    story.until_phase(Phase.READY)
    return story


# -- the storage cluster ---------------------------------------------------------------------------


@told
def joins_slowly() -> Told:
    story = Told()
    story.until_phase(Phase.JOINING)
    story.storage("waiting", "the MDM does not list the SDC yet")
    story.later(200.0)
    story.storage("done")
    story.storage("skipped", "the pool has no room for a volume")
    story.until_phase(Phase.READY)
    return story


@told
def is_refused_by_the_gateway() -> Told:
    story = Told()
    story.until_phase(Phase.JOINING)
    story.storage("refused", "the domain is inactive")
    story.later(1000.0)
    story.word("retry")
    story.until_phase(Phase.READY)
    return story


@told
def its_probe_takes_long() -> Told:
    story = Told()
    story.until_phase(Phase.JOINING)
    story.storage("done")
    story.storage("done")
    story.until_running("probe")
    story.ends(75, stderr="probe: the volume is not seen yet")
    story.later(400.0)
    story.until_phase(Phase.READY)
    return story


@told
def its_disk_is_not_empty_any_more() -> Told:
    story = Told(disks=(DISK,), rules=Rules(claim_delay_s=30.0))
    story.until_running("claim")
    story.ends(65, stderr="claim: there is a file system on it")
    story.later(1000.0)
    return story


# -- what goes wrong on the host -------------------------------------------------------------------


@told
def a_step_fails_until_its_tries_are_spent() -> Told:
    story = Told(rules=Rules(attempts_max=2), codes={"sds": 1})
    story.until_phase(Phase.FAILED)
    story.later(5000.0)
    story.codes.clear()
    story.word("retry")
    story.until_phase(Phase.READY)
    return story


@told
def a_step_has_to_wait() -> Told:
    story = Told()
    story.until_running("sds")
    story.ends(75, stderr="sds: LATER locked: the package manager is at work")
    story.until_running("sds")
    story.ends(75, stderr="sds: LATER locked: the package manager is at work")
    story.until_phase(Phase.READY)
    return story


@told
def a_step_cannot_work() -> Told:
    story = Told()
    story.until_running("sdc")
    story.ends(78, stderr="sdc: no module for kernel 6.1.0")
    return story


@told
def its_output_cannot_be_read() -> Told:
    story = Told()
    story.until_running("sds")
    story.status("TASK_FAILED", message="Command exited with status 3", uuid="u")
    story.later(61.0)
    story.output(fault="the sandbox answered 404")
    story.later(400.0)
    return story


@told
def it_cannot_be_surveyed() -> Told:
    story = Told(rules=Rules(attempts_max=2))
    story.until_running("survey")
    story.ends(0, fault="the survey's output is cut off")
    story.until_running("survey")
    story.ends(75, stderr="survey: LATER locked: busy")
    story.until_running("survey")
    story.ends(78, stderr="survey: no shell")
    story.word("retry")
    story.until_phase(Phase.READY)
    return story


@told
def its_survey_comes_late() -> Told:
    story = Told()
    story.until_running("survey")
    task = story.record.task
    assert task is not None
    story.now += 500.0
    for _ in range(2):
        task = story.record.task
        assert task is not None
        story.tell(
            inbox.Status(
                task_id=task.task_id, agent_id="S1", state="TASK_FINISHED", terminal=True,
                uuid="u", timestamp=story.unix - 300.0,
            )
        )  # fmt: skip
        story.output()
        story.later(20.0)
    return story


@told
def its_key_has_changed() -> Told:
    story = Told(key="k1")
    story.ready()
    story.key = "k2"
    story.tell(inbox.Doubted(why="the keeper's health check fails"))
    story.until_phase(Phase.FAILED)
    story.word("retry")
    story.until_phase(Phase.READY)
    return story


@told
def another_machine_answers_to_its_name() -> Told:
    story = Told(codes={"sdc": 20})
    story.ready()
    story.machine = "m2"
    story.installed.clear()
    story.tell(inbox.Doubted(why="its SDC is not connected"))
    story.until_phase(Phase.READY)
    return story


@told
def something_is_missing_that_an_operator_has_to_give() -> Told:
    story = Told(blocked="no package of REX-Ray in the catalog")
    story.until(lambda one: "no package" in one.record.reason)
    story.later(901.0)
    story.blocked = ""
    story.until_phase(Phase.READY)
    return story


@told
def the_settings_contradict_each_other() -> Told:
    story = Told(fault="scaleio-sds-domain names no domain")
    story.until_phase(Phase.FAILED)
    return story


@told
def its_mesos_agent_does_not_come_back() -> Told:
    story = Told(steps=AGENT_STEPS, codes={"isolator": 21})
    story.until_running("agent-restart")
    story.ends(0)
    story.installed.clear()
    story.receipts = (Receipt(step="agent-restart", state="rolled-back"),)
    story.until_phase(Phase.FAILED)
    story.receipts = ()
    story.word("retry")
    story.until_phase(Phase.READY)
    return story


# -- reboots ---------------------------------------------------------------------------------------


def at_its_reboot() -> Told:
    story = Told(codes={"sdc": 20})
    story.until_phase(Phase.REBOOTING)
    story.lines.clear()
    return story


@told
def its_reboot_is_denied_at_last() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(0)
    story.receipts = (Receipt(step="reboot", state="rolled-back"),)
    story.later(61.0)
    story.ends(0)
    story.later(400.0)
    return story


@told
def its_reboot_cannot_be_prepared() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(78, stderr="reboot: no systemd")
    return story


@told
def its_reboot_has_to_wait() -> Told:
    story = at_its_reboot()
    for _ in range(6):
        story.until_running("reboot")
        story.ends(75, stderr="reboot: LATER space: the file system of the state folder is full")
    story.until_running("reboot")
    story.ends(0)
    story.until_phase(Phase.READY)
    return story


@told
def it_stays_up_though_it_should_reboot() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(0)
    for _ in range(12):
        story.later(100.0)
        if story.running == "survey":
            story.ends(0)
    return story


@told
def no_offer_fits_its_reboot_step() -> Told:
    story = at_its_reboot()
    for _ in range(11):
        story.later(100.0)
    return story


@told
def it_does_not_come_back_from_its_reboot() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(0)
    story.tell(inbox.AgentGone(agent_id="S1"))
    for _ in range(10):
        story.later(100.0)
    story.codes.clear()
    story.sighted()
    story.boot += 1
    story.until_phase(Phase.READY)
    return story


@told
def it_is_given_up_when_it_does_not_come_back() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(0)
    story.tell(inbox.AgentGone(agent_id="S1"))
    for _ in range(10):
        story.later(100.0)
    story.word("hold")
    story.word("retire")
    return story


@told
def it_was_only_out_of_sight() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(0)
    for _ in range(10):
        story.later(100.0)
    story.sighted()
    story.until_running("survey")
    story.ends(0)
    return story


# -- Mesos -----------------------------------------------------------------------------------------


@told
def mesos_loses_it_and_has_it_again() -> Told:
    story = Told()
    story.until_running("sds")
    story.tell(inbox.AgentGone(agent_id="another"))
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.later(100.0)
    story.sighted()
    story.ends(0)
    story.until_phase(Phase.READY)
    return story


@told
def mesos_cannot_reach_it() -> Told:
    story = Told()
    story.until_running("sds")
    story.status("TASK_UNREACHABLE")
    story.status("TASK_RUNNING", uuid="u")
    story.until_phase(Phase.READY)
    story.keeper("TASK_UNREACHABLE")
    story.keeper("TASK_RUNNING", healthy=True)
    story.until_phase(Phase.READY)
    return story


@told
def it_registers_anew() -> Told:
    story = Told()
    story.ready()
    story.sighted("S2")
    story.until_phase(Phase.READY)
    story.sighted("S2", rack="r9")
    story.until_phase(Phase.READY)
    return story


@told
def its_tasks_are_lost() -> Told:
    story = Told()
    for state, reason in (
        ("TASK_DROPPED", "REASON_RECONCILIATION"),
        ("TASK_GONE", "REASON_AGENT_REMOVED"),
        ("TASK_LOST", ""),
        ("TASK_KILLED", "REASON_AGENT_DRAINING"),
    ):
        story.until_running("sds")
        story.status(state, reason=reason, uuid="u")
        story.later(700.0)
    story.until_running("sds")
    story.status("TASK_FAILED", message="Command terminated with signal Killed", uuid="u")
    story.later(700.0)
    story.until_running("sds")
    story.status("TASK_FAILED", reason="REASON_MAX_COMPLETION_TIME_REACHED", uuid="u")
    story.later(700.0)
    story.until_running("sds")
    story.status("TASK_ERROR", message="Task uses more resources", uuid="u")
    return story


@told
def its_agent_does_not_tell_how_a_step_failed() -> Told:
    story = Told()
    story.until_running("sds")
    story.status("TASK_FAILED", reason="REASON_RECONCILIATION")
    story.later(121.0)
    story.until_phase(Phase.READY)
    return story


@told
def its_task_was_never_sent() -> Told:
    story = Told()
    story.until(lambda one: one.running == "sds")
    task = story.record.task
    assert task is not None
    story.tell(inbox.NeverSent(task_id=task.task_id, why="no offer of the agent fits"))
    story.later(100.0)
    story.until(lambda one: one.record.keeper is not None)
    keeper = story.record.keeper
    assert keeper is not None
    story.tell(inbox.NeverSent(task_id=keeper.task_id, why="the offer was rescinded"))
    story.until_phase(Phase.READY)
    return story


@told
def its_keeper_ends_again_and_again() -> Told:
    story = Told(rules=Rules(attempts_max=2))
    story.ready()
    for _ in range(12):
        if story.phase is Phase.FAILED:
            break
        story.until(lambda one: one.record.keeper is not None or one.phase is Phase.FAILED)
        if story.record.keeper is not None:
            story.keeper("TASK_FAILED")
        story.later(700.0)
    return story


@told
def its_keeper_is_not_healthy() -> Told:
    story = Told()
    story.until(lambda one: one.record.keeper is not None)
    story.keeper("TASK_STARTING")
    story.keeper("TASK_RUNNING", healthy=False)
    story.later(300.0)
    story.keeper("TASK_RUNNING", healthy=True)
    story.tell(inbox.Doubted(why="its SDC is not connected"))
    story.until_phase(Phase.READY)
    return story


@told
def strange_tasks_are_adopted_or_killed() -> Told:
    story = Told()
    story.sighted()
    story.status("TASK_RUNNING", task_id=f"{HOST}.sds.4.00000abc", agent_id="S1", uuid="u")
    story.status("TASK_RUNNING", task_id=f"{HOST}.sdc.5.00000abd", agent_id="S1", uuid="u")
    story.status("TASK_RUNNING", task_id=f"{HOST}.keeper.3.00000abe", agent_id="S1", uuid="u")
    story.status("TASK_RUNNING", task_id=f"{HOST}.keeper.2.00000abf", agent_id="S1", uuid="u")
    story.status("TASK_RUNNING", task_id="somebody-elses", agent_id="S1", uuid="u")
    return story


# -- operators and restarts ------------------------------------------------------------------------


@told
def held_and_resumed() -> Told:
    story = Told()
    story.until_running("sds")
    story.word("hold")
    story.ends(0)
    story.later(1000.0)
    story.word("resume")
    story.until_phase(Phase.READY)
    story.word("hold")
    story.word("retry")
    return story


@told
def held_while_it_reboots() -> Told:
    story = at_its_reboot()
    story.until_running("reboot")
    story.ends(0)
    story.word("hold")
    story.boot += 1
    story.until_phase(Phase.HELD)
    return story


@told
def the_rollout_is_aborted_and_resumed() -> Told:
    story = Told()
    story.until_running("sds")
    story.word("abort")
    story.word("abort")
    story.ends(0)
    story.word("take-up")
    story.word("take-up")
    story.until_phase(Phase.READY)
    story.word("abort")
    return story


@told
def observed_then_run() -> Told:
    story = Told(rules=Rules(mode="observe"))
    story.until_phase(Phase.HELD)
    story.later(1000.0)
    story.rules = Rules()
    story.process_restarts()
    story.until_running("sds")
    story.rules = Rules(mode="observe")
    story.ends(0)
    return story


@told
def the_process_restarts_in_the_middle() -> Told:
    story = Told(codes={"sdc": 20})
    for step in ("survey", "sds"):
        story.until_running(step)
        story.process_restarts()
    story.until_phase(Phase.JOINING)
    story.process_restarts()
    story.until_phase(Phase.READY)
    story.steps = (*story.steps, "rexray")
    story.process_restarts()
    story.until_phase(Phase.READY)
    return story


# -- taken out of use ------------------------------------------------------------------------------


def leaving() -> Told:
    story = Told()
    story.ready()
    story.word("uninstall")
    story.tell(inbox.RebootGranted(permit="p9"))
    return story


@told
def removed() -> Told:
    story = leaving()
    story.storage("waiting", "volumes are mapped to its SDC (mysql)")
    story.later(200.0)
    story.storage("done")
    story.later(61.0)
    story.keeper("TASK_KILLED")
    story.later(200.0)
    story.storage("done")
    story.later(61.0)
    story.ends(21)
    story.tell(inbox.RestartGranted())
    story.ends(0)
    story.later(61.0)
    story.ends(0)
    story.storage("waiting", "SDS a1 is in the cluster again: remove it")
    story.later(200.0)
    story.storage("done")
    story.word("uninstall")
    story.word("resume")
    return story


@told
def removed_with_a_hold_and_a_failure() -> Told:
    story = leaving()
    story.storage("done")
    story.word("resume")
    story.word("hold")
    story.word("resume")
    story.storage("refused", "the SDS cannot be removed")
    story.word("retry")
    story.keeper("TASK_KILLED")
    story.until_running("uninstall")
    story.ends(78, stderr="uninstall: volumes are mapped to this host")
    story.word("uninstall")
    return story


@told
def its_removal_is_called_off() -> Told:
    story = leaving()
    story.word("resume")
    story.until_phase(Phase.READY)
    return story


@told
def retired_when_it_is_gone() -> Told:
    story = Told()
    story.ready()
    story.word("retire")
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.word("uninstall")
    story.later(1000.0)
    story.word("retire")
    story.storage("waiting", "data is degraded, failed, or being moved or rebuilt")
    story.later(200.0)
    story.storage("done")
    story.storage("done")
    story.storage("done")
    story.sighted()
    return story


@told
def retired_by_policy_and_back() -> Told:
    story = Told(rules=Rules(retire_after_s=3600.0))
    story.ready()
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.later(3601.0)
    story.storage("done")
    story.storage("done")
    story.storage("done")
    story.sighted()
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.later(3601.0)
    story.storage("done")
    story.sighted()
    return story


@told
def back_before_it_is_retired() -> Told:
    story = Told()
    story.ready()
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.word("retire")
    story.sighted()
    story.until_phase(Phase.READY)
    return story


@told
def back_when_it_has_begun_to_leave() -> Told:
    story = Told()
    story.ready()
    story.tell(inbox.AgentGone(agent_id="S1"))
    story.word("retire")
    story.storage("done")
    story.sighted()
    story.tell(inbox.RebootGranted(permit="p7"))
    story.storage("done")
    return story


@told
def its_removal_is_refused() -> Told:
    story = leaving()
    story.storage("done")
    story.storage("refused", "the SDS cannot be removed")
    story.later(1000.0)
    story.word("retry")
    return story


@told
def removed_long_after_its_survey() -> Told:
    story = Told()
    story.ready()
    story.later(5000.0)
    story.word("uninstall")
    story.until_running("survey")
    story.ends(0)
    story.tell(inbox.RebootGranted(permit="p9"))
    return story


@told
def removed_before_anything_is_known_of_it() -> Told:
    story = Told()
    story.word("uninstall")
    story.later(100.0)
    story.sighted()
    return story


@told
def removed_while_its_keeper_is_wished_for() -> Told:
    story = Told()
    story.until(lambda one: one.record.keeper is not None)
    story.word("uninstall")
    story.tell(inbox.RebootGranted(permit="p9"))
    story.storage("done")
    return story


@told
def no_more_reboots_in_observe_mode() -> Told:
    story = at_its_reboot()
    story.rules = Rules(mode="observe")
    story.later(61.0)
    story.later(400.0)
    return story


@told
def its_disks_are_not_taken_in_time() -> Told:
    story = Told(disks=(DISK,), rules=Rules(claim_delay_s=30.0))
    story.until_running("claim")
    story.ends(0)
    story.storage("waiting", "the SDS is not there yet")
    for _ in range(4):
        story.later(61.0)
    return story


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, make in BOOK.items():
        (FOLDER / f"{name}.txt").write_text("\n".join(make().lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
