"""What operators are told of agents, frameworks and tasks."""

from __future__ import annotations

import json

from tests.fidelity.side import OPERATOR, Side
from tests.fidelity.table import script
from tests.fidelity.wire import JSON_TYPES, legacy, modern, named


@script("GET_AGENTS, idle, with an offer, and with a task", alone=True)
async def get_agents(side: Side) -> None:
    await side.operator("GET_AGENTS")
    it = await side.subscribe()
    await it.decline(await it.offer("agent1"))
    await it.start("t")
    await it.call("REVIVE")
    await it.offer("agent1")
    await it.offer("agent0")
    await side.settle("a task runs, offers are held")
    await side.operator("GET_AGENTS")


@script("GET_FRAMEWORKS: connected, hung up, completed", alone=True)
async def get_frameworks(side: Side) -> None:
    await side.operator("GET_FRAMEWORKS")
    it = await side.subscribe(info=modern(hostname="h", webui_url="http://h/", principal="p"))
    await it.offer("agent1")
    await it.start("t")
    await it.hold_nothing()
    other = await side.subscribe("other", legacy(role="alpha"))
    await side.settle("two frameworks")
    await side.operator("GET_FRAMEWORKS")
    it.close()
    await other.call("TEARDOWN")
    await other.over()
    await side.settle("one hung up, one is completed")
    await side.operator("GET_FRAMEWORKS")


@script("GET_TASKS: running, completed, unreachable", alone=True)
async def get_tasks(side: Side) -> None:
    await side.operator("GET_TASKS")
    it = await side.subscribe()
    await it.decline(await it.offer("agent1"))
    offer = await it.offer()
    await it.launch(offer, it.task("runs", offer), it.task("ends", offer, "ends"))
    await it.state("runs", "TASK_RUNNING")
    await it.state("ends", "TASK_FINISHED")
    await side.settle("one runs, one has ended")
    await side.operator("GET_TASKS")
    await side.ground.agent_down("agent0")
    await it.state("runs", "TASK_UNREACHABLE")
    await it.of_type("FAILURE")
    await side.settle("unreachable")
    await side.operator("GET_TASKS")
    await side.operator("GET_AGENTS")


@script("GET_VERSION, GET_HEALTH, GET_MASTER, GET_FLAGS, GET_MAINTENANCE_SCHEDULE", alone=True)
async def small_answers(side: Side) -> None:
    for kind in (
        "GET_VERSION",
        "GET_HEALTH",
        "GET_MASTER",
        "GET_MAINTENANCE_SCHEDULE",
        "GET_MAINTENANCE_STATUS",
    ):
        await side.operator(kind)
    for path in ("/health", "/master/health"):
        await side.request(path, "", path=path, method="GET")


@script("operators' calls that are no calls")
async def malformed_operator_calls(side: Side) -> None:
    for title, body in (
        ("no JSON", "{"),
        ("a list", "[]"),
        ("no type", "{}"),
        ("an unknown type", '{"type": "GET_MORE_MONEY"}'),
        ("a type that is a number", '{"type": 7}'),
        ("TEARDOWN without a body", '{"type": "TEARDOWN"}'),
    ):
        await side.request(title, body, path=OPERATOR)
    plain = {**JSON_TYPES, "Content-Type": "text/plain"}
    await side.request(
        "Content-Type text/plain", '{"type": "GET_HEALTH"}', path=OPERATOR, headers=plain
    )
    accepts = {"Accept": "application/json"}
    await side.request("no Content-Type", '{"type": "GET_HEALTH"}', path=OPERATOR, headers=accepts)
    html = {**JSON_TYPES, "Accept": "text/html"}
    await side.request("accepts HTML", '{"type": "GET_HEALTH"}', path=OPERATOR, headers=html)
    await side.request("GET", "", path=OPERATOR, method="GET")
    await side.request("an unknown path", "", path="/api/v7", method="GET")


@script("an operator's TEARDOWN")
async def operator_teardown(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent1")
    await it.start("t")
    await side.settle("a task runs")
    await side.operator("TEARDOWN", {"framework_id": named("nobody")})
    await side.operator("TEARDOWN", {"framework_id": named(it.framework_id)})
    await it.over()
    await side.settle("torn down")
    again = await side.subscribe("again", framework_id=it.framework_id)
    await again.over()
    await it.post(json.dumps({"type": "REVIVE", "framework_id": named(it.framework_id)}))
