"""Times that we tell a master. A number that is none would leave as `null`: 'use your default'."""

from __future__ import annotations

import math
from typing import Final

from protocol.mesos.errors import LocalMesosError

REFUSE_MAX_S: Final = 365 * 86400.0  # masters cap a filter there; older ones refuse more
SECONDS_MAX: Final = 2**63 / 1e9 - 1.0  # masters count nanoseconds in 64 bits


def seconds_out(value: float) -> float:
    """That time in seconds, if a master can count it. Raises LocalMesosError."""
    if not math.isfinite(value) or not 0 <= value <= SECONDS_MAX:
        raise LocalMesosError(f"no time that can be told to a master: {value!r} s")
    return float(value)


def duration(value: float) -> dict[str, int]:
    """A DurationInfo (mesos.proto)."""
    return {"nanoseconds": round(seconds_out(value) * 1e9)}


def filters(refuse_s: float) -> dict[str, float]:
    capped_s = min(refuse_s, REFUSE_MAX_S) if math.isfinite(refuse_s) else refuse_s
    return {"refuse_seconds": seconds_out(capped_s)}
