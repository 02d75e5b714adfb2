"""The health monitor: conditions with the time they began, and agents made to look again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
from trio.testing import MockClock

from actors.board import AgentSnapshot, Board, GatewaySnapshot, LinkSnapshot
from actors.health_monitor import DOUBT_AFTER_S, DOUBT_EVERY_S, LOOK_EVERY_S, HealthMonitor
from actors.mailbox import Mailbox
from actors.messages import HealthInbox
from domain import health, inbox
from domain.inbox import AgentInbox
from domain.storage import SdsState, StorageSnapshot
from tests.unit.actor_doubles import box, drained

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
        limits=health.Limits(),
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
        assert here.standing() == {}


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
