"""The life of a subscription: every state and signal, and what each recorded answer means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos.session import (
    NEXT,
    CallFate,
    Remedy,
    Signal,
    State,
    advance,
    judge_answer,
    judge_call,
    judge_error,
    redirect_base,
)
from tests.unit.sim_mesos import CAPTURES, capture

ENDS = (State.SUPERSEDED, State.REMOVED)


# -- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Signal)
def test_every_pair_of_state_and_signal_is_decided(state: State, signal: Signal) -> None:
    assert advance(state, signal) is NEXT[state].get(signal, state)


@pytest.mark.parametrize("state", ENDS)
@pytest.mark.parametrize("signal", Signal)
def test_only_an_operator_leads_out_of_an_end(state: State, signal: Signal) -> None:
    operator = (state, signal) == (State.REMOVED, Signal.ANEW)
    assert advance(state, signal) is (State.DISCONNECTED if operator else state)


@pytest.mark.parametrize("state", [s for s in State if s not in ENDS])
def test_whatever_is_lost_starts_afresh(state: State) -> None:
    assert advance(state, Signal.LOST) is State.DISCONNECTED


def test_only_the_event_makes_us_subscribed() -> None:
    """Neither having asked nor a 200 does: the master refuses with 200 and an ERROR event."""
    assert advance(State.DISCONNECTED, Signal.SUBSCRIBED) is State.DISCONNECTED
    assert advance(State.FINDING, Signal.SUBSCRIBED) is State.FINDING
    assert advance(State.FINDING, Signal.ASKED) is State.SUBSCRIBING
    assert advance(State.SUBSCRIBING, Signal.SUBSCRIBED) is State.SUBSCRIBED


def test_every_state_is_reached_and_every_signal_used() -> None:
    reached = {State.DISCONNECTED} | {to for row in NEXT.values() for to in row.values()}
    assert reached == set(State) == set(NEXT)
    assert {signal for row in NEXT.values() for signal in row} == set(Signal)


# -- ERROR events ---------------------------------------------------------------------------------


def recorded_errors() -> list[str]:
    """The text of every ERROR event in the recordings."""
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("type") == "ERROR":
                found.add(value["error"]["message"])
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    for path in sorted(CAPTURES.glob("*.json")):
        look(capture(path.stem))
    return sorted(found)


def test_the_recordings_hold_the_errors_that_matter() -> None:
    found = recorded_errors()
    assert {"Framework failed over", "Framework has been removed"} <= set(found)
    assert len(found) > 8


@pytest.mark.parametrize("message", recorded_errors())
def test_every_recorded_error_is_an_end_or_is_retried_slowly_with_its_text(message: str) -> None:
    """What a person must change is retried each minute; the text of the master is shown."""
    verdict = judge_error(message)
    match message:
        case "Framework failed over":
            assert verdict.signal is Signal.SUPERSEDED
        case "Framework has been removed":
            assert verdict.signal is Signal.REMOVED
            assert "operator" in verdict.sentence
        case _:
            assert (verdict.signal, verdict.remedy) == (Signal.LOST, Remedy.PERSON)
            assert " ".join(message.split()) in verdict.sentence
            assert "master's log" not in verdict.sentence, "each of these has a cure of its own"


def test_a_failing_authorizer_is_retried_soon() -> None:
    verdict = judge_error("Authorization failure: timed out")
    assert (verdict.signal, verdict.remedy) == (Signal.LOST, Remedy.PAUSE)
    assert "timed out" in verdict.sentence


def test_who_was_thrown_out_by_an_own_subscription_comes_back() -> None:
    """One whose answer was lost: the master took it for the newer one."""
    verdict = judge_error("Framework failed over", by_ourselves=True)
    assert (verdict.signal, verdict.remedy) == (Signal.LOST, Remedy.PAUSE)


@pytest.mark.parametrize("message", ["Framework failed to authenticate", "Framework is unknown"])
def test_a_similar_text_is_no_end(message: str) -> None:
    assert judge_error(message).signal is Signal.LOST


@given(st.text(max_size=60))
def test_no_other_text_ends_us(message: str) -> None:
    if message.startswith("Framework "):
        return
    assert judge_error(message).signal is Signal.LOST


# -- answers to SUBSCRIBE and to calls ------------------------------------------------------------


def status_of(case: dict[str, Any]) -> int:
    return int(case["status_line"].split()[1])


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["case"]) for case in capture(name)["cases"]]


@pytest.mark.parametrize(
    "case",
    [
        case
        for name in ("authentication", "redirects", "http_answers")
        for case in cases(name)
        if "status_line" in case.values[0]
    ],
)
def test_every_recorded_refusal_is_a_lost_session_whose_cause_is_shown(
    case: dict[str, Any],
) -> None:
    status = status_of(case)
    verdict = judge_answer(status, case["body"])
    assert verdict.signal is Signal.LOST
    assert str(status) in verdict.sentence
    assert " ".join(case["body"].split())[:40] in verdict.sentence


@pytest.mark.parametrize(
    ("status", "remedy", "word"),
    [
        (401, Remedy.CREDENTIALS, "give -mesos.principal and -mesos.secret-file"),
        (403, Remedy.CREDENTIALS, "credentials"),
        (404, Remedy.PAUSE, "no leading master"),
        (500, Remedy.PAUSE, "no leading master"),
        (503, Remedy.PAUSE, "no leading master"),
        (400, Remedy.PERSON, "-uri"),
        (405, Remedy.PERSON, "-uri"),
        (406, Remedy.PERSON, "-uri"),
        (415, Remedy.PERSON, "-uri"),
        (501, Remedy.PERSON, "501"),
        (413, Remedy.PAUSE, "413"),
        (200, Remedy.PAUSE, "200"),
    ],
)
def test_each_status_has_its_remedy_and_its_sentence(
    status: int, remedy: Remedy, word: str
) -> None:
    verdict = judge_answer(status, "text of the master")
    assert (verdict.signal, verdict.remedy) == (Signal.LOST, remedy)
    assert word in verdict.sentence
    assert "text of the master" in verdict.sentence


def test_a_wrong_secret_names_the_principal_and_the_file_to_correct() -> None:
    verdict = judge_answer(401, "401 Unauthorized.", principal="storage")
    assert verdict.remedy is Remedy.CREDENTIALS
    assert "'storage'" in verdict.sentence
    assert "-mesos.secret-file" in verdict.sentence


def test_a_master_that_finds_no_enum_is_asked_with_fewer_capabilities() -> None:
    body = "Failed to convert JSON into Call protobuf: Failed to find enum for 'REGION_AWARE'"
    assert judge_answer(400, body).remedy is Remedy.FEWER


def test_another_principal_than_that_of_the_secret_is_told_as_such() -> None:
    body = (
        "Failed to validate scheduler::Call: Authenticated principal 'a' does not match "
        "principal 'b' set in `FrameworkInfo`"
    )
    verdict = judge_answer(400, body, principal="b")
    assert verdict.remedy is Remedy.CREDENTIALS
    assert "-mesos.principal" in verdict.sentence


def test_a_page_of_a_proxy_is_cut_to_a_line() -> None:
    assert len(judge_answer(502, "<html>\n" + "x" * 100_000).sentence) < 300
    assert "\n" not in judge_answer(502, "<html>\n<body>\n").sentence


@pytest.mark.parametrize(
    "case", [c for c in cases("http_answers") if "SUBSCRIBE" not in c.values[0]["case"]]
)
def test_recorded_answers_to_calls_that_mean_a_dead_subscription(case: dict[str, Any]) -> None:
    """A wrong or missing stream id, an unknown framework: subscribe again. Others do not."""
    dead = case["case"] in {
        "no Mesos-Stream-Id",
        "wrong Mesos-Stream-Id",
        "unknown framework_id",
        "unknown framework",
        "unknown path",  # of a master that has just started
    }
    assert (judge_call(status_of(case), case["body"]) is CallFate.LOST) == dead


def test_the_stream_id_of_a_replaced_subscription_means_a_dead_one() -> None:
    status, body = capture("failover_old_stream_id")["answer"]
    assert judge_call(status, body) is CallFate.LOST


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (202, CallFate.DONE),
        (200, CallFate.STRANGE),  # no master answers a call so, but UPDATE_FRAMEWORK
        (204, CallFate.STRANGE),
        (307, CallFate.LOST),
        (400, CallFate.REFUSED),
        (401, CallFate.CREDENTIALS),
        (403, CallFate.LOST),
        (404, CallFate.LOST),
        (405, CallFate.REFUSED),
        (408, CallFate.STRANGE),  # a proxy's: it may have passed the call on
        (413, CallFate.REFUSED),
        (415, CallFate.REFUSED),
        (429, CallFate.STRANGE),
        (500, CallFate.STRANGE),
        (502, CallFate.STRANGE),
        (504, CallFate.STRANGE),
        (501, CallFate.REFUSED),
        (503, CallFate.LOST),
    ],
)
def test_each_answer_to_a_call_has_its_fate(status: int, fate: CallFate) -> None:
    assert judge_call(status, "text") is fate


def test_update_framework_is_answered_when_it_is_done() -> None:
    assert judge_call(200, "", expected=200) is CallFate.DONE


# -- redirects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("//leader.test:5050/master/api/v1/scheduler", "http://leader.test:5050"),
        ("//leader.test:5050", "http://leader.test:5050"),
        ("//leader.test", "http://leader.test:5050"),
        ("http://leader.test:5051/api/v1/scheduler", "http://leader.test:5051"),
        ("https://leader.test:5051/api", "https://leader.test:5051"),
        ("leader.test:5050", "http://leader.test:5050"),
        ("leader.test:5050/master/state", "http://leader.test:5050"),
        ("10.0.0.1:5050", "http://10.0.0.1:5050"),
        ("//[2001:db8::1]:5050/api/v1", "http://[2001:db8::1]:5050"),
        ("[::1]:5050", "http://[::1]:5050"),
        ("  //leader.test:5050  ", "http://leader.test:5050"),
        ("//user:word@leader.test:5050/x", "http://leader.test:5050"),
    ],
)
def test_every_form_of_redirect_is_followed_to_its_base(location: str, expected: str) -> None:
    assert redirect_base(location, scheme="http") == expected


def test_no_redirect_leads_out_of_tls() -> None:
    """The secret would be sent in the open."""
    assert redirect_base("http://leader.test:5050/x", scheme="https") is None


def test_a_redirect_without_scheme_keeps_that_of_the_request() -> None:
    assert redirect_base("//leader.test:5050/x", scheme="https") == "https://leader.test:5050"


@pytest.mark.parametrize(
    "location",
    [
        "",
        "   ",
        "/",
        "/master/state",
        "//",
        "//:5050",
        "//a:port/",
        "//a:99999/",
        "//[::1",
        "a b:1",
        "//a<b>:5050/",
        "http://",
        "ftp://leader.test:5050/",
    ],
)
def test_garbage_is_no_redirect(location: str) -> None:
    assert redirect_base(location, scheme="http") is None


@pytest.mark.parametrize(
    "case", [c for c in cases("redirects") if "Location" in c.values[0]["headers"]]
)
def test_recorded_redirects_lead_to_the_leader(case: dict[str, Any]) -> None:
    base = redirect_base(case["headers"]["Location"], scheme="http")
    assert base in {"http://localhost:58629", "http://127.0.0.1:58629"}


@given(st.text(max_size=40))
def test_any_location_gives_a_base_that_can_be_called_or_none(location: str) -> None:
    base = redirect_base(location, scheme="http")
    if base is not None:
        scheme, _, rest = base.partition("://")
        assert scheme in {"http", "https"}
        assert rest.rpartition(":")[2].isdigit()
        assert not set(rest) & set(" /?#@\\<>\"'\r\n")
