"""A broker with everything around it that it speaks to; the writer answers as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import attrs
import msgspec
import trio
from trio.testing import wait_all_tasks_blocked

from actors.board import Board
from actors.mailbox import Mailbox
from actors.messages import (
    BrokerInbox,
    CallResult,
    FromMaster,
    LinkDown,
    RosterInbox,
    Send,
    Want,
    WriterInbox,
)
from actors.offer_broker import OfferBroker
from actors.supervision import supervise
from domain.inbox import AgentInbox
from protocol.mesos import calls, events
from protocol.mesos.offered import Named, Sketch
from tests.unit.actor_doubles import box, rng

C = TypeVar("C")
NOW_S = 1e9  # unix seconds at the beginning


def offer(number: int, agent: int = 1, *, cpus: float = 1.0, mem: float = 1024.0) -> Sketch:
    raw = [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}}
        for name, value in (("cpus", cpus), ("mem", mem))
    ]
    return Sketch(
        id=Named(f"O{number}"),
        agent_id=Named(f"S{agent}"),
        hostname=f"a{agent}",
        url=written({"address": {"ip": f"10.0.0.{agent}", "port": 5051}}),
        resources=written(raw),
        allocation_info=written({"role": "scaleio"}),
    )


def written(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def want(agent: int = 1, number: int = 1, *, mem_milli: int = 512_000) -> Want:
    task = calls.Task(
        task_id=f"a{agent}.sds.{number}.0badcafe",
        name="t",
        agent_id=f"S{agent}",
        command="true",
        environment={},
        labels={},
    )
    return Want(host=f"a{agent}", task=task, cpus_milli=100, mem_milli=mem_milli)


def update(task_id: str, state: str, *, uuid: str = "") -> events.Update:
    return events.Update(task_id=task_id, agent_id="S1", state=state, uuid=uuid)


@attrs.define
class Desk:
    broker: OfferBroker
    agents: dict[str, Mailbox[AgentInbox]]
    outcomes: Iterator[str]
    call_s: float = 0.0
    generation: int = 0
    sent: list[tuple[float, Send]] = attrs.field(factory=list)
    suppressed: list[bool] = attrs.field(factory=list)
    lists_agents: bool = True

    def of(self, kind: type[C]) -> list[C]:
        return [message.call for _, message in self.sent if isinstance(message.call, kind)]

    def accepts(self) -> list[calls.Accept]:
        return self.of(calls.Accept)

    def declines(self) -> list[calls.Decline]:
        return self.of(calls.Decline)

    def reconciled(self) -> list[tuple[tuple[str, str], ...]]:
        """The explicit ones."""
        return [call.tasks for call in self.of(calls.Reconcile) if call.tasks]

    async def tell(self, message: BrokerInbox) -> None:
        """And let everybody act on it."""
        await self.broker.mailbox.put(message)
        await wait_all_tasks_blocked()

    async def event(self, event: events.Event) -> None:
        await self.tell(FromMaster(generation=self.generation, event=event, at=trio.current_time()))

    async def offered(self, *offers: Sketch) -> None:
        body = msgspec.json.encode({"type": "OFFERS", "offers": {"offers": offers}})
        await self.event(events.decode_event(body))

    async def subscribe(self) -> None:
        self.generation += 1
        await self.event(events.Subscribed(framework_id="F", heartbeat_s=15.0))

    async def stream_breaks(self) -> None:
        await self.tell(LinkDown(generation=self.generation))

    async def write(self) -> None:
        """The writer: one call at a time, each with its outcome."""
        mailbox = self.broker.writer
        while True:
            message = await mailbox.receive()
            await trio.sleep(self.call_s)
            self.sent.append((trio.current_time(), message))
            stale = message.generation is not None and message.generation != self.generation
            if isinstance(message.call, calls.Accept):
                outcome = "refused" if stale else next(self.outcomes, "sent")
                self.broker.mailbox.offer(CallResult(call=message.call, outcome=outcome))


@asynccontextmanager
async def desk(
    *, outcomes: tuple[str, ...] = (), call_s: float = 0.0, writer_room: int = 1024
) -> AsyncIterator[Desk]:
    """Subscribed, with agents a1 to a3."""
    mailbox: Mailbox[BrokerInbox] = box("offer-broker", 1024)
    writer: Mailbox[WriterInbox] = box("master-writer", writer_room)
    roster: Mailbox[RosterInbox] = box("roster", 16384)
    agents: dict[str, Mailbox[AgentInbox]] = {f"a{n}": box(f"agent/a{n}", 4) for n in (1, 2, 3)}
    suppressed: list[bool] = []
    broker = OfferBroker(
        mailbox=mailbox,
        writer=writer,
        roster=roster,
        agents=agents.get,
        board=Board(),
        chance=rng(),
        wall=lambda: NOW_S + trio.current_time(),
        role="scaleio",
        may_suppress=lambda: made.lists_agents,
        set_suppressed=suppressed.append,
    )
    made = Desk(broker, agents, iter(outcomes), call_s, suppressed=suppressed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, mailbox.vitals, broker.run)
        nursery.start_soon(made.write)
        await made.subscribe()
        yield made
        nursery.cancel_scope.cancel()
