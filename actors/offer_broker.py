"""The ledger of offers and wants: every offer is answered, every task is heard of.

Offers belong to the broker from receipt to answer. It matches them to wants, declines the rest
at once, suppresses when nothing is wanted, revives within a rate, answers inverse offers, and
asks about tasks by its task book.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors.board import Board
from actors.earlier_life import EarlierLife
from actors.introductions import Introductions
from actors.inverse_offers import InverseOffers
from actors.mailbox import Mailbox
from actors.messages import (
    BrokerInbox,
    CallResult,
    FromMaster,
    GiveBack,
    KillTask,
    LinkDown,
    RosterInbox,
    Send,
    StrangeTask,
    TrackTask,
    Want,
    WriterInbox,
)
from actors.offer_flow import OfferFlow, answer_of
from actors.offer_ledger import OfferLedger
from actors.task_book import TaskBook
from actors.want_book import WantBook
from domain import inbox
from domain.agent import parse_task_id
from domain.inbox import AgentInbox
from domain.offers import Match, Matching, match
from protocol.mesos import calls, events
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.offered import Offer, Offers, Sketch

REFUSE_REST_S: Final = 5.0  # what is left of an offer that a task was put on
TICK_S: Final = 1.0
TOGETHER_MAX: Final = 64  # messages between two looks at the clock
SAY_EVERY_S: Final = 5.0
UNCONFIRMED_S: Final = 300.0  # longer than an ACCEPT waits for its turn and its answer
DENIALS: Final = frozenset({"TASK_GONE", "TASK_LOST", "TASK_DROPPED", "TASK_UNKNOWN"})
RECONCILED: Final = "REASON_RECONCILIATION"
NO_OFFER_YET: Final = "no offer of this agent is held; Mesos is asked for one"

log = structlog.get_logger()


@attrs.frozen
class Launched:
    """A task whose ACCEPT is with the writer since then, and not confirmed yet."""

    want: Want
    at: float


@attrs.define
class OfferBroker:
    mailbox: Mailbox[BrokerInbox]
    writer: Mailbox[WriterInbox]
    roster: Mailbox[RosterInbox]
    agents: Callable[[str], Mailbox[AgentInbox] | None]  # host -> its mailbox
    board: Board
    chance: random.Random
    wall: Callable[[], float]  # unix seconds: maintenance windows are told in them
    role: str
    may_suppress: Callable[[], bool]  # new agents are found without offers
    set_suppressed: Callable[[bool], None]
    renew: Callable[[], None] = lambda: None
    adopted: Callable[[], bool] = lambda: False  # the framework is older than its store
    generation: int = 0
    subscribed: bool = False
    ledger: OfferLedger = attrs.field(init=False)
    wants: WantBook = attrs.field(factory=WantBook)
    book: TaskBook = attrs.field(init=False)
    inverse: InverseOffers = attrs.field(init=False)
    earlier: EarlierLife = attrs.field(init=False)
    introductions: Introductions = attrs.field(init=False)
    flow: OfferFlow = attrs.field(init=False)
    launched: dict[str, Launched] = attrs.field(factory=dict)  # by task id
    given_back: set[str] = attrs.field(factory=set)  # of those, what is not wanted any more
    _look_at: float = float("-inf")
    _say_at: float = float("-inf")

    def __attrs_post_init__(self) -> None:
        self.book = TaskBook(self.chance)
        self.earlier = EarlierLife(self.adopted, self.book, self.board)
        self.inverse = InverseOffers(self.board, self.wall)
        self.introductions = Introductions(self.board, self.roster)
        self.flow = OfferFlow(
            board=self.board,
            wants=self.wants,
            role=self.role,
            may_suppress=self.may_suppress,
            set_suppressed=self.set_suppressed,
        )
        self.ledger = OfferLedger(self.flow)

    async def run(self) -> None:
        while True:
            message: BrokerInbox | None = None
            with trio.move_on_after(TICK_S):
                message = await self.mailbox.receive()
            for _ in range(TOGETHER_MAX):
                if message is None:
                    break
                await self._handle(message)
                message = self.mailbox.receive_now()
            else:
                if message is not None:
                    await self._handle(message)
            now = trio.current_time()
            if now >= self._look_at or self.ledger:
                self._look_at = now + TICK_S / 2
                await self._look_at_the_clock()

    async def _handle(self, message: BrokerInbox) -> None:
        now = trio.current_time()
        match message:
            case FromMaster():
                await self._event(message)
            case LinkDown():
                self.subscribed = False
                self._void(self.ledger.forget())
                self._forget_unconfirmed()
            case Want():
                self._want(message)
            case GiveBack():
                self._give_back(message)
            case TrackTask():
                self.book.track(message.task_id, message.host, message.agent_id, now)
                self.book.ask_about(message.task_id, now)
            case KillTask(task_id=task_id, agent_id=agent_id):
                self.book.kill(task_id, agent_id, now)
            case CallResult():
                self._called(message)
            case _:
                assert_never(message)

    # -- events -------------------------------------------------------------------------------

    async def _event(self, message: FromMaster) -> None:
        match message.event:
            case events.Subscribed():
                self._subscribed(message.generation)
            case Offers():
                await self._offered(message.event, message.at)
            case events.Rescind(offer_id=offer_id):
                self._void(self.ledger.rescind(offer_id))
            case events.InverseOffers(offers=inverse):
                for call in self.inverse.answers(inverse, message.at):
                    await self._send(call)
            case events.RescindInverseOffer(offer_id=offer_id):
                self.inverse.rescinded(offer_id)
            case events.Update():
                self._update(message.event)
            case events.Failure(agent_id=agent_id, executor_id=""):
                self.introductions.lost(agent_id)
            case events.Failure() | events.Heartbeat() | events.Unknown():
                pass
            case events.ErrorEvent():
                pass  # the link acts on it
            case _:
                assert_never(message.event)

    def _subscribed(self, generation: int) -> None:
        self.generation = generation
        self.subscribed = True
        self.ledger.forget()
        self.earlier.afresh()
        self.introductions.afresh()
        self.inverse.void()
        self.wants.afresh(trio.current_time())
        self.book.subscribed(trio.current_time())
        if self.flow.suppressed and self.wants:
            self.flow.suppressed = False  # SUBSCRIBE said so already; the next revive corrects it

    async def _offered(self, event: Offers, at: float) -> None:
        tally, heads = self.board.offers, event.heads
        self.board.offers = attrs.evolve(tally, received=tally.received + len(heads))
        if heads:
            # Masters before 1.5 forget it with the stream: it has to be said again.
            self.flow.suppressed = False
        others = self.ledger.take(heads, at)
        if others:
            self.earlier.meets(others, at)
            await self._read(event)
        elif heads:
            nothing = Matching(matches=(), left=(), verdicts={})
            self.board.answers.append(answer_of(nothing, len(heads), self.wall()))
        await self._decline_all()

    async def _read(self, event: Offers) -> None:
        """More than their ids: somebody is new there, or wants something."""
        try:
            sketches = event.sketches()
        except RemoteMesosError as error:
            log.warning("offers are not understood", reason=str(error))
            return
        await self._match(sketches)
        await self._decline_all()
        await self.introductions.of(sketches, known=self.flow.resting())

    def _void(self, count: int) -> None:
        tally = self.board.offers
        self.board.offers = attrs.evolve(tally, void=tally.void + count)

    async def _match(self, offers: tuple[Sketch, ...]) -> None:
        """Tasks for all of `offers` that fit; the rest is to be declined."""
        now = trio.current_time()
        found = self._found(offers, now)
        for one in found.matches:
            await self._accept(one)
        for host, verdict in found.verdicts.items():
            self.board.verdicts[host] = verdict
            unmet = self.wants.get(host)
            if unmet is not None:
                unmet.judged(now)
        self.board.answers.append(answer_of(found, len(offers), self.wall()))

    def _found(self, offers: tuple[Sketch, ...], now: float) -> Matching:
        """Only what somebody wants is read whole."""
        if not self.wants:
            return Matching(matches=(), left=(), verdicts={})
        whole: list[Offer] = []
        for offer in offers:
            if self.wants.names(offer.agent_id.value):
                try:
                    whole.append(offer.whole(self.role))
                except RemoteMesosError as error:
                    log.warning("an offer is not understood", reason=str(error))
        wanted = self.wants.of_agents(offer.agent_id for offer in whole)
        needs = [self.flow.need(one.want) for one in wanted if self.earlier.may_begin(one, now)]
        return match(needs, whole, now_s=self.wall())

    async def _accept(self, one: Match) -> None:
        wanted = self.wants.pop(one.need.host)
        if wanted is None:
            return  # given back meanwhile; its offers are declined with the next look
        want = wanted.want
        self.board.verdicts.pop(want.host, None)
        accept = calls.Accept(
            offer_ids=tuple(o.offer_id for o in one.offers),
            task=want.task,
            taken=one.taken,
            refuse_s=REFUSE_REST_S,
        )
        now = trio.current_time()
        self.book.track(want.task.task_id, want.host, want.task.agent_id, now)
        self.launched[want.task.task_id] = Launched(want, now)
        log.info(
            "task is launched", host=want.host, task_id=want.task.task_id, offers=accept.offer_ids
        )
        self.ledger.settle(accept.offer_ids)
        await self._answer(accept)

    async def _decline_all(self) -> None:
        for call in self.ledger.declines():
            await self._answer(call)

    async def _answer(self, call: calls.Accept | calls.Decline) -> None:
        """From here on its offers are not ours any more."""
        since = self.ledger.since
        await self.writer.put(Send(call=call, generation=self.generation, offered_at=since))

    async def _send(self, call: calls.Call) -> None:
        await self.writer.put(Send(call=call, generation=self.generation))

    # -- updates -------------------------------------------------------------------------------

    def _update(self, update: events.Update) -> None:
        """Hand it to the agent. With a uuid Mesos sends it again, without one we ask again."""
        if self._is_too_early(update):
            return
        self.launched.pop(update.task_id, None)
        tracked = self.book.heard(update)
        named = parse_task_id(update.task_id)
        host = tracked.host if tracked else named[0] if named else ""
        target = self.agents(host)
        if target is None:
            if update.terminal:
                self.book.forget(update.task_id)
            self.roster.offer(StrangeTask(host=host, agent_id=update.agent_id, event=update))
            return
        told = target.offer(inbox.status_of(update))
        if told and update.terminal:
            self.book.forget(update.task_id)
        if not told and not update.uuid:
            self.book.track(update.task_id, host, update.agent_id, trio.current_time())
            self.book.unheard[update.task_id] = update.agent_id

    def _is_too_early(self, update: events.Update) -> bool:
        """The master does not know a task that it was asked about before we have launched it.

        An ACCEPT that was void with its stream is asked about, and sent again meanwhile; both
        may wait behind a call that is not answered, the question first.
        """
        if update.uuid or update.reason != RECONCILED or update.state not in DENIALS:
            return False
        launched = self.launched.get(update.task_id)
        if launched is not None:
            return trio.current_time() < launched.at + UNCONFIRMED_S
        named = parse_task_id(update.task_id)
        wanted = self.wants.get(named[0]) if named else None
        return wanted is not None and wanted.want.task.task_id == update.task_id

    # -- wants ---------------------------------------------------------------------------------

    def _want(self, want: Want) -> None:
        task_id = want.task.task_id
        if task_id in self.book.tracked or task_id in self.launched:
            return  # on its way; posted again by a patient agent
        held = self.wants.get(want.host)
        if held is not None and held.want.task.task_id == task_id:
            return
        self.wants.put(want, trio.current_time())
        self.board.verdicts.setdefault(want.host, NO_OFFER_YET)
        if held is not None:
            self._never_sent(held.want, "another task of this agent was wanted instead")

    def _give_back(self, message: GiveBack) -> None:
        held = self.wants.get(message.host)
        if held is not None and held.want.task.task_id == message.task_id:
            self.wants.pop(message.host)
            self.board.verdicts.pop(message.host, None)
            self._never_sent(held.want, "the want was given back")
        elif message.task_id in self.launched:
            self.given_back.add(message.task_id)
        if message.dead:
            self.book.forget(message.task_id)
            self.launched.pop(message.task_id, None)

    def _never_sent(self, want: Want, why: str) -> None:
        target = self.agents(want.host)
        note = inbox.NeverSent(task_id=want.task.task_id, why=why)
        if target is None or not target.offer(note):
            log.warning("an agent's mailbox is full", host=want.host)
            now = trio.current_time()
            self.book.track(want.task.task_id, want.host, want.task.agent_id, now)
            self.book.ask_about(want.task.task_id, now)

    def _called(self, result: CallResult) -> None:
        """An ACCEPT that was not processed gives its want back; an unknown one is asked about."""
        if not isinstance(result.call, calls.Accept):
            return
        task_id = result.call.task.task_id
        launched = self.launched.pop(task_id, None)
        given_back = task_id in self.given_back
        self.given_back.discard(task_id)
        if launched is None or result.outcome == "sent":
            return
        want = launched.want
        if result.outcome == "unknown":
            self.book.ask_about(task_id, trio.current_time())
            return
        self.book.forget(task_id)
        if result.outcome == "rejected":  # the same bytes would be refused again
            self._never_sent(want, f"the master refuses the call: {result.detail}")
        elif given_back:
            self._never_sent(want, "the want was given back")
        elif want.host not in self.wants:
            self.wants.put(want, trio.current_time())

    def _forget_unconfirmed(self) -> None:
        """The stream broke: launches on their way are asked about when we are back."""
        for task_id in self.launched:
            self.book.ask_about(task_id, trio.current_time())

    # -- the clock -----------------------------------------------------------------------------

    async def _look_at_the_clock(self) -> None:
        if not self.subscribed:
            return
        if self.ledger:  # a crash came in between: all are answered all the same
            await self._decline_all()
        now = trio.current_time()
        for due in self.book.due(now):
            await self._send(due)
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY_S
            self.flow.say_why_not(now)
            self.inverse.refresh()
        call = self.flow.call(now, busy=self.tracked_steps())
        if call is not None:
            await self._send(call)
        if self.flow.must_renew(now):
            self.renew()

    def tracked_steps(self) -> bool:
        """True while a task is on its way whose word we still wait for."""
        return bool(self.launched or self.book.unheard)
