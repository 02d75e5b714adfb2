"""The lab's storage side as a process, with an SDC and an SDS that need no host."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab.standins import drv_cfg, rexray_config, scini, sdc_config, sds
from tests.lab.standins.rexray_gateway import Gateway, GatewayError, mapped_to
from tests.lab.standins.rexray_gateway import Storage as GatewayStorage
from tests.lab.storage_client import Storage
from tests.lab.storage_volumes import Volumes
from tests.scheduler_process import ROOT, wait_for

GIB: Final = 1024**3
GUID: Final = "5C0D5FA1-5F4E-4A0B-9A76-3A2F0F4E7C11"
# Ports of the MDM and of SDSs are fixed: what differs between runs is the address.
NETWORK: Final = f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
MDMS: Final = (f"{NETWORK}.1", f"{NETWORK}.2")
PASSWORD: Final = "Quite-Another-Tree-9"


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    folder = tmp_path_factory.mktemp("storage")
    (folder / "password").write_text(f"{PASSWORD}\n")
    with Storage(
        folder, mdms=MDMS, password_file=folder / "password", volumes=folder / "volumes",
        more=["--rebuild-s", "0.2"],
    ) as running:  # fmt: skip
        yield running


def _gateway(storage: Storage) -> tuple[Gateway, GatewayStorage]:
    config = rexray_config.Config(
        endpoint=f"{storage.url}/api", user="admin", password=PASSWORD, system_id="",
        system_name="scaleio", domain="default", pool="default", insecure=True,
        thin_or_thick="ThinProvisioned", preempt=True, drv_cfg="", modules=(),
    )  # fmt: skip
    gateway = Gateway(config)
    return gateway, GatewayStorage(gateway, config)


def _connected(storage: Storage, kind: str, address: str) -> bool:
    return any(one["ip"] == address and one["connected"] for one in storage.state()[kind])


def _failed(storage: Storage, address: str) -> list[str]:
    failed: list[str] = next(s["failed"] for s in storage.state()["sds"] if s["ip"] == address)
    return failed


@pytest.fixture
def driver(storage: Storage, tmp_path: Path) -> Iterator[scini.Driver]:
    """Its devices are hard links to the volumes' files."""

    def attach(backing: Path, node: Path) -> int:
        node.hardlink_to(backing)
        return -1

    def detach(_descriptor: int, node: Path) -> None:
        node.unlink()

    config = sdc_config.SdcConfig(guid=GUID, clusters=(MDMS,))
    devices = scini.Devices(storage.volumes, tmp_path, attach, detach)
    running = scini.Driver(config, f"{NETWORK}.11", devices)
    wait_for("the SDC is connected", lambda: _connected(storage, "sdcs", f"{NETWORK}.11"))
    yield running
    running.stop()
    wait_for("the SDC is gone", lambda: not _connected(storage, "sdcs", f"{NETWORK}.11"))


def _shown(driver: scini.Driver) -> list[str]:
    driver.answer({"ask": "rescan"})
    volumes: Any = driver.answer({"ask": "volumes"})["volumes"]
    return [volume["volume"] for volume in volumes]


def test_a_mapped_volume_appears_and_its_data_is_fenced(
    storage: Storage, driver: scini.Driver, tmp_path: Path
) -> None:
    _, known = _gateway(storage)
    known.create("vol1", 16)
    volume = known.find("vol1")
    assert volume is not None
    known.map(volume, known.sdc(GUID.lower()))
    wait_for("the volume appears", lambda: _shown(driver) == [volume["id"]])
    link = tmp_path / "disk/by-id" / f"emc-vol-{storage.system_id}-{volume['id']}"
    assert link.resolve() == tmp_path / "scinia"
    assert link.stat().st_size == 16 * GIB
    data = storage.volumes / volume["id"]
    with data.open("r+b") as held:
        held.write(b"before")
        held.flush()
        again = known.find("vol1")
        assert again is not None
        assert len(mapped_to(again)) == 1
        known.unmap_all(again)
        held.seek(0)
        held.write(b"too late")
    assert _head(data)[:8] == b"before\0\0"
    wait_for("the volume goes", lambda: _shown(driver) == [])
    known.remove(again)
    assert not data.exists()


