"""Agents that die, come back, leave, and become others."""

from __future__ import annotations

from typing import Final

from tests.fidelity.framework import Framework
from tests.fidelity.side import Side
from tests.fidelity.table import Needs, script
from tests.fidelity.wire import Json, legacy, modern, named


async def _running(side: Side, info: Json | None = None) -> Framework:
    """A framework with one task on agent0, that holds no offers."""
    it = await side.subscribe(info=info)
    await it.offer("agent1")
    await it.start("t")
    await it.hold_nothing()
    await side.settle("a task runs")
    return it


@script("a killed agent: unreachable, reconciled, killed in vain, and back", alone=True)
async def agent_lost_and_back(side: Side) -> None:
    it = await _running(side)
    agent_id = await side.agent_id("agent0")
    await side.ground.agent_down("agent0")
    await it.state("t", "TASK_UNREACHABLE")
    await it.of_type("FAILURE")
    await side.settle("unreachable")
    await it.reconcile(("t", agent_id), ("ghost", agent_id))
    await it.reconcile(("t", ""))
    await side.settle("reconciled")
    await it.reconcile()
    await side.settle("reconciled implicitly")
    await it.kill("t", named(agent_id))
    await side.settle("killed in vain")
    start = it.mark()
    await side.ground.agent_up("agent0")
    await it.state("t", "TASK_RUNNING", start=start)
    await it.offer("agent0")
    await side.settle("it is back")
    await it.kill("t")
    await it.state("t", "TASK_KILLED")


@script("the same for a framework with neither checkpoint nor partition awareness", alone=True)
async def agent_lost_and_back_legacy(side: Side) -> None:
    it = await _running(side, legacy())
    agent_id = await side.agent_id("agent0")
    await side.ground.agent_down("agent0")
    await it.state("t", "TASK_LOST")
    await it.of_type("FAILURE")
    await side.settle("lost")
    await it.reconcile(("t", agent_id))
    await side.settle("reconciled")
    await side.ground.agent_up("agent0")
    await it.offer("agent0")
    await side.settle("it is back")


@script("a killed agent, and a framework with checkpoint that knows no partitions", alone=True)
async def agent_lost_checkpoint_only(side: Side) -> None:
    it = await _running(side, legacy(checkpoint=True))
    await side.ground.agent_down("agent0")
    await it.state("t", "TASK_LOST")
    await it.of_type("FAILURE")
    await side.settle("lost")
    start = it.mark()
    await side.ground.agent_up("agent0")
    await it.state("t", "TASK_RUNNING", start=start)
    await it.offer("agent0")


@script("a killed agent whose offer is held", alone=True)
async def agent_lost_with_offer(side: Side) -> None:
    it = await side.subscribe()
    offer = await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("offers are held")
    await side.ground.agent_down("agent0")
    await it.of_type("RESCIND")
    await it.launch(offer, it.task("late", offer))
    await it.state("late", "TASK_DROPPED")
    await it.of_type("FAILURE")
    await side.settle("gone")


@script("an agent that restarts in time: nothing is lost", alone=True)
async def agent_restart(side: Side) -> None:
    it = await _running(side)
    await side.ground.agent_down("agent0")
    await side.until_active("agent0", active=False)
    await it.kill("t")
    await side.ground.agent_up("agent0")
    await it.state("t", "TASK_KILLED")
    await side.settle("the KILL was kept for its return")


