"""What a dead scheduler sent may arrive when the next one is subscribed already."""

from __future__ import annotations

from simulation.mesos_observed import CallReceived
from simulation.world import Shape
from tests.simulation.stage import Stage, play


def test_a_late_subscribe_of_a_dead_scheduler_costs_a_start_and_nothing_else() -> None:
    async def story(stage: Stage) -> None:
        stage.rehearsal.started_again = True
        await stage.until(lambda: stage.launches("prerequisites"))
        stage.world.mesos.faults.slow_next_calls(1, 20.0)
        stage.world.mesos.faults.drop_stream()
        await stage.pass_time(5.0)  # its SUBSCRIBE is on its way now
        stage.rehearsal.crash()
        await stage.all_ready()
        subscribes = [e for e in stage.events if isinstance(e, CallReceived)]
        assert sum(call.kind == "SUBSCRIBE" for call in subscribes) >= 4
        assert stage.rehearsal.ended == 1, "the one that was superseded"

    play(story, shape=Shape(agents=2, storage=1))
