"""`decide`: one message to one agent, and what follows from it. Pure.

Handlers change a draft of the record and collect effects; `progress.go_on` then drives the
agent as far as it can go without another message. The actor stores the record first and
performs the effects after, so a crash between the two is found by reconciliation.
"""

from __future__ import annotations

from typing import Final, assert_never

from domain import effects, inbox, progress
from domain.agent import KeeperRef, Phase, Signal, TaskRef, TaskState, parse_task_id
from domain.draft import Agent, Draft, Moment, Rules
from domain.facts import Receipt
from domain.plan import AGENT_RESTART, CLAIM, KEEPER, PROBE, REBOOT, SURVEY

REBOOT_PATIENCE_S: Final = 900.0  # firmware, file system checks, and Mesos' own registration
AGENT_RESTART_WAIT_S: Final = 30.0  # the detached restart begins after 15 s
LAST_WORD_S: Final = 120.0  # unacknowledged updates come again at once after a resubscription
STALE_S: Final = 60.0  # a survey that ended so long ago may have missed a reboot
STALE_AGAIN_S: Final = 600.0  # with clocks that far apart, one survey more in ten minutes
WATCH_PATIENCE_S: Final = 600.0  # the host's own timer rolls back after 300 s

RELAUNCH_AT_ONCE: Final = frozenset({"TASK_DROPPED"})
NOT_THERE: Final = frozenset({"TASK_UNREACHABLE", "TASK_UNKNOWN"})


def decide(
    agent: Agent, message: inbox.AgentInbox, *, moment: Moment, rules: Rules
) -> tuple[Agent, tuple[effects.Effect, ...]]:
    """The agent after `message`, and what to do about it, in order."""
    draft = Draft(agent, moment, rules)
    _handle(draft, message)
    progress.go_on(draft)
    return draft.result()


def _handle(draft: Draft, message: inbox.AgentInbox) -> None:  # noqa: C901 - one case a message
    match message:
        case inbox.Started():
            _started(draft)
        case inbox.Tick():
            _last_word_is_overdue(draft)
        case inbox.Sighted():
            _sighted(draft, message)
        case inbox.AgentGone():
            if message.agent_id == draft.record.agent_id:
                draft.gone("Mesos has lost the agent; it is taken up again when it returns")
        case inbox.Status():
            _status(draft, message)
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
        case inbox.Waiting():
            draft.change(reason=message.reason)
        case inbox.StorageAnswer():
            _storage(draft, message)
        case inbox.Doubted():
            if draft.record.task is None:
                draft.doubt(message.why)
        case inbox.Command():
            _command(draft, message)
        case _:
            assert_never(message)


def _started(draft: Draft) -> None:
    """After a restart of the process: what was in flight may or may not have happened."""
    record = draft.record
    if record.task is not None and record.task.state is not TaskState.ENDED:
        draft.do(effects.Track(task_id=record.task.task_id, agent_id=record.task.agent_id))
    if record.keeper is not None:
        draft.do(effects.Track(task_id=record.keeper.task_id, agent_id=record.keeper.agent_id))
    if record.phase is Phase.HELD and record.held_by == "observe" and draft.rules.mode == "run":
        draft.change(held_by="")
        draft.signal(Signal.RESUME, "observe mode is over")


def _slot_granted(draft: Draft) -> None:
    """A place that comes when we have gone to rest goes back: the gate has freed it already."""
    if draft.asked.pop("slot", None) is not None:
        draft.change(slot=True)
    elif not draft.record.slot:
        draft.do(effects.FreeSlot())


def _sighted(draft: Draft, message: inbox.Sighted) -> None:
    record = draft.record
    renamed = message.agent_id != record.agent_id
    reworded = dict(message.attributes) != dict(record.attributes)
    draft.change(
        agent_id=message.agent_id,
        address=message.address or record.address,
        port=message.port,
        attributes=dict(message.attributes),
    )
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
    elif reworded and record.phase is Phase.READY:
        draft.doubt("the agent's attributes have changed")


def _status(draft: Draft, status: inbox.Status) -> None:
    record = draft.record
    if record.task is not None and status.task_id == record.task.task_id:
        _task_status(draft, record.task, status)
    elif record.keeper is not None and status.task_id == record.keeper.task_id:
        _keeper_status(draft, record.keeper, status)
    elif not status.terminal and status.task_id not in record.ended:
        _stranger(draft, status)
    if status.uuid:
        draft.do(
            effects.Acknowledge(task_id=status.task_id, agent_id=status.agent_id, uuid=status.uuid)
        )


