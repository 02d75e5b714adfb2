"""`simulate-gateway` for a client that knows nothing of us: the unchanged PyPowerFlex."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
PyPowerFlex = pytest.importorskip("PyPowerFlex", reason="requirements/test.txt installs it")
common = pytest.importorskip("PyPowerFlex.objects.common", reason="as above")
gen1 = pytest.importorskip("PyPowerFlex.objects.gen1", reason="as above")
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
GB = 1024 * 1024  # in KB


@pytest.fixture(scope="module", params=["3.6", "4.5"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Logged in to a command of its own, over TLS; the command says itself when it is ready."""
    command = [sys.executable, "cli.py", "simulate-gateway", "--listen", "127.0.0.1:0"]
    command += ["--api", request.param, "--password", "Correct-Horse-9"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = urlsplit(process.stdout.readline().split()[-1])
            assert url.scheme == "https"
            made = PyPowerFlex.PowerFlexClient(
                gateway_address=url.hostname,
                gateway_port=url.port,
                username="admin",
                password="Correct-Horse-9",
                verify_certificate=False,
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("NO_PROXY", "127.0.0.1")
                patch.setenv("SSL_CERT_FILE", os.devnull)  # read anew for each of its connections
                made.initialize()
                yield made
        finally:
            process.terminate()


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    [one] = found
    return one


def test_it_lists_what_there_is(client: Any) -> None:
    system = only(client.system.get())
    domain, pool = only(client.protection_domain.get()), only(client.storage_pool.get())
    assert (system["name"], domain["name"], pool["name"]) == ("scaleio", "default", "default")
    assert len(client.sds.get()) == len(client.device.get()) == 3
    assert len(client.sdc.get()) == 2
    assert client.fault_set.get() == client.volume.get() == []
    assert len(client.protection_domain.get_sdss(domain["id"])) == 3
    assert len(client.storage_pool.get_devices(pool["id"])) == 3
    assert client.storage_pool.get(filter_fields={"name": "none"}) == []
    cluster = client.system.get_mdm_cluster_details()
    assert cluster["clusterState"] == "ClusteredNormal"
    assert client.system.get_gateway_configuration_details()["systemId"] == system["id"]


def test_a_volume_lives_from_its_making_to_its_end(client: Any) -> None:
    pool, sdc = only(client.storage_pool.get()), client.sdc.get()[0]
    made = client.volume.create(
        storage_pool_id=pool["id"], size_in_gb=9, name="vol", volume_type="ThinProvisioned"
    )
    assert made["sizeInKb"] == 16 * GB
    client.volume.add_mapped_sdc(made["id"], sdc_id=sdc["id"])
    assert only(client.sdc.get_mapped_volumes(sdc["id"]))["id"] == made["id"]
    with pytest.raises(PyPowerFlex.exceptions.PowerFlexClientException, match="mapped"):
        client.volume.delete(made["id"], "ONLY_ME")
    client.volume.remove_mapped_sdc(made["id"], sdc_id=sdc["id"])
    client.volume.extend(made["id"], 24)
    assert client.volume.get(made["id"])["sizeInKb"] == 24 * GB
    system = only(client.system.get())
    definition = common.system.SnapshotDef(made["id"], "snap")
    taken = client.system.snapshot_volumes(system["id"], [definition])
    snapshot = client.volume.get(taken["volumeIdList"][0])
    assert (snapshot["name"], snapshot["ancestorVolumeId"]) == ("snap", made["id"])
    assert client.storage_pool.get_statistics(pool["id"])["numOfSnapshots"] == 1
    client.system.remove_cg_snapshots(system["id"], taken["snapshotGroupId"])
    client.volume.delete(made["id"], "ONLY_ME")
    assert client.volume.get() == []


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


def test_statistics_are_read_as_the_client_asks_for_them(client: Any) -> None:
    pool, sds = client.storage_pool.get()[0], client.sds.get()[0]
    names = ["capacityInUseInKb", "maxCapacityInKb", "totalReadBwc"]
    found = client.utility.get_statistics_for_all_storagepools(properties=names)
    assert found[pool["id"]]["maxCapacityInKb"] == 3 * 200 * GB
    assert set(found[pool["id"]]) == set(names)
    assert client.sds.get_related(sds["id"], "Statistics")["numOfDevices"] == 1
    with pytest.raises(PyPowerFlex.exceptions.PowerFlexClientException):
        client.utility.get_statistics_for_all_storagepools(properties=["numOfUnicorns"])
