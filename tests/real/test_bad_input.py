"""Bad input on a real Mesos: it is named with its cure, nothing is half done, and it mends."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.garbage_server import GarbageServer, http_answer
from tests.real import evidence
from tests.real.onboarding import Stage
from tests.real_zookeeper import ZooKeeper
from tests.scheduler_process import LOOPBACK, MDMS, PASSWORD, Json, Scheduler, free_ports
from tests.steps_inert_twin import STEPS_DIR

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

MISSING: Final = "/dev/disk/by-id/ata-NOT_THERE"
ATTRIBUTES: Final = (
    f"scaleio-sds-domains:default;scaleio-sds-default:fast;scaleio-sds-fast:{MISSING}"
)


def steps_with_a_stranger(folder: Path, host: str) -> Path:
    """The inert steps, but that one host runs no system that we know."""
    shutil.copytree(STEPS_DIR, folder)
    survey = folder / "survey.sh"
    text = survey.read_text()
    assert text.count("\nID=debian\n") == 1
    told = f'OS=debian\n[ "$SCALEIO_HOST" != {host} ] || OS=plan9\n'
    survey.write_text(told + text.replace("\nID=debian\n", "\nID='\"$OS\"'\n"))
    return folder


def ran(stage: Stage, host: str) -> set[str]:
    return {run.step for run in evidence.runs(stage.cluster) if run.host == host}


def conditions(scheduler: Scheduler, name: str) -> list[Json]:
    found: Sequence[Json] = scheduler.get("/v1/conditions")["conditions"]
    return [condition for condition in found if condition["name"] == name]


def test_agents_that_cannot_be_served_fail_by_name_and_the_others_go_on(tmp_path: Path) -> None:
    steps = steps_with_a_stranger(tmp_path / "steps", "agent1.test")
    flags: list[dict[str, object]] = [{}, {}, {"attributes": ATTRIBUTES}]
    more = [f"-steps.dir={steps}", "-log.format=json"]
    with Stage(tmp_path, agents=3, agent_flags=flags, more=more) as stage:
        scheduler = stage.scheduler
        scheduler.start()
        expected = {"agent0.test": "ready", "agent1.test": "failed", "agent2.test": "failed"}
        scheduler.wait("one ready, two failed", lambda: scheduler.phases() == expected)
        agents = scheduler.agents()
        assert "platform plan9 12 is not supported" in agents["agent1.test"]["error"]
        assert MISSING in agents["agent2.test"]["error"]
        assert "correct the attribute, or add the disk" in agents["agent2.test"]["error"]
        assert [ran(stage, host) for host in ("agent1.test", "agent2.test")] == [{"survey"}] * 2
        found = scheduler.wait("conditions", lambda: conditions(scheduler, "agent-failed")) or []
        assert [one["subject"] for one in found] == ["agent1.test", "agent2.test"]


def test_a_wrong_password_is_a_condition_and_mends_with_the_right_one(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("Not-The-Password-1\n")
    with Stage(tmp_path, agents=2) as stage:
        scheduler = stage.scheduler
        scheduler.start(f"-scaleio.password-file={wrong}")
        found = scheduler.wait("the condition", lambda: conditions(scheduler, "gateway-login"))
        (condition,) = found or []
        assert condition["severity"] == "critical"
        assert "'admin'" in condition["text"]
        assert "check the user name and the password" in condition["text"]
        assert "ready" not in scheduler.phases().values()
        assert {run.step for run in evidence.runs(stage.cluster)} <= {"survey"}, "half done"
        assert evidence.holders("Not-The-Password-1", tmp_path) == [str(wrong)]
        wrong.write_text(f"{PASSWORD}\n")  # and nobody restarts the scheduler
        scheduler.wait_phase("ready", stage.hosts)
        scheduler.wait("its end", lambda: conditions(scheduler, "gateway-login") == [])


def test_another_program_on_the_masters_port_is_named_until_the_master_is_back(
    tmp_path: Path,
) -> None:
    with Stage(tmp_path, agents=2) as stage:
        scheduler, cluster = stage.scheduler, stage.cluster
        scheduler.start()
        scheduler.wait_subscribed()
        cluster.kill("master0")
        page = {"*": http_answer(b"<html>It works!</html>")}
        port = int(cluster.addresses["master0"].rpartition(":")[2])
        with GarbageServer(page, port=port):
            scheduler.wait("the reason", lambda: "broke the protocol" in reasons(scheduler))
        cluster.start("master0")
        cluster.wait_ready()
        scheduler.wait_phase("ready", stage.hosts)
        assert scheduler.get("/healthz") == {"status": "ok", "reasons": []}
        assert evidence.repeated(evidence.runs(cluster)) == []
        assert PASSWORD not in scheduler.text()


def reasons(scheduler: Scheduler) -> str:
    return " ".join(scheduler.get("/healthz")["reasons"])


@pytest.mark.zk
def test_a_second_scheduler_waits_for_the_first_one_and_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    ports = free_ports(2)
    with ZooKeeper(tmp_path / "zookeeper") as zookeeper, contextlib.ExitStack() as stack:
        flags = (
            *MDMS,
            f"-scaleio.password-file={tmp_path / 'password'}",
            "-store.type=zk",
            f"-store.uri={zookeeper.uri}/second",
            f"-uri={LOOPBACK}:1",
        )
        logs = [tmp_path / "log-first", tmp_path / "log-second"]
        first, second = (
            Scheduler(flags=flags, port=ports + number, log=log) for number, log in enumerate(logs)
        )
        first.start()
        stack.callback(first.kill)
        first.wait("it leads", lambda: first.get("/v1/status"))
        second.start()
        second.wait("it stands in line", lambda: len(line_up(zookeeper)) == 2)
        assert second.stop() == 0
        assert len(line_up(zookeeper)) == 1
        assert first.get("/v1/status")["store"] == "zk"


def line_up(zookeeper: ZooKeeper) -> list[str]:
    """Those that want to lead, the leader included."""
    return [path for path in zookeeper.nodes("/second") if "/lock/" in path]
