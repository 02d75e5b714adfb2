"""An agent's turn to restart its Mesos agent: begun by the gate's word, ended by the host's."""

from __future__ import annotations

from typing import Final

from domain import effects
from domain.draft import Draft
from domain.facts import Receipt
from domain.plan import AGENT_RESTART

WATCH_PATIENCE_S: Final = 600.0  # the host's own timer rolls back after 300 s


def settle(draft: Draft) -> None:
    """What became of the restart, by the host's own word and by what it shows now."""
    record = draft.record
    rolled_back = any(r.step == AGENT_RESTART and r.state == "rolled-back" for r in receipts(draft))
    wanted = _restart_wanted(draft)
    if rolled_back and wanted and record.undone != "forgiven":
        draft.change(undone="halt")
        draft.end_turn("undone")
    elif not rolled_back or not wanted:
        if record.undone == "halt":  # mended by hand: nobody has to wait any more
            draft.do(effects.FreeRestart(outcome="forgiven"))
        draft.change(undone="")
    if record.restarting and not wanted:
        kept = any(r.step == AGENT_RESTART and r.state == "kept" for r in receipts(draft))
        draft.end_turn("kept" if kept else "")


def is_watched(draft: Draft) -> bool:
    """The host has still to say what became of the restart."""
    record = draft.record
    if not any(r.step == AGENT_RESTART and r.state == "open" for r in receipts(draft)):
        return False
    # Our step did not end well: tried again, it sees by itself whether the host watches.
    cut_short = record.restarting == "begun" and (record.restart or _restart_wanted(draft))
    return not cut_short and draft.moment.unix - record.since < WATCH_PATIENCE_S


def granted(draft: Draft) -> None:
    """A turn that comes when nothing is to be restarted any more goes back."""
    if draft.asked.pop("restart", None) is not None:
        draft.change(restarting="granted", reason="")
    elif not draft.record.restarting:
        draft.do(effects.FreeRestart())


def _restart_wanted(draft: Draft) -> bool:
    return any(s.restarts_agent and s.state in ("wanted", "blocked") for s in draft.plan.steps)


def receipts(draft: Draft) -> tuple[Receipt, ...]:
    return draft.record.facts.receipts if draft.record.facts is not None else ()
