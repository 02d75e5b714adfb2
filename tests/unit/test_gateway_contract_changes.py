"""What HttpGateway promises about changes: each can be repeated, and nothing foreign is taken.

Kept on every network and release, as in test_gateway_contract.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import pytest

from protocol.gateway.errors import GatewayRefusedError
from simulation.gateway import DeviceSize, Refused
from tests.unit.gateway_world import GUID, OTHER_GUID, World, promise


@contextmanager
def refused(match: str) -> Iterator[None]:
    with pytest.raises(GatewayRefusedError, match=match):
        yield


# --- creating


@promise
async def test_creating_twice_gives_the_same_objects(world: World) -> None:
    gateway = world.gateway

    async def create_all() -> tuple[str, str, str, str, str]:
        domain_id = await gateway.create_protection_domain("pd2")
        pool_id = await gateway.create_storage_pool(domain_id=domain_id, name="fast")
        fault_set_id = await gateway.create_fault_set(domain_id=domain_id, name="rack1")
        sds_id = await gateway.create_sds(
            domain_id=domain_id,
            name="sds_10.0.4.1",
            addresses=[("10.0.4.1", "all")],
            fault_set_id=fault_set_id,
        )
        device_id = await gateway.add_device(
            sds_id=sds_id, pool_id=pool_id, path="/dev/disk/by-id/scsi-1", name="d1"
        )
        return domain_id, pool_id, fault_set_id, sds_id, device_id

    made = await create_all()
    assert await create_all() == made
    domain_id, pool_id, fault_set_id, sds_id, device_id = made
    shown = await gateway.snapshot()
    assert [d.id for d in shown.domains if d.name == "pd2"] == [domain_id]
    assert [p.id for p in shown.pools if p.name == "fast"] == [pool_id]
    sds = shown.sds_at("10.0.4.1")
    assert sds is not None
    assert (sds.id, sds.fault_set_id, sds.domain_id) == (sds_id, fault_set_id, domain_id)
    assert [d.id for d in shown.devices if d.sds_id == sds_id] == [device_id]
    assert world.forced() == [False]


@promise
async def test_a_pool_name_may_stand_in_two_domains(world: World) -> None:
    domain_id = await world.gateway.create_protection_domain("pd2")
    _, seeded, _ = await world.pool_and_sds()
    made = await world.gateway.create_storage_pool(domain_id=domain_id, name="default")
    assert made != seeded


@promise
async def test_what_is_taken_by_something_else_is_refused_with_its_name(world: World) -> None:
    gateway = world.gateway
    domain_id, pool_id, sds_id = await world.pool_and_sds()
    other_domain = await gateway.create_protection_domain("pd2")
    other_pool = await gateway.create_storage_pool(domain_id=domain_id, name="slow")
    fault_set = await gateway.create_fault_set(domain_id=domain_id, name="rack1")

    with refused("sds_10.0.1.1.*10.0.1.1, not at 10.0.9.9"):
        await gateway.create_sds(
            domain_id=domain_id, name="sds_10.0.1.1", addresses=[("10.0.9.9", "all")]
        )
    with refused("10.0.1.1 already serves as SDS 'sds_10.0.1.1' in protection domain"):
        await gateway.create_sds(domain_id=other_domain, name="x", addresses=[("10.0.1.1", "all")])
    with refused("is in fault set .none."):
        await gateway.create_sds(
            domain_id=domain_id, name="x", addresses=[("10.0.1.1", "all")], fault_set_id=fault_set
        )
    with refused("another protection domain"):
        await gateway.create_fault_set(domain_id=other_domain, name="rack1")
    with refused("/dev/sdb is already in storage pool"):
        await gateway.add_device(sds_id=sds_id, pool_id=other_pool, path="/dev/sdb", name="")
    await gateway.create_volume(pool_id=pool_id, name="v", size_gb=8)
    with refused("'v' exists with another pool or size"):
        await gateway.create_volume(pool_id=pool_id, name="v", size_gb=16)


@promise
async def test_an_sds_that_is_there_under_another_name_is_adopted(world: World) -> None:
    domain_id, _, sds_id = await world.pool_and_sds()
    made = await world.gateway.create_sds(
        domain_id=domain_id, name="sds_by_us", addresses=[("10.0.1.1", "all")]
    )
    assert made == sds_id


@promise
async def test_the_worlds_word_on_a_device_reaches_the_caller(world: World) -> None:
    _, pool_id, sds_id = await world.pool_and_sds()
    world.simulated.on_device_added = lambda _ip, path: (
        Refused(71, f"Cannot open {path}") if path == "/dev/none" else DeviceSize(50 * 1024**2)
    )
    with refused("Cannot open /dev/none .error code 71"):
        await world.gateway.add_device(sds_id=sds_id, pool_id=pool_id, path="/dev/none", name="")
    with refused("size of device /dev/small is out of range"):
        await world.gateway.add_device(sds_id=sds_id, pool_id=pool_id, path="/dev/small", name="")


@promise
async def test_names_that_do_not_fit_are_refused_before_anything_is_sent(world: World) -> None:
    domain_id, pool_id, sds_id = await world.pool_and_sds()
    calls = world.simulated.calls
    long = "n" * 32
    with refused("has 32 characters, ScaleIO takes at most 31"):
        await world.gateway.create_protection_domain(long)
    with refused("at most 31"):
        await world.gateway.create_storage_pool(domain_id=domain_id, name=long)
    with refused("at most 31"):
        await world.gateway.create_fault_set(domain_id=domain_id, name=long)
    with refused("at most 31"):
        await world.gateway.create_sds(
            domain_id=domain_id, name=long, addresses=[("10.0.4.1", "all")]
        )
    with refused("at most 31"):
        await world.gateway.add_device(sds_id=sds_id, pool_id=pool_id, path="/dev/x", name=long)
    with refused("at most 31"):
        await world.gateway.create_volume(pool_id=pool_id, name=long, size_gb=8)
    with refused("no blanks"):
        await world.gateway.create_volume(pool_id=pool_id, name="a b", size_gb=8)
    assert world.simulated.calls == calls


# --- volumes and SDCs


@promise
async def test_the_life_of_a_volume_can_be_repeated_at_every_step(world: World) -> None:
    gateway = world.gateway
    _, pool_id, _ = await world.pool_and_sds()
    sdc = (await gateway.snapshot()).sdc_by_guid(GUID)
    assert sdc is not None
    assert await gateway.find_volume("probe") is None
    volume_id = await gateway.create_volume(pool_id=pool_id, name="probe", size_gb=3)
    assert await gateway.create_volume(pool_id=pool_id, name="probe", size_gb=3) == volume_id
    assert await gateway.find_volume("probe") == volume_id
    for _ in range(2):
        await gateway.map_volume(volume_id=volume_id, sdc_id=sdc.id)
        assert world.simulated.mapped_volumes(GUID) == [(world.simulated.system_id, volume_id)]
    with refused("mapped to at least one SDC"):
        await gateway.remove_volume(volume_id)
    for _ in range(2):
        await gateway.unmap_volume(volume_id=volume_id, sdc_id=sdc.id)
        assert world.simulated.mapped_volumes(GUID) == []
    for _ in range(2):
        await gateway.remove_volume(volume_id)
    await gateway.unmap_volume(volume_id=volume_id, sdc_id=sdc.id)
    assert await gateway.find_volume("probe") is None
    kinds = [kind for kind, _ in world.events]
    assert kinds == ["volume-created", "volume-mapped", "volume-unmapped", "volume-removed"]


@promise
async def test_a_volume_in_use_elsewhere_is_not_mapped_a_second_time(world: World) -> None:
    _, pool_id, _ = await world.pool_and_sds()
    world.simulated.register_sdc(OTHER_GUID, "10.0.3.2")
    shown = await world.gateway.snapshot()
    first, second = shown.sdc_by_guid(GUID), shown.sdc_by_guid(OTHER_GUID)
    assert first is not None
    assert second is not None
    volume_id = await world.gateway.create_volume(pool_id=pool_id, name="v", size_gb=8)
    await world.gateway.map_volume(volume_id=volume_id, sdc_id=first.id)
    with refused("mapped to another SDC"):
        await world.gateway.map_volume(volume_id=volume_id, sdc_id=second.id)


@promise
async def test_an_sdc_is_approved_where_approval_is_asked_for(world: World) -> None:
    world.simulated.state.restricted_sdc = "Guid"
    world.simulated.register_sdc(OTHER_GUID, "10.0.3.2")
    shown = await world.gateway.snapshot()
    assert shown.restricted_sdc == "Guid"
    waiting = shown.sdc_by_guid(OTHER_GUID)
    assert waiting is not None
    assert not waiting.approved
    for _ in range(2):
        await world.gateway.approve_sdc(guid=OTHER_GUID.lower(), address="10.0.3.2")
    approved = (await world.gateway.snapshot()).sdc_by_guid(OTHER_GUID)
    assert approved == attrs.evolve(waiting, approved=True)


# --- leaving


@promise
async def test_an_sds_is_asked_to_leave_and_stays_listed_while_its_data_moves(
    world: World,
) -> None:
    _, _, sds_id = await world.pool_and_sds()
    world.simulated._mdm.evacuate_s = 3600.0
    for _ in range(2):
        await world.gateway.remove_sds(sds_id)
    assert sds_id in {sds.id for sds in (await world.gateway.snapshot()).sds}
    world.simulated.state.sds[sds_id].leaves_at = 0.0
    assert sds_id not in {sds.id for sds in (await world.gateway.snapshot()).sds}
    await world.gateway.remove_sds(sds_id)


@promise
async def test_an_sdc_leaves_when_nothing_is_mapped_to_it(world: World) -> None:
    _, pool_id, _ = await world.pool_and_sds()
    sdc = (await world.gateway.snapshot()).sdc_by_guid(GUID)
    assert sdc is not None
    volume_id = await world.gateway.create_volume(pool_id=pool_id, name="v", size_gb=8)
    await world.gateway.map_volume(volume_id=volume_id, sdc_id=sdc.id)
    [shown] = (await world.gateway.snapshot()).volumes
    assert (shown.name, shown.pool_id, shown.sdc_ids) == ("v", pool_id, (sdc.id,))
    with refused("still has mapped volumes"):
        await world.gateway.remove_sdc(sdc.id)
    await world.gateway.unmap_volume(volume_id=volume_id, sdc_id=sdc.id)
    for _ in range(2):
        await world.gateway.remove_sdc(sdc.id)
    assert (await world.gateway.snapshot()).sdc_by_guid(GUID) is None
