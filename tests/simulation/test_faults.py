"""Whatever goes wrong for a while: afterwards every agent becomes ready, and no promise broke."""

from __future__ import annotations

import random
from typing import Final

import pytest

from commands.simulate import Options, simulate
from simulation.storms import KINDS, Storm
from simulation.world import Shape
from tests.simulation.stage import Stage, play

AGENTS: Final = 10
STORAGE: Final = 4
STORMS: Final = (("some", 1), ("some", 2), ("storm", 3), ("storm", 4))


@pytest.mark.parametrize(("level", "seed"), STORMS)
def test_all_become_ready_when_the_storm_is_over(level: str, seed: int) -> None:
    report = simulate(Options(agents=AGENTS, seed=seed, faults=level, storage=STORAGE))
    assert report["violations"] == []
    assert report["ready"] == AGENTS


@pytest.mark.parametrize("kind", KINDS["storm"])
def test_one_fault_in_the_middle_of_a_step_is_recovered_from(kind: str) -> None:
    async def story(stage: Stage) -> None:
        host = next(iter(stage.world.hosts))
        storm = Storm(
            world=stage.world,
            level="none",
            rng=random.Random(7),  # noqa: S311 - simulated chance
            crash=stage.rehearsal.crash,
        )

        def is_at_work() -> bool:
            return any(event.hostname == host for event in stage.launches("sdc"))

        await stage.until(is_at_work, within_s=600.0)
        storm.inject(kind, host)
        await stage.all_ready()

    play(story, shape=Shape(agents=3, storage=2))
