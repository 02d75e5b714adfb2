"""A few at once, then one each so many seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.pace import Pace


def test_a_burst_and_then_a_rate() -> None:
    pace = Pace(every_s=30.0, burst=3)
    taken = [second for second in range(121) if pace.take(float(second))]
    assert taken == [0, 1, 2, 30, 60, 90, 120]


@given(st.lists(st.floats(0, 50), max_size=60))
def test_never_more_than_the_burst_and_the_rate_allow(gaps: list[float]) -> None:
    pace, now, taken = Pace(every_s=10.0, burst=2), 0.0, 0
    for gap in gaps:
        now += gap
        taken += pace.take(now)
        assert taken <= 2 + now / 10.0 + 1e-6
