"""Leaving the storage cluster: nothing is removed that its data or somebody's volume needs."""

from __future__ import annotations

import attrs
import pytest

from domain import leaving
from domain.joining import JoinSpec, Wait
from domain.storage import (
    DeviceState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
    VolumeState,
)

GB = 1024 * 1024
PROBE = "probe-1"
SPEC = JoinSpec(host="a1", address="10.0.0.1", domain="pd", sdc_guid="ABC")
POOL = PoolState(id="p", name="pool", domain_id="d", capacity_kb=800 * GB, spare_kb=80 * GB)
ALL = StorageSnapshot(
    taken_at=0.0,
    api_version=(2, 5),
    system_id="1",
    mdm_normal=True,
    pools=(POOL,),
    sds=tuple(
        SdsState(id=f"s{n}", name=f"sds_{n}", domain_id="d", addresses=(f"10.0.0.{n}",), good=True)
        for n in range(1, 5)
    ),
    devices=tuple(
        DeviceState(id=f"v{n}", path="/dev/x", sds_id=f"s{n}", pool_id="p", capacity_kb=200 * GB)
        for n in range(1, 5)
    ),
    sdcs=(SdcState(id="c1", guid="ABC", connected=True),),
)
USED = attrs.evolve(
    ALL,
    pools=(attrs.evolve(POOL, in_use_kb=100 * GB),),
    volumes=(VolumeState(id="w", name="theirs", pool_id="p", sdc_ids=("c9",)),),
)
OURS = VolumeState(id="q", name=PROBE, pool_id="p", sdc_ids=("c1",))


def act(storage: StorageSnapshot) -> leaving.Act:
    return leaving.next_act(storage, SPEC, PROBE)


def test_the_sds_goes_first_then_the_sdc_and_then_nothing_is_left() -> None:
    assert act(USED) == leaving.RemoveSds("s1", "sds_1")
    without = attrs.evolve(USED, sds=USED.sds[1:], devices=USED.devices[1:])
    assert act(without) == leaving.RemoveSdc("c1", "ABC")
    assert act(attrs.evolve(without, sdcs=())) == leaving.Gone()


def test_our_own_probe_volume_is_ours_to_remove() -> None:
    mapped = attrs.evolve(ALL, volumes=(OURS,))
    assert act(mapped) == leaving.UnmapProbe("q", "c1")
    unmapped = attrs.evolve(ALL, volumes=(attrs.evolve(OURS, sdc_ids=()),))
    assert act(unmapped) == leaving.RemoveProbe("q")


def test_an_sds_that_is_not_our_matter_stays() -> None:
    spec = attrs.evolve(SPEC, keeps_sds=True)
    assert leaving.next_act(ALL, spec, PROBE) == leaving.RemoveSdc("c1", "ABC")


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (attrs.evolve(USED, mdm_normal=False, mdm_detail="Degraded"), "MDM cluster is not normal"),
        (attrs.evolve(USED, pools=(attrs.evolve(POOL, degraded_kb=1),)), "degraded"),
        (attrs.evolve(USED, pools=(attrs.evolve(POOL, moving=True),)), "moved or rebuilt"),
        (
            attrs.evolve(
                USED, sds=(*USED.sds[:3], attrs.evolve(USED.sds[3], good=False, detail="gone"))
            ),
            "SDS sds_4 of the same protection domain is not healthy (gone)",
        ),
        (attrs.evolve(USED, devices=USED.devices[:3]), "needs devices in 3 fault units"),
        (
            attrs.evolve(USED, pools=(attrs.evolve(POOL, in_use_kb=600 * GB),)),
            "(600 GB) has no room on the other SDSs (540 GB beside the spare)",
        ),
        (
            attrs.evolve(
                USED,
                volumes=(VolumeState(id="w", name="mysql", pool_id="p", sdc_ids=("c1",)),),
            ),
            "volumes are mapped to its SDC (mysql)",
        ),
    ],
)
def test_what_forbids_it_is_said(storage: StorageSnapshot, words: str) -> None:
    found = act(storage)
    assert isinstance(found, Wait)
    assert words in found.sentence


def test_two_sdss_of_one_fault_set_are_one_unit() -> None:
    together = tuple(attrs.evolve(sds, fault_set_id="rack") for sds in USED.sds[1:3])
    found = act(attrs.evolve(USED, sds=(USED.sds[0], *together, USED.sds[3])))
    assert isinstance(found, Wait)
    assert "without SDS sds_1 it would have 2" in found.sentence


def test_the_last_of_an_empty_pool_may_go() -> None:
    last = attrs.evolve(ALL, sds=ALL.sds[:1], devices=ALL.devices[:1])
    assert act(last) == leaving.RemoveSds("s1", "sds_1")


