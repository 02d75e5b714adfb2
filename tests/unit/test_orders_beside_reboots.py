"""Operators' orders about the storage never add to what a reboot takes away."""

from __future__ import annotations

import attrs
import msgspec
import pytest
import trio

from actors.board import AgentSnapshot
from actors.messages import ORDER_PATIENCE_S, StorageOrder
from actors.ports import StoreError
from domain import evacuation, health, leaving, rollout
from domain.evacuation import Order
from domain.joining import AddSdsAddress, SdsAddress, SetSdsRole, Wait, _next_address
from domain.rollout import SNAPSHOT_AGE_MAX_S
from domain.storage import DeviceState, PoolState, SdcState, SdsState, StorageSnapshot
from protocol.gateway.shapes import Count
from tests.unit.actor_doubles import MemoryStore
from tests.unit.gateway_world import World, in_memory
from tests.unit.test_poller_removals import calls, desk

RESTING = SdsState(
    id="s2", name="sds2", domain_id="d", addresses=("10.0.0.2",), good=True, in_maintenance=True
)
MINE = SdsState(id="s1", name="sds1", domain_id="d", addresses=("10.0.0.1",), good=True)
SEEN = StorageSnapshot(
    taken_at=100.0, api_version=(3, 6), system_id="1", mdm_normal=True, sds=(MINE, RESTING),
    pools=(PoolState(id="p", name="p", domain_id="d"),),
)  # fmt: skip


def test_beside_an_sds_in_maintenance_nothing_else_goes() -> None:
    candidate = rollout.Rebooting(host="a", address="10.0.0.1", provides_storage=True, permit="")
    view = rollout.View(
        now=101.0, subscribed=True, storage=SEEN, rebooting={}, wanting=frozenset(), phases={}
    )
    assert "sds2" in rollout.may_go(candidate, view, rollout.Limits())
    assert "sds2" in leaving.may_leave(SEEN, MINE)
    assert "in maintenance" in leaving.may_leave(SEEN, RESTING)
    device = DeviceState(id="v", path="/dev/sdb", sds_id="s1", pool_id="p")
    act = evacuation.next_act(
        attrs.evolve(SEEN, devices=(device,)), Order(kind="device", id="v", name="v", since=0.0), {}
    )
    assert isinstance(act, Wait)


def test_a_failed_device_is_no_fault_unit() -> None:
    all_good = attrs.evolve(RESTING, in_maintenance=False)
    third = attrs.evolve(all_good, id="s3", name="sds3", addresses=("10.0.0.3",))
    pool = PoolState(id="p", name="p", domain_id="d", capacity_kb=900, in_use_kb=9)
    devices = tuple(
        DeviceState(id=f"v{n}", path="/dev/sdb", sds_id=f"s{n}", pool_id="p", capacity_kb=300)
        for n in (1, 2, 3)
    )
    seen = attrs.evolve(SEEN, sds=(MINE, all_good, third), pools=(pool,), devices=devices)
    order = Order(kind="device", id="v1", name="v1", since=0.0)
    failed = attrs.evolve(devices[2], good=False)
    lessened = attrs.evolve(seen, devices=(*devices[:2], failed))
    act = evacuation.next_act(lessened, order, {})
    assert isinstance(act, Wait)


def test_an_order_is_not_over_because_a_broken_mdm_lists_nothing() -> None:
    empty = attrs.evolve(SEEN, sds=(), mdm_normal=False)
    order = Order(kind="sds", id="s1", name="sds1", since=0.0)
    assert isinstance(evacuation.next_act(empty, order, {}), Wait)
    whole = attrs.evolve(empty, mdm_normal=True)
    assert isinstance(evacuation.next_act(whole, order, {}), evacuation.Gone)


def test_a_repair_stays_bounded_where_the_sdc_is_away_too() -> None:
    down = attrs.evolve(MINE, good=False)
    seen = attrs.evolve(SEEN, sds=(down,), sdcs=(SdcState(id="c", guid="G"),))
    view = health.AgentView(host="a", phase="ready", error="", address="10.0.0.1", sdc_guid="G")
    assert health.doubts(seen, [view])["a"].repair


