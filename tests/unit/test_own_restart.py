"""An operator's own step may ask for a restart of the Mesos agent: once, in its turn, watched."""

from __future__ import annotations

import attrs

from domain import effects
from domain.agent import Phase
from install_steps.environments import environment_of
from tests.unit.agent_story import Story
from tests.unit.test_catalog import CONTEXT

OWN = "after-sdc-limits"


def story() -> Story:
    return Story(steps=("prerequisites", "sdc", OWN), codes={OWN: 21})


def test_it_is_restarted_after_the_next_survey_and_once() -> None:
    here = story()
    here.until_running(OWN)
    here.ends(21)
    assert here.record.restart_for == OWN
    here.until_phase(Phase.READY)
    assert here.launched().count("agent-restart") == 1
    assert here.record.restart_for == ""
    assert any(isinstance(one, effects.AskRestart) for one in here.log), "in its turn"


def test_a_restarted_scheduler_has_not_forgotten_it() -> None:
    here = story()
    here.until_running(OWN)
    here.ends(21)
    here.process_restarts()
    here.until_running("agent-restart")


def test_the_step_is_told_to_restart_an_agent_that_shows_the_wanted_isolation() -> None:
    told = environment_of("agent-restart", attrs.evolve(CONTEXT, restart_anyway=True))
    assert told["RESTART_ANYWAY"] == "yes"
    assert "RESTART_ANYWAY" not in environment_of("agent-restart", CONTEXT)