def test_the_driver_is_asked_through_its_socket(
    storage: Storage, driver: scini.Driver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "scini.sock")
    listener = scini.control_socket(path)
    threading.Thread(target=scini.answer_for_ever, args=(listener, driver), daemon=True).start()
    file = tmp_path / "drv_cfg.txt"
    assert drv_cfg.main(["--query_guid"], "2.0", path) == 0
    assert capsys.readouterr().out == f"{GUID}\n"
    change = ["--mod_mdm_ip", "--ip", MDMS[0], "--new_mdm_ip", MDMS[1], "--file", str(file)]
    assert drv_cfg.main(change, "2.0", path) == 0
    assert f"mdm {MDMS[1]}\n" in file.read_text()
    assert drv_cfg.main(["--query_mdms"], "2.0", path) == 0
    assert f"MDM-ID {storage.system_id} SDC ID" in capsys.readouterr().out
    assert drv_cfg.main(["--add_mdm", "--ip", MDMS[1]], "2.0", path) == 1
    wait_for("it stays connected", lambda: _connected(storage, "sdcs", f"{NETWORK}.11"))
    assert drv_cfg.main(["--query_guid"], "2.0", str(tmp_path / "nothing")) == 1
    assert "kernel module" in capsys.readouterr().err


_SDS: Final = """
import sys
from pathlib import Path
from tests.lab.standins import sds
disks = sds.Disks(Path(sys.argv[2]))
disks.load()
sds.listen(sys.argv[1], disks, lambda: print("ready", flush=True))
"""


@contextlib.contextmanager
def _sds(address: str, config: Path) -> Iterator[None]:
    """Killed at the end, as a power cut does it."""
    command = [sys.executable, "-c", _SDS, address, str(config)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(64)


def _refusal(gateway: Gateway, path: str, body: dict[str, object]) -> int:
    with pytest.raises(GatewayError) as caught:
        gateway.post(path, body)
    return caught.value.code


def _blank(file: Path, size: int) -> Path:
    file.touch()
    os.truncate(file, size)
    return file


def test_an_sds_takes_a_disk_goes_and_comes_back(storage: Storage, tmp_path: Path) -> None:
    gateway, known = _gateway(storage)
    address, config = f"{NETWORK}.21", tmp_path / "devices.txt"
    disk, small = _blank(tmp_path / "disk", 120 * GIB), _blank(tmp_path / "small", GIB)
    ask: dict[str, object] = {
        "protectionDomainId": known.domain, "sdsIpList": [{"ip": address, "role": "all"}],
    }  # fmt: skip

    def here() -> bool:
        return _connected(storage, "sds", address)

    assert _refusal(gateway, "/types/Sds/instances", ask) == 69
    with _sds(address, config):
        sds_id = gateway.post("/types/Sds/instances", ask)["id"]
        give: dict[str, object] = {"sdsId": sds_id, "storagePoolId": known.pool}
        for path, code in ((tmp_path / "none", 71), (small, 72)):
            wrong = {**give, "deviceCurrentPathname": str(path)}
            assert _refusal(gateway, "/types/Device/instances", wrong) == code
        assert _head(small) == bytes(64)
        gateway.post("/types/Device/instances", {**give, "deviceCurrentPathname": str(disk)})
        assert _head(disk).startswith(sds.MARK)
        assert here()
    wait_for("the SDS is gone", lambda: not here())
    assert storage.state()["degraded"]
    with _sds(address, tmp_path / "another host's"):
        wait_for("its disk is not served", lambda: _failed(storage, address) == [str(disk)])
    wait_for("the SDS is gone again", lambda: not here())
    with _sds(address, config):
        wait_for("the SDS is back, with its disk", lambda: here() and not _failed(storage, address))
        wait_for("its data is whole", lambda: not storage.state()["degraded"])
        gateway.post(f"/instances/Sds::{sds_id}/action/removeSds", {})
        assert _head(disk) == bytes(64)


def test_commands_change_what_exists_on_paper(storage: Storage) -> None:
    storage.sds("10.0.1.1", up=False)
    assert storage.state()["degraded"]
    storage.sds("10.0.1.1", up=True)
    wait_for("its data is whole", lambda: not storage.state()["degraded"])
    with pytest.raises(ValueError, match="no sds at"):
        storage.sds("10.9.9.9", up=False)


def test_rexray_logs_in_again_when_its_token_has_lapsed(storage: Storage) -> None:
    gateway, known = _gateway(storage)
    gateway._token = "lapsed"
    assert known.find("no such volume") is None
    assert gateway._token != "lapsed"


def test_a_fenced_file_keeps_data_and_holes(tmp_path: Path) -> None:
    volumes = Volumes(tmp_path)
    volumes.create("v", GIB)
    with (tmp_path / "v").open("r+b") as file:
        for at in (0, 300 * 1024**2, GIB - 4096):
            file.seek(at)
            file.write(b"data")
    volumes.fence("v")
    with (tmp_path / "v").open("rb") as file:
        for at in (0, 300 * 1024**2, GIB - 4096):
            file.seek(at)
            assert file.read(8) == b"data\0\0\0\0"
    status = (tmp_path / "v").stat()
    assert (status.st_size, status.st_blocks < 2048) == (GIB, True)
