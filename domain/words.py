"""An operator's word to one agent: what it does, and what people are told that it will do. Pure."""

from __future__ import annotations

from typing import Final

from domain import effects, progress, reboots, removal
from domain.agent import AT_REST, AgentRecord, Signal
from domain.draft import Draft

WORDS: Final = (
    "hold", "resume", "retry", "uninstall", "drain", "retire", "replace", "reboot",
)  # fmt: skip
_GIVES_UP: Final = frozenset(
    {"hold", "drain", "uninstall", "retire", "replace", "retry"}
)  # a host that others wait for


def _stands_still(record: AgentRecord) -> bool:
    """Nothing of the rollout is under way there."""
    return record.phase in AT_REST or bool(record.held_by) or record.removal is not None


def obey(draft: Draft, word: str) -> None:
    """One of the words; the web edge refuses others."""
    if word in _GIVES_UP:
        reboots.operator_speaks(draft, word)
    match word:
        case "hold":
            draft.change(held_by="operator")
            draft.signal(Signal.HOLD, "held by the operator; resume it to go on")
        case "abort" | "take-up":
            _rollout_speaks(draft, word)
        case "drain" | "uninstall":
            removal.ask(draft)
        case "retire" | "replace":
            removal.retire(draft)
        case "reboot":
            reboots.order(draft)
        case "resume" if removal.resume(draft):
            pass
        case "resume":
            draft.change(held_by="")
            draft.signal(Signal.RESUME, "resumed by the operator")
        case "retry" if draft.record.removal is not None:
            draft.not_before = 0.0
            draft.end_wait()
            removal.again(draft)
        case "retry":
            draft.change(attempts={}, error="", tail="", repairs=())
            if draft.record.undone == "halt":
                draft.change(undone="forgiven")
                draft.do(effects.FreeRestart(outcome="forgiven"))
            draft.not_before = 0.0
            draft.end_wait()
            draft.signal(Signal.RETRY, "retried by the operator")
        case _:
            pass


def _rollout_speaks(draft: Draft, word: str) -> None:
    """A word to all: it concerns those at work, and those that it has held."""
    if word == "abort" and not _stands_still(draft.record):
        draft.change(held_by="rollout")
        draft.signal(Signal.HOLD, progress.ABORTED)
    elif word == "take-up" and draft.record.held_by == "rollout":
        draft.change(held_by="")
        draft.signal(Signal.RESUME, "the rollout is resumed")


def foretold(word: str, *, host: str, phase: str, step: str, removal_stage: str) -> str:
    """What `word` will do to an agent in that phase, for who gave it. A word may do nothing."""
    running = f"; step {step} runs to its end first" if step else ""
    match word:
        case "hold":
            return _foretold_hold(host, phase) + running
        case "resume":
            return _foretold_resume(host, phase, removal_stage)
        case "retry" if phase == "failed":
            return f"{host} begins again with a survey, with all its tries"
        case "retry":
            return f"the tries of {host} count anew, and it waits no longer ({phase}){running}"
        case "uninstall" | "drain" if phase == "retired":
            return f"nothing: {host} is retired"
        case "uninstall" | "drain":
            return (
                f"{host} leaves the storage cluster when its data is on the others, then what we "
                f"installed is removed{running}"
            )
        case "retire" | "replace":
            return (
                f"nothing is done on {host}: its SDS leaves the storage cluster once that has "
                "lost it and all data is whole; a machine that comes back under this name is "
                "taken up by itself"
            )
        case "reboot" if reboots.is_ordered_in(phase):
            return (
                f"{host} is rebooted when the storage cluster is whole and its turn has come; "
                f"why it waits is told by /v1/why/agent/{host}{running}"
            )
        case _:
            return f"nothing: {host} is {phase}"


def _foretold_hold(host: str, phase: str) -> str:
    match phase:
        case "retired":
            return f"nothing: {host} is retired"
        case "held":
            return f"nothing more: {host} is held already"
        case "rebooting":
            return f"{host} is held when it is back from its reboot, which goes on"
        case _:
            return f"{host} is held: nothing more is started on it"


def _foretold_resume(host: str, phase: str, removal_stage: str) -> str:
    if phase == "retired":
        return f"{host} is taken up again: surveyed, then installed"
    if removal_stage == "asked":
        return f"the removal of {host} is called off"
    if phase == "held":
        return f"{host} goes on" + ("" if removal_stage else ", with a survey first")
    if removal_stage:
        return f"nothing: the removal of {host} has begun and cannot be called off"
    return f"nothing more: {host} is not held ({phase})"
