"""Whatever goes wrong for a while: afterwards every agent becomes ready, and no promise broke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from commands.simulate import Options, simulate
from simulation.fault_kinds import KINDS
from simulation.scripts import Line
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


# -- each fault alone, in the middle of a step of the first agent ----------------------------------

Fault = Callable[[Stage, str], object]


def _for_a_while(stage: Stage, seconds: float, undo: Callable[[], object]) -> None:
    stage.world.mesos.timers.later(seconds, undo)


def the_host_is_locked(stage: Stage, host: str) -> None:
    dials = stage.world.hosts[host].dials
    dials.lock_held = True
    _for_a_while(stage, 100.0, lambda: setattr(dials, "lock_held", False))


def downloads_fail(stage: Stage, host: str) -> None:
    dials = stage.world.hosts[host].dials
    dials.download_fails = True
    _for_a_while(stage, 300.0, lambda: setattr(dials, "download_fails", False))


def the_gateway_is_replaced_by_a_web_page(stage: Stage, _: str) -> None:
    faults = stage.world.gateway.faults
    faults.html_404 = True
    _for_a_while(stage, 100.0, lambda: setattr(faults, "html_404", False))


def the_gateway_does_not_answer(stage: Stage, _: str) -> None:
    stage.world.gateway.faults.timeout_next(2)


def the_stream_falls_silent(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.mute_stream()


def the_stream_carries_garbage(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.garbage_on_stream()


def acknowledgements_are_lost(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.lose_next_calls(2, "ACKNOWLEDGE")


def a_launch_is_lost(stage: Stage, _: str) -> None:
    """The master goes on to believe that we hold its offers."""
    stage.world.mesos.faults.lose_next_calls(1, "ACCEPT")


def the_gateway_shows_old_news(stage: Stage, _: str) -> None:
    faults = stage.world.gateway.faults
    faults.stale = True
    _for_a_while(stage, 120.0, lambda: setattr(faults, "stale", False))


def calls_are_slow(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.slow_next_calls(2, 90.0)


def old_updates_come_once_more(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.replay_next_updates(3)


def the_master_is_busy(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.busy(30.0)


def there_is_no_master_for_a_minute(stage: Stage, _: str) -> None:
    stage.world.mesos.faults.master_failover(down_s=60.0, recover_s=20.0, agents_within_s=120.0)


def the_agent_leaves_and_comes_back(stage: Stage, host: str) -> None:
    stage.world.mesos.faults.agent_leaves(host)


def the_agent_stays_away(stage: Stage, host: str) -> None:
    stage.world.mesos.faults.agent_restart(host, down_s=400.0)


def the_agent_is_cut_off(stage: Stage, host: str) -> None:
    stage.world.mesos.faults.partition(host, for_s=300.0)


ALONE: Final = (
    the_host_is_locked,
    downloads_fail,
    the_gateway_is_replaced_by_a_web_page,
    the_gateway_does_not_answer,
    the_stream_falls_silent,
    the_stream_carries_garbage,
    acknowledgements_are_lost,
    a_launch_is_lost,
    the_gateway_shows_old_news,
    calls_are_slow,
    old_updates_come_once_more,
    the_master_is_busy,
    there_is_no_master_for_a_minute,
    the_agent_leaves_and_comes_back,
    the_agent_stays_away,
    the_agent_is_cut_off,
)


def recover(fault: Fault) -> None:
    """Three agents; the fault comes while the first has its client installed."""

    async def story(stage: Stage) -> None:
        host = next(iter(stage.world.hosts))

        def is_at_work() -> bool:
            return any(event.hostname == host for event in stage.launches("sdc"))

        await stage.until(is_at_work, within_s=600.0)
        fault(stage, host)
        await stage.all_ready()

    play(story, shape=Shape(agents=3, storage=2))


@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_is_recovered_from(kind: str) -> None:
    recover(lambda stage, host: stage.disturb(Line(0.0, kind, host)))


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.__name__)
def test_what_storms_do_not_bring_is_recovered_from(fault: Fault) -> None:
    recover(fault)
