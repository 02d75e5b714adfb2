"""Hosts whose process 1 is no systemd become ready: packages with their services, and a reboot that
the scheduler permits. Sysvinit is real, with cron as every usual host has it; upstart is a stand-in
for its `initctl`. Restarts of the agent are in test_init_systems.py and test_init_restarts.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.lab import again, evidence
from tests.lab.host import Host
from tests.lab.site import HostPlan, Site
from tests.lab.test_reboot import steps_that_want_a_reboot
from tests.lab.tree_sysv import SYSVINIT, UPSTART
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

PLANS: Final = {"h0.lab": HostPlan(init=SYSVINIT), "h1.lab": HostPlan(init=UPSTART)}
PACKAGES: Final = ("emc-scaleio-sds", "emc-scaleio-sdc", "rexray", "libaio1", "openssl", "curl")
PATIENCE_S: Final = 480.0  # cron looks once a minute, and hosts reboot one after the other


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("old")
    steps = steps_that_want_a_reboot(folder / "steps")
    more = (f"-steps.dir={steps}", "-components.dvdcli=ignore")
    with Site(folder / "site", list(PLANS.values()), more=more) as site:
        yield site


def all_gone(host: Host) -> None:
    """Cron takes away what was armed before a reboot when it next looks, which is once a minute."""
    wait_for("nothing is armed any more", lambda: not own_jobs(host))


def own_jobs(host: Host) -> list[str]:
    """What we have armed there, or left armed."""
    folders = "/etc/cron.d /etc/init"
    return host.sh(f"ls {folders} 2>/dev/null | grep scaleio-framework || :").split()


@pytest.mark.parametrize("name", PLANS)
def test_the_survey_knows_the_init_system(site: Site, name: str) -> None:
    host = site.hosts[name]
    assert host.sh("cat /proc/1/comm").strip() == "init"
    assert again.survey(host).init == PLANS[name].init


def runs(host: Host, service: str) -> bool:
    """By the host's own word."""
    told = host.run("service", service, "status", check=False)
    return told.returncode == 0 and "stop/waiting" not in told.stdout


def all_run(host: Host, *services: str) -> None:
    what = f"{services} run on {host.name}"
    wait_for(what, lambda: all(runs(host, service) for service in services))


def reboot(host: Host) -> None:
    boot = host.boot_id
    host.run("shutdown", "-r", "now", check=False)  # it may end with the host
    wait_for("it is another boot", lambda: host.boot_id not in {"", boot})
    host.wait_booted()


def test_hosts_become_ready_over_a_reboot(site: Site) -> None:
    boots = {name: host.boot_id for name, host in site.hosts.items()}
    site.scheduler.start()
    site.scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
    for name, host in site.hosts.items():
        assert host.boot_id != boots[name]
        receipt = evidence.receipts(host)["reboot"]
        assert (receipt["state"], receipt["reason"]) == ("kept", "permitted")
        all_gone(host)


def test_packages_came_with_their_services(site: Site) -> None:
    for host in site.hosts.values():
        for package in PACKAGES:
            status = host.sh(f"dpkg-query -W -f '${{Status}}' {package}")
            assert status == "install ok installed", package
        all_run(host, "sds", "scini", "rexray")
        assert host.sh("cat /sys/module/scini/initstate").strip() == "live"


def test_services_come_back_with_the_host(site: Site) -> None:
    site.scheduler.kill()  # by themselves, that is
    for host in site.hosts.values():
        reboot(host)
        all_run(host, "sds", "scini", "mesos-slave")
