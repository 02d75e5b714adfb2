"""The main job on a real Mesos: every agent is onboarded, whatever is killed on the way."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.real import evidence
from tests.real.onboarding import Stage
from tests.real_mesos import get_json
from tests.real_zookeeper import ZooKeeper
from tests.scheduler_process import LOOPBACK, PASSWORD, Scheduler
from tests.steps_inert_twin import INERT_DISKS

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

AGENTS: Final = 10
STORAGE_AGENTS: Final = ("agent0.test", "agent1.test", "agent2.test")  # those with empty disks
# After so many installation steps on all agents together; 3 agents need five, 7 need four.
KILLS_AT: Final = (2, 9, 17, 26, 37)
MASTER_RESTARTS_AT: Final = (13, 31)


@attrs.frozen(kw_only=True)
class Life:
    """An onboarding with its disasters, over by now; what happened stands in the lists."""

    stage: Stage
    killed_with: list[list[str]]  # tasks in flight, at each kill of the scheduler
    master_restarts: int
    framework_ids: list[str]  # after each start of the scheduler
    zookeeper: ZooKeeper | None

    @property
    def scheduler(self) -> Scheduler:
        return self.stage.scheduler

    def runs(self) -> list[evidence.Run]:
        return evidence.runs(self.stage.cluster)


def onboard(stage: Stage, zookeeper: ZooKeeper | None) -> Life:
    scheduler, cluster = stage.scheduler, stage.cluster
    killed_with: list[list[str]] = []
    framework_ids: list[str] = []
    disasters = sorted(
        [*((at, "kill") for at in KILLS_AT), *((at, "") for at in MASTER_RESTARTS_AT)]
    )

    def progress(steps: int) -> Callable[[], list[str]]:
        return lambda: stage.in_flight() if evidence.steps_done(cluster) >= steps else []

    def start() -> None:
        scheduler.start()
        scheduler.wait_subscribed()
        framework_ids.append(scheduler.get("/v1/status")["master"]["framework_id"])

    start()
    for steps, what in disasters:
        in_flight = scheduler.wait(f"{steps} steps done, and one in flight", progress(steps))
        if what == "kill":
            scheduler.kill()
            killed_with.append(in_flight or [])
            start()
        else:
            cluster.restart_master()
    scheduler.wait_phase("ready", stage.hosts)
    return Life(
        stage=stage,
        killed_with=killed_with,
        master_restarts=len(MASTER_RESTARTS_AT),
        framework_ids=framework_ids,
        zookeeper=zookeeper,
    )


@pytest.fixture(scope="module", params=["sqlite", pytest.param("zookeeper", marks=pytest.mark.zk)])
def life(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        zookeeper = None
        more: tuple[str, ...] = ()
        if request.param == "zookeeper":
            zookeeper = stack.enter_context(ZooKeeper(folder / "zookeeper"))
            more = ("-store.type=zk", f"-store.uri={zookeeper.uri}/onboarding")
        stage = stack.enter_context(Stage(folder, agents=AGENTS, spare=1, more=more))
        yield onboard(stage, zookeeper)


def test_all_agents_become_ready_in_spite_of_kills_in_the_middle_of_steps(life: Life) -> None:
    assert set(life.scheduler.phases().values()) == {"ready"}
    assert len(life.killed_with) == len(KILLS_AT)
    assert all(life.killed_with)
    assert life.scheduler.starts >= 1 + len(KILLS_AT)


def test_every_agent_got_all_that_its_role_needs(life: Life) -> None:
    done = {(run.host, run.step) for run in life.runs() if run.done}
    for host in life.stage.hosts:
        steps = {step for at, step in done if at == host} & evidence.INSTALLATION
        without = set() if host in STORAGE_AGENTS else {"sds"}
        assert steps == evidence.INSTALLATION - without


def test_there_is_one_framework_with_one_id_from_the_first_start_on(life: Life) -> None:
    (framework_id,) = {*life.framework_ids}
    assert {run.framework_id for run in life.runs()} == {framework_id}
    assert [one["id"] for one in life.stage.frameworks()] == [framework_id]


def test_no_two_steps_ran_at_once_on_an_agent(life: Life) -> None:
    assert evidence.overlaps(life.runs()) == []


def test_no_completed_installation_step_ran_again(life: Life) -> None:
    assert evidence.repeated(life.runs()) == []


def test_exactly_one_keeper_runs_on_each_agent(life: Life) -> None:
    hosts = sorted(life.stage.hosts)
    assert evidence.keepers(life.stage.cluster) == hosts
    told = [run.host for run in life.runs() if run.step == "keeper" and run.ended == evidence.NEVER]
    assert sorted(told) == hosts


def test_the_password_is_in_no_log_sandbox_process_or_state(life: Life) -> None:
    stage = life.stage
    assert evidence.holders(PASSWORD, stage.folder) == [str(stage.folder / "password")]
    process = Path(f"/proc/{life.scheduler.pid}")
    cluster = stage.cluster
    told = {
        "command line": (process / "cmdline").read_bytes(),
        "environment": (process / "environ").read_bytes(),
        "master": _state(cluster.url),
        **{name: _state(cluster.endpoint(name)) for name in cluster.pids() if "agent" in name},
        **{path: life.scheduler.read(path) for path in rest_paths(life.scheduler)},
        **(life.zookeeper.nodes("/onboarding") if life.zookeeper else {}),
    }
    forms = evidence.written(PASSWORD)
    assert [where for where, content in told.items() if any(f in content for f in forms)] == []
    assert len(told) > AGENTS + 20


def _state(url: str) -> bytes:
    return json.dumps(get_json(f"{url}/state"), ensure_ascii=False).encode()


def rest_paths(scheduler: Scheduler) -> list[str]:
    """Everything that can be read, event stream aside: it never ends."""
    agent = next(iter(scheduler.agents()))
    described = scheduler.get("/v1/openapi.json")["paths"]
    actors = [actor["name"] for actor in scheduler.get("/debug/actors")["actors"]]
    paths = [path for path in described if "get" in described[path] and path != "/events"]
    whole = [path for path in paths if "{name}" not in path]
    filled = [re.sub(r"\{[^}]*\}", agent, path) for path in whole]
    return [*filled, *(f"/debug/actors/{name}" for name in actors)]


def test_a_graceful_stop_ends_well_and_leaves_tasks_and_framework_alone(life: Life) -> None:
    stage, scheduler = life.stage, life.scheduler
    before = evidence.keepers(stage.cluster)
    assert scheduler.stop() == 0  # within the grace period: Marathon kills after it
    try:
        (framework,) = stage.frameworks()
        assert framework["id"] == life.framework_ids[0]
        assert framework["unregistered_time"] == 0
        running = [task["id"] for task in framework["tasks"] if task["state"] == "TASK_RUNNING"]
        assert sorted(task.rsplit(".", 3)[0] for task in running) == sorted(stage.hosts)
        assert evidence.keepers(stage.cluster) == before == sorted(stage.hosts)
        assert "Traceback" not in scheduler.text()
    finally:
        scheduler.start()
    scheduler.wait_phase("ready", stage.hosts)
    assert evidence.keepers(stage.cluster) == before
    assert evidence.repeated(life.runs()) == []


def test_an_agent_that_is_added_later_is_onboarded_unasked(life: Life) -> None:
    stage = life.stage
    before = Counter(run.host for run in life.runs())
    host = stage.add_agent()
    life.scheduler.wait_phase("ready", stage.hosts)
    found = life.runs()
    steps = [run.step for run in found if run.host == host and run.step != "survey"]
    assert steps == ["prerequisites", "sdc", "rexray", "isolator", "probe", "keeper"]
    others = Counter(run.host for run in found if run.host != host)
    assert others == before  # nobody else was touched for it
    assert evidence.keepers(stage.cluster) == sorted(stage.hosts)


def test_observe_shows_the_plan_and_changes_nothing(tmp_path: Path) -> None:
    with Stage(tmp_path, agents=3, more=["-mode=observe"]) as stage:
        scheduler = stage.scheduler
        scheduler.start()
        scheduler.wait_phase("held", stage.hosts)
        plan = scheduler.get("/v1/plan")
        assert plan["mode"] == "observe"
        assert [agent["host"] for agent in plan["agents"]] == stage.hosts
        for agent in plan["agents"]:
            wanted = [step["name"] for step in agent["steps"] if step["state"] == "wanted"]
            assert wanted == ["prerequisites", "sds", "sdc", "rexray", "isolator"]
            verdicts = {one["path"]: one["verdict"] for one in agent["devices"]}
            empty = [path for path, word in verdicts.items() if word == "empty: provably empty"]
            assert empty == list(INERT_DISKS)
            assert "observe" in agent["reason"]
        settle(scheduler)
        found = evidence.runs(stage.cluster)
        assert sorted((run.host, run.step) for run in found) == [(h, "survey") for h in stage.hosts]
        sds = scheduler.get("/v1/storage")["snapshot"]["sds"]
        assert sds
        assert [one for one in sds if f"sds_{LOOPBACK[:-1]}" in one["name"]] == []
        assert scheduler.stop() == 0


def settle(scheduler: Scheduler) -> None:
    """Until it has looked at Gateway and agents twice more, with nothing left to do of itself."""

    def handled() -> int:
        count: int = scheduler.get("/debug/actors/roster")["handled"]
        return count

    before = handled()
    scheduler.wait("two more looks at the agents", lambda: handled() >= before + 2)
