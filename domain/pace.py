"""A token bucket: a few at once, then one each so many seconds. Time is an argument."""

from __future__ import annotations

import attrs


@attrs.define
class Pace:
    """`burst` at once, then one per `every_s`."""

    every_s: float
    burst: int
    _tokens: float = attrs.field(init=False)
    _at: float = attrs.field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = float(self.burst)

    def take(self, now: float) -> bool:
        """True, and one less, if one may go now."""
        gained = (now - self._at) / self.every_s
        self._tokens = min(float(self.burst), self._tokens + gained)
        self._at = now
        if self._tokens < 1.0 - 1e-9:  # thirds of a token do not add up exactly
            return False
        self._tokens -= 1.0
        return True
