"""Crash points: every step that the tasks of one simulated process take is a place to die at.

Between two of its steps a task waits; so a crash just before step N is a crash at an await.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio


@attrs.define(eq=False)
class Steps(trio.abc.Instrument):
    """Counts the steps of the tasks below the one that called `adopt`, whoever started them.

    Hand it to trio.run; `act` is called just before each step whose number is in `at`. Tasks
    of the world around are not counted: they hang from another nursery.
    """

    at: frozenset[int] = frozenset()
    act: Callable[[], None] = lambda: None
    taken: int = attrs.field(default=0, init=False)
    _tasks: set[trio.lowlevel.Task] = attrs.field(factory=set, init=False)

    def adopt(self) -> None:
        """The running task is the process from here on, with all that it will start."""
        self._tasks.add(trio.lowlevel.current_task())

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        nursery = task.parent_nursery
        if nursery is not None and nursery.parent_task in self._tasks:
            self._tasks.add(task)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        self._tasks.discard(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task in self._tasks:
            self.taken += 1
            if self.taken in self.at:
                self.act()


def spread(total: int, wanted: int) -> tuple[int, ...]:
    """`wanted` numbers from 1 to `total`, evenly apart; all of them where there are fewer."""
    count = min(total, wanted)
    return tuple(1 + (n * total) // count for n in range(count))
