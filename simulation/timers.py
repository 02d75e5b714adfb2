"""Things that happen later: one task calls them back in order of time, then of asking."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import attrs
import trio


@attrs.define(eq=False)
class Timer:
    """One call to come; `cancel` is harmless after it has been made."""

    at: float
    call: Callable[[], object] | None

    def cancel(self) -> None:
        self.call = None


@attrs.define(eq=False)
class Timers:
    """A queue of synchronous calls on Trio's clock. `run` must be running for them to be made."""

    _queue: list[tuple[float, int, Timer]] = attrs.field(factory=list, init=False)
    _asked: int = attrs.field(default=0, init=False)
    _earlier: trio.Event = attrs.field(factory=trio.Event, init=False)

    def now(self) -> float:
        return trio.current_time()

    def later(self, delay_s: float, call: Callable[[], object]) -> Timer:
        return self.at(self.now() + max(delay_s, 0.0), call)

    def at(self, when: float, call: Callable[[], object]) -> Timer:
        timer = Timer(when, call)
        self._asked += 1
        if not self._queue or when < self._queue[0][0]:
            self._earlier.set()
        heapq.heappush(self._queue, (when, self._asked, timer))
        return timer

    async def run(self) -> None:
        while True:
            self._call_due()
            self._earlier = trio.Event()
            next_at = self._queue[0][0] if self._queue else float("inf")
            with trio.move_on_at(next_at):
                await self._earlier.wait()

    def _call_due(self) -> None:
        while self._queue and self._queue[0][0] <= self.now():
            _, _, timer = heapq.heappop(self._queue)
            call, timer.call = timer.call, None
            if call is not None:
                call()