def test_many_volumes_are_named_in_part() -> None:
    volumes = tuple(
        VolumeState(id=str(n), name=f"v{n}", pool_id="p", sdc_ids=("c1",)) for n in range(8)
    )
    found = act(attrs.evolve(ALL, volumes=volumes))
    assert isinstance(found, Wait)
    assert "(v0, v1, v2, v3, v4 and 3 more)" in found.sentence


def test_an_sds_is_known_by_its_id_where_its_host_has_another_address() -> None:
    moved = attrs.evolve(SPEC, address="10.9.9.9", sds_id="s1")
    assert leaving.next_act(USED, moved, PROBE) == leaving.RemoveSds("s1", "sds_1")


def test_a_host_with_an_sds_that_the_cluster_does_not_list_is_left_alone() -> None:
    strange = attrs.evolve(SPEC, address="10.9.9.9", runs_sds=True)
    found = leaving.next_act(attrs.evolve(ALL, sdcs=()), strange, PROBE)
    assert isinstance(found, Wait)
    assert "lists none at 10.9.9.9" in found.sentence


def test_an_sdc_that_tells_no_guid_is_known_by_its_address() -> None:
    client = SdcState(id="c1", guid="ABC", address="10.0.0.1", connected=True)
    mapped = VolumeState(id="w", name="theirs", pool_id="p", sdc_ids=("c1",))
    there = attrs.evolve(ALL, sdcs=(client,), volumes=(mapped,))
    found = leaving.next_act(there, attrs.evolve(SPEC, sdc_guid=""), PROBE)
    assert isinstance(found, Wait)
    assert "theirs" in found.sentence


def test_nothing_is_gone_while_the_mdm_cluster_cannot_be_trusted() -> None:
    empty = StorageSnapshot(taken_at=0.0, api_version=(2, 5), system_id="1", mdm_detail="degraded")
    assert isinstance(act(empty), Wait)


GONE = attrs.evolve(SPEC, gone=True, runs_sds=True, sds_id="s1")
CUT_OFF = attrs.evolve(
    USED,
    sds=(attrs.evolve(USED.sds[0], good=False, disconnected=True), *USED.sds[1:]),
    sdcs=(attrs.evolve(USED.sdcs[0], connected=False),),
)


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (attrs.evolve(CUT_OFF, sds=USED.sds), "SDS sds_1"),
        (attrs.evolve(CUT_OFF, sdcs=USED.sdcs), "SDC ABC"),
        (
            attrs.evolve(CUT_OFF, sds=(attrs.evolve(USED.sds[0], good=False), *USED.sds[1:])),
            "SDS sds_1",
        ),
    ],
)
def test_a_host_that_the_storage_cluster_still_hears_is_not_gone(
    storage: StorageSnapshot, words: str
) -> None:
    told = leaving.next_act(storage, GONE, PROBE)
    assert isinstance(told, Wait)
    assert "the host is not gone" in told.sentence
    assert words in told.sentence


def test_what_a_gone_host_leaves_behind_goes_once_its_data_is_elsewhere() -> None:
    assert leaving.next_act(CUT_OFF, GONE, PROBE) == leaving.RemoveSds("s1", "sds_1")
    degraded = attrs.evolve(CUT_OFF, pools=(attrs.evolve(POOL, degraded_kb=1),))
    assert isinstance(leaving.next_act(degraded, GONE, PROBE), Wait)
    without = attrs.evolve(CUT_OFF, sds=CUT_OFF.sds[1:], devices=CUT_OFF.devices[1:])
    assert leaving.next_act(without, GONE, PROBE) == leaving.RemoveSdc("c1", "ABC")


def test_hosts_that_were_lost_together_do_not_wait_for_each_other() -> None:
    lost = tuple(attrs.evolve(s, good=False, disconnected=True) for s in USED.sds[:2])
    fifth = attrs.evolve(USED.sds[2], id="s5", name="sds_5", addresses=("10.0.0.5",))
    device = attrs.evolve(USED.devices[2], id="v5", sds_id="s5")
    both = attrs.evolve(CUT_OFF, sds=(*lost, *USED.sds[2:], fifth), devices=(*USED.devices, device))
    assert leaving.next_act(both, GONE, PROBE) == leaving.RemoveSds("s1", "sds_1")
    assert isinstance(leaving.next_act(both, SPEC, PROBE), Wait)
    two = attrs.evolve(both, sds=both.sds[:4], devices=USED.devices)
    told = leaving.next_act(two, GONE, PROBE)
    assert isinstance(told, Wait)
    assert "it would have 2" in told.sentence


def test_an_sds_that_has_taken_the_address_of_a_gone_host_is_left_alone() -> None:
    ours = attrs.evolve(GONE, sds_id="s77", sdc_guid="")
    assert leaving.next_act(CUT_OFF, ours, PROBE) == leaving.Gone()
    unknown = leaving.next_act(CUT_OFF, attrs.evolve(GONE, sds_id=""), PROBE)
    assert isinstance(unknown, Wait)
    assert "remove it by hand" in unknown.sentence
