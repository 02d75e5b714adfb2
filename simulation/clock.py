"""A clock for showing the simulation to people: simulated time passes only while nothing computes.

A clock that merely runs faster would also run while the processor works, and a busy machine
would look like a scheduler that answers late. Here the time that the loop sleeps is scaled, and
the time that it works is not counted at all.
"""

from __future__ import annotations

import time
from typing import Final

import attrs
import trio

_real: Final = time.perf_counter


@attrs.define(eq=False)
class PacedClock(trio.abc.Clock, trio.abc.Instrument):
    """`rate` simulated seconds pass in one second of idleness. Hand it to trio.run twice.

    trio.run(main, clock=clock, instruments=[clock])
    """

    rate: float
    _passed: float = attrs.field(default=0.0, init=False)
    _asleep_since: float | None = attrs.field(default=None, init=False)

    def start_clock(self) -> None:
        """Nothing to do: time begins with the first sleep."""

    def current_time(self) -> float:
        if self._asleep_since is None:
            return self._passed
        return self._passed + (_real() - self._asleep_since) * self.rate

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return max(0.0, deadline - self.current_time()) / self.rate

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's name
        self._asleep_since = _real()

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's name
        self._passed = self.current_time()
        self._asleep_since = None
