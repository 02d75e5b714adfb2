"""`uninstall`: take one agent, all of them, or the framework out of use, by a scheduler's REST."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import attrs

from commands.asking import AskError, ask, complain, token_of

LOOK_EVERY_S: Final = 5.0
RETIRED: Final = "retired"
CALLED_OFF: Final = "framework: the order was called off"
FRAMEWORK: Final = "/v1/framework/uninstall"

Say = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Client:
    url: str
    token: str = attrs.field(default="", repr=False)

    def read(self, path: str) -> Mapping[str, Any]:
        return ask(self.url, path)

    def order(self, path: str, body: Mapping[str, object] | None = None) -> str:
        """What it answers to the order."""
        return str(ask(self.url, path, body=body or {}, token=self.token).get("result", ""))

    def agents(self) -> list[Mapping[str, Any]]:
        return list(self._list("/v1/agents"))

    def plans(self) -> list[Mapping[str, Any]]:
        return self._list(FRAMEWORK)

    def _list(self, path: str) -> list[Mapping[str, Any]]:
        found = self.read(path).get("agents")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise AskError(f"{self.url}{path} does not answer as a scheduler: correct --url")
        return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("agent", nargs="?", metavar="AGENT", help="as GET /v1/agents names it")
    which.add_argument("--all", action="store_true", help="every agent, as far as data can go")
    which.add_argument(
        "--framework", action="store_true", help="every agent, and each one that joins later"
    )
    parser.add_argument("--url", required=True, help="of the scheduler, http://HOST:PORT")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="what -rest.token-file has")
    parser.add_argument("--plan", action="store_true", help="show what would be removed, and end")
    parser.add_argument("--no-wait", action="store_true", help="end when the order is given")
    parser.add_argument(
        "--teardown", default="", metavar="FRAMEWORK_ID",
        help="with --framework: at last end the framework of that id, as GET /v1/status names it",
    )  # fmt: skip
    parser.add_argument(
        "--gone", action="store_true",
        help="the AGENT's host will never return: the storage cluster lets it go without it",
    )  # fmt: skip
    parser.add_argument(
        "--call-off", action="store_true", help="with --framework: take the order back"
    )


def run(namespace: argparse.Namespace) -> int:
    """Exit 0 when all are retired (or the order is given), 1 when one stopped, 2 bad input."""
    try:
        return _run(namespace)
    except AskError as error:
        return complain("uninstall", error)
    except KeyboardInterrupt:
        print("uninstall: the removal goes on without this command", file=sys.stderr)
        return 130


def _run(namespace: argparse.Namespace) -> int:
    if (namespace.teardown or namespace.call_off) and not namespace.framework:
        raise AskError("--teardown and --call-off are for the whole framework: give --framework")
    if namespace.gone and not namespace.agent:
        raise AskError("--gone is said of one agent: name it")
    if namespace.teardown and namespace.call_off:
        raise AskError("--teardown and --call-off are opposites: give one of them")
    client = Client(url=_checked(namespace.url), token=token_of(namespace.token_file))
    if namespace.call_off:
        _say(client.order("/v1/framework/resume"))
        return 0
    if namespace.plan:
        return _show_plan(client, namespace.agent)
    hosts = [namespace.agent] if namespace.agent else [a["host"] for a in client.agents()]
    if namespace.framework:
        confirm = namespace.teardown
        _say(client.order(FRAMEWORK, {"teardown": bool(confirm), "confirm": confirm}))
    else:
        for host in hosts:
            word = "retire" if namespace.gone else "uninstall"
            client.order(f"/v1/agents/{quote(host, safe='')}/{word}")
            _say(f"{host}: the order is given")
    if namespace.no_wait:
        return 0
    status = follow(client, hosts, say=_say, pause=time.sleep)
    if status or not namespace.framework:
        return status
    return follow_order(client, say=_say, pause=time.sleep)


def _checked(url: str) -> str:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise AskError(f"--url {url}: expected http://HOST:PORT")
    return url.rstrip("/")


def _show_plan(client: Client, host: str | None) -> int:
    """Of one agent, or in one question of all."""
    one = f"/v1/agents/{quote(host or '', safe='')}/uninstall"
    for plan in [client.read(one)] if host else client.plans():
        _say(f"{plan['host']} ({plan['phase']})")
        for line in (*plan["storage"], *plan["host_steps"]):
            _say(f"  {line}")
        if plan["waits_for"]:
            _say(f"  would wait: {plan['waits_for']}")
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
            ended = host in begun and agent["phase"] != "draining"
            if agent["phase"] == RETIRED or ended or host not in shown:
                open_ones.discard(host)
                stopped |= agent["phase"] != RETIRED
        if open_ones:
            pause(LOOK_EVERY_S)
    return 1 if stopped else 0


def follow_order(client: Client, *, say: Say, pause: Callable[[float], None]) -> int:
    """Tell what the framework's removal waits for, until it is over or called off."""
    told = ""
    while True:
        shown = client.read(FRAMEWORK)
        order = shown.get("order")
        if not isinstance(order, dict):
            say(CALLED_OFF)
            return 1
        line = f"framework: {order['stage']}: {order['text']}"
        if line != told:
            say(line)
        told = line
        if order["stage"] == "torn-down" or (not order["teardown"] and not shown["left"]):
            return 0
        pause(LOOK_EVERY_S)


def _line(agent: Mapping[str, Any]) -> str:
    words = [agent["phase"], f"step {agent['step']}" if agent["step"] else ""]
    words.append(agent["error"] if agent["phase"] == "failed" else agent["reason"])
    return ", ".join(word for word in words if word)


def _say(line: str) -> None:
    print(line, flush=True)
