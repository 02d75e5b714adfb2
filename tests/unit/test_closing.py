"""The end of the framework: what an order may do in each stage, and when TEARDOWN may come."""

from __future__ import annotations

import pytest

from domain import closing
from domain.agent import Phase
from domain.closing import AgentView, ClosingRecord, Stage, Wish
from domain.records import CLOSING_KEY, decode, encode

ORDERED = ClosingRecord(teardown=True, framework_id="F")
TEARING = ClosingRecord(teardown=True, framework_id="F", stage=Stage.TEARING)
TORN_DOWN = ClosingRecord(teardown=True, framework_id="F", stage=Stage.TORN_DOWN)
GONE = AgentView(host="gone", phase=Phase.RETIRED)


@pytest.mark.parametrize(
    ("wish", "known", "status", "record"),
    [
        (Wish(), "F", 202, ClosingRecord()),
        (Wish(), "", 202, ClosingRecord()),
        (Wish(confirm="F"), "F", 202, ClosingRecord(framework_id="F")),
        (Wish(teardown=True, confirm="F"), "F", 202, ORDERED),
        (Wish(teardown=True), "F", 400, None),
        (Wish(teardown=True, confirm="G"), "F", 409, None),
        (Wish(teardown=True, confirm="F"), "", 409, None),
        (Wish(confirm="G"), "F", 409, None),
    ],
)
def test_teardown_wants_the_right_id(
    wish: Wish, known: str, status: int, record: ClosingRecord | None
) -> None:
    answer = closing.order(None, wish, framework_id=known)
    assert (answer.status, answer.record) == (status, record)


def test_a_second_order_takes_the_place_of_the_first() -> None:
    assert closing.order(ORDERED, Wish(), framework_id="F").record == ClosingRecord()
    asked = Wish(teardown=True, confirm="F")
    assert closing.order(ClosingRecord(), asked, framework_id="F").record == ORDERED


@pytest.mark.parametrize("standing", [TEARING, TORN_DOWN])
def test_once_it_is_torn_nothing_turns_it_back(standing: ClosingRecord) -> None:
    answers = [closing.order(standing, Wish(), framework_id="F"), closing.call_off(standing)]
    assert [(one.status, one.record) for one in answers] == [(409, standing)] * 2


def test_it_is_called_off_while_it_is_only_ordered() -> None:
    answer = closing.call_off(ORDERED)
    assert (answer.status, answer.record) == (202, None)
    assert closing.call_off(None).status == 409


def test_only_what_is_over_begins_anew() -> None:
    assert closing.begin_anew(TORN_DOWN).record is None
    assert closing.begin_anew(TEARING).status == 409


def test_who_has_not_heard_of_it_is_told() -> None:
    views = [
        GONE,
        AgentView(host="new", phase=Phase.SEEN),
        AgentView(host="lost", phase=Phase.LOST),
        AgentView(host="leaves", phase=Phase.DRAINING, told=True),
        AgentView(host="held", phase=Phase.HELD, told=True),
    ]
    assert closing.to_tell(views) == ["new", "lost"]


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RETIRED])
def test_every_agent_that_is_not_retired_is_waited_for_by_name(phase: Phase) -> None:
    views = [GONE, AgentView(host="a1", phase=phase, told=True)]
    waits = closing.waits_for(ORDERED, views, framework_id="F")
    assert "1 agent is not retired yet" in waits
    assert f"{phase.value}: a1" in waits


def test_another_framework_than_the_confirmed_one_is_left_alone() -> None:
    assert closing.waits_for(ORDERED, [GONE], framework_id="F") == ""
    assert "confirmed for framework F" in closing.waits_for(ORDERED, [GONE], framework_id="G")
    assert closing.waits_for(ClosingRecord(), [GONE], framework_id="G") == ""


def test_the_masters_list_may_name_nobody_new() -> None:
    listed = {"S1": "a1", "S2": "a2"}
    assert closing.unmet(listed, ("S1", "S2", "S0"), recovered=0) == ""
    assert "(a2)" in closing.unmet(listed, ("S1",), recovered=0)
    assert "2 agents are not back" in closing.unmet(listed, ("S1", "S2"), recovered=2)


def test_many_names_are_shortened() -> None:
    assert closing.names([f"a{n}" for n in range(7)]) == "a0, a1, a2, a3, a4 and 2 more"


def test_a_record_of_fewer_fields_is_read_with_defaults() -> None:
    raw = b'{"v": 1, "kind": "ClosingRecord", "body": {}}'
    assert decode(raw, ClosingRecord, key=CLOSING_KEY) == ClosingRecord()
    assert b'"stage":"torn-down"' in encode(TORN_DOWN)