def _task_status(draft: Draft, task: TaskRef, status: inbox.Status) -> None:
    if task.state is TaskState.ENDED:
        return
    if not status.terminal:
        if status.state in NOT_THERE:
            draft.gone("Mesos cannot reach the agent; it is taken up again when it returns")
            return
        draft.change_task(state=TaskState.RUNNING)
        draft.back_from_the_lost()
        return
    if status.uuid:
        draft.back_from_the_lost()  # the agent itself says so
    code = 0 if status.state == "TASK_FINISHED" else status_exit_code(status)
    if code is not None:
        draft.change_task(
            state=TaskState.ENDED,
            exit_code=code,
            message=status.message[:200],
            ended_at=status.timestamp,
        )
        draft.asked.pop("output", None)
        return
    if status.state == "TASK_FAILED" and status.reason == "REASON_RECONCILIATION":
        # Reconciliation tells no exit code. The agent's own word is not acknowledged yet, so
        # it is sent again, with the code in it.
        draft.asked.setdefault("last-word", draft.moment.now + LAST_WORD_S)
        return
    draft.doubt_boot()
    draft.end_task()
    _attempt_lost(draft, task.step, status)


def status_exit_code(status: inbox.Status) -> int | None:
    """The N of 'Command exited with status N', the only place where Mesos tells it."""
    head, _, tail = status.message.partition("exited with status ")
    digits = tail.split()[0].rstrip(".:;,") if tail.split() else ""
    return int(digits) if head and digits.isdigit() and len(digits) < 4 else None


def _last_word_is_overdue(draft: Draft) -> None:
    task = draft.record.task
    if task is not None and draft.moment.now >= draft.asked.get("last-word", float("inf")):
        draft.asked.pop("last-word")
        draft.end_task()
        draft.lose_one()
        draft.change(reason=f"step {task.step} failed, and its agent does not tell how")
        draft.pause()
        draft.look_after(task.step)


def _attempt_lost(draft: Draft, step: str, status: inbox.Status) -> None:
    """The task ended without an exit code of its own: nobody knows how far it got."""
    if status.state == "TASK_ERROR":
        draft.fail(f"Mesos refuses the task of step {step}: {status.message}", "mend it, retry")
        return
    if status.reason == "REASON_MAX_COMPLETION_TIME_REACHED":
        draft.failed_attempt(step, "it did not end within its time")
        return
    if _ended_of_itself(status):
        draft.failed_attempt(step, status.message or status.reason)
        return
    draft.uncount(step)
    draft.lose_one()
    what = status.reason.removeprefix("REASON_").replace("_", " ").lower() or "no reason given"
    draft.change(reason=f"step {step} was lost ({status.state}, {what}); it is tried again")
    if status.state in RELAUNCH_AT_ONCE and draft.lost_in_row <= 2:
        return
    draft.pause()
    if draft.record.phase is not Phase.REBOOTING and step != SURVEY:
        draft.signal(Signal.DOUBT)


def _ended_of_itself(status: inbox.Status) -> bool:
    """By a signal, or at the limits of its container: its own doing, so it counts."""
    return status.state == "TASK_FAILED" and (
        status.message.startswith("Command terminated with signal")
        or status.reason.startswith("REASON_CONTAINER_LIMITATION")
    )


def _keeper_status(draft: Draft, keeper: KeeperRef, status: inbox.Status) -> None:
    if status.terminal:
        draft.change(keeper=None)
        draft.remember_ended(keeper.task_id)
        draft.pause()
        if status.uuid:
            draft.back_from_the_lost()
        draft.doubt(f"the keeper task ended ({status.state}: {status.message or status.reason})")
        return
    if status.state in NOT_THERE:
        draft.gone("Mesos cannot reach the agent; it is taken up again when it returns")
        return
    healthy = keeper.healthy if status.healthy is None else status.healthy
    draft.change(
        keeper=KeeperRef(
            task_id=keeper.task_id,
            agent_id=keeper.agent_id,
            running=status.state == "TASK_RUNNING",
            healthy=healthy,
        )
    )
    draft.back_from_the_lost()


def _stranger(draft: Draft, status: inbox.Status) -> None:
    """A task on our host, with our kind of name, that the record does not know: store lost."""
    named = parse_task_id(status.task_id)
    if named is None or status.state in NOT_THERE:
        return
    if not draft.record.agent_id:
        draft.change(agent_id=status.agent_id)  # it is the first word we have of this agent
    record, step = draft.record, named[1]
    ours = bool(status.agent_id) and status.agent_id == record.agent_id
    if step == KEEPER and record.keeper is None and ours:
        draft.change(
            keeper=KeeperRef(task_id=status.task_id, agent_id=status.agent_id, running=True)
        )
    elif step != KEEPER and record.task is None and ours:
        draft.change(
            task=TaskRef(
                task_id=status.task_id,
                step=step,
                agent_id=status.agent_id,
                state=TaskState.RUNNING,
            )
        )
    elif status.agent_id:
        draft.do(effects.Kill(task_id=status.task_id, agent_id=status.agent_id))


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
        draft.lost_in_row = 0
        _step_held(draft, task.step, code)
        return
    why = _last_line(message.stderr) or message.fault or task.message or "no output"
    draft.change(tail="\n".join(message.stderr.splitlines()[-20:])[-2000:])
    _step_failed(draft, task.step, code, why)


