"""Filters, SUPPRESS and REVIVE, roles and their offers."""

from __future__ import annotations

import trio

from tests.fidelity.side import Side
from tests.fidelity.table import script
from tests.fidelity.wire import MODERN, legacy, modern, named


@script("DECLINE without filters, with a filter, and its end")
async def decline_filters(side: Side) -> None:
    it = await side.subscribe()
    await it.decline(await it.offer("agent1"))
    offer = await it.offer()
    await it.decline(offer, refuse_s=0.0)
    await it.offer()
    await side.settle("no filter")
    began = trio.current_time()
    await it.decline(await it.offer(), refuse_s=1.5)
    await it.offer()
    side.transcript.note(f"not before its time: {trio.current_time() - began >= 1.5}")
    await side.settle("a filter of a second and a half")
    await it.decline(await it.offer(), refuse_s=3600.0)
    await side.settle("a filter of an hour")


@script("a filter with a negative time is one of five seconds", slow=True)
async def negative_filter(side: Side) -> None:
    it = await side.subscribe()
    await it.decline(await it.offer("agent1"))
    began = trio.current_time()
    await it.decline(await it.offer(), refuse_s=-1.0)
    await it.offer()
    side.transcript.note(f"five seconds: {4.9 <= trio.current_time() - began < 7.0}")
    began = trio.current_time()
    offer = await it.offer()
    await it.call("DECLINE", {"offer_ids": [offer["id"]]})
    it.outstanding.clear()
    await it.offer()
    side.transcript.note(
        f"five seconds without filters: {4.9 <= trio.current_time() - began < 7.0}"
    )


@script("DECLINE of offers that are unknown, or spent, beside a good one")
async def decline_unknown(side: Side) -> None:
    it = await side.subscribe()
    good, other = await it.offer("agent0"), await it.offer("agent1")
    await side.settle("subscribed")
    await it.call("DECLINE", {"offer_ids": [named("never")]})
    await side.settle("an unknown offer")
    never = {**good, "id": named("never")}
    await it.decline(never, good, good, refuse_s=3600.0)
    await it.decline(good)
    await side.settle("spent ones")
    await it.launch(other, it.task("t", other))
    await it.state("t", "TASK_RUNNING")


