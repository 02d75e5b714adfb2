"""RESERVE and UNRESERVE, and what becomes of the offers."""

from __future__ import annotations

from tests.fidelity.side import Side
from tests.fidelity.table import script
from tests.fidelity.wire import Json, modern, named, reservation, scalar

ROLE: Json = {"allocation_info": {"role": "ours"}}


def reserve(*resources: Json, operation_id: str = "") -> Json:
    own = {"id": named(operation_id)} if operation_id else {}
    return {"type": "RESERVE", **own, "reserve": {"resources": list(resources)}}


def unreserve(*resources: Json, operation_id: str = "") -> Json:
    own = {"id": named(operation_id)} if operation_id else {}
    return {"type": "UNRESERVE", **own, "unreserve": {"resources": list(resources)}}


def ours(name: str, amount: float) -> Json:
    return scalar(name, amount, **ROLE, **reservation("ours", "tester"))


@script("RESERVE, a task on what is reserved, UNRESERVE", alone=True)
async def reserve_and_unreserve(side: Side) -> None:
    it = await side.subscribe(info=modern(roles=["ours"], principal="tester"))
    await it.decline(await it.offer("agent1"))
    offer = await it.offer()
    await it.accept(offer, reserve(ours("cpus", 1.0), ours("mem", 64.0)))
    offer = await it.offer()
    await side.settle("reserved")
    task = it.task("t", offer)
    task["resources"] = [ours("cpus", 1.0), ours("mem", 64.0)]
    await it.launch(offer, task, refuse_s=3600.0)
    await it.state("t", "TASK_RUNNING")
    await side.settle("a task runs on it")
    await it.kill("t")
    await it.state("t", "TASK_KILLED")
    await it.call("REVIVE")
    await it.offers("agent0", 1)
    await side.settle("it has ended")
    await it.decline(*it.outstanding.values(), refuse_s=0.0)
    offer = await it.offer()
    await it.accept(offer, unreserve(ours("cpus", 1.0), ours("mem", 64.0)))
    await it.offer()
    await side.settle("unreserved")


@script("what is reserved is offered to nobody else", alone=True)
async def reserved_for_others(side: Side) -> None:
    it = await side.subscribe(info=modern(roles=["ours"], principal="tester"))
    await it.decline(await it.offer("agent1"))
    offer = await it.offer()
    await it.accept(offer, reserve(ours("cpus", 3.0)), refuse_s=3600.0)
    await side.settle("reserved")
    await it.call("SUPPRESS")
    await it.hold_nothing()
    other = await side.subscribe("other", modern(roles=["theirs"]))
    await other.offer("agent0")
    await side.settle("another framework")
    await other.call("TEARDOWN")
    kept = ["PARTITION_AWARE", "MULTI_ROLE"]
    plain = modern(roles=["ours"], capabilities=[{"type": word} for word in kept])
    third = await side.subscribe("third", plain)
    await third.offer("agent0")
    await side.settle("the older form")


@script("operations with ids are told of; impossible ones are refused", alone=True)
async def operation_feedback(side: Side) -> None:
    it = await side.subscribe(info=modern(roles=["ours"], principal="tester"))
    await it.decline(await it.offer("agent1"))
    offer = await it.offer()
    await it.accept(offer, reserve(ours("cpus", 1.0), operation_id="good"), refuse_s=3600.0)
    event = await it.of_type("UPDATE_OPERATION_STATUS")
    status = event["update_operation_status"]["status"]
    await side.settle("reserved")
    tasks = [{"operation_id": named(name)} for name in ("good", "never")]
    await it.call("RECONCILE_OPERATIONS", {"operations": tasks})
    await side.settle("reconciled")
    body = {name: status[name] for name in ("agent_id", "operation_id")}
    await it.call("ACKNOWLEDGE_OPERATION_STATUS", {**body, "uuid": status["uuid"]["value"]})
    await side.settle("acknowledged")
    await it.call("REVIVE")
    offer = await it.offer()
    start = it.mark()
    await it.accept(offer, reserve(ours("cpus", 99.0), operation_id="huge"), refuse_s=0.0)
    await it.of_type("UPDATE_OPERATION_STATUS", start=start)
    await it.offer()
    await side.settle("more than there is")
    await it.call("RECONCILE_OPERATIONS", {"operations": tasks})
    await side.settle("reconciled again")


@script("RESERVE and LAUNCH in one ACCEPT", alone=True)
async def reserve_and_launch(side: Side) -> None:
    it = await side.subscribe(info=modern(roles=["ours"], principal="tester"))
    await it.decline(await it.offer("agent1"))
    offer = await it.offer()
    task = it.task("t", offer)
    task["resources"] = [ours("cpus", 1.0), scalar("mem", 32.0, **ROLE)]
    operation = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
    await it.accept(offer, reserve(ours("cpus", 1.0)), operation, refuse_s=3600.0)
    await it.state("t", "TASK_RUNNING")
    await side.settle("it runs")
