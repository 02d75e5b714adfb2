"""What masters write into ZooKeeper, and where a scheduler then goes."""

from __future__ import annotations

import random
import re
import sys
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from adapters.leaders import FixedLeaders
from commands import opening
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.leader import (
    INFO_BYTES_MAX,
    Announced,
    bases,
    candidates,
    parse_master_info,
)
from settings import Redactor, Settings, parse
from tests.scheduler_process import MDMS

Json = dict[str, Any]

# As a real 1.11 master describes itself (tests/data/mesos).
REAL: Json = {
    "address": {"hostname": "master1.example", "ip": "10.0.0.21", "port": 5050},
    "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}],
    "hostname": "master1.example",
    "id": "6efe906a-88e1-421b-948c-2f4d1fae1fc6",
    "ip": 352321546,
    "pid": "master@10.0.0.21:5050",
    "port": 5050,
    "version": "1.11.0",
}
URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9a-f:.]+\]):[0-9]{1,5}")


def without(*names: str, **changed: object) -> Json:
    return {key: value for key, value in REAL.items() if key not in names} | changed


def parsed(info: object) -> Announced:
    return parse_master_info(msgspec.json.encode(info))


# -- names -----------------------------------------------------------------------------------------


def test_the_lowest_number_leads_and_all_else_in_the_folder_is_ignored() -> None:
    children = [
        "log_replicas", "json.info_0000000010", "info_0000000001", "json.info_0000000009",
        "json.info_1", "json.info_00000000001", "json.info_-000000001", "json.info_0000000009x",
        "xjson.info_0000000000", "jsonXinfo_0000000000", "json.info_" + "\u0660" * 10, "",
        "json.info_0000000002\n",
    ]  # fmt: skip
    assert candidates(children) == ("json.info_0000000009", "json.info_0000000010")
    assert candidates([]) == ()


# -- contents --------------------------------------------------------------------------------------


def test_a_real_master_is_found_by_address_and_by_name() -> None:
    assert parsed(REAL) == Announced(ip="10.0.0.21", hostname="master1.example", port=5050)


@pytest.mark.parametrize(
    ("info", "wanted"),
    [
        (without("address"), ("10.0.0.21", "master1.example", 5050)),
        (without("address", "pid"), ("10.0.0.21", "master1.example", 5050)),
        (without("address", "hostname"), ("10.0.0.21", "", 5050)),
        (without("address", pid="master@10.9.9.9:7"), ("10.9.9.9", "master1.example", 7)),
        (without("address", pid="master@[2001:db8::1]:7"), ("2001:db8::1", "master1.example", 7)),
        (without(address={"port": 7, "ip": "2001:DB8::1"}), ("2001:db8::1", "master1.example", 7)),
        (without(address={"port": 7, "hostname": "m"}), ("", "m", 7)),
        (without(address={"hostname": "m", "ip": "10.1.1.1"}), ("10.0.0.21", "m", 5050)),
        (without(hostname="m.", address={"port": 7, "ip": "0.0.0.0"}), ("", "m.", 7)),
        (without("address", "pid", ip=16777343), ("127.0.0.1", "master1.example", 5050)),
        (without("address", "pid", "ip"), ("", "master1.example", 5050)),
        (without("address", hostname="10.0.0.21"), ("10.0.0.21", "10.0.0.21", 5050)),
        (without("address", hostname="a b/../@x:1"), ("10.0.0.21", "", 5050)),
        (without("address", hostname="300.1.1.1"), ("10.0.0.21", "", 5050)),
    ],
)
def test_what_is_missing_is_taken_from_elsewhere_in_the_node(
    info: Json, wanted: tuple[str, str, int]
) -> None:
    ip, hostname, port = wanted
    assert parsed(info) == Announced(ip=ip, hostname=hostname, port=port)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0a\x24protobuf\xff",
        b"[]",
        b"null",
        b'"master@10.0.0.21:5050"',
        b"{}",
        b'{"port": 5050}',
        b'{"hostname": "m", "port": "5050"}',
        b'{"hostname": "m", "port": 0}',
        b'{"hostname": "m", "port": true}',
        b'{"hostname": "m", "port": 65536}',
        b'{"hostname": "m", "port": 5050.5}',
        b'{"ip": 99999999999, "port": 5050}',
        b'{"ip": -1, "port": 5050}',
        b'{"pid": "master@10.0.0.21"}',
        b'{"pid": "master@10.0.0.21:99999"}',
        b'{"pid": "@:1", "address": 7}',
        b"[" * 50000,
        b'{"hostname": "m", "port": 5050, "id": "' + b"x" * INFO_BYTES_MAX + b'"}',
    ],
)
def test_what_is_no_master_is_refused_and_shown_in_part(data: bytes) -> None:
    with pytest.raises(RemoteMesosError) as refused:
        parse_master_info(data)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@given(st.binary(max_size=200))
