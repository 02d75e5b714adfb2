"""All agents' actors: made from the store or at first sight, started, and found by host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from actors.agent import AgentActor, Links
from actors.board import Board
from actors.mailbox import Mailbox, Vitals
from actors.supervision import supervise
from domain.agent import AgentRecord, Phase
from domain.closing import AgentView
from domain.draft import Agent
from domain.inbox import AgentInbox

AGENT_MAILBOX: Final = 64  # a busy agent has a handful; more are kept by Mesos and sent again
STARTED_AT_ONCE: Final = 50
LINK_PATIENCE_S: Final = 1.0


@attrs.define
class Household:
    """`links` are set before the first agent is made, `start` when agents may run."""

    board: Board
    wall: Callable[[], float]
    actors: dict[str, AgentActor] = attrs.field(factory=dict)
    links: Links = attrs.field(init=False)
    all_begun: trio.Event = attrs.field(factory=trio.Event, init=False)  # those of the store
    _nursery: trio.Nursery | None = attrs.field(default=None, init=False)

    def mailbox_of(self, host: str) -> Mailbox[AgentInbox] | None:
        actor = self.actors.get(host)
        return None if actor is None else actor.mailbox

    def birth(self, host: str) -> Mailbox[AgentInbox]:
        actor = self.actors.get(host)
        if actor is None:
            record = AgentRecord(host=host, agent_id="", phase=Phase.SEEN, since=self.wall())
            actor = self._make(record, stored=None)
            if self._nursery is not None:
                self._nursery.start_soon(_run_agent, actor)
        return actor.mailbox

    def restore(self, record: AgentRecord) -> None:
        """As the store has it."""
        self._make(record, stored=record)

    async def start(self, nursery: trio.Nursery, subscribed: Callable[[], bool]) -> None:
        """A few at a time: ten thousand at once would let nobody else begin for seconds.

        The subscription goes before many of them: the master counts how long we are away.
        """
        self._nursery, restored = nursery, list(self.actors.values())
        with trio.move_on_after(LINK_PATIENCE_S):
            while len(restored) > STARTED_AT_ONCE and not subscribed():
                await self.board.wait_change()
        for number, actor in enumerate(restored):
            nursery.start_soon(_run_agent, actor)
            if number % STARTED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()  # the last of them take their first step
        self.all_begun.set()

    def views(self) -> list[AgentView]:
        """As the store has them: no decision stands on what a crash would take back."""
        return [
            AgentView(
                host=host,
                phase=actor.agent.record.phase,
                told=actor.agent.record.removal is not None,
            )
            for host, actor in sorted(self.actors.items())
        ]

    def _make(self, record: AgentRecord, *, stored: AgentRecord | None) -> AgentActor:
        vitals = Vitals(name=f"agent/{record.host}", kind="agent")
        mailbox: Mailbox[AgentInbox] = Mailbox(vitals, AGENT_MAILBOX)
        self.board.actors[vitals.name] = mailbox.snapshot
        actor = AgentActor(
            mailbox=mailbox, links=self.links, agent=Agent(record=record), stored=stored
        )
        self.actors[record.host] = actor
        return actor


async def _run_agent(actor: AgentActor) -> None:
    await supervise(actor.mailbox.vitals, actor.run, quarantine=True)
