"""The health monitor: conditions with the time they began, and agents made to look again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.board import AgentSnapshot, Board, GatewaySnapshot, LinkSnapshot, NoticeSnapshot
from actors.health_monitor import DOUBT_AFTER_S, DOUBT_EVERY_S, LOOK_EVERY_S, HealthMonitor
from actors.mailbox import Mailbox
from actors.messages import HealthInbox, Look
from domain import inbox
from domain.conditions import CLEAR_S, KINDS
from domain.inbox import AgentInbox
from domain.storage import PoolState, SdsState, StorageSnapshot
from domain.storage_health import Limits
from tests.unit.actor_doubles import box, drained

WALL = 1.7e9  # at 100 s of the run
SICK = SdsState(
    id="s1", name="sds_10.0.0.1", domain_id="d1", addresses=("10.0.0.1",), detail="Disconnected"
)
STORAGE = StorageSnapshot(taken_at=0.0, api_version=(3, 6), system_id="s", mdm_normal=True)


@attrs.define
class Ward:
    monitor: HealthMonitor
    agent: Mailbox[AgentInbox]

    @property
    def board(self) -> Board:
        return self.monitor.board

    def standing(self) -> dict[str, float]:
        return {condition.name: condition.since for condition in self.board.conditions}

    def sees(self, *sds: SdsState) -> None:
        self.board.gateway = GatewaySnapshot(storage=attrs.evolve(STORAGE, sds=sds))

    def doubts(self) -> list[AgentInbox]:
        return drained(self.agent)


@asynccontextmanager
async def ward() -> AsyncIterator[Ward]:
    mailbox: Mailbox[HealthInbox] = box("health", 4)
    agent: Mailbox[AgentInbox] = box("a1")
    board = Board(link=LinkSnapshot(state="subscribed"))
    board.post_agent(
        AgentSnapshot(host="a1", agent_id="S1", address="10.0.0.1", phase="ready", since=0.0)
    )
    monitor = HealthMonitor(
        mailbox=mailbox,
        board=board,
        agents={"a1": agent}.get,
        limits=Limits(),
        wall=lambda: WALL + trio.current_time() - 100.0,
        store_fault=lambda: "",
        store_bound=False,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(monitor.run)
        yield Ward(monitor, agent)
        nursery.cancel_scope.cancel()


async def test_a_condition_stands_from_its_first_moment_until_its_cause_is_gone(
    autojump_clock: MockClock,
) -> None:
    async with ward() as here:
        here.sees(SICK)
        await trio.sleep(LOOK_EVERY_S + 1.0)
        since = here.standing()["sds-unhealthy"]
        await trio.sleep(LOOK_EVERY_S * 5)
        assert here.standing() == {"sds-unhealthy": since}
        here.sees(attrs.evolve(SICK, good=True))
        await trio.sleep(LOOK_EVERY_S + 1.0)
        assert here.standing() == {"sds-unhealthy": since}, "it may come back in a moment"
        await trio.sleep(CLEAR_S)
        assert here.standing() == {}


async def test_what_is_due_is_told_when_it_is_due(autojump_clock: MockClock) -> None:
    async with ward() as here:
        await trio.sleep(1.0)
        here.board.gateway = GatewaySnapshot(error="refused", fault="unreachable")
        here.monitor.mailbox.offer(Look())
        await trio.sleep(KINDS["gateway-unreachable"].raise_s - 0.5)
        assert here.standing() == {}
        await trio.sleep(1.0)
        assert here.standing() == {"gateway-unreachable": 1.0}


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("login", "gateway-login"),
        ("certificate", "gateway-certificate"),
        ("system", "gateway-wrong-system"),
    ],
)
async def test_what_an_operator_has_to_mend_is_told_at_once_by_its_own_name(
    autojump_clock: MockClock, fault: str, name: str
) -> None:
    async with ward() as here:
        here.board.gateway = GatewaySnapshot(error="the reason", fault=fault)
        here.monitor.mailbox.offer(Look())
        await wait_all_tasks_blocked()
        [one] = here.board.conditions
        assert (one.name, one.severity) == (name, "critical")
        assert "the reason" in one.text
        assert one.cure


async def test_clocks_and_certificates_are_compared_with_our_own_clock(
    autojump_clock: MockClock,
) -> None:
    async with ward() as here:
        await trio.sleep(100.0)
        storage = attrs.evolve(
            STORAGE, taken_at=95.0, gateway_time=WALL - 5.0, certificate_ends=WALL + 86400.0
        )
        here.board.gateway = GatewaySnapshot(storage=storage)
        await trio.sleep(LOOK_EVERY_S + 1.0)
        assert set(here.standing()) == {"certificate-expiring"}
        skewed = attrs.evolve(storage, gateway_time=WALL + 300.0)
        here.board.gateway = GatewaySnapshot(storage=skewed)
        await trio.sleep(2 * LOOK_EVERY_S + KINDS["clock-skew"].raise_s)
        assert set(here.standing()) == {"certificate-expiring", "clock-skew"}


async def test_a_receiver_that_is_not_reached_is_told_to_the_others(
    autojump_clock: MockClock,
) -> None:
    async with ward() as here:
        deaf = NoticeSnapshot(receiver="http://pager", kind="webhook", last_error="answered 500")
        here.board.notices = (deaf, attrs.evolve(deaf, receiver="http://other", last_error=""))
        await trio.sleep(2 * LOOK_EVERY_S + KINDS["notification-failing"].raise_s)
        [one] = here.board.conditions
        assert (one.name, one.subject) == ("notification-failing", "http://pager")
        assert "answered 500" in one.text


async def test_a_pool_that_fills_tells_when_it_is_full(autojump_clock: MockClock) -> None:
    async with ward() as here:
        for tick in range(40):
            pool = PoolState(
                id="p", name="p", domain_id="d", capacity_kb=1 << 30, in_use_kb=tick * (10 << 20)
            )
            at = trio.current_time()
            here.board.gateway = GatewaySnapshot(
                storage=attrs.evolve(STORAGE, taken_at=at, pools=(pool,))
            )
            await trio.sleep(300.0)
        [one] = here.board.conditions
        assert (one.name, one.subject) == ("filling-fast", "p")
        assert "about 5 hours" in one.text


async def test_a_link_that_is_down_for_a_moment_is_no_alarm_and_for_long_is_one(
    autojump_clock: MockClock,
) -> None:
    async with ward() as here:
        here.board.link = LinkSnapshot(state="disconnected", detail="503")
        await trio.sleep(LOOK_EVERY_S * 2)
        assert here.standing() == {}
        here.board.link = LinkSnapshot(state="subscribed")
        await trio.sleep(LOOK_EVERY_S * 2)
        here.board.link = LinkSnapshot(state="disconnected", detail="503")
        await trio.sleep(LOOK_EVERY_S * 2)
        assert here.standing() == {}, "two short ones are not a long one"
        await trio.sleep(LOOK_EVERY_S * 4.5)
        assert set(here.standing()) == {"master-unreachable"}


async def test_nothing_is_said_to_have_changed_when_nothing_has(
    autojump_clock: MockClock,
) -> None:
    async with ward() as here:
        here.sees(SICK)
        await trio.sleep(LOOK_EVERY_S * 2)
        revision = here.board.revision
        await trio.sleep(LOOK_EVERY_S * 10)
        assert here.board.revision == revision, "pages are not woken for nothing"


async def test_a_lasting_doubt_is_told_and_repeated_rarely(autojump_clock: MockClock) -> None:
    async with ward() as here:
        here.sees(SICK)
        await trio.sleep(DOUBT_AFTER_S - 1.0)
        assert here.doubts() == []
        await trio.sleep(LOOK_EVERY_S * 2 + 1.0)
        [doubt] = here.doubts()
        assert isinstance(doubt, inbox.Doubted)
        assert "sds_10.0.0.1" in doubt.why
        await trio.sleep(DOUBT_EVERY_S - LOOK_EVERY_S * 4)
        assert here.doubts() == []
        await trio.sleep(LOOK_EVERY_S * 5)
        assert len(here.doubts()) == 1


async def test_a_doubt_that_passes_is_forgotten(autojump_clock: MockClock) -> None:
    async with ward() as here:
        for _ in range(10):
            here.sees(SICK)
            await trio.sleep(DOUBT_AFTER_S / 2)
            here.sees(attrs.evolve(SICK, good=True))
            await trio.sleep(LOOK_EVERY_S + 1.0)
        assert here.doubts() == []


async def test_nobody_is_doubted_on_an_old_look(autojump_clock: MockClock) -> None:
    """While the Gateway is away its last word says nothing about now."""
    async with ward() as here:
        here.board.gateway = GatewaySnapshot(
            storage=attrs.evolve(STORAGE, sds=(SICK,)), error="refused"
        )
        await trio.sleep(DOUBT_EVERY_S * 2)
        assert here.doubts() == []
        assert "gateway-unreachable" in here.standing()
