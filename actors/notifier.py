"""Tells receivers of conditions: each for itself, so that one that is away delays no other.

What each has been told is stored; before a message leaves it is stored that it may have arrived.
A store that is away holds no message back for long: that, too, people must hear of.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board, Condition, NoticeSnapshot
from actors.clock import Chance
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.messages import HealthInbox, Look
from actors.ports import NoticeAnswer, Notices, NoticeUnreachableError
from domain import notices, records
from domain.notices import Account, Framework, Message, Receiver
from domain.told import Ledger, NoticesRecord, recorded

STORE_PATIENCE_S: Final = 5.0  # a message waits no longer to be stored
TICK_S: Final = 0.01  # sums of times do not add up exactly: never wait for nothing

log = structlog.get_logger()


@attrs.frozen
class NoReceivers:
    """Nobody is to be told."""

    receivers: tuple[Receiver, ...] = ()

    async def deliver(self, receiver: Receiver, _: Message, __: Framework) -> NoticeAnswer:
        await trio.lowlevel.checkpoint()
        raise NoticeUnreachableError(f"{receiver.shown} is no receiver of ours", sent=False)


@attrs.define
class Desk:
    """One receiver: what it has been told, and how the last tries went."""

    account: Account
    shown: NoticeSnapshot
    failures: int = 0  # in a row
    rests_until: float = -math.inf  # run's clock

    @property
    def receiver(self) -> Receiver:
        return self.account.receiver

    def enter(self, state: str) -> None:
        if state != self.shown.state:
            self.shown = attrs.evolve(self.shown, state=state, since=trio.current_time())


@attrs.define
class Notifier:
    """`mailbox` takes nothing: it shows the messages that were sent."""

    mailbox: Mailbox[Message]
    port: Notices
    health: Mailbox[HealthInbox]
    board: Board
    journal: Journal
    chance: Chance
    policy: notices.Policy
    framework: Callable[[], Framework]
    redact: Callable[[str], str]
    stored: NoticesRecord = attrs.field(factory=NoticesRecord)
    _desks: dict[str, Desk] = attrs.field(factory=dict)
    _started: float = -math.inf
    _storage_since: float | None = None
    _unix: dict[tuple[str, str, float], float] = attrs.field(factory=dict)
    _changed: trio.Event = attrs.field(factory=trio.Event)  # there is something to store
    _kept: trio.Event = attrs.field(factory=trio.Event)  # set by the next write that succeeds

    async def run(self) -> None:
        if not self.port.receivers:
            self.mailbox.vitals.waiting_for = "nothing: no receiver is named"
            await trio.sleep_forever()
        self._begin()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep)
            for desk in self._desks.values():
                nursery.start_soon(self._serve, desk)

    def _begin(self) -> None:
        """Also after a crash of ours: the desks know more than the store."""
        self._changed, self._kept = trio.Event(), trio.Event()
        if self._desks:
            self._changed.set()
            return
        self._started = trio.current_time()
        for receiver in self.port.receivers:
            ledger = self.stored.receivers.get(receiver.digest, Ledger())
            shown = NoticeSnapshot(receiver=receiver.shown, kind=receiver.kind, since=self._started)
            self._desks[receiver.digest] = Desk(notices.restored(receiver, ledger), shown)
        self._show()

    async def _serve(self, desk: Desk) -> None:
        while True:
            scene = self._scene()
            desk.account, message, again = notices.look(desk.account, scene, self.policy)
            if message is None and desk.failures:
                self._nothing_left(desk)
            if message is None or scene.now < desk.rests_until:
                await self._wait(again if message is None else desk.rests_until)
            else:
                await self._tell(desk, message)

    def _nothing_left(self, desk: Desk) -> None:
        """What could not be told is over: nobody knows whether the receiver is well, or cares."""
        desk.failures, desk.rests_until = 0, -math.inf
        desk.shown = attrs.evolve(desk.shown, last_error="")
        desk.enter("waiting")
        self._show()

    async def _wait(self, at: float) -> None:
        """Until that time, or until the board shows other conditions."""
        board, known = self.board, self._storage_since
        conditions, silences = board.conditions, board.silences
        left = [one.until - self.chance.wall() for one in silences]
        at = min(at, trio.current_time() + min((s for s in left if s > 0), default=math.inf))
        with trio.move_on_at(max(at, trio.current_time() + TICK_S)):
            while (
                board.conditions is conditions
                and board.silences is silences
                and known == self._note_storage()
            ):
                await board.wait_change()

    def _scene(self) -> notices.Scene:
        now = trio.current_time()
        return notices.Scene(
            now=now,
            unix=self.chance.wall(),
            standing=self._standing(now),
            started=self._started,
            looked=self._looked(),
            storage_since=self._note_storage(),
        )

    def _note_storage(self) -> float | None:
        if self._storage_since is None and self.board.gateway.storage is not None:
            self._storage_since = trio.current_time()
        return self._storage_since

    def _looked(self) -> bool:
        """Has the monitor judged? Asked only while a stored condition may be over.

        A crash costs it one message at most: who handled more than it crashed has judged.
        """
        if not any(desk.account.unseen for desk in self._desks.values()):
            return True
        vitals = self.health.vitals
        if vitals.handled > vitals.restarts:
            return True
        self.health.offer(Look())  # a full mailbox will do: the monitor looks at whatever comes
        return False

    def _standing(self, now: float) -> tuple[notices.Standing, ...]:
        """The board's times are the run's; each is put on the wall clock once."""
        wall, known = self.chance.wall(), self._unix
        self._unix = {
            (key := (c.name, c.subject, c.since)): known.get(key, wall - (now - c.since))
            for c in self.board.conditions
        }
        return tuple(self._one(condition) for condition in self.board.conditions)

    def _one(self, condition: Condition) -> notices.Standing:
        return notices.Standing(
            name=condition.name,
            severity=condition.severity,
            subject=self._clean(condition.subject),
            text=self._clean(condition.text),
            since=round(self._unix[condition.name, condition.subject, condition.since], 3),
            cure=self._clean(condition.cure),
            objects=tuple(map(self._clean, condition.objects[: notices.OBJECTS_MAX])),
            silenced=any(
                one.covers(condition.name, condition.subject, self.chance.wall())
                for one in self.board.silences
            ),
        )

    def _clean(self, text: str) -> str:
        """Without secrets, not without end, and so that it can be written as UTF-8."""
        kept = self.redact(text)[: notices.TEXT_MAX]
        return kept.encode("utf-8", errors="replace").decode("utf-8")

    # -- telling ----------------------------------------------------------------------------------

    async def _tell(self, desk: Desk, message: Message) -> None:
        before = desk.account
        desk.account = notices.intended(before, message)
        if desk.account.ledger != before.ledger:
            await self._store()
        outcome, sentence, asked_s = await self._try(desk.receiver, message)
        if outcome == "taken":
            self._taken(desk, message)
            return
        if outcome != "unknown":
            desk.account = notices.not_taken(desk.account, before)
            self._changed.set()
        desk.failures += 1
        rest_s = notices.pause_s(outcome, desk.failures, self.chance.rng.random(), asked_s)
        desk.rests_until = trio.current_time() + rest_s
        desk.shown = attrs.evolve(desk.shown, last_error=sentence, failed=desk.shown.failed + 1)
        desk.enter("refused" if outcome == "refused" else "retrying")
        self.mailbox.vitals.last_error = f"{desk.receiver.shown}: {sentence}"
        self._show()
        if desk.failures == 1:
            log.warning("a receiver is not told", receiver=desk.receiver.shown, error=sentence)

    async def _try(self, receiver: Receiver, message: Message) -> tuple[str, str, float | None]:
        """Outcome, sentence, and the pause that the receiver asks for."""
        try:
            answer = await self.port.deliver(receiver, message, self.framework())
        except NoticeUnreachableError as error:
            return "unknown" if error.sent else "not-taken", self.redact(str(error)), None
        sentence = f"answered {answer.status}" + (f": {answer.detail}" if answer.detail else "")
        return notices.outcome_of(answer.status), self.redact(sentence), answer.retry_after_s

    def _taken(self, desk: Desk, message: Message) -> None:
        before = desk.account
        now, unix = trio.current_time(), self.chance.wall()
        desk.account = notices.delivered(before, message, now=now, unix=unix)
        if desk.account.ledger != before.ledger:
            self._changed.set()
        if desk.failures:
            log.info("a receiver is told again", receiver=desk.receiver.shown)
        desk.failures, desk.rests_until = 0, -math.inf
        desk.shown = attrs.evolve(desk.shown, last_error="", sent=desk.shown.sent + 1)
        self.mailbox.note(message)
        desk.enter("waiting")
        self._show()

    # -- showing ----------------------------------------------------------------------------------

    def _show(self) -> None:
        """Pages are woken for another state, not for each message."""
        before = [(one.state, one.last_error) for one in self.board.notices]
        self.board.notices = tuple(desk.shown for desk in self._desks.values())
        errors = [
            f"{one.receiver}: {one.last_error}" for one in self.board.notices if one.last_error
        ]
        self.mailbox.vitals.waiting_for = "; ".join(errors) or "a change of the conditions"
        if before != [(one.state, one.last_error) for one in self.board.notices]:
            self.board.touch()

    # -- storing ----------------------------------------------------------------------------------

    async def _store(self) -> None:
        kept = self._kept
        self._changed.set()
        with trio.move_on_after(STORE_PATIENCE_S):
            await kept.wait()

    async def _keep(self) -> None:
        """One write at a time, of the newest: a store that is away does not fill the journal."""
        while True:
            await self._changed.wait()
            kept, self._changed, self._kept = self._kept, trio.Event(), trio.Event()
            record = recorded({d: desk.account.ledger for d, desk in self._desks.items()})
            await self.journal.save({records.NOTICES_KEY: records.encode(record)})
            kept.set()
