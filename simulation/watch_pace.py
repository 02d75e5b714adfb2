"""No hot loops: launches of each step and calls for each agent stay bounded: promise 15.

The bounds are per hour of virtual time. Trouble costs work: each fault, each end of a stream and
each start of a scheduler allows some more, for as long as it is within that hour.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from simulation.mesos_observed import (
    AgentChanged,
    CallReceived,
    FaultInjected,
    StreamOpened,
    TaskChanged,
    TaskLaunched,
)
from simulation.promises import PACE, Book
from simulation.world import GatewayAsked, HostEvent, World, WorldEvent

HOUR_S: Final = 3600.0
LAUNCHES: Final = 12  # of one step on one agent; a failing one is tried again with pauses
LAUNCHES_PER_TROUBLE: Final = 2  # each may lose a task, and is looked into
STREAMS_PER_LAUNCH: Final = 4  # a new stream or master costs few of the agents a task
CALLS: Final = 2000  # to the master: it offers, and we decline, once every few seconds
CALLS_PER_AGENT: Final = 120
CALLS_PER_TROUBLE: Final = 10
ASKED: Final = 2000  # of the Gateway: changes, and questions by POST
ASKED_PER_AGENT: Final = 50


@attrs.define
class Recently:
    """Moments within the last hour."""

    moments: deque[float] = attrs.field(factory=deque)

    def count(self, now: float) -> int:
        while self.moments and self.moments[0] <= now - HOUR_S:
            self.moments.popleft()
        return len(self.moments)

    def note(self, now: float) -> int:
        self.moments.append(now)
        return self.count(now)


@attrs.define
class PaceWatch:
    book: Book
    world: World
    _launches: dict[tuple[str, str], Recently] = attrs.field(factory=dict)
    _calls: Recently = attrs.field(factory=Recently)
    _asked: Recently = attrs.field(factory=Recently)
    _streams: Recently = attrs.field(factory=Recently)
    _troubles: Recently = attrs.field(factory=Recently)
    _troubles_of: dict[str, Recently] = attrs.field(factory=dict)

    def saw(self, event: WorldEvent) -> None:
        match event:
            case StreamOpened():
                self._streams.note(event.at)
                self._troubles.note(event.at)
            case FaultInjected():
                self._trouble(event.target, event.at)
            case AgentChanged(state="disconnected" | "unreachable" | "removed"):
                self._trouble(event.hostname, event.at)
            case HostEvent(kind="down"):
                self._trouble(event.host, event.at)
            case TaskChanged(running=False):
                self._ended(event)
            case TaskLaunched():
                self._launched(event)
            case CallReceived():
                bound = CALLS + CALLS_PER_AGENT * len(self.world.hosts)
                bound += CALLS_PER_TROUBLE * self._troubles.count(event.at)
                self._bounded(self._calls, event.at, bound, "calls to the master")
            case GatewayAsked():
                bound = ASKED + ASKED_PER_AGENT * len(self.world.hosts)
                self._bounded(self._asked, event.at, bound, "requests to the Gateway")
            case _:
                pass

    def _trouble(self, host: str, now: float) -> None:
        self._troubles.note(now)
        self._troubles_of.setdefault(host, Recently()).note(now)

    def _ended(self, event: TaskChanged) -> None:
        """That a step fails by itself is no excuse for trying it again at once."""
        if event.state in ("TASK_LOST", "TASK_GONE", "TASK_KILLED"):
            self._trouble(event.hostname, event.at)

    def _launched(self, event: TaskLaunched) -> None:
        now = event.at
        own = self._troubles_of.setdefault(event.hostname, Recently()).count(now)
        bound = LAUNCHES + LAUNCHES_PER_TROUBLE * own
        bound += self._streams.count(now) // STREAMS_PER_LAUNCH
        of_step = self._launches.setdefault((event.hostname, event.step), Recently())
        self._bounded(of_step, now, bound, f"{event.step} launched on {event.hostname}")

    def _bounded(self, recently: Recently, now: float, bound: int, what: str) -> None:
        count = recently.note(now)
        self.book.check(PACE, count <= bound, f"{what}: {count} in an hour, the bound is {bound}")
