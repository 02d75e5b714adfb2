"""The closer of the framework: what is stored before what, and what TEARDOWN's fate means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors import questions
from actors.board import Board
from actors.closing import END_PATIENCE_S, REFUSED_PAUSE_S, UNLISTED, FrameworkCloser
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.master_session import Session
from actors.messages import CallResult, CloseFramework, CloserInbox, WriterInbox
from actors.supervision import supervise
from domain import inbox
from domain.agent import Phase
from domain.closing import AgentView, ClosingRecord, Stage, Wish
from domain.inbox import AgentInbox
from domain.records import CLOSING_KEY, FRAMEWORK_KEY, decode
from protocol.mesos.calls import Teardown
from protocol.mesos.operator import AgentList, AgentSeen
from protocol.mesos.session import State
from tests.unit.actor_doubles import MemoryStore, box, drained, rng
from tests.unit.master_line import INFO

ORDER = Wish(teardown=True, confirm="F")


def seen(agent_id: str) -> AgentSeen:
    return AgentSeen(
        agent_id=agent_id, hostname=agent_id, ip="", port=1, attributes={}, active=True
    )


@attrs.define
class Office:
    """A closer with a store of its own, and everything around it in the test's hands."""

    store: MemoryStore = attrs.field(factory=MemoryStore)
    agent: Mailbox[AgentInbox] = attrs.field(factory=lambda: box("agent/a1"))
    writer: Mailbox[WriterInbox] = attrs.field(factory=lambda: box("writer"))
    mailbox: Mailbox[CloserInbox] = attrs.field(factory=lambda: box("closer"))
    views: list[AgentView] = attrs.field(factory=list)
    listing: AgentList | None = attrs.field(factory=lambda: AgentList(agents=(seen("S1"),)))
    session: Session = attrs.field(
        factory=lambda: Session(
            info=attrs.evolve(INFO, framework_id="F"), state=State.SUBSCRIBED, generation=1
        )
    )
    board: Board = attrs.field(factory=Board)
    registered: int = 0
    closer: FrameworkCloser = attrs.field(init=False)

    async def listed(self, base: str) -> AgentList | None:
        del base
        await trio.lowlevel.checkpoint()
        return self.listing

    def register(self) -> None:
        self.registered += 1

    async def order(self, wish: Wish = ORDER) -> int:
        status, _ = await questions.ask(
            self.mailbox,
            lambda answer: CloseFramework(wish=wish, answer=answer),
            who="closer",
            patience_s=30.0,
        )
        return status

    def stored(self) -> ClosingRecord | None:
        raw = self.store.records.get(CLOSING_KEY)
        return None if raw is None else decode(raw, ClosingRecord, key=CLOSING_KEY)

    def stage(self) -> Stage | None:
        stored = self.stored()
        return None if stored is None else stored.stage

    def teardowns(self) -> int:
        return sum(isinstance(one.call, Teardown) for one in drained(self.writer))

    def says(self) -> str:
        return "" if self.board.closing is None else self.board.closing.waits_for

    async def answered(self, outcome: str) -> None:
        await self.mailbox.put(CallResult(call=Teardown(), outcome=outcome))
        await trio.sleep(1.5)


@asynccontextmanager
async def office(*views: AgentView, record: ClosingRecord | None = None) -> AsyncIterator[Office]:
    here = Office(views=list(views))
    here.store.records[FRAMEWORK_KEY] = b"known"
    journal = Journal(store=here.store, mailbox=box("journal"), chance=rng())
    here.closer = FrameworkCloser(
        mailbox=here.mailbox,
        journal=journal,
        writer=here.writer,
        session=here.session,
        board=here.board,
        views=lambda: here.views,
        agents=lambda _: here.agent,
        listed=here.listed,
        met=lambda: {"S1": "a1"},
        registers=here.register,
    )
    here.closer.restore(record)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, journal.mailbox.vitals, journal.run)
        nursery.start_soon(supervise, here.mailbox.vitals, here.closer.run)
        yield here
        nursery.cancel_scope.cancel()


def view(phase: Phase, *, told: bool = False) -> AgentView:
    return AgentView(host="a1", phase=phase, told=told)


GONE = view(Phase.RETIRED)
TEARING = ClosingRecord(teardown=True, framework_id="F", stage=Stage.TEARING)


