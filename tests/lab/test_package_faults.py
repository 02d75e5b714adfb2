"""What package managers do to an installation: somebody else holds the database, or what is
installed needs a reboot. The hosts go on by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.lab import evidence, packages, tree_rpm
from tests.lab.host import Host
from tests.lab.packages import DEB, GATE, RPM
from tests.lab.site import HostPlan, Site
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

PATIENCE_S: Final = 240.0
STEP: Final = "prerequisites"
AGAIN: Final = 75
AFTER_REBOOT: Final = 20
# Host -> its family, and the other program that holds the package database.
HOLDERS: Final = {
    "h0.lab": (DEB, "apt-get --quiet --yes install"),
    "h1.lab": (RPM, "rpm --install"),
    "h2.lab": (RPM, "yum --quiet --assumeyes install"),
}
# A lab cannot boot another kernel: this host's boot loader notes the newest, and `uname` tells it.
OTHER_KERNEL: Final = {
    "/etc/systemd/system/mesos-slave.service.d/boot-loader.conf": (
        "[Service]\nExecStartPre=/usr/local/sbin/boot-loader\n"
    ),
    "/usr/local/sbin/boot-loader": """#!/bin/sh
[ -e /run/kernel ] || {
    /usr/bin/uname -r
    ls /boot | sed -n 's/^vmlinuz-//p' | sort -V
} | tail -n 1 >/run/kernel
""",
    "/usr/local/bin/uname": """#!/bin/sh
/usr/bin/uname "$@" | sed "s/$(/usr/bin/uname -r)/$(cat /run/kernel)/"
""",
}


def hold(host: Host, command: str, file: Path) -> None:
    """The other program has begun, and installs until `release`."""
    host.run("systemd-run", "--quiet", "--unit=holder", *command.split(), str(file))
    wait_for("it installs", lambda: not host.run("test", "-p", GATE, check=False).returncode)


def release(host: Host) -> None:
    host.sh(f"echo go >{GATE}")


def ends(host: Host, step: str) -> list[int | None]:
    """How the runs of that step have ended; None: it still runs."""
    return [run.status for run in evidence.step_runs(host) if run.step == step]


def test_hosts_whose_package_database_is_held_go_on_when_it_is_free(tmp_path: Path) -> None:
    plans = [HostPlan(family=family) for family, _ in HOLDERS.values()]
    with Site(tmp_path / "site", plans) as site:
        shared = site.cluster.work_dir / "held-up"
        for name, (family, command) in HOLDERS.items():
            hold(site.hosts[name], command, packages.held_up(shared, family))
        site.scheduler.start()
        hosts = site.hosts.values()
        site.scheduler.wait("they meet the lock", lambda: all(ends(h, STEP) for h in hosts))
        yum_user = site.hosts["h2.lab"]
        site.scheduler.wait("yum's lock is told", lambda: AGAIN in ends(yum_user, STEP), PATIENCE_S)
        assert all(0 not in ends(host, STEP) for host in hosts)
        for host in hosts:
            release(host)
        site.scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
        for host in hosts:
            runs = evidence.step_runs(host)
            held = [run.reason for run in runs if run.status == AGAIN]
            assert set(held) <= {"package-lock"}
            assert all(run.status in {*evidence.HELD, AGAIN} for run in runs)


def test_a_kernel_from_the_repository_runs_after_a_reboot(tmp_path: Path) -> None:
    plan = HostPlan(family=RPM, files=OTHER_KERNEL)
    kernels = [tree_rpm.KERNEL]
    with Site(tmp_path / "site", [plan], more=["-kernel=install"], kernels=kernels) as site:
        (name,) = site.hosts
        host = site.hosts[name]
        before = host.boot_id
        assert host.sh("uname -r").strip() != tree_rpm.KERNEL
        site.scheduler.start()
        site.scheduler.wait_phase("ready", [name], PATIENCE_S)
        assert host.boot_id != before
        assert len(evidence.boots(host)) == 2, "one reboot"
        assert host.sh("uname -r").strip() == tree_rpm.KERNEL
        assert host.sh("rpm -q kernel").strip() == f"kernel-{tree_rpm.KERNEL}"
        assert ends(host, STEP) == [AFTER_REBOOT], "then a survey found that it holds"


def test_a_repository_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    away = {tree_rpm.REPOSITORY: tree_rpm.repository_file("http://127.0.0.1:9/")}
    with Site(tmp_path / "site", [HostPlan(family=RPM, files=away)]) as site:
        (name,) = site.hosts
        host = site.hosts[name]
        site.scheduler.start()
        site.scheduler.wait("it was asked", lambda: AGAIN in ends(host, STEP))
        (first, *_) = [r for r in evidence.step_runs(host) if r.step == STEP]
        assert (first.reason, first.changed) == ("download", False)
        url = f"http://{site.repository_address}/"
        host.put(tree_rpm.REPOSITORY, tree_rpm.repository_file(url))
        site.scheduler.wait_phase("ready", [name], PATIENCE_S)
