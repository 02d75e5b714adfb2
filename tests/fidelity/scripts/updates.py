"""Updates and their acknowledgements, KILL, health checks, reconciliation."""

from __future__ import annotations

import trio

from tests.fidelity.programs import HEALTH_CHECK
from tests.fidelity.side import Side
from tests.fidelity.table import script
from tests.fidelity.wire import Json, legacy, modern, named

SOME_UUID = "Bb0U2NhFTSaf8MwC+CreAw=="


def grace(seconds: float) -> Json:
    return {"kill_policy": {"grace_period": {"nanoseconds": round(seconds * 1e9)}}}


@script("KILL of a running task")
async def kill(side: Side) -> None:
    it = await side.subscribe()
    status = await it.start("t")
    await it.kill("t", status["agent_id"])
    await it.state("t", "TASK_KILLED")


@script("KILL for a framework without TASK_KILLING_STATE")
async def kill_legacy(side: Side) -> None:
    it = await side.subscribe(info=legacy(checkpoint=True))
    await it.start("t")
    await it.kill("t")
    await it.state("t", "TASK_KILLED")


@script("KILL with a grace period, of a task that is deaf to SIGTERM")
async def kill_with_grace(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", program="stubborn")
    await side.settle("it runs")
    await it.kill("t", **grace(0.3))
    await it.state("t", "TASK_KILLED")


@script("a task with a grace period of its own")
async def own_grace(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", program="stubborn", **grace(0.3))
    await side.settle("it runs")
    began = trio.current_time()
    await it.kill("t")
    await it.state("t", "TASK_KILLED")
    side.transcript.note(f"sooner than three seconds: {trio.current_time() - began < 2.5}")


@script("KILL twice, and again when the task has ended")
async def kill_twice(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", program="stubborn")
    await side.settle("it runs")
    await it.kill("t", **grace(0.5))
    await it.kill("t", **grace(0.5))
    await it.state("t", "TASK_KILLED")
    await side.settle("it has ended")
    await it.kill("t")


@script("KILL of tasks that nobody knows, and with a wrong agent id")
async def kill_unknown(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t")
    await side.settle("it runs")
    await it.kill("ghost")
    await side.settle("without an agent id")
    await it.kill("ghost", named(await side.agent_id("agent0")))
    await side.settle("with an agent id")
    await it.kill("ghost", named("nobody"))
    await side.settle("with an unknown agent id")
    await it.kill("t", named("nobody"))
    await it.kill("t", named(await side.agent_id("agent1")))
    await side.settle("a known task, wrong agent ids")


@script("KILL of a task that no framework aware of partitions launched")
async def kill_unknown_legacy(side: Side) -> None:
    it = await side.subscribe(info=legacy())
    await it.kill("ghost", named(await side.agent_id("agent0")))
    await it.state("ghost", "TASK_LOST")


@script("an update comes again until it is acknowledged, and holds back the next", slow=True)
async def unacknowledged(side: Side) -> None:
    it = await side.subscribe(acknowledge=False)
    offer = await it.offer()
    await it.launch(offer, it.task("t", offer, "ends"))
    first = await it.state("t", "TASK_STARTING")
    began, start = trio.current_time(), it.mark()
    again = await it.state("t", "TASK_STARTING", start=start)
    side.transcript.note(f"after ten seconds: {9.5 <= trio.current_time() - began < 12.0}")
    side.transcript.note(f"the same: {again['uuid'] == first['uuid']}")
    for state in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
        await it.ack(await it.state("t", state))


@script("a re-subscription, and a changed framework, bring open updates at once")
async def unacknowledged_resubscription(side: Side) -> None:
    first = await side.subscribe("first", acknowledge=False)
    offer = await first.offer()
    await first.launch(offer, first.task("t", offer))
    await first.state("t", "TASK_STARTING")
    await side.settle("STARTING is not acknowledged")
    second = await side.subscribe("second", framework_id=first.framework_id, acknowledge=False)
    await second.state("t", "TASK_STARTING")
    await side.settle("subscribed again")
    same = modern(id=named(second.framework_id))
    await second.call("UPDATE_FRAMEWORK", {"framework_info": same})
    await side.settle("updated with the same")
    await second.call("UPDATE_FRAMEWORK", {"framework_info": {**same, "name": "renamed"}})
    await side.settle("updated with another name")


@script("acknowledgements that come twice, or for nothing")
async def odd_acknowledgements(side: Side) -> None:
    it = await side.subscribe(acknowledge=False)
    offer = await it.offer()
    await it.launch(offer, it.task("t", offer))
    starting = await it.state("t", "TASK_STARTING")
    body = {name: starting[name] for name in ("agent_id", "task_id", "uuid")}
    await it.call("ACKNOWLEDGE", {**body, "uuid": SOME_UUID})
    await it.call("ACKNOWLEDGE", {**body, "task_id": named("ghost")})
    await it.call("ACKNOWLEDGE", {**body, "agent_id": named("nobody")})
    await side.settle("for nothing: the next is held back")
    await it.call("ACKNOWLEDGE", body)
    running = await it.state("t", "TASK_RUNNING")
    await it.call("ACKNOWLEDGE", body)
    await side.settle("twice")
    await it.ack(running)
    await it.kill("t")
    await it.ack(await it.state("t", "TASK_KILLING"))
    await it.ack(await it.state("t", "TASK_KILLED"))


@script("a health check that turns bad: every failure is told, and then it kills")
async def health_check(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", program="ails", health_check=HEALTH_CHECK)
    await it.event(lambda event: bool(event.get("update", {}).get("status", {}).get("healthy")))
    await it.state("t", "TASK_KILLED")
    await side.settle("killed")


@script("reconciling a task after its health was told")
async def reconcile_health(side: Side) -> None:
    it = await side.subscribe()
    check = {**HEALTH_CHECK, "command": {"value": "true"}}
    await it.start("t", program="runs", health_check=check)
    await it.event(lambda event: bool(event.get("update", {}).get("status", {}).get("healthy")))
    await side.settle("healthy")
    await it.reconcile()


@script("a task that takes longer than its max_completion_time")
async def out_of_time(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t", max_completion_time={"nanoseconds": 500_000_000})
    await it.state("t", "TASK_FAILED")


@script("an executor that dies")
async def executor_dies(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t")
    await side.settle("it runs")
    await side.ground.executor_dies(it.framework_id, "t")
    await it.state("t", "TASK_FAILED")


@script("KILL that overtakes the launch")
async def kill_at_once(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.launch(offer, it.task("t", offer))
    await it.kill("t")
    await it.state("t", "TASK_KILLED")


@script("reconciling one by one: known, finished, unknown here, unknown there, unknown agents")
async def reconcile_explicitly(side: Side) -> None:
    it = await side.subscribe()
    await it.start("t")
    agent, other = await side.agent_id("agent0"), await side.agent_id("agent1")
    await side.settle("it runs")
    for title, task_id, agent_id in (
        ("known", "t", agent),
        ("known, without its agent", "t", ""),
        ("known, with another agent", "t", other),
        ("known, with an unknown agent", "t", "nobody"),
        ("unknown", "ghost", ""),
        ("unknown on a known agent", "ghost", agent),
        ("unknown on an unknown agent", "ghost", "nobody"),
    ):
        await it.reconcile((task_id, agent_id))
        await side.settle(title)
    await it.kill("t")
    await it.state("t", "TASK_KILLED")
    await side.settle("it has ended")
    await it.reconcile(("t", agent), ("ghost", agent))


@script("the same for a framework that is not partition aware")
async def reconcile_explicitly_legacy(side: Side) -> None:
    it = await side.subscribe(info=legacy())
    await it.start("t")
    await side.settle("it runs")
    agent = await side.agent_id("agent0")
    await it.reconcile(("t", agent), ("ghost", agent), ("other", ""), ("third", "nobody"))


@script("reconciling all: one that runs, one that ended, one that never was")
async def reconcile_implicitly(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.launch(offer, it.task("runs", offer), it.task("ends", offer, "ends"))
    await it.state("runs", "TASK_RUNNING")
    await it.state("ends", "TASK_FINISHED")
    await side.settle("one runs, one has ended")
    await it.reconcile()


@script("reconciling while an update waits for its acknowledgement")
async def reconcile_unacknowledged(side: Side) -> None:
    it = await side.subscribe(acknowledge=False)
    offer = await it.offer()
    await it.launch(offer, it.task("t", offer, "ends"))
    await it.state("t", "TASK_STARTING")
    await side.settle("it has ended, and only its start was told")
    await it.reconcile()
    await side.settle("all")
    await it.reconcile(("t", ""))


@script("SHUTDOWN of a command executor, and of one that nobody knows")
async def shutdown(side: Side) -> None:
    it = await side.subscribe()
    status = await it.start("t")
    await side.settle("it runs")
    agent_id = status["agent_id"]
    await it.call("SHUTDOWN", {"agent_id": agent_id, "executor_id": named("ghost")})
    await it.call("SHUTDOWN", {"agent_id": named("nobody"), "executor_id": named("t")})
    await side.settle("nobody there")
    await it.call("SHUTDOWN", {"agent_id": agent_id, "executor_id": named("t")})
    await it.state("t", "TASK_KILLED")
    await side.settle("it has ended")


@script("calls that have no effect here")
async def other_calls(side: Side) -> None:
    it = await side.subscribe()
    status = await it.start("t")
    where = {"agent_id": status["agent_id"], "executor_id": named("t")}
    await side.settle("it runs")
    await it.call("MESSAGE", {**where, "data": "aGVsbG8="})
    await it.call("REQUEST", {"requests": [{}]})
    await it.call("ACCEPT_INVERSE_OFFERS", {"inverse_offer_ids": [named("never")]})
    await it.call("DECLINE_INVERSE_OFFERS", {"inverse_offer_ids": [named("never")]})
    await it.call("RECONCILE_OPERATIONS", {"operations": []})
