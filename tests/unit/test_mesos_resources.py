"""Attributes and resources of an offer: what they mean, and what is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos.attributes import attributes_of
from protocol.mesos.resources import Resource, milli, reserved_sums, sums, usable, wire
from tests.unit.sim_mesos import Json
from tests.unit.test_mesos_events import offer_of, scalar

# -- attributes -----------------------------------------------------------------------------------


def text(name: str, value: str) -> Json:
    return {"name": name, "type": "TEXT", "text": {"value": value}}


def ranges(name: str, *pairs: tuple[int, int]) -> Json:
    listed = [{"begin": begin, "end": end} for begin, end in pairs]
    return {"name": name, "type": "RANGES", "ranges": {"range": listed}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([text("disks", "/dev/sdb,/dev/sdc")], {"disks": "/dev/sdb,/dev/sdc"}),
        ([text("zone", "a:b:c")], {"zone": "a:b:c"}),
        ([text("ip", "10.0.0.1")], {"ip": "10.0.0.1"}),
        ([scalar("rack", 10.0)], {"rack": "10"}),
        ([scalar("rack", 7)], {"rack": "7"}),
        ([scalar("rack", -5.0)], {"rack": "-5"}),
        ([scalar("rack", 1.1)], {"rack": "1.1"}),
        ([scalar("serial", 1234567890123456.0)], {"serial": "1234567890123456"}),
        ([scalar("serial", 1e15)], {"serial": "1000000000000000"}),
        ([ranges("ports", (1, 5), (9, 9))], {"ports": "1-5,9-9"}),
        ([ranges("ports")], {"ports": ""}),
        ([text("a", "first"), text("a", "second")], {"a": "first"}),
        ([text("a", "text"), scalar("a", 1.0)], {"a": "text"}),
        ([text(" zone", "a")], {"zone": "a"}),
        ([text("", "a")], {"": "a"}),
        ([{"name": "s", "type": "SET", "set": {"item": ["a"]}}], {}),
        ([{"name": "n", "type": "NEW_FORM", "new": 1}, text("a", "b")], {"a": "b"}),
        ([], {}),
        (None, {}),
    ],
)
def test_every_form_of_attribute_has_its_text(raw: object, expected: dict[str, str]) -> None:
    assert attributes_of(raw) == expected


@given(st.integers(-(2**53), 2**53))
def test_a_number_that_mesos_made_of_a_name_reads_as_it_was_written(number: int) -> None:
    assert attributes_of([scalar("a", float(number))]) == {"a": str(number)}


# -- resources ------------------------------------------------------------------------------------

NOT_OURS = [
    scalar("cpus", 4, revocable={}),
    scalar("cpus", 4, shared={}),
    scalar("disk", 4096, disk={"source": {"type": "MOUNT", "mount": {"root": "/mnt"}}}),
    scalar("disk", 4096, disk={"source": {"type": "PATH", "path": {"root": "/mnt"}}}),
    scalar("disk", 4096, disk={"persistence": {"id": "p"}}),
    scalar("cpus", 4, role="other"),
    scalar("cpus", 4, reservations=[{"type": "STATIC", "role": "other"}]),
    scalar(
        "cpus",
        4,
        reservations=[{"type": "STATIC", "role": "scaleio"}, {"type": "DYNAMIC", "role": "x"}],
    ),
    scalar(
        "cpus",
        4,
        role="scaleio",
        reservation={"principal": "p", "labels": {"labels": [{"key": "k"}]}},
    ),
    scalar(
        "cpus",
        4,
        reservations=[{"type": "DYNAMIC", "role": "scaleio", "labels": {"labels": [{"key": "k"}]}}],
    ),
    scalar("cpus", 0.0),
    scalar("cpus", 0.0004),
    scalar("cpus", -1.0),
    {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}},
    {"name": "zones", "type": "SET", "set": {"item": ["a"]}},
    {"name": "cpus", "type": "SCALAR"},
]


@pytest.mark.parametrize("entry", NOT_OURS)
def test_what_belongs_to_somebody_or_can_be_taken_away_is_not_used(entry: Json) -> None:
    assert offer_of(entry).resources == ()


@pytest.mark.parametrize(
    ("entry", "role"),
    [
        (scalar("cpus", 4), "*"),
        (scalar("cpus", 4, role="*"), "*"),
        (scalar("cpus", 4, role="scaleio"), "scaleio"),
        (scalar("cpus", 4, reservations=[]), "*"),
        (scalar("cpus", 4, reservations=[{"type": "STATIC", "role": "scaleio"}]), "scaleio"),
        (scalar("cpus", 4, role="scaleio", reservation={"principal": "us"}), "scaleio"),
        (scalar("cpus", 4, allocation_info={"role": "scaleio"}), "*"),
    ],
)
def test_unreserved_and_our_roles_resources_are_used_in_both_forms(entry: Json, role: str) -> None:
    [found] = offer_of(entry).resources
    assert (found.name, found.amount_milli, found.role) == ("cpus", 4000, role)


def test_reserved_resources_come_first() -> None:
    found = offer_of(scalar("cpus", 1), scalar("cpus", 2, role="scaleio"), scalar("mem", 3))
    assert [r.role for r in found.resources] == ["scaleio", "*", "*"]


def test_a_resource_goes_back_as_it_came_with_only_its_quantity_changed() -> None:
    sent = scalar(
        "mem", 4096.0, reservations=[{"type": "STATIC", "role": "scaleio"}], provider_id={"v": "x"}
    )
    [resource] = usable([{**sent, "allocation_info": {"role": "scaleio"}}], role="scaleio")
    assert wire(resource, 32_500) == {**sent, "scalar": {"value": 32.5}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1, 100), (0.30000000000000004, 300), (0.1 + 0.2, 300), (4096, 4_096_000), (1.0004, 1000)],
)
def test_scalars_are_counted_in_thousandths_as_the_master_counts(
    value: float, expected: int
) -> None:
    assert milli(value) == expected


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30))
def test_sums_of_thousandths_have_no_dust(amounts: list[int]) -> None:
    """Floats drift (0.1 + 0.2); what we take and what is left is what was offered."""
    pieces = [
        Resource(name="cpus", amount_milli=a, role="*", echo={"name": "cpus"}) for a in amounts
    ]
    there = [wire(piece, piece.amount_milli)["scalar"] for piece in pieces]
    back = sum(milli(value["value"]) for value in there if isinstance(value, dict))
    assert back == sum(amounts)


def test_the_allocations_role_is_the_offers() -> None:
    assert offer_of(allocation_info={"role": "a/b"}).role == "a/b"
    assert offer_of().role == "scaleio", "a master before 1.3 names none: it is the one we have"


def test_an_offer_without_address_is_still_an_offer() -> None:
    assert (offer_of().ip, offer_of().port) == ("", 5051)


# -- what no master should send -------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        *({"name": "cpus", "type": "SCALAR", "scalar": {"value": value}} for value in (
            True, None, "4", [4], 1e308, 2.0**63, 10**300, float("inf"), float("nan")
        )),
        {"name": 7, "type": "SCALAR", "scalar": {"value": 4}},
        {"name": "cpus", "type": "SCALAR", "scalar": 4},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}, "role": 7},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}, "reservations": [7]},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4}, "reservations": [{"role": 7}]},
        "cpus",
        None,
        7,
        [],
    ],
)  # fmt: skip
def test_what_is_no_resource_is_left_out(entry: object) -> None:
    assert usable([entry, scalar("mem", 1)], role="scaleio") == usable(
        [scalar("mem", 1)], role="scaleio"
    )
    assert sums([entry]).get("cpus", 0) in (0, 4000)
    assert "*" not in reserved_sums([entry])


def test_what_could_not_be_sent_back_is_not_used() -> None:
    """A stranger's depth would end the encoder, not the stream that brought it."""
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    assert usable([scalar("cpus", 4, deep=deep)], role="scaleio") == ()
    assert usable([scalar("cpus", 4, deep=[[{"a": [1]}]])], role="scaleio") != ()


