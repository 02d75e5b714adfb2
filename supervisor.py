"""The composition root: settings -> adapters -> nurseries -> actors; signals; exit codes.

Three nurseries decide the order of death: the journal outlives the writer, the writer outlives
everything else. What a task needs lives in an outer nursery.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import attrs
import structlog
import trio

from actors.agent import Installer, Links
from actors.before_reboot import BeforeReboot
from actors.board import Board
from actors.clock import Chance
from actors.closing import FrameworkCloser
from actors.evacuations import Evacuations
from actors.front_desk import FrontDesk
from actors.gateway_poller import GatewayPoller
from actors.health_monitor import HealthMonitor
from actors.household import Household
from actors.journal import Journal
from actors.mailboxes import Mailboxes
from actors.master_link import MasterLink
from actors.master_session import Session
from actors.master_writer import MasterWriter
from actors.notifier import NoReceivers, Notifier
from actors.offer_broker import OfferBroker
from actors.order_book import OrderBook
from actors.ports import Gateway, Leaders, Mesos, Notices, Sandbox, Store
from actors.recollection import installation_key, recollect
from actors.registration import Registration
from actors.rollout_gate import RolloutGate
from actors.roster import Roster
from actors.supervision import EndOfServiceError, supervise
from domain import notices, records, rollout, storage_health
from domain.agent import AgentRecord
from domain.rules import Rules
from protocol.mesos.calls import FrameworkInfo
from settings import Redactor, Settings

FRAMEWORK_NAME: Final = "ScaleIO Framework"  # the original's: shown in Mesos, found by operators
EXIT_STORE: Final = 5
EDGE_PATIENCE_S: Final = 5.0  # for the web server's last answers; Marathon kills after 10 to 30 s
JOURNAL_PATIENCE_S: Final = 3.0  # for the writes in hand

log = structlog.get_logger()

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
    notices: Notices = NoReceivers()  # noqa: RUF009 - frozen
    on_stored: Callable[[AgentRecord], None] = lambda _: None
    own_addresses: frozenset[str] = frozenset()  # of the scheduler's host, all that are known
    own_names: frozenset[str] = frozenset()
    store_lost: trio.Event = attrs.field(factory=trio.Event)  # set: we lead no more
    time_scale: float = 1.0  # run-clock seconds per real second: the web server's patience


class Service(FrontDesk):
    """One scheduler: its mailboxes, its actors, and the board that they write on."""

    def __init__(self, settings: Settings, outside: Outside, redactor: Redactor) -> None:
        self.settings = settings
        self.outside = outside
        self.redactor = redactor
        self.board = Board(store_kind=outside.store.kind, wall=outside.chance.wall)
        self.board.chronicle.begin(outside.chance.wall())
        self.household = Household(board=self.board, wall=outside.chance.wall)
        self.agents = self.household.actors
        self.installation = b""
        self.url = ""
        self._web_ended = trio.Event()
        rng = outside.chance.rng
        boxes = Mailboxes.on(self.board)
        self.journal = Journal(store=outside.store, mailbox=boxes.journal, chance=rng)
        self.broker_box, self.writer_box = boxes.broker, boxes.writer
        self.roster_box, self.gate_box = boxes.roster, boxes.gate
        self.poller_box, self.health_box = boxes.poller, boxes.health
        self.closer_box, self.herald_box = boxes.closer, boxes.herald
        self.notifier_box, self.link_vitals = boxes.notifier, boxes.link
        self.session = Session(info=self._framework_info())
        self.order_book = OrderBook(
            journal=self.journal, board=self.board, wall=outside.chance.wall
        )
        self._compose()

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
        installer = outside.installer(self)
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
                adopt=settings.mesos_adopt or settings.store_rebuild,
            ),
        )
        self.writer = MasterWriter(
            mesos=outside.mesos,
            session=self.session,
            mailbox=self.writer_box,
            broker=self.broker_box,
            board=board,
            of_teardown=self.closer_box.offer,
        )
        self.roster = Roster(
            mailbox=self.roster_box,
            mesos=outside.mesos,
            leader=lambda: self.session.base if board.link.state == "subscribed" else "",
            birth=self.household.birth,
            board=board,
            poll_s=settings.mesos_poll_agents,
        )
        self.broker = OfferBroker(
            mailbox=self.broker_box,
            writer=self.writer_box,
            roster=self.roster_box,
            agents=self.household.mailbox_of,
            board=board,
            chance=outside.chance.rng,
            wall=outside.chance.wall,
            role=settings.role,
            may_suppress=lambda: self.roster.listing_works,
            set_suppressed=self._set_suppressed,
            renew=self.link.renew,
            adopted=lambda: self.session.adopted,
        )
        self.closer = FrameworkCloser(
            mailbox=self.closer_box,
            journal=self.journal,
            writer=self.writer_box,
            session=self.session,
            board=board,
            views=self.household.views,
            agents=self.household.mailbox_of,
            listed=self.roster.listing,
            met=lambda: self.roster.hosts,
            registers=self.link.register_anew,
        )
        self.link.may_subscribe = self.closer.may_subscribe
        self.link.is_closing = lambda: self.closer.is_tearing
        self.gate = RolloutGate(
            mailbox=self.gate_box,
            poller=self.poller_box,
            agents=self.household.mailbox_of,
            board=board,
            chance=outside.chance,
            limits=rollout.Limits(
                parallel=settings.rollout_parallel,
                reboots=settings.reboots_at_a_time,
                own_addresses=outside.own_addresses | {settings.rest_advertised.strip("[]")},
                own_names=outside.own_names,
                own_may_reboot=outside.store.kind != "sqlite",
                pillars=settings.pillars,
            ),
            journal=self.journal,
            herald=self.herald_box if settings.mesos_before_reboot == "deactivate" else None,
            stages=installer.stages(),
        )
        self.herald = BeforeReboot(
            mailbox=self.herald_box,
            gate=self.gate_box,
            mesos=outside.mesos,
            journal=self.journal,
            board=board,
            leader=self.roster.leader,
            listing=self.roster.listing,
            wall=outside.chance.wall,
        )
        self.evacuations = Evacuations(
            gateway=outside.gateway,
            journal=self.journal,
            board=board,
            wall=outside.chance.wall,
            verbs=settings.scaleio_gateway_maintenance,
            mode=settings.mode,
        )
        self.poller = GatewayPoller(
            evacuations=self.evacuations,
            mailbox=self.poller_box,
            gateway=outside.gateway,
            gate=self.gate_box,
            health=self.health_box,
            agents=self.household.mailbox_of,
            board=board,
            chance=outside.chance.rng,
            poll_s=settings.gateway_poll,
            system_id=settings.scaleio_clusterid,
            system_name=settings.scaleio_clustername,
        )
        self.health = HealthMonitor(
            mailbox=self.health_box,
            board=board,
            agents=self.household.mailbox_of,
            limits=storage_health.Limits(
                capacity_high=settings.health_capacity_high,
                capacity_critical=settings.health_capacity_critical,
                overallocation=settings.health_overallocation,
            ),
            wall=outside.chance.wall,
            store_fault=lambda: self.journal.fault,
            store_bound=outside.store.kind == "sqlite",
        )
        self.notifier = Notifier(
            mailbox=self.notifier_box,
            port=outside.notices,
            health=self.health_box,
            board=board,
            journal=self.journal,
            chance=outside.chance,
            policy=notices.Policy(
                min_severity=settings.notify_min_severity,
                group_wait_s=settings.notify_group_wait,
                repeat_s=settings.notify_repeat,
            ),
            framework=self._who_tells,
            redact=self.redactor,
        )
        self.household.links = Links(
            journal=self.journal,
            broker=self.broker_box,
            writer=self.writer_box,
            gate=self.gate_box,
            poller=self.poller_box,
            board=board,
            sandbox=outside.sandbox,
            installer=installer,
            chance=outside.chance,
            rules=Rules(
                mode=settings.mode,
                attempts_max=settings.retry_attempts,
                retire_after_s=settings.agents_retire_after,
                claim_delay_s=settings.devices_claim_delay,
                probe=settings.probe == "on",
            ),
            framework_id=lambda: self.session.info.framework_id,
            agent_scheme=lambda: self.session.base.partition("://")[0] or "http",
            redact=self.redactor,
            on_stored=outside.on_stored,
        )

    def _set_suppressed(self, value: bool) -> None:  # noqa: FBT001 - a callback of one value
        self.session.suppressed = value

    def _who_tells(self) -> notices.Framework:
        return notices.Framework(
            name=FRAMEWORK_NAME,
            role=self.settings.role,
            id=self.session.info.framework_id,
            url=self.session.info.webui_url,
        )

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
        people = self.url
        if self.settings.rest_tls_port:
            people = f"https://{self.settings.rest_advertised}:{self.settings.rest_tls_port}"
        self.session.info = attrs.evolve(self.session.info, webui_url=f"{people}/")

    async def journal_is_idle(self) -> None:
        """Return when what was asked of the journal is written."""
        await self.journal.save({})

    def _start_actors(self, edge: trio.Nursery) -> None:
        edge.start_soon(self.household.start, edge, lambda: self.board.link.state == "subscribed")
        for box, run in (
            (self.broker_box.vitals, self.broker.run),
            (self.gate_box.vitals, self.gate.run),
            (self.poller_box.vitals, self.poller.run),
            (self.health_box.vitals, self.health.run),
            (self.roster_box.vitals, self.roster.run),
            (self.herald_box.vitals, self.herald.run),
            (self.closer_box.vitals, self.closer.run),
            (self.link_vitals.vitals, self.link.run),
        ):
            edge.start_soon(supervise, box, run)
        # Agents are kept also where nobody can be told of it: giving up ends the notifier alone.
        tell = partial(supervise, quarantine=True)
        edge.start_soon(tell, self.notifier_box.vitals, self.notifier.run, name=supervise)

    async def _load(self) -> None:
        """What the store knows: our identity, every agent, and who holds which permission."""
        stored = await self.outside.store.load()
        outside = self.outside
        known = recollect(stored)  # first: what can't be read is not written to either
        self.installation = await installation_key(stored, outside.store, outside.chance)
        if known.framework is not None:
            self.session.adopted = known.framework.adopted
            self.session.info = attrs.evolve(
                self.session.info, framework_id=known.framework.framework_id
            )
        for record in known.agents:
            self.household.restore(record)
            self.roster.remember(record)
            self.gate.restore(record)
        self.gate.restore_word(known.rollout)
        self.herald.owed = known.debts
        self.closer.restore(known.closing)
        self.evacuations.restore(known.removals)
        self.notifier.stored = known.notices
        self.order_book.restore(known.audit, known.silences)

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


if __name__ == "__main__":
    from cli import main  # the command line knows more than the scheduler alone

    sys.exit(main(sys.argv[1:]))
