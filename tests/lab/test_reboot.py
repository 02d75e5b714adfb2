"""Hosts reboot one at a time, and none while the storage cluster is not whole."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.lab import evidence
from tests.lab.host import Host
from tests.lab.site import HostPlan, Site
from tests.scheduler_process import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

Json = dict[str, Any]

ON_PAPER: Final = "10.0.1.1"  # an SDS that the storage side has beside the hosts' own
PATIENCE_S: Final = 300.0  # three reboots, one after the other
# Nothing that a lab can install needs another kernel, so this step says that it does, once.
WANTS_REBOOT: Final = """
if [ ! -e "$STATE_DIR/installed-in" ]; then
    cat /proc/sys/kernel/random/boot_id >"$STATE_DIR/installed-in"
fi
if cmp -s "$STATE_DIR/installed-in" /proc/sys/kernel/random/boot_id; then
    finish 20 reboot "it holds after a reboot"
fi
finish 0 holds
"""


def steps_that_want_a_reboot(folder: Path) -> Path:
    shutil.copytree(ROOT / "install_steps" / "scripts", folder)
    step = folder / "rexray.sh"
    text = step.read_text()
    assert text.endswith("finish 0 holds\n")
    step.write_text(text.removesuffix("finish 0 holds\n") + WANTS_REBOOT)
    return folder


def receipt(host: Host) -> str:
    """State of the reboot's receipt, "" without one."""
    return str(evidence.receipts(host).get("reboot", {}).get("state", ""))


def test_no_host_reboots_while_data_is_degraded_and_then_one_after_the_other(
    tmp_path: Path,
) -> None:
    steps = steps_that_want_a_reboot(tmp_path / "steps")
    more = [f"-steps.dir={steps}", "-components.dvdcli=ignore"]
    with Site(tmp_path / "site", [HostPlan()] * 3, more=more) as site:
        scheduler, hosts = site.scheduler, site.hosts
        boots = {name: host.boot_id for name, host in hosts.items()}
        scheduler.start()

        def armed() -> list[str]:
            phases = scheduler.phases()
            return [
                n for n in hosts if phases.get(n) == "rebooting" and receipt(hosts[n]) == "open"
            ]

        first = (scheduler.wait("a reboot is armed", armed) or [""])[0]
        site.storage.sds(ON_PAPER, up=False)
        host = hosts[first]
        scheduler.wait("the host has disarmed it", lambda: receipt(host) == "rolled-back")
        scheduler.wait("the page says why", lambda: "degraded" in reason(site, first))
        assert {name: one.boot_id for name, one in hosts.items()} == boots
        assert "degraded" in scheduler.read(f"/v1/agents/{first}").decode()

        site.storage.sds(ON_PAPER, up=True)
        scheduler.wait_phase("ready", list(hosts), PATIENCE_S)
        downtimes = {name: downtime(one) for name, one in hosts.items()}
        assert all(one.boot_id != boots[name] for name, one in hosts.items())
        in_order = sorted(downtimes.values())
        assert all(one[1] < two[0] for one, two in itertools.pairwise(in_order))
        for name, (down, up) in downtimes.items():
            for other, one in hosts.items():
                touched = [r for r in evidence.step_runs(one) if r.changed and down < r.began < up]
                assert other == name or touched == []


def reason(site: Site, name: str) -> str:
    return str(site.scheduler.agents()[name]["reason"])


def downtime(host: Host) -> tuple[float, float]:
    """From its last word before the reboot to its first after it; there was one reboot."""
    before, after = evidence.boots(host)
    return before.last, after.first
