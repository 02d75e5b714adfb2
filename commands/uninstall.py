"""`uninstall`: take one agent, or all of them, out of use through the scheduler's REST API."""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import attrs

LOOK_EVERY_S: Final = 5.0
ANSWER_S: Final = 30.0
RETIRED: Final = "retired"
STOPS: Final = ("failed", "held", "seen", "surveying")  # nothing goes on by itself there

Say = Callable[[str], None]


class AnswerError(Exception):
    """The scheduler refuses, or does not answer; one line for people."""


@attrs.frozen(kw_only=True)
class Client:
    url: str
    token: str = attrs.field(default="", repr=False)

    def ask(self, method: str, path: str) -> Mapping[str, Any]:
        request = urllib.request.Request(f"{self.url}{path}", method=method)  # noqa: S310 - checked
        if method == "POST" and self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AnswerError(f"{method} {path}: {_sentence(error)}") from None
        except (OSError, ValueError) as error:
            raise AnswerError(f"{self.url} does not answer as a scheduler: {error}") from None
        if not isinstance(found, dict):
            raise AnswerError(f"{self.url} does not answer as a scheduler")
        return found

    def agents(self) -> list[Mapping[str, Any]]:
        return list(self.ask("GET", "/v1/agents")["agents"])


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return f"{error.code}: {json.load(error)['error']}"
    except (ValueError, KeyError, TypeError, OSError):
        return f"{error.code} {error.reason}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("agent", nargs="?", metavar="AGENT", help="as GET /v1/agents names it")
    which.add_argument("--all", action="store_true", help="every agent, as far as data can go")
    parser.add_argument("--url", required=True, help="of the scheduler, http://HOST:PORT")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="what -rest.token-file has")
    parser.add_argument("--plan", action="store_true", help="show what would be removed, and end")
    parser.add_argument("--no-wait", action="store_true", help="end when the order is given")


def run(namespace: argparse.Namespace) -> int:
    """Exit 0 when all are retired (or the order is given), 1 when one stopped, 2 bad input."""
    try:
        client = Client(url=_checked(namespace.url), token=_token(namespace.token_file))
        hosts = [namespace.agent] if namespace.agent else [a["host"] for a in client.agents()]
        if namespace.plan:
            return _show_plan(client, hosts)
        for host in hosts:
            client.ask("POST", f"/v1/agents/{quote(host, safe='')}/uninstall")
            print(f"{host}: the order is given", flush=True)
        return 0 if namespace.no_wait else follow(client, hosts, say=_say, pause=time.sleep)
    except AnswerError as error:
        print(f"uninstall: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("uninstall: the removal goes on without this command", file=sys.stderr)
        return 130


def _checked(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise AnswerError(f"--url {url}: expected http://HOST:PORT")
    return url.rstrip("/")


def _token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AnswerError(f"--token-file {file} cannot be read: {error}") from None


def _show_plan(client: Client, hosts: Sequence[str]) -> int:
    for host in hosts:
        plan = client.ask("GET", f"/v1/agents/{quote(host, safe='')}/uninstall")
        print(f"{host} ({plan['phase']})")
        for line in (*plan["storage"], *plan["host_steps"]):
            print(f"  {line}")
        if plan["waits_for"]:
            print(f"  would wait: {plan['waits_for']}")
    return 0


def follow(
    client: Client, hosts: Sequence[str], *, say: Say, pause: Callable[[float], None]
) -> int:
    """Tell each change until all have ended, and how."""
    open_ones, told, stopped = set(hosts), dict.fromkeys(hosts, ""), False
    begun: set[str] = set()
    while open_ones:
        shown = {agent["host"]: agent for agent in client.agents()}
        for host in sorted(open_ones):
            agent = shown.get(host, {"phase": "unknown", "step": "", "reason": "", "error": ""})
            line = _line(agent)
            if told[host] != line:
                told[host] = line
                say(f"{host}: {line}")
            if agent["phase"] == "draining":
                begun.add(host)
            ended = agent["phase"] in STOPS and host in begun
            if agent["phase"] == RETIRED or ended or host not in shown:
                open_ones.discard(host)
                stopped |= agent["phase"] != RETIRED
        if open_ones:
            pause(LOOK_EVERY_S)
    return 1 if stopped else 0


def _line(agent: Mapping[str, Any]) -> str:
    words = [agent["phase"], f"step {agent['step']}" if agent["step"] else ""]
    words.append(agent["error"] if agent["phase"] == "failed" else agent["reason"])
    return ", ".join(word for word in words if word)


def _say(line: str) -> None:
    print(line, flush=True)