async def test_agents_are_told_until_they_have_heard_of_it(autojump_clock: MockClock) -> None:
    async with office(view(Phase.READY)) as here:
        assert await here.order() == 202
        await trio.sleep(12.0)
        told = drained(here.agent)
        assert told == [inbox.Command(name="uninstall")] * len(told)
        assert len(told) > 1
        here.views = [view(Phase.DRAINING, told=True)]
        await trio.sleep(6.0)
        drained(here.agent)
        await trio.sleep(60.0)
        assert drained(here.agent) == []
        assert "draining: a1" in here.says()
        assert here.teardowns() == 0


async def test_teardown_is_sent_once_and_only_when_that_is_stored(
    autojump_clock: MockClock,
) -> None:
    async with office(GONE) as here:
        here.store.write_s = 20.0
        with trio.move_on_after(30.0):
            assert await here.order() == 202
        assert here.teardowns() == 0
        assert here.stage() is Stage.ORDERED
        await trio.sleep(25.0)
        assert here.stage() is Stage.TEARING
        await trio.sleep(60.0)
        assert here.teardowns() == 1


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (None, UNLISTED),
        (AgentList(agents=(seen("S1"), seen("S2"))), "not been looked at yet (S2)"),
        (AgentList(agents=(), recovered=frozenset({"S1"})), "are not back yet"),
    ],
)
async def test_the_masters_own_list_comes_first(
    listing: AgentList | None, words: str, autojump_clock: MockClock
) -> None:
    async with office(GONE) as here:
        here.listing = listing
        await here.order()
        await trio.sleep(60.0)
        assert words in here.says()
        assert (here.stage(), here.teardowns()) == (Stage.ORDERED, 0)


async def test_the_end_of_the_stream_after_the_answer_is_the_end(autojump_clock: MockClock) -> None:
    async with office(GONE, record=TEARING) as here:
        await trio.sleep(1.0)
        await here.answered("sent")
        assert here.stage() is None
        here.session.state = State.DISCONNECTED
        subscribed = trio.Event()
        with trio.move_on_after(100.0):
            await here.closer.may_subscribe()
            subscribed.set()
        assert not subscribed.is_set()
        assert here.stage() is Stage.TORN_DOWN
        assert FRAMEWORK_KEY not in here.store.records
        assert here.session.info.framework_id == ""


async def test_a_master_that_calls_us_removed_has_torn_us_down(autojump_clock: MockClock) -> None:
    async with office(GONE, record=TEARING) as here:
        here.session.state = State.REMOVED
        await trio.sleep(2.0)
        assert here.stage() is Stage.TORN_DOWN


async def test_a_lost_stream_without_an_answer_is_no_end(autojump_clock: MockClock) -> None:
    async with office(GONE, record=TEARING) as here:
        await trio.sleep(1.0)
        assert here.teardowns() == 1
        here.session.state = State.DISCONNECTED
        await here.answered("unknown")
        await here.closer.may_subscribe()
        here.session.state, here.session.generation = State.SUBSCRIBED, 2
        await trio.sleep(2.0)
        assert here.teardowns() == 1
        assert here.stage() is not Stage.TORN_DOWN


async def test_a_refused_teardown_is_sent_again_after_a_pause(autojump_clock: MockClock) -> None:
    async with office(GONE, record=TEARING) as here:
        await trio.sleep(1.0)
        assert here.teardowns() == 1
        await here.answered("rejected")
        assert here.teardowns() == 0
        await trio.sleep(REFUSED_PAUSE_S)
        assert here.teardowns() == 1


async def test_a_stream_that_outlives_teardown_is_left(autojump_clock: MockClock) -> None:
    async with office(GONE, record=TEARING) as here:
        here.session.stream_id = "s"
        await trio.sleep(1.0)
        await here.answered("sent")
        await trio.sleep(END_PATIENCE_S + 2.0)
        assert here.session.scope.cancel_called
        await here.closer.may_subscribe()


async def test_an_operator_begins_anew_after_the_end(autojump_clock: MockClock) -> None:
    record = attrs.evolve(TEARING, stage=Stage.TORN_DOWN)
    async with office(GONE, record=record) as here:
        assert await here.order() == 409
        assert here.closer.refusal("resume") != ""
        answer = here.closer.register()
        assert answer is not None
        assert answer[0] == 202
        await here.closer.may_subscribe()
        assert (here.registered, here.stored(), here.board.closing) == (1, None, None)
        assert here.closer.register() is None
        assert here.closer.refusal("resume") == ""


async def test_where_the_id_is_gone_there_is_nothing_left_to_tear_down(
    autojump_clock: MockClock,
) -> None:
    async with office(GONE) as here:
        here.session.info = attrs.evolve(here.session.info, framework_id="")
        here.closer.restore(TEARING)
        assert here.closer.is_torn_down
