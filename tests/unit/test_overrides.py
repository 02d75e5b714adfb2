"""Rules of the operator's for some hosts: by name, platform and attribute; the later one wins."""

from __future__ import annotations

import json

import pytest

from domain.facts import Facts
from install_steps.overrides import Choices, Override, OverridesError, chosen, read_overrides

STEPS = frozenset({"prerequisites", "sds", "rexray", "before-sds-net"})
BASE = Choices(
    components={"sds": "manage", "sdc": "manage", "rexray": "manage", "dvdcli": "manage"},
    kernel="require",
    agent_unit="",
    devices="auto",
    devices_min_size_gb=100,
    protection_domain="default",
    storage_pool="default",
)
CENTOS = Facts(machine_id="m", boot_id="b", os_id="centos", os_version="7.9", kernel="3.10")


def rules(*overrides: dict[str, object]) -> tuple[Override, ...]:
    return read_overrides(json.dumps({"version": 1, "overrides": overrides}), "o.json", STEPS)


def on(
    loaded: tuple[Override, ...], host: str = "a1.rack1", facts: Facts | None = CENTOS, **attrs: str
) -> Choices:
    return chosen(BASE, loaded, host=host, attributes=attrs, facts=facts)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"host": "*.rack1"}, True),
        ({"host": "*.rack2"}, False),
        ({"os_id": "centos"}, True),
        ({"os_id": "centos", "os_version": "7"}, True),
        ({"os_id": "centos", "os_version": "8"}, False),
        ({"os_id": "ubuntu"}, False),
        ({"attributes": {"rack": "r1"}}, True),
        ({"attributes": {"rack": "r*", "zone": "?"}}, True),
        ({"attributes": {"rack": "r2"}}, False),
        ({"attributes": {"absent": "*"}}, False),
        ({"host": "a1*", "os_id": "centos", "attributes": {"rack": "r2"}}, False),
    ],
)
def test_a_rule_fits_when_all_that_it_names_fits(match: dict[str, object], fits: bool) -> None:
    loaded = rules({"match": match, "set": {"kernel": "install"}})
    assert (on(loaded, rack="r1", zone="z").kernel == "install") is fits


def test_a_platform_is_not_guessed_before_the_first_survey() -> None:
    loaded = rules({"match": {"os_id": "centos"}, "set": {"kernel": "install"}})
    assert on(loaded, facts=None).kernel == "require"


def test_what_a_rule_does_not_name_stays_and_a_later_rule_wins() -> None:
    loaded = rules(
        {
            "match": {},
            "comment": "all",
            "set": {
                "skip": ["rexray"], "components": {"sds": "adopt"}, "devices": "declared",
                "environment": {"before-sds-net": {"VLAN": "7", "MTU": "9000"}},
            },
        },
        {
            "match": {"attributes": {"rack": "r1"}},
            "set": {
                "components": {"sdc": "adopt"}, "devices": "auto", "devices_min_size_gb": 10,
                "agent_unit": "mesos-agent", "protection_domain": "pd1", "storage_pool": "ssd",
                "environment": {"before-sds-net": {"VLAN": "8"}},
            },
        },
    )  # fmt: skip
    there, elsewhere = on(loaded, rack="r1"), on(loaded, rack="r2")
    assert there.components == {**BASE.components, "sds": "adopt", "sdc": "adopt"}
    assert (there.devices, there.devices_min_size_gb) == ("auto", 10)
    assert (there.agent_unit, there.protection_domain, there.storage_pool) == (
        "mesos-agent", "pd1", "ssd",
    )  # fmt: skip
    assert there.environment == {"before-sds-net": {"VLAN": "8", "MTU": "9000"}}
    assert there.skip == elsewhere.skip == {"rexray": "override 1 (all)"}
    assert elsewhere.devices == "declared"
    assert elsewhere.protection_domain == "default"


def test_every_rule_that_had_a_say_is_told() -> None:
    loaded = rules(
        {"match": {"host": "b*"}, "set": {"kernel": "install"}},
        {"match": {}, "comment": "old kernels", "set": {"kernel": "install"}},
    )
    assert on(loaded).told == ('override 2 (old kernels): {"kernel":"install"}',)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ('{"version": 2, "overrides": []}', "version"),
        ('{"version": 1}', "overrides"),
        ('{"version": 1, "overrides": [{"set": {}}]}', "match"),
        ('{"version": 1, "overrides": [{"match": {"rack": "x"}, "set": {}}]}', "rack"),
        ('{"version": 1, "overrides": [{"match": {}, "set": {"kernel": "no"}}]}', "kernel"),
        ('{"version": 1, "overrides": [{"match": {}, "set": {"skip": ["cook"]}}]}', "cook"),
        (
            '{"version": 1, "overrides": [{"match": {}, "set": {"components": {"lia": "adopt"}}}]}',
            "components",
        ),
        (
            '{"version": 1, "overrides": [{"match": {}, "set": {"environment": {"sds": {}}}}]}',
            "operator's own",
        ),
        (
            (
                '{"version": 1, "overrides": [{"match": {}, "set": {"environment": '
                '{"before-sds-net": {"MESOS_X": "1"}}}}]}'
            ),
            "MESOS_X",
        ),
        (
            (
                '{"version": 1, "overrides": [{"match": {}, "set": {"environment": '
                '{"before-sds-net": {"X": "a\\nb"}}}}]}'
            ),
            "environment",
        ),
        ('{"version": 1, "overrides": [{"match": {}, "set": {"storage_pool": "a b"}}]}', "pool"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_place(text: str, expected: str) -> None:
    with pytest.raises(OverridesError) as refused:
        read_overrides(text, "o.json", STEPS)
    assert str(refused.value).startswith("o.json: ")
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
