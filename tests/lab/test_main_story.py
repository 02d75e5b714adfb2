"""The product's promise on booted hosts of two families: bare agents become storage nodes, and an
application that loses its host finds its data on another, of the other family. The tests go in the
order of the story."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
import pytest

from tests.lab import again, evidence, tree_rpm
from tests.lab.host import Host
from tests.lab.packages import DEB, RPM
from tests.lab.site import AGENT_PORT, UNIT, HostPlan, Site
from tests.real_mesos import get_json
from tests.real_mesos.mini_scheduler import Scheduler as MesosClient
from tests.scheduler_process import PASSWORD, wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

Json = dict[str, Any]

SERVICES: Final = ("sds", "scini", "rexray", "mesos-slave")
PLANS: Final = (
    HostPlan(),
    HostPlan(family=RPM),
    HostPlan(style=UNIT),
    HostPlan(family=RPM, style=UNIT),
    HostPlan(),
    HostPlan(family=RPM, files=tree_rpm.ROCKY_8),
)
PACKAGES: Final = {
    DEB: (
        "emc-scaleio-sds", "emc-scaleio-sdc", "rexray", "libaio1", "numactl", "openssl", "curl",
        "ca-certificates",
    ),
    RPM: (
        "EMC-ScaleIO-sds", "EMC-ScaleIO-sdc", "rexray", "libaio", "numactl", "openssl", "curl",
        "ca-certificates",
    ),
}  # fmt: skip
STATE: Final = "/var/lib/scaleio-framework"
MODES: Final = {
    "/etc/rexray/config.yml": "600 root root",
    STATE: "700 root root",
    f"{STATE}/host_key.pem": "600 root root",
    f"{STATE}/backup": "700 root root",
    f"{STATE}/receipt.json": "600 root root",
    "/usr/bin/dvdcli": "755 root root",
}
PATIENCE_S: Final = 400.0  # six hosts, of which two restart their agents at a time
CHECKPOINTS: Final = "/var/lib/mesos-docker-volume"
NOTE: Final = "written on the first host"


@attrs.frozen
class Story:
    site: Site
    watch: evidence.ProcessWatch


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story") / "site"
    with evidence.ProcessWatch(PASSWORD, folder / "hosts") as watch, Site(folder, PLANS) as site:
        site.scheduler.start()
        site.scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
        yield Story(site, watch)


def hosts(story: Story) -> Iterator[tuple[str, Host]]:
    """Each with its family."""
    for plan, host in zip(PLANS, story.site.hosts.values(), strict=True):
        yield plan.family, host


def installed(host: Host, family: str) -> set[str]:
    """Names of packages, by the family's own database."""
    if family == RPM:
        return set(host.sh("rpm -qa --qf '%{NAME}\\n'").split())
    listed = host.sh("dpkg-query -W -f '${Status}:${Package}\\n'").split("\n")
    head = "install ok installed:"
    return {line.removeprefix(head) for line in listed if line.startswith(head)}


def test_six_bare_hosts_of_two_families_become_storage_nodes(story: Story) -> None:
    for family, host in hosts(story):
        assert set(PACKAGES[family]) <= installed(host, family)
        for service in SERVICES:
            assert host.sh(f"systemctl is-active {service}").strip() == "active"
        for path, wanted in MODES.items():
            assert host.sh(f"stat -c '%a %U %G' {path}").strip() == wanted, path
        assert host.sh("cat /sys/module/scini/initstate").strip() == "live"
        config = host.sh("cat /etc/rexray/config.yml")
        assert "preempt: true" in config
        assert "ignoreUsedCount: true" in config
        flags = get_json(f"{story.site.agent_url(host.name)}/flags")["flags"]
        assert {"filesystem/linux", "docker/volume"} <= set(flags["isolation"].split(","))
        assert flags["docker_volume_checkpoint_dir"] == CHECKPOINTS


def test_no_host_knows_the_other_familys_package_manager(story: Story) -> None:
    managers = {DEB: ("rpm", "yum", "dnf"), RPM: ("dpkg", "dpkg-query", "apt-get", "apt-cache")}
    for family, host in hosts(story):
        for program in managers[family]:
            assert host.run("sh", "-c", f"command -v {program}", check=False).returncode, program
    assert story.site.repository.downloads["repomd.xml"] >= 3, "yum has asked the repository"


def test_the_storage_cluster_has_their_disks_and_clients(story: Story) -> None:
    state = story.site.storage.state()
    for host in story.site.hosts.values():
        sds = next(one for one in state["sds"] if one["ip"] == host.address)
        assert sds["connected"]
        assert sds["devices"] == ["/dev/disk/by-id/virtio-lab-xvdf"]
        assert any(one["ip"] == host.address and one["connected"] for one in state["sdcs"])
    assert state["volumes"] == [], "the probe volumes are gone"


def test_every_step_ran_once_and_left_its_receipt(story: Story) -> None:
    for host in story.site.hosts.values():
        runs = evidence.step_runs(host)
        applied = [run.step for run in runs if run.changed]
        assert sorted(applied) == sorted([*evidence.INSTALLATION, "agent-restart"])
        assert all(run.status in evidence.HELD for run in runs)
        kept = evidence.receipts(host)
        assert {*evidence.INSTALLATION, "agent-restart"} <= kept.keys()
        assert {entry["state"] for entry in kept.values()} == {"kept"}
        assert kept["sds"]["version"] == "2.0-10000.2072"
    downloads = story.site.files.downloads
    for name, count in downloads.items():
        fitting = [plan for plan in PLANS if name.endswith((f".{plan.family}", ".tar.gz"))]
        assert count == len(fitting), f"{name} once a host"
    assert len(downloads) == 7, "three packages of each family, and an archive for both"


