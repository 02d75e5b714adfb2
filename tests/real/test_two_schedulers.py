"""Two schedulers with one store on a real Mesos: one works, the other waits and takes over."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from actors.master_link import EXIT_SUPERSEDED
from supervisor import EXIT_STORE
from tests.real import evidence
from tests.real.onboarding import Stage
from tests.real_zookeeper import ZooKeeper
from tests.scheduler_process import Json, Scheduler, free_ports, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

AGENTS: Final = {"sqlite": 2, "zookeeper": 1}
STEPS: Final = 5  # on each agent
TAKEOVER_S: Final = 30.0


@attrs.frozen(kw_only=True)
class Life:
    """The first one was killed and came back to wait; the second one has done the rest."""

    stage: Stage
    second: Scheduler
    beside: list[Json]  # what the master knew of us while both ran
    takeover_s: float
    in_flight: list[str]  # when the first one was killed

    @property
    def first(self) -> Scheduler:
        return self.stage.scheduler

    def runs(self) -> list[evidence.Run]:
        return evidence.runs(self.stage.cluster)


def wait_waiting(scheduler: Scheduler) -> None:
    """Until it has said why it does nothing, since its last start."""
    scheduler.wait("waiting for the store", lambda: waits(scheduler) == scheduler.starts)


def waits(scheduler: Scheduler) -> int:
    return scheduler.text().count("waiting for the store")


def takes_over(stage: Stage, second: Scheduler) -> Life:
    first, cluster = stage.scheduler, stage.cluster
    first.start()
    first.wait_subscribed()
    second.start()
    wait_waiting(second)

    def progress() -> list[str]:
        return stage.in_flight() if evidence.steps_done(cluster) >= 2 else []

    in_flight = first.wait("2 steps done, and one in flight", progress) or []
    beside = stage.frameworks()
    first.kill()
    began = time.perf_counter()
    second.wait("the second one is subscribed", lambda: subscribed(second), TAKEOVER_S)
    takeover_s = time.perf_counter() - began
    first.starts = waits(first)
    first.start()  # as Marathon does
    second.wait_phase("ready", stage.hosts)
    wait_waiting(first)
    return Life(
        stage=stage, second=second, beside=beside, takeover_s=takeover_s, in_flight=in_flight
    )


def subscribed(scheduler: Scheduler) -> bool:
    state: str = scheduler.get("/v1/status")["master"]["state"]
    return state == "subscribed"


def beside(stage: Stage, stack: contextlib.ExitStack) -> Scheduler:
    """Another scheduler with the same settings, but for its port; killed at the end."""
    flags, log = stage.scheduler.flags, stage.folder / "second-log"
    second = Scheduler(flags=flags, port=free_ports(1), log=log)
    stack.callback(lambda: second.kill() if second.process else None)
    return second


@pytest.fixture(scope="module", params=["sqlite", pytest.param("zookeeper", marks=pytest.mark.zk)])
def life(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp(f"two-{request.param}")
    with contextlib.ExitStack() as stack:
        more: tuple[str, ...] = ()
        if request.param == "zookeeper":
            zookeeper = stack.enter_context(ZooKeeper(folder / "zookeeper"))
            more = ("-store.type=zk", f"-store.uri={zookeeper.uri}/two")
        stage = stack.enter_context(Stage(folder, agents=AGENTS[request.param], more=more))
        yield takes_over(stage, beside(stage, stack))


def test_exactly_one_of_them_is_known_to_the_master(life: Life) -> None:
    (before,) = life.beside
    (after,) = life.stage.frameworks()
    for framework in (before, after):
        assert framework["active"]
        assert framework["connected"]
    assert before["id"] == after["id"]
    assert str(life.first.port) in before["webui_url"]
    assert str(life.second.port) in after["webui_url"]


def test_the_second_one_takes_over_in_time(life: Life) -> None:
    print(f"taken over after {life.takeover_s:.1f} s")
    assert life.in_flight
    assert life.second.phases() == dict.fromkeys(life.stage.hosts, "ready")


def test_no_step_ran_twice_and_no_two_at_once(life: Life) -> None:
    found = life.runs()
    assert evidence.repeated(found) == []
    assert evidence.overlaps(found) == []
    assert evidence.steps_done(life.stage.cluster) == STEPS * len(life.stage.hosts)
    assert evidence.keepers(life.stage.cluster) == sorted(life.stage.hosts)


def test_the_one_that_waits_says_for_whom_and_disturbs_nobody(life: Life) -> None:
    assert life.first.process is not None
    assert life.first.process.poll() is None
    health = life.first.wait("its health", lambda: life.first.get("/healthz")) or {}
    assert health["status"] == "degraded"
    assert "waiting for the store" in health["reasons"][0]
    (line, *_) = [x for x in life.first.text().splitlines() if "waiting for the store" in x]
    assert "in use" in line
    assert life.second.get("/v1/status")["master"]["subscriptions"] == 1


def test_the_one_that_waits_obeys_an_order_to_stop(life: Life) -> None:
    assert life.first.stop() == 0
    assert "Traceback" not in life.first.text()
    assert "Traceback" not in life.second.text()


@pytest.mark.zk
def test_one_that_was_frozen_and_replaced_leaves_when_it_wakes(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        zookeeper = stack.enter_context(ZooKeeper(tmp_path / "zookeeper"))
        more = ("-store.type=zk", f"-store.uri={zookeeper.uri}/frozen")
        stage = stack.enter_context(Stage(tmp_path, agents=1, more=more))
        first, second = stage.scheduler, beside(stage, stack)
        first.start()
        first.wait_subscribed()
        second.start()
        wait_waiting(second)
        frozen = first.process
        assert frozen is not None
        frozen.send_signal(signal.SIGSTOP)
        second.wait("the second one is subscribed", lambda: subscribed(second), TAKEOVER_S)
        frozen.send_signal(signal.SIGCONT)
        status = wait_for("the woken one leaves", lambda: frozen.poll() or 0)
        assert status in (EXIT_SUPERSEDED, EXIT_STORE)
        assert "Traceback" not in first.text()
        (framework,) = stage.frameworks()
        assert framework["connected"]
        assert second.get("/v1/status")["master"]["subscriptions"] == 1
        assert evidence.overlaps(evidence.runs(stage.cluster)) == []
