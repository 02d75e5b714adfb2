"""The framework leaves a real Mesos: agents first, TEARDOWN last, and nobody comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx
import pytest

import cli
from tests.real import evidence
from tests.real.onboarding import Stage
from tests.real_mesos import get_json
from tests.scheduler_process import LOOPBACK, Json

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

TOKEN: Final = "an-operators-token"
AGENTS: Final = 2


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


def post(stage: Stage, path: str, body: Json) -> tuple[int, Json]:
    url = f"http://{LOOPBACK}:{stage.scheduler.port}{path}"
    answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    return answer.status_code, answer.json()


def stage_of_order(stage: Stage) -> str:
    order = stage.scheduler.get("/v1/framework/uninstall")["order"]
    return str(order["stage"]) if order else ""


def test_the_framework_is_completed_at_the_master_and_never_registers_again(
    tmp_path: Path, token: Path
) -> None:
    more = (f"-rest.token-file={token}",)
    with Stage(tmp_path / "stage", agents=AGENTS, spare=1, more=more) as stage:
        scheduler = stage.scheduler
        scheduler.start()
        scheduler.wait_phase("ready", stage.hosts)
        (framework,) = stage.frameworks()
        wrong = post(stage, "/v1/framework/uninstall", {"teardown": True, "confirm": "another"})
        assert wrong[0] == 409
        words = ["uninstall", "--framework", "--url", f"http://{LOOPBACK}:{scheduler.port}"]
        words += ["--token-file", str(token), "--teardown", framework["id"]]
        assert cli.main(words) == 0

        state = get_json(f"{stage.cluster.url}/state")
        assert [one["id"] for one in state["completed_frameworks"]] == [framework["id"]]
        assert state["frameworks"] == []
        uninstalled = {run.host for run in evidence.runs(stage.cluster) if run.step == "uninstall"}
        assert uninstalled == set(stage.hosts)
        assert evidence.keepers(stage.cluster) == []
        launched = len(evidence.runs(stage.cluster))

        scheduler.kill()
        scheduler.start()  # as Marathon does
        scheduler.wait("its state", lambda: stage_of_order(stage) == "torn-down")
        late = stage.add_agent()  # whoever joins now is left alone
        stage.cluster.wait_ready()
        scheduler.wait("its health", lambda: scheduler.get("/healthz"))
        assert late not in scheduler.phases()
        assert scheduler.get("/v1/status")["master"]["subscriptions"] == 0
        assert post(stage, f"/v1/agents/{stage.hosts[0]}/resume", {})[0] == 409
        assert [one["id"] for one in stage.frameworks()] == [framework["id"]]
        assert len(evidence.runs(stage.cluster)) == launched
        assert scheduler.text().count("the framework is torn down: delete") == 2
        assert scheduler.stop() == 0


def test_a_kill_in_the_middle_of_the_end_is_gone_on_from(tmp_path: Path, token: Path) -> None:
    more = (f"-rest.token-file={token}",)
    with Stage(tmp_path / "stage", agents=1, more=more) as stage:
        scheduler = stage.scheduler
        scheduler.start()
        scheduler.wait_phase("ready", stage.hosts)
        (framework,) = stage.frameworks()
        order = {"teardown": True, "confirm": framework["id"]}
        assert post(stage, "/v1/framework/uninstall", order)[0] == 202
        scheduler.wait("it leaves", lambda: set(scheduler.phases().values()) == {"draining"})
        scheduler.kill()
        assert [one["active"] for one in stage.frameworks()] != []
        scheduler.start()
        scheduler.wait("the end", lambda: stage_of_order(stage) == "torn-down")
        state = get_json(f"{stage.cluster.url}/state")
        assert [one["id"] for one in state["completed_frameworks"]] == [framework["id"]]
        assert "Traceback" not in scheduler.text()