@script("SUPPRESS and REVIVE without a body")
async def suppress_and_revive(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")
    await it.offer("agent1")
    await it.call("SUPPRESS")
    await it.hold_nothing()
    await side.settle("suppressed, with filters")
    await it.call("REVIVE")
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("revived")
    await it.call("SUPPRESS")
    await it.decline(*it.outstanding.values(), refuse_s=0.0)
    await side.settle("suppressed, without filters")
    await it.call("REVIVE")
    await it.offer("agent0")
    await it.offer("agent1")


@script("REVIVE clears the filters of a framework that was not suppressed")
async def revive_clears_filters(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")
    await it.offer("agent1")
    await it.hold_nothing()
    await side.settle("filters of an hour")
    await it.call("REVIVE")
    await it.offer("agent0")
    await it.offer("agent1")


@script("SUPPRESS and REVIVE of one role of two")
async def suppress_one_role(side: Side) -> None:
    it = await side.subscribe(info=modern(roles=["alpha", "beta"]), suppressed_roles=["beta"])
    await it.offer("agent0", "alpha")
    await it.offer("agent1", "alpha")
    await side.settle("beta is suppressed from the start")
    await it.call("SUPPRESS", {"roles": ["alpha"]})
    await it.decline(*it.outstanding.values(), refuse_s=0.0)
    await side.settle("both are suppressed")
    await it.call("REVIVE", {"roles": ["beta"]})
    await it.offer("agent0", "beta")
    await it.offer("agent1", "beta")
    await side.settle("beta is revived")
    await it.hold_nothing()
    await it.call("REVIVE", {"roles": ["alpha"]})
    await it.offer("agent0", "alpha")
    await it.offer("agent1", "alpha")
    await side.settle("alpha is revived, and beta's filters stay")
    await it.call("SUPPRESS", {"roles": ["nobody's"]})
    await it.call("REVIVE", {"roles": ["nobody's"]})


@script("a re-subscription replaces the suppressed roles and clears the filters")
async def suppression_at_resubscription(side: Side) -> None:
    info = modern(roles=["alpha"])
    first = await side.subscribe("first", info)
    await first.offer("agent0")
    await first.offer("agent1")
    await first.call("SUPPRESS")
    await first.hold_nothing()
    await side.settle("suppressed, with filters")
    first.close()
    await side.settle("hung up")
    second = await side.subscribe(
        "second", info, framework_id=first.framework_id, suppressed_roles=["alpha"]
    )
    await side.settle("suppressed by the subscription")
    second.close()
    await side.settle("hung up again")
    third = await side.subscribe("third", info, framework_id=first.framework_id)
    await third.offer("agent0")
    await third.offer("agent1")


@script("UPDATE_FRAMEWORK: a role goes, and its offers are rescinded")
async def update_roles(side: Side) -> None:
    info = modern(roles=["alpha"])
    it = await side.subscribe(info=info)
    await it.start("t")
    await it.offer("agent1")
    await side.settle("a task runs, and an offer is held")
    changed = modern(roles=["gamma"], id=named(it.framework_id))
    await it.call("UPDATE_FRAMEWORK", {"framework_info": changed})
    await it.offer("agent0", "gamma")
    await it.offer("agent1", "gamma")
    await side.settle("another role")
    await it.call("UPDATE_FRAMEWORK", {"framework_info": changed, "suppressed_roles": ["gamma"]})
    await it.decline(*it.outstanding.values(), refuse_s=0.0)
    await side.settle("suppressed")
    await it.call("UPDATE_FRAMEWORK", {"framework_info": changed})
    await it.offer("agent0", "gamma")
    await it.offer("agent1", "gamma")


@script("UPDATE_FRAMEWORK: what can't be changed")
async def update_refused(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("subscribed")
    same = modern(id=named(it.framework_id))
    for title, info, more in (
        ("nothing", same, {}),
        ("user", {**same, "user": "daemon"}, {}),
        ("checkpoint", {**same, "checkpoint": False}, {}),
        ("principal", {**same, "principal": "p"}, {}),
        ("another id", {**same, "id": named("other")}, {}),
        ("no id", modern(), {}),
        ("a bad role", {**same, "roles": ["/a"]}, {}),
        ("a foreign suppressed role", same, {"suppressed_roles": ["zzz"]}),
        ("failover_timeout", {**same, "failover_timeout": 1e30}, {}),
        ("name", {**same, "name": "renamed"}, {}),
        ("MULTI_ROLE", {**legacy(), "id": same["id"], "user": "root", "checkpoint": True}, {}),
    ):
        side.transcript.note(title)
        await it.call("UPDATE_FRAMEWORK", {"framework_info": info, **more})
    await side.settle("tried")


@script("two frameworks: what one declines the other gets")
async def two_frameworks(side: Side) -> None:
    first = await side.subscribe("first", modern(roles=["alpha"]))
    await first.offer("agent0")
    await first.offer("agent1")
    second = await side.subscribe("second", modern(roles=["beta"]))
    await side.settle("the first holds all")
    await first.decline(await first.offer("agent0"))
    await second.offer("agent0")
    await side.settle("the second has one")
    await first.call("TEARDOWN")
    await second.offer("agent1")
    await side.settle("the second has all")


@script("a framework without MULTI_ROLE in a role of its own")
async def single_role(side: Side) -> None:
    it = await side.subscribe(info=legacy(role="alpha"))
    offer = await it.offer("agent0")
    await it.launch(offer, it.task("t", offer, "ends"))
    await it.state("t", "TASK_FINISHED")


@script("a framework that reads the older form of reservations")
async def older_form(side: Side) -> None:
    kept = [word for word in MODERN if word != "RESERVATION_REFINEMENT"]
    it = await side.subscribe(info=modern(capabilities=[{"type": word} for word in kept]))
    offer = await it.offer("agent0")
    await it.launch(offer, it.task("t", offer, "ends"))
    await it.state("t", "TASK_FINISHED")
