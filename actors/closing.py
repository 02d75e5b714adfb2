"""Carries out the end of the framework: compares, tells agents, and sends TEARDOWN at last.

Each stage is stored before anything is done that depends on it, so a crash at any moment goes on.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors.board import Board, ClosingSnapshot
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.master_session import Session
from actors.messages import (
    BeginAnew,
    CallOff,
    CallResult,
    CloseFramework,
    CloserInbox,
    Send,
    WriterInbox,
)
from domain import closing, inbox, records
from domain.closing import AgentView, ClosingRecord, Stage
from domain.inbox import AgentInbox
from protocol.mesos import calls
from protocol.mesos.operator import AgentList
from protocol.mesos.session import State

COMPARE_EVERY_S: Final = 5.0
TEAR_EVERY_S: Final = 1.0
END_PATIENCE_S: Final = 15.0  # the master closes the stream of a framework that it removes
REFUSED_PAUSE_S: Final = 10.0
UNLISTED: Final = (
    "the master does not list its agents to us, so nobody knows whether all were met: let our "
    "principal use GET_AGENTS, or end the framework by hand (POST /master/teardown)"
)

log = structlog.get_logger()


@attrs.define
class FrameworkCloser:
    """`record` is what is stored. The link asks `may_subscribe` before each subscription."""

    mailbox: Mailbox[CloserInbox]
    journal: Journal
    writer: Mailbox[WriterInbox]
    session: Session
    board: Board
    views: Callable[[], Iterable[AgentView]]
    agents: Callable[[str], Mailbox[AgentInbox] | None]
    listed: Callable[[str], Awaitable[AgentList | None]]  # the master's list, asked for now
    met: Callable[[], Mapping[str, str]]  # agent id -> host, of all that we know
    registers: Callable[[], object]  # wakes a link that waits with a dead id
    record: ClosingRecord | None = None
    _sent_in: int = attrs.field(default=-1, init=False)  # generation that TEARDOWN was sent in
    _not_before: float = attrs.field(default=-math.inf, init=False)
    _accepted_at: float | None = attrs.field(default=None, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    async def run(self) -> None:
        while True:
            self._show(await self._go_on())
            message: CloserInbox | None = None
            with trio.move_on_after(self._patience_s()):
                message = await self.mailbox.receive()
            if message is not None:
                await self._handle(message)

    def _patience_s(self) -> float:
        if self.record is None or self.record.stage is Stage.TORN_DOWN:
            return math.inf
        return COMPARE_EVERY_S if self.record.stage is Stage.ORDERED else TEAR_EVERY_S

    # -- for others ------------------------------------------------------------------------------

    def restore(self, record: ClosingRecord | None) -> None:
        """From the store. Where the id is gone already, there is nothing left to tear down."""
        if record is not None and record.stage is Stage.TEARING and not self._framework_id:
            record = attrs.evolve(record, stage=Stage.TORN_DOWN)
        self.record = record
        self._show(self._waiting())
        if self.is_torn_down:
            log.warning(closing.TORN_DOWN)

    @property
    def is_torn_down(self) -> bool:
        return self.record is not None and self.record.stage is Stage.TORN_DOWN

    @property
    def is_tearing(self) -> bool:
        """From here on nothing is launched."""
        return self.record is not None and self.record.stage is not Stage.ORDERED

    async def may_subscribe(self) -> None:
        """Waits while the framework is torn down, and where the master has just agreed to it."""
        while self.is_torn_down or self._accepted_at is not None:
            await self._changed.wait()

    def refusal(self, command: str) -> str:
        """Why an agent's command is refused; "" it is not."""
        if self.record is None or command != "resume":
            return ""
        return closing.why_no_resume(self.record)

    def register(self) -> tuple[int, str] | None:
        """An operator's word; None where it is none of our business."""
        if self.record is None or self.record.stage is Stage.ORDERED:
            return None
        given = closing.begin_anew(self.record)
        if not given.is_refusal and not self.mailbox.offer(BeginAnew()):
            return 503, "the closer of the framework is overloaded"
        return given.status, given.sentence

    # -- the operator's words ------------------------------------------------------------------

    async def _handle(self, message: CloserInbox) -> None:
        match message:
            case CloseFramework():
                given = closing.order(self.record, message.wish, framework_id=self._framework_id)
            case CallOff():
                given = closing.call_off(self.record)
            case BeginAnew():
                if self.record is None:
                    return
                given = closing.begin_anew(self.record)
            case CallResult():
                self._answered(message)
                return
            case _:
                assert_never(message)
        if not given.is_refusal:
            await self._keep(given.record)
        if isinstance(message, CloseFramework | CallOff):
            message.answer(given.status, given.sentence)
        else:
            self.registers()

    async def _keep(self, record: ClosingRecord | None) -> None:
        """Durable when it returns. The framework's id goes with the framework, at once."""
        kept = None if record is None else records.encode(record)
        changes: dict[str, bytes | None] = {records.CLOSING_KEY: kept}
        over = record is not None and record.stage is Stage.TORN_DOWN
        if over:
            changes[records.FRAMEWORK_KEY] = None
        await self.journal.save(changes)
        self.record = record
        if over:
            self.session.info = attrs.evolve(self.session.info, framework_id="")
            self.session.adopted = False
        self._accepted_at, self._sent_in = None, -1
        self._wake()
        log.warning("removal of the framework", stage=record.stage.value if record else "none")

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # -- what comes next -------------------------------------------------------------------------

    async def _go_on(self) -> str:
        """As far as it can go now; what it waits for, in a sentence."""
        match self.record:
            case ClosingRecord(stage=Stage.ORDERED) as record:
                return await self._compare(record)
            case ClosingRecord(stage=Stage.TEARING) as record:
                await self._tear(record)
        return self._waiting()

    async def _compare(self, record: ClosingRecord) -> str:
        for host in closing.to_tell(self.views()):
            agent = self.agents(host)
            if agent is not None:  # one without room is told at the next look
                agent.offer(inbox.Command(name="uninstall"))
        why_not = self._waiting()
        if record.teardown and not why_not:
            why_not = await self._why_not_now()
            if not why_not:
                await self._keep(attrs.evolve(record, stage=Stage.TEARING))
                return self._waiting()
        return why_not

    async def _why_not_now(self) -> str:
        """One fresh look at the master's list, just before there is no way back."""
        if self.session.state not in (State.SUBSCRIBED, State.REMOVED):
            return "there is no subscription to Mesos now"
        listed = await self.listed(self.session.base)
        if listed is None:
            return UNLISTED
        hosts = {one.agent_id: one.hostname for one in listed.agents}
        return closing.unmet(hosts, self.met(), recovered=len(listed.recovered)) or self._waiting()

    async def _tear(self, record: ClosingRecord) -> None:
        """Over when the master calls us removed, or ends the stream after it has agreed."""
        state, now = self.session.state, trio.current_time()
        agreed = self._accepted_at is not None
        if state is State.REMOVED or (agreed and state is not State.SUBSCRIBED):
            await self._keep(attrs.evolve(record, stage=Stage.TORN_DOWN))
            log.warning(closing.TORN_DOWN)
        elif self._accepted_at is not None and now - self._accepted_at > END_PATIENCE_S:
            self._accepted_at = None  # another subscription tells what has become of us
            self.session.fence(self.session.stream_id, "torn down, and the stream still there")
        elif state is State.SUBSCRIBED and not agreed and now >= self._not_before:
            await self._send_once()

    async def _send_once(self) -> None:
        """Once for a subscription: what became of it is told by its answer, or by the next one."""
        generation = self.session.generation
        if self._sent_in == generation:
            return
        self._sent_in = generation
        await self.writer.put(Send(call=calls.Teardown(), generation=generation))

    def _answered(self, result: CallResult) -> None:
        match result.outcome:
            case "sent":
                self._accepted_at = trio.current_time()
            case "unknown":
                pass  # the subscription is left: the next one tells
            case _:
                log.warning("TEARDOWN was refused", reason=result.detail)
                self._sent_in = -1
                self._not_before = trio.current_time() + REFUSED_PAUSE_S

    # -- what is shown ---------------------------------------------------------------------------

    @property
    def _framework_id(self) -> str:
        return self.session.info.framework_id

    def _waiting(self) -> str:
        record = self.record
        if record is None:
            return ""
        match record.stage:
            case Stage.ORDERED:
                return closing.waits_for(record, self.views(), framework_id=self._framework_id)
            case Stage.TEARING:
                return "the master is told to remove the framework"
            case Stage.TORN_DOWN:
                return ""

    def _show(self, waits: str) -> None:
        record = self.record
        shown = None
        if record is not None:
            shown = ClosingSnapshot(
                stage=record.stage.value,
                teardown=record.teardown,
                framework_id=record.framework_id,
                waits_for=waits,
            )
        if shown != self.board.closing:
            self.board.closing = shown
            self.board.touch()
