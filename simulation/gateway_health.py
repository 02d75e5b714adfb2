"""How whole the data of a simulated storage pool is, at the time its state is settled for.

Data lies evenly on the SDSs of a pool, in two copies on different fault units. Whatever is in
use is protected, degraded, failed or in maintenance, and nothing is two of these: the four add
up at every moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from simulation.gateway_capacity import Figures
from simulation.gateway_state import ClusterState, Pool, Sds

METADATA_KB: Final = 1024  # a pool with devices always holds some: err on the strict side


@attrs.frozen(kw_only=True)
class PoolHealth:
    """In raw KB.

    `degraded_kb`: copies that are lost, of data that has its other copy; `failed_kb`: data with
    no copy at hand; the figures of rebuilds and moves: what is still to be copied.
    """

    figures: Figures
    degraded_kb: int = 0
    failed_kb: int = 0
    maintenance_kb: int = 0
    forward_kb: int = 0
    forward_kbps: int = 0
    backward_kb: int = 0
    backward_kbps: int = 0
    rebalancing_kb: int = 0
    rebalance_kbps: int = 0

    @property
    def degraded(self) -> bool:
        return bool(self.degraded_kb or self.failed_kb)

    @property
    def rebuilding_kb(self) -> int:
        return self.forward_kb + self.backward_kb

    @property
    def protected_kb(self) -> int:
        lost_kb = 2 * self.degraded_kb + self.failed_kb + self.maintenance_kb
        return self.figures.in_use_kb - lost_kb


@attrs.frozen(kw_only=True)
class _Member:
    """An SDS of the pool: the part of the pool's data on it, and of that, what is missing."""

    sds: Sds
    part: float
    missing: float
    per_second: float

    @property
    def absent(self) -> bool:
        return not self.sds.connected and not self.sds.in_maintenance


def pool_health(state: ClusterState, pool: Pool) -> PoolHealth:
    """Degraded while data of a fault unit that is away is on no other, or is rebuilt."""
    members = _members(state, pool)
    figures = state.pool_figures(pool)
    absent = [m for m in members if m.absent]
    returned = [m for m in members if m.sds.connected and m.sds.rebuild is not None]
    resting = [m for m in members if m.sds.in_maintenance]
    moves = _moving(state, pool, members)
    failed = len({m.sds.unit for m in absent}) > 1
    least_kb = METADATA_KB * (
        2 * bool(absent or returned) + failed + bool(resting) + (moves is not None)
    )
    if figures.in_use_kb < least_kb:  # what is degraded or moves is in use, be it metadata only
        missing_kb = least_kb - figures.in_use_kb
        figures = attrs.evolve(figures, thin_kb=figures.thin_kb + missing_kb)
    in_use_kb = figures.in_use_kb
    failed_kb = max(METADATA_KB, int(in_use_kb * _both_lost(absent))) if failed else 0
    left_kb = in_use_kb - failed_kb
    resting_kb = _at_least(in_use_kb * sum(m.part for m in resting), resting, left_kb)
    left_kb -= resting_kb
    lost = [*absent, *returned]
    lost_kb = int(in_use_kb * sum(m.part * m.missing for m in lost)) - failed_kb
    degraded_kb = _at_least(lost_kb, lost, left_kb // 2)
    left_kb -= 2 * degraded_kb
    forward, backward = _rates(in_use_kb, absent), _rates(in_use_kb, returned)
    blocked = failed or not pool.rebuild_enabled
    return PoolHealth(
        figures=figures,
        degraded_kb=degraded_kb,
        failed_kb=failed_kb,
        maintenance_kb=resting_kb,
        forward_kb=degraded_kb if absent and not blocked else 0,
        forward_kbps=forward if not blocked else 0,
        backward_kb=degraded_kb if returned and not absent else 0,
        backward_kbps=backward if not absent else 0,
        rebalancing_kb=(
            0 if moves is None else min(left_kb, max(METADATA_KB, int(in_use_kb * moves[0])))
        ),
        rebalance_kbps=0 if moves is None else int(in_use_kb * moves[1]),
    )


def _members(state: ClusterState, pool: Pool) -> list[_Member]:
    found = [
        (state.sds[sds_id], size_kb)
        for sds_id, size_kb in state.members_of_pool(pool.id).items()
        if not state.sds[sds_id].absorbed
    ]
    total_kb = sum(size_kb for _, size_kb in found)
    return [
        _Member(
            sds=sds,
            part=size_kb / total_kb if total_kb else 0.0,
            missing=missing_part(sds, state.now),
            per_second=_pace(sds, state.now),
        )
        for sds, size_kb in found
    ]


def missing_part(sds: Sds, now: float) -> float:
    """The part of its data that has no second copy elsewhere, or not yet again on it."""
    if sds.rebuild is not None and sds.connected:
        return sds.rebuild.left(now)
    work = sds.rebuild_elsewhere
    return 0.0 if sds.connected else (1.0 if work is None else work.left(now))


def _pace(sds: Sds, now: float) -> float:
    work = sds.rebuild if sds.connected else sds.rebuild_elsewhere
    return work.per_second if work is not None and now < work.until else 0.0


def _both_lost(absent: Sequence[_Member]) -> float:
    """The part of the data whose two copies are on these, in different fault units."""
    units: dict[str, float] = {}
    for member in absent:
        units[member.sds.unit] = units.get(member.sds.unit, 0.0) + member.part * member.missing
    whole = sum(units.values())
    return min(1.0, sum(p * (whole - p) / (1.0 - p) for p in units.values() if p < 1.0))


def _at_least(wanted_kb: float, members: Iterable[_Member], most_kb: int) -> int:
    """Something, as long as there are any; never more than is left."""
    return min(most_kb, max(METADATA_KB, int(wanted_kb))) if list(members) else 0


def _rates(in_use_kb: int, members: Iterable[_Member]) -> int:
    return int(in_use_kb * sum(m.part * m.per_second for m in members))


def _moving(
    state: ClusterState, pool: Pool, members: Sequence[_Member]
) -> tuple[float, float] | None:
    """The parts of the data that are still to be moved, and that move in a second."""
    now = state.now
    works = [(m.part, m.sds.evacuation) for m in members if m.sds.evacuation is not None]
    total_kb = sum(state.members_of_pool(pool.id).values())
    works += [
        (d.usable_kb / max(1, total_kb), d.leaving)
        for d in state.devices_leaving(pool.id)
        if d.leaving is not None
    ]
    if pool.rebalance is not None:
        works.append((1.0, pool.rebalance))
    if not works:
        return None
    return (
        min(1.0, sum(part * work.left(now) for part, work in works)),
        sum(part * work.per_second for part, work in works if now < work.until),
    )
