"""Tasks, updates and the loss and return of agents, compared with the recordings."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from simulation.mesos_observed import AgentChanged, TaskChanged, UpdateSent
from tests.unit.sim_mesos import (
    Json,
    Outcome,
    Scheduler,
    World,
    capture,
    legacy_info,
    modern_info,
    plain,
    recorded_events,
    recorded_statuses,
    shape,
    task_info,
    world,
)

LONG = (10_000.0, Outcome())
HOST = "agent0.test"


async def _running(
    here: World, task_id: str, info: Json | None = None, **more: object
) -> Scheduler:
    """A framework with one long task on agent0.test."""
    here.hosts[HOST].steps["step"] = LONG
    scheduler = await here.subscribed(info)
    await scheduler.run_task(task_id, HOST, **more)
    await trio.sleep(1)
    return scheduler


def _same(ours: list[Json], theirs: list[Json]) -> None:
    """The same updates: states, reasons, messages, sources, and which fields there are."""
    assert [plain(status) for status in ours] == [plain(status) for status in theirs]
    assert [shape(status) for status in ours] == [shape(status) for status in theirs]


# ---- a task's life


async def test_a_finished_a_failed_and_a_killed_task_report_as_recorded(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        for host in here.hosts.values():
            host.steps.update(fails=(1.0, Outcome(exit_code=3)), killed=LONG)
        scheduler = await here.subscribed()
        for task_id, hostname in (("finishes", HOST), ("fails", "agent1.test")):
            offer = await scheduler.offer(hostname)
            await scheduler.launch(offer, task_info(task_id, offer, step=task_id))
        await scheduler.wait_state("finishes", "TASK_FINISHED")
        start = len(scheduler.events)
        offer = await scheduler.offer("agent1.test", start=start)
        await scheduler.launch(offer, task_info("killed", offer, step="killed"))
        await scheduler.wait_state("killed", "TASK_RUNNING")
        await scheduler.call("KILL", {"task_id": {"value": "killed"}})
        await scheduler.wait_state("killed", "TASK_KILLED")
        for task_id in ("finishes", "fails", "killed"):
            _same(scheduler.statuses(task_id), recorded_statuses("task_updates", task_id))
        assert here.hosts["agent1.test"].log[-1] == "abort killed"


async def test_a_step_gets_the_environment_of_its_command(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer()
        variables = [{"name": "MODE", "value": "gentle"}]
        command = {"value": "true", "environment": {"variables": variables}}
        await scheduler.launch(offer, task_info("t", offer, step="sds", command=command))
        await scheduler.wait_state("t", "TASK_FINISHED")
        assert here.hosts[HOST].log == ["begin sds {'MODE': 'gentle'}", "finish sds"]
        changes = [(one.state, one.running) for one in here.observed(TaskChanged)]
        assert changes == [("TASK_RUNNING", True), ("TASK_FINISHED", False)]


async def test_a_task_that_takes_too_long_fails(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        limit = {"max_completion_time": {"nanoseconds": 60_000_000_000}}
        scheduler = await _running(here, "slow", **limit)
        status = await scheduler.wait_state("slow", "TASK_FAILED")
        assert status["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"
        assert here.hosts[HOST].log[-1] == "abort step"


async def test_a_short_grace_period_ends_in_a_hard_kill(autojump_clock: MockClock) -> None:
    async with world(agents=1) as here:
        scheduler = await _running(here, "t")
        policy = {"grace_period": {"nanoseconds": 1_000_000}}
        await scheduler.call("KILL", {"task_id": {"value": "t"}, "kill_policy": policy})
        status = await scheduler.wait_state("t", "TASK_KILLED")
        assert status["message"] == "Command terminated with signal Killed"


async def test_a_task_killed_before_its_executor_speaks_never_runs(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer()
        await scheduler.launch(offer, task_info("t", offer))
        await scheduler.call("KILL", {"task_id": {"value": "t"}})
        status = await scheduler.wait_state("t", "TASK_KILLED")
        assert status["reason"] == "REASON_TASK_KILLED_DURING_LAUNCH"
        assert here.hosts[HOST].log == []


async def test_a_failing_health_check_is_told_each_time_and_then_kills(
    autojump_clock: MockClock,
) -> None:
    check = {
        "type": "COMMAND",
        "command": {"value": "check"},
        "delay_seconds": 0.0,
        "interval_seconds": 10.0,
        "consecutive_failures": 3,
    }
    async with world(agents=1) as here:
        scheduler = await _running(here, "keeper", health_check=check)
        await trio.sleep(35)
        here.hosts[HOST].well = False
        status = await scheduler.wait_state("keeper", "TASK_KILLED")
        assert status["healthy"] is False
        told = [one.get("healthy") for one in scheduler.statuses("keeper")]
        states = [one["state"] for one in scheduler.statuses("keeper")]
        assert told == [None, None, True, False, False, False, None, False]
        assert states[-2:] == ["TASK_KILLING", "TASK_KILLED"]
        assert {one["reason"] for one in scheduler.statuses("keeper")[2:6]} == {
            "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
        }


# ---- updates


async def test_an_update_is_sent_again_until_it_is_acknowledged(
    autojump_clock: MockClock,
) -> None:
    async with world(agents=1) as here:
        scheduler = await here.subscribed(acknowledge=False)
        offer = await scheduler.offer()
        await scheduler.launch(offer, task_info("noack", offer))
        first = await scheduler.wait_state("noack", "TASK_STARTING")
        began = trio.current_time()
        await trio.sleep(2000)
        assert {one["uuid"] for one in scheduler.statuses()} == {first["uuid"]}
        times = [at - began for at in scheduler.times("UPDATE")]
        assert times == pytest.approx([0, 10, 30, 70, 150, 310, 630, 1230, 1830], abs=0.01)
        assert [one.again for one in here.observed(UpdateSent)] == [False] + [True] * 8
        scheduler.acknowledge = True
        await scheduler.ack(first)
        second = await scheduler.wait_state("noack", "TASK_RUNNING")
        await scheduler.ack(second)
        await scheduler.wait_state("noack", "TASK_FINISHED")


async def test_an_ended_task_gives_its_resources_back_before_it_is_acknowledged(
    autojump_clock: MockClock,
) -> None:
    # As recorded (11.1 s): the first repetition carries the news of the end.
    async with world(agents=1) as here:
        scheduler = await here.subscribed(acknowledge=False)
        offer = await scheduler.offer()
        await scheduler.launch(offer, task_info("noack", offer), refuse_s=3600.0)
        began, start = trio.current_time(), len(scheduler.events)
        again = await scheduler.offer(start=start)
        assert 10.0 < trio.current_time() - began < 12.0
        assert {one["name"]: one.get("scalar") for one in again["resources"]}["cpus"] == {
            "value": 4.0
        }


# ---- reconciliation


@pytest.mark.parametrize("kind", ["modern", "legacy"])
async def test_reconciliation_answers_as_recorded(kind: str, autojump_clock: MockClock) -> None:
    cases = [
        case
        for case in capture("reconcile")["cases"]
        if case["case"].startswith("legacy") == (kind == "legacy")
    ]
    async with world() as here:
        info = modern_info() if kind == "modern" else legacy_info()
        scheduler = await _running(here, "r", info)
        agent_id = here.mesos.agents[HOST].agent_id
        for case in cases:
            start = len(scheduler.events)
            if "KILL" in case["case"]:
                await scheduler.call("KILL", {"task_id": {"value": "ghost"}})
            else:
                tasks = case.get("tasks", [{"task_id": {"value": "ghost"}}])
                for task in tasks:
                    if task.get("agent_id", {}).get("value", "").endswith("-S0"):
                        task["agent_id"] = {"value": agent_id}
                await scheduler.call("RECONCILE", {"tasks": tasks})
            await trio.sleep(0.3)
            want = [event["update"]["status"] for event in case["events"]]
            _same(scheduler.statuses(start=start), want)


# ---- agents


@pytest.mark.parametrize("kind", ["partition_aware", "legacy"])
async def test_a_killed_agent_is_lost_and_reconciled_as_recorded(
    kind: str, autojump_clock: MockClock
) -> None:
    aware = kind == "partition_aware"
    info = modern_info() if aware else legacy_info()
    async with world() as here:
        scheduler = await _running(here, "partition-aware" if aware else "not-aware", info)
        task_id = scheduler.statuses()[0]["task_id"]
        agent_id = here.mesos.agents[HOST].agent_id
        start, killed = len(scheduler.events), trio.current_time()
        here.mesos.faults.agent_down(HOST)
        await scheduler.wait_type("FAILURE", start=start)
        assert trio.current_time() - killed == pytest.approx(75.0, abs=0.01)
        recorded = recorded_events(f"agent_lost_{kind}")
        kinds = [event["type"] for _, event in scheduler.events[start:]]
        kinds = [one for one in kinds if one in {"UPDATE", "FAILURE"}]
        assert kinds == [event["type"] for event in recorded if event["type"] != "RESCIND"]
        _same(scheduler.statuses(start=start), recorded_statuses(f"agent_lost_{kind}"))
        assert scheduler.of_type("RESCIND", start=start)

        start = len(scheduler.events)
        pair = {"task_id": task_id, "agent_id": {"value": agent_id}}
        await scheduler.call("RECONCILE", {"tasks": [pair]})
        await scheduler.wait_type("UPDATE", start=start)
        name = "partition_aware" if aware else "not_aware"
        _same(scheduler.statuses(start=start), recorded_statuses(f"reconcile_lost_agent_{name}"))

        start = len(scheduler.events)
        here.mesos.faults.agent_up(HOST)
        await trio.sleep(5)
        _same(scheduler.statuses(start=start), recorded_statuses(f"agent_returns_{kind}"))
        assert here.mesos.agents[HOST].agent_id == agent_id


@pytest.mark.parametrize("kind", ["checkpoint", "no_checkpoint"])
async def test_a_quick_restart_of_an_agent_is_seen_as_recorded(
    kind: str, autojump_clock: MockClock
) -> None:
    info = modern_info() if kind == "checkpoint" else legacy_info()
    async with world() as here:
        scheduler = await _running(here, "kept" if kind == "checkpoint" else "not-kept", info)
        start = len(scheduler.events)
        here.mesos.faults.agent_restart(HOST, down_s=30.0)
        await trio.sleep(200)
        _same(scheduler.statuses(start=start), recorded_statuses(f"agent_restart_{kind}"))
        assert not scheduler.of_type("FAILURE", start=start)
        states = [one.state for one in here.observed(AgentChanged) if one.hostname == HOST]
        assert states == ["registered", "disconnected", "reregistered"]


async def test_an_agent_that_unregisters_loses_its_tasks_as_recorded(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        here.hosts["agent1.test"].steps["step"] = LONG
        scheduler = await here.subscribed()
        await scheduler.run_task("leaving", "agent1.test")
        start, old_id = len(scheduler.events), here.mesos.agents["agent1.test"].agent_id
        here.mesos.faults.agent_leaves("agent1.test")
        await trio.sleep(0.1)
        events = [event for _, event in scheduler.events[start:] if event["type"] != "RESCIND"]
        assert shape(events) == shape(recorded_events("agent_unregisters"))
        _same(scheduler.statuses(start=start), recorded_statuses("agent_unregisters"))
        await trio.sleep(60)
        assert here.mesos.agents["agent1.test"].agent_id == old_id
        assert here.mesos.agents["agent1.test"].connected


async def test_an_executor_that_dies_is_reported_as_recorded(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await here.subscribed()
        here.hosts[HOST].steps["step"] = LONG
        offer = await scheduler.offer(HOST)
        await scheduler.launch(offer, task_info("orphaned", offer))
        await scheduler.wait_state("orphaned", "TASK_STARTING")
        await trio.sleep(1)
        assert here.mesos.faults.task_lost(HOST) == 1
        await scheduler.wait_state("orphaned", "TASK_FAILED")
        recorded = recorded_statuses("executor_dies")
        ours = scheduler.statuses()
        _same([ours[0], ours[-1]], recorded)
        assert not scheduler.of_type("FAILURE")


@pytest.mark.parametrize("down_s", [30.0, 300.0])
async def test_a_reboot_with_the_same_id_fails_its_tasks(
    down_s: float, autojump_clock: MockClock
) -> None:
    async with world() as here:
        scheduler = await _running(here, "t")
        start, agent_id = len(scheduler.events), here.mesos.agents[HOST].agent_id
        here.mesos.faults.reboot(HOST, down_s=down_s)
        status = await scheduler.wait_state("t", "TASK_FAILED")
        assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
        assert status["message"] == "Abnormal executor termination: unknown container"
        assert status["source"] == "SOURCE_AGENT"
        assert "uuid" in status
        assert here.mesos.agents[HOST].agent_id == agent_id
        states = [one["state"] for one in scheduler.statuses(start=start)]
        assert states == (["TASK_FAILED"] if down_s < 75 else ["TASK_UNREACHABLE", "TASK_FAILED"])


async def test_a_reboot_with_a_new_id_loses_the_old_agent(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await _running(here, "t")
        start, old_id = len(scheduler.events), here.mesos.agents[HOST].agent_id
        here.mesos.faults.reboot(HOST, down_s=30.0, new_id=True)
        status = await scheduler.wait_state("t", "TASK_LOST")
        assert status["reason"] == "REASON_AGENT_REMOVED"
        assert status["message"] == (
            "Agent agent0.test removed: a new agent registered at the same address"
        )
        assert "uuid" not in status
        failure = await scheduler.wait_type("FAILURE", start=start)
        assert failure["failure"]["agent_id"] == {"value": old_id}
        offer = await scheduler.offer(HOST, start=start)
        assert offer["agent_id"]["value"] not in {old_id, ""}


async def test_a_new_id_after_the_ping_timeout_leaves_tasks_unreachable(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        scheduler = await _running(here, "t")
        old_id = here.mesos.agents[HOST].agent_id
        here.mesos.faults.reboot(HOST, down_s=100.0, new_id=True)
        await scheduler.wait_state("t", "TASK_UNREACHABLE")
        await trio.sleep(100)
        start = len(scheduler.events)
        await scheduler.call(
            "RECONCILE",
            {"tasks": [{"task_id": {"value": "t"}, "agent_id": {"value": old_id}}]},
        )
        await trio.sleep(1)
        assert [one["state"] for one in scheduler.statuses(start=start)] == ["TASK_UNREACHABLE"]


async def test_a_partition_is_noticed_by_pings_only(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await _running(here, "t")
        start = len(scheduler.events)
        here.mesos.faults.partition(HOST, for_s=60.0)
        await trio.sleep(200)
        assert not scheduler.statuses(start=start)
        here.mesos.faults.partition(HOST, for_s=100.0)
        await scheduler.wait_state("t", "TASK_UNREACHABLE")
        back = await scheduler.wait_state("t", "TASK_RUNNING", start=len(scheduler.events))
        assert back["reason"] == "REASON_AGENT_REREGISTERED"
        assert here.hosts[HOST].log == ["begin step {}"]


async def test_what_a_short_partition_held_up_arrives_when_it_ends(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        scheduler = await _running(here, "t")
        start = len(scheduler.events)
        here.mesos.faults.partition(HOST, for_s=60.0)
        await scheduler.call("KILL", {"task_id": {"value": "t"}})
        await trio.sleep(59)
        assert not scheduler.statuses(start=start)
        await scheduler.wait_state("t", "TASK_KILLED")


async def test_a_kill_for_an_agent_that_is_away_is_kept_for_its_return(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        scheduler = await _running(here, "t")
        here.mesos.faults.agent_restart(HOST, down_s=30.0)
        await trio.sleep(10)
        await scheduler.call("KILL", {"task_id": {"value": "t"}})
        await scheduler.wait_state("t", "TASK_KILLED")


async def test_a_launch_that_an_agent_never_got_is_dropped(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await here.subscribed()
        offer = await scheduler.offer(HOST)
        await scheduler.launch(offer, task_info("t", offer))
        here.mesos.faults.agent_restart(HOST, down_s=5.0)
        status = await scheduler.wait_state("t", "TASK_DROPPED")
        assert (status["source"], status["reason"]) == ("SOURCE_AGENT", "REASON_RECONCILIATION")
        assert here.hosts[HOST].log == []
