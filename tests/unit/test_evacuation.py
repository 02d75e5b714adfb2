"""Removing parts of the storage cluster: what forbids it, what comes first, and where it ends."""

from __future__ import annotations

import attrs
import pytest

from domain.evacuation import (
    KINDS,
    Gone,
    Order,
    RemoveDevice,
    RemoveDomain,
    RemovePool,
    RemoveSdc,
    RemoveSds,
    name_of,
    next_act,
)
from domain.joining import Wait
from domain.storage import (
    DeviceState,
    DomainState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
    VolumeState,
)

GB = 1 << 20
POOL = PoolState(
    id="p1", name="pool", domain_id="d1", capacity_kb=800 * GB, spare_kb=80 * GB, in_use_kb=100 * GB
)
SDSS = tuple(SdsState(id=f"s{n}", name=f"sds{n}", domain_id="d1", good=True) for n in range(1, 5))
DISKS = tuple(
    DeviceState(id=f"v{n}", path=f"/dev/sd{n}", sds_id=f"s{n}", pool_id="p1", capacity_kb=200 * GB)
    for n in range(1, 5)
)
VOLUME = VolumeState(id="vol", name="data", pool_id="p1", size_kb=8 * GB, sdc_ids=("c1",))
CLIENT = SdcState(id="c1", guid="GUID", connected=True)
WELL = StorageSnapshot(
    taken_at=0.0,
    api_version=(3, 6),
    system_id="s",
    mdm_normal=True,
    domains=(DomainState(id="d1", name="pd"),),
    pools=(POOL,),
    sds=SDSS,
    devices=DISKS,
    sdcs=(CLIENT,),
    volumes=(VOLUME,),
)
EMPTY = attrs.evolve(WELL, volumes=(), pools=(attrs.evolve(POOL, in_use_kb=0),))


def order(kind: str, object_id: str) -> Order:
    return Order(kind=kind, id=object_id, name="it", since=0.0)


def why(storage: StorageSnapshot, kind: str, object_id: str, **wanted: str) -> str:
    act = next_act(storage, order(kind, object_id), wanted)
    assert isinstance(act, Wait), act
    return act.sentence


@pytest.mark.parametrize(
    ("kind", "object_id", "expected"),
    [
        ("device", "v1", RemoveDevice("v1", "/dev/sd1")),
        ("sds", "s1", RemoveSds("s1", "sds1")),
    ],
)
def test_what_the_others_can_hold_is_removed(kind: str, object_id: str, expected: object) -> None:
    assert next_act(WELL, order(kind, object_id), {}) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_listed_is_at_its_end_and_has_no_name(kind: str) -> None:
    assert next_act(WELL, order(kind, "nowhere"), {}) == Gone()
    assert name_of(WELL, kind, "nowhere") == ""


@pytest.mark.parametrize("kind", ["device", "sds", "pool", "domain", "sdc"])
def test_nothing_is_removed_while_the_cluster_is_not_well(kind: str) -> None:
    one = {"device": "v1", "sds": "s1", "pool": "p1", "domain": "d1", "sdc": "c1"}[kind]
    moving = attrs.evolve(EMPTY, pools=(attrs.evolve(EMPTY.pools[0], moving=True),))
    assert "moved or rebuilt" in why(moving, kind, one)
    assert "MDM" in why(attrs.evolve(EMPTY, mdm_normal=False), kind, one)


@pytest.mark.parametrize(
    ("kind", "object_id", "wanted"),
    [("sds", "s1", "s1"), ("pool", "p1", "p1"), ("domain", "d1", "p1"), ("domain", "d1", "s3")],
)
def test_what_an_agent_would_bring_back_is_not_removed(
    kind: str, object_id: str, wanted: str
) -> None:
    assert "agent a1 would bring it back" in why(EMPTY, kind, object_id, **{wanted: "a1"})


def test_a_device_stays_where_its_data_has_no_other_place() -> None:
    few = attrs.evolve(WELL, devices=DISKS[:3])
    assert "3 fault units, without /dev/sd1 it would have 2" in why(few, "device", "v1")
    full = attrs.evolve(WELL, pools=(attrs.evolve(POOL, in_use_kb=560 * GB),))
    assert "no room on its other devices" in why(full, "device", "v1")
    sick = attrs.evolve(WELL, sds=(*SDSS[:3], attrs.evolve(SDSS[3], good=False, detail="Lost")))
    assert "sds4 is not healthy (Lost)" in why(sick, "device", "v1")


def test_a_client_goes_when_nothing_is_mapped_to_it_and_it_is_off() -> None:
    assert "volumes are mapped to it (data)" in why(WELL, "sdc", "c1")
    assert "stop scini" in why(EMPTY, "sdc", "c1")
    off = attrs.evolve(EMPTY, sdcs=(attrs.evolve(CLIENT, connected=False),))
    assert next_act(off, order("sdc", "c1"), {}) == RemoveSdc("c1", "GUID")


def test_a_pool_gives_up_its_devices_one_by_one_and_never_its_volumes() -> None:
    assert "holds 1 volumes (data)" in why(WELL, "pool", "p1")
    storage, acts = EMPTY, []
    while not isinstance(act := next_act(storage, order("pool", "p1"), {}), Gone):
        acts.append(type(act))
        assert isinstance(act, RemoveDevice | RemovePool)
        if isinstance(act, RemoveDevice):
            left = tuple(d for d in storage.devices if d.id != act.device_id)
            storage = attrs.evolve(storage, devices=left)
        else:
            storage = attrs.evolve(storage, pools=())
    assert acts == [RemoveDevice] * 4 + [RemovePool]


def test_a_domain_goes_last_after_its_pools_and_its_servers() -> None:
    without_pools = attrs.evolve(EMPTY, pools=(), devices=())
    assert next_act(without_pools, order("domain", "d1"), {}) == RemoveSds("s1", "sds1")
    bare = attrs.evolve(without_pools, sds=())
    assert next_act(bare, order("domain", "d1"), {}) == RemoveDomain("d1", "pd")
    assert isinstance(next_act(EMPTY, order("domain", "d1"), {}), RemoveDevice)
