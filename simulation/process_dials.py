"""What goes wrong with the scheduler's own process: its life, its clock, its store."""

from __future__ import annotations

from collections.abc import Callable

import attrs


@attrs.define(eq=False)
class ProcessDials:
    """`crash` ends the process now. The counting dials hit the next writes to the store.

    There is one write under way at a time, so what can come in another order is its landing
    and the word of it: late, never, or wrong.
    """

    crash: Callable[[], None] = attrs.field(repr=False)
    clock_off_s: float = 0.0  # the wall clock's error; the monotonic clock has none
    _slow: int = attrs.field(default=0, init=False)
    _slow_s: float = attrs.field(default=0.0, init=False)
    _unsure: int = attrs.field(default=0, init=False)
    _unheard: int = attrs.field(default=0, init=False)

    def slow_writes(self, count: int, delay_s: float) -> None:
        """They land after that time, and are confirmed after the same time again."""
        self._slow, self._slow_s = count, delay_s

    def unsure_writes(self, count: int) -> None:
        """They land, and are said to have failed."""
        self._unsure = count

    def unheard_writes(self, count: int) -> None:
        """They land, and the process dies before it hears of it."""
        self._unheard = count

    def take_delay_s(self) -> float:
        self._slow -= (hit := self._slow > 0)
        return self._slow_s if hit else 0.0

    def take_unsure(self) -> bool:
        self._unsure -= (hit := self._unsure > 0)
        return hit

    def take_unheard(self) -> bool:
        self._unheard -= (hit := self._unheard > 0)
        return hit
