"""The master is killed again and again while agents are onboarded: nothing is lost or doubled.

MASTER_KILLS=N: so many kills (20).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.real import evidence
from tests.real.master_log import Acknowledged, Line, MasterLog, launched
from tests.real.onboarding import Stage
from tests.real_mesos import Cluster, get_json
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

KILLS: Final = int(os.environ.get("MASTER_KILLS", "20"))
AGENTS: Final = 10
STORAGE_AGENTS: Final = ("agent0.test", "agent1.test", "agent2.test")  # those with empty disks
STEPS: Final = 5 * len(STORAGE_AGENTS) + 4 * (AGENTS - len(STORAGE_AGENTS))
PATIENCE_S: Final = 120.0
ESTABLISHED: Final = "01"  # as /proc/net/tcp has it


@attrs.frozen(kw_only=True)
class Moment:
    """When to kill: at the first such line of the master's log, or else with a step in flight."""

    name: str
    line: str = ""
    at_once: bool = False  # as soon as it is there again, whatever was done meanwhile
    with_agent: bool = False  # the Mesos agent of a step in flight is killed, too
    frozen: bool = False  # it is stopped first, and dies with a call that it has not read


MOMENTS: Final = (
    Moment(name="a step in flight"),
    Moment(name="an ACCEPT just read", line="Processing ACCEPT call"),
    Moment(name="again, recovering", line="Recovering from registrar", at_once=True),
    Moment(name="a step has ended", line="Status update TASK_FINISHED"),
    Moment(name="together with an agent", with_agent=True),
    Moment(name="again, first agent back", line="reregister agent message", at_once=True),
    Moment(name="offers just sent", line="Sending offers ["),
    Moment(name="a call never read", line="Sending offers [", frozen=True),
    Moment(name="a task just launched", line="Launching task"),
    Moment(name="again, just subscribed", line="Subscribing framework", at_once=True),
    Moment(name="together with an agent, at an ACCEPT", line="Adding task", with_agent=True),
)


@attrs.frozen(kw_only=True)
class Ordeal:
    """An onboarding under kills, over by now."""

    stage: Stage
    kills: list[str]  # what was hit, in order
    agents_killed: list[str]
    framework_ids: set[str]  # that the scheduler has told, before, between and after the kills
    took_s: float

    def runs(self) -> list[evidence.Run]:
        """What ran; a sandbox whose agent was killed before it could start anything is empty."""
        cluster = self.stage.cluster
        live = with_processes(cluster)
        found = [run for run in evidence.runs(cluster) if has_begun(cluster, run)]
        return [
            attrs.evolve(run, ended=run.began) if cut_off(run) and run.task_id not in live else run
            for run in found
        ]

    def lines(self) -> list[Line]:
        return MasterLog.of(self.stage.cluster).lines()


def has_begun(cluster: Cluster, run: evidence.Run) -> bool:
    folders = cluster.work_dir.glob(f"agent*/*/slaves/*/frameworks/*/executors/{run.task_id}/runs/")
    return any(any(sandbox.iterdir()) for folder in folders for sandbox in folder.glob("*-*"))


def cut_off(run: evidence.Run) -> bool:
    """Its agent was killed with it, and tells nothing of it: nobody knows when it ended."""
    return run.ended == evidence.NEVER and not run.state


def with_processes(cluster: Cluster) -> set[str]:
    """Tasks of whose sandbox a process lives."""
    found: set[str] = set()
    for pid in cluster.containers():
        with contextlib.suppress(OSError):  # it has just ended
            found.add(Path(f"/proc/{pid}/cwd").readlink().parts[-3])
    return found


@attrs.define
class Killer:
    """Kills the master at one moment after the other, each time a bit further in the work."""

    stage: Stage
    kills: list[str] = attrs.field(factory=list)
    agents_killed: list[str] = attrs.field(factory=list)
    _mark: int = 0  # in the master's log: its last start

    def kill(self, moment: Moment, steps: int) -> None:
        cluster, log = self.stage.cluster, MasterLog.of(self.stage.cluster)
        if not moment.at_once:
            cluster.wait_ready()
            self.stage.wait_at_work(steps)
            self._mark = log.mark()
        if moment.line:
            log.wait(moment.line, self._mark, timeout_s=PATIENCE_S)
        victim = self._agent_in_flight() if moment.with_agent else ""
        if moment.frozen:
            self._freeze()
        cluster.kill("master0")
        if victim:
            cluster.kill(victim)
            self.agents_killed.append(victim)
        self.kills.append(moment.name)
        self._mark = log.mark()
        cluster.start("master0")
        if victim:
            cluster.start(victim)

    def _freeze(self) -> None:
        """What is sent to it from now on is taken by its kernel, and by nobody else."""
        cluster = self.stage.cluster
        os.kill(cluster.pids()["master0"], signal.SIGSTOP)
        port = int(cluster.addresses["master0"].rpartition(":")[2])
        wait_for("a call that waits", lambda: has_unread(port), PATIENCE_S)

    def _agent_in_flight(self) -> str:
        hosts = [task.rpartition(".")[0].rsplit(".", 2)[0] for task in self.stage.in_flight()]
        return (hosts or self.stage.hosts)[0].removesuffix(".test")


