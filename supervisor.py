"""The composition root: settings -> adapters -> nurseries -> actors; signals; exit codes.

Three nurseries decide the order of death: the journal outlives the writer, the writer outlives
everything else. What a task needs lives in an outer nursery.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar
from urllib.parse import urlsplit

import attrs
import structlog
import trio

from actors import messages
from actors.agent import AgentActor, Installer, Links
from actors.board import Board
from actors.clock import Chance
from actors.gateway_poller import GatewayPoller
from actors.health_monitor import HealthMonitor
from actors.journal import Journal
from actors.mailbox import Mailbox, Vitals
from actors.master_link import MasterLink
from actors.master_session import Session
from actors.master_writer import MasterWriter
from actors.offer_broker import OfferBroker
from actors.ports import Gateway, Leaders, Mesos, Sandbox, Store
from actors.registration import Registration
from actors.rollout_gate import RolloutGate
from actors.roster import Roster
from actors.supervision import EndOfServiceError, supervise
from domain import health, inbox, records, rollout
from domain.agent import AgentRecord, Phase
from domain.draft import Agent, Rules
from domain.inbox import AgentInbox
from protocol.mesos.calls import FrameworkInfo
from settings import Redactor, Settings

FRAMEWORK_NAME: Final = "ScaleIO Framework"  # the original's: shown in Mesos, found by operators
EXIT_STORE: Final = 5
EDGE_PATIENCE_S: Final = 5.0  # for the web server's last answers; Marathon kills after 10 to 30 s
JOURNAL_PATIENCE_S: Final = 3.0  # for the writes in hand
AGENT_MAILBOX: Final = 64  # a busy agent has a handful; more are kept by Mesos and sent again
BROKER_MAILBOX: Final = 1024  # one OFFERS event is one message; updates come one by one
WRITER_MAILBOX: Final = 1024
ROSTER_MAILBOX: Final = 16384  # one observation per offer of the largest event
GATE_MAILBOX: Final = 4096
POLLER_MAILBOX: Final = 1024

log = structlog.get_logger()

T = TypeVar("T")

WebServer = Callable[["Service", trio.Event, "trio.TaskStatus[str]"], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Outside:
    """Everything beyond our process, as ports; production and simulation differ in here only."""

    mesos: Mesos
    leaders: Leaders
    sandbox: Sandbox
    gateway: Gateway
    store: Store
    chance: Chance
    installer: Callable[[Service], Installer]
    web: WebServer
    on_stored: Callable[[AgentRecord], None] = lambda _: None
    own_addresses: frozenset[str] = frozenset()  # of the scheduler's host, all that are known
    own_names: frozenset[str] = frozenset()
    store_lost: trio.Event = attrs.field(factory=trio.Event)  # set: we lead no more
    time_scale: float = 1.0  # run-clock seconds per real second: the web server's patience


class Service:
    """One scheduler: its mailboxes, its actors, and the board that they write on."""

    def __init__(self, settings: Settings, outside: Outside, redactor: Redactor) -> None:
        self.settings = settings
        self.outside = outside
        self.redactor = redactor
        self.board = Board(store_kind=outside.store.kind)
        self.agents: dict[str, AgentActor] = {}
        self._nursery: trio.Nursery | None = None
        self.installation = b""
        self.url = ""
        self._web_ended = trio.Event()
        rng = outside.chance.rng
        self.journal = Journal(
            store=outside.store, mailbox=self._box("journal", "journal", 1024), chance=rng
        )
        self.broker_box: Mailbox[messages.BrokerInbox] = self._box(
            "offer-broker", "offer_broker", BROKER_MAILBOX
        )
        self.writer_box: Mailbox[messages.WriterInbox] = self._box(
            "master-writer", "master_link", WRITER_MAILBOX
        )
        self.roster_box: Mailbox[messages.RosterInbox] = self._box(
            "roster", "roster", ROSTER_MAILBOX
        )
        self.gate_box: Mailbox[messages.GateInbox] = self._box(
            "rollout-gate", "rollout_gate", GATE_MAILBOX
        )
        self.poller_box: Mailbox[messages.PollerInbox] = self._box(
            "gateway-poller", "gateway_poller", POLLER_MAILBOX
        )
        self.health_box: Mailbox[messages.HealthInbox] = self._box(
            "health-monitor", "health_monitor", 16
        )
        self.link_vitals: Mailbox[messages.WriterInbox] = self._box("master-link", "master_link", 1)
        self.session = Session(info=self._framework_info())
        self._compose()

    def _box(self, name: str, kind: str, size: int) -> Mailbox[T]:
        box: Mailbox[T] = Mailbox(Vitals(name=name, kind=kind), size)
        self.board.actors[name] = box.snapshot
        return box

    def _framework_info(self) -> FrameworkInfo:
        settings = self.settings
        return FrameworkInfo(
            user=settings.user,
            name=FRAMEWORK_NAME,
            role=settings.role,
            hostname=settings.hostname,
            webui_url="",  # known when the web server listens
            failover_timeout_s=settings.mesos_failover_timeout,
            principal=settings.mesos_principal,
        )

    def _compose(self) -> None:
        """Every actor, from its mailbox and the collaborators it may speak to."""
        settings, outside, board = self.settings, self.outside, self.board
        self.link = MasterLink(
            mesos=outside.mesos,
            leaders=outside.leaders,
            session=self.session,
            writer=self.writer_box,
            broker=self.broker_box,
            board=board,
            chance=outside.chance.rng,
            registration=Registration(
                mesos=outside.mesos,
                session=self.session,
                store_id=self._store_id,
                adopt=settings.mesos_adopt,
            ),
        )
        self.writer = MasterWriter(
            mesos=outside.mesos,
            session=self.session,
            mailbox=self.writer_box,
            broker=self.broker_box,
            board=board,
        )
        self.roster = Roster(
            mailbox=self.roster_box,
            mesos=outside.mesos,
            leader=lambda: self.session.base if board.link.state == "subscribed" else "",
            birth=self._birth,
            board=board,
            poll_s=settings.mesos_poll_agents,
        )
        self.broker = OfferBroker(
            mailbox=self.broker_box,
            writer=self.writer_box,
            roster=self.roster_box,
            agents=self.mailbox_of,
            board=board,
            chance=outside.chance.rng,
            wall=outside.chance.wall,
            role=settings.role,
            may_suppress=lambda: self.roster.listing_works,
            set_suppressed=self._set_suppressed,
            renew=self.link.renew,
            adopted=lambda: self.session.adopted,
        )
        self.gate = RolloutGate(
            mailbox=self.gate_box,
            poller=self.poller_box,
            agents=self.mailbox_of,
            board=board,
            chance=outside.chance,
            limits=self._rollout_limits(),
        )
        self.poller = GatewayPoller(
            mailbox=self.poller_box,
            gateway=outside.gateway,
            gate=self.gate_box,
            agents=self.mailbox_of,
            board=board,
            chance=outside.chance.rng,
            poll_s=settings.gateway_poll,
            system_id=settings.scaleio_clusterid,
            system_name=settings.scaleio_clustername,
        )
        self.health = HealthMonitor(
            mailbox=self.health_box,
            board=board,
            agents=self.mailbox_of,
            limits=health.Limits(
                capacity_high=settings.health_capacity_high,
                capacity_critical=settings.health_capacity_critical,
            ),
            store_fault=lambda: self.journal.fault,
            store_bound=outside.store.kind == "sqlite",
        )
        self.links = Links(
            journal=self.journal,
            broker=self.broker_box,
            writer=self.writer_box,
            gate=self.gate_box,
            poller=self.poller_box,
            board=board,
            sandbox=outside.sandbox,
            installer=outside.installer(self),
            chance=outside.chance,
            rules=Rules(
                mode=settings.mode,
                attempts_max=settings.retry_attempts,
                claim_delay_s=settings.devices_claim_delay,
                probe=settings.probe == "on",
            ),
            framework_id=lambda: self.session.info.framework_id,
            agent_scheme=lambda: self.session.base.partition("://")[0] or "http",
            redact=self.redactor,
            on_stored=outside.on_stored,
        )

    def _rollout_limits(self) -> rollout.Limits:
        return rollout.Limits(
            parallel=self.settings.rollout_parallel,
            reboots=0 if self.settings.mode == "observe" else self.settings.reboots_at_a_time,
            own_addresses=self.outside.own_addresses | {self.settings.rest_advertised.strip("[]")},
            own_names=self.outside.own_names,
            own_may_reboot=self.outside.store.kind != "sqlite",
        )

    def _set_suppressed(self, value: bool) -> None:  # noqa: FBT001 - a callback of one value
        self.session.suppressed = value

    # -- running ---------------------------------------------------------------------------------

    async def run(
        self, stop: trio.Event, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Load, start everything, and end in order when `stop` is set. Starts with our URL."""
        await self._load()
        async with trio.open_nursery() as foundation:
            foundation.start_soon(supervise, self.journal.mailbox.vitals, self.journal.run)
            foundation.start_soon(self._end_without_store)
            async with trio.open_nursery() as wire:
                wire.start_soon(supervise, self.writer_box.vitals, self.writer.run)
                async with trio.open_nursery() as edge:
                    self._announce(await edge.start(self._serve_web, stop))
                    self._start_actors(edge)
                    task_status.started(self.url)
                    await stop.wait()
                    with trio.move_on_after(EDGE_PATIENCE_S * self.outside.time_scale):
                        await self._web_ended.wait()
                    edge.cancel_scope.cancel(reason="graceful stop")
                wire.cancel_scope.cancel(reason="edge is down")
            with trio.move_on_after(JOURNAL_PATIENCE_S):
                await self.journal_is_idle()
            foundation.cancel_scope.cancel(reason="wire is down")

    async def _end_without_store(self) -> None:
        await self.outside.store_lost.wait()
        raise EndOfServiceError("another scheduler may lead: the store's lock is lost", EXIT_STORE)

    async def _serve_web(self, stop: trio.Event, *, task_status: trio.TaskStatus[str]) -> None:
        """It ends by itself when `stop` is set, so that replies under way get a moment."""
        await self.outside.web(self, stop, task_status)
        self._web_ended.set()

    def _announce(self, bound: str) -> None:
        """Our URL as others reach it, with the port that was really taken."""
        self.url = f"http://{self.settings.rest_advertised}:{urlsplit(bound).port}"
        self.session.info = attrs.evolve(self.session.info, webui_url=f"{self.url}/")

    async def journal_is_idle(self) -> None:
        """Return when what was asked of the journal is written."""
        await self.journal.save({})

    def _start_actors(self, edge: trio.Nursery) -> None:
        self._nursery = edge
        for actor in list(self.agents.values()):
            self._start_agent(actor)
        for box, run in (
            (self.broker_box.vitals, self.broker.run),
            (self.gate_box.vitals, self.gate.run),
            (self.poller_box.vitals, self.poller.run),
            (self.health_box.vitals, self.health.run),
            (self.roster_box.vitals, self.roster.run),
            (self.link_vitals.vitals, self.link.run),
        ):
            edge.start_soon(supervise, box, run)

    async def _load(self) -> None:
        """What the store knows: our identity, every agent, and who holds which permission."""
        stored = await self.outside.store.load()
        await self._load_installation(stored)
        raw = stored.get(records.FRAMEWORK_KEY)
        if raw is not None:
            known = records.decode(raw, records.FrameworkRecord, key=records.FRAMEWORK_KEY)
            self.session.info = attrs.evolve(self.session.info, framework_id=known.framework_id)
            self.session.adopted = known.adopted
        for key in sorted(k for k in stored if k.startswith(records.AGENT_PREFIX)):
            self._restore(records.decode(stored[key], AgentRecord, key=key))

    async def _load_installation(self, stored: Mapping[str, bytes]) -> None:
        """The key by which secrets are told apart: made once, before anything depends on it."""
        raw = stored.get(records.INSTALLATION_KEY)
        if raw is None:
            made = records.InstallationRecord(key=self.outside.chance.secret_token())
            raw = records.encode(made)
            await self.outside.store.write({records.INSTALLATION_KEY: raw})
        known = records.decode(raw, records.InstallationRecord, key=records.INSTALLATION_KEY)
        self.installation = known.key.encode()

    def _restore(self, record: AgentRecord) -> None:
        self._new_agent(record, stored=record)
        self.roster.remember(record)
        self.gate.restore(record)

    async def _store_id(self, framework_id: str) -> None:
        """Durable when it returns; "" forgets who we were."""
        record = records.FrameworkRecord(
            framework_id=framework_id,
            name=FRAMEWORK_NAME,
            principal=self.settings.mesos_principal,
            role=self.settings.role,
            adopted=self.session.adopted,
        )
        kept = records.encode(record) if framework_id else None
        await self.journal.save({records.FRAMEWORK_KEY: kept})

    # -- agents ----------------------------------------------------------------------------------

    def mailbox_of(self, host: str) -> Mailbox[AgentInbox] | None:
        actor = self.agents.get(host)
        return None if actor is None else actor.mailbox

    def _birth(self, host: str) -> Mailbox[AgentInbox]:
        actor = self.agents.get(host)
        if actor is None:
            now = self.outside.chance.wall()
            record = AgentRecord(host=host, agent_id="", phase=Phase.SEEN, since=now)
            actor = self._new_agent(record, stored=None)
            self._start_agent(actor)
        return actor.mailbox

    def _new_agent(self, record: AgentRecord, *, stored: AgentRecord | None) -> AgentActor:
        mailbox: Mailbox[AgentInbox] = self._box(f"agent/{record.host}", "agent", AGENT_MAILBOX)
        actor = AgentActor(
            mailbox=mailbox, links=self.links, agent=Agent(record=record), stored=stored
        )
        self.agents[record.host] = actor
        return actor

    def _start_agent(self, actor: AgentActor) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._run_agent, actor)

    async def _run_agent(self, actor: AgentActor) -> None:
        await supervise(actor.mailbox.vitals, actor.run, quarantine=True)

    # -- asked by the web ------------------------------------------------------------------------

    async def permit(self, permit: str) -> tuple[int, str]:
        """May the host that holds this permit reboot now? 200 only if all conditions hold."""
        send, receive = trio.open_memory_channel[tuple[int, str]](1)

        def answer(status: int, sentence: str) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                send.send_nowait((status, sentence))  # who asked may have hung up by now

        with send, receive:
            if not self.gate_box.offer(messages.AskPermit(permit=permit, answer=answer)):
                return 503, "the rollout gate is overloaded"
            with trio.move_on_after(EDGE_PATIENCE_S * 4):
                return await receive.receive()
        return 503, "the rollout gate does not answer"

    def command(self, name: str, host: str) -> tuple[int, str]:
        """hold, resume, retry for one agent; refused with 503 when its mailbox is full.

        register, for no agent: as a new framework, where the id is dead.
        """
        if name == "register":
            return self.link.register_anew()
        mailbox = self.mailbox_of(host)
        if mailbox is None:
            return 404, f"no agent {host}"
        if not mailbox.offer(inbox.Command(name=name)):
            return 503, f"agent {host} is busy: try again"
        return 202, f"{name} is passed to agent {host}"


async def stop_on_signals(stop: trio.Event) -> None:
    """SIGTERM and SIGINT end the process gracefully; they never send TEARDOWN."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", signal=signal.Signals(number).name)
            stop.set()


if __name__ == "__main__":
    from cli import main  # the command line knows more than the scheduler alone

    sys.exit(main(sys.argv[1:]))
