"""A client written by others, unchanged, against `simulate-gateway` over TLS.

PyPowerFlex logs in, asks the version and logs out around each single call: many tokens live at
once, and the end of one must not be the end of another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from PyPowerFlex import PowerFlexClient
from PyPowerFlex.objects import common, gen1

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Correct-Horse-9"
KB_PER_GB = 1024 * 1024
pytestmark = pytest.mark.filterwarnings(
    "ignore::urllib3.exceptions.InsecureRequestWarning"  # its certificate is made at each start
)
LISTED = (
    "system", "protection_domain", "fault_set", "storage_pool", "sds", "device", "sdc", "volume",
    "acceleration_pool", "snapshot_policy", "replication_consistency_group", "replication_pair",
)  # fmt: skip
SINCE_4 = ("sdt", "host")


@pytest.fixture(scope="module", params=["3.6", "4.5"])
def client(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Any]:
    """Its own process, so that nothing but bytes goes between the two."""
    secret = tmp_path_factory.mktemp("gateway") / "password"
    secret.write_text(PASSWORD)
    argv = [
        sys.executable, "cli.py", "simulate-gateway", "--listen", "127.0.0.1:0",
        "--api", request.param, "--user", "admin", "--password-file", str(secret),
    ]  # fmt: skip
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            patch.setenv("NO_PROXY", "127.0.0.1")
            patch.setenv("SSL_CERT_FILE", os.devnull)  # else read anew for each connection
            made = PowerFlexClient(
                gateway_address="127.0.0.1",
                gateway_port=int(url.rpartition(":")[2]),
                username="admin",
                password=PASSWORD,
                verify_certificate=False,
            )
            made.initialize()
            yield made
        process.terminate()


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    [one] = found
    return one


def test_it_finds_the_version_and_the_system(client: Any) -> None:
    assert client.system.api_version() in {"3.6", "4.5"}
    [system] = client.system.get()
    cluster = client.system.get_mdm_cluster_details()
    assert cluster["clusterState"] == "ClusteredNormal"
    assert system["mdmCluster"]["goodNodesNum"] == cluster["goodNodesNum"] == 3
    assert client.system.get_gateway_configuration_details()["systemId"] == system["id"]


def test_it_lists_every_type(client: Any) -> None:
    is_4x = client.system.api_version() == "4.5"
    counts = {
        name: len(getattr(client, name).get()) for name in (*LISTED, *(SINCE_4 if is_4x else ()))
    }
    assert {name: n for name, n in counts.items() if n} == {
        "system": 1,
        "protection_domain": 1,
        "storage_pool": 1,
        "sds": 3,
        "device": 3,
        "sdc": 2,
    }


def test_it_walks_from_object_to_object(client: Any) -> None:
    [domain] = client.protection_domain.get()
    [pool] = client.protection_domain.get_storage_pools(domain["id"])
    members = client.protection_domain.get_sdss(domain["id"])
    assert {sds["id"] for sds in members} == {sds["id"] for sds in client.sds.get()}
    devices = client.storage_pool.get_devices(pool["id"])
    assert {device["sdsId"] for device in devices} == {sds["id"] for sds in members}
    assert client.sds.get_devices(members[0]["id"])[0]["storagePoolId"] == pool["id"]
    assert client.sds.get(filter_fields={"name": members[0]["name"]})[0]["id"] == members[0]["id"]


def test_a_volume_is_made_mapped_grown_unmapped_and_removed(client: Any) -> None:
    [pool] = client.storage_pool.get()
    sdc = client.sdc.get()[0]
    made = client.volume.create(
        pool["id"], 16, name="by-pypowerflex", volume_type="ThinProvisioned"
    )
    volume_id = made["id"]
    assert made["sizeInKb"] == 16 * KB_PER_GB
    mapped = client.volume.add_mapped_sdc(volume_id, sdc_id=sdc["id"], access_mode="ReadWrite")
    assert [one["sdcId"] for one in mapped["mappedSdcInfo"]] == [sdc["id"]]
    assert [v["id"] for v in client.sdc.get_mapped_volumes(sdc["id"])] == [volume_id]
    assert client.volume.extend(volume_id, 24)["sizeInKb"] == 24 * KB_PER_GB
    unmapped = client.volume.remove_mapped_sdc(volume_id, sdc_id=sdc["id"])
    assert not unmapped["mappedSdcInfo"]
    client.volume.rename(volume_id, "renamed")
    assert client.volume.get(volume_id)["name"] == "renamed"
    system = only(client.system.get())
    definition = common.system.SnapshotDef(volume_id, "snap")
    taken = client.system.snapshot_volumes(system["id"], [definition])
    snapshot = client.volume.get(taken["volumeIdList"][0])
    assert (snapshot["name"], snapshot["ancestorVolumeId"]) == ("snap", volume_id)
    assert client.storage_pool.get_statistics(pool["id"])["numOfSnapshots"] == 1
    client.system.remove_cg_snapshots(system["id"], taken["snapshotGroupId"])
    client.volume.delete(volume_id, "ONLY_ME")
    assert client.volume.get() == []


def test_statistics_are_read_whole_and_in_part(client: Any) -> None:
    [pool] = client.storage_pool.get()
    whole = client.storage_pool.get_statistics(pool["id"])
    assert whole["maxCapacityInKb"] == 3 * 200 * KB_PER_GB
    assert whole["spareCapacityInKb"] == whole["maxCapacityInKb"] // 10
    part = client.storage_pool.query_selected_statistics(["maxCapacityInKb", "numOfDevices"])
    assert part == {pool["id"]: {"maxCapacityInKb": whole["maxCapacityInKb"], "numOfDevices": 3}}


def test_a_refusal_arrives_with_its_code(client: Any) -> None:
    with pytest.raises(Exception, match="'errorCode': 79"):
        client.volume.delete("0" * 16, "ONLY_ME")


def test_objects_are_made_changed_and_removed(client: Any) -> None:
    domain = client.protection_domain.create("second")
    pool = client.storage_pool.create("HDD", domain["id"], name="p", spare_percentage=20)
    fault_set = client.fault_set.create(domain["id"], "rack")
    address = gen1.sds.SdsIp("10.0.5.1", "all")
    sds = client.sds.create(domain["id"], [address], name="s", fault_set_id=fault_set["id"])
    device = client.device.create("/dev/sdc", sds["id"], storage_pool_id=pool["id"])
    assert (pool["sparePercentage"], sds["name"]) == (20, "s")
    assert sds["faultSetId"] == fault_set["id"]
    client.sds.add_ip(sds["id"], gen1.sds.SdsIp("10.0.5.2", "sdcOnly"))
    assert len(client.sds.get(sds["id"])["ipList"]) == 2
    client.storage_pool.set_cap_alert_thresholds(pool["id"], 50, 60)
    assert client.storage_pool.get(pool["id"])["capacityAlertHighThreshold"] == 50
    client.device.delete(device["id"])
    client.sds.delete(sds["id"])
    client.fault_set.delete(fault_set["id"])
    client.storage_pool.delete(pool["id"])
    client.protection_domain.delete(domain["id"])
    assert only(client.protection_domain.get())["name"] == "default"
