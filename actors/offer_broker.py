"""The ledger of offers, wants and tasks: every offer is answered, every task is heard of.

Offers belong to the broker from receipt to answer. It matches them to wants, declines the rest
at once, suppresses when nothing is wanted, revives within a rate, and reconciles.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors.board import Board
from actors.mailbox import Mailbox
from actors.messages import (
    AgentLost,
    AgentOffered,
    BrokerInbox,
    CallResult,
    FromMaster,
    GiveBack,
    LinkDown,
    RosterInbox,
    Send,
    StrangeTask,
    TrackTask,
    Want,
    WriterInbox,
)
from domain import inbox
from domain.agent import parse_task_id
from domain.inbox import AgentInbox
from domain.offers import Match, Matching, Need, match
from protocol.mesos import calls, events

REFUSE_SOON_S: Final = 5.0  # an agent at work wants an offer again shortly
REFUSE_LONG_S: Final = 300.0  # long enough not to spin, short enough to notice change
REFUSE_REST_S: Final = 5.0  # what is left of an offer that a task was put on
LAUNCH_PATIENCE_S: Final = 120.0  # no word of a launched task: ask
RECONCILE_FIRST_S: Final = 8.0
RECONCILE_CEILING_S: Final = 60.0
RECONCILE_ALL_S: Final = 900.0
BEFORE_WORK: Final = frozenset({"seen", "surveying"})  # surveys need no place of the rollout
WANT_PATIENCE_S: Final = 7.0  # a want that old without an offer asks for a REVIVE
REVIVE_EVERY_S: Final = 15.0
TICK_S: Final = 1.0
OFFERLESS_S: Final = 300.0  # of a want: its agent's offers may be held by the master for us
RENEW_EVERY_S: Final = 600.0
SUPPRESS_AFTER_S: Final = 60.0  # of nothing wanted

log = structlog.get_logger()


@attrs.define
class Tracked:
    """A task the master may know of. `due`: when its launch counts as unheard of."""

    host: str
    agent_id: str
    due: float


@attrs.define
class OfferBroker:
    mailbox: Mailbox[BrokerInbox]
    writer: Mailbox[WriterInbox]
    roster: Mailbox[RosterInbox]
    agents: Callable[[str], Mailbox[AgentInbox] | None]  # host -> its mailbox
    board: Board
    chance: random.Random
    may_suppress: Callable[[], bool]  # new agents are found without offers
    set_suppressed: Callable[[bool], None]
    renew: Callable[[], None] = lambda: None
    generation: int = 0
    subscribed: bool = False
    suppressed: bool = False
    offers: dict[str, events.Offer] = attrs.field(factory=dict)
    wants: dict[str, tuple[Want, float]] = attrs.field(factory=dict)  # host -> want, since
    tracked: dict[str, Tracked] = attrs.field(factory=dict)  # task id
    unheard: dict[str, str] = attrs.field(factory=dict)  # task id -> agent id, to reconcile
    launched: dict[str, Want] = attrs.field(factory=dict)  # task id; ACCEPT not yet confirmed
    given_back: set[str] = attrs.field(factory=set)  # of those, what is not wanted any more
    _reconcile_at: float = 0.0
    _reconcile_pause_s: float = RECONCILE_FIRST_S
    _reconcile_all_at: float = 0.0
    _revived_at: float = float("-inf")
    _idle_since: float = 0.0
    _renewed_at: float = float("-inf")

    async def run(self) -> None:
        while True:
            message: BrokerInbox | None = None
            with trio.move_on_after(TICK_S):
                message = await self.mailbox.receive()
            if message is not None:
                await self._handle(message)
            await self._look_at_the_clock()

    async def _handle(self, message: BrokerInbox) -> None:
        match message:
            case FromMaster():
                await self._event(message)
            case LinkDown():
                self.subscribed = False
                self.offers.clear()
                self._forget_unconfirmed()
            case Want():
                self._want(message)
            case GiveBack():
                self._give_back(message)
            case TrackTask():
                self._track(message.task_id, message.host, message.agent_id)
                self._ask_about(message.task_id)
            case CallResult():
                self._called(message)
            case _:
                assert_never(message)

    # -- events -------------------------------------------------------------------------------

    async def _event(self, message: FromMaster) -> None:
        match message.event:
            case events.Subscribed():
                self._subscribed(message.generation)
            case events.Offers(offers=offers):
                await self._offered(offers)
            case events.Rescind(offer_id=offer_id):
                self.offers.pop(offer_id, None)
            case events.Update():
                self._update(message.event)
            case events.Failure(agent_id=agent_id, executor_id=""):
                self.roster.offer(AgentLost(agent_id=agent_id))
            case events.Failure() | events.Heartbeat() | events.Unknown():
                pass
            case events.ErrorEvent():
                pass  # the link acts on it
            case _:
                assert_never(message.event)

    def _subscribed(self, generation: int) -> None:
        self.generation = generation
        self.subscribed = True
        self.offers.clear()
        self._revived_at = float("-inf")
        self.unheard = {task_id: t.agent_id for task_id, t in self.tracked.items()}
        self._reconcile_pause_s = RECONCILE_FIRST_S
        self._reconcile_at = trio.current_time()
        self._reconcile_all_at = trio.current_time() + RECONCILE_ALL_S
        if self.suppressed and self.wants:
            self.suppressed = False  # SUBSCRIBE said so already; the next revive corrects it

    async def _offered(self, offers: tuple[events.Offer, ...]) -> None:
        for offer in offers:
            self.offers[offer.offer_id] = offer
            seen = AgentOffered(
                agent_id=offer.agent_id,
                hostname=offer.hostname,
                ip=offer.ip,
                port=offer.port,
                attributes=offer.attributes,
            )
            self.roster.offer(seen)
        if offers:
            self.suppressed = False  # masters before 1.5 forget it with the stream: say it again
        await self._match(offers)

    async def _match(self, offers: tuple[events.Offer, ...]) -> None:
        """Answer all of `offers` now: a task, or a DECLINE with a filter that fits."""
        found = match(self._needs(), offers)
        for one in found.matches:
            await self._accept(one)
        offered = {offer.agent_id for offer in offers}
        for host, verdict in found.verdicts.items():
            if self.wants[host][0].task.agent_id in offered:
                self.board.verdicts[host] = verdict
            else:
                self.board.verdicts.setdefault(host, verdict)
        await self._decline(found)

    def _needs(self) -> list[Need]:
        return [
            Need(
                host=want.host,
                agent_id=want.task.agent_id,
                task_id=want.task.task_id,
                amounts_milli={"cpus": want.cpus_milli, "mem": want.mem_milli},
            )
            for want, _ in self.wants.values()
        ]

    async def _accept(self, one: Match) -> None:
        want, _ = self.wants.pop(one.need.host)
        self.board.verdicts.pop(want.host, None)
        accept = calls.Accept(
            offer_ids=tuple(o.offer_id for o in one.offers),
            task=want.task,
            taken=one.taken,
            refuse_s=REFUSE_REST_S,
        )
        self._track(want.task.task_id, want.host, want.task.agent_id)
        self.launched[want.task.task_id] = want
        for offer_id in accept.offer_ids:
            self.offers.pop(offer_id, None)
        await self._send(accept)

    async def _decline(self, found: Matching) -> None:
        soon = [o.offer_id for o in found.left if self._wants_soon(o)]
        late = [o.offer_id for o in found.left if not self._wants_soon(o)]
        for ids, refuse_s in ((soon, REFUSE_SOON_S), (late, REFUSE_LONG_S)):
            for start in range(0, len(ids), calls.DECLINE_IDS_MAX):
                part = tuple(ids[start : start + calls.DECLINE_IDS_MAX])
                await self._send(calls.Decline(offer_ids=part, refuse_s=refuse_s))
                for offer_id in part:
                    self.offers.pop(offer_id, None)

    def _wants_soon(self, offer: events.Offer) -> bool:
        """True between two steps. What ends later frees resources that no filter holds back."""
        shown = self.board.agents.get(offer.hostname)
        if shown is None:
            return True
        return not shown.task_id and (shown.working or shown.phase in BEFORE_WORK)

    async def _send(self, call: calls.Call) -> None:
        await self.writer.put(Send(call=call, generation=self.generation))

    # -- updates -------------------------------------------------------------------------------

    def _update(self, update: events.Update) -> None:
        """Hand it to the agent. With a uuid Mesos sends it again, without one we ask again."""
        self.unheard.pop(update.task_id, None)
        self.launched.pop(update.task_id, None)
        tracked = self.tracked.get(update.task_id)
        named = parse_task_id(update.task_id)
        host = tracked.host if tracked else named[0] if named else ""
        if tracked is not None:
            tracked.due = float("inf")
        target = self.agents(host)
        if target is None:
            if update.terminal:
                self.tracked.pop(update.task_id, None)
            self.roster.offer(StrangeTask(host=host, agent_id=update.agent_id, event=update))
            return
        told = target.offer(status_of(update))
        if told and update.terminal:
            self.tracked.pop(update.task_id, None)
        if not told and not update.uuid:
            self._track(update.task_id, host, update.agent_id)
            self.unheard[update.task_id] = update.agent_id

    # -- wants ---------------------------------------------------------------------------------

    def _want(self, want: Want) -> None:
        task_id = want.task.task_id
        if task_id in self.tracked or task_id in self.launched:
            return  # on its way; posted again by a patient agent
        held = self.wants.get(want.host)
        if held is not None and held[0].task.task_id == task_id:
            return
        self.wants[want.host] = (want, trio.current_time())
        self._idle_since = trio.current_time()
        if held is not None:
            self._never_sent(held[0], "another task of this agent was wanted instead")

    def _give_back(self, message: GiveBack) -> None:
        held = self.wants.get(message.host)
        if held is not None and held[0].task.task_id == message.task_id:
            del self.wants[message.host]
            self.board.verdicts.pop(message.host, None)
            self._never_sent(held[0], "the want was given back")
        elif message.task_id in self.launched:
            self.given_back.add(message.task_id)
        if message.dead:
            self.tracked.pop(message.task_id, None)
            self.unheard.pop(message.task_id, None)
            self.launched.pop(message.task_id, None)

    def _never_sent(self, want: Want, why: str) -> None:
        target = self.agents(want.host)
        note = inbox.NeverSent(task_id=want.task.task_id, why=why)
        if target is None or not target.offer(note):
            log.warning("an agent's mailbox is full", host=want.host)
            self._track(want.task.task_id, want.host, want.task.agent_id)
            self._ask_about(want.task.task_id)

    def _called(self, result: CallResult) -> None:
        """An ACCEPT that was not processed gives its want back; an unknown one is asked about."""
        if not isinstance(result.call, calls.Accept):
            return
        task_id = result.call.task.task_id
        want = self.launched.pop(task_id, None)
        given_back = task_id in self.given_back
        self.given_back.discard(task_id)
        if want is None or result.outcome == "sent":
            return
        if result.outcome == "unknown":
            self._ask_about(task_id)
            return
        self.tracked.pop(task_id, None)
        self.unheard.pop(task_id, None)
        if given_back:
            self._never_sent(want, "the want was given back")
        elif want.host not in self.wants:
            self.wants[want.host] = (want, trio.current_time())

    def _forget_unconfirmed(self) -> None:
        """The stream broke: launches on their way are asked about when we are back."""
        for task_id in self.launched:
            self._ask_about(task_id)

    # -- reconciliation ------------------------------------------------------------------------

    def _track(self, task_id: str, host: str, agent_id: str) -> None:
        due = trio.current_time() + LAUNCH_PATIENCE_S
        self.tracked.setdefault(task_id, Tracked(host=host, agent_id=agent_id, due=due))

    def _ask_about(self, task_id: str) -> None:
        tracked = self.tracked.get(task_id)
        if tracked is not None:
            self.unheard[task_id] = tracked.agent_id
            self._reconcile_pause_s = RECONCILE_FIRST_S
            self._reconcile_at = min(self._reconcile_at, trio.current_time() + 1.0)

    async def _look_at_the_clock(self) -> None:
        if not self.subscribed:
            return
        if self.offers:  # a crash came in between: the ledger is answered all the same
            await self._match(tuple(self.offers.values()))
        now = trio.current_time()
        if now >= self._reconcile_all_at:
            self._reconcile_all_at = now + RECONCILE_ALL_S
            self.unheard.update({k: t.agent_id for k, t in self.tracked.items()})
            self._reconcile_at = now
        for task_id, tracked in self.tracked.items():
            if now >= tracked.due:
                tracked.due = now + LAUNCH_PATIENCE_S
                self.unheard[task_id] = tracked.agent_id
        if self.unheard and now >= self._reconcile_at:
            await self._reconcile(now)
        await self._revive_or_suppress(now)

    async def _reconcile(self, now: float) -> None:
        tasks = tuple(sorted(self.unheard.items()))[: calls.DECLINE_IDS_MAX]
        await self._send(calls.Reconcile(tasks=tasks))
        self._reconcile_at = now + self._reconcile_pause_s * self.chance.uniform(0.75, 1.0)
        self._reconcile_pause_s = min(RECONCILE_CEILING_S, self._reconcile_pause_s * 2)

    async def _revive_or_suppress(self, now: float) -> None:
        if self.wants:
            oldest = min(since for _, since in self.wants.values())
            waited = self.suppressed or now - oldest >= WANT_PATIENCE_S
            if waited and now - self._revived_at >= REVIVE_EVERY_S:
                self._revived_at = now
                self._set_suppressed(value=False)
                await self._send(calls.Revive())
            if now - oldest >= OFFERLESS_S and now - self._renewed_at >= RENEW_EVERY_S:
                self._renewed_at = now
                log.warning("no offer comes for a task: subscribing anew")
                self.renew()
            return
        idle = not self.tracked_steps() and now - self._idle_since >= SUPPRESS_AFTER_S
        if idle and not self.suppressed and self.may_suppress():
            self._set_suppressed(value=True)
            await self._send(calls.Suppress())

    def tracked_steps(self) -> bool:
        """True while a task is on its way whose word we still wait for."""
        return bool(self.launched or self.unheard)

    def _set_suppressed(self, *, value: bool) -> None:
        self.suppressed = value
        self.set_suppressed(value)


def status_of(update: events.Update) -> inbox.Status:
    return inbox.Status(
        task_id=update.task_id,
        agent_id=update.agent_id,
        state=update.state,
        terminal=update.terminal,
        uuid=update.uuid,
        message=update.message,
        reason=update.reason,
        healthy=update.healthy,
        timestamp=update.timestamp,
    )
