"""Stored times that lie ahead of the wall clock: it was set back since, or another machine's.

What is counted from them would wait for the clock to catch up, or pass for fresh until then. So
a wait begins again, and what is old enough to be looked at anew is.
"""

from __future__ import annotations

from typing import Final

import attrs

from domain.agent import AgentRecord

AHEAD_S: Final = 60.0  # time synchronization moves a clock by less, and costs nothing
LOOK_AFTER_MAX_S: Final = 120.0  # nothing that was ordered takes longer


def settled(record: AgentRecord, unix: float) -> AgentRecord:
    """The record with no time ahead of the wall clock; itself where there is none."""
    bound = unix + AHEAD_S
    longest = unix + LOOK_AFTER_MAX_S
    times = (record.since, record.surveyed, record.claimed_at, record.later_since, record.lost_at)
    seen = record.candidates
    if record.look_after <= longest and max(*times, *seen.values()) <= bound:
        return record
    return attrs.evolve(
        record,
        since=min(record.since, unix),
        later_since=min(record.later_since, unix),
        lost_at=min(record.lost_at, unix),
        look_after=min(record.look_after, longest),
        candidates={device: min(at, unix) for device, at in seen.items()},
        # How long ago somebody looked at the host cannot be known any more.
        surveyed=record.surveyed if record.surveyed <= bound else 0.0,
        claimed_at=record.claimed_at if record.claimed_at <= bound else 0.0,
    )
