"""An agent that waits for a reboot half way through its plan is not looked at at each start."""

from __future__ import annotations

import pytest

from domain import inbox
from domain.agent import AgentRecord, Phase, Reboot
from domain.draft import Agent
from domain.lifecycle import decide
from domain.plan import Plan, PlannedStep
from domain.rules import Moment, Rules

MOMENT = Moment(now=100.0, unix=1e9, token="00000001", jitter=0.5)
PLAN = Plan(steps=(PlannedStep(name="sds", state="wanted"),))


@pytest.mark.parametrize(("before_join", "phase"), [
    (True, Phase.REBOOT_WANTED),  # the rest follows when it is back
    (False, Phase.SURVEYING),  # the settings ask for more than they did
])  # fmt: skip
def test_the_process_starts_again(before_join: bool, phase: Phase) -> None:
    record = AgentRecord(
        host="a1",
        agent_id="S1",
        phase=Phase.REBOOT_WANTED,
        reboot=Reboot(boot_id="b", reason="a kernel is installed", before_join=before_join),
    )
    agent = Agent(record=record, plan=PLAN)
    after, _ = decide(agent, inbox.Started(), moment=MOMENT, rules=Rules())
    assert after.record.phase is phase
