"""The leading master changes in the middle of an onboarding: the scheduler finds the new one.

Three real masters, announced in a real ZooKeeper as Mesos does it, and a real scheduler process
that knows nothing but the ensemble; at the end it knows three addresses, none the leader's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import pytest

from tests.real import evidence
from tests.real.onboarding import Stage
from tests.real_mesos import Cluster
from tests.real_zookeeper import ZooKeeper
from tests.real_zookeeper.publisher import SESSION_S, Publisher
from tests.scheduler_process import LOOPBACK, Json, Scheduler, wait_for

pytestmark = [pytest.mark.real, pytest.mark.zk, pytest.mark.timeout(300)]

AGENTS: Final = 3
STEPS: Final = 5  # on each of AGENTS; one less on those that join later, which have no disks
ENSEMBLE_PASSWORD: Final = "Not-In-Any-Line-7"
TOLD_LATE_S: Final = 2.0  # a dead master's session ends by its timeout


@attrs.frozen(kw_only=True)
class Life:
    """An onboarding with its elections, over by now."""

    stage: Stage
    zookeeper: ZooKeeper
    publisher: Publisher
    found_s: dict[str, float]  # how long each new leader waited for the scheduler
    disturbed: int  # subscriptions that the restart of ZooKeeper cost
    framework_ids: set[str]

    def runs(self) -> list[evidence.Run]:
        return evidence.runs(self.stage.cluster)


def link(scheduler: Scheduler) -> Json:
    master: Json = scheduler.get("/v1/status")["master"]
    return master


def wait_led(scheduler: Scheduler, cluster: Cluster) -> Json:
    """Until it is subscribed to the leader; the link's state."""

    def led() -> Json | None:
        seen = link(scheduler)
        where = seen["master"].replace("localhost", LOOPBACK)  # redirects of the harness say so
        return seen if seen["state"] == "subscribed" and where == cluster.url else None

    seen = scheduler.wait(f"subscribed to {cluster.leader}", led)
    assert seen is not None
    return seen


def fall(cluster: Cluster, publisher: Publisher) -> None:
    """The leader's node goes; who is next in line leads, and the fallen one comes back last."""
    fallen = publisher.leader
    publisher.withdraw(fallen)
    elect(cluster, publisher.leader)
    return_as_standby(cluster, publisher, fallen)


def elect(cluster: Cluster, name: str) -> None:
    replaced = cluster.processes[cluster.leader]
    cluster.elect(name)
    wait_for("the replaced leader ends", lambda: replaced.poll() is not None)
    cluster.wait_ready()


def return_as_standby(cluster: Cluster, publisher: Publisher, name: str) -> None:
    cluster.start(name)
    publisher.announce(name, cluster.addresses[name])


def announced_late(cluster: Cluster, publisher: Publisher) -> None:
    """For a while ZooKeeper still names the old leader, which is dead."""
    fallen = publisher.leader
    names = [name for name in cluster.flags if name.startswith("master")]
    elect(cluster, names[(names.index(fallen) + 1) % len(names)])
    time.sleep(TOLD_LATE_S)  # as long as its session lasts, it is the situation itself
    publisher.withdraw(fallen)
    assert publisher.leader == cluster.leader
    return_as_standby(cluster, publisher, fallen)


