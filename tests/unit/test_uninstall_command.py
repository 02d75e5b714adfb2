"""`uninstall`: the operator's words to a scheduler, and what is told of their progress."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

import cli
from commands import uninstall

PLAN = {
    "host": "a1",
    "phase": "ready",
    "waits_for": "volumes are mapped to its SDC (mysql)",
    "storage": ["SDS sds_10.0.0.1"],
    "host_steps": ["end the keeper task"],
}


@attrs.define
class Scheduler:
    url: str = ""
    orders: list[tuple[str, str | None]] = attrs.field(factory=list)
    phases: list[str] = attrs.field(factory=lambda: ["draining", "retired"])
    stages: list[str] = attrs.field(factory=list)  # of the framework's removal; "": no order
    bodies: list[object] = attrs.field(factory=list)

    def framework(self) -> Mapping[str, Any]:
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        order = {"stage": stage, "teardown": True, "text": f"why {stage}"}
        return {"agents": [PLAN], "left": 0, "order": order if stage else None}

    def agent(self) -> Mapping[str, Any]:
        phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
        why = {"error": "a1: it broke", "reason": ""} if phase == "failed" else {"error": ""}
        return {"host": "a1", "phase": phase, "step": "", "reason": f"why {phase}", **why}


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    here = Scheduler()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v1/framework/uninstall" and here.stages:
                self._say(200, here.framework())
            elif self.path == "/v1/framework/uninstall":
                self._say(200, {"agents": [PLAN, PLAN], "left": 2, "order": None})
            else:
                self._say(200, PLAN if "uninstall" in self.path else {"agents": [here.agent()]})

        def do_POST(self) -> None:
            token = self.headers.get("Authorization")
            here.orders.append((self.path, token))
            here.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if token != "Bearer secret":
                self._say(401, {"error": "changes need the right token"})
                return
            self._say(202, {"result": "passed on"})

        def _say(self, status: int, body: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def token(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text("secret\n", encoding="utf-8")
    return str(file)


def test_the_plan_is_shown_and_nothing_ordered(
    scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["uninstall", "a1", "--url", scheduler.url, "--plan"]) == 0
    out = capsys.readouterr().out
    assert "SDS sds_10.0.0.1" in out
    assert "would wait: volumes are mapped to its SDC (mysql)" in out
    assert scheduler.orders == []


def test_it_tells_each_change_until_all_are_retired(
    scheduler: Scheduler,
    token: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uninstall, "LOOK_EVERY_S", 0.0)
    scheduler.phases = ["ready", "ready", "draining", "draining", "retired"]
    assert cli.main(["uninstall", "--all", "--url", scheduler.url, "--token-file", token]) == 0
    assert scheduler.orders == [("/v1/agents/a1/uninstall", "Bearer secret")]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "a1: the order is given"
    assert told[-2:] == ["a1: draining, why draining", "a1: retired, why retired"]


def test_an_agent_that_stops_on_the_way_is_a_failure(
    scheduler: Scheduler,
    token: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uninstall, "LOOK_EVERY_S", 0.0)
    scheduler.phases = ["draining", "failed"]
    assert cli.main(["uninstall", "a1", "--url", scheduler.url, "--token-file", token]) == 1
    assert "a1: failed, a1: it broke" in capsys.readouterr().out


def test_who_does_not_wait_leaves_once_the_order_is_given(scheduler: Scheduler, token: str) -> None:
    words = ["uninstall", "a1", "--url", scheduler.url, "--token-file", token, "--no-wait"]
    assert cli.main(words) == 0


def test_who_is_gone_for_good_is_retired(scheduler: Scheduler, token: str) -> None:
    words = ["uninstall", "a1", "--gone", "--url", scheduler.url, "--token-file", token]
    assert cli.main([*words, "--no-wait"]) == 0
    assert scheduler.orders == [("/v1/agents/a1/retire", "Bearer secret")]


def test_the_plan_of_all_is_asked_for_at_once(
    scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    for which in ("--all", "--framework"):
        assert cli.main(["uninstall", which, "--url", scheduler.url, "--plan"]) == 0
        assert capsys.readouterr().out.count("a1 (ready)") == 2
    assert scheduler.orders == []


@pytest.mark.parametrize(("last", "status"), [("torn-down", 0), ("", 1)])
def test_the_framework_is_followed_to_its_end(
    last: str,
    status: int,
    scheduler: Scheduler,
    token: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uninstall, "LOOK_EVERY_S", 0.0)
    scheduler.phases = ["draining", "draining", "retired"]
    scheduler.stages = ["ordered", "ordered", "tearing", last]
    words = ["uninstall", "--framework", "--url", scheduler.url, "--token-file", token]
    assert cli.main([*words, "--teardown", "F1"]) == status
    assert scheduler.orders == [("/v1/framework/uninstall", "Bearer secret")]
    assert scheduler.bodies == [{"teardown": True, "confirm": "F1"}]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "passed on"
    assert told[3:5] == ["framework: ordered: why ordered", "framework: tearing: why tearing"]
    assert told[5:] in (["framework: torn-down: why torn-down"], [uninstall.CALLED_OFF])


def test_without_teardown_none_is_wished_for(scheduler: Scheduler, token: str) -> None:
    words = ["uninstall", "--framework", "--url", scheduler.url, "--token-file", token]
    assert cli.main([*words, "--no-wait"]) == 0
    assert scheduler.bodies == [{"teardown": False, "confirm": ""}]


def test_the_order_is_called_off(scheduler: Scheduler, token: str) -> None:
    words = ["uninstall", "--framework", "--url", scheduler.url, "--token-file", token]
    assert cli.main([*words, "--call-off"]) == 0
    assert scheduler.orders == [("/v1/framework/resume", "Bearer secret")]


@pytest.mark.parametrize(
    "words",
    [
        ("a1", "--teardown", "F1"),
        ("--all", "--call-off"),
        ("--all", "--gone"),
        ("--framework", "--teardown", "F1", "--call-off"),
    ],
)
def test_words_that_do_not_go_together_are_said(
    words: tuple[str, ...], scheduler: Scheduler, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["uninstall", *words, "--url", scheduler.url]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words if word in ("--teardown", "--call-off", "--gone"))
    assert scheduler.orders == []


def test_a_refusal_is_one_line(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["uninstall", "a1", "--url", scheduler.url]) == 2
    assert "401: changes need the right token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "words"), [("ftp://x", "expected http"), ("http://127.0.0.1:9", "no scheduler answers")]
)
def test_a_wrong_address_is_said(url: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["uninstall", "a1", "--url", url]) == 2
    assert words in capsys.readouterr().err