def test_no_bytes_escape_as_another_error(data: bytes) -> None:
    check(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
TEXTS = st.sampled_from(["10.0.0.21", "::1", "fe80::1%eth0", "0.0.0.0", "m", "master@[::1]:5050"])
FIELDS = st.sampled_from([*REAL, "address"])
ADDRESSES = st.dictionaries(st.sampled_from(["ip", "hostname", "port"]), VALUES | TEXTS)


@given(st.dictionaries(FIELDS, VALUES | TEXTS | ADDRESSES | st.integers(0, 70000)))
def test_no_mixture_of_fields_escapes_as_another_error(info: Json) -> None:
    check(msgspec.json.encode(info))


def check(data: bytes) -> None:
    try:
        announced = parse_master_info(data)
    except RemoteMesosError:
        return
    for scheme in ("http", "https"):
        found = bases(announced, scheme=scheme)
        assert found
        assert all(URL.fullmatch(base) for base in found)


# -- where to go -----------------------------------------------------------------------------------


def test_the_address_is_asked_first_and_the_name_where_a_certificate_is_made_out_to_it() -> None:
    both = Announced(ip="10.0.0.21", hostname="m", port=5050)
    assert bases(both, scheme="http") == ("http://10.0.0.21:5050", "http://m:5050")
    assert bases(both, scheme="https") == ("https://m:5050", "https://10.0.0.21:5050")


def test_each_place_is_asked_once() -> None:
    assert bases(Announced(ip="::1", hostname="", port=1), scheme="http") == ("http://[::1]:1",)
    assert bases(Announced(ip="::1", hostname="::1", port=1), scheme="http") == ("http://[::1]:1",)
    assert bases(Announced(ip="", hostname="m", port=1), scheme="http") == ("http://m:1",)


async def test_named_masters_are_all_asked_each_time_in_another_order() -> None:
    masters = ("http://a:1", "http://b:1", "http://c:1")
    leaders = FixedLeaders(masters=masters, chance=random.Random(7))  # noqa: S311 - an order, no secret
    orders = {await leaders.bases() for _ in range(100)}
    assert {tuple(sorted(order)) for order in orders} == {masters}
    assert len(orders) == 6


async def test_of_named_masters_no_change_is_ever_told(autojump_clock: object) -> None:
    leaders = FixedLeaders(masters=("http://a:1",), chance=random.Random(7))  # noqa: S311 - an order, no secret
    with trio.move_on_after(3600) as patience:
        await leaders.changed()
    assert patience.cancelled_caught


# -- by what is found out at the start -------------------------------------------------------------


async def test_without_kazoo_the_start_is_refused_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "kazoo.client", None)
    with pytest.raises(opening.BadInputError) as refused:
        opening.open_leaders(settings_with("zk://h1/mesos"), random.Random(), Redactor())  # noqa: S311
    assert str(refused.value) == (
        "-uri: zk://h1:2181/mesos needs the library kazoo, which is not installed: install "
        "scaleio-framework[zk], or name the masters with -uri=host:port,host:port"
    )


def test_the_redactor_learns_the_password_of_the_ensemble() -> None:
    redactor = Redactor()
    found = settings_with("zk://user:pa55word@h1/mesos")
    leaders = opening.open_leaders(found, random.Random(), redactor)  # noqa: S311 - not used
    assert redactor("zk://user:pa55word@h1") == "zk://user:***@h1"
    assert "pa55word" not in repr(leaders)


def settings_with(uri: str) -> Settings:
    return parse([*MDMS, f"-uri={uri}"], {"SCALEIO_SCALEIO_PASSWORD": "another-one"})
