"""The real Mesos cluster that other tests stand on: it starts, survives kills, and is Mesos."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.real_mesos import Cluster, get_json
from tests.real_mesos.mini_scheduler import Json, Scheduler

pytestmark = pytest.mark.real

QUICK = {"agent_ping_timeout": "1secs", "max_agent_ping_timeouts": "2"}
CAPABILITIES = ("PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE", "RESERVATION_REFINEMENT")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, agents=3, master_flags=QUICK, own_addresses=True) as running:
        yield running


@pytest.fixture
def scheduler(cluster: Cluster) -> Iterator[Scheduler]:
    subscribed = subscribe(cluster)
    yield subscribed
    subscribed.call("TEARDOWN")
    subscribed.close()


def subscribe(cluster: Cluster, framework_id: str = "") -> Scheduler:
    info = {
        "capabilities": [{"type": kind} for kind in CAPABILITIES],
        "roles": ["*"],
        "failover_timeout": 120.0,
        "checkpoint": True,
    }
    return Scheduler(cluster.url, info, framework_id)


def agents_of(cluster: Cluster) -> list[Json]:
    slaves: list[Json] = get_json(cluster.url + "/slaves")["slaves"]
    return sorted(slaves, key=lambda slave: str(slave["hostname"]))


def ids_of(cluster: Cluster) -> list[str]:
    return [agent["id"] for agent in agents_of(cluster)]


def sandbox_of(cluster: Cluster, scheduler: Scheduler, task: str) -> Path:
    pattern = f"agent*/*/slaves/*/frameworks/{scheduler.framework_id}/executors/{task}/runs/*-*"
    (sandbox,) = cluster.work_dir.glob(pattern)
    return sandbox


def test_it_is_mesos_1_11(cluster: Cluster) -> None:
    assert get_json(cluster.url + "/version")["version"] == "1.11.0"


def test_every_agent_has_an_address_of_its_own(cluster: Cluster) -> None:
    agents = agents_of(cluster)
    assert [agent["hostname"] for agent in agents] == ["agent0.test", "agent1.test", "agent2.test"]
    assert [agent["pid"].partition("@")[2].partition(":")[0] for agent in agents] == [
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
    ]
    for number in range(3):
        flags = get_json(cluster.endpoint(f"agent{number}") + "/flags")["flags"]
        assert flags["ip"] == f"127.0.0.{number + 2}"


def test_a_task_runs_and_its_output_is_in_the_sandbox(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    scheduler.run("ok", "echo hello from the task")
    scheduler.wait_update("ok", "TASK_FINISHED")
    assert scheduler.states("ok") == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    output = sandbox_of(cluster, scheduler, "ok") / "stdout"
    assert output.read_text() == "hello from the task\n"


def test_a_task_that_fails_says_with_which_status(scheduler: Scheduler) -> None:
    scheduler.run("bad", "exit 78")
    status = scheduler.wait_update("bad", "TASK_FAILED")
    assert status["message"] == "Command exited with status 78"


def test_a_killed_task_is_told_first_and_then_forced(scheduler: Scheduler) -> None:
    scheduler.run("stubborn", "trap '' TERM; touch ready; while true; do sleep 0.1; done")
    scheduler.wait_update("stubborn", "TASK_RUNNING")
    policy = {"grace_period": {"nanoseconds": 500_000_000}}
    scheduler.call("KILL", {"task_id": {"value": "stubborn"}, "kill_policy": policy})
    scheduler.wait_update("stubborn", "TASK_KILLING")
    assert scheduler.wait_update("stubborn", "TASK_KILLED")["message"].startswith("Command")


def test_a_health_check_is_run_and_its_failure_ends_the_task(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    check = {
        "type": "COMMAND",
        "command": {"value": "test -e healthy"},
        "delay_seconds": 0,
        "interval_seconds": 0.1,
        "grace_period_seconds": 60,
        "consecutive_failures": 2,
    }
    shell = "touch healthy; while test ! -e seen; do sleep 0.05; done; rm healthy; sleep 100"
    scheduler.run("probe", shell, more={"health_check": check})
    scheduler.wait(
        lambda event: event["type"] == "UPDATE" and bool(event["update"]["status"].get("healthy"))
    )
    (sandbox_of(cluster, scheduler, "probe") / "seen").touch()
    assert scheduler.wait_update("probe", "TASK_KILLED")["healthy"] is False


def test_the_tasks_of_a_group_end_together(scheduler: Scheduler) -> None:
    offer = scheduler.take()
    allocated = {"allocation_info": offer["allocation_info"]}
    executor = {
        "type": "DEFAULT",
        "executor_id": {"value": "pod"},
        "framework_id": {"value": scheduler.framework_id},
        "resources": [
            {"name": name, "type": "SCALAR", "scalar": {"value": value}, **allocated}
            for name, value in (("cpus", 0.1), ("mem", 32), ("disk", 32))
        ],
    }
    tasks = [
        scheduler.task(name, offer, shell)
        for name, shell in (("g1", "exit 0"), ("g2", "sleep 1; exit 1"), ("g3", "sleep 100"))
    ]
    group = {"executor": executor, "task_group": {"tasks": tasks}}
    scheduler.accept(offer, {"type": "LAUNCH_GROUP", "launch_group": group})
    scheduler.wait_update("g1", "TASK_FINISHED")
    scheduler.wait_update("g2", "TASK_FAILED")
    scheduler.wait_update("g3", "TASK_KILLED")


def test_a_file_is_fetched_into_the_sandbox(scheduler: Scheduler, tmp_path: Path) -> None:
    source = tmp_path / "payload.txt"
    source.write_text("payload\n")
    command = {"value": "grep payload payload.txt", "uris": [{"value": str(source)}]}
    scheduler.run("fetch", "", more={"command": command})
    scheduler.wait_update("fetch", "TASK_FINISHED")


def test_reconciliation_tells_known_and_unknown_tasks_apart(scheduler: Scheduler) -> None:
    offer = scheduler.run("r1", "sleep 100")
    scheduler.wait_update("r1", "TASK_RUNNING")
    known = {"task_id": {"value": "r1"}, "agent_id": offer["agent_id"]}
    for tasks, state in (
        ([known], "TASK_RUNNING"),
        ([{"task_id": {"value": "ghost"}}], "TASK_UNKNOWN"),
        ([], "TASK_RUNNING"),
    ):
        start = scheduler.mark()
        assert scheduler.call("RECONCILE", {"tasks": tasks})[0] == 202
        status = scheduler.wait_update(start=start)
        assert (status["state"], "uuid" in status) == (state, False)


def test_calls_that_mesos_refuses(scheduler: Scheduler) -> None:
    nobody = '{"type": "REVIVE", "framework_id": {"value": "x"}}'
    zeros = {"Mesos-Stream-Id": "00000000-0000-0000-0000-000000000000"}
    assert scheduler.call("REVIVE", headers={"Mesos-Stream-Id": None})[0] == 400
    assert scheduler.call("REVIVE", headers=zeros)[0] == 400
    assert scheduler.post("{")[0] == 400
    assert scheduler.post(nobody)[0] == 400
    assert scheduler.post("x", headers={"Content-Type": "text/plain"})[0] == 415
    assert scheduler.post("", method="GET")[0] == 405


def test_another_subscription_replaces_the_first(cluster: Cluster, scheduler: Scheduler) -> None:
    with closing(subscribe(cluster, scheduler.framework_id)) as second:
        assert second.framework_id == scheduler.framework_id
        assert scheduler.wait_type("ERROR")["error"]["message"] == "Framework failed over"
        assert scheduler.wait_ended()
        assert scheduler.call("REVIVE")[0] == 400
        second.call("TEARDOWN")


def test_a_killed_agent_is_lost_and_returns_with_its_task(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    before = ids_of(cluster)
    offer = scheduler.run("phoenix", "sleep 300", lambda o: o["hostname"] == "agent0.test")
    scheduler.wait_update("phoenix", "TASK_RUNNING")
    start = scheduler.mark()
    cluster.kill("agent0")
    assert scheduler.wait_update("phoenix", start=start)["state"] == "TASK_UNREACHABLE"
    assert scheduler.wait_type("FAILURE", start=start)["failure"]["agent_id"] == offer["agent_id"]
    start = scheduler.mark()
    cluster.start("agent0")
    back = scheduler.wait_update("phoenix", "TASK_RUNNING", start=start)
    assert back["reason"] == "REASON_AGENT_REREGISTERED"
    assert ids_of(cluster) == before


def test_a_restarted_master_finds_agents_and_tasks_again(
    cluster: Cluster, scheduler: Scheduler
) -> None:
    before = ids_of(cluster)
    scheduler.run("across", "sleep 300")
    scheduler.wait_update("across", "TASK_RUNNING")
    cluster.restart_master()
    assert scheduler.wait_ended()
    assert ids_of(cluster) == before
    with closing(subscribe(cluster, scheduler.framework_id)) as second:
        assert second.framework_id == scheduler.framework_id
        start = second.mark()
        second.call("RECONCILE", {"tasks": []})
        assert second.wait_update("across", start=start)["state"] == "TASK_RUNNING"
        second.call("TEARDOWN")


def redirected_to(address: str) -> tuple[int, str]:
    """A POST there: the status, and where it sends us."""
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request("POST", "/api/v1/scheduler", b"{}", {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, str(answer.headers["Location"])


def test_of_three_masters_another_takes_over(tmp_path: Path) -> None:
    with Cluster(tmp_path, agents=1, masters=3, master_flags=QUICK) as three:
        port = three.addresses["master0"].partition(":")[2]
        for name in ("master1", "master2"):
            code, location = redirected_to(three.addresses[name])
            assert code == 307
            assert location.startswith("//")
            assert location.endswith(f":{port}/master/api/v1/scheduler")
        before = ids_of(three)
        with closing(subscribe(three)) as first:
            three.kill("master0")
            assert first.wait_ended()
        three.elect("master1")
        three.wait_ready()
        assert ids_of(three) == before
        with closing(subscribe(three, first.framework_id)) as second:
            assert second.framework_id == first.framework_id


def test_ten_agents_start_and_come_back_after_a_crash_of_the_machine(tmp_path: Path) -> None:
    with Cluster(tmp_path, agents=10, own_addresses=True) as ten:
        before = ids_of(ten)
        assert len(before) == 10
        for name in ten.flags:
            ten.kill(name)
        assert ten.pids() == {}
        for name in ten.flags:
            ten.start(name)
        ten.wait_ready()
        assert ids_of(ten) == before


def test_nothing_is_left_running(tmp_path: Path) -> None:
    with Cluster(tmp_path, agents=1) as cluster, closing(subscribe(cluster)) as scheduler:
        scheduler.run("left", "sleep 300")
        scheduler.wait_update("left", "TASK_RUNNING")
        assert cluster.containers() != []
    assert cluster.pids() == {}
    assert cluster.containers() == []
