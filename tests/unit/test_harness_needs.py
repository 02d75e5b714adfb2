"""What a machine lacks for the tiers with real servers is said as an installation command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import real_mesos, real_zookeeper
from tests.real_zookeeper import server


def test_a_machine_without_tools_is_told_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server, "JARS", (tmp_path / "absent.jar",))
    assert real_mesos.missing_needs() == [
        "g++ is missing: apt-get install g++",
        "readelf is missing: apt-get install binutils",
    ]
    assert real_zookeeper.missing_needs() == [
        "Java is missing: apt-get install default-jre-headless",
        "ZooKeeper is missing: apt-get install libzookeeper-java",
    ]


def test_another_kind_of_machine_is_told_that_mesos_does_not_run_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert any("on aarch64" in sentence for sentence in real_mesos.missing_needs())
