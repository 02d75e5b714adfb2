"""Rebuilds and moves of the simulated cluster: they take their time, and always add up."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.gateway_capacity import KB_PER_GB
from tests.unit.gateway_client import Client, ids, make

LOST = ("10.0.1.1", "10.0.1.2", "10.0.1.3")


def pool_figures(client: Client) -> dict[str, Any]:
    pool = ids(client, "StoragePool")[0]
    found: dict[str, Any] = client.get(
        f"/api/instances/StoragePool::{pool}/relationships/Statistics"
    )
    return found


def filled(**times: Any) -> Client:
    client = make(**times)
    client.simulated.fill("default", 30 * KB_PER_GB)
    return client


def degraded_at(client: Client, *times: float) -> list[int]:
    found = []
    for now in times:
        client.now[0] = now
        found.append(pool_figures_now(client)["degradedFailedCapacityInKb"])
    return found


def pool_figures_now(client: Client) -> dict[str, Any]:
    """Tokens end with time, so every look is a new session."""
    client.log_in()
    return pool_figures(client)


def test_a_lost_sds_is_rebuilt_on_the_others_steadily() -> None:
    client = filled(absorb_s=1000.0)
    client.simulated.set_sds_connected(LOST[0], connected=False)
    at_first = pool_figures_now(client)
    assert at_first["degradedFailedCapacityInKb"] == 10 * KB_PER_GB
    waiting = at_first["pendingFwdRebuildCapacityInKb"] + at_first["activeFwdRebuildCapacityInKb"]
    assert waiting == 10 * KB_PER_GB
    moved = at_first["fwdRebuildWriteBwc"]
    assert moved["totalWeightInKb"] // moved["numSeconds"] == 10 * KB_PER_GB // 1000
    assert degraded_at(client, 250.0, 500.0, 750.0, 1000.0) == [
        7_864_320, 5_242_880, 2_621_440, 0
    ]  # fmt: skip
    after = pool_figures_now(client)
    assert after["fwdRebuildWriteBwc"]["numOccured"] == after["movingCapacityInKb"] == 0
    assert after["protectedCapacityInKb"] == after["capacityInUseInKb"] == 30 * KB_PER_GB


def test_an_sds_that_comes_back_gets_only_what_is_not_rebuilt_yet() -> None:
    client = filled(absorb_s=1000.0, rebuild_s=100.0)
    client.simulated.set_sds_connected(LOST[0], connected=False)
    assert degraded_at(client, 500.0) == [5 * KB_PER_GB]
    client.simulated.set_sds_connected(LOST[0], connected=True)
    found = pool_figures_now(client)
    assert found["pendingFwdRebuildCapacityInKb"] == 0
    assert found["bckRebuildReadBwc"]["totalWeightInKb"] > 0
    assert found["pendingBckRebuildCapacityInKb"] > 0
    assert degraded_at(client, 550.0, 600.0) == [2_621_440, 0]


def test_without_room_on_the_others_nothing_is_rebuilt() -> None:
    client = filled(absorb_s=10.0)
    client.simulated.fill("default", 500 * KB_PER_GB)
    client.simulated.set_sds_connected(LOST[0], connected=False)
    whole = degraded_at(client, 1.0, 100.0, 1000.0)
    assert len(set(whole)) == 1
    client.simulated.fill("default", 30 * KB_PER_GB)
    assert degraded_at(client, 1001.0) == [0]


def test_a_new_device_takes_its_share_over_the_time_that_rebalancing_lasts() -> None:
    client = filled(rebalance_s=100.0)
    client.now[0] = 100.0  # what building the pool moved has been moved
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": "/dev/sdz"}
    client.post("/api/types/Device/instances", body)
    moving = []
    for now in (100.0, 150.0, 200.0):
        client.now[0] = now
        found = pool_figures_now(client)
        assert found["protectedCapacityInKb"] == 30 * KB_PER_GB
        assert found["atRestCapacityInKb"] == 30 * KB_PER_GB - found["movingCapacityInKb"]
        moving.append(found["movingCapacityInKb"])
    assert moving == [30 * KB_PER_GB // 4, 30 * KB_PER_GB // 8, 0]


EVENTS = st.one_of(
    st.tuples(st.just("away"), st.sampled_from(LOST)),
    st.tuples(st.just("back"), st.sampled_from(LOST)),
    st.tuples(st.just("wait"), st.floats(0.0, 80.0)),
    st.tuples(st.just("fill"), st.integers(0, 400 * KB_PER_GB)),
    st.tuples(st.just("add"), st.sampled_from(LOST)),
    st.tuples(st.just("remove"), st.sampled_from(LOST)),
    st.tuples(st.just("volume"), st.booleans()),
    st.tuples(st.sampled_from(["rest", "wake", "shrink", "snapshot"]), st.sampled_from(LOST)),
)


def befalls(client: Client, what: str, detail: Any, number: int) -> None:
    gateway = client.simulated
    match what:
        case "away" | "back":
            gateway.set_sds_connected(detail, connected=what == "back")
        case "wait":
            client.now[0] += detail
        case "fill":
            gateway.fill("default", detail)
        case "volume":
            kind = "ThickProvisioned" if detail else "ThinProvisioned"
            pool = ids(client, "StoragePool")[0]
            body: dict[str, object] = {"storagePoolId": pool, "volumeSizeInGb": 8}
            client.ask("POST", "/api/types/Volume/instances", body | {"volumeType": kind})
        case "snapshot":
            body = {"snapshotDefs": [{"volumeId": v} for v in ids(client, "Volume")[:1]]}
            client.ask("POST", "/api/instances/System/action/snapshotVolumes", body)
            gateway.set_snapshot_use("default", in_use_kb=9 * KB_PER_GB, occupied_kb=KB_PER_GB)
        case "shrink":
            for device in ids(client, "Device")[-1:]:
                client.ask("POST", f"/api/instances/Device::{device}/action/removeDevice", {})
        case _:
            sds = gateway.state.sds_at(detail)
            if sds is not None and what in {"remove", "rest", "wake"}:
                verb = {"remove": "removeSds"}.get(what, what)
                client.ask("POST", f"/api/instances/Sds::{sds.id}/action/{verb}", {})
            elif sds is not None:
                pool = ids(client, "StoragePool")[0]
                body = {"sdsId": sds.id, "storagePoolId": pool}
                body["deviceCurrentPathname"] = f"/dev/sd{number}"
                client.ask("POST", "/api/types/Device/instances", body)


def assert_it_adds_up(found: dict[str, Any]) -> None:
    numbers = {name: value for name, value in found.items() if isinstance(value, int)}
    assert min(numbers.values()) >= 0, numbers
    for what, whole in (
        ("CapacityInKb", found["capacityInUseInKb"]),
        ("VacInKb", found["inUseVacInKb"]),
    ):
        kinds = ("protected", "degradedHealthy", "degradedFailed", "failed", "inMaintenance")
        assert sum(found[kind + what] for kind in kinds) == whole, found
    assert found["capacityInUseInKb"] == (
        found["thickCapacityInUseInKb"]
        + found["thinCapacityInUseInKb"]
        + found["snapCapacityInUseOccupiedInKb"]
    )
    for bwc in (value for name, value in found.items() if name.endswith("Bwc")):
        assert min(bwc.values()) >= 0
    waiting = sum(
        found[f"{state}{job}CapacityInKb"]
        for state in ("pending", "active")
        for job in ("FwdRebuild", "BckRebuild", "Rebalance")
    )
    assert waiting == found["movingCapacityInKb"]


@settings(max_examples=60, deadline=None)
@given(events=st.lists(EVENTS, max_size=14))
def test_health_adds_up_at_every_moment_and_at_rest_all_is_protected(
    events: list[tuple[str, Any]],
) -> None:
    client = make(rebuild_s=60.0, absorb_s=50.0, rebalance_s=40.0, evacuate_s=30.0)
    client.simulated.maintenance_verbs = ("rest", "wake")
    for number, (what, detail) in enumerate(events):
        client.log_in()
        befalls(client, what, detail, number)
        client.simulated.settle()
        assert_it_adds_up(pool_figures_now(client))
    for ip in LOST:
        client.simulated.set_sds_connected(ip, connected=True)
        client.log_in()
        befalls(client, "wake", ip, 0)
    client.now[0] += 200.0
    found = pool_figures_now(client)
    assert_it_adds_up(found)
    assert found["protectedCapacityInKb"] == found["capacityInUseInKb"]
    assert found["atRestCapacityInKb"] == found["capacityInUseInKb"]
