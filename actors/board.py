"""The latest snapshot of everything, for those who only look: web, health, checkers.

Writers replace whole frozen values; readers never wait. Times are seconds on the run's clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from actors.chronicler import Seen, note_agent, noted
from actors.snapshots import (
    HOLD_BOUNDS_S,
    REPR_CHARACTERS_MAX,
    ActorSnapshot,
    AgentSnapshot,
    ClosingSnapshot,
    Condition,
    GatewaySnapshot,
    Leaving,
    LinkSnapshot,
    NoticeSnapshot,
    OfferAnswer,
    OfferTally,
    RecentMessage,
    RolloutSnapshot,
    StepSnapshot,
)
from domain.audit import Silence
from domain.chronicle import Chronicle
from domain.joining import PoolSpec
from domain.limits import NO_LIMITS, Limits
from domain.storage_health import Outlook
from domain.trends import Trend
from protocol.mesos.operator import AgentSeen

__all__ = [
    "HOLD_BOUNDS_S",
    "REPR_CHARACTERS_MAX",
    "ActorSnapshot",
    "AgentSnapshot",
    "Board",
    "ClosingSnapshot",
    "Condition",
    "GatewaySnapshot",
    "Leaving",
    "LinkSnapshot",
    "NoticeSnapshot",
    "OfferAnswer",
    "OfferTally",
    "RecentMessage",
    "RolloutSnapshot",
    "StepSnapshot",
]

ANSWERS_KEPT: Final = 200  # events of offers


@attrs.define
class Board:
    """One per process. `changed` wakes whoever waits for any change."""

    agents: dict[str, AgentSnapshot] = attrs.field(factory=dict)
    link: LinkSnapshot = attrs.field(factory=LinkSnapshot)
    gateway: GatewaySnapshot = attrs.field(factory=GatewaySnapshot)
    leaving: tuple[Leaving, ...] = ()  # what is being removed from the storage cluster
    closing: ClosingSnapshot | None = None  # the order to remove the framework, while it stands
    conditions: tuple[Condition, ...] = ()
    silences: tuple[Silence, ...] = ()  # conditions that nobody is notified of
    notices: tuple[NoticeSnapshot, ...] = ()  # one for each receiver of notifications
    verdicts: dict[str, str] = attrs.field(factory=dict)  # host -> why no offer fits its want
    offers: OfferTally = attrs.field(factory=OfferTally)
    seen: Mapping[str, AgentSeen] = attrs.field(factory=dict)  # agent id -> the master's last word
    maintenance: dict[str, str] = attrs.field(factory=dict)  # host -> what operators announced
    actors: dict[str, Callable[[], ActorSnapshot]] = attrs.field(factory=dict)
    store_kind: str = ""
    store_fault: str = ""  # why nothing can be stored now
    limits: Limits = NO_LIMITS  # what the storage cluster can hold, as the operator says
    described: Mapping[str, PoolSpec] = attrs.field(factory=dict)  # pools of the layout file
    hosts: dict[str, str] = attrs.field(factory=dict)  # agent id -> host
    at_rest: set[str] = attrs.field(factory=set)  # agent ids: ready, and nothing is on its way
    next_in_line: frozenset[str] = frozenset()  # hosts that the gate lets work next
    gate_verdicts: dict[str, str] = attrs.field(factory=dict)  # host -> why no place or reboot yet
    deactivated: tuple[str, ...] = ()  # hosts whose agents we have deactivated for their reboot
    rollout: RolloutSnapshot = attrs.field(factory=RolloutSnapshot)
    outlooks: Mapping[str, Outlook] = attrs.field(factory=dict)  # by pool id
    fill: Mapping[str, Trend] = attrs.field(factory=dict)  # by pool id: KB in use
    answers: deque[OfferAnswer] = attrs.field(factory=lambda: deque(maxlen=ANSWERS_KEPT))
    chronicle: Chronicle = attrs.field(factory=Chronicle)
    wall: Callable[[], float] = lambda: 0.0
    revision: int = 0
    _noted: Seen = attrs.field(factory=Seen)
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def why_waiting(self, shown: AgentSnapshot) -> str:
        """The agent's own reason, and what gate, broker and operators say of its wish."""
        told = (self.gate_verdicts, self.verdicts, self.maintenance)
        said = [texts.get(shown.host, "") for texts in told]
        return "; ".join(text for text in (shown.reason, *said) if text)

    def touch(self) -> None:
        """Say that something was replaced."""
        self._noted = noted(self._now_seen(), self._noted, self.chronicle, self.wall)
        self.revision += 1
        self._changed.set()
        self._changed = trio.Event()

    def _now_seen(self) -> Seen:
        return Seen(
            link=self.link,
            gateway_error=self.gateway.error,
            conditions=self.conditions,
            closing=self.closing,
            rollout=self.rollout,
        )

    async def wait_change(self) -> None:
        await self._changed.wait()

    def post_agent(self, snapshot: AgentSnapshot) -> None:
        before = self.agents.get(snapshot.host)
        note_agent(before, snapshot, self.chronicle, self.wall)
        self.agents[snapshot.host] = snapshot
        if before is not None:
            self.at_rest.discard(before.agent_id)
        if snapshot.agent_id:
            self.hosts[snapshot.agent_id] = snapshot.host
            if snapshot.at_rest:
                self.at_rest.add(snapshot.agent_id)
        self.touch()
