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

    def agent(self) -> Mapping[str, Any]:
        phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
        why = {"error": "a1: it broke", "reason": ""} if phase == "failed" else {"error": ""}
        return {"host": "a1", "phase": phase, "step": "", "reason": f"why {phase}", **why}


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    here = Scheduler()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, PLAN if "uninstall" in self.path else {"agents": [here.agent()]})

        def do_POST(self) -> None:
            token = self.headers.get("Authorization")
            here.orders.append((self.path, token))
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


def test_a_refusal_is_one_line(scheduler: Scheduler, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["uninstall", "a1", "--url", scheduler.url]) == 2
    assert "401: changes need the right token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "words"), [("ftp://x", "expected http"), ("http://127.0.0.1:9", "does not answer")]
)
def test_a_wrong_address_is_said(url: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["uninstall", "a1", "--url", url]) == 2
    assert words in capsys.readouterr().err
