"""Operators' maintenance windows: obeyed, and answered; never made or changed. Pure.

A window is `Unavailability` of mesos.proto: a start, and a duration that may be absent. Answers
to inverse offers are advice to the operator (docs/maintenance.md of Mesos); times are unix
seconds.
"""

from __future__ import annotations

from typing import Final

from domain.rollout import unit_down
from domain.storage import StorageSnapshot

MARGIN_S: Final = 1800.0  # the longest that a step may take, with what follows it
SNAPSHOT_AGE_MAX_S: Final = 60.0


def closed(from_s: float | None, for_s: float | None, now_s: float) -> str:
    """Why nothing is begun on an agent with that window; "" if it is far off or over."""
    if from_s is None or now_s < from_s - MARGIN_S or is_over(from_s, for_s, now_s):
        return ""
    return f"operators have announced maintenance ({when(from_s, for_s, now_s)}): nothing is begun"


def is_over(from_s: float, for_s: float | None, now_s: float) -> bool:
    return for_s is not None and now_s >= from_s + for_s


def when(from_s: float, for_s: float | None, now_s: float) -> str:
    """For people: `begins in 12 min, ends in 72 min`."""
    begins = f"begins in {_minutes(from_s - now_s)}" if now_s < from_s else "under way"
    ends = "without an end" if for_s is None else f"ends in {_minutes(from_s + for_s - now_s)}"
    return f"{begins}, {ends}"


def _minutes(seconds: float) -> str:
    return f"{max(1.0, seconds / 60.0):.0f} min"


def may_be_down(*, address: str, step: str, storage: StorageSnapshot | None, now: float) -> str:
    """Empty if this host may be taken down now; else why not, for the operator.

    `step`: what runs there now; `storage`: the latest snapshot, `now` on the same clock.
    """
    if step:
        return f"step {step} is running there"
    if storage is None or storage.taken_at < now - SNAPSHOT_AGE_MAX_S:
        return "the state of the storage cluster is not known now"
    if address in storage.member_addresses and not storage.mdm_normal:
        return f"it is an MDM, and the MDM cluster is not normal ({storage.mdm_detail})"
    mine = storage.sds_at(address)
    if mine is None:
        return ""
    if not storage.data_is_whole:
        return "it holds data, and data is degraded, failed, or being rebuilt"
    return unit_down(storage, mine)
