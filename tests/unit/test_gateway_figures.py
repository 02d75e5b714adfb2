"""Statistics of the simulated Gateway over HTTP: public captures, traffic, and what adds up."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.gateway import APIS, Api, DeviceSize
from simulation.gateway_capacity import KB_PER_GB
from tests.unit.gateway_client import Client, ids, make

FIGURES = (
    "capacityLimitInKb",
    "maxCapacityInKb",
    "thickCapacityInUseInKb",
    "thinCapacityInUseInKb",
    "snapCapacityInUseInKb",
    "snapCapacityInUseOccupiedInKb",
    "spareCapacityInKb",
    "capacityInUseInKb",
    "unusedCapacityInKb",
    "capacityAvailableForVolumeAllocationInKb",
    "protectedCapacityInKb",
    "atRestCapacityInKb",
)
# limit, thick, thin, snap in use, snap occupied, spare, in use, unused, available
FIRST = (311424000, 0, 49360896, 16699392, 749568, 31141888, 50110464, 230171648, 100663296)
SECOND = (332395520, 0, 0, 3145728, 0, 33239040, 0, 299156480, 142606336)
THIRD = (311424000, 16777216, 30720, 18843648, 0, 31141888, 16807936, 263474176, 117440512)


def expected(vector: tuple[int, ...]) -> dict[str, int]:
    limit, thick, thin, snap, occupied, spare, in_use, unused, available = vector
    values = (limit, limit, thick, thin, snap, occupied, spare, in_use, unused, available)
    return dict(zip(FIGURES, (*values, in_use, in_use), strict=True))


def capture(client: Client, name: str, path: str, vector: tuple[int, ...]) -> str:
    """A pool of that capture: three disks, whose usable capacity is that of the capture."""
    limit_kb, thick_kb, thin_kb, snap_kb, occupied_kb = vector[:5]
    domain = ids(client, "ProtectionDomain")[0]
    body: dict[str, object] = {"protectionDomainId": domain, "name": name, "mediaType": "HDD"}
    pool: str = client.post("/api/types/StoragePool/instances", body)["id"]
    left_kb = limit_kb
    for left, sds in zip((3, 2, 1), ids(client, "Sds"), strict=True):
        usable_kb = left_kb // left
        left_kb -= usable_kb
        size = DeviceSize(max(usable_kb, 100 * KB_PER_GB), usable_kb=usable_kb)
        client.simulated.on_device_added = lambda _ip, _path, size=size: size  # type: ignore[misc]
        body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": path}
        client.post("/api/types/Device/instances", body)
    if thick_kb:
        body = {"storagePoolId": pool, "volumeSizeInKb": str(thick_kb // 2), "name": name}
        body |= {"volumeType": "ThickProvisioned"}
        client.post("/api/types/Volume/instances", body)
    client.simulated.fill(name, thin_kb)
    client.simulated.set_snapshot_use(name, in_use_kb=snap_kb, occupied_kb=occupied_kb)
    return pool


def without_seeded_devices(client: Client) -> Client:
    for device in ids(client, "Device"):
        client.post(f"/api/instances/Device::{device}/action/removeDevice", {})
    return client


def selected(client: Client, kind: str, names: tuple[str, ...] = FIGURES) -> Any:
    path = f"/api/types/{kind}/instances/action/querySelectedStatistics"
    return client.post(path, {"allIds": "", "properties": list(names)})


def everything(client: Client, kind: str, object_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(
        f"/api/instances/{kind}::{object_id}/relationships/Statistics"
    )
    return found


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("vector", [FIRST, SECOND, THIRD])
def test_public_captures_come_out_of_the_api_at_every_level(
    api: Api, vector: tuple[int, ...]
) -> None:
    client = without_seeded_devices(make(api))
    pool = capture(client, "captured", "/dev/sdc", vector)
    domain = ids(client, "ProtectionDomain")[0]
    assert selected(client, "StoragePool")[pool] == expected(vector)
    assert selected(client, "ProtectionDomain")[domain] == expected(vector)
    assert selected(client, "System") == expected(vector)


def test_the_two_pools_of_one_capture_make_its_system_figure() -> None:
    client = without_seeded_devices(make("2.5"))
    capture(client, "one", "/dev/sdc", FIRST)
    capture(client, "two", "/dev/sdd", SECOND)
    assert selected(client, "System")["capacityAvailableForVolumeAllocationInKb"] == 243269632


@pytest.mark.parametrize("api", APIS)
def test_every_number_of_the_system_is_the_sum_of_its_pools(api: Api) -> None:
    client = make(api)
    client.simulated.set_traffic("10.0.1.1", read_kbps=7, write_kbps=5, read_iops=3, write_iops=1)
    pools = [capture(client, "one", "/dev/sdc", FIRST), capture(client, "two", "/dev/sdd", THIRD)]
    pools.append(next(i for i in ids(client, "StoragePool") if i not in pools))
    client.simulated.set_sds_connected("10.0.1.2", connected=False)
    system = everything(client, "System", client.simulated.system_id)
    parts = [everything(client, "StoragePool", pool) for pool in pools]
    domain = everything(client, "ProtectionDomain", ids(client, "ProtectionDomain")[0])
    for name, value in parts[0].items():
        if isinstance(value, int):
            total: object = sum(part[name] for part in parts)
        elif isinstance(value, list):
            total = [
                item
                for pool in ids(client, "StoragePool")
                for item in parts[pools.index(pool)][name]
            ]
        else:
            total = {k: sum(p[name][k] for p in parts) for k in ("totalWeightInKb", "numOccured")}
            system[name].pop("numSeconds")
            domain[name].pop("numSeconds")
        assert system[name] == domain[name] == total, name


@pytest.mark.parametrize(
    ("api", "there", "gone"),
    [
        ("2.0", {"numOfScsiInitiators", "thinCapacityAllocatedInKm"}, {"netUnusedCapacityInKb"}),
        ("3.6", {"netUnusedCapacityInKb", "snapshotCapacityInKb"}, {"numOfScsiInitiators"}),
    ],
)
def test_properties_come_and_go_with_the_release(api: Api, there: set[str], gone: set[str]) -> None:
    client = make(api)
    found = set(everything(client, "System", client.simulated.system_id))
    assert there <= found
    assert not gone & found


def test_a_pool_without_devices_has_the_same_properties_as_any_other() -> None:
    client = make("3.6")
    full = set(everything(client, "System", client.simulated.system_id))
    without_seeded_devices(client)
    pool = ids(client, "StoragePool")[0]
    client.post(f"/api/instances/StoragePool::{pool}/action/removeStoragePool", {})
    assert set(everything(client, "System", client.simulated.system_id)) == full


# --- what the world sets


def test_traffic_shows_at_the_sds_and_summed_above_it() -> None:
    client = make()
    client.simulated.set_traffic("10.0.1.1", read_kbps=100, write_kbps=31, read_iops=25)
    client.simulated.set_traffic("10.0.1.2", read_kbps=20, write_kbps=0)
    names = ("totalReadBwc", "primaryReadBwc", "totalWriteBwc", "primaryWriteBwc",
             "secondaryWriteBwc")  # fmt: skip
    first = selected(client, "Sds", names)[ids(client, "Sds")[0]]
    assert first["totalReadBwc"] == {"numSeconds": 5, "totalWeightInKb": 500, "numOccured": 125}
    assert first["primaryReadBwc"] == first["totalReadBwc"]
    assert first["primaryWriteBwc"]["totalWeightInKb"] == 80
    assert first["secondaryWriteBwc"]["totalWeightInKb"] == 75
    pool = selected(client, "StoragePool", names)[ids(client, "StoragePool")[0]]
    assert pool["totalReadBwc"] == {"numSeconds": 5, "totalWeightInKb": 600, "numOccured": 125}
    assert selected(client, "System", names) == pool
    client.simulated.set_traffic("10.0.1.1", read_kbps=0, write_kbps=0)
    client.simulated.set_traffic("10.0.1.2", read_kbps=0, write_kbps=0)
    idle = {"numSeconds": 0, "totalWeightInKb": 0, "numOccured": 0}
    assert set(map(str, selected(client, "System", names).values())) == {str(idle)}


def test_latency_and_put_right_errors_show_at_the_devices_meant() -> None:
    client = make()
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": "/dev/sdc"}
    second = client.post("/api/types/Device/instances", body)["id"]
    first = ids(client, "Device")[0]
    names = ("avgReadLatencyInMicrosec", "avgWriteLatencyInMicrosec", "fixedReadErrorCount")
    client.simulated.set_latency("10.0.1.1", "", read_us=900, write_us=1200)
    client.simulated.set_latency("10.0.1.1", "/dev/sdc", read_us=50_000, write_us=60_000)
    client.simulated.set_fixed_read_errors("10.0.1.1", "/dev/sdc", 17)
    found = selected(client, "Device", names)
    assert found[first] == dict(zip(names, (900, 1200, 0), strict=True))
    assert found[second] == dict(zip(names, (50_000, 60_000, 17), strict=True))


def test_a_foreign_alert_stands_until_it_is_cleared() -> None:
    client = make()
    client.simulated.raise_alert("LICENSE_ABOUT_TO_EXPIRE", severity="ALERT_LOW")
    client.simulated.raise_alert("REBALANCE_STUCK", object_type="StoragePool", object_id="1")
    client.simulated.raise_alert("REBALANCE_STUCK", object_type="StoragePool", object_id="2")
    found = {a["alertType"]: a for a in client.get("/api/types/Alert/instances")}
    licence = found["LICENSE_ABOUT_TO_EXPIRE"]
    assert licence["severity"] == "ALERT_LOW"
    assert licence["affectedObject"] == {
        "type": "com.emc.ecs.api.model.gen.System",
        "id": client.simulated.system_id,
        "objectId": client.simulated.system_id,
    }
    client.simulated.clear_alert("REBALANCE_STUCK", object_id="1")
    client.simulated.clear_alert("LICENSE_ABOUT_TO_EXPIRE")
    left = [a["affectedObject"]["id"] for a in client.get("/api/types/Alert/instances")]
    assert left == ["2"]


def test_the_date_header_follows_the_clock_and_its_skew() -> None:
    client = make()
    client.now[0] = 60.0
    assert client.headers("/api/version")["Date"] == "Sun, 22 Nov 2026 08:01:00 GMT"
    client.simulated.set_clock_skew(-3600.0)
    assert client.headers("/api/version")["Date"] == "Sun, 22 Nov 2026 07:01:00 GMT"
