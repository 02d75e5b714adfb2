"""Hosts without systemd restart their agents by cron, or by upstart, and judge its new settings: a
good one stays, a bad one is undone, over a reboot, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.lab.host import Host
from tests.lab.operating import order, token_flag
from tests.lab.site import HostPlan, Site
from tests.lab.test_agent_restart import ISOLATOR_ONLY, SETTING, STEP, isolation
from tests.lab.test_old_init import bring_cron, own_jobs, reboot
from tests.lab.tree_sysv import SYSVINIT, UPSTART
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

FLAG: Final = "/etc/mesos-slave/isolation"
WRAPPER: Final = "/usr/bin/mesos-init-wrapper"
PATIENCE_S: Final = 300.0  # cron looks once a minute


def refuse(host: Host) -> None:
    """The agent does not start with the new setting, as one does that lacks the isolator."""
    refusal = f"case $(cat {FLAG} 2>/dev/null) in *docker/volume*) exit 1 ;; esac"
    host.sh(f"sed -i '2i {refusal}' {WRAPPER}")


def mend(host: Host) -> None:
    host.sh(f"sed -i 2d {WRAPPER}")


def state_of(host: Host) -> tuple[str, str]:
    told = host.run("cat", f"/var/lib/scaleio-framework/receipt.d/{STEP}.json", check=False).stdout
    receipt = json.loads(told or "{}")
    return str(receipt.get("state", "")), str(receipt.get("reason", ""))


def went_back(site: Site, host: Host, before: str) -> None:
    assert state_of(host) == ("rolled-back", "crashes")
    assert host.run("test", "-e", FLAG, check=False).returncode != 0
    wait_for("the agent runs as before", lambda: isolation(site, host) == before)
    assert own_jobs(host) == []


def test_a_bad_setting_is_undone_and_a_good_one_stays(tmp_path: Path) -> None:
    plans = [HostPlan(disks=(), init=init) for init in (SYSVINIT, UPSTART)]
    more = (*ISOLATOR_ONLY, token_flag(tmp_path / "operator"))
    with Site(tmp_path / "site", plans, more=more) as site:
        scheduler, host = site.scheduler, site.hosts["h0.lab"]
        bring_cron(host)
        refuse(host)
        before = isolation(site, host)
        scheduler.start()
        scheduler.wait("it has failed", lambda: failed(site, host), PATIENCE_S)
        went_back(site, host, before)

        mend(host)
        order(scheduler, "retry", host.name)
        scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
        for one in site.hosts.values():
            assert state_of(one) == ("kept", "registered")
            assert SETTING in isolation(site, one)
            assert own_jobs(one) == []


def failed(site: Site, host: Host) -> bool:
    return site.scheduler.phases().get(host.name) == "failed"


@pytest.mark.parametrize("init", [SYSVINIT, UPSTART])
def test_a_reboot_in_the_middle_does_not_save_a_bad_setting(tmp_path: Path, init: str) -> None:
    """The agent then starts with it, and neither the armed restart nor the scheduler is there."""
    with Site(tmp_path / "site", [HostPlan(disks=(), init=init)], more=ISOLATOR_ONLY) as site:
        (host,) = site.hosts.values()
        if init == SYSVINIT:
            bring_cron(host)
        refuse(host)
        before = isolation(site, host)
        site.scheduler.start()
        site.scheduler.wait("the restart is armed", lambda: is_armed(host))
        site.scheduler.kill()
        reboot(host)
        wait_for(
            "the host has restored the old settings",
            lambda: state_of(host)[0] == "rolled-back",
            PATIENCE_S,
        )
        went_back(site, host, before)


def is_armed(host: Host) -> bool:
    jobs = [Path(name).stem for name in own_jobs(host)]
    return "scaleio-framework-agent-restart" in jobs and state_of(host)[0] == "open"
