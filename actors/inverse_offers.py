"""Answers to inverse offers: an operator asks whether agents may go down for maintenance.

They are advice (docs/maintenance.md of Mesos), given by what the storage can bear now. No awaits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from actors.board import AgentSnapshot, Board
from domain.maintenance import may_be_down, when
from protocol.mesos import calls, events

REFUSE_S: Final = 3600.0  # an answer that stands
REFUSE_NOT_YET_S: Final = 300.0  # an answer that may become another one


@attrs.define
class InverseOffers:
    board: Board
    wall: Callable[[], float]  # unix seconds: windows are told in them
    hosts: dict[str, str] = attrs.field(factory=dict)  # inverse offer id -> host

    def answers(
        self, asked: tuple[events.InverseOffer, ...], now: float
    ) -> list[calls.AcceptInverseOffers | calls.DeclineInverseOffers]:
        shown = {agent.agent_id: agent for agent in self.board.agents.values()}
        return [self._answer(one, shown.get(one.agent_id), now) for one in asked]

    def _answer(
        self, one: events.InverseOffer, shown: AgentSnapshot | None, now: float
    ) -> calls.AcceptInverseOffers | calls.DeclineInverseOffers:
        ids = (one.offer_id,)
        why_not = "" if shown is None else self._why_not(shown, now)
        if shown is not None:
            window = when(one.unavailable_from_s, one.unavailable_for_s, self.wall())
            answer = f"declined: {why_not}" if why_not else "accepted"
            self.hosts[one.offer_id] = shown.host
            self.board.maintenance[shown.host] = (
                f"operators ask for maintenance ({window}): {answer}"
            )
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

    def rescinded(self, offer_id: str) -> None:
        host = self.hosts.pop(offer_id, None)
        if host is not None and host not in self.hosts.values():
            self.board.maintenance.pop(host, None)

    def void(self) -> None:
        """Another subscription: what stands is asked again."""
        self.hosts.clear()
        self.board.maintenance.clear()
