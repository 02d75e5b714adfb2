"""The simulated Gateway's state knows what belongs to what, however objects come and go."""

from __future__ import annotations

import copy
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.gateway_model import ClusterState, Device, Sds, Volume
from tests.unit.gateway_client import basic, ids, make

KB = 200 * 1024**2


def state() -> ClusterState:
    return ClusterState(api=(2, 5), system_id="0", system_name="s")


def device(number: int, rng: random.Random) -> Device:
    return Device(
        id=f"{number:04}",
        name=None,
        sds_id=rng.choice("ab"),
        pool_id=rng.choice("xy"),
        path=f"/dev/sd{number}",
        capacity_kb=KB,
    )


@given(
    steps=st.lists(st.integers(min_value=-5, max_value=5), max_size=40),
    seed=st.integers(0, 2**16),
    reads=st.randoms(use_true_random=False),
)
def test_groups_are_what_a_search_through_everything_finds(
    steps: list[int], seed: int, reads: random.Random
) -> None:
    """A positive step adds a device; any other removes the one at that place, if there is one."""
    found, rng = state(), random.Random(seed)  # noqa: S311 - the same devices in each run
    for number, step in enumerate(steps):
        held = list(found.devices)
        if step > 0:
            found.devices[f"{number:04}"] = device(number, rng)
        elif -step < len(held):
            del found.devices[held[step]]
        if reads.random() < 0.5:
            continue  # several changes between two looks
        for pool in "xy":
            searched = [d for d in found.devices.values() if d.pool_id == pool]
            assert found.devices_of_pool(pool) == searched
            assert sum(found.members_of_pool(pool).values()) == KB * len(searched)
        for sds in "ab":
            assert found.devices_of_sds(sds) == [
                d for d in found.devices.values() if d.sds_id == sds
            ]


def test_a_copy_of_the_state_has_groups_of_its_own() -> None:
    found = state()
    found.sds["a"] = Sds(id="a", name="a", domain_id="d", ips=[("10.0.0.1", "all")])
    assert found.sds_at("10.0.0.1") is found.sds["a"]
    old = copy.deepcopy(found)
    del found.sds["a"]
    assert found.sds_at("10.0.0.1") is None
    assert old.sds_at("10.0.0.1") is old.sds["a"]


def test_an_address_that_an_sds_has_got_is_found_once_told() -> None:
    found = state()
    found.sds["a"] = Sds(id="a", name="a", domain_id="d", ips=[("10.0.0.1", "all")])
    assert found.sds_at("10.0.0.2") is None
    found.sds["a"].ips.append(("10.0.0.2", "sdcOnly"))
    found.forget_addresses()
    assert found.sds_at("10.0.0.2") is found.sds["a"]


def test_a_tree_holds_a_volume_and_its_snapshots() -> None:
    found = state()
    for name in ("1", "2"):
        found.volumes[name] = Volume(
            id=name, name=name, pool_id="x", vtree_id="t", size_kb=1, thick=False, created_at=0
        )
    assert list(found.vtrees) == ["t"]
    assert [v.id for v in found.volumes_of_vtree("t")] == ["1", "2"]


@pytest.mark.parametrize("kind", ["Sds", "Device"])
def test_reading_statistics_looks_at_each_pool_once(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pool holds is not added up anew for every device that is asked for."""
    client = make()
    looked: list[str] = []
    real = ClusterState.members_of_pool

    def watched(self: ClusterState, pool_id: str) -> dict[str, int]:
        looked.append(pool_id)
        return real(self, pool_id)

    def looks() -> int:
        looked.clear()
        asked = {"allIds": "", "properties": ["capacityInUseInKb"]}
        client.post(f"/api/types/{kind}/instances/action/querySelectedStatistics", asked)
        return len(looked)

    monkeypatch.setattr(ClusterState, "members_of_pool", watched)
    few = looks()
    pool = ids(client, "StoragePool")[0]
    for sds in ids(client, "Sds"):
        body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": "/dev/sdz"}
        client.post("/api/types/Device/instances", body)
    assert looks() == few > 0


def test_an_object_that_is_not_there_is_refused_by_its_types_code() -> None:
    client = make()
    asked = {"ids": ["none"], "properties": ["capacityInUseInKb"]}
    path = "/api/types/{}/instances/action/querySelectedStatistics"
    assert client.code(path.format("Device"), asked) == (500, 126)
    assert client.code(path.format("Sds"), asked) == (500, 78)
    assert client.ask("GET", "/api/instances", authorization=basic("", client.token))[0] == 200
