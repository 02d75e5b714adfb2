"""What the board's changes mean for people who read events: one entry for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from actors.snapshots import (
    AgentSnapshot,
    ClosingSnapshot,
    Condition,
    LinkSnapshot,
    RolloutSnapshot,
)
from domain.agent import Run
from domain.chronicle import Chronicle

_SEVERITY: Final = {"failed": "critical", "lost": "warning", "held": "warning"}


@attrs.frozen(kw_only=True)
class Seen:
    """What the last look at the board has seen, as far as it is told of."""

    link: LinkSnapshot = attrs.field(factory=LinkSnapshot)
    gateway_error: str = ""
    conditions: tuple[Condition, ...] = ()
    closing: ClosingSnapshot | None = None
    rollout: RolloutSnapshot = attrs.field(factory=RolloutSnapshot)


def note_agent(
    before: AgentSnapshot | None,
    after: AgentSnapshot,
    chronicle: Chronicle,
    wall: Callable[[], float],
) -> None:
    """Its runs that have ended, and its change of phase. What the store had is no news."""
    if after.restored or (before is None and not after.agent_id):
        return
    if before is not None and before.runs is not after.runs:
        known = {run.task_id for run in before.runs}
        for run in after.runs:
            if run.task_id not in known:
                chronicle.note(
                    "step",
                    after.host,
                    run_told(run),
                    at=wall(),
                    severity="info" if run.outcome in ("held", "withdrawn") else "warning",
                    outcome=run.outcome,
                )
    if before is None or before.phase != after.phase:
        why = after.error if after.phase == "failed" else after.reason
        was = f"{before.phase} -> " if before is not None else ""
        chronicle.note(
            "agent",
            after.host,
            f"{was}{after.phase}{f': {why}' if why else ''}",
            at=wall(),
            severity=_SEVERITY.get(after.phase, "info"),
            outcome=after.phase,
        )


def run_told(run: Run) -> str:
    """`step sds held after 12 s (exit status 0)`."""
    took = f" after {run.ended - run.began:.0f} s" if run.began and run.ended >= run.began else ""
    code = f" (exit status {run.exit_code})" if run.exit_code is not None else ""
    said = f": {run.said.splitlines()[-1]}" if run.said else ""
    return f"step {run.step} {run.outcome}{took}{code}{said}"


def noted(now: Seen, before: Seen, chronicle: Chronicle, wall: Callable[[], float]) -> Seen:
    """`now`, after an entry for each difference."""
    if now.link is not before.link and now.link.state != before.link.state:
        severity = "info" if now.link.state == "subscribed" else "warning"
        because = f": {now.link.detail}" if now.link.detail else ""
        text = f"{before.link.state} -> {now.link.state}{because}"
        chronicle.note("master", now.link.master, text, at=wall(), severity=severity)
    if now.gateway_error != before.gateway_error:
        text = now.gateway_error or "the Gateway answers"
        severity = "warning" if now.gateway_error else "info"
        chronicle.note("gateway", "", text, at=wall(), severity=severity)
    if now.conditions is not before.conditions:
        _conditions(now.conditions, before.conditions, chronicle, wall())
    if now.rollout is not before.rollout:
        _rollout(now.rollout, before.rollout, chronicle, wall())
    if now.closing != before.closing:
        stage = now.closing.stage if now.closing is not None else "called off"
        chronicle.note("framework", "", f"removal of the framework: {stage}", at=wall())
    return now


def _conditions(
    now: tuple[Condition, ...], before: tuple[Condition, ...], chronicle: Chronicle, at: float
) -> None:
    old = {(one.name, one.subject): one for one in before}
    new = {(one.name, one.subject): one for one in now}
    for key, one in new.items():
        if key not in old or old[key].severity != one.severity:
            chronicle.note(
                "condition",
                one.subject,
                f"{one.name} begins: {one.text}",
                at=at,
                severity=one.severity,
                outcome="begins",
            )
    for key, one in old.items():
        if key not in new:
            text = f"{one.name} is over: {one.text}"
            chronicle.note("condition", one.subject, text, at=at, outcome="over")


def _rollout(
    now: RolloutSnapshot, before: RolloutSnapshot, chronicle: Chronicle, at: float
) -> None:
    if (now.state, now.stage) == (before.state, before.stage):
        return
    because = f": {now.why}" if now.why else ""
    stage = f", stage {now.stage}" if now.stage != "all" else ""
    severity = "info" if now.state == "running" else "warning"
    chronicle.note("rollout", "", f"{now.state}{stage}{because}", at=at, severity=severity)
