"""Which tasks the master may know of, and what it has to be asked about them. No awaits.

Silence means "not known yet", never "dead": an agent that has not come back to a new master is
answered nothing. Facts: docs/reconciliation.md of Mesos.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Final

import attrs

from protocol.mesos import calls, events

LAUNCH_PATIENCE_S: Final = 120.0  # no word of a launched task: ask
RECONCILE_FIRST_S: Final = 8.0
RECONCILE_CEILING_S: Final = 60.0
RECONCILE_ALL_S: Final = 900.0
# After a subscription: agents come back to a new master one by one, within ten minutes.
STRANGERS_AT_S: Final = (5.0, 60.0, 240.0, 660.0)
STRANGERS_EVERY_S: Final = 10.0  # at most, for agents that turn up
BATCH_TASKS: Final = 1000
BATCH_EVERY_S: Final = 1.0
KILL_EVERY_S: Final = 30.0
# A kill is answered with these when there is nothing to kill; another one would be, too.
NOT_THERE: Final = frozenset({"TASK_UNKNOWN"})


@attrs.define
class Tracked:
    """A task the master may know of. `due`: when its silence is asked about."""

    host: str
    agent_id: str
    due: float


@attrs.define
class TaskBook:
    chance: random.Random
    tracked: dict[str, Tracked] = attrs.field(factory=dict)  # task id
    silent: set[str] = attrs.field(factory=set)  # of those, which nothing was heard of yet
    unheard: dict[str, str] = attrs.field(factory=dict)  # task id -> agent id, to reconcile
    kills: dict[str, tuple[str, float]] = attrs.field(factory=dict)  # task id -> agent id, due
    _batches: deque[tuple[tuple[str, str], ...]] = attrs.field(factory=deque)
    _batch_at: float = 0.0
    _round_at: float = 0.0
    _pause_s: float = RECONCILE_FIRST_S
    _all_at: float = 0.0
    asked_all_at: float = float("-inf")  # when all that the master knows was last asked for
    _strangers_at: deque[float] = attrs.field(factory=deque)  # when to ask for all there are

    def track(self, task_id: str, host: str, agent_id: str, now: float) -> None:
        due = now + LAUNCH_PATIENCE_S
        if task_id not in self.tracked:
            self.tracked[task_id] = Tracked(host=host, agent_id=agent_id, due=due)
            self.silent.add(task_id)

    def forget(self, task_id: str) -> None:
        self.tracked.pop(task_id, None)
        self.silent.discard(task_id)
        self.unheard.pop(task_id, None)

    def ask_about(self, task_id: str, now: float) -> None:
        tracked = self.tracked.get(task_id)
        if tracked is not None:
            self.unheard[task_id] = tracked.agent_id
            self._pause_s = RECONCILE_FIRST_S
            self._round_at = min(self._round_at, now + 1.0)

    def kill(self, task_id: str, agent_id: str, now: float) -> None:
        self.kills.setdefault(task_id, (agent_id, now))

    def ask_for_all(self, now: float) -> None:
        """Soon: somebody has turned up who may run tasks that we do not know."""
        at = max(now + 1.0, self.asked_all_at + STRANGERS_EVERY_S)
        if not self._strangers_at or self._strangers_at[0] > at:
            self._strangers_at.appendleft(at)

    def heard(self, update: events.Update) -> Tracked | None:
        """What we know of the task, which is not asked about any more."""
        self.unheard.pop(update.task_id, None)
        if update.terminal or update.state in NOT_THERE:
            self.kills.pop(update.task_id, None)
        tracked = self.tracked.get(update.task_id)
        if tracked is not None:
            self.silent.discard(update.task_id)
        return tracked

    def subscribed(self, now: float) -> None:
        """Another subscription: whatever was said meanwhile is lost, so everything is asked."""
        self.unheard = {task_id: t.agent_id for task_id, t in self.tracked.items()}
        self.kills = {task_id: (agent_id, now) for task_id, (agent_id, _) in self.kills.items()}
        self._strangers_at = deque(now + after for after in STRANGERS_AT_S)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._batches.clear()
        self._pause_s = RECONCILE_FIRST_S
        self._round_at = now
        self._all_at = now + RECONCILE_ALL_S * self.chance.uniform(0.9, 1.1)

    def due(self, now: float) -> list[calls.Call]:
        """The calls to send now. To be asked about once a second while subscribed."""
        if now >= self._all_at:
            self.unheard.update({k: t.agent_id for k, t in self.tracked.items()})
            self._strangers_at.append(now + STRANGERS_AT_S[0])
            self._begin(now)
        for task_id in sorted(self.silent):  # not all: ten thousand keepers are long heard of
            tracked = self.tracked[task_id]
            if now >= tracked.due:
                tracked.due = now + LAUNCH_PATIENCE_S
                self.unheard[task_id] = tracked.agent_id
        return [*self._reconcile(now), *self._strangers(now), *self._kills_due(now)]

    def _strangers(self, now: float) -> list[calls.Call]:
        """Everything that the master knows: among it are tasks that we do not."""
        if not self._strangers_at or now < self._strangers_at[0]:
            return []
        self._strangers_at.popleft()
        self.asked_all_at = now
        return [calls.Reconcile(tasks=())]

    def _reconcile(self, now: float) -> list[calls.Call]:
        if not self.unheard:
            self._batches.clear()
            return []
        if not self._batches and now >= self._round_at:
            asked = sorted(self.unheard.items())
            starts = range(0, len(asked), BATCH_TASKS)
            self._batches.extend(tuple(asked[start : start + BATCH_TASKS]) for start in starts)
            self._round_at = now + self._pause_s * self.chance.uniform(0.75, 1.0)
            self._pause_s = min(RECONCILE_CEILING_S, self._pause_s * 2)
        if not self._batches or now < self._batch_at:
            return []
        self._batch_at = now + BATCH_EVERY_S
        return [calls.Reconcile(tasks=self._batches.popleft())]

    def _kills_due(self, now: float) -> list[calls.Call]:
        found: list[calls.Call] = []
        for task_id, (agent_id, due) in self.kills.items():
            if now >= due:
                self.kills[task_id] = (agent_id, now + KILL_EVERY_S)
                found.append(calls.Kill(task_id=task_id, agent_id=agent_id))
        return found
