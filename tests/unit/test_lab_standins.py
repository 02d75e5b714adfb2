"""The lab's stand-ins as far as they run without a host: real sockets, and files for disks."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from install_steps.packages import CatalogError, load_catalog
from tests.lab import packages
from tests.lab.standins import (
    drv_cfg,
    dvdcli,
    lines,
    rexray_config,
    rexray_plugin,
    scini,
    sdc_config,
    sdc_link,
)
from tests.lab.standins.rexray_gateway import GatewayError

MDMS: Final = ("10.0.0.1", "10.0.0.2")
PASSWORD: Final = 'it\'s #1: "quoted"'


# -- REX-Ray's configuration -----------------------------------------------------------------------


def _written_by_the_step(repository: Path) -> str:
    """What scripts/rexray.sh writes, by its own functions."""
    script = (repository / "install_steps/scripts/rexray.sh").read_text()
    functions = re.findall(
        r"^(?:quoted|module|configuration)\(\) \{$.*?^\}$", script, re.DOTALL | re.MULTILINE
    )
    variables = {
        "HEAD": "# Written by scaleio-framework",
        "GATEWAY_ENDPOINT": "https://10.0.0.9:8443/api",
        "GATEWAY_INSECURE": "true",
        "GATEWAY_USER": "admin",
        "THIN_OR_THICK": "ThinProvisioned",
        "SYSTEM_ID": "",
        "SYSTEM_NAME": "o'system",
        "PROTECTION_DOMAIN": "domain 1",
        "STORAGE_POOL": "pool: a",
        "password": PASSWORD,
    }
    text = "\n".join([*functions, "configuration"])
    done = subprocess.run(
        ["/bin/sh", "-euc", text], env=variables, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_rexray_reads_what_our_step_writes(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(_written_by_the_step(repository))
    config = rexray_config.load(file)
    assert config.endpoint == "https://10.0.0.9:8443/api"
    assert (config.user, config.password) == ("admin", PASSWORD)
    assert (config.system_name, config.domain, config.pool) == ("o'system", "domain 1", "pool: a")
    assert config.insecure
    assert config.preempt
    assert {m.name: (m.socket.name, m.ignore_used_count) for m in config.modules} == {
        "default-docker": ("docker.sock", False),
        "mesos": ("mesos.sock", True),
        "rexray": ("rexray.sock", False),
    }
    assert PASSWORD not in repr(config)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("  password: ", "  word: "), "scaleio.password is missing"),
        (("  storagePoolName: ", "  pool: "), "storagePoolID or scaleio.storagePoolName"),
        (("  service: scaleio\n  integration", "  integration"), "libstorage.service"),
        (("'admin'", "'admin"), "quote"),
    ],
)
def test_rexray_says_what_its_configuration_lacks(
    repository: Path, tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    file = tmp_path / "config.yml"
    text = _written_by_the_step(repository)
    assert change[0] in text
    file.write_text(text.replace(*change))
    with pytest.raises(rexray_config.ConfigError, match=complaint) as caught:
        rexray_config.load(file)
    assert PASSWORD not in str(caught.value)


# -- packages --------------------------------------------------------------------------------------


def test_a_program_is_one_file_that_python_runs(tmp_path: Path) -> None:
    for module, word in (("rexray", "version"), ("dvdcli", "--version")):
        file = tmp_path / module
        file.write_bytes(packages.program(module, "7.8.9"))
        done = subprocess.run(
            [sys.executable, "-I", str(file), word], check=True, capture_output=True, text=True
        )
        assert "SemVer: 7.8.9" in done.stdout


def test_the_product_takes_the_catalog_and_its_errors_can_be_made(tmp_path: Path) -> None:
    built = packages.build_one("dvdcli", tmp_path)
    package = load_catalog(packages.catalog([built], "http://127.0.0.1:1"), "catalog").packages[0]
    assert (package.version, package.size_bytes) == ("0.1.0", built.file.stat().st_size)
    assert package.allow_http
    wrong = attrs.evolve(built, sha256="0" * 64, version="0.2.0")
    package = load_catalog(packages.catalog([wrong], "http://127.0.0.1:1"), "catalog").packages[0]
    assert (package.version, package.sha256) == ("0.2.0", "0" * 64)
    sdc = attrs.evolve(built, component="sdc", file=tmp_path / "sdc.deb")
    with pytest.raises(CatalogError, match="kernels"):
        load_catalog(packages.catalog([sdc], "http://127.0.0.1:1"), "catalog")


@pytest.mark.lab
def test_all_packages_are_built_as_the_makers_name_them(tmp_path: Path) -> None:
    built = packages.build(tmp_path, kernels=["6.1.0-1-amd64", "5.*"])
    load_catalog(packages.catalog(built, "http://127.0.0.1:1"), "catalog")
    fields = {
        package.component: subprocess.run(
            ["dpkg-deb", "--field", str(package.file), "Package", "Version"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()[1::2]
        for package in built
        if package.file.suffix == ".deb"
    }
    assert fields == {
        "sds": ["emc-scaleio-sds", "2.0-10000.2072"],
        "sdc": ["emc-scaleio-sdc", "2.0-10000.2072"],
        "rexray": ["rexray", "0.11.4-1"],
    }


def test_downloads_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(b"content")
    with packages.serve(tmp_path) as served:
        for _ in range(2):
            connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
            connection.request("GET", "/a.deb")
            assert connection.getresponse().read() == b"content"
            connection.close()
        assert served.downloads == {"a.deb": 2}


# -- the SDC's own files and words -----------------------------------------------------------------


def test_devices_are_named_as_the_driver_names_them() -> None:
    assert [scini.device_name(n) for n in (0, 25, 26, 27, 701, 702)] == [
        "scinia", "sciniz", "sciniaa", "sciniab", "scinizz", "sciniaaa",
    ]  # fmt: skip


def test_the_guid_survives_another_installation(tmp_path: Path) -> None:
    path = tmp_path / "drv_cfg.txt"
    first = sdc_config.installed("10.0.0.1,10.0.0.2", path)
    assert path.read_text() == f"ini_guid {first.guid}\nmdm 10.0.0.1,10.0.0.2\n"
    assert sdc_config.installed("10.9.9.9", path) == first
    changed = first.changing("10.0.0.2", ("10.0.0.2", "10.0.0.3"))
    assert changed.clusters == (("10.0.0.2", "10.0.0.3"),)
    with pytest.raises(sdc_config.ConfigError):
        first.changing("10.9.9.9", ())
    with pytest.raises(sdc_config.ConfigError):
        first.adding(("10.0.0.1",))


def test_drv_cfg_prints_as_the_real_one() -> None:
    cluster = {"system": "a" * 16, "sdc": "b" * 16, "installation": "", "addresses": MDMS}
    ids = f"MDM-ID {'a' * 16} SDC ID {'b' * 16} INSTALLATION ID {'0' * 16}"
    assert drv_cfg.mdm_lines([cluster]) == [
        "Retrieved 1 mdm(s)",
        f"{ids} IPs [0]-{MDMS[0]} [1]-{MDMS[1]}",
    ]
    assert drv_cfg.volume_lines([{"volume": "c" * 16, "system": "a" * 16}]) == [
        "Retrieved 1 volume(s)",
        f"VOL-ID {'c' * 16} MDM-ID {'a' * 16}",
    ]


def test_an_older_list_does_not_undo_a_newer_one() -> None:
    cluster = sdc_link.Cluster(addresses=MDMS)
    told: lines.Message = {"epoch": "e", "system": "s", "sdc": "i", "installation": "n"}
    cluster.take({**told, "version": 2, "volumes": ["v"]})
    cluster.take({**told, "version": 1, "volumes": []})
    assert cluster.volumes == {sdc_link.Volume("s", "v")}
    cluster.take({**told, "epoch": "another MDM process", "version": 0, "volumes": []})
    assert not cluster.volumes


# -- dvdcli and the plugin protocol ----------------------------------------------------------------


class _PretendedVolumes:
    def __init__(self) -> None:
        self.calls: list[object] = []

    def create(self, name: str, options: dict[str, str]) -> None:
        self.calls.append(("create", name, options))

    def mount(self, name: str) -> Path:
        if name == "bad":
            raise GatewayError("the volume is not to be had", 67)
        self.calls.append(("mount", name))
        return Path("/var/lib/rexray/volumes") / name / "data"

    def unmount(self, name: str, *, ignore_used_count: bool) -> None:
        self.calls.append(("unmount", name, ignore_used_count))


def test_dvdcli_speaks_with_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dvdcli, "PLUGINS", tmp_path)
    pretended: Any = _PretendedVolumes()
    module = rexray_config.Module(name="rexray", socket=tmp_path / "rexray.sock")
    with rexray_plugin.Server(pretended, module) as server:
        server.start()
        of = ["--volumedriver=rexray", "--volumename=vol1"]
        assert dvdcli.main(["mount", *of, "--volumeopts=size=32"], "0.1.0") == 0
        assert capsys.readouterr().out == "/var/lib/rexray/volumes/vol1/data\n"
        assert dvdcli.main(["unmount", *of], "0.1.0") == 0
        assert pretended.calls == [
            ("create", "vol1", {"size": "32"}),
            ("mount", "vol1"),
            ("create", "vol1", {}),
            ("unmount", "vol1", False),
        ]
        assert dvdcli.main(["mount", of[0], "--volumename=bad"], "0.1.0") == 1
        assert 'msg="the volume is not to be had"\n' in capsys.readouterr().err
        server.shutdown()
    assert dvdcli.main(["mount", "--volumedriver=gone", "--volumename=v"], "0.1.0") == 1
    assert dvdcli.main(["mount", "--volumename=v"], "0.1.0") == 1
    assert dvdcli.main(["fly"], "0.1.0") == 1