def has_unread(port: int) -> bool:
    """True if a connection to that port holds bytes that its process has not read."""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues = row.split()[:5]
        unread = int(queues.partition(":")[2], 16)
        if local.endswith(f":{port:04X}") and state == ESTABLISHED and unread:
            return True
    return False


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ordeal]:
    with Stage(tmp_path_factory.mktemp("kills"), agents=AGENTS, spare=5) as stage:
        began = time.perf_counter()
        killer, scheduler = Killer(stage), stage.scheduler
        ids: set[str] = set()
        scheduler.start()
        scheduler.wait_subscribed()
        for number, moment in enumerate(itertools.islice(itertools.cycle(MOMENTS), KILLS)):
            ids.add(scheduler.get("/v1/status")["master"]["framework_id"])
            killer.kill(moment, int(STEPS * math.sqrt(number / KILLS)))
        scheduler.wait_phase("ready", stage.hosts, timeout_s=300)
        ids.add(scheduler.get("/v1/status")["master"]["framework_id"])
        yield Ordeal(
            stage=stage,
            kills=killer.kills,
            agents_killed=killer.agents_killed,
            framework_ids=ids,
            took_s=time.perf_counter() - began,
        )


def test_all_agents_become_ready(ordeal: Ordeal) -> None:
    assert len(ordeal.kills) == KILLS
    assert set(ordeal.stage.scheduler.phases().values()) == {"ready"}
    assert ordeal.stage.scheduler.starts == 1
    handed = launched(ordeal.lines())
    reached = {run.task_id for run in ordeal.runs()}
    print(
        f"master kills: {KILLS} in {ordeal.took_s:.0f} s, {len(ordeal.agents_killed)} of them "
        f"with an agent; tasks launched={len(handed)} "
        f"died-on-the-way={len(set(handed) - reached)} never-read={never_read(handed)} "
        f"agents={len(ordeal.stage.hosts)}"
    )
    print(f"hit: {dict(Counter(ordeal.kills))}")


def test_the_framework_keeps_its_id(ordeal: Ordeal) -> None:
    (framework_id,) = ordeal.framework_ids
    assert {run.framework_id for run in ordeal.runs()} == {framework_id}
    assert [one["id"] for one in ordeal.stage.frameworks()] == [framework_id]


def test_no_task_is_launched_twice(ordeal: Ordeal) -> None:
    assert [task for task, times in Counter(launched(ordeal.lines())).items() if times > 1] == []
    found = ordeal.runs()
    assert [task for task, n in Counter(run.task_id for run in found).items() if n > 1] == []
    assert evidence.overlaps(found) == []


def test_each_step_is_done_exactly_once_on_each_agent(ordeal: Ordeal) -> None:
    done = Counter((run.host, run.step) for run in ordeal.runs() if run.done)
    for host in ordeal.stage.hosts:
        steps = evidence.INSTALLATION - (set() if host in STORAGE_AGENTS else {"sds"})
        assert {step: done[host, step] for step in evidence.INSTALLATION} == {
            step: int(step in steps) for step in evidence.INSTALLATION
        }


def test_no_task_is_lost(ordeal: Ordeal) -> None:
    """What began has ended and is acknowledged; what never arrived is no longer waited for."""
    stage = ordeal.stage
    scheduler, hosts = stage.scheduler, stage.hosts
    shown = {host: scheduler.get(f"/v1/agents/{host}") for host in hosts}
    keepers = {host: agent["keeper_id"] for host, agent in shown.items()}
    assert {host: unsettled(stage, host) for host in hosts} == {
        host: [keeper] for host, keeper in keepers.items()
    }
    assert [agent["task_id"] for agent in shown.values()] == [""] * len(hosts)
    running = [run.task_id for run in ordeal.runs() if run.ended == evidence.NEVER]
    assert sorted(running) == sorted(keepers.values())
    assert evidence.keepers(stage.cluster) == sorted(hosts)
    (framework,) = stage.frameworks()
    assert sorted(task["id"] for task in framework["tasks"]) == sorted(keepers.values())
    assert framework["unreachable_tasks"] == []


def test_every_update_is_acknowledged_and_none_needlessly(ordeal: Ordeal) -> None:
    (framework_id,) = ordeal.framework_ids
    told = Acknowledged.of(ordeal.lines(), framework_id)
    print(told)
    assert told.never == []
    assert told.needless == []
    assert "Traceback" not in ordeal.stage.scheduler.text()


def unsettled(stage: Stage, host: str) -> list[str]:
    """Tasks that the agent still keeps: they run, or their last word is not acknowledged."""
    state = get_json(stage.cluster.endpoint(host.removesuffix(".test")) + "/state")
    executors = [one for framework in state["frameworks"] for one in framework["executors"]]
    return [executor["id"] for executor in executors]


def never_read(handed: Iterable[str]) -> int:
    """Launches that no master has read: a task id bears its number on its host."""
    numbers: dict[str, set[int]] = {}
    for task in handed:
        host, _, number, _ = task.rsplit(".", 3)
        numbers.setdefault(host, set()).add(int(number))
    return sum(max(known) - len(known) for known in numbers.values())
