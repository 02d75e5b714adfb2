"""Who looks into the running scheduler sees every actor, every task, and what is really stored."""

from __future__ import annotations

from typing import Any, Final

from actors.board import ActorSnapshot
from actors.messages import AgentLost
from domain import records
from domain.agent import AgentRecord
from simulation.world import Shape
from tests.simulation.stage import Stage, play

CONTRACT: Final[
    dict[str, type | tuple[type, ...]]
] = {  # DESIGN, INTROSPECTION: name in the reply -> its type(s)
    "name": str,
    "kind": str,
    "phase": str,
    "mailbox_depth": int,
    "mailbox_peak": int,
    "mailbox_size": int,
    "handled": int,
    "last_message": str,
    "last_message_age_s": (int, float, type(None)),
    "restarts": int,
    "last_error": str,
    "waiting_for": str,
}
MESSAGE_CUT_AT: Final = 400  # characters
SINGLE: Final = {
    "journal": "journal",
    "master-link": "master_link",
    "master-writer": "master_link",
    "offer-broker": "offer_broker",
    "roster": "roster",
    "herald": "herald",
    "framework-closer": "framework_closer",
    "rollout-gate": "rollout_gate",
    "gateway-poller": "gateway_poller",
    "health-monitor": "health_monitor",
    "notifier": "notifier",
}


async def actors(stage: Stage) -> dict[str, dict[str, Any]]:
    reply = await stage.get("/debug/actors")
    assert reply.status_code == 200
    return {actor["name"]: actor for actor in reply.json()["actors"]}


def test_every_actor_is_listed_with_every_field_of_the_contract() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        listed = await actors(stage)
        agents = {f"agent/{host}": "agent" for host in stage.world.hosts}
        assert {name: actor["kind"] for name, actor in listed.items()} == {**SINGLE, **agents}
        for actor in listed.values():
            assert set(actor) == set(CONTRACT)
            for field, kind in CONTRACT.items():
                assert isinstance(actor[field], kind), (actor["name"], field)
            assert actor["phase"] == "running"
            assert actor["mailbox_depth"] <= actor["mailbox_peak"] <= actor["mailbox_size"]
        for name in (*agents, "journal", "offer-broker", "master-writer", "rollout-gate"):
            assert listed[name]["handled"] > 0
            assert listed[name]["last_message"]
            assert listed[name]["waiting_for"] == "a message"
            assert listed[name]["last_message_age_s"] >= 0

    play(story, shape=Shape(agents=2, storage=1))


def test_one_actor_shows_its_last_messages() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        one = (await stage.get("/debug/actors/agent/agent0.sim")).json()
        kinds = [message["kind"] for message in one["recent"]]
        assert kinds[-1] == one["last_message"]
        assert "Status" in kinds
        assert all(message["age_s"] >= 0 and message["text"] for message in one["recent"])
        assert (await stage.get("/debug/actors/nobody")).status_code == 404

    play(story)


def test_secrets_in_messages_are_hidden_wherever_they_stand() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        secret = stage.world.shape.password
        stage.service.roster_box.offer(AgentLost(agent_id=f"<{secret}>"))
        await stage.until(lambda: _roster(stage).last_message == "AgentLost", within_s=10.0)
        reply = (await stage.get("/debug/actors/roster")).text
        assert "AgentLost" in reply
        assert secret not in reply

    play(story)


def test_a_secret_is_hidden_before_a_long_message_is_cut() -> None:
    """Otherwise half of one that stands at the cut would be shown."""

    async def story(stage: Stage) -> None:
        await stage.all_ready()
        secret = stage.world.shape.password
        for length in range(MESSAGE_CUT_AT - 40, MESSAGE_CUT_AT, 4):
            stage.service.roster_box.offer(AgentLost(agent_id="x" * length + secret))
            await stage.pass_time(0.1)
            reply = (await stage.get("/debug/actors/roster")).text
            assert "xxxx" in reply
            assert secret[: len(secret) // 2] not in reply

    play(story)


def _roster(stage: Stage) -> ActorSnapshot:
    return stage.service.board.actors["roster"]()


def test_a_crash_of_an_actor_is_shown_and_costs_nothing_but_the_message() -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: stage.launches("prerequisites"))
        nonsense: Any = object()  # no member of the union: `assert_never` makes the actor crash
        stage.service.roster_box.offer(nonsense)
        await stage.until(lambda: _roster(stage).restarts == 1, within_s=10.0)
        shown = (await actors(stage))["roster"]
        assert shown["last_error"].startswith("AssertionError")
        await stage.all_ready()
        assert (await actors(stage))["roster"]["phase"] == "running"

    play(story)


def test_trios_tasks_are_shown_as_a_tree_with_what_they_wait_for() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        text = (await stage.get("/debug/tasks")).text
        assert "actors.supervision.supervise" in text
        lines = text.splitlines()
        depth = {line.strip().split("  in ")[0]: len(line) - len(line.lstrip()) for line in lines}
        assert any(name.endswith("household._run_agent") for name in depth)
        assert len(set(depth.values())) > 2
        waits = {line.partition("  in ")[2].partition(" (")[0] for line in lines}
        assert {"Mailbox.receive", "Service.run", "Roster._poll"} <= waits

    play(story)


async def _stored(stage: Stage) -> dict[str, AgentRecord]:
    raw = await stage.service.outside.store.load()
    return {
        key.removeprefix(records.AGENT_PREFIX): records.decode(value, AgentRecord, key=key)
        for key, value in raw.items()
        if key.startswith(records.AGENT_PREFIX)
    }


def test_page_and_api_show_what_is_stored_at_every_moment() -> None:
    async def compare(stage: Stage) -> None:
        stored = await _stored(stage)
        listed = (await stage.get("/v1/agents")).json()["agents"]
        assert {one["host"] for one in listed} == set(stored)
        page = (await stage.get("/ui/agents")).text
        for one in listed:
            record = stored[one["host"]]
            assert one["phase"] == record.phase.value
            assert one["since"] == record.since
            assert one["reason"].startswith(record.reason)  # what broker and gate say comes after
            assert one["error"] == record.error
            assert one["task_id"] == (record.task.task_id if record.task else "")
            assert one["host"] in page

    async def story(stage: Stage) -> None:
        await stage.until(lambda: len(stage.phases()) == 3)
        looks = 0
        while set(_phases(stage)) != {"ready"}:
            await compare(stage)
            looks += 1
            await stage.pass_time(20.0)
        await compare(stage)
        assert looks > 5

    play(story, shape=Shape(agents=3, storage=1))


def _phases(stage: Stage) -> list[str]:
    return [phase for phase, _ in stage.phases().values()]
