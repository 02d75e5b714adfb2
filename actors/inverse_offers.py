"""Answers to inverse offers: an operator asks whether agents may go down for maintenance.

They are advice (docs/maintenance.md of Mesos), given by what the storage can bear now. No awaits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from actors.board import AgentSnapshot, Board
from domain.maintenance import is_over, may_be_down, when
from protocol.mesos import calls, events

REFUSE_S: Final = 3600.0  # an answer that stands
REFUSE_NOT_YET_S: Final = 300.0  # an answer that may become another one

Answer = calls.AcceptInverseOffers | calls.DeclineInverseOffers


@attrs.frozen
class Asked:
    """The latest question about a host, and what was answered."""

    question: events.InverseOffer
    answer: str


@attrs.define
class InverseOffers:
    board: Board
    wall: Callable[[], float]  # unix seconds: windows are told in them
    asked: dict[str, Asked] = attrs.field(factory=dict)  # host

    def answers(self, asked: tuple[events.InverseOffer, ...], now: float) -> list[Answer]:
        shown = {agent.agent_id: agent for agent in self.board.agents.values()}
        answers = [self._answer(one, shown.get(one.agent_id), now) for one in asked]
        self.refresh()
        return answers

    def _answer(self, one: events.InverseOffer, shown: AgentSnapshot | None, now: float) -> Answer:
        ids = (one.offer_id,)
        why_not = "we do not know this agent yet" if shown is None else self._why_not(shown, now)
        if shown is not None:
            answer = f"declined: {why_not}" if why_not else "accepted"
            self.asked[shown.host] = Asked(one, answer)
        if why_not:
            return calls.DeclineInverseOffers(inverse_offer_ids=ids, refuse_s=REFUSE_NOT_YET_S)
        return calls.AcceptInverseOffers(inverse_offer_ids=ids, refuse_s=REFUSE_S)

    def _why_not(self, shown: AgentSnapshot, now: float) -> str:
        return may_be_down(
            address=shown.address,
            step=shown.step if shown.task_id else "",
            storage=self.board.gateway.storage,
            now=now,
        )

    def refresh(self) -> None:
        """What is shown, as time goes on; a window that is over is not shown any more."""
        if not self.asked and not self.board.maintenance:
            return
        now_s = self.wall()
        for host, one in list(self.asked.items()):
            if is_over(one.question.unavailable_from_s, one.question.unavailable_for_s, now_s):
                del self.asked[host]
        self.board.maintenance = {
            host: f"operators ask for maintenance ({_window(one.question, now_s)}): {one.answer}"
            for host, one in self.asked.items()
        }

    def rescinded(self, offer_id: str) -> None:
        for host, one in list(self.asked.items()):
            if one.question.offer_id == offer_id:
                del self.asked[host]
        self.refresh()

    def void(self) -> None:
        """Another subscription: what stands is asked again."""
        self.asked.clear()
        self.refresh()


def _window(one: events.InverseOffer, now_s: float) -> str:
    return when(one.unavailable_from_s, one.unavailable_for_s, now_s)
