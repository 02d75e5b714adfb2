"""Operators' removals: stored first, followed to their end, and taken up after a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from actors.board import AgentSnapshot
from actors.evacuations import Evacuations
from actors.journal import Journal
from actors.messages import StorageOrder
from domain import records
from domain.evacuation import OrdersRecord
from domain.layout import layout_of
from tests.unit.actor_doubles import MemoryStore, box, rng
from tests.unit.gateway_world import World, in_memory
from tests.unit.test_actors_poller import Counter, counter


@attrs.define
class Desk:
    here: Counter
    store: MemoryStore
    evacuations: Evacuations

    async def say(self, kind: str, object_id: str, word: str = "remove") -> tuple[int, str]:
        told: list[tuple[int, str]] = []
        done = trio.Event()

        def answer(status: int, sentence: str) -> None:
            told.append((status, sentence))
            done.set()

        await self.here.poller.mailbox.put(
            StorageOrder(kind=kind, id=object_id, word=word, answer=answer)
        )
        with trio.fail_after(120.0):
            await done.wait()
        return told[0]

    def stored(self) -> list[str]:
        raw = self.store.records.get(records.ORDERS_KEY)
        if raw is None:
            return []
        record = records.decode(raw, OrdersRecord, key=records.ORDERS_KEY)
        return [one.id for one in record.orders]

    def why(self) -> list[str]:
        return [one.why for one in self.here.board.leaving]


@asynccontextmanager
async def desk(world: World, store: MemoryStore | None = None) -> AsyncIterator[Desk]:
    store = store or MemoryStore()
    journal = Journal(store=store, mailbox=box("journal"), chance=rng())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        async with counter(world) as here:
            evacuations = Evacuations(
                gateway=world.gateway, journal=journal, board=here.board, wall=lambda: 1.7e9
            )
            raw = store.records.get(records.ORDERS_KEY)
            if raw is not None:
                evacuations.restore(records.decode(raw, OrdersRecord, key=records.ORDERS_KEY))
            here.poller.evacuations = evacuations
            yield Desk(here, store, evacuations)
        nursery.cancel_scope.cancel()


def calls(world: World, verb: str) -> int:
    return sum(line.endswith(f"action/{verb}") for line in world.seen)


def test_an_sds_is_asked_for_once_and_followed_until_it_is_gone() -> None:
    async def story(world: World) -> None:
        world.simulated._mdm.evacuate_s = 300.0
        sds_id = (await world.gateway.snapshot()).sds[0].id
        async with desk(world) as there:
            status, sentence = await there.say("sds", sds_id)
            assert (status, "as soon as its data is elsewhere" in sentence) == (202, True)
            assert there.stored() == [sds_id], "stored before it is acted on"
            await trio.sleep(60.0)
            assert calls(world, "removeSds") == 1
            assert "moved" in there.why()[0] or "moves" in there.why()[0]
            await trio.sleep(600.0)
            assert calls(world, "removeSds") == 1
            assert there.stored() == []
            assert there.here.board.leaving == ()
            assert len(world.simulated.state.sds) == 2

    in_memory(story, api="3.6")


def test_a_whole_domain_goes_in_its_order() -> None:
    async def story(world: World) -> None:
        domain_id = (await world.gateway.snapshot()).domains[0].id
        async with desk(world) as there:
            await there.say("domain", domain_id)
            await trio.sleep(600.0)
            assert there.stored() == []
            assert world.simulated.state.domains == {}
            assert (calls(world, "removeDevice"), calls(world, "removeSds")) == (3, 3)
            assert calls(world, "removeStoragePool") == 1

    in_memory(story, api="2.5")


def test_an_order_survives_a_crash_and_can_be_called_off() -> None:
    async def story(world: World) -> None:
        world.simulated.add_volume("data", 8)
        pool_id = (await world.gateway.snapshot()).pools[0].id
        store = MemoryStore()
        async with desk(world, store) as there:
            await there.say("pool", pool_id)
            await trio.sleep(60.0)
            assert "holds 1 volumes (data)" in there.why()[0]
        async with desk(world, store) as again:
            assert [one.id for one in again.here.board.leaving] == [pool_id]
            await trio.sleep(60.0)
            assert "holds 1 volumes" in again.why()[0]
            assert (await again.say("pool", pool_id, word="keep"))[0] == 202
            assert again.stored() == []
            assert (await again.say("pool", pool_id, word="keep"))[0] == 404
        assert calls(world, "removeDevice") == 0

    in_memory(story, api="3.6")


def test_what_is_unknown_or_an_agents_own_is_not_removed() -> None:
    async def story(world: World) -> None:
        shown = await world.gateway.snapshot()
        async with desk(world) as there:
            assert (await there.say("disk", "1"))[0] == 404
            assert (await there.say("sds", "1"))[0] == 404
            there.here.shows(
                AgentSnapshot(
                    host="a1", agent_id="S1", address="10.0.1.1", phase="ready", since=0.0
                )
            )
            first = shown.sds_at("10.0.1.1")
            assert first is not None
            assert (await there.say("sds", first.id))[0] == 202
            await trio.sleep(60.0)
            assert "agent a1 would bring it back" in there.why()[0]
            assert calls(world, "removeSds") == 0
            device = shown.devices_of(first.id)[0]
            named = layout_of(
                {
                    "scaleio-sds-domains": "default",
                    "scaleio-sds-default": "default,/dev/sdb",
                },
                domain="x",
                pool="y",
            )
            assert named.provides[0].devices == ("/dev/sdb",)
            there.here.shows(attrs.evolve(there.here.board.agents["a1"], layout=named))
            assert (await there.say("device", device.id))[0] == 202
            await trio.sleep(60.0)
            assert all("agent a1 would bring it back" in why for why in there.why())
            assert calls(world, "removeDevice") == 0

    in_memory(story, api="3.6")


def test_an_sds_enters_and_leaves_maintenance_by_the_verbs_that_are_named() -> None:
    async def story(world: World) -> None:
        world.simulated.maintenance_verbs = ("enterMaintenanceMode", "exitMaintenanceMode")
        first, second, _ = (await world.gateway.snapshot()).sds
        async with desk(world) as there:
            unknown = await there.say("sds", first.id, "enter-maintenance")
            assert (unknown[0], "-scaleio.gateway.maintenance" in unknown[1]) == (409, True)
            there.evacuations.verbs = world.simulated.maintenance_verbs
            assert (await there.say("sds", first.id, "enter-maintenance"))[0] == 200
            refused = await there.say("sds", second.id, "enter-maintenance")
            assert (refused[0], f"SDS {first.name}" in refused[1]) == (409, True)
            storage = await world.gateway.snapshot()
            assert [s.in_maintenance for s in storage.sds] == [True, False, False]
            assert (await there.say("sds", first.id, "leave-maintenance"))[0] == 200
            assert (await there.say("pool", "1", "enter-maintenance"))[0] == 404
            assert (await there.say("sds", "1", "enter-maintenance"))[0] == 409
            there.evacuations.verbs = ("noSuchVerb", "norThis")
            odd = await there.say("sds", first.id, "enter-maintenance")
            assert odd[0] in {409, 503}

    in_memory(story, api="3.6")
