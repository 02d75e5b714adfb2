"""A link to a simulated master, its writer, and a broker that only listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from actors.board import Board, LinkSnapshot
from actors.mailbox import Mailbox
from actors.master_link import MasterLink
from actors.master_session import Session
from actors.master_writer import MasterWriter
from actors.messages import BrokerInbox, FromMaster, Send, WriterInbox
from actors.ports import Leaders
from actors.registration import Registration
from actors.supervision import supervise
from adapters.http_client import make_client
from adapters.leaders import FixedLeaders
from adapters.mesos_credentials import Credentials, NoCredentials
from adapters.mesos_http import HttpMesos
from protocol.mesos import calls, events
from protocol.mesos.calls import FrameworkInfo
from simulation.mesos_observed import StreamOpened
from simulation.network import MemoryBackend
from tests.unit.actor_doubles import box, rng
from tests.unit.sim_mesos import MASTER, World, world

INFO = FrameworkInfo(
    user="root",
    name="ScaleIO Framework",
    role="scaleio",
    hostname="s1",
    webui_url="http://s1/",
    failover_timeout_s=600.0,
)
STANDBY = "http://master2.test:5050"


@attrs.define
class Keep:
    """Where framework ids are stored, in `takes_s` each."""

    stored: list[str] = attrs.field(factory=list)
    takes_s: float = 0.0

    async def store(self, framework_id: str) -> None:
        await trio.sleep(self.takes_s)
        self.stored.append(framework_id)


@attrs.define
class Line:
    """A link, a broker that only listens, and what both have said."""

    there: World
    link: MasterLink
    writer: MasterWriter
    keep: Keep
    nursery: trio.Nursery
    heard: list[BrokerInbox] = attrs.field(factory=list)
    listening: bool = True
    shown: list[LinkSnapshot] = attrs.field(factory=list)

    async def listen(self) -> None:
        """The broker: takes what comes, as long as the test lets it."""
        while True:
            if self.listening:
                self.heard.append(await self.link.broker.receive())
            else:
                await trio.sleep(0.5)

    async def watch(self) -> None:
        while True:
            await self.link.board.wait_change()
            self.shown.append(self.link.board.link)

    @property
    def now(self) -> LinkSnapshot:
        return self.link.board.link

    def events(self, kind: type[events.Event]) -> list[FromMaster]:
        found = [one for one in self.heard if isinstance(one, FromMaster)]
        return [one for one in found if isinstance(one.event, kind)]

    async def until(self, wanted: Callable[[], bool], *, within_s: float = 300.0) -> None:
        """Looked at whenever the broker or the board hears something, and each second."""
        with trio.fail_after(within_s):
            while not wanted():
                with trio.move_on_after(1.0):
                    await self.link.board.wait_change()

    async def subscribed(self, times: int = 1) -> None:
        await self.until(lambda: self.now.state == "subscribed" and self.now.subscriptions >= times)
        await wait_all_tasks_blocked()

    def start_writing(self) -> None:
        self.nursery.start_soon(supervise, self.writer.mailbox.vitals, self.writer.run)

    async def send_revive(self) -> None:
        await self.writer.mailbox.put(Send(call=calls.Revive()))

    def subscriptions(self) -> list[tuple[str, bool]]:
        """Framework id, and whether it was a new one, of each as the master saw it."""
        return [(one.framework_id, one.fresh) for one in self.there.observed(StreamOpened)]


@asynccontextmanager
async def line(
    *,
    masters: int = 1,
    tried: tuple[str, ...] = (MASTER,),
    agents: int = 1,
    version: str = "1.11.0",
    framework_id: str = "",
    broker_room: int = 64,
    adopt: bool = False,
    principal: str = "",
    credentials: Credentials | None = None,
    leaders: Leaders | None = None,
    writes: bool = True,
) -> AsyncIterator[Line]:
    async with world(agents, masters=masters, version=version) as there:
        backend, keep = MemoryBackend(there.network), Keep()
        mailbox: Mailbox[WriterInbox] = box("master-writer")
        broker: Mailbox[BrokerInbox] = box("offer-broker", broker_room)
        async with (
            make_client(network_backend=backend, read_timeout_s=None) as stream,
            make_client(network_backend=backend, connections_max=1) as one,
            make_client(network_backend=backend) as operator,
            trio.open_nursery() as nursery,
        ):
            mesos = HttpMesos(
                stream=stream,
                calls=one,
                operator_calls=operator,
                credentials=credentials or NoCredentials(),
            )
            session = Session(
                info=attrs.evolve(INFO, framework_id=framework_id, principal=principal)
            )
            board = Board()
            link = MasterLink(
                mesos=mesos,
                leaders=leaders or FixedLeaders(masters=tried, chance=rng()),
                session=session,
                writer=mailbox,
                broker=broker,
                board=board,
                chance=rng(),
                registration=Registration(
                    mesos=mesos, session=session, store_id=keep.store, adopt=adopt
                ),
            )
            writer = MasterWriter(
                mesos=mesos, session=session, mailbox=mailbox, broker=broker, board=board
            )
            made = Line(there, link, writer, keep, nursery)
            nursery.start_soon(made.watch)
            nursery.start_soon(made.listen)
            if writes:
                made.start_writing()
            yield made
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(here: Line) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, here.writer.mailbox.vitals, here.link.run)
        yield
        nursery.cancel_scope.cancel()
