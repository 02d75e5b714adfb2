"""Masters that die, and masters that do not lead."""

from __future__ import annotations

import json
from typing import Final

from tests.fidelity.side import OPERATOR, Side
from tests.fidelity.table import Needs, script
from tests.fidelity.wire import modern, named

THREE: Final = Needs(masters=3)


@script("a restarted master: the same ids, offers, tasks", alone=True)
async def master_restart(side: Side) -> None:
    first = await side.subscribe("first")
    await first.offer("agent1")
    await first.start("t")
    await first.hold_nothing()
    await side.settle("a task runs")
    await side.ground.master_down()
    await first.over()
    await side.settle("the master is dead")
    await side.master_up()
    second = await side.subscribe("second", framework_id=first.framework_id)
    await second.offer("agent0")
    await second.offer("agent1")
    await side.settle("subscribed again")
    await second.reconcile()
    await second.state("t", "TASK_RUNNING")
    await side.settle("reconciled")
    await first.call("REVIVE")


@script("an unacknowledged update comes again from another master", alone=True)
async def update_across_masters(side: Side) -> None:
    first = await side.subscribe("first", acknowledge=False)
    await first.offer("agent1")
    offer = await first.offer()
    await first.launch(offer, first.task("t", offer))
    await first.ack(await first.state("t", "TASK_STARTING"))
    await first.state("t", "TASK_RUNNING")
    await side.settle("RUNNING is not acknowledged")
    await side.ground.master_down()
    await first.over()
    await side.master_up()
    await side.until_active("agent0")
    await side.settle("its agent is back")
    second = await side.subscribe("second", framework_id=first.framework_id, acknowledge=False)
    await second.state("t", "TASK_RUNNING")
    await side.settle("the update came again")


@script("an agent that comes back after its framework sends open updates twice", alone=True)
async def update_after_the_framework(side: Side) -> None:
    first = await side.subscribe("first", acknowledge=False)
    await first.offer("agent1")
    offer = await first.offer()
    await first.launch(offer, first.task("t", offer))
    await first.ack(await first.state("t", "TASK_STARTING"))
    await first.state("t", "TASK_RUNNING")
    await side.settle("RUNNING is not acknowledged")
    await side.ground.agent_down("agent0")
    await side.ground.master_down()
    await first.over()
    await side.master_up()
    second = await side.subscribe("second", framework_id=first.framework_id, acknowledge=False)
    await side.ground.agent_up("agent0")
    await second.state("t", "TASK_RUNNING")
    await side.settle("the update came again")


@script("reconciliation is silent about agents that are not back yet", alone=True)
async def silent_about_missing_agents(side: Side) -> None:
    first = await side.subscribe("first")
    await first.offer("agent1")
    await first.start("t")
    await first.hold_nothing()
    agent_id = await side.agent_id("agent0")
    other = await side.agent_id("agent1")
    await side.settle("a task runs")
    await side.ground.agent_down("agent0")
    await side.ground.master_down()
    await first.over()
    await side.master_up()
    second = await side.subscribe("second", framework_id=first.framework_id)
    await second.offer("agent1")
    await side.settle("subscribed again, agent0 is missing")
    await side.operator("GET_AGENTS")
    for task_id, where in (("t", agent_id), ("t", ""), ("ghost", agent_id), ("ghost", "")):
        await second.reconcile((task_id, where))
    await second.reconcile()
    await second.kill("t", named(agent_id))
    await side.settle("silence")
    await second.reconcile(("ghost", other), ("ghost", "nobody"))
    await side.settle("answers about others")
    await side.ground.agent_up("agent0")
    await second.offer("agent0")
    await side.settle("agent0 is back")
    await second.reconcile(("t", agent_id), ("ghost", agent_id), ("ghost", ""))


@script("a framework that was torn down is unknown to the next master", alone=True)
async def forgotten_removal(side: Side) -> None:
    first = await side.subscribe("first")
    await first.start("t")
    await first.call("TEARDOWN")
    await first.over()
    await side.settle("torn down")
    await side.ground.master_down()
    await side.master_up()
    second = await side.subscribe("second", framework_id=first.framework_id)
    await second.offer("agent0")
    await second.offer("agent1")
    await side.settle("let in again")
    await second.reconcile()


@script("masters that do not lead redirect, before they look at anything", needs=THREE)
async def redirects(side: Side) -> None:
    standby = side.ground.masters[1]
    subscribe = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": modern()}})
    for title, body, path in (
        ("SUBSCRIBE", subscribe, "/api/v1/scheduler"),
        ("nonsense", "{", "/api/v1/scheduler"),
        ("the long path", subscribe, "/master/api/v1/scheduler"),
        ("an operator's call", '{"type": "GET_AGENTS"}', OPERATOR),
    ):
        answer = await side.request(title, body, path=path, master=standby)
        location = answer.headers["Location"]
        side.transcript.note(f"to //(leader)/{location.removeprefix('//').partition('/')[2]}")
    for path in ("/redirect", "/master/redirect"):
        answer = await side.request(path, "", path=path, master=standby, method="GET")
        side.transcript.note(str(answer.headers["Location"].removeprefix("//").count("/")))


@script("another of three masters takes over, and in between nobody leads", needs=THREE, alone=True)
async def election(side: Side) -> None:
    first = await side.subscribe("first")
    await first.offer("agent1")
    await first.start("t")
    await first.hold_nothing()
    await side.settle("a task runs")
    await side.ground.master_down()
    await first.over()
    standby = side.ground.masters[1]
    subscribe = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": modern()}})
    await side.request("SUBSCRIBE", subscribe, master=standby)
    await side.request("GET_AGENTS", '{"type": "GET_AGENTS"}', path=OPERATOR, master=standby)
    answer = await side.client.get(f"{standby}/version")
    side.transcript.note(f"version {answer.json()['version']}")
    await side.settle("nobody leads")
    await side.master_up()
    second = await side.subscribe("second", framework_id=first.framework_id)
    await second.offer("agent0")
    await second.offer("agent1")
    await side.settle("another leads")
    await second.reconcile()
    await second.state("t", "TASK_RUNNING")
