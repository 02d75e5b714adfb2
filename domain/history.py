"""What an agent's tasks have come to: its last runs, kept with its record. Pure.

A run is written down when its task leaves the record, so a crash in between loses nothing: the
task is still there, and ends once more.
"""

from __future__ import annotations

from typing import Final

import attrs

from domain import inbox
from domain.agent import AgentRecord, Run, TaskRef, TaskState

RUNS_KEPT: Final = 12
TAIL_CHARACTERS_MAX: Final = 400  # of each; the whole end of the last failure is the record's tail
OUTCOMES: Final = ("held", "later", "failed", "lost", "withdrawn")
_CODES: Final = {0: "held", 20: "held", 21: "held", 75: "later"}


def noted(
    before: AgentRecord, after: AgentRecord, message: inbox.AgentInbox, unix: float
) -> AgentRecord:
    """`after` with the times of its task, and with the run that `message` has ended."""
    old, new = before.task, after.task
    if new is not None and (old is None or old.task_id != new.task_id):
        after = attrs.evolve(after, task=attrs.evolve(new, wanted_at=unix))
    elif new is not None and not new.began and new.state is not TaskState.WANTED:
        after = attrs.evolve(after, task=attrs.evolve(new, began=unix))
    if old is None or (new is not None and new.task_id == old.task_id):
        return after
    return attrs.evolve(after, runs=(*after.runs, _run(old, message, unix))[-RUNS_KEPT:])


def _run(task: TaskRef, message: inbox.AgentInbox, unix: float) -> Run:
    outcome, said = _outcome(task, message)
    return Run(
        step=task.step,
        task_id=task.task_id,
        wanted_at=task.wanted_at,
        began=task.began,
        ended=task.ended_at or unix,
        exit_code=task.exit_code,
        outcome=outcome,
        said=said[-TAIL_CHARACTERS_MAX:],
    )


def _outcome(task: TaskRef, message: inbox.AgentInbox) -> tuple[str, str]:
    match message:
        case inbox.NeverSent():
            return "withdrawn", message.why
        case inbox.Status() if message.task_id == task.task_id:
            return ("failed" if message.state == "TASK_FAILED" else "lost"), (
                message.message or message.reason or message.state
            )
        case inbox.Surveyed() if task.exit_code == 0:
            return ("held" if message.facts is not None else "failed"), message.fault
        case inbox.Surveyed():
            return _by_code(task), message.fault
        case inbox.Output():
            good = task.exit_code in (0, 20, 21)
            return _by_code(task), "" if good else message.stderr.strip() or message.fault
        case _ if task.exit_code is not None:
            return _by_code(task), task.message
        case _:
            return "withdrawn", _why_withdrawn(message)


def _why_withdrawn(message: inbox.AgentInbox) -> str:
    match message:
        case inbox.Command(name=name):
            return f"by the word {name}"
        case inbox.AgentGone():
            return "Mesos has lost the agent"
        case inbox.Sighted():
            return "the agent has registered anew"
        case _:
            return ""


def _by_code(task: TaskRef) -> str:
    return _CODES.get(-1 if task.exit_code is None else task.exit_code, "failed")