def _step_held(draft: Draft, step: str, code: int) -> None:
    record = draft.record
    if step == REBOOT and record.reboot is not None:
        draft.armed()
        return
    if step == CLAIM:
        pools = dict(zip(draft.plan.devices, draft.plan.device_pools, strict=True))
        draft.change(claimed={**record.claimed, **pools})
        return
    if step == PROBE:
        draft.change(probe=record.probe.replace("mapped:", "seen:"))
        return
    if step == AGENT_RESTART:
        draft.change(restart=False, look_after=draft.moment.unix + AGENT_RESTART_WAIT_S)
        draft.doubt("the Mesos agent is restarting with its new settings")
        return
    draft.change(done=(*record.done, step))
    if draft.at_work():
        draft.change(error="", tail="")
    if code == 20 and record.facts is not None:
        blocks = any(s.name == step and s.reboot_blocks_join for s in draft.plan.steps)
        draft.want_reboot(f"what step {step} brought holds after a reboot", before_join=blocks)
    if code == 21:
        draft.change(restart=True)
    if any(s.name == step and s.survey_after for s in draft.plan.steps):
        draft.doubt(f"step {step} is done: looking again")


def _step_failed(draft: Draft, step: str, code: int | None, why: str) -> None:
    """EXIT CODES: 75 try again later, 65 wrong data, 78 cannot work here, others failed."""
    if step == REBOOT:
        draft.deny_reboot(f"the reboot could not be prepared ({why})")
        return
    match code:
        case 75:
            draft.uncount(step)
            draft.lose_one()
            draft.pause()
            draft.check_patience(step, why)
            draft.look_after(step)
            draft.change(reason=f"step {step} asks to be tried later: {why}")
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
        else:
            draft.failed_attempt(SURVEY, why)
        return
    late = bool(task.ended_at) and draft.moment.unix - task.ended_at > STALE_S
    if late and progress.ask(draft, "newer survey", STALE_AGAIN_S):
        draft.change(reason="the survey came late: looking again")
        return
    draft.take_facts(message.facts, message.plan)
    _after_survey(draft)


def _after_survey(draft: Draft) -> None:
    record = draft.record
    if record.phase is Phase.REBOOTING and record.reboot is not None:
        if draft.same_boot():
            if any(r.step == REBOOT and r.state == "rolled-back" for r in _receipts(draft)):
                draft.uncount(REBOOT)  # the gate's no is not the agent's fault
                draft.deny_reboot("the host asked for its permit, and did not get it")
            elif draft.moment.unix - record.since > REBOOT_PATIENCE_S:
                draft.deny_reboot("the host did not reboot in 15 minutes")
            else:
                draft.pause(at_least=30.0)
            return
        draft.change(rebooted=True, reboot=None)
        draft.signal(Signal.BACK)
    if record.phase not in (Phase.SURVEYING, Phase.REBOOTING):
        return  # held or failed meanwhile: the facts are kept, nothing moves
    if record.reboot is not None and not draft.same_boot():
        draft.change(reboot=None)  # somebody else rebooted it
    watched = any(r.step == AGENT_RESTART and r.state == "open" for r in _receipts(draft))
    if watched and draft.moment.unix - record.since < WATCH_PATIENCE_S:
        draft.change(
            look_after=draft.moment.unix + AGENT_RESTART_WAIT_S,
            reason="its Mesos agent is being restarted, and watched by the host",
        )
    elif draft.plan.fault:
        draft.fail(draft.plan.fault, "mend it, then retry")
    elif draft.rules.mode == "observe":
        draft.change(held_by="observe")
        draft.signal(Signal.HOLD, "observe mode: the plan is shown, nothing is changed")
    else:
        draft.signal(Signal.SURVEYED)


def _receipts(draft: Draft) -> tuple[Receipt, ...]:
    return draft.record.facts.receipts if draft.record.facts is not None else ()


def _reboot_granted(draft: Draft, message: inbox.RebootGranted) -> None:
    record = draft.record
    draft.asked.pop("reboot", None)
    held = record.reboot.permit if record.reboot is not None else ""
    if record.phase is Phase.REBOOTING and held == message.permit:
        return  # asked twice, granted twice: it is one permission
    if record.phase is not Phase.REBOOT_WANTED or record.reboot is None:
        draft.do(effects.FreeReboot())
        return
    draft.permit(message.permit)
    draft.signal(Signal.PERMITTED, "the reboot is granted")


def _storage(draft: Draft, message: inbox.StorageAnswer) -> None:
    record = draft.record
    if draft.asked.pop("storage", None) is None or record.phase is not Phase.JOINING:
        return
    match message.request, message.outcome:
        case "join", "done":
            draft.change(joined=True, sds_id=message.sds_id, reason="")
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


def _command(draft: Draft, message: inbox.Command) -> None:
    match message.name:
        case "hold":
            draft.change(held_by="operator")
            draft.signal(Signal.HOLD, "held by the operator; resume it to go on")
        case "resume":
            draft.change(held_by="")
            draft.signal(Signal.RESUME, "resumed by the operator")
        case "retry":
            draft.change(attempts={}, error="", tail="")
            draft.not_before = 0.0
            draft.signal(Signal.RETRY, "retried by the operator")
        case _:
            pass  # the web edge refuses other words


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
