"""ACCEPT: tasks that run, end and fail, and launches that can't be."""

from __future__ import annotations

from tests.fidelity.programs import HEALTH_CHECK
from tests.fidelity.side import Side
from tests.fidelity.table import script
from tests.fidelity.wire import Json, launch, legacy, modern, named, scalar


@script("one task to its end")
async def one_task(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.launch(offer, it.task("t", offer, "ends"))
    await it.state("t", "TASK_FINISHED")


@script("a task that fails with an exit status")
async def failing_task(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.launch(offer, it.task("t", offer, "fails"))
    await it.state("t", "TASK_FAILED")


@script("several tasks in one ACCEPT, of which one is bad")
async def one_bad_task_of_three(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    tasks = [
        it.task("first", offer, "runs"),
        it.task("bad", offer, "runs", cpus=99),
        it.task("last", offer, "ends"),
    ]
    await it.launch(offer, *tasks)
    await it.state("first", "TASK_RUNNING")
    await it.state("last", "TASK_FINISHED")


@script("tasks that want more than was offered")
async def too_large(side: Side) -> None:
    it = await side.subscribe()
    for number, cpus in enumerate((4.001, 1000.0)):
        offer = await it.offer()
        await it.launch(offer, it.task(f"t{number}", offer, cpus=cpus), refuse_s=0.0)
        await it.state(f"t{number}", "TASK_ERROR")
    offer = await it.offer()
    ports = {"type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}}
    task = it.task("ports", offer)
    task["resources"].append({"name": "ports", **ports, "allocation_info": {"role": "*"}})
    await it.launch(offer, task)
    await it.state("ports", "TASK_ERROR")


@script("task ids that are taken, and ids that can't be")
async def task_ids(side: Side) -> None:
    it = await side.subscribe()
    await it.start("taken", "agent1")
    await it.call("REVIVE")
    bad = ["taken", "a/b", "a\\b", ".", "..", "", "x" * 256, "tab\there"]
    for position, task_id in enumerate(bad):
        offer = await it.offer("agent0")
        start = it.mark()
        await it.launch(offer, it.task(task_id, offer, "runs"), refuse_s=0.0)
        await it.state(task_id, "TASK_ERROR", start=start)
        await side.settle(f"bad id {position}")


@script("tasks that are described badly")
async def bad_tasks(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    task = it.task("", offer)
    executor = {"executor_id": named("e"), "command": {"value": "true"}}
    grace = {"grace_period": {"nanoseconds": -1}}
    odd: dict[str, Json] = {
        "no-resources": {"resources": []},
        "wrong-agent": {"agent_id": named("nobody")},
        "no-command": {"command": None},
        "both": {"executor": executor},
        "negative-cpus": {"resources": [scalar("cpus", -1.0, allocation_info={"role": "*"})]},
        "foreign-role": {"resources": [scalar("cpus", 1.0, allocation_info={"role": "other"})]},
        "negative-grace": {"kill_policy": grace},
        "negative-time": {"max_completion_time": {"nanoseconds": -1}},
        "no-check": {"health_check": {"type": "COMMAND"}},
        "odd-check": {"health_check": {**HEALTH_CHECK, "interval_seconds": -1.0}},
        "part-of-gpu": {"resources": [scalar("gpus", 0.5, allocation_info={"role": "*"})]},
    }
    for name, more in odd.items():
        offer = await it.offer()
        start = it.mark()
        bad = {**task, "name": name, "task_id": named(name), "agent_id": offer["agent_id"], **more}
        await it.launch(offer, bad, refuse_s=0.0)
        await it.state(name, "TASK_ERROR", start=start)
        await side.settle(name)


@script("a task that takes nothing: zero cpus are no error")
async def zero_cpus(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    nothing = [scalar("cpus", 0.0, allocation_info={"role": "*"})]
    await it.launch(offer, it.task("t", offer, resources=nothing), refuse_s=0.0)
    await it.state("t", "TASK_RUNNING")
    await it.offer()


@script("ACCEPT with an offer that was used, declined, or never made")
async def spent_offers(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.decline(offer, refuse_s=0.0)
    await it.launch(offer, it.task("late", offer))
    await it.state("late", "TASK_DROPPED")
    await side.settle("declined before")
    offer = await it.offer()
    await it.launch(offer, it.task("first", offer), refuse_s=0.0)
    await it.launch(offer, it.task("second", offer))
    await it.state("second", "TASK_DROPPED")
    await it.state("first", "TASK_RUNNING")
    await side.settle("used before")
    never = {**offer, "id": named("never")}
    await it.launch(never, it.task("third", offer))
    await it.state("third", "TASK_DROPPED")
    await side.settle("never made")
    await it.accept(never)
    await it.accept_all([], launch(it.task("fourth", offer)))


@script("the same for a framework that is not partition aware")
async def spent_offers_legacy(side: Side) -> None:
    it = await side.subscribe(info=legacy())
    offer = await it.offer()
    await it.decline(offer, refuse_s=0.0)
    await it.launch(offer, it.task("late", offer))
    await it.state("late", "TASK_LOST")


@script("one bad offer of two spoils the ACCEPT, and the good one comes again")
async def one_bad_offer_of_two(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.offer("agent1")
    await side.settle("subscribed")
    never = {**offer, "id": named("never")}
    await it.accept_all([offer, never], launch(it.task("t", offer)), refuse_s=3600.0)
    await it.state("t", "TASK_DROPPED")
    await it.offer()
    await side.settle("it came again")
    offer = await it.offer()
    await it.accept_all([offer, offer], launch(it.task("u", offer)), refuse_s=3600.0)
    await it.state("u", "TASK_DROPPED")
    await it.offer()


@script("offers of two agents in one ACCEPT")
async def offers_of_two_agents(side: Side) -> None:
    it = await side.subscribe()
    first, second = await it.offer("agent0"), await it.offer("agent1")
    await it.accept_all([first, second], launch(it.task("t", first)))
    await it.state("t", "TASK_DROPPED")
    await it.offer("agent0")
    await it.offer("agent1")


@script("two offers of one agent, joined in one ACCEPT")
async def two_offers_of_one_agent(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.launch(offer, it.task("half", offer, cpus=2.0), refuse_s=0.0)
    await it.state("half", "TASK_RUNNING")
    await it.offer()
    await side.settle("the rest is offered")
    await it.kill("half")
    await it.state("half", "TASK_KILLED")
    both = await it.offers("agent0", 2)
    await side.settle("two offers")
    await it.accept_all(both, launch(it.task("whole", offer, cpus=3.5)), refuse_s=3600.0)
    await it.state("whole", "TASK_RUNNING")


@script("dust: 0.1 and 0.2 make 0.3, and the rest is whole again")
async def dust(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    shares = {"a": 0.1, "b": 0.2, "c": 0.1 + 0.2, "d": 3.4}
    tasks = [it.task(task_id, offer, cpus=cpus) for task_id, cpus in shares.items()]
    await it.launch(offer, *tasks)
    for task_id in shares:
        await it.state(task_id, "TASK_RUNNING")
    await side.settle("not a thousandth of a cpu is left")
    await it.call("SUPPRESS")
    for task_id in shares:
        await it.kill(task_id)
    for task_id in shares:
        await it.state(task_id, "TASK_KILLED")
    await side.settle("all have ended")
    await it.call("REVIVE")
    await it.offer()


@script("ACCEPT without operations, and a LAUNCH without tasks, are a DECLINE")
async def empty_accepts(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer()
    await it.accept(offer, refuse_s=0.0)
    await it.offer()
    await side.settle("no operations")
    offer = await it.offer()
    await it.accept(offer, launch(), refuse_s=3600.0)
    await side.settle("no tasks")


@script("offers of one agent in two roles can't be joined")
async def offers_of_two_roles(side: Side) -> None:
    it = await side.subscribe(info=modern(roles=["alpha", "beta"]), suppressed_roles=["beta"])
    await it.decline(await it.offer("agent1"))
    offer = await it.offer("agent0")
    await it.launch(offer, it.task("t", offer, cpus=2.0))
    await it.state("t", "TASK_RUNNING")
    await it.call("SUPPRESS", {"roles": ["alpha"]})
    await it.call("REVIVE", {"roles": ["beta"]})
    await it.decline(await it.offer("agent1", "beta"))
    first = await it.offer("agent0", "beta")
    await it.call("SUPPRESS", {"roles": ["beta"]})
    await it.kill("t")
    await it.state("t", "TASK_KILLED")
    await side.settle("beta holds a part, and another is free")
    await it.call("REVIVE", {"roles": ["alpha"]})
    second = await it.offer("agent0", "alpha")
    await it.decline(await it.offer("agent1", "alpha"))
    await it.accept_all([first, second], launch(it.task("u", second, cpus=3.0)))
    await it.state("u", "TASK_DROPPED")
    await it.offer("agent0", "alpha")
