"""Matching offers to needs: exact, per agent, with a reason for every need that is not met.

All amounts are milli-units. The master fails a whole ACCEPT for one bad offer id, so the
fewest offers of one agent and one role that satisfy a need are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from domain.maintenance import closed
from protocol.mesos.calls import Taken
from protocol.mesos.offered import Offer
from protocol.mesos.operator import AgentSeen
from protocol.mesos.resources import MILLI

UNITS: Final = {"cpus": "cpus", "mem": "MB", "disk": "MB"}


@attrs.frozen(kw_only=True)
class Need:
    """One task that wants to run on one agent. `amounts_milli`: resource name -> milli-units.

    `role`: whose reservations it may use, beside what is not reserved.
    """

    host: str
    agent_id: str
    task_id: str
    amounts_milli: Mapping[str, int]
    role: str = ""


@attrs.frozen(kw_only=True)
class Match:
    need: Need
    offers: tuple[Offer, ...]
    taken: tuple[Taken, ...]


@attrs.frozen(kw_only=True)
class Matching:
    """`verdicts`: host -> why its need is not met by what was offered."""

    matches: tuple[Match, ...]
    left: tuple[Offer, ...]
    verdicts: Mapping[str, str]


def match(
    needs: Iterable[Need],
    offers: Sequence[Offer],
    *,
    now_s: float = 0.0,
) -> Matching:
    """Give each need the fewest offers of its agent that hold it; one need per agent and pass.

    `now_s`, unix seconds, judges maintenance windows.
    """
    by_agent: dict[str, list[Offer]] = {}
    for offer in offers:
        by_agent.setdefault(offer.agent_id, []).append(offer)
    matches: list[Match] = []
    verdicts: dict[str, str] = {}
    spent: set[str] = set()
    for need in needs:
        here = [o for o in by_agent.get(need.agent_id, ()) if o.offer_id not in spent]
        shut = [why for o in here if (why := _closed(o, now_s))]
        found = None if shut else _choose(need, here)
        if found is None:
            why = _why(need, here) if here else why_not_offered(need, None)
            verdicts[need.host] = shut[0] if shut else why
            continue
        matches.append(found)
        spent.update(offer.offer_id for offer in found.offers)
    left = tuple(offer for offer in offers if offer.offer_id not in spent)
    return Matching(matches=tuple(matches), left=left, verdicts=verdicts)


def _choose(need: Need, offers: Sequence[Offer]) -> Match | None:
    best: Match | None = None
    for role in sorted({offer.role for offer in offers}):
        same = sorted(
            (o for o in offers if o.role == role),
            key=lambda o: (-_smallest_share(need, o), o.offer_id),
        )
        for count in range(1, len(same) + 1):
            taken = _take(need, same[:count])
            if taken is not None:
                if best is None or count < len(best.offers):
                    used = _drop_needless(need, same[:count])
                    best = Match(need=need, offers=used, taken=_take(need, used) or taken)
                break
    return best


def _drop_needless(need: Need, offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """No offer that the need does not need."""
    kept = list(offers)
    for offer in offers:
        fewer = [o for o in kept if o is not offer]
        if fewer and _take(need, fewer) is not None:
            kept = fewer
    return tuple(kept)


def _smallest_share(need: Need, offer: Offer) -> float:
    """How much of the scarcest wanted resource this offer holds (1.0: all of it)."""
    held = _sums([offer])
    return min(
        (held.get(name, 0) / amount for name, amount in need.amounts_milli.items() if amount),
        default=1.0,
    )


def _take(need: Need, offers: Sequence[Offer]) -> tuple[Taken, ...] | None:
    """The quantities, reserved resources first; None if there is not enough."""
    taken: list[Taken] = []
    for name, wanted in need.amounts_milli.items():
        missing = wanted
        pieces = [r for o in offers for r in o.resources if r.name == name]
        for piece in sorted(pieces, key=lambda r: r.role == "*"):
            amount = min(missing, piece.amount_milli)
            if amount > 0:
                taken.append(Taken(piece, amount))
                missing -= amount
        if missing > 0:
            return None
    return tuple(taken)


def _sums(offers: Iterable[Offer]) -> dict[str, int]:
    held: dict[str, int] = {}
    for offer in offers:
        for resource in offer.resources:
            held[resource.name] = held.get(resource.name, 0) + resource.amount_milli
    return held


def _closed(offer: Offer, now_s: float) -> str:
    return closed(offer.unavailable_from_s, offer.unavailable_for_s, now_s)


def why_not_offered(need: Need, seen: AgentSeen | None) -> str:
    """Why Mesos offers nothing of this agent; `seen` None: the master's list does not tell."""
    why = blocked_by(need, seen)
    if why:
        return why
    if seen is not None and seen.offered_milli:
        return "its free resources are offered to somebody now; Mesos is asked for an offer"
    return "no offer of this agent is held; Mesos is asked for one"


def blocked_by(need: Need, seen: AgentSeen | None) -> str:
    """What keeps Mesos from offering enough of it; "" when nothing that we know of does."""
    if seen is None:
        return ""
    if seen.draining:
        return "operators are draining it; Mesos offers it again once it is reactivated"
    if seen.deactivated:
        return "operators have deactivated it; Mesos offers it again once it is reactivated"
    if not seen.active:
        return "its Mesos agent is not connected to the master"
    short = [
        text
        for name, amount in need.amounts_milli.items()
        if (text := _short(name, amount, seen, need.role))
    ]
    return f"waits for resources: {'; '.join(short)}" if short else ""


def _short(name: str, amount_milli: int, seen: AgentSeen, role: str) -> str:
    """At best: the list does not tell how much of what is reserved is in use."""
    total = seen.total_milli.get(name, 0)
    others = {
        other: amounts[name]
        for other, amounts in seen.reserved_milli.items()
        if other != role and amounts.get(name)
    }
    free = max(0, total - max(seen.allocated_milli.get(name, 0), sum(others.values())))
    unit = UNITS.get(name, name)
    if free >= amount_milli:
        return ""
    held = f" (reserved for {', '.join(sorted(others))}: {sum(others.values()) / MILLI:g})"
    return (
        f"needs {amount_milli / MILLI:g} {unit}, {free / MILLI:g} of {total / MILLI:g} are free"
        f"{held if others else ''}"
    )


def _why(need: Need, offers: Sequence[Offer]) -> str:
    held = _sums(offers)
    short = [
        f"needs {amount / MILLI:g} {UNITS.get(name, name)}, "
        f"offered {held.get(name, 0) / MILLI:g} {UNITS.get(name, name)}"
        for name, amount in need.amounts_milli.items()
        if held.get(name, 0) < amount
    ]
    return "; ".join(short) or "its offers are of different roles, none is enough alone"
