"""The reader of the one subscription: finds the leader, subscribes, and passes events on.

Every event carries its generation, so that nothing of an old subscription is mistaken for the
current one. What an answer means is decided in `protocol.mesos.session`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board
from actors.mailbox import Mailbox
from actors.master_session import Session
from actors.messages import BrokerInbox, FromMaster, LinkDown, Send, WriterInbox
from actors.ports import (
    CredentialsError,
    Leaders,
    LeaderUnknownError,
    Mesos,
    MesosAnswer,
    MesosStream,
    MesosUnreachableError,
)
from actors.registration import Registration
from actors.supervision import EndOfServiceError
from protocol.mesos import calls, events, operator, session
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.offered import Offers
from protocol.mesos.recordio import RecordReader
from protocol.mesos.session import Remedy, Signal, State, Verdict, lost

HEARTBEAT_MISSES_MAX: Final = 5  # what the Mesos scheduler API guide advises
BROKER_PATIENCE_S: Final = 5.0  # the master buffers for slow readers without bound
FIRST_EVENT_S: Final = 75.0
LIVELY_BYTES: Final = 1024  # fewer without an event are no sign of life
PAUSE_FIRST_S: Final = 1.0
PAUSE_CEILING_S: Final = 15.0
PAUSE_SLOW_S: Final = 60.0  # a person has to change something first
SECRET_LOOK_S: Final = 5.0  # meanwhile the secret's file is looked at
STEADY_S: Final = 5.0  # a subscription that lasted so long was a good one
REDIRECTS_MAX: Final = 5
UNANSWERED_S: Final = 75.0  # so long a SUBSCRIBE on its way may still take our own place
EXIT_SUPERSEDED: Final = 4
UPDATE_FRAMEWORK_SINCE: Final = (1, 9)
UPDATE_AGAIN_S: Final = 10.0
AT_ONCE: Final = (Remedy.NONE, Remedy.FEWER)
QUICKEST: Final = (*AT_ONCE, Remedy.PAUSE, Remedy.CREDENTIALS, Remedy.PERSON)

log = structlog.get_logger()


@attrs.define
class MasterLink:
    mesos: Mesos
    leaders: Leaders
    session: Session
    writer: Mailbox[WriterInbox]
    broker: Mailbox[BrokerInbox]
    board: Board
    chance: random.Random
    registration: Registration
    may_subscribe: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint  # waits if not
    is_closing: Callable[[], bool] = lambda: False  # nothing is launched any more
    _attempt: int = attrs.field(default=0, init=False)
    _said: str = attrs.field(default="", init=False)
    _unanswered_until: float = attrs.field(default=float("-inf"), init=False)
    _outliving_at: float = attrs.field(default=float("-inf"), init=False)
    _anew: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self) -> None:
        """Subscribe, read until it ends, pause, again; ends only where the table has an end."""
        self._signal(Signal.LOST, self.board.link.detail)  # after a crash of ours it is
        while True:
            if self.session.state is State.REMOVED:
                await self._wait_for_operator()
            await self.may_subscribe()
            began = self.board.link.subscriptions
            verdict = await self._subscribe_once()
            steady = trio.current_time() - self.board.link.since >= STEADY_S
            if self.board.link.subscriptions > began and steady:
                self._attempt = 0
            self._signal(verdict.signal, verdict.sentence)
            if self.session.state is State.SUPERSEDED:
                raise EndOfServiceError(verdict.sentence, EXIT_SUPERSEDED)
            if self.session.state is State.REMOVED:
                log.error("the framework id is dead", cure=verdict.sentence)
                continue
            self._say(verdict.sentence)
            await self._pause(verdict.remedy)

    def _say(self, sentence: str) -> None:
        """Each trouble once, not at each attempt."""
        level = logging.DEBUG if sentence == self._said else logging.WARNING
        log.log(level, "not subscribed", reason=sentence)
        self._said = sentence

    # -- between subscriptions ------------------------------------------------------------------

    def register_anew(self) -> tuple[int, str]:
        """An operator's word: HTTP status and a sentence."""
        if self.session.state is not State.REMOVED:
            return 409, "the framework id is not dead: there is no reason to register anew"
        self._anew.set()
        return 202, "the dead framework id is forgotten, and this scheduler registers anew"

    async def _wait_for_operator(self) -> None:
        self._anew = trio.Event()
        await self._anew.wait()
        await self.registration.keep("")
        self._signal(Signal.ANEW)

    async def _pause(self, remedy: Remedy) -> None:
        """Until time is up; or, after a moment, another leader or another secret is there."""
        if remedy is Remedy.NONE:
            return
        whole_s = self._pause_s(slow=remedy in (Remedy.PERSON, Remedy.CREDENTIALS))
        moment_s = min(whole_s, PAUSE_FIRST_S)
        await trio.sleep(moment_s)
        with trio.move_on_after(whole_s - moment_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_led, nursery.cancel_scope)
                if remedy is Remedy.CREDENTIALS:
                    nursery.start_soon(self._until_renewed, nursery.cancel_scope)

    def _pause_s(self, *, slow: bool) -> float:
        self._attempt += 1
        doubled = PAUSE_FIRST_S * 2.0 ** min(self._attempt - 1, 8)
        ceiling = PAUSE_SLOW_S if slow else min(PAUSE_CEILING_S, doubled)
        return self.chance.uniform(ceiling / 2, ceiling)

    async def _until_led(self, pause: trio.CancelScope) -> None:
        await self.leaders.changed()
        pause.cancel(reason="another leader is announced")

    async def _until_renewed(self, pause: trio.CancelScope) -> None:
        told = ""
        while True:
            try:
                if await self.mesos.renew_credentials():
                    pause.cancel(reason="the secret has changed")
            except CredentialsError as error:
                if str(error) != told:
                    log.warning("the master's credentials can't be read", error=str(error))
                told = str(error)
            await trio.sleep(SECRET_LOOK_S)

    def _signal(self, signal: Signal, detail: str = "") -> None:
        session_ = self.session
        session_.state = session.advance(session_.state, signal)
        if signal in (Signal.LOOK, Signal.ASKED):
            detail = self.board.link.detail  # the last trouble stays in sight until it is over
        self.board.link = attrs.evolve(
            self.board.link,
            state=session_.state.value,
            master=session_.base,
            version=".".join(map(str, session_.version)),
            framework_id=session_.info.framework_id,
            since=trio.current_time(),
            detail=detail,
        )
        self.board.touch()

    # -- finding the leader -----------------------------------------------------------------------

    async def _subscribe_once(self) -> Verdict:
        """One round over the masters, until one holds us; the verdict tells why it ended."""
        self._signal(Signal.LOOK)
        try:
            bases = await self.leaders.bases()
        except LeaderUnknownError as error:
            return lost(str(error))
        troubles: dict[str, Remedy] = {}
        for base in bases:
            self._signal(Signal.LOOK)
            generation = self.session.generation
            verdict = await self._follow(base)
            held = self.session.generation != generation
            final = verdict.signal is not Signal.LOST or verdict.remedy in AT_ONCE
            if held or final:
                return verdict
            troubles[verdict.sentence] = verdict.remedy
        # Where one of them only wants time, the others' cures can wait as well.
        remedy = min(troubles.values(), key=QUICKEST.index, default=Remedy.PAUSE)
        return lost("; ".join(troubles) or "no master is known", remedy)

    async def _follow(self, base: str) -> Verdict:
        """This master, or the one that it points to."""
        visited: list[str] = []
        try:
            while base not in visited and len(visited) <= REDIRECTS_MAX:
                visited.append(base)
                outcome = await self._ask(base)
                if isinstance(outcome, Verdict):
                    return outcome
                base = outcome
                self._signal(Signal.LOOK)
        except MesosUnreachableError as error:
            return lost(f"{base} does not answer: {error}")
        except RemoteMesosError as error:
            return lost(f"{base} broke the protocol: {error}")
        return lost(f"redirected in a circle, last to {base}")

    async def _ask(self, base: str) -> Verdict | str:
        """Why it is over with this master; a text is the base to go to instead."""
        self.session.base = base
        self.session.version = await self._ask_version(base)
        if not self.session.info.framework_id:
            instead = await self.registration.find(base)
            if instead is not None:
                return instead
        self._signal(Signal.ASKED)
        return await self._stream(base)

    async def _ask_version(self, base: str) -> calls.Version:
        answer = await self.mesos.get(base, "/version")
        if answer.status in (500, 503):
            raise RemoteMesosError(f"GET /version was answered {answer.status}: not ready yet")
        if answer.status != 200:
            raise RemoteMesosError(f"GET /version was answered {answer.status}; is it a master?")
        return calls.parse_version(operator.parse_version_answer(answer.body))

    # -- one subscription -------------------------------------------------------------------------

    async def _stream(self, base: str) -> Verdict | str:
        """Hold one subscription; a text is the base to go to instead."""
        body, answered = self.session.subscription(), False
        try:
            async with self.mesos.subscribe(base, calls.SCHEDULER_PATH, body) as opened:
                answered = True
                if isinstance(opened, MesosAnswer):
                    return self.session.elsewhere(base, opened)
                return await self._hold(opened)
        except MesosUnreachableError as error:
            if error.sent and not answered:
                self._unanswered_until = trio.current_time() + UNANSWERED_S
            raise

    async def _hold(self, stream: MesosStream) -> Verdict:
        self.session.generation += 1
        generation = self.session.generation
        self.session.stream_id = stream.stream_id
        try:
            return await self._read(generation, stream)
        finally:
            self.session.stream_id = ""
            with trio.move_on_after(BROKER_PATIENCE_S, shield=True):
                # Offers of this stream are void: the broker must hear of it even when
                # we are cancelled, and takes a message in far less than 5 s.
                await self.broker.put(LinkDown(generation=generation))

    async def _read(self, generation: int, stream: MesosStream) -> Verdict:
        """Events to the broker until the stream ends, is silent, or the session is dropped."""
        with trio.CancelScope() as self.session.scope:
            async with aclosing(stream.chunks()) as chunks:
                try:
                    return await self._read_events(generation, chunks)
                finally:
                    self.session.stream_id = ""  # closing takes a moment: nobody sends meanwhile
        return lost("the subscription was left, to take a new one")

    async def _read_events(self, generation: int, chunks: AsyncGenerator[bytes, None]) -> Verdict:
        reader = RecordReader()
        silence_s, alive_at = FIRST_EVENT_S, trio.current_time()
        while True:
            chunk: bytes | None = None
            with trio.move_on_at(alive_at + silence_s) as silence:
                chunk = await anext(chunks, None)
            if silence.cancelled_caught:
                return lost(f"the master was silent for {silence_s:g} s")
            if chunk is None:
                return lost("the master closed the stream")
            if len(chunk) >= LIVELY_BYTES:  # part of a record that takes its time
                alive_at = trio.current_time()
            for record in reader.feed(chunk):
                alive_at = trio.current_time()
                event = events.decode_event(record)
                if isinstance(event, events.Subscribed):
                    silence_s = event.heartbeat_s * HEARTBEAT_MISSES_MAX
                verdict = await self._event(generation, event)
                if verdict is not None:
                    return verdict

    async def _event(self, generation: int, event: events.Event) -> Verdict | None:
        at = trio.current_time()
        if isinstance(event, events.ErrorEvent):
            return session.judge_error(event.message, by_ourselves=at < self._unanswered_until)
        if isinstance(event, events.Subscribed):
            refusal = self._strange(event)
            if refusal is not None:
                return refusal
            await self._subscribed(event)
        if isinstance(event, events.Subscribed | events.Heartbeat):
            verdict = self._outlive_us(generation)
            if verdict is not None:
                return verdict
        if self.session.state is not State.SUBSCRIBED:
            return None  # before 1.5.1 a HEARTBEAT could come first
        if isinstance(event, Offers) and self.is_closing():
            return None  # TEARDOWN is on its way, and gives them back
        with trio.move_on_after(BROKER_PATIENCE_S) as patience:
            await self.broker.put(FromMaster(generation=generation, event=event, at=at))
        if patience.cancelled_caught:
            return lost("our broker is overloaded: starting afresh")
        return None

    def _strange(self, event: events.Subscribed) -> Verdict | None:
        ours = self.session.info.framework_id
        if ours and event.framework_id != ours:
            return lost(
                f"the master took us for framework {event.framework_id[:60]!r}, we are {ours}",
                Remedy.PERSON,
            )
        if not self.session.stream_id:
            return lost("the answer has no Mesos-Stream-Id: is there a proxy before the master?")
        return None

    async def _subscribed(self, event: events.Subscribed) -> None:
        """The id is durable before anything else is done with the connection."""
        fresh = event.framework_id != self.session.info.framework_id
        if fresh:
            await self.registration.keep(event.framework_id)
        self.session.outlives_us = not fresh
        self._outliving_at = float("-inf")
        if event.master_version:
            self.session.version = calls.parse_version(event.master_version)
        self._signal(Signal.SUBSCRIBED)
        self.board.link = attrs.evolve(
            self.board.link, subscriptions=self.board.link.subscriptions + 1
        )
        self._said = ""
        log.info("subscribed", master=self.session.base, framework_id=event.framework_id)

    def _outlive_us(self, generation: int) -> Verdict | None:
        """Once we can come back as ourselves, our tasks may wait for us as long as is wished.

        The writer tells when the master has agreed; until then it is asked at each heartbeat.
        """
        session_ = self.session
        now = trio.current_time()
        if session_.outlives_us or session_.state is not State.SUBSCRIBED:
            return None
        if now < self._outliving_at + UPDATE_AGAIN_S:
            return None
        self._outliving_at = now
        if session_.version >= UPDATE_FRAMEWORK_SINCE:
            call = calls.UpdateFramework(
                info=session_.info, suppressed=session_.suppressed, minimal=session_.minimal
            )
            if self.writer.offer(Send(call=call, generation=generation)):
                return None
        return lost("registered; subscribing again with the whole failover timeout", Remedy.NONE)

    def renew(self) -> None:
        """Subscribe anew: the master takes back every offer that it believes us to hold."""
        self.session.fence(self.session.stream_id, "an agent is not offered any more")
