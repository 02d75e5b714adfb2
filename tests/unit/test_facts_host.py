"""What a survey tells of a host and its Mesos agent, by samples of many platforms and tools."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from domain.facts import Cluster, Facts, PackageDatabase, Service
from install_steps.facts import parse_survey
from install_steps.host_facts import SPACES
from install_steps.packages import platform_fault
from simulation.host import CENTOS_7, DEBIAN_12, UBUNTU_14, OsImage, SimulatedHost
from tests.surveys import FOLDER, PLATFORMS, assembled, outputs


def facts(platform: str, **changed: tuple[str, int]) -> Facts:
    frames = outputs(platform)
    for name, output in changed.items():
        frames[name.replace("_", "-")] = output
    return parse_survey(assembled(frames))


def lines(*told: str) -> tuple[str, int]:
    return "".join(f"{line}\n" for line in (*told, ".")), 0


def test_each_sample_has_its_origin_written_down() -> None:
    index = (FOLDER / "INDEX.md").read_text(encoding="utf-8")
    assert [name for name in PLATFORMS if f"| `{name}` |" not in index] == []
    assert len(PLATFORMS) >= 12


# -- release ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "release", "init", "told_by"),
    [
        ("alma-8", ("almalinux", "8.9"), "systemd", "os-release"),
        ("centos-6", ("centos", "6.10"), "upstart", "system-release"),
        ("centos-7", ("centos", "7"), "systemd", "os-release"),
        ("debian-10", ("debian", "10"), "systemd", "os-release"),
        ("debian-11", ("debian", "11"), "systemd", "os-release"),
        ("debian-12", ("debian", "12"), "systemd", "os-release"),
        ("debian-13", ("debian", "13"), "systemd", "os-release"),
        ("debian-7-sysv", ("debian", "7"), "sysvinit", "debian_version"),
        ("debian-8", ("debian", "8"), "systemd", "os-release"),
        ("oracle-7", ("ol", "7.9"), "systemd", "os-release"),
        ("rhel-8", ("rhel", "8.9"), "systemd", "os-release"),
        ("rocky-9", ("rocky", "9.4"), "systemd", "os-release"),
        ("ubuntu-14.04", ("ubuntu", "14.04"), "upstart", "os-release"),
        ("ubuntu-16.04", ("ubuntu", "16.04"), "systemd", "os-release"),
        ("ubuntu-18.04", ("ubuntu", "18.04"), "systemd", "os-release"),
        ("ubuntu-20.04", ("ubuntu", "20.04"), "systemd", "os-release"),
        ("ubuntu-22.04", ("ubuntu", "22.04"), "systemd", "os-release"),
    ],
)
def test_platform_and_init_system(
    platform: str, release: tuple[str, str], init: str, told_by: str
) -> None:
    found = facts(platform)
    assert (found.os_id, found.os_version) == release
    assert (found.init, found.release, found.architecture) == (init, told_by, "x86_64")


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("centos-release=CentOS Linux release 7.9.2009 (Core)", ("centos", "7.9.2009")),
        ("centos-release=CentOS Stream release 8", ("centos", "8")),
        (
            "redhat-release=Red Hat Enterprise Linux Server release 6.9 (Santiago)",
            ("rhel", "6.9"),
        ),
        ("redhat-release=Red Hat Enterprise Linux release 9.3 (Plow)", ("rhel", "9.3")),
        ("system-release=Oracle Linux Server release 7.9", ("ol", "7.9")),
        ("system-release=Rocky Linux release 8.9 (Green Obsidian)", ("rocky", "8.9")),
        ("system-release=AlmaLinux release 9.3 (Shamrock)", ("almalinux", "9.3")),
        ("redhat-release=Scientific Linux release 7.9 (Nitrogen)", ("scientific", "7.9")),
        ("debian_version=8.11", ("debian", "8")),
        ("debian_version=trixie/sid", ("", "")),
        ("redhat-release=Unheard Of release 3", ("", "")),
    ],
)
def test_a_host_without_os_release_is_known_by_its_older_files(
    line: str, release: tuple[str, str]
) -> None:
    found = facts("debian-11", os_release=("", 1), release_files=lines(line))
    assert (found.os_id, found.os_version) == release


def test_ubuntu_is_not_taken_for_the_debian_of_its_older_file() -> None:
    found = facts("ubuntu-14.04", os_release=("", 1))
    assert (found.os_id, found.os_version, found.release) == ("ubuntu", "14.04", "lsb-release")


def test_a_poor_os_release_is_filled_up_by_the_file_of_the_same_platform_only() -> None:
    found = facts("oracle-7")
    assert (found.os_version, found.os_like) == ("7.9", ("fedora",))
    other = facts("oracle-7", os_release=("ID=gentoo\n", 0))
    assert (other.os_id, other.os_version) == ("gentoo", "")


@pytest.mark.parametrize(
    ("platform", "fault"),
    [
        ("centos-6", "centos 6.10 is too old: 7 or newer is supported"),
        ("debian-7-sysv", "debian 7 is too old: 8 or newer is supported"),
        ("ubuntu-20.04", "in a container"),
        *(
            (name, "")
            for name in sorted({*PLATFORMS} - {"centos-6", "debian-7-sysv", "ubuntu-20.04"})
        ),
    ],
)
def test_what_is_not_supported_is_said_before_anything_is_tried(platform: str, fault: str) -> None:
    said = platform_fault(facts(platform))
    assert fault in said
    assert bool(fault) == bool(said)


# -- clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "synced"),
    [
        ("debian-8", "yes"), ("ubuntu-18.04", "yes"), ("centos-7", "yes"), ("ubuntu-14.04", "yes"),
        ("ubuntu-22.04", "no"), ("debian-13", "no"), ("centos-6", ""),
    ],
)  # fmt: skip
def test_whether_somebody_keeps_the_clock(platform: str, synced: str) -> None:
    assert facts(platform).clock_synced == synced


def test_the_clock_is_the_one_at_the_end() -> None:
    found = facts("centos-7")
    assert (found.clock, found.took_s, found.uptime_s) == (1600000009, 2, 86400)
    lost = facts("centos-7", clock_end=("", 127))
    assert (lost.clock, lost.took_s) == (0, 0)


# -- packages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "manager", "state", "holder"),
    [
        ("alma-8", "dnf", "free", ""),
        ("centos-6", "yum", "locked", "yum"),
        ("centos-7", "yum", "locked", "yum"),
        ("debian-10", "apt", "unreadable", ""),
        ("debian-11", "apt", "free", ""),
        ("debian-12", "apt", "locked", "dpkg"),
        ("debian-13", "apt", "damaged", ""),
        ("rhel-8", "dnf", "locked", "dnf"),
        ("rocky-9", "dnf", "free", ""),
        ("ubuntu-16.04", "apt", "locked", "unattended-upgr"),
    ],
)
def test_the_package_database(platform: str, manager: str, state: str, holder: str) -> None:
    database = facts(platform).database
    assert (database.manager, database.state, database.holder) == (manager, state, holder)


def test_a_lock_alone_tells_who_holds_it_whatever_device_the_host_calls_it() -> None:
    def held(file: str, lock: str) -> PackageDatabase:
        told = lines(f"file=/var/lib/dpkg/lock {file}", f"lock={lock}", "holder=52 apt-get")
        return facts("debian-11", package_locks=told).database

    assert held("58 4711", "1: POSIX  ADVISORY  WRITE 52 00:3a:4711 0 EOF").holder == "apt-get"
    assert held("64513 4711", "1: POSIX  ADVISORY  WRITE 52 fc:01:4711 0 EOF").state == "locked"
    assert held("58 4711", "1: POSIX  ADVISORY  WRITE 52 00:2f:4711 0 EOF").state == "locked"
    assert held("58 4711", "1: OFDLCK ADVISORY  WRITE -1 00:3a:4711 0 EOF").holder == (
        "another program"
    )
    for other in (
        "1: POSIX  ADVISORY  WRITE 52 fe:00:4711 0 EOF",  # the same number on another disk
        "1: POSIX  ADVISORY  WRITE 52 00:3a:4712 0 EOF",
        "1: POSIX  ADVISORY  READ  52 00:3a:4711 0 EOF",
    ):
        assert held("58 4711", other).state == "free"


def test_what_dpkg_left_half_done_is_named() -> None:
    assert facts("debian-13").database.broken == ("libhalf1",)
    noted = facts("debian-11", dpkg_repair=lines("audit=0", "/var/lib/dpkg/updates/0003"))
    assert noted.database.state == "damaged"
    temporary = facts("debian-11", dpkg_repair=lines("audit=0", "/var/lib/dpkg/updates/tmp.i"))
    assert temporary.database.state == "free"


@pytest.mark.parametrize(
    "lost",
    [
        {"package_locks": ("", 127)},
        {"package_locks": ("file=/var/lib/dpkg/lock 58 1\n", 0)},
        {"dpkg_repair": ("", 1)},
        {"dpkg_repair": ("audit=0\n", 0)},
        {"dpkg_repair": lines("audit=2")},
        {"dpkg_repair": lines("audit=124")},
        {"packages_deb": ("", 124)},
    ],
)
def test_a_database_is_not_called_free_by_half_the_evidence(
    lost: dict[str, tuple[str, int]],
) -> None:
    assert facts("debian-11", **lost).database.state == ""


def test_versions_of_what_others_bring() -> None:
    found = facts("centos-7")
    assert found.packages == {"sds": "2.0-10000.2072.el7", "sdc": "2.0-10000.2072.el7"}
    assert found.tools["mesos"] == "1.9.0-2.0.1.el7"
    assert found.tools["openssl"] == "1.0.2k-26.el7_9"
    assert "rpm" not in found.tools
    assert facts("debian-13").tools["libaio1t64"] == "0.3.113-8+b1"


# -- services ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "name", "state", "boot"),
    [
        ("centos-7", "sds", "active", "enabled"),
        ("centos-7", "scini", "active", "enabled"),
        ("centos-7", "mesos-slave", "active", "disabled"),
        ("centos-7", "docker", "absent", ""),
        ("debian-12", "docker", "failed", ""),
        ("debian-13", "mesos-agent", "active", "enabled"),
        ("debian-7-sysv", "mesos-slave", "active", "disabled"),
        ("ubuntu-14.04", "mesos-slave", "active", "enabled"),
        ("ubuntu-14.04", "scini", "active", "enabled"),
        ("ubuntu-14.04", "docker", "inactive", "enabled"),
        ("ubuntu-14.04", "mesos-agent", "absent", ""),
        ("ubuntu-16.04", "sds", "starting", "enabled"),
        ("ubuntu-18.04", "scini", "active", "enabled"),
        ("ubuntu-18.04", "mesos-slave", "failed", "disabled"),
    ],
)
def test_services_as_their_init_system_tells(
    platform: str, name: str, state: str, boot: str
) -> None:
    assert facts(platform).states[name] == Service(state=state, boot=boot)


def test_upstarts_override_keeps_a_job_from_starting_at_boot() -> None:
    told = lines(
        "file=/etc/init/mesos-slave.conf", "start on stopped rc RUNLEVEL=[2345]",
        "file=/etc/init/mesos-slave.override", "manual",
    )  # fmt: skip
    stopped = ("mesos-slave stop/waiting\n", 0)
    changed = {"job_files": told, "service.mesos-slave": stopped}
    assert facts("ubuntu-14.04", **changed).states["mesos-slave"] == Service(
        state="inactive", boot="disabled"
    )


def test_a_service_that_nobody_tells_about_is_unknown_not_absent() -> None:
    assert facts("centos-7", units=("", 124)).states["sds"] == Service()
    assert facts("ubuntu-14.04", job_files=("", 1)).states["docker"] == Service()


# -- room ---------------------------------------------------------------------------------------


def test_free_space_and_inodes_of_each_folder() -> None:
    by_folder = {space.folder: space for space in facts("centos-7").space}
    assert set(by_folder) == {*SPACES.values()}
    var = by_folder["/var"]
    assert (var.mount, var.free_bytes, var.size_bytes) == ("/var", 11280 * 1024, 20961280 * 1024)
    assert var.free_inodes == 10475761
    assert by_folder["/opt"].mount == "/"


def test_a_file_system_that_counts_no_inodes_has_enough_of_them() -> None:
    assert facts("ubuntu-22.04").space[0].free_inodes == -1


def test_a_table_that_is_cut_off_tells_nothing() -> None:
    head = "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
    frames = {"space.root": (f"{head}/dev/sda1 100 50 50", 0), "space.opt": ("", 124)}
    root, opt = facts("debian-11", **frames).space[:2]
    assert (root.free_bytes, opt.free_bytes) == (-1, -1)


# -- the storage client ---------------------------------------------------------------------------


def test_every_storage_cluster_of_the_sdc_is_known() -> None:
    found = facts("ubuntu-14.04")
    assert found.sdc_clusters == (
        Cluster(system_id="6035b6cf11223344", addresses=("10.0.0.1", "10.0.0.2")),
        Cluster(system_id="5e2f91aa55667788", addresses=("10.1.0.1", "10.1.0.2")),
    )
    assert found.sdc_mdms == ("10.0.0.1", "10.0.0.2", "10.1.0.1", "10.1.0.2")
    down = facts("ubuntu-14.04", mdms=("", 1))
    assert [cluster.addresses for cluster in down.sdc_clusters] == [
        ("10.0.0.1", "10.0.0.2"), ("10.1.0.1", "10.1.0.2"),
    ]  # fmt: skip
    assert {cluster.system_id for cluster in down.sdc_clusters} == {""}


def test_where_the_module_comes_from() -> None:
    file = "/lib/modules/5.4.0/extra/scini.ko"
    found = facts("ubuntu-18.04", module_file=(f"{file}\n", 0), module_version=("2.6.700\n", 0))
    assert (found.module_file, found.module_version) == (file, "2.6.700")
    assert facts("ubuntu-18.04").module_file == ""


# -- the Mesos agent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "start", "unit", "contained"),
    [
        ("centos-7", "systemd", "mesos-slave", "no"),
        ("debian-12", "hand", "", "no"),
        ("debian-13", "systemd", "mesos-agent", "no"),
        ("debian-7-sysv", "sysvinit", "mesos-slave", "no"),
        ("ubuntu-14.04", "upstart", "mesos-slave", "no"),
        ("ubuntu-20.04", "container", "", "yes"),
        ("ubuntu-22.04", "systemd", "mesos-agent", "no"),
        ("alma-8", "", "", "no"),
    ],
)
def test_who_has_started_the_agent(platform: str, start: str, unit: str, contained: str) -> None:
    found = facts(platform)
    assert (found.agent.start, found.agent.unit, found.contained) == (start, unit, contained)


@pytest.mark.parametrize(
    ("platform", "sources"),
    [
        ("centos-7", {"isolation": "/etc/mesos-slave/isolation", "work_dir": "command line"}),
        (
            "debian-13",
            {
                "work_dir": "/etc/mesos-agent/work_dir",
                "isolation": "/etc/default/mesos-agent",
                "launcher": "environment",
            },
        ),
        ("debian-12", {"work_dir": "command line", "switch_user": "command line"}),
    ],
)
def test_where_the_agents_flags_come_from(platform: str, sources: dict[str, str]) -> None:
    assert facts(platform).agent.sources == sources


def test_the_agents_flags_are_kept_without_what_may_be_secret() -> None:
    trusty, jammy = facts("ubuntu-14.04"), facts("ubuntu-22.04")
    assert trusty.agent.version == "1.7.2"
    assert trusty.agent.flags["attributes"] == "rack:r1"
    assert trusty.agent.flags["credential"] == "/etc/mesos-slave/credential"
    assert jammy.agent.modules == ("com_example_Authn",)
    assert jammy.agent.flags["image_providers"] == "docker"
    assert "hunter2" not in repr(jammy)
    assert "c2VjcmV0" not in repr(trusty)


def test_no_value_of_a_flag_or_variable_leaves_the_host() -> None:
    """The host of this sample was started with the word in its flags, variables and files."""
    text = (Path(FOLDER) / "debian-13" / "outputs.txt").read_text(encoding="utf-8")
    assert "flag=master" in text
    assert "variable=MESOS_DOCKER_CONFIG" in text
    assert "s3cret" not in text


def test_a_credential_that_is_no_file_is_not_kept() -> None:
    flags = ('{"flags":{"credential":"principal secret","work_dir":"/w"}}', 0)
    assert facts("alma-8", agent_flags=flags).agent.flags == {"work_dir": "/w"}


def test_a_root_that_tasks_cannot_look_at_is_not_theirs() -> None:
    hidden = lines("pid=1", "exe=", "root=")
    assert facts("alma-8", **{"process.init": hidden}).contained == "yes"
    assert facts("alma-8", **{"process.init": ("", 1)}).contained == ""


def test_a_host_that_is_a_container_itself_is_at_home_there() -> None:
    """Process 1 bears the same marks."""
    init = lines("pid=1", "root=64513:2", "cgroup=1:name=systemd:/lxc/host/init.scope")
    agent = lines("pid=9", "root=64513:2", "cgroup=1:name=systemd:/lxc/host/system.slice/m.service")
    frames = {"process.init": init, "process.self": init, "process.agent3": agent}
    found = facts("ubuntu-16.04", **frames)
    assert (found.contained, found.agent.start, found.agent.unit) == ("no", "systemd", "m")


@pytest.mark.parametrize("platform", [DEBIAN_12, UBUNTU_14, CENTOS_7])
def test_the_simulated_host_speaks_as_the_samples_do(platform: OsImage) -> None:
    chance = random.Random(1)  # noqa: S311  # a simulation's chance
    host = SimulatedHost(hostname="a1.test", address="10.1.0.1", rng=chance, os=platform)
    host.dials.no_room = "opt"
    host.dials.packages_half_done = True
    found = parse_survey(host.begin("survey", {}).finish().stdout)
    assert found.database.state == ("damaged" if platform.family == "deb" else "free")
    assert (found.agent.start, found.agent.unit) == (platform.init, "mesos-slave")
    assert found.states["mesos-slave"] == Service(state="active", boot="enabled")
    assert [space.folder for space in found.space if not space.free_bytes] == ["/opt"]
    assert (found.contained, platform_fault(found)) == ("no", "")


def test_of_several_agents_the_hosts_own_is_looked_at() -> None:
    inside = outputs("ubuntu-20.04")["process.agent3"]
    found = facts("centos-7", **{"process.agent4": inside})
    assert (found.agent.processes, found.agent.start, found.contained) == (2, "systemd", "no")
