"""New settings of the agent are undone whatever ends between their first file and the restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.lab import evidence
from tests.lab.host import Host
from tests.lab.operating import steps_flag
from tests.lab.site import HostPlan, Site
from tests.lab.test_agent_restart import ISOLATOR_ONLY, STEP, agent_of, guard_leaves, refuse
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

WRITE: Final = '            install_file 0644 "$source" "$target"\n'
# Once, when the first of the two is there.
CUT: Final = f"{WRITE}            [ -e /cut ] || {{ : >/cut; kill -9 $$; }}\n"


def test_a_step_that_is_killed_between_its_files_leaves_the_way_back_to_the_first_state(
    tmp_path: Path,
) -> None:
    killing = steps_flag(tmp_path / "steps", {"isolator.sh": (WRITE, CUT)})
    with Site(tmp_path / "site", [HostPlan(disks=())], more=[killing, *ISOLATOR_ONLY]) as site:
        (host,) = site.hosts.values()
        refuse(site, host)
        before = agent_of(site, host)
        site.scheduler.start()
        site.scheduler.wait_phase("failed", [host.name])

        runs = [run for run in evidence.step_runs(host) if run.step in ("isolator", STEP)]
        assert [(run.step, run.status) for run in runs] == [
            ("isolator", None), ("isolator", 21), (STEP, 0),
        ]  # fmt: skip
        now = agent_of(site, host)
        assert now.files == before.files, "byte for byte"
        assert (now.agent_id, now.isolation) == (before.agent_id, before.isolation)
        receipt = evidence.receipts(host)[STEP]
        assert (receipt["state"], receipt["reason"]) == ("rolled-back", "crashes")
        guard_leaves(host)


def cut_power(host: Host) -> None:
    host.cut()
    host.start()
    host.wait_booted()


def kill_agent(host: Host) -> None:
    host.sh("kill -9 $(systemctl show --property=MainPID --value mesos-slave)")


@pytest.mark.parametrize("end", [cut_power, kill_agent])
def test_an_end_of_the_agent_before_its_restart_is_armed_does_not_save_a_bad_setting(
    tmp_path: Path, end: Callable[[Host], None]
) -> None:
    """The files are written, and the agent starts with them although no step restarts it."""
    begin = f"begin_step {STEP} lock\n"
    never = f'{begin}finish 75 lab "not now"\n'
    later = steps_flag(tmp_path / "steps", {f"{STEP}.sh": (begin, never)})
    with Site(tmp_path / "site", [HostPlan(disks=())], more=[later, *ISOLATOR_ONLY]) as site:
        (host,) = site.hosts.values()
        refuse(site, host)
        before = agent_of(site, host)
        site.scheduler.start()

        def is_written() -> bool:
            return any(run.step == STEP for run in evidence.step_runs(host))

        site.scheduler.wait("the files are written", is_written)
        site.scheduler.kill()
        end(host)

        def restored() -> bool:
            return bool(evidence.receipts(host).get(STEP, {}).get("state") == "rolled-back")

        wait_for("the host has restored the old settings", restored, 180.0)
        now = agent_of(site, host)
        assert now.files == before.files, "byte for byte"
        assert now.isolation == before.isolation
        guard_leaves(host)
