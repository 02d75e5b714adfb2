"""What speaks against a host is said: what is shown, and what keeps a step from being tried."""

from __future__ import annotations

import attrs
import pytest

from actors.board import AgentSnapshot
from domain.facts import Cluster, Facts, MesosAgent, PackageDatabase, Service, Space
from domain.plan import PlannedStep
from install_steps.catalog import load_catalog, plan_for
from install_steps.concerns import MIB, concerns, hindrance, too_old
from install_steps.facts import parse_survey
from tests.surveys import PLATFORMS, assembled, outputs
from tests.unit.catalog_cases import DVDCLI, REXRAY, SDC, entry, text
from tests.unit.changes import changed
from web.views import Times, agent_whole

READ_AT = 1_600_000_000.0
SOUND = Facts(
    machine_id="m1",
    boot_id="b1",
    os_id="debian",
    os_version="12",
    kernel="6.1.0-18-amd64",
    isolation=("posix/cpu",),
    launcher="linux",
    clock=int(READ_AT),
    database=PackageDatabase(manager="apt", state="free"),
    space=tuple(
        Space(folder=folder, mount="/", size_bytes=10**11, free_bytes=10**10, free_inodes=10**6)
        for folder in ("/", "/opt", "/var", "state", "sandbox")
    ),
    contained="no",
    agent=MesosAgent(start="systemd", unit="mesos-slave", processes=1),
    states={"mesos-slave": Service(state="active", boot="enabled")},
)
CATALOG = load_catalog(text(entry(), SDC, REXRAY, DVDCLI), "catalog.json")


def room(free_bytes: int, **others: int) -> tuple[Space, ...]:
    """Everything on one file system."""
    return tuple(changed(s, {"free_bytes": free_bytes, **others}) for s in SOUND.space)


def told(**changes: object) -> tuple[str, ...]:
    return concerns(changed(SOUND, changes), read_at=READ_AT)


def planned(facts: Facts) -> dict[str, PlannedStep]:
    steps = plan_for(facts, provides_storage=True, catalog=CATALOG, components={})
    return {step.name: step for step in steps}


def test_of_a_sound_host_nothing_is_said() -> None:
    assert told() == ()
    assert {step.state for step in planned(SOUND).values()} == {"wanted"}


def test_of_a_host_that_told_little_nothing_is_said_and_nothing_is_held_up() -> None:
    """Facts of an older survey, for one."""
    bare = Facts(
        machine_id="m1", boot_id="b1", os_id="debian", os_version="12", kernel="6.1.0-18-amd64",
        isolation=("posix/cpu",), launcher="linux",
    )  # fmt: skip
    assert concerns(bare, read_at=READ_AT) == ()
    assert {step.state for step in planned(bare).values()} == {"wanted"}


# -- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off_s", "said"),
    [(60, ""), (-60, ""), (61, "61 s ahead of ours"), (-61, "61 s behind ours")],
)
def test_a_clock_that_is_more_than_a_minute_off(off_s: int, said: str) -> None:
    sentences = told(clock=int(READ_AT) + off_s)
    assert len(sentences) == bool(said)
    assert said in " ".join(sentences)


def test_a_clock_is_compared_only_where_both_are_known() -> None:
    assert told(clock=0) == ()
    assert concerns(attrs.evolve(SOUND, clock=5)) == ()


def test_a_clock_that_nobody_keeps() -> None:
    assert "NTP" in told(clock_synced="no")[0]
    assert told(clock_synced="yes") == ()


@pytest.mark.parametrize(
    ("database", "said"),
    [
        (PackageDatabase(state="locked", holder="apt-get"), "apt-get holds the package database"),
        (PackageDatabase(state="damaged", broken=("a", "b")), "dpkg was interrupted (a, b)"),
        (PackageDatabase(state="damaged"), "dpkg was interrupted:"),
        (PackageDatabase(state="unreadable"), "cannot be read"),
    ],
)
def test_a_package_database_that_cannot_be_used_now(database: PackageDatabase, said: str) -> None:
    (sentence,) = told(database=database)
    assert said in sentence


