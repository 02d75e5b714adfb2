"""Where a figure is going: a straight line through its recent readings."""

from __future__ import annotations

from typing import Final

import attrs

READINGS_MAX: Final = 72
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0


@attrs.frozen(kw_only=True)
class Trend:
    """Readings (seconds, amount) at least `every_s` apart; the oldest are forgotten."""

    every_s: float
    readings: tuple[tuple[float, float], ...] = ()

    def after(self, at: float, amount: float) -> Trend:
        if self.readings and at - self.readings[-1][0] < self.every_s:
            return self
        return attrs.evolve(self, readings=(*self.readings, (at, amount))[-READINGS_MAX:])

    @property
    def span_s(self) -> float:
        return self.readings[-1][0] - self.readings[0][0] if self.readings else 0.0

    def per_s(self, *, span_min_s: float) -> float | None:
        """Growth by least squares; None before there is a line to speak of."""
        count = len(self.readings)
        if count < 3 or self.span_s < span_min_s:
            return None
        mean_at = sum(at for at, _ in self.readings) / count
        mean = sum(amount for _, amount in self.readings) / count
        spread = sum((at - mean_at) ** 2 for at, _ in self.readings)
        return sum((at - mean_at) * (amount - mean) for at, amount in self.readings) / spread


def time_to(trend: Trend, left: float, *, span_min_s: float) -> float | None:
    """Seconds until the amount has grown by `left`; None while it does not grow."""
    rate = trend.per_s(span_min_s=span_min_s)
    return None if rate is None or rate <= 0.0 else max(0.0, left) / rate


def time_to_zero(trend: Trend, amount: float, *, span_min_s: float) -> float | None:
    """Seconds until the amount is used up; None while it does not shrink."""
    rate = trend.per_s(span_min_s=span_min_s)
    return None if rate is None or rate >= 0.0 else amount / -rate


def spoken(seconds: float) -> str:
    """`about 3 days`: an estimate has no minutes."""
    for unit_s, unit in ((DAY_S, "day"), (HOUR_S, "hour"), (60.0, "minute")):
        if seconds >= unit_s:
            count = round(seconds / unit_s)
            return f"about {count} {unit}{'s' if count != 1 else ''}"
    return "less than a minute"
