"""What `make lab-interrupts` runs: LAB_KILLS and LAB_POWER_CUTS moments drawn from LAB_SEED, and
every cause that lasts for a while. Not collected by `make lab`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import pytest

from tests.lab.interrupts import AFTER_ITS_END, LATEST_OF_A_KILL, Moment, draw, shared_out
from tests.lab.interrupts_causes import (
    BROKEN,
    CUT,
    DPKG_LOCKS,
    DVDCLI_FILE,
    GONE,
    LISTS_LOCK,
    REXRAY_FILE,
    SDC_FILE,
    SDS_FILE,
    STALL,
    bad_download,
    full,
    locked,
)
from tests.lab.interrupts_trial import Trial, trial
from tests.lab.site import HostPlan

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

KILLS: Final = int(os.environ.get("LAB_KILLS", "20"))
POWER_CUTS: Final = int(os.environ.get("LAB_POWER_CUTS", "10"))
SEED: Final = int(os.environ.get("LAB_SEED", "1"))
HOSTS_MAX: Final = 3  # that are disturbed at the same time
SITES_MAX: Final = 4  # until every moment was met


def told(kind: str, done: int, site: Trial, faults: list[str]) -> None:
    """For the last line of `make lab-interrupts`."""
    if (counts := os.environ.get("LAB_INTERRUPTS")) is None:
        return
    hosts = len(site.troubled)
    line = {"kind": kind, "done": done, "hosts": hosts, "ready": hosts, "faults": len(faults)}
    with Path(counts).open("a") as file:
        file.write(f"{json.dumps(line)}\n")


def cut_at(folder: Path, moments: list[Moment], *, power: bool) -> None:
    """One site after another, until there was a cut at every moment that was drawn."""
    left = moments
    for number in range(SITES_MAX):
        if not left:
            return
        hosts = min(HOSTS_MAX, len(left))
        with trial(folder / f"site{number}", [HostPlan()] * hosts) as site:
            shares = zip(site.troubled, shared_out(left, hosts), strict=True)
            site.run([site.cutter(host, mine, power=power) for host, mine in shares])
            faults = site.faults()
            told("power" if power else "kill", len(site.cuts), site, faults)
            assert faults == []
            left = site.missed
    assert not left, f"in {SITES_MAX} sites there was no cut at these moments"


def test_killed_steps_leave_no_trace(tmp_path: Path) -> None:
    cut_at(tmp_path, draw(SEED, KILLS, LATEST_OF_A_KILL), power=False)


def test_power_cuts_leave_no_trace(tmp_path: Path) -> None:
    cut_at(tmp_path, draw(SEED, POWER_CUTS, AFTER_ITS_END), power=True)


def test_causes_that_go_away_leave_no_trace(tmp_path: Path) -> None:
    with trial(tmp_path / "site", [HostPlan()] * 3) as site:
        # No folder that a survey looks at: it would keep the step from being tried for a while.
        disks = [
            full("/var/cache/apt", "prerequisites", size="2m"),
            full("/opt/emc/", "sds", size="32k", after="prerequisites"),
            full("/var/lib/scaleio-framework/cache", "sdc", size="400k", after="sds"),
            full("/etc/rexray", "rexray", size="4k", after="sdc"),
        ]
        locks = [
            locked("prerequisites", LISTS_LOCK),
            locked("sds", *DPKG_LOCKS, after="prerequisites"),
        ]
        downloads = [
            bad_download(site.server, SDS_FILE, "sds", CUT),
            bad_download(site.server, SDC_FILE, "sdc", STALL, tries=1),
            bad_download(site.server, REXRAY_FILE, "rexray", GONE),
            bad_download(site.server, DVDCLI_FILE, "isolator", BROKEN),
        ]
        plans = (disks, locks, downloads)
        site.run([], list(zip(site.troubled, plans, strict=True)))
        faults = site.faults()
        told("cause", len(site.lived_through), site, faults)
        assert faults == []
        assert len(site.lived_through) == sum(len(causes) for causes in plans)
