"""What the operator's flags make of a host's facts, on the way to its plan and its tasks."""

from __future__ import annotations

import attrs
import pytest

from domain.agent import AgentRecord, TaskRef
from domain.devices import GIB
from domain.facts import Disk, Facts
from domain.job import StepFaultError
from domain.plan import Claim
from domain.storage import StorageSnapshot
from install_steps.assembly import Assembly
from install_steps.catalog import load_catalog
from settings import Secret, Settings
from tests.unit.catalog_cases import DVDCLI, REXRAY, SDC, entry, text
from tests.unit.changes import changed

CATALOG = load_catalog(text(entry(), SDC, REXRAY, DVDCLI), "catalog.json")
EMPTY = Disk(
    path="/dev/sdb",
    by_id="/dev/disk/by-id/ata-B",
    links=("/dev/disk/by-id/ata-B",),
    size_bytes=200 * GIB,
    transport="sata",
    exclusive=True,
    zero=True,
)
LOOP = attrs.evolve(EMPTY, kind="loop", transport="")
NAMELESS = attrs.evolve(EMPTY, path="/dev/xvdf", by_id="", links=())
DEVICES = {
    "scaleio-sds-domains": "d",
    "scaleio-sds-d": "p",
    "scaleio-sds-p": "/dev/xvdf,/dev/sdb",
}


def facts(*disks: Disk) -> Facts:
    return Facts(
        machine_id="m",
        boot_id="b",
        os_id="debian",
        os_version="12",
        kernel="6.1.0-18-amd64",
        isolation=("posix/cpu",),
        launcher="linux",
        disks=disks,
    )


def record(**attributes: str) -> AgentRecord:
    return AgentRecord(
        host="a1", agent_id="S1", address="10.0.0.9", attributes=attributes, facts=facts()
    )


def assembly(settings: Settings) -> Assembly:
    return Assembly(
        settings=attrs.evolve(settings, scaleio_password=Secret("correct horse")),
        catalog=CATALOG,
        storage=lambda: None,
        leader=lambda: "10.0.0.1:5050",
        own_url=lambda: "http://10.0.0.1:35000",
        installation=lambda: b"i",
    )


@pytest.mark.parametrize(("allowed", "devices"), [(False, ()), (True, (LOOP.by_id,))])
def test_a_loop_device_is_planned_only_where_the_flag_allows_it(
    devices: tuple[str, ...], *, allowed: bool
) -> None:
    plan = assembly(Settings(devices_allow_loop=allowed)).plan(record(), facts(LOOP))
    assert plan.devices == devices


def test_of_itself_the_plan_takes_no_disk_without_a_stable_name() -> None:
    plan = assembly(Settings()).plan(record(), facts(EMPTY, NAMELESS))
    assert plan.devices == (EMPTY.by_id,)
    assert "name it in an attribute" in dict(plan.verdicts)["/dev/xvdf"]
    assert plan.fault == ""


def test_each_verdict_is_shown_with_the_name_of_the_rule_that_decided() -> None:
    mounted = attrs.evolve(EMPTY, path="/dev/sdc", by_id="/dev/disk/by-id/ata-C", mounted=True)
    plan = assembly(Settings()).plan(record(), facts(EMPTY, mounted))
    assert dict(plan.verdicts) == {
        EMPTY.by_id: "empty: provably empty",
        mounted.by_id: "mounted: it, or a part of it, is mounted",
    }


def test_named_disks_are_planned_by_the_stable_name_or_else_by_the_name_given() -> None:
    plan = assembly(Settings()).plan(record(**DEVICES), facts(EMPTY, NAMELESS))
    assert (plan.fault, plan.devices) == ("", ("/dev/xvdf", EMPTY.by_id))


@pytest.mark.parametrize("step", ["isolator", "agent-restart"])
def test_a_named_service_of_the_agent_reaches_the_steps_that_need_it(step: str) -> None:
    told = assembly(Settings(agent_unit="mesos-custom")).job(record(), step).environment
    assert told["AGENT_UNIT"] == "mesos-custom"
    assert "AGENT_UNIT" not in assembly(Settings()).job(record(), step).environment


