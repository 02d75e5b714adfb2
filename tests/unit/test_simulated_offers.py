"""Offers, filters, reservations and launches of the simulated master, as the real one's."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from simulation.mesos_observed import OfferAnswered, OfferMade, OfferRescinded, TaskRefused
from simulation.mesos_resources import Bundle, merged, without
from tests.unit.sim_mesos import (
    Json,
    Outcome,
    Scheduler,
    capture,
    legacy_info,
    modern_info,
    plain,
    task_info,
    world,
)


def test_amounts_are_exact() -> None:
    some = Bundle.of(cpus=0.1) + Bundle.of(cpus=0.2)
    assert some == Bundle.of(cpus=0.3)
    assert some - Bundle.of(cpus=0.3) == Bundle()
    assert not some.contains(Bundle.of(cpus=0.301))


def test_port_ranges_join_and_split_at_both_ends() -> None:
    assert merged(((5, 9), (1, 4), (20, 30))) == ((1, 9), (20, 30))
    assert without(((1, 9),), ((3, 4), (9, 12))) == ((1, 2), (5, 8))
    ports = Bundle.of(ports=((1, 9),))
    assert ports.contains(Bundle.of(ports=((2, 3), (9, 9))))
    assert not ports.contains(Bundle.of(ports=((9, 10),)))


def test_resources_reserved_for_another_role_cannot_be_used() -> None:
    both = Bundle.of(cpus=2) + Bundle.of(cpus=1, role="ours")
    assert both.usable_by("ours").milli("cpus") == 3000
    assert both.usable_by("other").milli("cpus") == 2000
    assert both.text("ours") == (
        "cpus(allocated: ours)(reservations: [(STATIC,ours)]):1; cpus(allocated: ours):2"
    )


def _translated(recorded: Json, names: dict[str, str]) -> Json:
    """A recorded status in the words of our run: its ids replaced by ours."""
    status = plain(recorded)
    for theirs, ours in names.items():
        status["message"] = status["message"].replace(theirs, ours)
    return status


async def _accept(scheduler: Scheduler, offers: list[Json], *tasks: Json) -> list[Json]:
    """The updates that an ACCEPT brings within half a second."""
    start = len(scheduler.events)
    operation = {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}
    body = {"offer_ids": [offer["id"] for offer in offers], "operations": [operation]}
    assert await scheduler.call("ACCEPT", body) == (202, "")
    await trio.sleep(0.05)
    return scheduler.statuses(start=start)


@pytest.mark.parametrize("framework", ["modern", "legacy"])
async def test_accepts_that_cannot_work_are_answered_as_recorded(
    framework: str, autojump_clock: MockClock
) -> None:
    recorded = {
        case["case"]: [event["update"]["status"] for event in case["events"]]
        for case in capture("invalid_accepts")["cases"]
        if case["framework"] == framework
    }
    info = modern_info() if framework == "modern" else legacy_info()
    async with world() as here:
        scheduler = await here.subscribed(info)
        [want] = recorded["more than was offered"]
        number = want["agent_id"]["value"][-1]
        offer = await scheduler.offer(f"agent{number}.test")
        [got] = await _accept(scheduler, [offer], task_info("huge", offer, cpus=1000))
        assert plain(got) == plain(want)

        offer = await scheduler.offer(f"agent{1 - int(number)}.test")
        await scheduler.decline(offer)
        [got] = await _accept(scheduler, [offer], task_info("late", offer))
        [want] = recorded["an offer that was declined before"]
        theirs = want["message"].split()[6]
        assert plain(got) == _translated(want, {theirs: offer["id"]["value"]})
        assert got["agent_id"] == offer["agent_id"]

        start = len(scheduler.events)
        assert await scheduler.call("ACCEPT", {"offer_ids": [{"value": "x"}]}) == (202, "")
        assert await scheduler.call("DECLINE", {"offer_ids": [{"value": "x"}]}) == (202, "")
        await trio.sleep(0.3)
        assert not scheduler.statuses(start=start)
        assert recorded["no operations, unknown offer"] == []
        assert recorded["DECLINE of an unknown offer"] == []


async def test_offers_of_two_agents_do_not_go_together(autojump_clock: MockClock) -> None:
    [want] = [
        case["events"][0]["update"]["status"]
        for case in capture("invalid_accepts")["cases"]
        if case["case"] == "offers of two agents in one ACCEPT"
    ]
    async with world() as here:
        scheduler = await here.subscribed()
        first = await scheduler.offer("agent0.test")
        second = await scheduler.offer("agent1.test")
        start = len(scheduler.events)
        [got] = await _accept(scheduler, [first, second], task_info("both", first))
        message = (
            "Task launched with invalid offers: Aggregated offers must belong to one single agent."
            f" Offer {second['id']['value']} uses agent {second['agent_id']['value']}"
            f" and agent {first['agent_id']['value']}"
        )
        assert plain(got) == {**plain(want), "message": message}
        # Both offers are spent, and what they held is offered again without a filter.
        await scheduler.offer("agent0.test", start=start)
        await scheduler.offer("agent1.test", start=start)
        assert [event.outstanding for event in here.observed(OfferAnswered)] == [True, True]


async def test_bad_tasks_are_errors_as_recorded(autojump_clock: MockClock) -> None:
    recorded = {
        case["case"]: case["events"][0]["update"]["status"]
        for case in capture("invalid_accepts")["cases"]
        if case["framework"] == "modern" and case["events"]
    }
    async with world() as here:
        here.hosts["agent0.test"].steps["step"] = (100.0, Outcome())
        scheduler = await here.subscribed()
        await scheduler.run_task("twice", "agent0.test")
        start = len(scheduler.events)
        offer = await scheduler.offer("agent0.test", start=start)
        [got] = await _accept(scheduler, [offer], task_info("twice", offer))
        assert plain(got) == plain(recorded["a second task with the id of a running one"])
        offer = await scheduler.offer("agent1.test")
        empty = {**task_info("no-resources", offer), "resources": []}
        [got] = await _accept(scheduler, [offer], empty)
        assert plain(got) == plain(recorded["a task without resources"])
        assert [event.state for event in here.observed(TaskRefused)] == ["TASK_ERROR"] * 2


async def test_a_bad_task_does_not_harm_the_others_of_its_accept(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer()
        good, bad = task_info("good", offer), task_info("bad", offer, cpus=4)
        await scheduler.launch(offer, good, bad)
        assert (await scheduler.wait_state("bad", "TASK_ERROR"))["reason"] == "REASON_TASK_INVALID"
        await scheduler.wait_state("good", "TASK_FINISHED")


async def test_a_declined_agent_is_offered_again_when_its_filter_is_over(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer()
        await scheduler.decline(offer, refuse_s=3.0)
        declined = trio.current_time()
        start = len(scheduler.events)
        await scheduler.offer(start=start)
        assert 3.0 <= trio.current_time() - declined <= 4.0


async def test_a_filter_holds_only_while_nothing_more_is_free(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        first = await scheduler.offer()
        await scheduler.launch(first, task_info("t", first), refuse_s=3600.0)
        await scheduler.wait_state("t", "TASK_FINISHED")
        ended = trio.current_time()
        again = await scheduler.offer(start=len(scheduler.events))
        assert trio.current_time() - ended <= 1.0
        amounts = {one["name"]: one.get("scalar") for one in again["resources"]}
        assert amounts["cpus"] == {"value": 4.0}


async def test_refusing_for_no_time_sets_no_filter(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer()
        declined = trio.current_time()
        await scheduler.decline(offer, refuse_s=0.0)
        await scheduler.offer(start=len(scheduler.events))
        assert trio.current_time() - declined <= 1.0


async def test_revive_clears_filters_and_suppress_stops_offers(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer()
        await scheduler.decline(offer, refuse_s=86400.0)
        await trio.sleep(100)
        assert len(scheduler.of_type("OFFERS")) == 1
        await scheduler.call("REVIVE")
        again = await scheduler.offer(start=len(scheduler.events))
        await scheduler.call("SUPPRESS")
        await scheduler.decline(again)
        await trio.sleep(100)
        assert len(scheduler.of_type("OFFERS")) == 2
        await scheduler.call("REVIVE")
        await scheduler.offer(start=len(scheduler.events))


async def test_filters_are_forgotten_when_the_framework_disconnects(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1) as here:
        first = await here.subscribed()
        await first.decline(await first.offer(), refuse_s=86400.0)
        first.close()
        await first.wait_ended()
        second = await here.subscribed(framework_id=first.framework_id)
        await second.offer()


async def test_a_role_suppressed_from_the_start_is_not_offered_to(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        info = modern_info(roles=["alpha", "beta"])
        scheduler = await here.subscribed(info, suppressed=["alpha"])
        await trio.sleep(2)
        assert {event.role for event in here.observed(OfferMade)} == {"beta"}
        await scheduler.call("REVIVE", {"roles": ["alpha"]})
        first = await scheduler.offer()
        await scheduler.decline(first, refuse_s=3600.0)
        await trio.sleep(2)
        assert {event.role for event in here.observed(OfferMade)} == {"alpha", "beta"}


async def test_two_roles_share_the_agents_as_recorded(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await here.subscribed(modern_info(roles=["alpha", "beta"]))
        event = await scheduler.wait_type("OFFERS")
        roles = [one["allocation_info"]["role"] for one in event["offers"]["offers"]]
        assert sorted(roles) == ["alpha", "beta"]


async def test_changed_roles_rescind_the_offers_of_the_old_ones(autojump_clock: MockClock) -> None:
    async with world() as here:
        info = modern_info(roles=["alpha", "beta"])
        scheduler = await here.subscribed(info)
        await scheduler.wait_type("OFFERS")
        start = len(scheduler.events)
        changed = {**info, "roles": ["gamma"], "id": {"value": scheduler.framework_id}}
        answer = await scheduler.call("UPDATE_FRAMEWORK", {"framework_info": changed})
        assert list(answer) == capture("update_framework")["answer"]
        await trio.sleep(2)
        kinds = [event["type"] for _, event in scheduler.events[start:]]
        assert kinds == ["RESCIND", "RESCIND", "OFFERS"]
        assert {one.role for one in here.observed(OfferMade)[-2:]} == {"gamma"}


async def test_reserved_resources_are_offered_to_their_role_in_the_readers_format(
    autojump_clock: MockClock,
) -> None:
    resources = Bundle.of(cpus=2, mem=64) + Bundle.of(cpus=1, mem=64, role="ours")
    async with world(agents=1, resources=resources) as here:
        refined = await here.subscribed(modern_info(roles=["ours"]))
        offer = await refined.offer()
        reserved = [one for one in offer["resources"] if "reservations" in one]
        assert {one["reservations"][0]["role"] for one in reserved} == {"ours"}
        assert not any("role" in one for one in offer["resources"])
        await refined.call("TEARDOWN")
        plain_form = await here.subscribed(legacy_info(role="ours"))
        offer = await plain_form.offer()
        cpus = {one["role"]: one["scalar"]["value"] for one in offer["resources"][::2]}
        assert cpus == {"*": 2.0, "ours": 1.0}
        await plain_form.call("TEARDOWN")
        stranger = await here.subscribed(legacy_info(role="other"))
        offer = await stranger.offer()
        assert {one["role"] for one in offer["resources"]} == {"*"}


async def test_agents_with_gpus_are_shown_to_those_who_ask_for_them(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1, resources=Bundle.of(cpus=2, mem=64, gpus=1)) as here:
        await here.subscribed()
        await trio.sleep(5)
        assert not here.observed(OfferMade)
        capabilities = [{"type": "GPU_RESOURCES"}]
        await here.subscribed(legacy_info(capabilities=capabilities))
        await trio.sleep(5)
        assert len(here.observed(OfferMade)) == 1


async def test_a_maintenance_window_renews_the_offers(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        await scheduler.offer()
        start = len(scheduler.events)
        here.mesos.faults.maintenance("agent0.test", start_s=3600.0, duration_s=60.0)
        offer = await scheduler.offer(start=start)
        assert offer["unavailability"]["duration"] == {"nanoseconds": 60_000_000_000}
        assert len(here.observed(OfferRescinded)) == 1


async def test_resources_of_all_offers_never_exceed_the_agent(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        await scheduler.offer()
        for number in range(20):
            held = here.mesos.state.frameworks[scheduler.framework_id].offers
            offer = next(
                one
                for event in reversed(scheduler.of_type("OFFERS"))
                for one in event["offers"]["offers"]
                if one["id"]["value"] in held
            )
            await scheduler.launch(offer, task_info(f"t{number}", offer))
            await scheduler.wait_state(f"t{number}", "TASK_RUNNING")
            [record] = here.mesos.state.agents.values()
            offered = sum((one.resources for one in record.offers.values()), Bundle())
            used = sum(
                (task.order.resources for task in record.tasks.values() if task.holds_resources),
                Bundle(),
            )
            assert record.free + offered + used == record.total
            await trio.sleep(1.0)
