"""Commands of the simulated Gateway that clients know and our own rarely uses."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.gateway_capacity import KB_PER_GB
from simulation.gateway_limits import LIMITS
from tests.unit.gateway_client import Client, ids, make, new_volume


def act(client: Client, kind: str, object_id: str, verb: str, **body: object) -> tuple[int, int]:
    """Status and error code; 0 for what is done."""
    status, value = client.ask("POST", f"/api/instances/{kind}::{object_id}/action/{verb}", body)
    return status, value["errorCode"] if status != 200 and isinstance(value, dict) else 0


def view(client: Client, kind: str, object_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/api/instances/{kind}::{object_id}")
    return found


def statistics(client: Client, kind: str, object_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(
        f"/api/instances/{kind}::{object_id}/relationships/Statistics"
    )
    return found


def alerts(client: Client) -> set[str]:
    return {alert["alertType"] for alert in client.get("/api/types/Alert/instances")}


# --- snapshots


def snapshots(client: Client, *volumes: str) -> dict[str, Any]:
    body = {"snapshotDefs": [{"volumeId": v, "snapshotName": f"s-{v[-2:]}"} for v in volumes]}
    found: dict[str, Any] = client.post("/api/instances/System/action/snapshotVolumes", body)
    return found


def test_a_snapshot_is_a_volume_in_the_tree_of_what_it_was_taken_of() -> None:
    client = make()
    volume = new_volume(client)
    made = snapshots(client, volume)
    [snapshot] = made["volumeIdList"]
    shown, base = view(client, "Volume", snapshot), view(client, "Volume", volume)
    assert (shown["volumeType"], base["volumeType"]) == ("Snapshot", "ThinProvisioned")
    assert shown["ancestorVolumeId"] == volume
    assert shown["consistencyGroupId"] == made["snapshotGroupId"]
    assert shown["vtreeId"] == base["vtreeId"]
    tree = client.get(f"/api/instances/VTree::{base['vtreeId']}/relationships/Volume")
    assert [v["id"] for v in tree] == [volume, snapshot]
    pool = statistics(client, "StoragePool", base["storagePoolId"])
    counts = ("numOfVolumes", "numOfVtrees", "numOfSnapshots", "numOfThinBaseVolumes")
    assert [pool[name] for name in counts] == [2, 1, 1, 1]


def test_a_group_of_snapshots_goes_as_one_unless_one_is_mapped() -> None:
    client = make()
    made = snapshots(client, new_volume(client, "a"), new_volume(client, "b"))
    body = {"snapGroupId": made["snapshotGroupId"]}
    at = "/api/instances/System/action/removeConsistencyGroupSnapshots"
    first = made["volumeIdList"][0]
    sdc = ids(client, "Sdc")[0]
    assert act(client, "Volume", first, "addMappedSdc", sdcId=sdc) == (200, 0)
    assert client.code(at, body) == (500, 104)
    assert act(client, "Volume", first, "removeMappedSdc", sdcId=sdc) == (200, 0)
    assert client.post(at, body) == {"numberOfVolumes": 2}
    assert len(ids(client, "Volume")) == 2
    assert client.code(at, body) == (500, 3)


def test_snapshots_are_all_taken_or_none() -> None:
    client = make()
    volume = new_volume(client)
    body = {"snapshotDefs": [{"volumeId": volume}, {"volumeId": "none"}]}
    at = "/api/instances/System/action/snapshotVolumes"
    assert client.code(at, body) == (500, 79)
    body = {"snapshotDefs": [{"volumeId": volume, "snapshotName": "v"}]}
    assert client.code(at, body) == (500, 99)
    assert client.code(at, {"snapshotDefs": []}) == (400, 0)
    assert ids(client, "Volume") == [volume]


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        ("ONLY_ME", ["v", "second"]),
        ("INCLUDING_DESCENDANTS", ["v"]),
        ("DESCENDANTS_ONLY", ["v", "first"]),
        ("WHOLE_VTREE", []),
    ],
)
def test_a_removal_takes_as_much_of_the_tree_as_it_says(mode: str, left: list[str]) -> None:
    client = make()
    of = new_volume(client)
    for name in ("first", "second"):
        body = {"snapshotDefs": [{"volumeId": of, "snapshotName": name}]}
        at = "/api/instances/System/action/snapshotVolumes"
        of = client.post(at, body)["volumeIdList"][0]
    first = ids(client, "Volume")[1]
    assert act(client, "Volume", first, "removeVolume", removeMode="ALL") == (400, 0)
    assert act(client, "Volume", first, "removeVolume", removeMode=mode) == (200, 0)
    shown = client.get("/api/types/Volume/instances")
    assert [v["name"] for v in shown] == left
    if mode == "ONLY_ME":
        assert shown[1]["ancestorVolumeId"] == shown[0]["id"]


# --- pools


def test_thresholds_decide_when_a_pool_is_called_full() -> None:
    client = make()
    pool = ids(client, "StoragePool")[0]
    high, critical = (f"capacityAlert{w}ThresholdPercent" for w in ("High", "Critical"))
    client.simulated.fill("default", 3 * 200 * KB_PER_GB * 45 // 100)  # half of what is not spare
    assert alerts(client) == set()
    assert act(
        client, "StoragePool", pool, "setCapacityAlertThresholds", **{high: "40", critical: 60}
    ) == (200, 0)
    assert alerts(client) == {"CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD"}
    act(client, "StoragePool", pool, "setCapacityAlertThresholds", **{critical: 45})
    assert alerts(client) == {"CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD"}
    shown = view(client, "StoragePool", pool)
    assert shown["capacityAlertHighThreshold"] == 40
    assert shown["capacityAlertCriticalThreshold"] == 45


@pytest.mark.parametrize(
    ("high", "critical", "named"),
    [(80, 80, "High"), (-1, 80, "High"), (80, 101, "Critical"), ("x", 80, "High")],
)
def test_a_threshold_that_cannot_be_is_a_400_that_names_it(
    high: object, critical: object, named: str
) -> None:
    client = make()
    pool = ids(client, "StoragePool")[0]
    status, said = client.ask(
        "POST",
        f"/api/instances/StoragePool::{pool}/action/setCapacityAlertThresholds",
        {
            "capacityAlertHighThresholdPercent": high,
            "capacityAlertCriticalThresholdPercent": critical,
        },
    )
    assert (status, said["errorCode"]) == (400, 0)
    assert f"capacityAlert{named}ThresholdPercent" in said["message"]
    assert view(client, "StoragePool", pool)["capacityAlertHighThreshold"] == 80


@pytest.mark.parametrize(
    ("verb", "key", "value", "shown"),
    [
        ("setMediaType", "mediaType", "SSD", ("mediaType", "SSD")),
        ("setZeroPaddingPolicy", "zeroPadEnabled", "TRUE", ("zeroPaddingEnabled", True)),
        ("setRebuildEnabled", "rebuildEnabled", "False", ("rebuildEnabled", False)),
        ("setRebalanceEnabled", "rebalanceEnabled", False, ("rebalanceEnabled", False)),
        ("setChecksumEnabled", "checksumEnabled", "true", ("checksumEnabled", True)),
    ],
)
def test_what_a_pool_is_told_shows(
    verb: str, key: str, value: object, shown: tuple[str, object]
) -> None:
    client = make("3.6")
    pool = ids(client, "StoragePool")[0]
    assert act(client, "StoragePool", pool, verb, **{key: value}) == (200, 0)
    assert view(client, "StoragePool", pool)[shown[0]] == shown[1]
    assert act(client, "StoragePool", pool, verb) == (400, 0)
    assert act(client, "StoragePool", pool, verb, **{key: "perhaps"}) == (400, 0)


def test_a_pool_that_may_not_rebuild_stays_degraded() -> None:
    client = make(absorb_s=10.0)
    pool = ids(client, "StoragePool")[0]
    act(client, "StoragePool", pool, "setRebuildEnabled", rebuildEnabled=False)
    client.simulated.set_sds_connected("10.0.1.1", connected=False)
    client.now[0] = 100.0
    found = statistics(client, "StoragePool", pool)
    assert found["degradedFailedCapacityInKb"] > 0
    assert found["pendingFwdRebuildCapacityInKb"] == 0


def test_a_pool_that_may_not_rebalance_is_called_unbalanced_until_it_may() -> None:
    client = make(rebalance_s=60.0)
    client.now[0] = 60.0  # what building the pool moved has been moved
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    act(client, "StoragePool", pool, "setRebalanceEnabled", rebalanceEnabled=False)
    body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": "/dev/sdc"}
    client.post("/api/types/Device/instances", body)
    assert alerts(client) == {"STORAGE_POOL_UNBALANCED"}
    assert statistics(client, "StoragePool", pool)["movingCapacityInKb"] == 0
    act(client, "StoragePool", pool, "setRebalanceEnabled", rebalanceEnabled=True)
    assert statistics(client, "StoragePool", pool)["movingCapacityInKb"] > 0
    assert alerts(client) == set()


# --- SDSs and devices


def test_an_sds_may_have_several_addresses_with_roles() -> None:
    client = make()
    domain = ids(client, "ProtectionDomain")[0]
    listed = [{"ip": "10.0.4.1", "role": "sdsOnly"}, {"ip": "10.1.4.1", "role": "sdcOnly"}]
    body: dict[str, object] = {"protectionDomainId": domain, "sdsIpList": listed}
    sds = client.post("/api/types/Sds/instances", body)["id"]
    assert view(client, "Sds", sds)["ipList"] == listed
    assert act(client, "Sds", sds, "addSdsIp", ip="10.0.1.1", role="all") == (500, 93)
    assert act(client, "Sds", sds, "addSdsIp", ip="10.2.4.1", role="all") == (200, 0)
    assert act(client, "Sds", sds, "removeSdsIp", ip="10.9.9.9") == (400, 0)
    assert act(client, "Sds", sds, "removeSdsIp", ip="10.0.4.1") == (200, 0)
    assert act(client, "Sds", sds, "removeSdsIp", ip="10.2.4.1") == (400, 0)  # none for SDSs left
    role = {"sdsIpToSet": "10.1.4.1", "newRole": "sdsOnly"}
    assert act(client, "Sds", sds, "setSdsIpRole", **role) == (200, 0)
    assert view(client, "Sds", sds)["ipList"] == [
        {"ip": "10.1.4.1", "role": "sdsOnly"},
        {"ip": "10.2.4.1", "role": "all"},
    ]
    body = {"protectionDomainId": domain, "sdsIpList": [{"ip": "10.2.4.1", "role": "all"}]}
    assert client.code("/api/types/Sds/instances", body) == (500, 75)
    body = {"protectionDomainId": domain, "sdsIpList": [{"ip": "10.0.4.1"}], "name": "other"}
    assert set(client.post("/api/types/Sds/instances", body)) == {"id"}


@pytest.mark.parametrize("roles", [("sdsOnly", "sdsOnly"), ("sdcOnly",), ("all", "boss")])
def test_addresses_that_could_not_serve_all_are_refused(roles: tuple[str, ...]) -> None:
    client = make()
    listed = [{"ip": f"10.0.4.{n}", "role": role} for n, role in enumerate(roles, 1)]
    body = {"protectionDomainId": ids(client, "ProtectionDomain")[0], "sdsIpList": listed}
    assert client.code("/api/types/Sds/instances", body) == (400, 0)


@pytest.mark.parametrize(
    ("verb", "body", "shown"),
    [
        ("setSdsPort", {"sdsPort": "7073"}, {"port": 7073}),
        ("setDrlMode", {"drlMode": "NonVolatile"}, {"drlMode": "NonVolatile"}),
        ("setSdsRmcacheEnabled", {"rmcacheEnabled": "False"}, {"rmcacheEnabled": False}),
        ("setSdsRmcacheSize", {"rmcacheSizeInMB": "256"}, {"rmcacheSizeInKb": 262144}),
        ("setSdsPerformanceParameters", {"perfProfile": "Compact"}, {"perfProfile": "Compact"}),
    ],
)
def test_what_an_sds_is_told_shows(
    verb: str, body: dict[str, object], shown: dict[str, object]
) -> None:
    client = make()
    sds = ids(client, "Sds")[0]
    assert act(client, "Sds", sds, verb, **body) == (200, 0)
    found = view(client, "Sds", sds)
    assert {name: found[name] for name in shown} == shown


def test_a_test_mode_that_nobody_knows_is_refused() -> None:
    client = make()
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    body: dict[str, object] = {"sdsId": sds, "storagePoolId": pool}
    body |= {"deviceCurrentPathname": "/dev/sdc", "testMode": "hope"}
    assert client.code("/api/types/Device/instances", body) == (400, 0)
    body["testMode"] = "testAndActivate"
    assert set(client.post("/api/types/Device/instances", body)) == {"id"}


def test_a_device_may_give_less_than_it_has() -> None:
    client = make()
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    body: dict[str, object] = {"sdsId": sds, "storagePoolId": pool}
    body |= {"deviceCurrentPathname": "/dev/sdc", "capacityLimitInKb": str(120 * KB_PER_GB)}
    device = client.post("/api/types/Device/instances", body)["id"]
    shown = view(client, "Device", device)
    assert shown["capacityLimitInKb"] == 120 * KB_PER_GB
    assert shown["maxCapacityInKb"] == 200 * KB_PER_GB
    found = statistics(client, "StoragePool", pool)
    assert found["capacityLimitInKb"] == 720 * KB_PER_GB


def test_a_removed_device_is_listed_until_its_data_has_moved() -> None:
    client = make(evacuate_s=60.0)
    client.simulated.fill("default", 40 * KB_PER_GB)
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": "/dev/sdc"}
    device = client.post("/api/types/Device/instances", body)["id"]
    assert act(client, "Device", device, "removeDevice") == (200, 0)
    assert view(client, "Device", device)["deviceState"] != "Normal"
    assert act(client, "Device", device, "removeDevice") == (500, 135)
    moving = statistics(client, "StoragePool", pool)["movingCapacityInKb"]
    assert moving == 10 * KB_PER_GB
    client.now[0] = 30.0
    assert statistics(client, "StoragePool", pool)["movingCapacityInKb"] == moving // 2
    client.now[0] = 60.0
    assert device not in ids(client, "Device")
    assert statistics(client, "StoragePool", pool)["movingCapacityInKb"] == 0


# --- maintenance; the verbs are not public, so the test names its own


REST = ("beginRest", "endRest")


def test_without_known_verbs_there_is_no_maintenance() -> None:
    client = make()
    assert act(client, "Sds", ids(client, "Sds")[0], "enterMaintenanceMode")[0] == 404


def test_an_sds_in_maintenance_degrades_nothing_while_it_is_away() -> None:
    client = make(maintenance_verbs=REST, absorb_s=10.0)
    client.simulated.fill("default", 30 * KB_PER_GB)
    first, second = ids(client, "Sds")[:2]
    pool = ids(client, "StoragePool")[0]
    assert act(client, "Sds", first, "endRest") == (500, 105)
    assert act(client, "Sds", first, "beginRest") == (200, 0)
    assert view(client, "Sds", first)["maintenanceState"] == "InMaintenance"
    assert act(client, "Sds", second, "beginRest") == (500, 105)
    client.simulated.set_sds_connected("10.0.1.1", connected=False)
    client.now[0] = 100.0
    found = statistics(client, "StoragePool", pool)
    assert found["inMaintenanceCapacityInKb"] == 10 * KB_PER_GB
    assert found["degradedFailedCapacityInKb"] == 0
    assert act(client, "Sds", first, "endRest") == (500, 105)
    client.simulated.set_sds_connected("10.0.1.1", connected=True)
    assert act(client, "Sds", first, "endRest") == (200, 0)
    found = statistics(client, "StoragePool", pool)
    assert found["protectedCapacityInKb"] == found["capacityInUseInKb"]
    assert view(client, "Sds", first)["maintenanceState"] == "NoMaintenance"


def test_maintenance_is_refused_while_another_sds_is_away() -> None:
    client = make(maintenance_verbs=REST)
    client.simulated.set_sds_connected("10.0.1.2", connected=False)
    assert act(client, "Sds", ids(client, "Sds")[0], "beginRest") == (500, 105)


# --- limits


def test_limits_are_refused_only_where_they_are_on() -> None:
    client = make()
    sds, pool = ids(client, "Sds")[0], ids(client, "StoragePool")[0]
    body: dict[str, object] = {"sdsId": sds, "storagePoolId": pool}
    made = client.simulated.limits
    assert made is False
    for number in range(64):
        body["deviceCurrentPathname"] = f"/dev/disk{number}"
        client.post("/api/types/Device/instances", body)
    client.simulated.limits = True
    body["deviceCurrentPathname"] = "/dev/disk64"
    assert client.code("/api/types/Device/instances", body) == (500, 67)


def test_a_tree_holds_31_snapshots() -> None:
    client = make(limits=True)
    volume = new_volume(client)
    at = "/api/instances/System/action/snapshotVolumes"
    body = {"snapshotDefs": [{"volumeId": volume}]}
    for _ in range(31):
        client.post(at, body)
    assert client.code(at, body) == (500, 182)


@pytest.mark.parametrize(
    ("limit", "kind", "code"),
    [
        ("maxVolumes", "Volume", 96),
        ("maxDomains", "ProtectionDomain", 67),
        ("maxPoolsInDomain", "StoragePool", 67),
        ("maxSdsInDomain", "Sds", 67),
        ("maxFaultSetsInDomain", "FaultSet", 67),
        ("maxDevicesInPool", "Device", 67),
        ("maxCapacityInSdsInGb", "Device", 67),
    ],
)
def test_what_is_beyond_a_limit_is_refused(
    limit: str, kind: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(limits=True)
    domain, pool = ids(client, "ProtectionDomain")[0], ids(client, "StoragePool")[0]
    body: dict[str, object] = {"protectionDomainId": domain, "storagePoolId": pool, "name": "new"}
    body |= {"sdsId": ids(client, "Sds")[0], "deviceCurrentPathname": "/dev/sdz"}
    body |= {"sdsIpList": [{"ip": "10.0.7.1"}], "volumeSizeInGb": 8}
    there = dict.fromkeys(("Volume", "FaultSet"), 0)
    monkeypatch.setitem(LIMITS, limit, there.get(kind, 1))
    assert client.code(f"/api/types/{kind}/instances", body) == (500, code)
    client.simulated.limits = False
    assert set(client.post(f"/api/types/{kind}/instances", body)) == {"id"}


def test_the_limits_can_be_asked_for() -> None:
    client = make(limits=True)
    at = "/api/instances/System/action/querySystemLimits"
    assert client.post(at, {})["systemLimitEntryList"]
