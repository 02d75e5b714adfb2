"""How long to wait until the next look at the storage cluster."""

from __future__ import annotations

from typing import Final

from domain.storage import StorageSnapshot

BUSY_SHARE: Final = 0.5  # of the operator's pause while things change
QUIET_TIMES: Final = 3.0  # that pause, once nothing has changed for long
QUIET_AFTER_S: Final = 600.0
CEILING_S: Final = 60.0  # of the longer pauses; the operator's own may be longer
LOAD_SHARE: Final = 0.1  # of the Gateway's time that looks may take
JITTER: Final = 0.1  # so that several schedulers do not look in step


def pause_s(
    storage: StorageSnapshot, *, poll_s: float, took_s: float, quiet_s: float, chance: float
) -> float:
    """Seconds. `poll_s` is what the operator asks for, `took_s` what the last look took.

    `quiet_s`: since a command, or a look that showed a change; `chance`: 0 to 1.
    """
    pause = poll_s
    if not is_at_rest(storage):
        pause = poll_s * BUSY_SHARE
    elif quiet_s >= QUIET_AFTER_S:
        pause = max(poll_s, min(CEILING_S, poll_s * QUIET_TIMES))
    pause = max(pause, took_s / LOAD_SHARE)
    return pause * (1.0 - JITTER + 2.0 * JITTER * chance)


def is_at_rest(storage: StorageSnapshot) -> bool:
    """Nothing moves, and nothing is broken that might change at any moment."""
    return (
        storage.mdm_normal
        and storage.data_is_whole
        and all(sds.good for sds in storage.sds)
        and all(device.good for device in storage.devices)
    )