def test_an_sds_is_reached_while_its_addresses_change() -> None:
    wanted = (SdsAddress(ip="10.0.0.1", role="sdcOnly"), SdsAddress(ip="10.0.1.1", role="sdsOnly"))
    one = attrs.evolve(MINE, roles={"10.0.0.1": "all"})
    assert _next_address(wanted, one) == AddSdsAddress("s1", "10.0.1.1", "sdsOnly")
    two = attrs.evolve(MINE, roles={"10.0.0.1": "all", "10.0.1.1": "sdsOnly"})
    assert _next_address(wanted, two) == SetSdsRole("s1", "10.0.0.1", "sdcOnly")
    swapped = attrs.evolve(MINE, roles={"10.0.0.1": "sdsOnly", "10.0.1.1": "sdcOnly"})
    assert _next_address(wanted, swapped) == SetSdsRole("s1", "10.0.0.1", "all")
    done = attrs.evolve(MINE, roles={"10.0.0.1": "sdcOnly", "10.0.1.1": "sdsOnly"})
    assert _next_address(wanted, done) is None


@pytest.mark.parametrize("text", [b"9" * 400, b"-" + b"9" * 30])
def test_a_figure_beyond_all_measure_is_no_figure(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Count)


def test_nothing_is_removed_beside_a_reboot_or_in_observe_mode() -> None:
    async def story(world: World) -> None:
        sds_id = (await world.gateway.snapshot()).sds[0].id
        async with desk(world) as here:
            here.here.board.agents["b"] = AgentSnapshot(
                host="b", agent_id="S", address="10.9.9.9", phase="rebooting", since=0.0
            )
            assert (await here.say("sds", sds_id))[0] == 202
            await trio.sleep(60)
            assert "b reboots on our account" in here.why()[0]
            here.evacuations.mode = "observe"
            assert (await here.say("sds", "other"))[0] == 409
            await trio.sleep(60)
            assert "observe mode" in here.why()[0]
            assert calls(world, "removeSds") == 0
            assert (await here.say("sds", sds_id, "keep"))[0] == 202

    in_memory(story, api="3.6")


def test_an_order_that_nobody_waits_for_any_more_is_not_obeyed() -> None:
    async def story(world: World) -> None:
        sds_id = (await world.gateway.snapshot()).sds[0].id
        async with desk(world) as here:
            await trio.sleep(30 + ORDER_PATIENCE_S)
            told: list[int] = []
            late = StorageOrder(
                kind="sds",
                id=sds_id,
                word="remove",
                answer=lambda status, _: told.append(status),
                asked_at=trio.current_time() - ORDER_PATIENCE_S - 1,
            )
            await here.here.poller.mailbox.put(late)
            await trio.sleep(5)
            assert told == []
            assert here.stored() == []

    in_memory(story, api="3.6")


def test_an_order_that_cannot_be_stored_in_time_does_not_come_to_life() -> None:
    async def story(world: World) -> None:
        sds_id = (await world.gateway.snapshot()).sds[0].id
        store = MemoryStore()
        async with desk(world, store) as here:
            await trio.sleep(30)
            store.faults += [StoreError("away")] * 9  # and pauses: for minutes
            assert (await here.say("sds", sds_id))[0] == 503
            await trio.sleep(120)
            assert (here.stored(), here.evacuations.orders) == ([], ())
            assert calls(world, "removeSds") == 0

    in_memory(story, api="3.6")


def test_after_an_act_no_host_reboots_on_an_older_look() -> None:
    async def story(world: World) -> None:
        async with desk(world) as here:
            await trio.sleep(30)
            board = here.here.board
            assert board.gateway.storage is not None
            taken_at = board.gateway.storage.taken_at
            here.evacuations._outdate()
            assert board.gateway.storage.taken_at == taken_at - SNAPSHOT_AGE_MAX_S

    in_memory(story, api="3.6")
