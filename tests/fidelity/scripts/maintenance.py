"""Maintenance windows, draining, and deactivated agents."""

from __future__ import annotations

from typing import Final

from tests.fidelity.side import Side, poll
from tests.fidelity.table import script
from tests.fidelity.wire import Json, legacy, named, window

HOUR_NS: Final = 3600 * 10**9
GRACE: Final = {"grace_period": {"nanoseconds": 300_000_000}}


async def _post(side: Side, *windows: Json) -> None:
    body = {"schedule": {"windows": list(windows)}}
    await side.operator("UPDATE_MAINTENANCE_SCHEDULE", body)


@script("a window is posted and taken back", alone=True)
async def maintenance_window(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1", refuse_s=0.0)
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("a task runs on agent1, offers are held")
    window_of = window([side.machine("agent1")], side.now_ns() + HOUR_NS, 60.0)
    await _post(side, window_of)
    event = await it.of_type("INVERSE_OFFERS")
    await it.offer("agent1")
    ids = [offer["id"] for offer in event["inverse_offers"]["inverse_offers"]]
    filters = {"refuse_seconds": 3600.0}
    body = {"inverse_offer_ids": ids, "filters": filters}
    await it.call("ACCEPT_INVERSE_OFFERS", body)
    await side.settle("an hour before the window")
    await side.operator("GET_MAINTENANCE_SCHEDULE")
    await side.operator("GET_MAINTENANCE_STATUS")
    await _post(side)
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("taken back")
    await side.operator("GET_MAINTENANCE_SCHEDULE")


@script("an inverse offer that is not answered is rescinded with its window", alone=True)
async def unanswered_inverse_offer(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1")
    await it.hold_nothing()
    await side.settle("a task runs on agent1")
    await _post(side, window([side.machine("agent1")], side.now_ns() + HOUR_NS, 60.0))
    await it.of_type("INVERSE_OFFERS")
    await side.settle("posted")
    await _post(side)
    await it.of_type("RESCIND_INVERSE_OFFER")
    await side.settle("taken back")


@script("an inverse offer that is declined comes again, or stays away", alone=True)
async def declined_inverse_offer(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1")
    await it.hold_nothing()
    await side.settle("a task runs on agent1")
    await _post(side, window([side.machine("agent1")], side.now_ns() + HOUR_NS, 60.0))
    for refuse_s, more in ((0.0, True), (3600.0, False)):
        start = it.mark()
        event = await it.of_type("INVERSE_OFFERS", start=0)
        last = [one for one in it.events if one["type"] == "INVERSE_OFFERS"][-1]
        ids = [offer["id"] for offer in (last or event)["inverse_offers"]["inverse_offers"]]
        body = {"inverse_offer_ids": ids, "filters": {"refuse_seconds": refuse_s}}
        await it.call("DECLINE_INVERSE_OFFERS", body)
        if more:
            await it.of_type("INVERSE_OFFERS", start=start)
        await side.settle(f"declined for {refuse_s} s")
    await side.operator("GET_MAINTENANCE_STATUS")


@script("a machine that goes down for its maintenance, and comes up", alone=True)
async def machine_down(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1")
    await it.hold_nothing()
    await side.settle("a task runs on agent1")
    machines = {"machines": [side.machine("agent1")]}
    await side.operator("START_MAINTENANCE", machines)
    await _post(side, window([side.machine("agent1")], side.now_ns() + HOUR_NS, 60.0))
    await it.of_type("INVERSE_OFFERS")
    await side.settle("posted")
    await side.operator("START_MAINTENANCE", machines)
    await it.state("t", "TASK_LOST")
    await it.of_type("FAILURE")
    await side.settle("down")
    await side.operator("GET_MAINTENANCE_STATUS")
    await _post(side)
    await side.operator("STOP_MAINTENANCE", machines)
    await side.operator("GET_MAINTENANCE_SCHEDULE")


@script("schedules that are refused")
async def bad_schedules(side: Side) -> None:
    start = side.now_ns() + HOUR_NS
    machine = side.machine("agent1")
    await _post(side, window([machine], start, 60.0), window([machine], start, 60.0))
    await _post(side, window([], start, 60.0))
    await _post(side, window([{}], start, 60.0))
    await _post(side, window([machine], start, -1.0))
    await side.operator("UPDATE_MAINTENANCE_SCHEDULE")
    await side.operator("STOP_MAINTENANCE", {"machines": [machine]})
    await side.operator("START_MAINTENANCE", {"machines": []})


@script("DRAIN_AGENT: tasks are killed, and it offers nothing", alone=True)
async def drain(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1")
    await it.offer("agent0")
    await side.settle("a task runs on agent1")
    agent_id = named(await side.agent_id("agent1"))
    body = {"agent_id": agent_id, "max_grace_period": {"seconds": 1}}
    await side.operator("DRAIN_AGENT", body)
    await it.state("t", "TASK_KILLED")
    await side.settle("draining")
    await _until_drained(side)
    await side.operator("GET_AGENTS")
    await it.call("REVIVE")
    await side.settle("drained: no offers")
    await side.operator("REACTIVATE_AGENT", {"agent_id": agent_id})
    await it.offer("agent1")
    await side.settle("reactivated")
    await side.operator("GET_AGENTS")


async def _until_drained(side: Side) -> None:
    def over(agents: dict[str, Json]) -> bool:
        return bool(agents["agent1"].get("drain_info", {}).get("state") != "DRAINING")

    await poll(side.agents, over)


@script("DRAIN_AGENT for a framework that knows little", alone=True)
async def drain_legacy(side: Side) -> None:
    it = await side.subscribe(info=legacy(checkpoint=True))
    await it.start("t", "agent1", program="stubborn", kill_policy=GRACE)
    await it.offer("agent0")
    await side.settle("a task runs on agent1")
    agent_id = {"agent_id": named(await side.agent_id("agent1"))}
    await side.operator("DRAIN_AGENT", agent_id)
    await side.operator("REACTIVATE_AGENT", agent_id)
    await it.state("t", "TASK_KILLED")


@script("DEACTIVATE_AGENT and REACTIVATE_AGENT", alone=True)
async def deactivate(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1", refuse_s=0.0)
    await it.offer("agent0")
    held = await it.offer("agent1")
    await side.settle("a task runs on agent1, offers are held")
    agent_id = named(await side.agent_id("agent1"))
    await side.operator("DEACTIVATE_AGENT", {"agent_id": agent_id})
    await it.of_type("RESCIND")
    await it.launch(held, it.task("late", held))
    await it.state("late", "TASK_DROPPED")
    await it.call("REVIVE")
    await side.settle("deactivated: its task runs on, and it offers nothing")
    await side.operator("GET_AGENTS")
    await it.kill("t")
    await it.state("t", "TASK_KILLED")
    await side.settle("its task can be killed")
    await side.operator("REACTIVATE_AGENT", {"agent_id": agent_id})
    await it.offer("agent1")
    await side.settle("reactivated")


@script("operators' calls about agents that nobody knows")
async def unknown_agents(side: Side) -> None:
    body = {"agent_id": named("nobody")}
    for kind in ("DRAIN_AGENT", "DEACTIVATE_AGENT", "REACTIVATE_AGENT", "MARK_AGENT_GONE"):
        await side.operator(kind, body)
        await side.operator(kind, {})
        await side.operator(kind)
    await side.operator("REACTIVATE_AGENT", {"agent_id": named(await side.agent_id("agent0"))})


@script("DRAIN_AGENT of an idle agent, and with mark_gone", alone=True)
async def drain_and_forget(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", "agent1")
    await it.offer("agent0")
    await side.settle("a task runs on agent1")
    idle = named(await side.agent_id("agent0"))
    await side.operator("DRAIN_AGENT", {"agent_id": idle})
    await it.of_type("RESCIND")
    await side.settle("the idle one is drained")
    await side.operator("GET_AGENTS")
    other = await side.agent_id("agent1")
    await side.operator("DRAIN_AGENT", {"agent_id": named(other), "mark_gone": True})
    await it.state("t", "TASK_GONE_BY_OPERATOR")
    await it.of_type("FAILURE")
    await side.settle("the other is gone")
    await side.operator("GET_AGENTS")
    await it.reconcile(("t", other))


@script("what operators ordered outlives a master", alone=True)
async def orders_across_masters(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("offers are held")
    await side.operator("DEACTIVATE_AGENT", {"agent_id": named(await side.agent_id("agent0"))})
    await _post(side, window([side.machine("agent1")], side.now_ns() + HOUR_NS, 60.0))
    await side.settle("agent0 is deactivated, agent1 has a window")
    await side.ground.master_down()
    await it.over()
    await side.master_up()
    await side.until_active("agent1")
    second = await side.subscribe("second", framework_id=it.framework_id)
    await second.offer("agent1")
    await side.settle("another master")
    await side.operator("GET_MAINTENANCE_SCHEDULE")
    await side.operator("REACTIVATE_AGENT", {"agent_id": named(await side.agent_id("agent0"))})
    await second.offer("agent0")