@pytest.mark.parametrize("step", evidence.INSTALLATION)
def test_a_second_run_of_a_step_changes_nothing(story: Story, step: str) -> None:
    for host in story.site.hosts.values():
        environment = again.environment_of(story.site, host, step)
        before = evidence.written(host)
        ended = again.run_step(host, step, environment)
        assert (ended.status, ended.result["changed"]) == (0, False), ended.stderr
        assert ended.result["reason"] == "holds"
        changed = {p for p, d in evidence.written(host).items() if before.get(p) != d}
        assert changed <= {f"{STATE}/receipt.json", f"{STATE}/receipt.d/{step}.json"}


def test_a_program_that_a_killed_rpm_has_left_is_known_as_ours(story: Story) -> None:
    """Its files are there, and the package database does not list it."""
    host = [host for family, host in hosts(story) if family == RPM][-1]
    before = again.survey(host).packages["rexray"]
    host.run("rpm", "--erase", "--justdb", "rexray")
    host.run("test", "-x", "/usr/bin/rexray")
    assert "rexray" not in again.survey(host).packages
    ended = again.run_step(host, "rexray", again.environment_of(story.site, host, "rexray"))
    assert (ended.status, ended.result["changed"]) == (0, True), ended.stderr
    assert again.survey(host).packages["rexray"] == before


def application(story: Story, client: MesosClient, name: str, host: str, shell: str) -> None:
    """A task with a volume, as Marathon would start it."""
    volume = {"driver": "rexray", "name": "notes"}
    container = {
        "type": "MESOS",
        "volumes": [
            {
                "container_path": "data",
                "mode": "RW",
                "source": {"type": "DOCKER_VOLUME", "docker_volume": volume},
            }
        ],
    }
    client.run(name, shell, lambda o: bool(o["hostname"] == host), {"container": container})


def mapped_to(story: Story) -> list[str]:
    """Addresses of the hosts that the volume is mapped to, by the Gateway's word."""
    state = story.site.storage.state()
    volume = next(one for one in state["volumes"] if one["name"] == "notes")
    return [one["ip"] for one in state["sdcs"] if one["guid"] in volume["mapped"]]


def test_an_application_finds_its_data_on_another_host_when_its_own_is_cut_off(
    story: Story,
) -> None:
    first, second, *_ = story.site.hosts
    write = f"echo '{NOTE}' > data/note && sync && sleep 1000"
    with story.site.application() as client:
        application(story, client, "writer", first, write)
        client.wait_update("writer", "TASK_RUNNING")
        wait_for("it is mapped", lambda: mapped_to(story) == [story.site.hosts[first].address])
        note = "find /var/lib/rexray -name note -size +0c | grep ."
        is_there = lambda: not story.site.hosts[first].run("sh", "-c", note, check=False).returncode  # noqa: E731
        wait_for("it has written", is_there)
        story.site.hosts[first].cut()
        application(story, client, "reader", second, "grep . data/note && sleep 1000")
        client.wait_update("reader", "TASK_RUNNING")
        assert read_by(story, client, second, "reader") == NOTE
        assert mapped_to(story) == [story.site.hosts[second].address]


def read_by(story: Story, client: MesosClient, host: str, task: str) -> str:
    """What the task has printed, read in its sandbox through the agent."""
    path = (
        f"/frameworks/{client.framework_id}/executors/{task}/runs/latest/stdout&offset=0"
        "&length=1000"
    )

    def printed() -> str:
        answer = get_json(f"{story.site.agent_url(host)}/files/read?path={path}")
        return "\n".join(line for line in answer["data"].splitlines() if NOTE in line)

    return wait_for("it has printed", printed)


def test_the_host_that_was_cut_off_comes_back_by_itself(story: Story) -> None:
    site = story.site
    first = next(iter(site.hosts))
    host = site.hosts[first]
    site.boot(first)
    site.wait_registered(first)
    boot = evidence.boots(host)[-1]

    def ready_again() -> bool:
        agent = site.scheduler.agents()[first]
        return bool(agent["phase"] == "ready" and agent["since"] > boot.first)

    site.scheduler.wait("it is ready again", ready_again)
    runs = [run for run in evidence.step_runs(host) if run.boot_id == boot.boot_id]
    assert [run.step for run in runs if run.changed] == [], "what is installed survives"
    for service in SERVICES:
        assert host.sh(f"systemctl is-active {service}").strip() == "active"


def test_the_password_is_in_rexrays_file_and_nowhere_else(story: Story) -> None:
    site = story.site
    agents = [f"{host.address}:{AGENT_PORT}" for host in site.hosts.values()]
    answers = evidence.mesos_answers(site.cluster.addresses["master0"], agents)
    for where, body in answers.items():
        assert not any(word in body for word in evidence.spellings(PASSWORD)), where
    allowed = {host.folder / "upper/etc/rexray/config.yml" for host in site.hosts.values()}
    allowed.add(site.folder / "password")  # the operator's own
    found = set(evidence.files_with(PASSWORD, site.folder))
    assert found == allowed
    for host in site.hosts.values():
        assert evidence.found_inside(host, PASSWORD) == []
    assert story.watch.looks > 100
    assert {"sh", "curl", "rexray", "dpkg", "rpm"} <= story.watch.seen, "it was there to see"
    assert {"log", "unit"} & story.watch.files, "steps at work were seen"
    assert story.watch.hits == set()
