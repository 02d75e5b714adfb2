"""What a master sends becomes values; what it may send one day does no harm."""

from __future__ import annotations

import base64
import json

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos import events
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.events import Update, decode_event
from protocol.mesos.offered import Offer, Offers
from protocol.mesos.recordio import RecordReader
from tests.unit.sim_mesos import CAPTURES, Json

STREAMS = sorted(path.name for path in CAPTURES.glob("*.recordio.bin"))
KINDS: dict[str, type[events.Event]] = {
    "SUBSCRIBED": events.Subscribed,
    "HEARTBEAT": events.Heartbeat,
    "OFFERS": Offers,
    "RESCIND": events.Rescind,
    "INVERSE_OFFERS": events.InverseOffers,
    "UPDATE": events.Update,
    "FAILURE": events.Failure,
    "ERROR": events.ErrorEvent,
}
UUID = base64.b64encode(bytes(range(16))).decode()


def records(name: str) -> list[bytes]:
    return list(RecordReader().feed((CAPTURES / name).read_bytes()))


def event(kind: str, **fields: object) -> events.Event:
    return decode_event(json.dumps({"type": kind, **fields}).encode())


def offer_of(*resources: Json, **more: object) -> Offer:
    raw = {
        "id": {"value": "O1"},
        "agent_id": {"value": "S1"},
        "hostname": "a1.test",
        "resources": list(resources),
        **more,
    }
    found = event("OFFERS", offers={"offers": [raw]})
    assert isinstance(found, Offers)
    return found.sketches()[0].whole("scaleio")


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
        assert type(decode_event(record)) is KINDS.get(kind, events.Unknown)


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_updates_keep_what_we_decide_on(name: str) -> None:
    for record in records(name):
        found = decode_event(record)
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
        found = decode_event(record)
        for sketch in found.sketches() if isinstance(found, Offers) else ():
            offer = sketch.whole("*")
            assert attrs.asdict(sketch.where()).items() <= attrs.asdict(offer).items()
            amounts = {r.name: r.amount_milli for r in offer.resources}
            assert set(amounts) <= {"cpus", "mem", "disk"}, "no ports, nothing that is no scalar"
            assert amounts["cpus"] > 0
            assert offer.ip == "127.0.0.1"
            assert offer.port > 1024
            assert offer.attributes["rack"] == f"r{offer.hostname.removeprefix('agent')[0]}"


def test_a_maintenance_window_is_seen_in_the_offer() -> None:
    found = [decode_event(r) for r in records("inverse_offers.recordio.bin")]
    windows = {
        offer.whole("*").unavailable_from_s
        for event_ in found
        if isinstance(event_, Offers)
        for offer in event_.sketches()
    }
    assert None in windows
    assert any(isinstance(at, float) and 1.7e9 < at < 2e9 for at in windows), "unix seconds"


def test_an_inverse_offer_names_the_agent_and_the_window() -> None:
    decoded = [decode_event(r) for r in records("inverse_offers.recordio.bin")]
    [asked] = [
        one
        for event_ in decoded
        if isinstance(event_, events.InverseOffers)
        for one in event_.offers
    ]
    [offer] = {
        whole.agent_id: whole
        for event_ in decoded
        if isinstance(event_, Offers)
        for one in event_.sketches()
        if (whole := one.whole("*")).unavailable_from_s is not None
    }.values()
    assert (asked.agent_id, asked.hostname, asked.ip) == (offer.agent_id, "agent1.test", offer.ip)
    assert asked.offer_id.endswith("-O77")
    assert asked.unavailable_from_s == offer.unavailable_from_s
    assert asked.unavailable_for_s == offer.unavailable_for_s == 60.0


def test_an_inverse_offer_may_leave_out_all_but_its_id_and_window() -> None:
    """A window without end is for ever; older masters name no machine."""
    raw = {"id": {"value": "I1"}, "unavailability": {"start": {"nanoseconds": 5_000_000_000}}}
    found = event("INVERSE_OFFERS", inverse_offers={"inverse_offers": [raw]})
    assert found == events.InverseOffers(
        offers=(
            events.InverseOffer(
                offer_id="I1",
                agent_id="",
                hostname="",
                ip="",
                unavailable_from_s=5.0,
                unavailable_for_s=None,
            ),
        )
    )


def test_a_rescinded_inverse_offer_is_named() -> None:
    body = {"inverse_offer_id": {"value": "I1"}}
    found = event("RESCIND_INVERSE_OFFER", rescind_inverse_offer=body)
    assert found == events.RescindInverseOffer(offer_id="I1")


def test_since_when_an_agent_is_unreachable_is_told_with_the_state() -> None:
    [*_, found] = [
        one
        for record in records("agent_lost_partition_aware.recordio.bin")
        if isinstance(one := decode_event(record), Update)
    ]
    assert found.state == "TASK_UNREACHABLE"
    assert found.unreachable_at_s is not None
    assert abs(found.timestamp - found.unreachable_at_s) < 10


def test_subscribed_tells_id_heartbeat_and_version_of_the_master() -> None:
    found = decode_event(records("heartbeats.recordio.bin")[0])
    assert isinstance(found, events.Subscribed)
    assert found.heartbeat_s == 15.0
    assert found.master_version == "1.11.0"
    assert found.framework_id.count("-") == 5


def test_a_master_before_1_1_tells_less_and_is_understood() -> None:
    found = event("SUBSCRIBED", subscribed={"framework_id": {"value": "F"}})
    assert found == events.Subscribed(framework_id="F", heartbeat_s=15.0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [(None, 15.0), (0, 15.0), (15, 15.0), (0.001, 1.0), (-5, 1.0), (1e300, 300.0), (60.0, 60.0)],
)
def test_the_heartbeat_interval_is_one_that_a_dead_stream_can_be_told_by(
    told: float | None, expected: float
) -> None:
    body = {"framework_id": {"value": "F"}, "heartbeat_interval_seconds": told}
    found = event("SUBSCRIBED", subscribed=body)
    assert isinstance(found, events.Subscribed)
    assert found.heartbeat_s == expected


# -- what a newer master may send -----------------------------------------------------------------


def test_an_event_type_of_a_newer_master_is_unknown_and_harmless() -> None:
    assert event("UPDATE_OPERATION_STATUS") == events.Unknown(kind="UPDATE_OPERATION_STATUS")
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


def test_an_error_is_one_line_that_a_screen_can_bear() -> None:
    found = event("ERROR", error={"message": "two\nlines\u2028 \x1b[31mred\x00 " + "x" * 5000})
    assert isinstance(found, events.ErrorEvent)
    assert found.message.startswith("two lines ?[31mred? xxx")
    assert len(found.message) == events.ERROR_MAX
    for odd in (7, None, "", " \n ", ["no"]):
        assert event("ERROR", error={"message": odd}) == events.ErrorEvent(message="no message")


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
        decode_event(record)


@given(st.text(max_size=40), st.dictionaries(st.text(max_size=6), st.integers(), max_size=3))
def test_any_unknown_type_with_any_fields_is_harmless(kind: str, fields: dict[str, int]) -> None:
    if kind in {*KINDS, "RESCIND_INVERSE_OFFER"}:
        return
    found = decode_event(msgspec.json.encode({**fields, "type": kind}))
    assert found == events.Unknown(kind=kind)
