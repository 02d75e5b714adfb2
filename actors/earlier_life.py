"""A framework that is older than its store: no task is begun before the master has told of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from actors.board import Board
from actors.task_book import TaskBook
from actors.want_book import Wanted
from protocol.mesos.offered import Head

ANSWERED_S: Final = 3.0  # the master answers a reconciliation at once
ASKED_FIRST: Final = "the master is asked first which tasks of ours run there"


@attrs.define
class EarlierLife:
    """`adopted`: the store was lost, and the framework was taken over."""

    adopted: Callable[[], bool]
    book: TaskBook
    board: Board
    met: dict[str, float] = attrs.field(factory=dict)  # agent id -> first offer here

    def afresh(self) -> None:
        self.met.clear()

    def meets(self, offers: Iterable[Head], now: float) -> None:
        if self.adopted():
            for offer in offers:
                self.met.setdefault(offer.agent_id.value, now)

    def may_begin(self, wanted: Wanted, now: float) -> bool:
        """False while an agent may run a task of that life.

        The master tells of it when it is asked after that agent has come.
        """
        want = wanted.want
        shown = self.board.agents.get(want.host)
        if not self.adopted() or (shown is not None and shown.facts is not None):
            return True
        if self.book.asked_all_at > self.met.get(want.task.agent_id, now):
            return now - self.book.asked_all_at >= ANSWERED_S
        self.book.ask_for_all(now)
        self.board.verdicts[want.host] = ASKED_FIRST
        wanted.judged(now)
        return False
