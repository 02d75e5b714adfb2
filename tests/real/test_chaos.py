"""Agents, scheduler and store are hit in one onboarding on a real Mesos, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.real import evidence
from tests.real.onboarding import Stage
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

AGENTS: Final = 4
STORE_SIZE: Final = "4m"
EXIT_STORE: Final = 5
FULL: Final = "disk is full"


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own for the store, so that it can be filled without harm."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={STORE_SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(mounting, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@attrs.define
class Chaos:
    """What was done to whom; each word waits for what it needs, and for its effect."""

    stage: Stage
    disk: Path
    agents_hit: list[str] = attrs.field(factory=list)

    def agent_in_flight(self) -> str:
        """An agent on which a step runs, that was not hit before."""
        self.stage.wait_at_work()
        hosts = [task.rsplit(".", 3)[0] for task in self.stage.in_flight()]
        fresh = [one for one in (*hosts, *self.stage.hosts) if one not in self.agents_hit]
        self.agents_hit.append(fresh[0])
        return fresh[0].removesuffix(".test")

    def kill_an_agent(self) -> None:
        name = self.agent_in_flight()
        self.stage.cluster.kill(name)
        self.stage.cluster.start(name)

    def freeze(self, name: str, *, until_steps: int) -> None:
        """It neither answers nor dies: what a cut line looks like to everybody else."""
        pid = self.stage.cluster.pids()[name]
        os.kill(pid, signal.SIGSTOP)
        try:
            self.stage.wait_at_work(until_steps)
        finally:
            os.kill(pid, signal.SIGCONT)

    def fill_the_disk(self) -> None:
        """Until a write has failed for it; then there is room again."""
        mark = self.stage.scheduler.text().count(FULL)
        ballast = self.disk / "ballast"
        with ballast.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(4096))
        try:
            self.kill_an_agent()  # so that there is something to write
            self.stage.scheduler.wait(
                "a full disk is told of", lambda: self.stage.scheduler.text().count(FULL) > mark
            )
        finally:
            ballast.unlink()

    def damage_the_store(self) -> None:
        file = self.disk / "state.sqlite"
        content = file.read_bytes()
        file.write_bytes(b"\xff" * 4096 + content[4096:])


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    folder = tmp_path_factory.mktemp("chaos")
    with (
        small_disk(folder / "disk") as disk,
        Stage(
            folder / "stage",
            agents=AGENTS,
            spare=1,
            more=(f"-store.uri={disk / 'state.sqlite'}",),
        ) as stage,
    ):
        here = Chaos(stage, disk)
        stage.scheduler.start()
        stage.scheduler.wait_subscribed()
        here.kill_an_agent()
        here.freeze(here.agent_in_flight(), until_steps=evidence.steps_done(stage.cluster) + 2)
        stage.scheduler.kill()
        stage.scheduler.start()
        here.fill_the_disk()
        stage.scheduler.wait_phase("ready", stage.hosts)
        yield here


def test_all_agents_are_ready_in_one_framework(chaos: Chaos) -> None:
    assert set(chaos.stage.scheduler.phases().values()) == {"ready"}
    assert len(chaos.stage.frameworks()) == 1
    assert len(set(chaos.agents_hit)) >= 3


def test_no_two_steps_ran_at_once_on_an_agent(chaos: Chaos) -> None:
    assert evidence.overlaps(evidence.runs(chaos.stage.cluster)) == []


def test_no_completed_installation_step_ran_again(chaos: Chaos) -> None:
    assert evidence.repeated(evidence.runs(chaos.stage.cluster)) == []


def test_a_damaged_file_ends_the_start_with_a_line_that_says_what_to_do(chaos: Chaos) -> None:
    scheduler = chaos.stage.scheduler
    assert scheduler.stop() == 0
    chaos.damage_the_store()
    scheduler.start()
    process = scheduler.process
    assert process is not None
    wait_for("the start ends", lambda: process.poll() is not None)
    scheduler.process = None
    assert process.returncode == EXIT_STORE
    last = scheduler.tail(1)
    assert "state.sqlite" in last
    assert "-store.rebuild" in last
    assert "Traceback" not in scheduler.tail(20)


def test_the_store_is_rebuilt_from_mesos_and_the_gateway(chaos: Chaos) -> None:
    """Depends on the test above: the store is damaged, and the scheduler is down."""
    stage, scheduler = chaos.stage, chaos.stage.scheduler
    (before,) = [one["id"] for one in stage.frameworks()]
    scheduler.start("-store.rebuild")
    scheduler.wait_phase("ready", stage.hosts)
    assert [one["id"] for one in stage.frameworks()] == [before]
    assert (chaos.disk / "state.sqlite.damaged").exists()
    assert evidence.overlaps(evidence.runs(stage.cluster)) == []
    assert evidence.keepers(stage.cluster) == sorted(stage.hosts)
