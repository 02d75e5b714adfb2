"""What a master sends becomes values; what it may send one day does no harm."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos import events
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.events import Offer, Update, attributes_of, decode_event
from protocol.mesos.operator import parse_agents, parse_version_answer
from protocol.mesos.recordio import RecordReader
from protocol.mesos.resources import Resource, milli, usable, wire
from tests.unit.sim_mesos import CAPTURES, Json, capture

STREAMS = sorted(path.name for path in CAPTURES.glob("*.recordio.bin"))
KINDS: dict[str, type[events.Event]] = {
    "SUBSCRIBED": events.Subscribed,
    "HEARTBEAT": events.Heartbeat,
    "OFFERS": events.Offers,
    "RESCIND": events.Rescind,
    "UPDATE": events.Update,
    "FAILURE": events.Failure,
    "ERROR": events.ErrorEvent,
}
UUID = base64.b64encode(bytes(range(16))).decode()


def records(name: str) -> list[bytes]:
    return list(RecordReader().feed((CAPTURES / name).read_bytes()))


def event(kind: str, **fields: object) -> events.Event:
    return decode_event(json.dumps({"type": kind, **fields}).encode(), role="scaleio")


def offer_of(*resources: Json, **more: object) -> Offer:
    raw = {
        "id": {"value": "O1"},
        "agent_id": {"value": "S1"},
        "hostname": "a1.test",
        "resources": list(resources),
        **more,
    }
    found = event("OFFERS", offers={"offers": [raw]})
    assert isinstance(found, events.Offers)
    return found.offers[0]


def scalar(name: str, value: float, **more: object) -> Json:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


# -- recordings -----------------------------------------------------------------------------------


def test_there_are_recordings_of_every_event_that_we_act_on() -> None:
    seen = {json.loads(record)["type"] for name in STREAMS for record in records(name)}
    assert set(KINDS) <= seen


@pytest.mark.parametrize("name", STREAMS)
def test_every_recorded_event_decodes_to_its_kind(name: str) -> None:
    for record in records(name):
        kind = json.loads(record)["type"]
        assert type(decode_event(record, role="*")) is KINDS.get(kind, events.Unknown)


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_updates_keep_what_we_decide_on(name: str) -> None:
    for record in records(name):
        found = decode_event(record, role="*")
        if not isinstance(found, Update):
            continue
        raw = json.loads(record)["update"]["status"]
        assert (found.task_id, found.state) == (raw["task_id"]["value"], raw["state"])
        assert found.uuid == raw.get("uuid", "")
        assert found.agent_id == raw.get("agent_id", {}).get("value", "")
        assert (found.reason, found.message) == (raw.get("reason", ""), raw.get("message", ""))
        assert not found.uuid or found.source != "SOURCE_MASTER", "acks are for agents only"


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_offers_show_plain_resources_and_where_the_agent_listens(name: str) -> None:
    for record in records(name):
        found = decode_event(record, role="*")
        for offer in found.offers if isinstance(found, events.Offers) else ():
            amounts = {r.name: r.amount_milli for r in offer.resources}
            assert set(amounts) <= {"cpus", "mem", "disk"}, "no ports, nothing that is no scalar"
            assert amounts["cpus"] > 0
            assert offer.ip == "127.0.0.1"
            assert offer.port > 1024
            assert offer.attributes["rack"] == f"r{offer.hostname.removeprefix('agent')[0]}"


def test_a_maintenance_window_is_seen_in_the_offer() -> None:
    found = [decode_event(r, role="*") for r in records("inverse_offers.recordio.bin")]
    windows = {
        offer.unavailable_from_s
        for event_ in found
        if isinstance(event_, events.Offers)
        for offer in event_.offers
    }
    assert None in windows
    assert any(isinstance(at, float) and 1.7e9 < at < 2e9 for at in windows), "unix seconds"


def test_subscribed_tells_id_heartbeat_and_version_of_the_master() -> None:
    found = decode_event(records("heartbeats.recordio.bin")[0], role="*")
    assert isinstance(found, events.Subscribed)
    assert found.heartbeat_s == 15.0
    assert found.master_version == "1.11.0"
    assert found.framework_id.count("-") == 5


def test_a_master_before_1_1_tells_less_and_is_understood() -> None:
    found = event("SUBSCRIBED", subscribed={"framework_id": {"value": "F"}})
    assert found == events.Subscribed(framework_id="F", heartbeat_s=15.0)


def test_recorded_agents_are_listed_with_their_http_address() -> None:
    status, answer = capture("operator_get_agents")["answer"]
    found = parse_agents(json.dumps(answer))
    assert status == 200
    assert {agent.hostname for agent in found} == {"agent0.test", "agent1.test"}
    assert all(agent.active and agent.version == "1.11.0" for agent in found)
    assert all(agent.ip == "127.0.0.1" and agent.port > 1024 for agent in found)
    assert [agent.attributes["rack"] for agent in found]


@pytest.mark.parametrize("flags", [{"active": False}, {"active": True, "deactivated": True}])
def test_a_deactivated_agent_counts_as_not_there(flags: Json) -> None:
    info = {"id": {"value": "S1"}, "hostname": "a1"}
    body = {"get_agents": {"agents": [{"agent_info": info, "pid": "slave(1)@[::1]:5052", **flags}]}}
    [agent] = parse_agents(json.dumps(body))
    assert (agent.active, agent.ip, agent.port) == (False, "::1", 5052)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"get_agents": []}'])
def test_an_answer_that_lists_no_agents_is_a_named_fault(body: str) -> None:
    with pytest.raises(RemoteMesosError, match="GET_AGENTS"):
        parse_agents(body)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"version": 1}'])
def test_a_version_that_is_none_is_a_named_fault(body: str) -> None:
    with pytest.raises(RemoteMesosError, match="version"):
        parse_version_answer(body)


# -- what a newer master may send -----------------------------------------------------------------


def test_an_event_type_of_a_newer_master_is_unknown_and_harmless() -> None:
    assert event("INVERSE_OFFERS", inverse_offers={}) == events.Unknown(kind="INVERSE_OFFERS")
    assert event("BREW_COFFEE", anything=[1]) == events.Unknown(kind="BREW_COFFEE")


def test_states_and_reasons_of_a_newer_master_are_kept_as_text_and_end_nothing() -> None:
    status = {
        "task_id": {"value": "t"},
        "state": "TASK_LEVITATING",
        "reason": "REASON_MAGIC",
        "brand_new": {"deep": [1, 2]},
    }
    found = event("UPDATE", update={"status": status, "more": 1}, further="x")
    assert isinstance(found, Update)
    assert (found.state, found.reason, found.terminal) == ("TASK_LEVITATING", "REASON_MAGIC", False)


@pytest.mark.parametrize(
    ("state", "terminal"),
    [
        ("TASK_STAGING", False),
        ("TASK_STARTING", False),
        ("TASK_RUNNING", False),
        ("TASK_KILLING", False),
        ("TASK_UNREACHABLE", False),
        ("TASK_UNKNOWN", False),
        ("TASK_FINISHED", True),
        ("TASK_FAILED", True),
        ("TASK_KILLED", True),
        ("TASK_ERROR", True),
        ("TASK_LOST", True),
        ("TASK_DROPPED", True),
        ("TASK_GONE", True),
        ("TASK_GONE_BY_OPERATOR", True),
    ],
)
def test_only_states_that_nothing_follows_are_terminal(state: str, *, terminal: bool) -> None:
    found = event("UPDATE", update={"status": {"task_id": {"value": "t"}, "state": state}})
    assert isinstance(found, Update)
    assert found.terminal == terminal


def test_health_is_true_false_or_not_told() -> None:
    told = []
    for more in ({"healthy": True}, {"healthy": False}, {}, {"healthy": None}):
        status = {"task_id": {"value": "t"}, "state": "TASK_RUNNING", **more}
        found = event("UPDATE", update={"status": status})
        assert isinstance(found, Update)
        told.append(found.healthy)
    assert told == [True, False, None, None]


def test_a_uuid_comes_back_unchanged_and_one_that_is_no_base64_is_refused() -> None:
    status = {"task_id": {"value": "t"}, "state": "TASK_RUNNING", "uuid": UUID}
    found = event("UPDATE", update={"status": status})
    assert isinstance(found, Update)
    assert found.uuid == UUID
    with pytest.raises(RemoteMesosError):
        event("UPDATE", update={"status": {**status, "uuid": "not base64!"}})


@pytest.mark.parametrize(
    "body", [{"error": {"message": "no"}}, {"message": "no"}, {"error": None, "message": "no"}]
)
def test_an_error_is_read_in_the_schemas_form_and_in_the_published_one(body: Json) -> None:
    assert event("ERROR", **body) == events.ErrorEvent(message="no")


def test_a_failure_names_agent_or_executor() -> None:
    whole = event("FAILURE", failure={"agent_id": {"value": "S1"}})
    part = event("FAILURE", failure={"agent_id": {"value": "S1"}, "executor_id": {"value": "e"}})
    assert whole == events.Failure(agent_id="S1")
    assert part == events.Failure(agent_id="S1", executor_id="e")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"type": 7}',
        b'{"type": null}',
        b"\xff\xfe",
        b"[" * 5000,
    ],
)
def test_what_is_no_event_is_the_masters_fault(record: bytes) -> None:
    with pytest.raises(RemoteMesosError):
        decode_event(record, role="*")


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=6), st.integers(), max_size=3))
def test_any_unknown_type_with_any_fields_is_harmless(kind: str, fields: dict[str, int]) -> None:
    if kind in KINDS:
        return
    found = decode_event(msgspec.json.encode({**fields, "type": kind}), role="*")
    assert found == events.Unknown(kind=kind)


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
