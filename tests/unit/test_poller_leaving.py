"""The poller takes an agent out of the storage cluster, and only while it is being removed."""

from __future__ import annotations

import attrs
import trio

from actors.board import AgentSnapshot
from domain.joining import JoinSpec
from tests.unit.gateway_world import GUID, World, in_memory
from tests.unit.test_actors_poller import HOST, counter

FIRST = JoinSpec(host=HOST, address="10.0.1.1", domain="", sdc_guid=GUID)
DRAINING = AgentSnapshot(
    host=HOST, agent_id="S1", address=FIRST.address, phase="draining", since=0.0
)


def sds_count(world: World) -> int:
    return len(world.simulated.state.sds)


def test_it_is_looked_at_asked_for_and_waited_for() -> None:
    async def story(world: World) -> None:
        world.simulated._mdm.evacuate_s = 25.0
        async with counter(world) as here:
            here.shows(DRAINING)
            before = sds_count(world)
            answer = await here.ask("leave-check", FIRST)
            assert (answer.outcome, sds_count(world)) == ("done", before)
            answer = await here.ask("leave", FIRST)
            assert answer.outcome == "waiting"
            assert "moves to the others" in answer.sentence
            await trio.sleep(10.0)
            answer = await here.ask("leave", FIRST)
            assert "being moved" in answer.sentence
            await trio.sleep(20.0)
            answer = await here.ask("leave", FIRST)
            assert (answer.outcome, sds_count(world)) == ("done", before - 1)
            assert world.simulated.state.sdc_by_guid(GUID) is None
            assert (await here.ask("leave-last", FIRST)).outcome == "done"

    in_memory(story, api="2.5")


def test_nothing_is_removed_of_an_agent_that_is_held_meanwhile() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            here.shows(attrs.evolve(DRAINING, phase="held"))
            before = sds_count(world)
            answer = await here.ask("leave", FIRST)
            assert (answer.outcome, sds_count(world)) == ("waiting", before)
            assert "not being removed any more" in answer.sentence

    in_memory(story, api="2.5")


def test_the_last_look_removes_no_sds_that_has_come_back() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            here.shows(DRAINING)
            before = sds_count(world)
            answer = await here.ask("leave-last", FIRST)
            assert (answer.outcome, sds_count(world)) == ("waiting", before)
            assert "in the cluster again" in answer.sentence

    in_memory(story, api="2.5")
