"""What a task's status means for its agent: progress, an end with or without a code, a stranger."""

from __future__ import annotations

from typing import Final

from domain import effects, inbox
from domain.agent import AgentRecord, KeeperRef, Phase, Signal, TaskRef, TaskState, parse_task_id
from domain.draft import Draft
from domain.plan import KEEPER, SURVEY

RELAUNCH_AT_ONCE: Final = frozenset({"TASK_DROPPED"})
NOT_THERE: Final = frozenset({"TASK_UNREACHABLE", "TASK_UNKNOWN"})
LAST_WORD_S: Final = 120.0  # unacknowledged updates come again at once after a resubscription


def take(draft: Draft, status: inbox.Status) -> None:
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


def last_word_is_overdue(draft: Draft) -> None:
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
        if status.state != "TASK_LOST":  # masters of old: it may run, and be heard of again
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
    ours = ours and record.phase is not Phase.RETIRED
    if step == KEEPER and record.keeper is None and ours:
        draft.change(
            keeper=KeeperRef(task_id=status.task_id, agent_id=status.agent_id, running=True)
        )
    elif step != KEEPER and record.task is None and ours:
        draft.change(task=_adopted(status, step))
    elif step != KEEPER and ours and _has_only_wished(record):
        # The store was lost: it is an earlier life's work, in the middle of which we were born.
        draft.do(effects.Withdraw(task_id=record.task.task_id if record.task else ""))
        draft.change(task=_adopted(status, step))
    elif status.agent_id:
        draft.do(effects.Kill(task_id=status.task_id, agent_id=status.agent_id))


def _has_only_wished(record: AgentRecord) -> bool:
    """True for an agent of which nothing is known yet, and on which nothing of ours runs."""
    return (
        record.facts is None and record.task is not None and (record.task.state is TaskState.WANTED)
    )


def _adopted(status: inbox.Status, step: str) -> TaskRef:
    return TaskRef(
        task_id=status.task_id, step=step, agent_id=status.agent_id, state=TaskState.RUNNING
    )