@script("an agent that restarts in time, seen by its offers", alone=True)
async def agent_restart_offers(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent1")
    await it.start("t", refuse_s=0.0)
    await it.offer("agent0")
    await side.settle("a task runs, the rest is offered")
    start = it.mark()
    await side.ground.agent_down("agent0")
    await it.of_type("RESCIND", start=start)
    await side.ground.agent_up("agent0")
    await it.offer("agent0")
    await side.settle("it is back")
    await it.reconcile()


@script("the same for a framework without checkpoint: its task is lost at once", alone=True)
async def agent_restart_legacy(side: Side) -> None:
    it = await _running(side, legacy())
    await side.ground.agent_down("agent0")
    await it.state("t", "TASK_LOST")
    await side.ground.agent_up("agent0")
    await it.offer("agent0")


@script("an agent that unregisters: TASK_LOST, whoever asks", alone=True)
async def agent_leaves(side: Side) -> None:
    it = await _running(side)
    agent_id = await side.agent_id("agent0")
    await side.ground.agent_leaves("agent0")
    await it.state("t", "TASK_LOST")
    await it.of_type("FAILURE")
    await side.settle("it has left")
    await it.reconcile(("t", agent_id))
    await side.settle("reconciled")
    await side.ground.agent_up("agent0")
    await it.offer("agent0")
    await side.settle("it is back, as another")


@script("a host whose agent comes back with a new id, in time", alone=True)
async def new_agent_id(side: Side) -> None:
    it = await _running(side)
    agent_id = await side.agent_id("agent0")
    await side.ground.agent_down("agent0")
    await side.ground.agent_up("agent0", new_id=True)
    await it.state("t", "TASK_LOST")
    await it.offer("agent0")
    await side.settle("another agent")
    await it.reconcile(("t", agent_id))


@script("a host whose agent comes back with a new id, too late", alone=True)
async def new_agent_id_late(side: Side) -> None:
    it = await _running(side)
    agent_id = await side.agent_id("agent0")
    await side.ground.agent_down("agent0")
    await it.state("t", "TASK_UNREACHABLE")
    await it.of_type("FAILURE")
    await side.settle("unreachable")
    await side.ground.agent_up("agent0", new_id=True)
    await it.offer("agent0")
    await side.settle("another agent")
    await it.reconcile(("t", agent_id))


@script("an agent that is marked gone", alone=True)
async def agent_gone(side: Side) -> None:
    it = await _running(side)
    agent_id = await side.agent_id("agent0")
    await side.operator("MARK_AGENT_GONE", {"agent_id": named(agent_id)})
    await it.state("t", "TASK_GONE_BY_OPERATOR")
    await it.of_type("FAILURE")
    await side.settle("gone")
    await it.reconcile(("t", agent_id), ("ghost", agent_id))
    await side.settle("reconciled")
    await side.operator("MARK_AGENT_GONE", {"agent_id": named(agent_id)})
    await side.operator("MARK_AGENT_GONE", {"agent_id": named("nobody")})


@script("an unreachable agent that is marked gone", alone=True)
async def unreachable_agent_gone(side: Side) -> None:
    it = await _running(side)
    agent_id = await side.agent_id("agent0")
    await side.ground.agent_down("agent0")
    await it.state("t", "TASK_UNREACHABLE")
    await it.of_type("FAILURE")
    await side.settle("unreachable")
    await side.operator("MARK_AGENT_GONE", {"agent_id": named(agent_id)})
    await it.state("t", "TASK_GONE_BY_OPERATOR")
    await side.settle("gone")
    await it.reconcile(("t", agent_id))


@script("an agent that falls silent: unreachable, and back when it is heard", alone=True)
async def agent_silent(side: Side) -> None:
    it = await _running(side)
    await side.ground.agent_silent("agent0")
    await it.state("t", "TASK_UNREACHABLE")
    await it.of_type("FAILURE")
    await side.settle("silent")
    start = it.mark()
    await side.ground.agent_heard("agent0")
    await it.state("t", "TASK_RUNNING", start=start)
    await it.offer("agent0")
    await side.settle("heard again")
    await it.kill("t")
    await it.state("t", "TASK_KILLED")


@script("an agent that falls silent with an offer of it held", alone=True)
async def agent_silent_with_offer(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("offers are held")
    await side.ground.agent_silent("agent0")
    await it.of_type("RESCIND")
    await it.of_type("FAILURE")
    await side.settle("silent")
    await side.ground.agent_heard("agent0")
    await it.offer("agent0")


ODD: Final = Needs(
    agents=1,
    attributes="rack:r1;spans:[1-5,9-9];disks:/dev/sdb,/dev/sdc;address:10.0.0.1;number:007;share:1.10;"
    "big:1e3;url:http://h:1/p;spaces:a b;dash:a-b",
    resources="cpus:2;mem:1024;disk:1024",
)
RESERVED: Final = Needs(
    agents=1, resources="cpus:2;cpus(ours):1;mem:1024;mem(ours):512;disk(theirs):1024;disk:64"
)
GPUS: Final = Needs(agents=1, resources="cpus:2;mem:1024;disk:64;gpus:1")


@script("attributes as agents read them", needs=ODD)
async def odd_attributes(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")


@script("resources that are reserved for roles by the agent's operator", needs=RESERVED)
async def static_reservations(side: Side) -> None:
    for title, info in (
        ("ours", modern(roles=["ours"])),
        ("theirs", modern(roles=["theirs"])),
        ("older", legacy(role="ours")),
        ("nobody", modern()),
    ):
        it = await side.subscribe(title, info)
        await it.offer("agent0")
        await side.settle(title)
        if title == "ours":
            offer = await it.offer("agent0")
            await it.launch(offer, it.task("huge", offer, cpus=9.0), refuse_s=0.0)
            await it.state("huge", "TASK_ERROR")
            await it.offer("agent0")
            await side.settle("too large")
        await it.call("TEARDOWN")
        await it.over()
    await side.operator("GET_AGENTS")


@script("an agent with a GPU is offered to those who know GPUs", needs=GPUS)
async def gpus(side: Side) -> None:
    it = await side.subscribe("blind")
    await side.settle("without GPU_RESOURCES")
    await it.call("TEARDOWN")
    knows = modern(capabilities=[{"type": "GPU_RESOURCES"}, {"type": "MULTI_ROLE"}])
    other = await side.subscribe("knows", knows)
    await other.offer("agent0")
