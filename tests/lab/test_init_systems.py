"""A host without systemd judges new settings of its agent by cron: a bad one is undone over a
reboot, a good one stays. Without the reboot, and with upstart: test_init_restarts.py."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

import pytest

from tests.lab.host import Host
from tests.lab.operating import order, token_flag
from tests.lab.site import HostPlan, Site
from tests.lab.test_agent_restart import ISOLATOR_ONLY, SETTING, STEP, isolation
from tests.lab.test_old_init import all_gone, own_jobs, reboot
from tests.lab.tree_sysv import SYSVINIT
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

FLAG: Final = "/etc/mesos-slave/isolation"
ARMED: Final = "scaleio-framework-agent-restart"
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


def shows(site: Site, host: Host) -> str:
    """Its agent's isolation; empty while the agent does not answer."""
    with contextlib.suppress(OSError):
        return isolation(site, host)
    return ""


def went_back(site: Site, host: Host, before: str) -> None:
    assert state_of(host) == ("rolled-back", "crashes")
    assert host.run("test", "-e", FLAG, check=False).returncode != 0
    wait_for("the agent runs as before", lambda: shows(site, host) == before)
    all_gone(host)


def stayed(site: Site, host: Host) -> None:
    assert state_of(host) == ("kept", "registered")
    assert SETTING in isolation(site, host)
    all_gone(host)


def is_armed(host: Host) -> bool:
    """Cron's entry may be there for a moment only; a number tells that it has begun its wait."""
    begun = host.run("test", "-e", f"/var/lib/scaleio-framework/{ARMED}.pid", check=False)
    jobs = [Path(name).stem for name in own_jobs(host)]
    return (ARMED in jobs or not begun.returncode) and state_of(host)[0] == "open"


def test_a_reboot_in_the_middle_does_not_save_a_bad_setting_and_a_good_one_stays(
    tmp_path: Path,
) -> None:
    undone_over_a_reboot(tmp_path, SYSVINIT)


def undone_over_a_reboot(tmp_path: Path, init: str) -> None:
    """The agent then starts with it, and neither the armed restart nor the scheduler is there."""
    plans = [HostPlan(disks=(), init=init)]
    more = (*ISOLATOR_ONLY, token_flag(tmp_path / "operator"))
    with Site(tmp_path / "site", plans, more=more) as site:
        scheduler, (host,) = site.scheduler, site.hosts.values()
        refuse(host)
        before = isolation(site, host)
        scheduler.start()
        scheduler.wait("the restart is armed", lambda: is_armed(host))
        scheduler.kill()
        reboot(host)
        wait_for(
            "the host has restored the old settings",
            lambda: state_of(host)[0] == "rolled-back",
            PATIENCE_S,
        )
        went_back(site, host, before)

        scheduler.start()
        scheduler.wait_phase("failed", [host.name])
        assert "restored the old ones" in scheduler.agents()[host.name]["error"]
        mend(host)
        order(scheduler, "retry", host.name)
        scheduler.wait_phase("ready", [host.name])
        stayed(site, host)
