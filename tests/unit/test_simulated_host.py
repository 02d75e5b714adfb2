"""The simulated host changes as the real steps change one, and tells it in the survey's form."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import attrs
import pytest

from domain.devices import DeviceRules, candidates
from domain.facts import Disk, Facts
from domain.layout import layout_of
from install_steps.catalog import (
    STEPS,
    Catalog,
    StepContext,
    load_catalog,
    plan_for,
    wanted_isolation,
)
from install_steps.environments import rexray_digest
from install_steps.facts import parse_survey
from install_steps.sealing import result_of, seal
from simulation.host import (
    CENTOS_7,
    DEBIAN_12,
    UBUNTU_14,
    OsImage,
    SimulatedHost,
    StepOutcome,
)
from simulation.host_disks import SimulatedDisk, empty_disks
from tests.unit.catalog_cases import entry, text
from tests.unit.changes import changed

PLATFORMS = [
    {"os_id": "debian", "os_version": "12"},
    {"os_id": "ubuntu", "os_version": "14.04"},
    {"os_id": "centos", "os_version": "7"},
]
KERNELS = [DEBIAN_12.kernel, UBUNTU_14.kernel, "3.10.0-1160.*"]
MDMS = ("10.0.0.1", "10.0.0.2")


def catalog(*kernels: str) -> Catalog:
    url = "https://packages.example.invalid/{}.deb"
    return load_catalog(
        text(
            entry(platforms=PLATFORMS),
            entry(
                component="sdc", url=url.format("sdc"), platforms=PLATFORMS,
                kernels=list(kernels) or KERNELS,
            ),
            entry(component="rexray", version="0.11.4-1", platforms=PLATFORMS),
            entry(component="dvdcli", version="0.1.0", platforms=PLATFORMS),
        ),
        "c",
    )  # fmt: skip


CATALOG = catalog()


class World:
    """What the rest of the simulation would hear."""

    def __init__(self, host: SimulatedHost) -> None:
        self.heard: list[tuple[object, ...]] = []
        host.on_sdc_up = lambda guid, address, mdms: self.heard.append(("sdc", guid, address, mdms))
        host.on_sds_up = lambda address: self.heard.append(("sds", address))
        host.on_reboot_armed = lambda url, delay_s: self.heard.append(("reboot", url, delay_s))
        host.on_agent_restart_armed = lambda: self.heard.append(("restart",))
        host.sees_volume = lambda path: path.endswith("-seen")


def make(
    os: OsImage = DEBIAN_12, disks: tuple[SimulatedDisk, ...] = (), seed: int = 1
) -> SimulatedHost:
    rng = random.Random(seed)  # noqa: S311  # a simulation's chance
    return SimulatedHost(hostname="a1.test", address="10.1.0.1", rng=rng, os=os, disks=disks)


def survey(host: SimulatedHost) -> Facts:
    outcome = host.begin("survey", {}).finish()
    assert outcome.exit_code == 0
    return parse_survey(outcome.stdout)


def context(facts: Facts, **changes: object) -> StepContext:
    made = StepContext(
        facts=facts,
        catalog=CATALOG,
        mdm_addresses=MDMS,
        gateway_endpoint="https://gw/api",
        gateway_user="admin",
        sealed_password=seal(facts.public_key, "p4ssw0rd") if facts.public_key else "",
        system_name="scaleio",
        domain="default",
        pool="default",
        isolation_to=wanted_isolation(facts.isolation),
        master_endpoint="10.0.0.9:5050",
        devices=("/dev/disk/by-id/ata-DISK0",),
        volume_path="/dev/disk/by-id/emc-vol-1-seen",
        permit_url="http://10.0.0.9/permit",
    )
    return changed(made, changes)


def environment(host: SimulatedHost, step: str, **changes: object) -> Mapping[str, str]:
    permit = {} if step == "reboot" else {"permit_url": ""}
    return STEPS[step].environment(context(survey(host), **{**permit, **changes}))


def run(host: SimulatedHost, step: str, **changes: object) -> StepOutcome:
    return host.begin(step, environment(host, step, **changes)).finish()


def installed(os: OsImage = DEBIAN_12, disks: tuple[SimulatedDisk, ...] = ()) -> SimulatedHost:
    host = make(os, disks)
    for step in ("prerequisites", "sds", "sdc", "rexray"):
        assert run(host, step).exit_code == 0
    assert run(host, "isolator").exit_code == 21
    return host


def states(host: SimulatedHost) -> dict[str, str]:
    facts = survey(host)
    digest = rexray_digest(context(facts))
    plan = plan_for(
        facts,
        provides_storage=True,
        catalog=CATALOG,
        components={},
        mdm_addresses=MDMS,
        rexray_digest=digest,
    )
    return {step.name: step.state for step in plan}


def test_a_fresh_survey_reads_back_as_the_hosts_values() -> None:
    host = make(disks=empty_disks(2))
    facts = survey(host)
    assert facts.machine_id == host.machine_id
    assert facts.boot_id == host.boot_id
    assert facts.kernel == host.kernel
    assert facts.isolation == ()  # without curl nobody asks the agent
    assert facts.packages == {}
    assert [d.path for d in facts.disks] == ["/dev/sda", "/dev/sdb", "/dev/sdc"]


@pytest.mark.parametrize("os", [DEBIAN_12, UBUNTU_14, CENTOS_7])
def test_all_steps_satisfy_their_plan_on_every_platform(os: OsImage) -> None:
    host = installed(os)
    assert states(host)["isolator"] == "wanted"
    assert run(host, "agent-restart").exit_code == 0
    assert host.agent_restarted()
    assert set(states(host).values()) == {"satisfied"}
    facts = survey(host)
    assert facts.sdc_guid == host.sdc_guid
    assert facts.sdc_mdms == MDMS
    assert facts.sdc_module
    assert facts.public_key == host.public_key
    assert facts.isolation == ("posix/cpu", "posix/mem", "filesystem/linux", "docker/volume")
    assert host.password == "p4ssw0rd"


@pytest.mark.parametrize("step", ["prerequisites", "sds", "sdc", "rexray"])
def test_a_step_that_is_run_again_changes_nothing(step: str) -> None:
    result = result_of(run(installed(), step).stdout)
    assert result is not None
    assert (result["step"], result["changed"], result["reason"]) == (step, False, "holds")


SITUATIONS = {
    "free": SimulatedDisk(serial="A"),
    "signed": SimulatedDisk(serial="A", signature="xfs"),
    "partitioned": SimulatedDisk(serial="A", partitions=2, zero=False),
    "mounted": SimulatedDisk(serial="A", signature="ext4", mounted_at="/data"),
    "swap": SimulatedDisk(serial="A", signature="swap", swap=True),
    "held": SimulatedDisk(serial="A", holders=("dm-0",)),
    "used": SimulatedDisk(serial="A", in_use=True),
    "opened": SimulatedDisk(serial="A", opened_by="qemu-kvm"),
    "configured": SimulatedDisk(serial="A", configured="/etc/crypttab:swap /dev/sdb /dev/urandom"),
    "path": SimulatedDisk(serial="A", multipath=True),
    "dirty": SimulatedDisk(serial="A", zero=False),
    "small": SimulatedDisk(serial="A", size_bytes=1024**3),
    "usb": SimulatedDisk(serial="A", transport="usb", removable=True),
    "fc": SimulatedDisk(serial="A", transport="fc"),
    "nameless": SimulatedDisk(name="xvdf", transport="xen"),
    "nvme": SimulatedDisk(name="nvme0n1", transport="nvme", serial="A"),
    "loop": SimulatedDisk(name="loop3", node="/dev/xvdf", transport=""),
}


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_every_kind_of_disk_reads_back(name: str) -> None:
    disk = attrs.evolve(SITUATIONS[name])
    seen = next(d for d in survey(make(disks=(disk,))).disks if d.path == disk.path)
    expected = Disk(
        path=disk.path,
        by_id=disk.links[0] if disk.links else "",
        links=disk.links,
        size_bytes=disk.size_bytes,
        kind="loop" if disk.name.startswith("loop") else "disk",
        transport=disk.transport,
        removable=disk.removable,
        partitions=disk.partitions,
        holders=len(disk.holders),
        signature=disk.signature or ("" if disk.is_blank else "dos"),
        mounted=bool(disk.mounted_at),
        system=disk.swap,
        exclusive=disk.is_free,
        zero=disk.is_free and disk.is_blank and disk.zero,
        model="SIMULATED",
        rotational=True,
        logical_bytes=512,
        physical_bytes=4096,
        multipath=disk.multipath,
        opened=bool(disk.opener),
        configured=bool(disk.configured),
    )
    assert attrs.evolve(seen, evidence={}) == expected


@pytest.mark.parametrize("name", sorted(SITUATIONS))
def test_claim_and_rules_agree_on_what_is_empty(name: str) -> None:
    host = make(disks=(attrs.evolve(SITUATIONS[name]),))
    layout = layout_of({}, domain="d", pool="p")
    rules = DeviceRules(bytes_min=1, allow_loop=True)
    taken = [v.path for v in candidates(survey(host), layout, rules) if v.verdict.take]
    path = host.disks[-1].links[0] if host.disks[-1].links else host.disks[-1].path
    outcome = host.begin("claim", {"DEVICES": path}).finish()
    if name in {"usb", "fc", "nameless", "loop"}:  # rules that the last look does not repeat
        assert (taken, outcome.exit_code) == ([], 0)
    else:
        assert outcome.exit_code == (0 if taken else 65)


def test_a_denied_disk_is_refused_in_survey_and_claim() -> None:
    host = make(disks=empty_disks(1))
    host.denied.append("/dev/sdb")
    assert survey(host).disks[1].denied
    assert run(host, "claim").exit_code == 65


def test_a_disk_changes_between_survey_and_claim() -> None:
    host = make(disks=empty_disks(1))
    told = environment(host, "claim")
    host.disks[1].zero = False
    assert host.begin("claim", told).finish().exit_code == 65


def test_a_device_that_the_sds_took_is_in_use() -> None:
    host = make(disks=empty_disks(1))
    assert host.give_device("/dev/disk/by-id/ata-DISK0")
    assert not host.give_device("/dev/sdb")
    assert not survey(host).disks[1].exclusive


def test_services_that_come_up_are_announced() -> None:
    host = make()
    world = World(host)
    for step in ("prerequisites", "sds", "sdc"):
        run(host, step)
    assert world.heard == [("sds", host.address), ("sdc", host.sdc_guid, host.address, MDMS)]


def test_a_reboot_brings_new_boot_id_pending_kernel_and_services_back() -> None:
    host = installed()
    world = World(host)
    boot, host.next_kernel = host.boot_id, "6.1.0-19-amd64"
    host.module_kernels = ("6.1.*",)
    host.power_off()
    assert not host.health({"PROVIDES_SDS": "yes"})
    host.boot()
    assert (host.boot_id != boot, host.kernel) == (True, "6.1.0-19-amd64")
    assert host.health({"PROVIDES_SDS": "yes"})
    assert [what for what, *_ in world.heard] == ["sdc", "sds"]
    assert "docker/volume" in host.isolation


def test_a_kernel_without_a_module_leaves_the_sdc_out() -> None:
    host = installed()
    host.next_kernel = "6.9.9"
    host.reboot()
    facts = survey(host)
    assert (facts.services["scini"], facts.sdc_module, facts.sdc_mdms) == (True, False, MDMS)
    assert not host.health({})


def test_an_unsupported_kernel_stops_or_is_replaced_before_any_package() -> None:
    host, other = make(), catalog("6.1.0-17-amd64")
    refused = run(host, "prerequisites", catalog=other)
    assert (refused.exit_code, host.packages) == (78, {})
    assert run(host, "prerequisites", catalog=other, kernel_mode="install").exit_code == 20
    host.reboot()
    assert host.kernel == "6.1.0-17-amd64"
    assert run(host, "prerequisites", catalog=other).exit_code == 0


def test_a_reboot_is_armed_and_only_a_permit_lets_it_happen() -> None:
    host = installed()
    world = World(host)
    delay_s = float(environment(host, "reboot")["DELAY_S"])
    assert run(host, "reboot").exit_code == 0
    assert world.heard == [("reboot", "http://10.0.0.9/permit", delay_s)]
    assert not host.permit_answered(403)
    assert not host.permit_answered(200)
    run(host, "reboot")
    assert host.permit_answered(200)


def test_a_broken_agent_restart_is_rolled_back_and_reported() -> None:
    host = installed()
    world = World(host)
    run(host, "agent-restart")
    assert world.heard == [("restart",)]
    assert run(host, "agent-restart").exit_code == 75
    host.dials.agent_restart_breaks = True
    assert not host.agent_restarted()
    assert states(host)["isolator"] == "blocked"


@pytest.mark.parametrize(
    ("dial", "value", "step", "code"),
    [
        ("no_init", True, "sds", 78),
        ("no_init", True, "survey", 78),
        ("lock_held", True, "sds", 75),
        ("download_fails", True, "sds", 75),
        ("checksum_wrong", True, "sds", 65),
        ("module_missing", True, "sdc", 1),
        ("service_fails", "sds", "sds", 1),
        ("service_fails", "scini", "sdc", 1),
        ("dvdcli_hidden", True, "isolator", 78),
        ("fail_next", {"sds": 1}, "sds", 1),
        ("fail_next", {"sds": 75}, "sds", 75),
        ("fail_next", {"sds": 20}, "sds", 20),
        ("fail_next", {"survey": 1}, "survey", 1),
    ],
)
def test_each_dial_makes_its_step_fail_with_its_code(
    dial: str, value: object, step: str, code: int
) -> None:
    host = make()
    run(host, "prerequisites")
    told = environment(host, step)
    setattr(host.dials, dial, value)
    outcome = host.begin(step, told).finish()
    assert outcome.exit_code == code
    result = result_of(outcome.stdout)
    assert result is not None
    assert result["step"] == step


def test_a_dial_for_one_step_is_used_up() -> None:
    host = make()
    host.dials.fail_next["prerequisites"] = 1
    assert [run(host, "prerequisites").exit_code for _ in range(2)] == [1, 0]


def test_a_step_that_fails_by_itself_does_not_end_as_if_it_held_after_a_reboot() -> None:
    host = make()
    run(host, "prerequisites")
    host.dials.fail_next["sds"], host.dials.download_fails = 20, True
    assert run(host, "sds").exit_code == 75
    host.dials.download_fails = False
    assert [run(host, "sds").exit_code for _ in range(2)] == [20, 0]


@pytest.mark.parametrize(
    ("step", "changes", "code"),
    [
        ("sdc", {"mdm_addresses": ("192.0.2.1",)}, 78),
        ("sdc", {"mdm_addresses": ("10.0.0.2", "10.0.0.3")}, 0),
        ("rexray", {"sealed_password": "AAAA", "pool": "other"}, 65),
        ("probe", {}, 0),
        ("probe", {"volume_path": "/dev/disk/by-id/emc-vol-1-2"}, 1),
        ("claim", {"devices": ("/dev/sdz",)}, 65),
        ("sds", {"catalog": load_catalog(text(entry(version="3.0")), "c")}, 78),
    ],
)
def test_steps_refuse_what_the_scripts_refuse(
    step: str, changes: dict[str, object], code: int
) -> None:
    host = installed()
    World(host)
    assert run(host, step, **changes).exit_code == code


@pytest.mark.parametrize("step", ["sds", "sdc", "rexray", "isolator", "claim", "probe", "reboot"])
def test_a_missing_setting_ends_with_78(step: str) -> None:
    assert make().begin(step, {}).finish().exit_code == 78


def test_a_changed_list_of_managers_reaches_the_driver() -> None:
    host = installed()
    run(host, "sdc", mdm_addresses=("10.0.0.2", "10.0.0.3"))
    assert survey(host).sdc_mdms == ("10.0.0.2", "10.0.0.3")


def test_two_steps_do_not_hold_the_lock_together() -> None:
    host = make()
    first, second = (host.begin("prerequisites", {}) for _ in range(2))
    assert second.finish().exit_code == 75
    assert first.finish().exit_code == 0
    assert host.begin("prerequisites", {}).finish().exit_code == 0


@pytest.mark.parametrize("seed", range(12))
def test_an_aborted_step_leaves_nothing_a_part_or_all_and_can_be_run_again(seed: int) -> None:
    host = make(seed=seed)
    run(host, "prerequisites")
    world = World(host)
    host.begin("sdc", environment(host, "sdc")).abort()
    assert len(world.heard) <= 1
    assert run(host, "sdc").exit_code == 0
    assert survey(host).sdc_mdms == MDMS


def test_aborted_steps_differ_by_chance() -> None:
    left = set()
    for seed in range(12):
        host = make(seed=seed)
        host.begin("prerequisites", {}).abort()
        left.add((len(host.packages), host.key is not None))
    assert len(left) > 2


def test_an_aborted_reboot_step_reboots_nobody() -> None:
    host = installed()
    world = World(host)
    host.begin("reboot", environment(host, "reboot")).abort()
    assert world.heard == []


def test_a_step_ends_once() -> None:
    step = make().begin("survey", {})
    step.finish()
    with pytest.raises(RuntimeError, match="twice"):
        step.abort()


def test_the_keeper_runs_until_it_is_killed_and_watches_the_services() -> None:
    host = installed()
    assert host.begin("keeper", {}).duration_s == math.inf
    assert host.health({"PROVIDES_SDS": "yes"})
    host.services.discard("sds")
    assert not host.health({"PROVIDES_SDS": "yes"})
    assert host.health({"PROVIDES_SDS": "no"})


def test_the_same_seed_gives_the_same_host_and_durations() -> None:
    def trace(seed: int) -> list[object]:
        host = make(seed=seed)
        runs = [host.begin("survey", {}).duration_s for _ in range(3)]
        return [host.machine_id, host.boot_id, *runs]

    assert trace(3) == trace(3)
    assert trace(3) != trace(4)


def test_the_password_is_in_no_output_and_no_visible_file() -> None:
    host = installed()
    outcomes = [run(host, step) for step in ("rexray", "sdc")]
    outcomes.append(host.begin("survey", {}).finish())
    for outcome in outcomes:
        assert "p4ssw0rd" not in outcome.stdout + outcome.stderr
    assert not any("p4ssw0rd" in body for body in host.files.values())
