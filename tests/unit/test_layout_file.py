"""The layout file: what it may say, who wins, and each mistake in one line with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from domain.devices import DeviceRules, candidates
from domain.facts import Disk, Facts
from domain.joining import PoolSpec
from domain.layout import PoolWish, layout_of, short_name
from install_steps.layout_file import GB, LayoutError, LayoutFile, load_layout, read_layout

FACTS = Facts(machine_id="m", boot_id="b", os_id="ubuntu", os_version="14.04", kernel="k")
WHOLE: dict[str, Any] = {
    "version": 1,
    "nodes": [
        {"match": {"attributes": {"kind": "compute"}}, "provides": False, "sdc_name": "host"},
        {
            "match": {"host": "store*"},
            "domain": "pd1",
            "fault_set": {"attribute": "rack"},
            "device_test": "testAndActivate",
            "comment": "the racks",
            "pools": [
                {"pool": "fast", "media": "SSD", "min_gb": 200, "max_gb": 1000},
                {"pool": "bulk", "media": "HDD"},
            ],
        },
    ],
    "pools": {
        "fast": {
            "media": "SSD",
            "spare_percent": 34,
            "capacity_high": 70,
            "capacity_critical": 85,
        }
    },
    "limits": {"sds_per_domain": 0, "sdc": 2048},
}


def read(**changed: Any) -> LayoutFile:
    return read_layout(json.dumps({**WHOLE, **changed}), "-layout: f")


def asked(host: str, **attributes: str) -> Any:
    rule = read().rule_for(host, attributes, FACTS)
    return layout_of(attributes, domain="default", pool="default", rule=rule, host=host)


def test_the_first_rule_that_fits_counts() -> None:
    assert asked("store1", kind="compute").provides == ()
    found = asked("store1", rack="r7")
    assert [(w.domain, w.pool, w.media) for w in found.provides] == [
        ("pd1", "fast", "SSD"),
        ("pd1", "bulk", "HDD"),
    ]
    assert found.fault_set == "r7"
    assert found.device_test == "testAndActivate"
    assert found.reasons == ("layout node 2 (the racks)",)
    other = asked("else")
    assert other.provides == (PoolWish(domain="default", pool="default"),)
    assert other.reasons == ("the flags",)


def test_an_agents_own_attributes_win_over_the_file() -> None:
    found = asked(
        "store1",
        rack="r7",
        **{
            "scaleio-sds-domains": "mine",
            "scaleio-sds-mine": "p",
            "scaleio-sds-p": "/dev/sdb",
            "scaleio-faultset": "fs9",
        },
    )
    assert found.imperative
    assert [(w.domain, w.pool, w.devices) for w in found.provides] == [("mine", "p", ("/dev/sdb",))]
    assert found.fault_set == "fs9"
    assert "attribute scaleio-faultset=fs9" in found.reasons


def test_two_names_for_one_fault_set_and_a_missing_attribute_are_faults() -> None:
    two = layout_of({"scaleio-fault-set": "a", "scaleio-faultset": "b"}, domain="d", pool="p")
    assert "name two fault sets (a, b)" in two.faults[0]
    assert "which this agent does not have" in asked("store1").faults[0]
    long = layout_of({"scaleio-faultset": "x" * 32}, domain="d", pool="p")
    assert "31 characters" in long.faults[0]


def test_a_node_that_only_consumes_gives_no_disk_and_is_named_after_its_host() -> None:
    found = asked("web-1", kind="compute")
    assert found.provides == ()
    assert found.consumes[0].pool == "default"
    assert found.sdc_name == "web-1"
    assert candidates(FACTS, found, DeviceRules()) == ()


def test_addresses_come_from_attributes_and_a_missing_one_is_a_fault() -> None:
    node = {
        "match": {},
        "sds_addresses": [{"role": "sdcOnly"}, {"role": "sdsOnly", "attribute": "san-ip"}],
    }
    rule = read(nodes=[node]).rule_for("a", {}, FACTS)
    given = layout_of({"san-ip": "10.9.0.1"}, domain="d", pool="p", rule=rule)
    assert given.addresses == (("", "sdcOnly"), ("10.9.0.1", "sdsOnly"))
    assert "from attribute san-ip" in layout_of({}, domain="d", pool="p", rule=rule).faults[0]


def test_an_nvme_pool_takes_nvme_disks_only() -> None:
    wish = PoolWish(domain="d", pool="p", media="NVMe")
    flash = disk("x", 400, hdd=False)
    assert not wish.looks_for(flash)
    assert wish.looks_for(attrs.evolve(flash, transport="nvme"))
    assert PoolWish(domain="d", pool="p", media="SSD").looks_for(
        attrs.evolve(flash, transport="nvme")
    )


def test_long_hosts_get_names_that_do_not_collide() -> None:
    names = {short_name(f"a-very-long-host-name-of-rack-17-number-{n}") for n in range(99)}
    assert len(names) == 99
    assert all(len(name) == 31 for name in names)
    assert short_name("short") == "short"


def disk(name: str, gigabytes: int, *, hdd: bool) -> Disk:
    return Disk(
        path=f"/dev/{name}",
        by_id=f"/dev/disk/by-id/{name}",
        size_bytes=gigabytes * GB,
        transport="sata",
        exclusive=True,
        zero=True,
        rotational=hdd,
    )


def test_pools_take_disks_of_their_class_and_size_and_no_others() -> None:
    disks = (
        disk("small", 150, hdd=False),
        disk("right", 400, hdd=False),
        disk("large", 2000, hdd=False),
        disk("spinning", 4000, hdd=True),
    )
    facts = Facts(machine_id="m", boot_id="b", os_id="u", os_version="1", kernel="k", disks=disks)
    taken = {
        v.path.rpartition("/")[2]: v.wish.pool
        for v in candidates(facts, asked("store1", rack="r"), DeviceRules())
        if v.verdict.take and v.wish is not None
    }
    assert taken == {"right": "fast", "spinning": "bulk"}


def test_a_disk_of_the_right_class_has_to_be_empty_all_the_same() -> None:
    full = Disk(
        path="/dev/sdb",
        by_id="/dev/disk/by-id/x",
        size_bytes=400 * GB,
        transport="sata",
        exclusive=True,
        zero=False,
    )
    facts = Facts(machine_id="m", boot_id="b", os_id="u", os_version="1", kernel="k", disks=(full,))
    [one] = candidates(facts, asked("store1", rack="r"), DeviceRules())
    assert (one.verdict.take, one.verdict.rule) == (False, "zero")


def test_pools_and_limits_are_read() -> None:
    found = read()
    assert found.pools["fast"] == PoolSpec(
        name="fast", media_type="SSD", spare_percent=34, capacity_high=70, capacity_critical=85
    )
    assert (found.limits.sds_per_domain, found.limits.sdc, found.limits.sds) == (0, 2048, 1024)


def test_no_file_asks_for_nothing(tmp_path: Path) -> None:
    assert load_layout(None) == LayoutFile()
    file = tmp_path / "layout.json"
    file.write_text('{"version": 1}')
    assert load_layout(file) == LayoutFile()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": 2}, "version"),
        ({"node": []}, "node"),
        ({"nodes": [{"match": {}, "provide": True}]}, "provide"),
        ({"nodes": [{"match": {}, "provides": False, "pools": [{"pool": "p"}]}]}, "nodes[0]"),
        ({"nodes": [{"match": {}, "pools": [{"pool": "p" * 32}]}]}, "pools"),
        (
            {"nodes": [{"match": {}, "pools": [{"pool": "p", "min_gb": 9, "max_gb": 8}]}]},
            "max_gb 8 is less than min_gb 9",
        ),
        (
            {"nodes": [{"match": {}, "pools": [{"pool": "p", "devices": ["sdb"]}]}]},
            "a path below /dev is expected",
        ),
        (
            {"nodes": [{"match": {}, "pools": [{"pool": "p", "devices": [], "media": "SSD"}]}]},
            "devices are named",
        ),
        ({"pools": {"a b": {}}}, "without blanks"),
        ({"pools": {"p": {"capacity_high": 80}}}, "belong together"),
        ({"pools": {"p": {"capacity_high": 90, "capacity_critical": 80}}}, "not less than"),
        (
            {"nodes": [{"match": {}, "sds_addresses": [{"role": "sdsOnly"}]}]},
            "has the role all",
        ),
        (
            {
                "nodes": [
                    {
                        "match": {},
                        "sds_addresses": [
                            {"role": "sdsOnly"},
                            {"role": "sdsOnly", "attribute": "b"},
                        ],
                    }
                ]
            },
            "both needed",
        ),
        (
            {"nodes": [{"match": {}, "sds_addresses": [{"role": "all", "attribute": "b"}]}]},
            "exactly one without attribute",
        ),
        ({"limits": {"sds": -1}}, "limits"),
        ({"limits": {"sdss": 1}}, "sdss"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(LayoutError, match="-layout: f") as wrong:
        read(**changed)
    assert words in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="No such file"):
        load_layout(tmp_path / "none")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(LayoutError, match="no UTF-8"):
        load_layout(broken)
