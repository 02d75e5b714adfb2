"""The life of a subscription: every state and signal, and what each recorded answer means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos.session import (
    NEXT,
    Signal,
    State,
    advance,
    call_lost_the_session,
    judge_answer,
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
def test_nothing_leads_out_of_an_end(state: State, signal: Signal) -> None:
    assert advance(state, signal) is state


@pytest.mark.parametrize("state", [s for s in State if s not in ENDS])
def test_whatever_is_lost_starts_afresh(state: State) -> None:
    assert advance(state, Signal.LOST) is State.DISCONNECTED


def test_only_the_event_makes_us_subscribed() -> None:
    """Neither having asked nor a 200 does: the master refuses with 200 and an ERROR event."""
    assert advance(State.DISCONNECTED, Signal.SUBSCRIBED) is State.DISCONNECTED
    assert advance(State.DISCONNECTED, Signal.ASKED) is State.SUBSCRIBING
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
            assert (verdict.signal, verdict.slow) == (Signal.LOST, True)
            assert message in verdict.sentence


def test_a_failing_authorizer_is_retried_soon() -> None:
    verdict = judge_error("Authorization failure: timed out")
    assert (verdict.signal, verdict.slow) == (Signal.LOST, False)
    assert "timed out" in verdict.sentence


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
    ("status", "slow", "word"),
    [
        (401, True, "credentials"),
        (403, True, "credentials"),
        (404, False, "no leading master"),
        (503, False, "no leading master"),
        (400, True, "-uri"),
        (405, True, "-uri"),
        (406, True, "-uri"),
        (415, True, "-uri"),
        (500, False, "500"),
        (501, False, "501"),
        (200, False, "200"),
    ],
)
def test_each_status_has_its_pace_and_its_sentence(status: int, word: str, *, slow: bool) -> None:
    verdict = judge_answer(status, "text of the master")
    assert (verdict.signal, verdict.slow) == (Signal.LOST, slow)
    assert word in verdict.sentence
    assert "text of the master" in verdict.sentence


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
    }
    assert call_lost_the_session(status_of(case), case["body"]) == dead


def test_the_stream_id_of_a_replaced_subscription_means_a_dead_one() -> None:
    status, body = capture("failover_old_stream_id")["answer"]
    assert call_lost_the_session(status, body)
    assert call_lost_the_session(403, "Framework is not subscribed")
    assert not call_lost_the_session(202, "")
    assert not call_lost_the_session(400, "Failed to parse body into JSON")


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
