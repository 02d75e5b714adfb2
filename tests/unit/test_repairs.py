"""An SDS that is down is looked after a few times in a day, and then by people."""

from __future__ import annotations

from typing import Any

import pytest

from domain import inbox
from domain.agent import AgentRecord, Phase
from domain.draft import Agent
from domain.lifecycle import decide
from domain.repairs import REPAIRS_MAX, WINDOW_S, are_spent
from domain.rules import Moment, Rules

DOWN = inbox.Doubted(why="SDS sds_10.0.0.1 is not healthy", repair=True)


def ready(*repairs: float) -> Agent:
    return Agent(record=AgentRecord(host="a1", agent_id="S1", phase=Phase.READY, repairs=repairs))


def told(agent: Agent, message: Any, *, unix: float = 1e9) -> Agent:
    moment = Moment(now=100.0, unix=unix, token="00000000", jitter=0.5)
    return decide(agent, message, moment=moment, rules=Rules())[0]


def test_a_doubt_about_an_sds_is_a_repair_with_its_time() -> None:
    after = told(ready(), DOWN)
    assert after.record.phase is Phase.SURVEYING
    assert after.record.repairs == (1e9,)
    assert "not healthy" in after.record.reason


def test_repairs_have_an_end_within_a_day_and_begin_anew_after_it() -> None:
    spent = ready(*(1e9 + n for n in range(REPAIRS_MAX)))
    assert are_spent(spent.record.repairs, 1e9 + 100)
    assert told(spent, DOWN, unix=1e9 + 100).record == spent.record
    later = told(spent, DOWN, unix=1e9 + WINDOW_S + 10)
    assert later.record.phase is Phase.SURVEYING
    assert later.record.repairs == (1e9 + WINDOW_S + 10,)


def test_other_doubts_are_no_repairs_and_never_end() -> None:
    spent = ready(*(1e9 + n for n in range(REPAIRS_MAX)))
    after = told(spent, inbox.Doubted(why="its SDC is not connected"), unix=1e9 + 100)
    assert after.record.phase is Phase.SURVEYING
    assert after.record.repairs == spent.record.repairs


def test_an_operators_retry_gives_all_repairs_back() -> None:
    failed = Agent(
        record=AgentRecord(
            host="a1", agent_id="S1", phase=Phase.FAILED, repairs=(1e9,) * REPAIRS_MAX
        )
    )
    assert told(failed, inbox.Command(name="retry")).record.repairs == ()


@pytest.mark.parametrize("unix", [0.0, 1e9 - 1, 1e9 - 1e6])
def test_a_clock_that_goes_back_blocks_no_repair(unix: float) -> None:
    spent = ready(*(1e9 + n for n in range(REPAIRS_MAX)))
    assert told(spent, DOWN, unix=unix).record.phase is Phase.SURVEYING
