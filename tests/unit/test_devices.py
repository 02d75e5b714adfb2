"""No disk with anything on it is ever taken, and every refusal names its rule."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from domain.devices import GIB, RULES, DeviceRules, candidates, judge
from domain.facts import Disk, Facts
from domain.layout import Layout, PoolWish
from tests.unit.changes import changed

EMPTY = Disk(
    path="/dev/sdb",
    by_id="/dev/disk/by-id/ata-B",
    links=("/dev/disk/by-id/ata-B", "/dev/disk/by-path/pci-b"),
    size_bytes=200 * GIB,
    transport="sata",
    exclusive=True,
    zero=True,
)
LOOP = attrs.evolve(EMPTY, kind="loop", transport="")
AUTO = DeviceRules()
LAB = DeviceRules(allow_loop=True)

FAULTS: list[tuple[dict[str, object], str]] = [
    ({"kind": "loop"}, "whole"),
    ({"kind": "mpath"}, "whole"),
    ({"kind": "scini"}, "whole"),
    ({"kind": "part"}, "whole"),
    ({"kind": "other"}, "whole"),
    ({"system": True}, "system"),
    ({"mounted": True}, "mounted"),
    ({"holders": 1}, "holders"),
    ({"mesos": True}, "mesos"),
    ({"denied": True}, "denied"),
    ({"multipath": True}, "multipath"),
    ({"configured": True}, "configured"),
    ({"opened": True}, "open"),
    ({"size_bytes": 0}, "medium"),
    ({"read_only": True}, "read-only"),
    ({"exclusive": False}, "in-use"),
    ({"partitions": 1}, "partitions"),
    ({"signature": "LVM2_member"}, "signature"),
    ({"signature": "unknown"}, "signature"),
    ({"removable": True}, "removable"),
    ({"transport": "fc"}, "transport"),
    ({"transport": "iscsi"}, "transport"),
    ({"transport": "usb"}, "transport"),
    ({"transport": ""}, "transport"),
    ({"size_bytes": 100 * GIB - 1}, "size"),
    ({"zero": False}, "zero"),
    ({"by_id": ""}, "stable-name"),  # its by-path link names a slot, not a disk
    ({"by_id": "", "links": ()}, "stable-name"),
]


def facts(*disks: Disk) -> Facts:
    return Facts(
        machine_id="m", boot_id="b", os_id="debian", os_version="12", kernel="6.1", disks=disks
    )


def test_a_provably_empty_disk_is_taken_unasked() -> None:
    verdict = judge(EMPTY, wish_paths=None, settings=AUTO)
    assert (verdict.take, verdict.rule, verdict.level) == (True, "empty", "auto")


@pytest.mark.parametrize(("change", "rule"), FAULTS)
def test_one_fault_is_enough_to_refuse_and_is_named(change: dict[str, object], rule: str) -> None:
    verdict = judge(changed(EMPTY, change), wish_paths=None, settings=AUTO)
    assert (verdict.take, verdict.rule) == (False, rule)
    assert verdict.sentence


LIFTED = {"removable", "transport", "size", "zero", "stable-name"}


@pytest.mark.parametrize(("change", "rule"), FAULTS)
def test_naming_lifts_what_only_an_unnamed_disk_has_to_be_and_nothing_else(
    change: dict[str, object], rule: str
) -> None:
    disk = changed(EMPTY, change)
    verdict = judge(disk, wish_paths=("/dev/sdb",), settings=AUTO)
    lifted = rule in LIFTED and disk.size_bytes > 0
    assert verdict.take is lifted
    assert verdict.level == "declared"
    assert lifted or verdict.rule == rule


@pytest.mark.parametrize("name", [EMPTY.path, EMPTY.by_id, "/dev/disk/by-path/pci-b"])
def test_any_name_of_a_disk_names_it(name: str) -> None:
    assert judge(EMPTY, wish_paths=(name,), settings=AUTO).take


def test_a_signature_goes_only_with_an_explicit_overwrite_of_the_stable_name() -> None:
    disk = attrs.evolve(EMPTY, signature="xfs", partitions=2)
    refused = judge(disk, wish_paths=("/dev/sdb",), settings=DeviceRules(overwrite=("/dev/sdb",)))
    assert not refused.take
    assert "-devices.overwrite" in refused.sentence
    taken = judge(disk, wish_paths=("/dev/sdb",), settings=DeviceRules(overwrite=(EMPTY.by_id,)))
    assert (taken.take, taken.level) == (True, "overwrite")


def test_overwrite_alone_takes_nothing_that_nobody_named() -> None:
    disk = attrs.evolve(EMPTY, signature="xfs")
    assert not judge(disk, wish_paths=None, settings=DeviceRules(overwrite=(EMPTY.by_id,))).take


def test_overwrite_never_takes_a_disk_in_use() -> None:
    disk = attrs.evolve(EMPTY, signature="xfs", mounted=True)
    rules = DeviceRules(overwrite=(EMPTY.by_id,))
    assert judge(disk, wish_paths=("/dev/sdb",), settings=rules).rule == "mounted"


def test_in_declared_mode_what_is_not_named_is_left_alone() -> None:
    layout = Layout(provides=(PoolWish(domain="d", pool="p"),))
    found = candidates(facts(EMPTY), layout, DeviceRules(mode="declared"))
    assert [(v.verdict.take, v.verdict.rule) for v in found] == [(False, "not-named")]


def test_loop_devices_are_for_booted_lab_hosts_only() -> None:
    assert not judge(LOOP, wish_paths=None, settings=AUTO).take
    assert judge(LOOP, wish_paths=None, settings=LAB).take


@pytest.mark.parametrize(
    ("change", "rule"), [row for row in FAULTS if not row[0].keys() & {"kind", "transport"}]
)
def test_an_allowed_loop_device_has_to_pass_all_other_rules(
    change: dict[str, object], rule: str
) -> None:
    verdict = judge(changed(LOOP, change), wish_paths=None, settings=LAB)
    assert (verdict.take, verdict.rule) == (False, rule)


def test_a_refusal_for_want_of_a_stable_name_says_both_ways_out() -> None:
    nameless = attrs.evolve(EMPTY, by_id="", links=())
    sentence = judge(nameless, wish_paths=None, settings=AUTO).sentence
    assert "name it in an attribute" in sentence
    assert "/dev/disk/by-id" in sentence


@pytest.mark.parametrize(
    ("by_id", "named", "stored"),
    [
        (EMPTY.by_id, "/dev/sdb", EMPTY.by_id),
        (EMPTY.by_id, "/dev/disk/by-path/pci-b", EMPTY.by_id),
        (EMPTY.by_id, EMPTY.by_id, EMPTY.by_id),
        ("", "/dev/sdb", "/dev/sdb"),
        ("", "/dev/disk/by-path/pci-b", "/dev/disk/by-path/pci-b"),
    ],
)
def test_a_named_disk_is_stored_by_its_stable_name_or_else_by_the_name_given(
    by_id: str, named: str, stored: str
) -> None:
    layout = Layout(imperative=True, provides=(PoolWish(domain="d", pool="p", devices=(named,)),))
    (found,) = candidates(facts(attrs.evolve(EMPTY, by_id=by_id)), layout, AUTO)
    assert (found.verdict.take, found.path) == (True, stored)


def test_every_disk_of_a_host_gets_a_verdict_with_its_stable_name() -> None:
    system = Disk(path="/dev/sda", system=True, size_bytes=GIB)
    part = Disk(path="/dev/sda1", kind="part")
    layout = Layout(provides=(PoolWish(domain="d", pool="p"),))
    found = candidates(facts(system, part, EMPTY), layout, AUTO)
    assert [(v.path, v.verdict.rule) for v in found] == [
        ("/dev/sda", "system"),
        ("/dev/disk/by-id/ata-B", "empty"),
    ]
    assert found[1].wish == PoolWish(domain="d", pool="p")


def test_a_name_without_a_device_is_a_fault_that_says_so() -> None:
    layout = Layout(
        imperative=True, provides=(PoolWish(domain="d", pool="p", devices=("/dev/sdx",)),)
    )
    missing, other = candidates(facts(EMPTY), layout, AUTO)
    assert (missing.disk, missing.verdict.rule) == (None, "missing")
    assert "/dev/sdx" in missing.verdict.sentence
    assert other.verdict.rule == "not-named"


def test_two_pools_do_not_get_the_same_disk() -> None:
    wishes = tuple(
        PoolWish(domain="d", pool=pool, devices=devices)
        for pool, devices in (("p", (EMPTY.by_id,)), ("q", ("/dev/sdb",)))
    )
    found = candidates(facts(EMPTY), Layout(imperative=True, provides=wishes), AUTO)
    assert [v.verdict.rule for v in found] == ["declared", "twice"]


def test_a_host_that_provides_no_storage_has_no_candidates() -> None:
    assert candidates(facts(EMPTY), Layout(imperative=True), AUTO) == ()


LIFTS = {"nothing": "nothing", "overwrite": "`-devices.overwrite`", "naming": "naming it"}


def test_the_documents_have_every_rule_in_its_order() -> None:
    hosts = Path(__file__).parents[2] / "docs" / "hosts.md"
    told = hosts.read_text().partition("\n## Disks\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", told, re.MULTILINE)
    assert rows == [(rule.name, rule.meaning, LIFTS[rule.lifted_by]) for rule in RULES]


def test_a_rule_has_a_name_of_its_own_and_what_lifts_more_comes_later() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    order = [list(LIFTS).index(rule.lifted_by) for rule in RULES]
    assert order == sorted(order)


def test_evidence_ends_the_sentence_and_stands_by_itself() -> None:
    disk = attrs.evolve(EMPTY, mounted=True, evidence={"mounted": "sdb1 on /data"})
    verdict = judge(disk, wish_paths=None, settings=AUTO)
    assert verdict.sentence == "it, or a part of it, is mounted: sdb1 on /data"
    assert verdict.evidence == "sdb1 on /data"


def test_what_may_be_overwritten_is_still_named_in_the_sentence() -> None:
    disk = attrs.evolve(EMPTY, signature="xfs", evidence={"signature": "xfs at 0x0"})
    rules = DeviceRules(overwrite=(EMPTY.by_id,))
    verdict = judge(disk, wish_paths=("/dev/sdb",), settings=rules)
    assert (verdict.take, verdict.rule, verdict.evidence) == (True, "overwrite", "xfs at 0x0")
    assert verdict.sentence.endswith("xfs at 0x0, and is named by -devices.overwrite")
