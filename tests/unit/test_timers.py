"""Calls to come are made in order of time, then of asking."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from simulation.timers import Timers


async def test_calls_are_made_in_order_and_cancelled_ones_are_not(
    autojump_clock: MockClock,
) -> None:
    timers = Timers()
    made: list[tuple[str, float]] = []

    def note(name: str) -> None:
        made.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.later(5, lambda: note("late"))
        timers.later(2, lambda: note("first of two"))
        timers.later(2, lambda: note("second of two"))
        timers.later(3, lambda: note("never")).cancel()
        await trio.sleep(1)
        timers.later(0.5, lambda: timers.later(0, lambda: note("asked by a call")))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert made == [
        ("asked by a call", 1.5),
        ("first of two", 2.0),
        ("second of two", 2.0),
        ("late", 5.0),
    ]
