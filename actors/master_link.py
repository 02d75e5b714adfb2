"""The one subscription: finds the leader, reads the stream, and sends the calls.

Two tasks: the reader (`run`) and the single writer (`write`). They share the `Session`; every
event and call carries its generation, so that nothing of an old subscription is mistaken for
the current one. What an answer means is decided in `protocol.mesos.session`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board
from actors.mailbox import Mailbox
from actors.messages import BrokerInbox, CallResult, FromMaster, LinkDown, WriterInbox
from actors.ports import Mesos, MesosAnswer, MesosStream, MesosUnreachableError
from actors.supervision import EndOfServiceError
from protocol.mesos import calls, events, operator, session
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.recordio import RecordReader
from protocol.mesos.session import Signal, State, Verdict

HEARTBEAT_MISSES_MAX: Final = 5  # what the Mesos scheduler API guide advises
BROKER_PATIENCE_S: Final = 5.0  # the master buffers for slow readers without bound
FIRST_EVENT_S: Final = 75.0
SUBSCRIBE_ANSWER_S: Final = 30.0
PAUSE_FIRST_S: Final = 1.0
PAUSE_CEILING_S: Final = 15.0
PAUSE_SLOW_S: Final = 60.0  # a person has to change something first
REDIRECTS_MAX: Final = 5
EXIT_SUPERSEDED: Final = 4

log = structlog.get_logger()


@attrs.define
class Session:
    """What reader and writer share. `generation` counts subscriptions."""

    info: calls.FrameworkInfo
    state: State = State.DISCONNECTED
    generation: int = 0
    base: str = ""
    stream_id: str = ""
    version: calls.Version = (1, 0)
    suppressed: bool = False


@attrs.define
class MasterLink:
    mesos: Mesos
    masters: tuple[str, ...]  # scheme://host:port, tried in random order
    session: Session
    mailbox: Mailbox[WriterInbox]
    broker: Mailbox[BrokerInbox]
    board: Board
    chance: random.Random
    store_id: Callable[[str], Awaitable[None]]  # returns when the framework id is durable
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _attempt: int = attrs.field(default=0, init=False)

    # -- the reader -------------------------------------------------------------------------

    async def run(self) -> None:
        """Subscribe, read until it ends, pause, again; ends only where the table has an end."""
        while True:
            verdict = await self._subscribe_once()
            self._signal(verdict.signal, verdict.sentence)
            if self.session.state is State.SUPERSEDED:
                raise EndOfServiceError(verdict.sentence, EXIT_SUPERSEDED)
            if self.session.state is State.REMOVED:
                log.error("the framework id is dead", cure=verdict.sentence)
                await trio.sleep_forever()
            log.warning("not subscribed", reason=verdict.sentence)
            await trio.sleep(self._pause_s(slow=verdict.slow))

    def _pause_s(self, *, slow: bool) -> float:
        self._attempt += 1
        doubled = PAUSE_FIRST_S * 2.0 ** min(self._attempt - 1, 8)
        ceiling = PAUSE_SLOW_S if slow else min(PAUSE_CEILING_S, doubled)
        return self.chance.uniform(ceiling / 2, ceiling)

    def _signal(self, signal: Signal, detail: str = "") -> None:
        session_ = self.session
        session_.state = session.advance(session_.state, signal)
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

    async def _subscribe_once(self) -> Verdict:
        """One attempt at the leader; the verdict tells why it ended."""
        base = self.chance.choice(self.masters)
        try:
            for _ in range(REDIRECTS_MAX):
                self.session.base = base
                self.session.version = await self._ask_version(base)
                self._signal(Signal.ASKED)
                outcome = await self._stream(base)
                if isinstance(outcome, Verdict):
                    return outcome
                base = outcome
        except MesosUnreachableError as error:
            return Verdict(signal=Signal.LOST, sentence=f"{base} does not answer: {error}")
        except RemoteMesosError as error:
            return Verdict(signal=Signal.LOST, sentence=f"{base} broke the protocol: {error}")
        return Verdict(signal=Signal.LOST, sentence=f"redirected in a circle, last to {base}")

    async def _ask_version(self, base: str) -> calls.Version:
        answer = await self.mesos.get(base, "/version")
        if answer.status != 200:
            raise RemoteMesosError(f"GET /version was answered {answer.status}; is it a master?")
        return calls.parse_version(operator.parse_version_answer(answer.body))

    async def _stream(self, base: str) -> Verdict | str:
        """Hold one subscription; a text is the base to go to instead."""
        info, version = self.session.info, self.session.version
        body = calls.subscribe(info, version, suppressed=self.session.suppressed)
        self.session.generation += 1
        generation = self.session.generation
        async with self.mesos.subscribe(base, calls.SCHEDULER_PATH, body) as opened:
            if isinstance(opened, MesosAnswer):
                return self._elsewhere(base, opened)
            self.session.stream_id = opened.stream_id
            try:
                return await self._read(generation, opened)
            finally:
                self.session.stream_id = ""
                with trio.move_on_after(BROKER_PATIENCE_S, shield=True):
                    # Offers of this stream are void: the broker must hear of it even when
                    # we are cancelled, and takes a message in far less than 5 s.
                    await self.broker.put(LinkDown(generation=generation))

    def _elsewhere(self, base: str, answer: MesosAnswer) -> Verdict | str:
        if answer.status in (301, 302, 307, 308):
            scheme = base.partition("://")[0]
            target = session.redirect_base(answer.headers.get("location", ""), scheme=scheme)
            if target is not None:
                return target
        return session.judge_answer(answer.status, answer.body)

    async def _read(self, generation: int, stream: MesosStream) -> Verdict:
        """Events to the broker until the stream ends, is silent, or the session is dropped."""
        with trio.CancelScope() as self._scope:
            async with aclosing(stream.chunks()) as chunks:
                return await self._read_events(generation, chunks)
        return Verdict(signal=Signal.LOST, sentence="the master no longer knows our subscription")

    async def _read_events(self, generation: int, chunks: AsyncGenerator[bytes, None]) -> Verdict:
        reader = RecordReader()
        silence_s = FIRST_EVENT_S
        while True:
            chunk: bytes | None = None
            with trio.move_on_after(silence_s) as silence:
                chunk = await anext(chunks, None)
            if silence.cancelled_caught:
                why = f"the master was silent for {silence_s:g} s"
                return Verdict(signal=Signal.LOST, sentence=why)
            if chunk is None:
                return Verdict(signal=Signal.LOST, sentence="the master closed the stream")
            for record in reader.feed(chunk):
                event = events.decode_event(record, role=self.session.info.role)
                if isinstance(event, events.Subscribed):
                    silence_s = event.heartbeat_s * HEARTBEAT_MISSES_MAX
                verdict = await self._event(generation, event)
                if verdict is not None:
                    return verdict

    async def _event(self, generation: int, event: events.Event) -> Verdict | None:
        if isinstance(event, events.ErrorEvent):
            return session.judge_error(event.message)
        if isinstance(event, events.Subscribed):
            await self._subscribed(event)
        if self.session.state is not State.SUBSCRIBED:
            return None  # before 1.5.1 a HEARTBEAT could come first
        with trio.move_on_after(BROKER_PATIENCE_S) as patience:
            await self.broker.put(FromMaster(generation=generation, event=event))
        if patience.cancelled_caught:
            why = "our broker is overloaded: starting afresh"
            return Verdict(signal=Signal.LOST, sentence=why)
        return None

    async def _subscribed(self, event: events.Subscribed) -> None:
        """The id is durable before anything else is done with the connection."""
        self._attempt = 0
        if event.framework_id != self.session.info.framework_id:
            await self.store_id(event.framework_id)
            self.session.info = attrs.evolve(self.session.info, framework_id=event.framework_id)
        if event.master_version:
            self.session.version = calls.parse_version(event.master_version)
        self._signal(Signal.SUBSCRIBED)
        self.board.link = attrs.evolve(
            self.board.link, subscriptions=self.board.link.subscriptions + 1
        )
        log.info("subscribed", master=self.session.base, framework_id=event.framework_id)

    # -- the writer -------------------------------------------------------------------------

    async def write(self) -> None:
        """One call at a time: the master handles calls of one connection in order."""
        while True:
            message = await self.mailbox.receive()
            current = self.session.generation
            stale = message.generation is not None and message.generation != current
            if self.session.state is not State.SUBSCRIBED or stale:
                self._tell(message.call, "refused", "not subscribed")
                continue
            await self._post(message.call)

    async def _post(self, call: calls.Call) -> None:
        session_ = self.session
        body = calls.encode_call(
            call,
            framework_id=session_.info.framework_id,
            role=session_.info.role,
            version=session_.version,
        )
        base, stream_id = session_.base, session_.stream_id
        try:
            answer = await self.mesos.call(base, calls.SCHEDULER_PATH, body, stream_id)
        except MesosUnreachableError as error:
            if error.sent:
                self._fence(stream_id, "a call was not answered")
            self._tell(call, "unknown" if error.sent else "refused", str(error))
            return
        if answer.status == 202:
            self._tell(call, "sent", "")
            return
        if answer.status < 300:
            self._fence(stream_id, "a call was answered by something that is no master")
            self._tell(call, "unknown", f"{answer.status} {answer.body[:200]}")
            return
        self.mailbox.vitals.last_error = f"{type(call).__name__}: {answer.status} {answer.body}"
        log.warning(
            "a call was refused",
            call=type(call).__name__,
            status=answer.status,
            answer=answer.body[:200],
        )
        lost = session.call_lost_the_session(answer.status, answer.body)
        if lost or answer.status in (307, 503):
            self._fence(stream_id, "the master does not know our subscription")
        self._tell(call, "refused", f"{answer.status} {answer.body[:200]}")

    def _fence(self, stream_id: str, why: str) -> None:
        """A new subscription has a new stream id: what is still on its way comes to nothing."""
        if self.session.stream_id == stream_id:
            self._scope.cancel(reason=why)

    def renew(self) -> None:
        """Subscribe anew: the master takes back every offer that it believes us to hold."""
        self._fence(self.session.stream_id, "an agent is not offered any more")

    def _tell(self, call: calls.Call, outcome: str, detail: str) -> None:
        """Only launches need to know; a lost note is mended by reconciliation."""
        if isinstance(call, calls.Accept):
            self.broker.offer(CallResult(call=call, outcome=outcome, detail=detail))
