"""Installation steps survive being cut anywhere: every host ends ready, and as if in peace.

A few moments of each kind, always the same; `make lab-interrupts` takes as many as it is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.lab.interrupts import AFTER_ITS_END, LATEST_OF_A_KILL, draw
from tests.lab.interrupts_causes import CUT, DPKG_LOCKS, SDC_FILE, bad_download, full, locked
from tests.lab.interrupts_trial import trial
from tests.lab.site import HostPlan

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

SEED: Final = 1


def test_a_few_cuts_of_each_kind_leave_no_trace(tmp_path: Path) -> None:
    with trial(tmp_path / "site", [HostPlan()] * 3) as site:
        killed, dark, unlucky = site.troubled
        kills = draw(SEED, 3, LATEST_OF_A_KILL, ("prerequisites", "rexray", "isolator"))
        cuts = draw(SEED, 1, AFTER_ITS_END, ("prerequisites",))
        causes = [
            locked("sds", *DPKG_LOCKS, after="prerequisites"),
            bad_download(site.server, SDC_FILE, "sdc", CUT),
            full("/etc/rexray", "rexray", size="4k"),
        ]
        cutters = [site.cutter(killed, kills, power=False), site.cutter(dark, cuts, power=True)]
        site.run(cutters, [(unlucky, causes)])
        assert site.faults() == []
        assert site.lived_through == [cause.name for cause in causes]
        assert {cut.kind for cut in site.cuts} == {"kill", "power cut"}