def onboard(stage: Stage, zookeeper: ZooKeeper, publisher: Publisher) -> Life:
    scheduler, cluster = stage.scheduler, stage.cluster
    found_s: dict[str, float] = {}
    framework_ids: set[str] = set()

    def changed(how: str, change: Callable[[], None]) -> None:
        began = time.perf_counter()
        change()
        framework_ids.add(wait_led(scheduler, cluster)["framework_id"])
        found_s[f"{how}: {cluster.leader}"] = time.perf_counter() - began

    changed("at the start", scheduler.start)
    stage.wait_at_work(1)
    changed("told at once", lambda: fall(cluster, publisher))
    stage.wait_at_work(4)
    changed("told late", lambda: announced_late(cluster, publisher))
    stage.wait_at_work(6)
    before = link(scheduler)["subscriptions"]
    zookeeper.kill()
    zookeeper.start()
    stage.wait_at_work(8)
    disturbed = link(scheduler)["subscriptions"] - before
    changed("after a restart of ZooKeeper", lambda: fall(cluster, publisher))
    stage.wait_at_work(11)
    zookeeper.kill()

    def without_zookeeper() -> None:
        elect(cluster, "master1")
        zookeeper.start()
        publisher.withdraw("master0")
        return_as_standby(cluster, publisher, "master0")

    changed("while ZooKeeper was down", without_zookeeper)
    scheduler.wait_phase("ready", stage.hosts)
    return Life(
        stage=stage,
        zookeeper=zookeeper,
        publisher=publisher,
        found_s=found_s,
        disturbed=disturbed,
        framework_ids=framework_ids,
    )


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("leader")
    with contextlib.ExitStack() as stack:
        zookeeper = stack.enter_context(ZooKeeper(folder / "zookeeper", session_max_s=SESSION_S))
        publisher = stack.enter_context(Publisher(zookeeper.address))
        uri = f"zk://scaleio:{ENSEMBLE_PASSWORD}@{zookeeper.address}{publisher.folder}"
        stage = stack.enter_context(
            Stage(folder, agents=AGENTS, spare=2, masters=3, more=[f"-uri={uri}"])
        )
        publisher.write("before 0.24", "info_", b"\x0a\x04old!")
        publisher.write("registry", "log_replicas_", b"")
        for number in range(3):
            name = f"master{number}"
            publisher.announce(name, stage.cluster.addresses[name])
        yield onboard(stage, zookeeper, publisher)


def test_the_new_leader_is_found_each_time(life: Life) -> None:
    print({how: f"{took_s:.1f} s" for how, took_s in life.found_s.items()})
    assert len(life.found_s) == 5


def test_every_agent_is_ready_under_the_one_framework_id(life: Life) -> None:
    assert life.stage.scheduler.phases() == dict.fromkeys(life.stage.hosts, "ready")
    (framework_id,) = life.framework_ids
    assert {run.framework_id for run in life.runs()} == {framework_id}
    assert [one["id"] for one in life.stage.frameworks()] == [framework_id]


def test_no_step_ran_twice_and_no_two_at_once(life: Life) -> None:
    found = life.runs()
    assert evidence.repeated(found) == []
    assert evidence.overlaps(found) == []
    hosts = life.stage.hosts
    late = len(hosts) - AGENTS
    assert evidence.steps_done(life.stage.cluster) == AGENTS * STEPS + late * (STEPS - 1)
    assert evidence.keepers(life.stage.cluster) == sorted(hosts)


def test_a_restart_of_zookeeper_disturbs_no_subscription(life: Life) -> None:
    assert life.disturbed == 0


def test_the_password_of_the_ensemble_is_shown_nowhere(life: Life) -> None:
    scheduler = life.stage.scheduler
    paths = ("/v1/status", "/api/state", "/debug/actors", "/debug/actors/master-link", "/")
    told = [scheduler.text().encode(), *(scheduler.read(path) for path in paths)]
    forms = evidence.written(ENSEMBLE_PASSWORD)
    assert not [form for form in forms for text in told if form in text]
    assert "Traceback" not in scheduler.text()


def test_of_three_named_masters_two_stand_by_and_one_is_dead(life: Life) -> None:
    scheduler, cluster = life.stage.scheduler, life.stage.cluster
    standby = [name for name in cluster.pids() if name in {"master0", "master1", "master2"}]
    standby.remove(cluster.leader)
    named = [f"{LOOPBACK}:1", *(cluster.addresses[name] for name in standby)]
    assert scheduler.stop() == 0
    scheduler.start(f"-uri={','.join(named)}")
    assert len(named) == 3
    assert wait_led(scheduler, cluster)["framework_id"] in life.framework_ids
    scheduler.wait_phase("ready", life.stage.hosts)
    assert evidence.repeated(life.runs()) == []
