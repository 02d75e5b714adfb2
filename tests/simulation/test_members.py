"""The hosts of MDMs are agents like others, but never go while another member is down."""

from __future__ import annotations

from typing import Final

import pytest
import trio

from domain import rollout
from simulation.promises import MEMBERS, Violation
from simulation.world import Shape
from tests.simulation.stage import Stage, play

AGENTS: Final = 6
AWAY_AT_S: Final = 150.0  # before the turn of most of them
AWAY_S: Final = 600.0
HOSTS: Final = frozenset({"agent0.sim", "agent1.sim", "agent2.sim"})


def onboard_while_a_member_is_away() -> tuple[list[tuple[float, str]], list[Violation]]:
    """When which agents were restarted, and what the checkers saw."""

    async def away(stage: Stage) -> None:
        gateway = stage.world.gateway
        tie_breaker = gateway.state.mdms[-1].ip
        await trio.sleep(AWAY_AT_S)
        gateway.set_mdm_connected(tie_breaker, connected=False)
        await trio.sleep(AWAY_S)
        gateway.set_mdm_connected(tie_breaker, connected=True)

    async def story(stage: Stage) -> tuple[list[tuple[float, str]], list[Violation]]:
        stage.nursery.start_soon(away, stage)
        await stage.until(
            lambda: [phase for phase, _ in stage.phases().values()] == ["ready"] * AGENTS
        )
        restarted = [(launch.at, launch.hostname) for launch in stage.launches("agent-restart")]
        return restarted, stage.violations()

    shape = Shape(agents=AGENTS, storage=AGENTS, mdms_on_agents=True)
    return play(story, seed=4, shape=shape)


def test_members_wait_until_all_members_are_there() -> None:
    restarted, violations = onboard_while_a_member_is_away()
    meanwhile = {host for at, host in restarted if AWAY_AT_S < at < AWAY_AT_S + AWAY_S}
    assert not meanwhile & HOSTS
    assert meanwhile, "the others go on"
    assert {host for _, host in restarted} > HOSTS
    assert violations == []


def test_without_the_rule_the_checker_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "pillar_waits", lambda *_, **__: "")
    _, violations = onboard_while_a_member_is_away()
    assert {violation.invariant for violation in violations} == {MEMBERS}
