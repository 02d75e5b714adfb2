"""What Mesos was told before a reboot, and has to be taken back after it. Pure.

A deactivated agent is offered to nobody, ourselves included; so the debt is paid soon after the
host may have gone down, whether it did or not. Only what we did is ever undone.
"""

from __future__ import annotations

from typing import Final

import attrs

from protocol.mesos.operator import AgentSeen

DUE_S: Final = 60.0  # a permit is used within seconds of its answer; after that nothing is gained
FORGET_S: Final = 7 * 86400.0  # an agent that the master has not listed for so long is another one


@attrs.frozen(kw_only=True)
class Debt:
    """An agent that we have deactivated, or were about to. `due`: unix seconds."""

    agent_id: str
    host: str
    due: float


@attrs.frozen(kw_only=True)
class DebtsRecord:
    """Stored before the call that makes a debt, and until the call that pays it was answered."""

    deactivated: tuple[Debt, ...] = ()


def may_deactivate(seen: AgentSeen | None) -> str:
    """Empty if the agent is ours to deactivate; else why it is left as it is."""
    if seen is None:
        return "the master does not list it"
    if seen.deactivated or seen.draining:
        return "operators have deactivated or drained it themselves"
    return ""


def owe(record: DebtsRecord, *, agent_id: str, host: str, now: float) -> DebtsRecord:
    kept = settled(record, agent_id).deactivated
    return DebtsRecord(deactivated=(*kept, Debt(agent_id=agent_id, host=host, due=now + DUE_S)))


def settled(record: DebtsRecord, agent_id: str) -> DebtsRecord:
    return DebtsRecord(deactivated=tuple(d for d in record.deactivated if d.agent_id != agent_id))


def due(record: DebtsRecord, now: float) -> tuple[Debt, ...]:
    """Also those that a clock set back would put off for longer than they were made for."""
    return tuple(d for d in record.deactivated if not now < d.due <= now + DUE_S)


def payment(debt: Debt, seen: AgentSeen | None, now: float) -> str:
    """reactivate; drop (nothing of ours is left to undo); wait (it is not listed now)."""
    if seen is None:
        return "drop" if now > debt.due + FORGET_S else "wait"
    if seen.draining or not seen.deactivated:
        return "drop"  # operators drain it since, or have it back already
    return "reactivate"
