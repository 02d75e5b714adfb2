"""Matching offers to needs: exact, per agent, with a reason for every need that is not met.

All amounts are milli-units. The master fails a whole ACCEPT for one bad offer id, so the
fewest offers of one agent and one role that satisfy a need are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from protocol.mesos.calls import Taken
from protocol.mesos.events import Offer
from protocol.mesos.resources import MILLI

UNITS: Final = {"cpus": "cpus", "mem": "MB", "disk": "MB"}


@attrs.frozen(kw_only=True)
class Need:
    """One task that wants to run on one agent. `amounts_milli`: resource name -> milli-units."""

    host: str
    agent_id: str
    task_id: str
    amounts_milli: Mapping[str, int]


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


def match(needs: Iterable[Need], offers: Sequence[Offer]) -> Matching:
    """Give each need the fewest offers of its agent that hold it; one need per agent and pass."""
    by_agent: dict[str, list[Offer]] = {}
    for offer in offers:
        by_agent.setdefault(offer.agent_id, []).append(offer)
    matches: list[Match] = []
    verdicts: dict[str, str] = {}
    spent: set[str] = set()
    for need in needs:
        here = [o for o in by_agent.get(need.agent_id, ()) if o.offer_id not in spent]
        found = _choose(need, here)
        if found is None:
            verdicts[need.host] = _why(need, here)
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


def _why(need: Need, offers: Sequence[Offer]) -> str:
    if not offers:
        return "no offer of this agent is held; Mesos is asked for one"
    held = _sums(offers)
    short = [
        f"needs {amount / MILLI:g} {UNITS.get(name, name)}, "
        f"offered {held.get(name, 0) / MILLI:g} {UNITS.get(name, name)}"
        for name, amount in need.amounts_milli.items()
        if held.get(name, 0) < amount
    ]
    return "; ".join(short) or "its offers are of different roles, none is enough alone"
