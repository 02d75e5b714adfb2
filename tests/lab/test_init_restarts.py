"""Hosts without systemd restart their agents by cron, or by upstart: a bad setting is undone by the
host itself, a good one stays. These wait for minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.lab.operating import order, token_flag
from tests.lab.site import HostPlan, Site
from tests.lab.test_agent_restart import ISOLATOR_ONLY, isolation
from tests.lab.test_init_systems import mend, refuse, stayed, undone_over_a_reboot, went_back
from tests.lab.tree_sysv import SYSVINIT, UPSTART

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]

# A minute until cron looks, and one without an agent; Mesos may then lose it for some more.
PATIENCE_S: Final = 480.0


def test_a_bad_setting_is_undone_and_a_good_one_stays(tmp_path: Path) -> None:
    plans = [HostPlan(disks=(), init=init) for init in (SYSVINIT, UPSTART)]
    more = (*ISOLATOR_ONLY, token_flag(tmp_path / "operator"))
    with Site(tmp_path / "site", plans, more=more) as site:
        scheduler, host = site.scheduler, site.hosts["h0.lab"]
        refuse(host)
        before = isolation(site, host)
        scheduler.start()

        def failed() -> bool:
            return scheduler.phases().get(host.name) == "failed"

        scheduler.wait("it has failed", failed, PATIENCE_S)
        went_back(site, host, before)

        mend(host)
        order(scheduler, "retry", host.name)
        scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
        for one in site.hosts.values():
            stayed(site, one)


def test_a_reboot_in_the_middle_does_not_save_a_bad_setting_of_upstarts_host(
    tmp_path: Path,
) -> None:
    undone_over_a_reboot(tmp_path, UPSTART)
