"""What the lab's package families and init systems are made of, as far as no host is needed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import attrs
import pytest

from install_steps.packages import load_catalog, same_version
from tests.lab import packages, rpms
from tests.lab.packages import DEB, RPM
from tests.lab.standins import init_script
from tests.lab.tree_sysv import SYSVINIT, UPSTART, agent_files


def test_an_rpm_has_the_makers_file_name_and_version() -> None:
    package = rpms.Rpm(name="EMC-ScaleIO-sds", version="2.0", release="10000.2072.el7")
    assert package.file_name == "EMC-ScaleIO-sds-2.0-10000.2072.el7.x86_64.rpm"
    inside = f"{package.version}-{package.release}"
    assert same_version(inside, packages.VERSIONS["sds"])


def test_a_catalog_says_which_file_is_for_which_family(tmp_path: Path) -> None:
    archive = packages.build_one("dvdcli", tmp_path)
    deb, rpm = (
        attrs.evolve(archive, component="sds", family=family, file=tmp_path / f"sds.{family}")
        for family in (DEB, RPM)
    )
    text = packages.catalog([archive, deb, rpm], "http://127.0.0.1:1")
    load_catalog(text, "catalog")
    platforms = [
        {one["os_id"] for one in entry["platforms"]} for entry in json.loads(text)["packages"]
    ]
    assert platforms == [{"debian", "centos", "rocky"}, {"debian"}, {"centos", "rocky"}]


@pytest.mark.parametrize("init", [SYSVINIT, UPSTART])
def test_an_agent_has_what_its_init_system_starts(init: str) -> None:
    files = agent_files(init, "/usr/bin/agent")
    jobs = [path for path in files if path.startswith("/etc/init")]
    assert jobs == [
        {SYSVINIT: "/etc/init.d/mesos-slave", UPSTART: "/etc/init/mesos-slave.conf"}[init]
    ]
    assert "/usr/bin/agent" in files[jobs[0]]


def test_an_init_script_is_a_shells_and_names_what_starts_first() -> None:
    text = init_script.text("rexray", "/usr/bin/rexray start", after="scini")
    assert "# Required-Start: $remote_fs scini\n" in text
    subprocess.run(["/bin/sh", "-n"], input=text, text=True, check=True)
