"""The herald: a debt is stored before the call that makes it, and paid whatever happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.before_reboot import TICK_S, BeforeReboot
from actors.board import Board
from actors.journal import Journal
from actors.messages import TellMesos, Told
from actors.ports import MesosAnswer, MesosUnreachableError
from domain import records
from domain.debts import DUE_S, Debt, DebtsRecord
from protocol.mesos.operator import AgentList, AgentSeen
from tests.unit.actor_doubles import MemoryStore, box, chance, drained

SEEN = AgentSeen(agent_id="S1", hostname="a1", ip="10.0.0.1", port=5051, attributes={}, active=True)
ASK = TellMesos(host="a1", agent_id="S1", permit="p1")


@attrs.define
class Master:
    """What the master shows of its agents, and how it answers; `owed` is stored at each call."""

    store: MemoryStore
    agents: dict[str, AgentSeen] = attrs.field(factory=lambda: {"S1": SEEN})
    status: int = 200
    silent: bool = False
    closed: bool = False
    calls: list[tuple[str, bool]] = attrs.field(factory=list)  # call, and whether it was owed then

    async def operator(self, base: str, body: bytes) -> MesosAnswer:
        del base
        call = json.loads(body)
        agent_id = call[call["type"].lower()]["agent_id"]["value"]
        self.calls.append((call["type"], agent_id in str(self.store.records.get("debts"))))
        if self.silent:
            raise MesosUnreachableError("the line broke", sent=True)
        if self.status == 200:
            deactivated = call["type"] == "DEACTIVATE_AGENT"
            self.agents[agent_id] = attrs.evolve(self.agents[agent_id], deactivated=deactivated)
        return MesosAnswer(status=self.status, body="no")

    async def renew_credentials(self) -> bool:
        return False

    async def listing(self, base: str) -> AgentList | None:
        del base
        return None if self.closed else AgentList(agents=tuple(self.agents.values()))


@attrs.define
class House:
    herald: BeforeReboot
    master: Master
    gate: Any

    async def tell(self) -> list[Told]:
        self.herald.mailbox.offer(ASK)
        await wait_all_tasks_blocked()
        return drained(self.gate)

    @property
    def owes(self) -> tuple[str, ...]:
        raw = self.master.store.records[records.DEBTS_KEY]
        found = records.decode(raw, DebtsRecord, key=records.DEBTS_KEY)
        return tuple(debt.agent_id for debt in found.deactivated)


@asynccontextmanager
async def house(owed: DebtsRecord | None = None) -> AsyncIterator[House]:
    store = MemoryStore()
    master = Master(store)
    journal = Journal(store=store, mailbox=box("journal"), chance=chance().rng)
    mesos: Any = master
    herald = BeforeReboot(
        mailbox=box("herald"),
        gate=box("gate"),
        mesos=mesos,
        journal=journal,
        board=Board(),
        leader=lambda: "http://10.0.0.9:5050",
        listing=master.listing,
        wall=chance().wall,
        owed=owed or DebtsRecord(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        nursery.start_soon(herald.run)
        yield House(herald, master, herald.gate)
        nursery.cancel_scope.cancel()


async def test_the_debt_is_stored_first_and_paid_a_minute_later(autojump_clock: MockClock) -> None:
    async with house() as here:
        assert await here.tell() == [Told(permit="p1")]
        assert here.master.calls == [("DEACTIVATE_AGENT", True)]
        assert here.herald.board.deactivated == ("a1",)
        await trio.sleep(DUE_S + 10.0)
        assert [call for call, _ in here.master.calls][1:] == ["REACTIVATE_AGENT"]
        assert not here.owes
        assert not here.herald.board.deactivated


async def test_a_debt_of_an_earlier_process_is_paid(autojump_clock: MockClock) -> None:
    owed = DebtsRecord(deactivated=(Debt(agent_id="S1", host="a1", due=1.0),))
    async with house(owed) as here:
        here.master.agents["S1"] = attrs.evolve(SEEN, deactivated=True)
        await trio.sleep(10.0)
        assert [call for call, _ in here.master.calls] == ["REACTIVATE_AGENT"]


async def test_a_refusal_leaves_no_debt_and_the_host_goes_without(
    autojump_clock: MockClock,
) -> None:
    async with house() as here:
        here.master.status = 403
        (told,) = await here.tell()
        assert "403" in told.refusal
        assert not here.owes


async def test_where_nobody_knows_whether_it_was_done_it_is_owed(
    autojump_clock: MockClock,
) -> None:
    async with house() as here:
        here.master.silent = True
        (told,) = await here.tell()
        assert "broke" in told.refusal
        assert here.owes == ("S1",)


async def test_what_operators_did_is_neither_done_nor_undone(autojump_clock: MockClock) -> None:
    async with house() as here:
        here.master.agents["S1"] = attrs.evolve(SEEN, deactivated=True)
        (told,) = await here.tell()
        assert "operators" in told.refusal
        await trio.sleep(DUE_S * 3)
        assert here.master.calls == []


async def test_a_master_that_lists_no_agents_to_us_is_not_told(autojump_clock: MockClock) -> None:
    async with house() as here:
        here.master.closed = True
        (told,) = await here.tell()
        assert "does not list" in told.refusal
        assert here.master.calls == []


async def test_a_payment_that_fails_is_tried_again_with_growing_pauses(
    autojump_clock: MockClock,
) -> None:
    async with house() as here:
        await here.tell()
        here.master.status = 503
        await trio.sleep(DUE_S + 300.0)
        tried = len(here.master.calls)
        assert 3 <= tried <= 10
        assert here.owes == ("S1",)
        here.master.status = 200
        await trio.sleep(600.0)
        assert not here.owes


async def test_a_host_that_stays_away_delays_nobody_elses_return(autojump_clock: MockClock) -> None:
    gone = Debt(agent_id="S9", host="a9", due=chance().wall())
    async with house(DebtsRecord(deactivated=(gone,))) as here:
        await trio.sleep(1000.0)  # it is asked for ever more seldom
        await here.tell()
        assert "S1" in here.owes
        await trio.sleep(DUE_S + 2 * TICK_S)
        assert "S1" not in here.owes
        assert "S9" in here.owes
