"""`decide`: one message to one agent, and what follows from it. Pure.

Handlers change a draft of the record and collect effects; `progress.go_on` then drives the
agent as far as it can go without another message. The actor stores the record first and
performs the effects after, so a crash between the two is found by reconciliation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

import attrs

from domain import (
    effects,
    history,
    inbox,
    progress,
    reboots,
    removal,
    repairs,
    statuses,
    turns,
    waiting,
    words,
)
from domain.agent import Phase, Signal, TaskRef, TaskState
from domain.clocks import settled
from domain.draft import REBOOT_PATIENCE_S, Agent, Draft
from domain.facts import Facts
from domain.job import last_word
from domain.plan import AGENT_RESTART, CLAIM, KEEPER, PROBE, REBOOT, SURVEY, Claim, is_own
from domain.rules import Moment, Rules

PAST_INSTALLING: Final = frozenset(
    {Phase.JOINING, Phase.REBOOT_WANTED, Phase.ACTIVATING, Phase.READY}
)
PLANNED: Final = PAST_INSTALLING | {Phase.INSTALLING}  # by the attributes of the last survey
AGENT_RESTART_WAIT_S: Final = 20.0  # the detached restart begins after 10 s
REXRAY: Final = "rexray"
# The original framework rebooted every agent that it had brought REX-Ray to.
SPARED: Final = "REX-Ray and the volume isolator are in effect without a reboot"
STALE_S: Final = 60.0  # a survey that ended so long ago may have missed a reboot
STALE_AGAIN_S: Final = 600.0  # with clocks that far apart, one survey more in ten minutes


def decide(
    agent: Agent, message: inbox.AgentInbox, *, moment: Moment, rules: Rules
) -> tuple[Agent, tuple[effects.Effect, ...]]:
    """The agent after `message`, and what to do about it, in order."""
    agent = attrs.evolve(agent, record=settled(agent.record, moment.unix))
    draft = Draft(agent, moment, rules)
    _handle(draft, message)
    progress.go_on(draft)
    draft.record = history.noted(agent.record, draft.record, message, moment.unix)
    return draft.result()


def _handle(draft: Draft, message: inbox.AgentInbox) -> None:  # noqa: C901 - one case a message
    match message:
        case inbox.Started():
            _started(draft)
        case inbox.Tick():
            statuses.last_word_is_overdue(draft)
        case inbox.Sighted():
            _sighted(draft, message)
        case inbox.AgentGone():
            if message.agent_id == draft.record.agent_id:
                draft.gone(removal.LOST)
        case inbox.Status():
            statuses.take(draft, message)
        case inbox.NeverSent():
            _never_sent(draft, message)
        case inbox.Output():
            _output(draft, message)
        case inbox.Surveyed():
            _survey_read(draft, message)
        case inbox.SlotGranted():
            _slot_granted(draft)
        case inbox.RebootGranted():
            _reboot_granted(draft, message)
        case inbox.RestartGranted():
            turns.granted(draft)
        case inbox.Waiting():
            draft.change(reason=message.reason)
        case inbox.StorageAnswer():
            _storage(draft, message)
        case inbox.Doubted():
            repairs.doubted(draft, message)
        case inbox.Command():
            words.obey(draft, message.name)
        case _:
            assert_never(message)


def _started(draft: Draft) -> None:
    """After a restart of the process: what was in flight may or may not have happened."""
    record = draft.record
    if record.task is not None and record.task.state is not TaskState.ENDED:
        draft.do(effects.Track(task_id=record.task.task_id, agent_id=record.task.agent_id))
    if record.keeper is not None:
        draft.do(effects.Track(task_id=record.keeper.task_id, agent_id=record.keeper.agent_id))
    # With a reboot before the rest there is more to install by design.
    half_way = record.reboot is not None and record.reboot.before_join
    wanted = draft.plan.next_wanted(frozenset(record.done))
    if record.phase in PAST_INSTALLING and wanted and not half_way:
        draft.doubt("the settings ask for more than was installed: looking again")
    if record.phase is Phase.HELD and record.held_by == "observe" and draft.rules.mode != "observe":
        draft.change(held_by="")
        draft.signal(Signal.RESUME, "observe mode is over")


def _slot_granted(draft: Draft) -> None:
    """A place that comes when we have gone to rest goes back: the gate has freed it already."""
    if draft.asked.pop("slot", None) is not None:
        draft.change(slot=True)
    elif not draft.record.slot:
        draft.do(effects.FreeSlot())


def _sighted(draft: Draft, message: inbox.Sighted) -> None:
    removal.returned(draft)
    record = draft.record
    renamed = message.agent_id != record.agent_id
    reworded = dict(message.attributes) != dict(record.attributes)
    draft.change(
        agent_id=message.agent_id,
        address=message.address or record.address,
        port=message.port,
        attributes=dict(message.attributes),
        lost_at=0.0,
    )
    draft.told_gone = False
    if renamed and record.agent_id:
        # A new id on a known host: the old id is dead, and with it every task it had.
        draft.doubt_boot()
        draft.drop_task()
        if record.keeper is not None:
            draft.do(effects.Withdraw(task_id=record.keeper.task_id, dead=True))
            draft.change(keeper=None)
    if record.phase is Phase.LOST:
        draft.signal(Signal.RETURNED, "the agent is back")
        draft.track_again()
    elif renamed and record.agent_id and record.phase is not Phase.REBOOTING:
        draft.doubt(f"the agent has registered anew as {message.agent_id}")
    elif reworded and record.phase in PLANNED:
        draft.doubt("the agent's attributes have changed")


def _never_sent(draft: Draft, message: inbox.NeverSent) -> None:
    record = draft.record
    if record.task is not None and record.task.task_id == message.task_id:
        draft.uncount(record.task.step)
        draft.end_task()
        draft.change(reason=message.why)
        draft.pause()
    elif record.keeper is not None and record.keeper.task_id == message.task_id:
        draft.uncount(KEEPER)
        draft.change(keeper=None, reason=message.why)
        draft.pause()


def _output(draft: Draft, message: inbox.Output) -> None:
    task = draft.record.task
    if task is None or task.task_id != message.task_id or task.state is not TaskState.ENDED:
        return
    draft.asked.pop("output", None)
    draft.end_task()
    code = task.exit_code
    if code in (0, 20, 21):
        draft.end_wait()
        _step_held(draft, task, code)
        return
    why = last_word(message.stderr, task.step) or message.fault or task.message or "no output"
    draft.change(tail="\n".join(message.stderr.splitlines()[-20:])[-2000:])
    _step_failed(draft, task.step, code, why)


def _step_held(draft: Draft, task: TaskRef, code: int) -> None:
    record, step = draft.record, task.step
    if removal.step_held(draft, task, code):
        return
    if step == REBOOT and record.reboot is not None:
        draft.armed()
        return
    if step == CLAIM:
        _disks_held(draft, task.claims)
        return
    if step == PROBE:
        draft.change(probe=record.probe.replace("mapped:", "seen:"))
        return
    if step == AGENT_RESTART:
        draft.change(
            restart=False,
            restart_for="",
            restarting="armed" if draft.at_work() else "",
            undone="",
            look_after=draft.moment.unix + AGENT_RESTART_WAIT_S,
        )
        draft.doubt("the Mesos agent is restarting with its new settings")
        return
    draft.change(done=(*record.done, step))
    if step == REXRAY and code != 20 and record.facts and REXRAY not in record.facts.packages:
        draft.change(spared=SPARED)
    if draft.at_work():
        draft.change(error="", tail="")
    if code == 20 and record.facts is not None:
        blocks = any(s.name == step and s.reboot_blocks_join for s in draft.plan.steps)
        draft.want_reboot(f"what step {step} brought holds after a reboot", before_join=blocks)
    if code == 21 and is_own(step):
        draft.change(restart_for=step)  # no survey sees whether it has been
    elif code == 21:
        draft.change(restart=True)
    if any(s.name == step and s.survey_after for s in draft.plan.steps):
        draft.doubt(f"step {step} is done: looking again")


def _disks_held(draft: Draft, looked_at: Mapping[str, Claim]) -> None:
    """Nothing is claimed that its claim task did not look at, or that is no longer asked for."""
    draft.uncount(CLAIM)  # it is looked at as often as the Gateway lets it wait
    if draft.record.phase is not Phase.JOINING:
        return  # held, or doubted meanwhile: they are looked at anew before they are taken
    if not looked_at or looked_at != draft.plan.claims():
        draft.doubt("its claim step looked at other disks than are asked for now: looking again")
        return
    pools = {path: claim.pool for path, claim in looked_at.items()}
    draft.change(claimed={**draft.record.claimed, **pools}, claimed_at=draft.moment.unix)


def _step_failed(draft: Draft, step: str, code: int | None, why: str) -> None:
    """EXIT CODES: 75 try again later, 65 wrong data, 78 cannot work here, others failed."""
    match code:
        case 75 if step == REBOOT:
            draft.uncount(step)
            draft.lose_one()
            draft.pause()
            draft.take_back_reboot(f"the reboot could not be prepared ({why})")
            waiting.wait_on(draft, step, why)
        case _ if step == REBOOT:
            draft.deny_reboot(f"the reboot could not be prepared ({why})")
        case 75:
            draft.uncount(step)
            draft.lose_one()
            draft.pause()
            if any(s.name == step and s.disrupts for s in draft.plan.steps):
                draft.end_disruption()  # it is asked for anew: the others need not wait
            draft.look_after(step)
            waiting.wait_on(draft, step, why)
        case 78:
            draft.fail(f"step {step} cannot work on this host: {why}", "mend it, then retry")
        case 65 if step == CLAIM:
            draft.fail(f"a disk is not empty any more: {why}", "look at the disk, then retry")
        case _:
            draft.failed_attempt(step, f"exit status {code}: {why}")


def _survey_read(draft: Draft, message: inbox.Surveyed) -> None:
    task = draft.record.task
    if task is None or task.task_id != message.task_id:
        return
    draft.asked.pop("output", None)
    draft.end_task()
    if message.facts is None or task.exit_code != 0:
        why = message.fault or f"exit status {task.exit_code}"
        if task.exit_code == 78:
            draft.fail(f"this host cannot be surveyed: {why}", "mend it, then retry")
        elif task.exit_code == 75:
            _step_failed(draft, SURVEY, 75, why)
        else:
            draft.failed_attempt(SURVEY, why)
        return
    late = bool(task.ended_at) and draft.moment.unix - task.ended_at > STALE_S
    if late and progress.ask(draft, "newer survey", STALE_AGAIN_S):
        draft.uncount(SURVEY)
        draft.change(reason="the survey came late: looking again")
        return
    strange = _key_changed(draft.record.facts, message.facts)
    draft.take_facts(message.facts, message.plan)
    waiting.survey_held(draft)
    if strange:
        draft.fail(
            "its key for sealed secrets has changed, and nobody said why",
            "if the host was set up anew, retry the agent",
        )
    _after_survey(draft)


def _key_changed(old: Facts | None, new: Facts) -> bool:
    """The first key of a machine is the one that secrets are sealed for."""
    if old is None or not old.public_key or old.machine_id != new.machine_id:
        return False
    return bool(new.public_key) and new.public_key != old.public_key


def _after_survey(draft: Draft) -> None:
    record = draft.record
    if record.phase is Phase.REBOOTING and record.reboot is not None:
        if draft.same_boot():
            if any(r.step == REBOOT and r.state == "rolled-back" for r in turns.receipts(draft)):
                draft.uncount(REBOOT)  # the gate's no is not the agent's fault
                draft.deny_reboot("the host asked for its permit, and did not get it")
            elif draft.moment.unix - record.since > REBOOT_PATIENCE_S:
                draft.deny_reboot("the host did not reboot in 15 minutes")
            else:
                draft.pause(at_least=30.0)
            return
        draft.change(rebooted=True, reboot=None)
        draft.signal(Signal.BACK)
    reboots.found_again(draft)
    if record.phase not in (Phase.SURVEYING, Phase.REBOOTING):
        return  # held or failed meanwhile: the facts are kept, nothing moves
    if record.reboot is not None and not draft.same_boot():
        draft.drop_reboot()  # somebody else rebooted it
    watched = turns.is_watched(draft)
    if not watched:
        turns.settle(draft)
    elif not record.restarting:  # the store was lost, or the operator has held it meanwhile
        draft.change(restarting="armed")
        draft.do(effects.AskRestart(begun=True))
    if watched:
        draft.change(
            look_after=draft.moment.unix + AGENT_RESTART_WAIT_S,
            reason="its Mesos agent is being restarted, and watched by the host",
        )
    elif draft.plan.fault:
        draft.fail(draft.plan.fault, "mend it, then retry")
    elif draft.record.undone == "halt":
        draft.fail(
            "its Mesos agent did not come back with the new settings, and the host restored the "
            "old ones",
            "read the Mesos agent's log on that host, mend the cause, then retry the agent; until "
            "then no other Mesos agent is restarted",
        )
    elif draft.rules.mode == "observe":
        draft.change(held_by="observe")
        draft.signal(Signal.HOLD, "observe mode: the plan is shown, nothing is changed")
    else:
        draft.signal(Signal.SURVEYED)


def _reboot_granted(draft: Draft, message: inbox.RebootGranted) -> None:
    record = draft.record
    draft.asked.pop("reboot", None)
    held = record.reboot.permit if record.reboot is not None else ""
    if record.phase is Phase.REBOOTING and held == message.permit:
        return  # asked twice, granted twice: it is one permission
    if record.phase is Phase.INSTALLING and progress.disrupts_next(draft):
        draft.change(disrupt=message.permit, reason="")
        return
    if removal.granted(draft, message.permit):
        return
    if record.phase is not Phase.REBOOT_WANTED or record.reboot is None:
        draft.free_place()
        return
    draft.permit(message.permit)
    draft.signal(Signal.PERMITTED, "the reboot is granted")


def _storage(draft: Draft, message: inbox.StorageAnswer) -> None:
    record = draft.record
    if record.phase is Phase.DRAINING:
        removal.storage_answer(draft, message)
        return
    if draft.asked.pop("storage", None) is None or record.phase is not Phase.JOINING:
        return
    match message.request, message.outcome:
        case "join", "done":
            draft.change(joined=True, sds_id=message.sds_id, reason="")
            draft.plan = draft.plan.pooled(record.claimed)
            draft.whole_again()
        case "probe-map", "done":
            draft.change(probe=f"mapped:{message.volume_id}", reason="")
        case "probe-map", "skipped":
            draft.change(probe=f"skipped: {message.sentence}", reason="")
        case "probe-clean", "done":
            draft.change(probe="ok", reason="")
        case _, "refused":
            draft.fail(f"the Gateway refuses: {message.sentence}", "mend it, then retry")
        case _:
            draft.change(reason=message.sentence)
            draft.pause(at_least=10.0)
