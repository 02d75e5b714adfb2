"""Whatever goes wrong for a while: when it is over, every agent becomes ready, no promise broken."""

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
SEEDS: Final = (1, 2, 3, 4)
MOMENTS: Final = ("prerequisites", "sds")  # the fault comes while this step runs on the first agent


@pytest.mark.parametrize("level", ["some", "storm"])
@pytest.mark.parametrize("seed", SEEDS)
def test_all_become_ready_when_the_storm_is_over(level: str, seed: int) -> None:
    report = simulate(Options(agents=AGENTS, seed=seed, faults=level, storage=STORAGE))
    assert report["violations"] == []
    assert report["ready"] == AGENTS


@pytest.mark.parametrize("kind", KINDS["storm"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_fault_in_the_middle_of_a_step_is_recovered_from(kind: str, moment: str) -> None:
    async def story(stage: Stage) -> None:
        host = next(iter(stage.world.hosts))
        storm = Storm(
            world=stage.world,
            level="none",
            rng=random.Random(7),  # noqa: S311 - simulated chance
            crash=stage.rehearsal.crash,
        )

        def is_at_work() -> bool:
            return any(event.hostname == host for event in stage.launches(moment))

        await stage.until(is_at_work, within_s=600.0)
        storm.inject(kind, host)
        await stage.all_ready()

    play(story, shape=Shape(agents=3, storage=2))
