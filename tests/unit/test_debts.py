"""What was told to Mesos before a reboot is taken back, and only that."""

from __future__ import annotations

import attrs
import pytest

from domain.debts import (
    DUE_S,
    FORGET_S,
    Debt,
    DebtsRecord,
    due,
    may_deactivate,
    owe,
    payment,
    settled,
)
from protocol.mesos.operator import AgentSeen

NOW = 1_000_000.0
DEBT = Debt(agent_id="S1", host="a1", due=NOW)
SEEN = AgentSeen(
    agent_id="S1", hostname="a1", ip="10.0.0.1", port=5051, attributes={}, active=True,
    deactivated=True,
)  # fmt: skip


def test_only_an_agent_that_operators_left_alone_is_deactivated() -> None:
    assert may_deactivate(attrs.evolve(SEEN, deactivated=False)) == ""
    assert "operators" in may_deactivate(SEEN)
    assert "operators" in may_deactivate(attrs.evolve(SEEN, deactivated=False, draining=True))
    assert "not list" in may_deactivate(None)


def test_a_debt_is_due_a_minute_after_it_was_made() -> None:
    owed = owe(DebtsRecord(), agent_id="S1", host="a1", now=NOW)
    assert due(owed, NOW + DUE_S - 0.1) == ()
    assert due(owed, NOW + DUE_S) == owed.deactivated


def test_a_clock_that_was_set_back_does_not_put_it_off() -> None:
    owed = owe(DebtsRecord(), agent_id="S1", host="a1", now=NOW)
    assert due(owed, NOW - 3600.0) == owed.deactivated


def test_an_agent_owes_once() -> None:
    owed = owe(DebtsRecord(), agent_id="S1", host="a1", now=NOW)
    again = owe(owed, agent_id="S1", host="a1", now=NOW + 5.0)
    assert [debt.due for debt in again.deactivated] == [NOW + 5.0 + DUE_S]
    other = owe(again, agent_id="S2", host="a2", now=NOW)
    assert settled(other, "S1").deactivated == other.deactivated[1:]


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (SEEN, "reactivate"),
        (attrs.evolve(SEEN, deactivated=False), "drop"),
        (attrs.evolve(SEEN, draining=True), "drop"),
        (None, "wait"),
    ],
)
def test_only_what_is_ours_is_undone(seen: AgentSeen | None, word: str) -> None:
    assert payment(DEBT, seen, NOW) == word


def test_an_agent_that_never_comes_back_is_forgotten_in_the_end() -> None:
    assert payment(DEBT, None, NOW + FORGET_S) == "wait"
    assert payment(DEBT, None, NOW + FORGET_S + 1.0) == "drop"
