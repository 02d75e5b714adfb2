"""Crash points: every step that the tasks of one simulated process take is a place to die at.

Between two of its steps a task waits; so a crash just before step N is a crash at an await.

What dies with the process is gone; what is left is the world. Two steps in a row leave the same
world if nothing left the process between them (no byte, no connection, no write), no task of the
world moved, and no time passed. `firsts` numbers the first step of each such row: one crash for
each tries all.
"""

from __future__ import annotations

from collections.abc import Callable, Container

import attrs
import trio


@attrs.define(eq=False)
class Steps(trio.abc.Instrument):
    """Counts the steps of the tasks below the one that called `adopt`, whoever started them.

    Hand it to trio.run; `act` is called just before each step whose number is in `at`. Tasks
    of the world around are not counted: they hang from another nursery.
    """

    at: Container[int] = frozenset()
    act: Callable[[], None] = lambda: None
    taken: int = attrs.field(default=0, init=False)
    firsts: list[int] = attrs.field(factory=list, init=False)
    _moved: bool = attrs.field(default=True, init=False)  # the world is another one than before
    _at: float = attrs.field(default=0.0, init=False)  # virtual time of the last step
    _lookers_on: set[trio.lowlevel.Task] = attrs.field(factory=set, init=False)
    _tasks: set[trio.lowlevel.Task] = attrs.field(factory=set, init=False)

    def adopt(self) -> None:
        """The running task is the process from here on, with all that it will start."""
        self._tasks.add(trio.lowlevel.current_task())

    def look_on(self) -> None:
        """The running task is neither process nor world: it only looks."""
        self._lookers_on.add(trio.lowlevel.current_task())

    def outward(self) -> None:
        """Something leaves the process, or has left it."""
        self._moved = True

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        nursery = task.parent_nursery
        if nursery is not None and nursery.parent_task in self._tasks:
            self._tasks.add(task)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._tasks.discard(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task in self._tasks:
            self.taken += 1
            now = trio.current_time()
            if self._moved or now != self._at:
                self.firsts.append(self.taken)
                self._moved, self._at = False, now
            if self.taken in self.at:
                self.act()
        elif task not in self._lookers_on:
            self._moved = True


def spread(total: int, wanted: int) -> tuple[int, ...]:
    """`wanted` numbers from 1 to `total`, evenly apart; all of them where there are fewer."""
    count = min(total, wanted)
    return tuple(1 + (n * total) // count for n in range(count))