@pytest.mark.parametrize(
    "entry",
    [
        7,
        None,
        "rack",
        {},
        {"name": 7, "type": "TEXT", "text": {"value": "r"}},
        {"name": "a", "type": "TEXT"},
        {"name": "a", "type": "TEXT", "text": "r"},
        {"name": "a", "type": "TEXT", "text": {"value": 7}},
        {"name": "a", "type": "SCALAR", "scalar": {"value": True}},
        {"name": "a", "type": "SCALAR", "scalar": {"value": float("nan")}},
        {"name": "a", "type": "SCALAR", "scalar": {"value": float("inf")}},
        {"name": "a", "type": "RANGES", "ranges": {"range": [{"begin": 1}]}},
        {"name": "a", "type": "RANGES", "ranges": {"range": [{"begin": "1", "end": True}]}},
        {"name": "a", "type": "RANGES", "ranges": {"range": 7}},
        {"name": "a", "type": ["TEXT"]},
    ],
)
def test_what_is_no_attribute_is_left_out_and_hides_no_other(entry: object) -> None:
    assert attributes_of([entry, text("a", "b")]) == {"a": "b"}


# -- sums -----------------------------------------------------------------------------------------


def test_sums_are_of_plain_scalars_reserved_or_not() -> None:
    listed = [
        scalar("cpus", 3, role="*"),
        scalar("cpus", 0.5, role="a"),
        scalar("cpus", 0.25, role="*", reservations=[{"type": "STATIC", "role": "a"}]),
        scalar("cpus", 1, role="b", reservation={"labels": {"labels": [{"key": "k"}]}}),
        scalar("cpus", 9, role="*", revocable={}),
        scalar("disk", 9, role="a", disk={"source": {"type": "MOUNT"}}),
        ranges("ports", (1, 5)),
        scalar("mem", 32, role="b"),
    ]
    assert sums(listed) == {"cpus": 4750, "mem": 32000}
    assert reserved_sums(listed) == {"a": {"cpus": 750}, "b": {"cpus": 1000, "mem": 32000}}
