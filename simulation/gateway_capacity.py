"""Capacity arithmetic of a storage pool as real Gateways report it: raw KB, two copies counted."""

from __future__ import annotations

from typing import Final

import attrs

KB_PER_GB: Final = 1024 * 1024
SPARE_STEP_KB: Final = 1024
VOLUME_STEP_KB: Final = 8 * KB_PER_GB
DEVICE_KB_MIN: Final = 100 * KB_PER_GB
DEVICE_KB_MAX: Final = 6 * 1024 * KB_PER_GB
VOLUME_KB_MAX: Final = 1024 * 1024 * KB_PER_GB


@attrs.frozen(kw_only=True)
class Figures:
    """`snap_kb`: kept from allocation by snapshots; `snap_occupied_kb`: what they really fill."""

    limit_kb: int
    thick_kb: int = 0
    thin_kb: int = 0
    snap_kb: int = 0
    snap_occupied_kb: int = 0
    spare_percent: int = 10

    @property
    def spare_kb(self) -> int:
        return _floored(self.limit_kb * self.spare_percent // 100, SPARE_STEP_KB)

    @property
    def in_use_kb(self) -> int:
        return self.thick_kb + self.thin_kb + self.snap_occupied_kb

    @property
    def unused_kb(self) -> int:
        return max(0, self.limit_kb - self.in_use_kb - self.spare_kb)

    @property
    def available_kb(self) -> int:
        """Net capacity that volumes may still take."""
        free = self.limit_kb - self.spare_kb - self.thick_kb - self.thin_kb - self.snap_kb
        return _floored(max(0, free) // 2, VOLUME_STEP_KB)

    @property
    def fill_percent(self) -> float:
        """The cautious denominator: what can be filled without the spare."""
        usable_kb = self.limit_kb - self.spare_kb
        return 100.0 * self.in_use_kb / usable_kb if usable_kb > 0 else 0.0


def volume_kb(asked_kb: int) -> int:
    """Sizes off the 8 GB grid are rounded up."""
    return max(1, -(-asked_kb // VOLUME_STEP_KB)) * VOLUME_STEP_KB


def _floored(value_kb: int, step_kb: int) -> int:
    return value_kb // step_kb * step_kb
