"""Tiers, and the guards that keep tests honest.

One table says which marker needs what. A tier whose needs are not met is left out and named at
the end; with REQUIRE=all that is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


def _real_needs() -> list[str]:
    from tests.real_mesos.library import missing_needs

    return missing_needs()


def _zk_needs() -> list[str]:
    from tests.real_zookeeper.server import missing_needs

    return missing_needs()


def _lab_needs() -> list[str]:
    from tests.lab.tree import missing_needs

    return missing_needs()


def _browser_needs() -> list[str]:
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return []
    return ["Chromium: apt-get install chromium"]


def _promtool_needs() -> list[str]:
    return [] if shutil.which("promtool") else ["promtool: apt-get install prometheus"]


TIERS: Final[dict[str, Callable[[], list[str]]]] = {
    "real": _real_needs,
    "zk": _zk_needs,
    "lab": _lab_needs,
    "browser": _browser_needs,
    "promtool": _promtool_needs,
}


def tier_needs() -> dict[str, list[str]]:
    """Tier -> what is missing for it on this machine; an empty list means that it runs."""
    return {name: needs() for name, needs in TIERS.items()}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    needs = tier_needs()
    missing = {name for name, lacking in needs.items() if lacking}
    left_out = [i for i in items if any(i.get_closest_marker(name) for name in missing)]
    if left_out and os.environ.get("REQUIRE") == "all":
        raise pytest.UsageError(f"REQUIRE=all, but these tiers lack something: {needs}")
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        _virtual_clock_or_sockets(item)


def _virtual_clock_or_sockets(item: pytest.Item) -> None:
    names: list[str] = list(getattr(item, "fixturenames", ()))
    real = any(item.get_closest_marker(name) for name in ("real", "zk", "lab", "browser"))
    if real and ("autojump_clock" in names or "mock_clock" in names):
        raise pytest.UsageError(f"{item.nodeid}: a virtual clock and real sockets do not mix")


FORBIDDEN_PROGRAMS: Final = (
    "apt-get",
    "apt",
    "yum",
    "dnf",
    "dpkg",
    "rpm",
    "systemctl",
    "reboot",
    "shutdown",
    "modprobe",
    "insmod",
    "mkfs",
    "wipefs",
)


@pytest.fixture(scope="session", autouse=True)
def _no_installation_on_this_machine(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """The guard: programs that change a machine are shadowed by ones that fail loudly.

    Whatever a test starts, agents and their tasks included, inherits this PATH. A trap that
    was stepped on fails the session.
    """
    traps = tmp_path_factory.mktemp("traps")
    caught = traps / "caught"
    for name in FORBIDDEN_PROGRAMS:
        trap = traps / name
        trap.write_text(f'#!/bin/sh\necho "{name} $*" >> "{caught}"\nexit 99\n')
        trap.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{traps}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
    assert not caught.exists(), f"a test tried to change this machine: {caught.read_text()}"


@pytest.fixture
def repository() -> Path:
    return Path(__file__).resolve().parent.parent


def have(program: str) -> bool:
    return shutil.which(program) is not None
