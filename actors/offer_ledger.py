"""The offers that are ours, from receipt to answer. No awaits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from actors.offer_flow import REFUSE_IDLE_S, OfferFlow
from protocol.mesos import calls
from protocol.mesos.offered import Head


@attrs.define
class OfferLedger:
    """What an actor's crash leaves in here is declined by its next life."""

    flow: OfferFlow
    since: float = 0.0  # when the oldest arrived, on the run's clock
    held: dict[str, Head] = attrs.field(factory=dict)
    idle: list[str] = attrs.field(factory=list)  # ids of those of agents at rest

    def __len__(self) -> int:
        return len(self.held) + len(self.idle)

    def take(self, heads: Iterable[Head], at: float) -> list[Head]:
        """Put them in; gives those of agents that are not at rest."""
        if not len(self):
            self.since = at
        resting, others = self.flow.resting(), []
        for head in heads:  # of ten thousand agents, nearly all rest
            if head.agent_id.value in resting:
                self.idle.append(head.id.value)
            else:
                others.append(head)
        self.held.update((one.id.value, one) for one in others)
        return others

    def rescind(self, offer_id: str) -> bool:
        return self.held.pop(offer_id, None) is not None

    def forget(self) -> int:
        """They are void; so many were in here."""
        count = len(self)
        self.held.clear()
        self.idle.clear()
        return count

    def settle(self, offer_ids: Iterable[str]) -> None:
        for offer_id in offer_ids:
            self.held.pop(offer_id, None)

    def declines(self) -> Iterator[calls.Decline]:
        """All that is in here, in calls of bounded size; each is out of here when it is given."""
        for refuse_s, ids in self.flow.by_patience(self.held.values()).items():
            for start in range(0, len(ids), calls.DECLINE_IDS_MAX):
                part = tuple(ids[start : start + calls.DECLINE_IDS_MAX])
                self.settle(part)
                yield calls.Decline(offer_ids=part, refuse_s=refuse_s)
        while self.idle:
            part = tuple(self.idle[-calls.DECLINE_IDS_MAX :])
            del self.idle[-calls.DECLINE_IDS_MAX :]
            yield calls.Decline(offer_ids=part, refuse_s=REFUSE_IDLE_S)