def test_little_room_is_told_once_for_each_file_system() -> None:
    assert told(space=room(255 * MIB)) == ("little room in /: 255 MiB are free",)
    assert told(space=room(256 * MIB)) == ()
    assert told(space=room(25 * MIB, size_bytes=237 * MIB)) == ()  # a small /boot is no worry
    assert told(space=room(10**10, free_inodes=7)) == ("few inodes in /: 7 are free",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contained": "yes"}, "runs in a container"),
        ({"agent": MesosAgent(start="hand", processes=1)}, "started by hand"),
        ({"agent": MesosAgent(start="systemd", processes=2)}, "2 Mesos agents"),
        ({"states": {"sds": Service(state="failed")}}, "service sds has failed"),
        (
            {"states": {"scini": Service(state="active", boot="disabled")}},
            "scini runs, but is not started at boot",
        ),
        ({"sdc_clusters": (Cluster(system_id="a"), Cluster(addresses=("1.1.1.1",)))}, "(a, 1.1"),
    ],
)
def test_agents_services_and_clusters(changes: dict[str, object], said: str) -> None:
    (sentence,) = told(**changes)
    assert said in sentence


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_sentence_stands_by_itself(platform: str) -> None:
    for sentence in concerns(parse_survey(assembled(outputs(platform))), read_at=READ_AT):
        assert sentence == sentence.strip()
        assert "  " not in sentence
        assert len(sentence) < 200


# -- what keeps a step from being tried -----------------------------------------------------------


def test_too_little_room_names_the_folder_what_is_there_and_what_is_needed() -> None:
    full = attrs.evolve(SOUND, space=room(100 * MIB))
    assert hindrance("prerequisites", full, 0) == (
        "too little room in /var and /var/lib/scaleio-framework: 100 MiB are free, 129 MiB are "
        "needed; make room on the host's /"
    )
    assert "too little room" in planned(full)["prerequisites"].sentence
    assert planned(full)["prerequisites"].state == "blocked"


def test_folders_of_one_file_system_need_their_room_together() -> None:
    tight = attrs.evolve(SOUND, space=room(100 * MIB))
    assert hindrance("sds", tight, 42 * MIB) == ""
    assert "are needed" in hindrance("sds", tight, 43 * MIB)
    apart = [
        attrs.evolve(space, mount=f"/{n}") for n, space in enumerate(room(100 * MIB))
    ]  # each its own
    assert hindrance("sds", attrs.evolve(SOUND, space=tuple(apart)), 43 * MIB) == ""


def test_what_is_installed_needs_no_room() -> None:
    full = attrs.evolve(SOUND, space=room(0), packages={"sds": "2.0-10000.2072"})
    assert planned(full)["sds"].state == "wanted"
    assert "too little room" in planned(full)["sdc"].sentence


def test_inodes_run_out_too() -> None:
    few = attrs.evolve(SOUND, space=room(10**10, free_inodes=10))
    assert "too few inodes in the sandbox and /opt and /var: 10" in hindrance("sds", few, MIB)


def test_a_database_that_cannot_be_read_holds_up_what_installs() -> None:
    broken = attrs.evolve(SOUND, database=PackageDatabase(manager="apt", state="unreadable"))
    assert "(dpkg)" in planned(broken)["sds"].sentence
    for state in ("locked", "damaged", "free", ""):
        usable = attrs.evolve(SOUND, database=PackageDatabase(manager="apt", state=state))
        assert planned(usable)["sds"].state == "wanted"


def test_steps_that_install_nothing_are_not_held_up() -> None:
    assert hindrance("probe", attrs.evolve(SOUND, space=room(0)), 0) == ""


@pytest.mark.parametrize(
    ("os_id", "version", "old"),
    [
        ("debian", "8", False), ("debian", "7", True), ("debian", "", False),
        ("ubuntu", "14.04", False), ("ubuntu", "12.04", True), ("ubuntu", "13.10", True),
        ("centos", "6.10", True), ("centos", "7", False), ("centos", "10", False),
        ("rocky", "8.9", False), ("fedora", "39", False), ("debian", "trixie/sid", False),
    ],
)  # fmt: skip
def test_releases_older_than_the_scripts_tools(os_id: str, version: str, *, old: bool) -> None:
    said = too_old(attrs.evolve(SOUND, os_id=os_id, os_version=version))
    assert bool(said) is old
    if os_id == "ubuntu" and old:
        assert "14.04 or newer" in said


def test_an_agents_view_shows_them() -> None:
    facts = attrs.evolve(SOUND, clock=int(READ_AT) + 300)
    shown = AgentSnapshot(
        host="a1", agent_id="A1", address="10.0.0.1", phase="ready", since=READ_AT, facts=facts,
        surveyed=READ_AT,
    )  # fmt: skip
    times = Times(now=lambda: 1.0, wall=lambda: READ_AT + 10)
    assert agent_whole(shown, times)["concerns"] == concerns(facts, read_at=READ_AT)
    assert agent_whole(attrs.evolve(shown, facts=None), times)["concerns"] == ()