@pytest.mark.parametrize(
    ("ignoring", "variable"),
    [
        (Settings(components_sdc="ignore"), "WATCH_SDC"),
        (Settings(components_rexray="ignore"), "WATCH_REXRAY"),
    ],
)
def test_a_component_that_is_left_alone_is_not_watched(ignoring: Settings, variable: str) -> None:
    assert assembly(ignoring).job(record(), "keeper").environment[variable] == "no"
    assert assembly(Settings()).job(record(), "keeper").environment[variable] == "yes"


def test_a_restarts_watcher_keeps_the_patience_of_its_script() -> None:
    assert "WATCH_S" not in assembly(Settings()).job(record(), "agent-restart").environment


def claiming(claims: dict[str, Claim], **attributes: str) -> AgentRecord:
    task = TaskRef(task_id="t", step="claim", agent_id="S1", claims=claims)
    return attrs.evolve(record(**attributes), facts=facts(EMPTY, NAMELESS), task=task)


def test_a_plan_says_of_each_disk_how_far_the_operators_word_went() -> None:
    signed = attrs.evolve(EMPTY, signature="ext4")
    named = Settings(devices_overwrite=(EMPTY.by_id,))
    plan = assembly(named).plan(record(**DEVICES), facts(signed, NAMELESS))
    assert plan.claims() == {
        "/dev/xvdf": Claim("p", "declared"),
        EMPTY.by_id: Claim("p", "overwrite"),
    }
    assert assembly(Settings()).plan(record(), facts(EMPTY)).claims() == {
        EMPTY.by_id: Claim("default", "auto")
    }


@pytest.mark.parametrize("attributes", [{}, DEVICES], ids=["as launched", "reworded since"])
def test_a_claim_looks_at_what_was_written_down_however_often_it_is_posted(
    attributes: dict[str, str],
) -> None:
    claims = {
        "/dev/a": Claim("p"),
        "/dev/b": Claim("q", "declared"),
        "/dev/c": Claim("p", "overwrite"),
    }
    told = assembly(Settings()).job(claiming(claims, **attributes), "claim").environment
    assert (told["DEVICES"], told["DEVICES_DECLARED"], told["DEVICES_OVERWRITE"]) == (
        "/dev/a",
        "/dev/b",
        "/dev/c",
    )


def test_a_claim_that_does_not_say_what_it_looks_at_is_not_posted() -> None:
    with pytest.raises(StepFaultError, match="no device is named"):
        assembly(Settings()).job(claiming({}), "claim")


IN_USE = attrs.evolve(EMPTY, exclusive=False)
SNAPSHOT = StorageSnapshot(taken_at=1.0, api_version=(2, 0), system_id="1")


@pytest.mark.parametrize("change", [{"exclusive": False}, {"opened": True}], ids=str)
def test_a_named_disk_in_use_is_waited_for_until_the_storage_cluster_was_looked_at(
    change: dict[str, object],
) -> None:
    """After a restart it may be in its pool already, which only the Gateway knows."""
    disks = facts(changed(EMPTY, change), NAMELESS)
    unsure = assembly(Settings()).plan(record(**DEVICES), disks)
    assert unsure.fault == ""
    assert unsure.devices == ("/dev/xvdf",)
    last = unsure.steps[-1]
    assert (last.name, last.state) == ("claim", "blocked")
    assert EMPTY.by_id in last.sentence

    known = assembly(Settings())
    known.storage = lambda: SNAPSHOT
    plan = known.plan(record(**DEVICES), disks)
    assert EMPTY.by_id in plan.fault
    assert "claim" not in [step.name for step in plan.steps]


def test_other_faults_of_a_named_disk_are_said_at_once() -> None:
    mounted = attrs.evolve(EMPTY, mounted=True, exclusive=False)
    plan = assembly(Settings()).plan(record(**DEVICES), facts(mounted, NAMELESS))
    assert "is mounted" in plan.fault


def test_a_disk_that_nobody_named_is_not_waited_for() -> None:
    plan = assembly(Settings()).plan(record(), facts(IN_USE))
    assert (plan.fault, plan.devices) == ("", ())
    assert "claim" not in [step.name for step in plan.steps]
