"""Every verb: its arguments, what it asks, and the exit status that it gives.

Status: 0 done or well, 1 a warning stands (status), 2 bad input, refused, or an error stands,
3 nobody answers.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import attrs

from commands.asking import AskError, complain, token_of
from commands.operate import tables
from commands.operate.link import Link, UnreachableError, default_url

LOOK_EVERY_S: Final = 2.0
UNREACHABLE: Final = 3
VERDICTS: Final = {"ok": 0, "warning": 1, "error": 2}
_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Json = dict[str, Any]
Read = Callable[[Link, argparse.Namespace], Json]


@attrs.frozen(kw_only=True)
class View:
    """A verb that only looks."""

    read: Read
    shown: Callable[[Json], str]
    arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None
    status: Callable[[Json], int] = lambda _: 0


def common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        default=default_url(),
        help="of the scheduler (default: $SCALEIO_URL, or %(default)s)",
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="what -rest.token-file has")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="who signs its certificate")
    parser.add_argument("--output", choices=("table", "json"), default="table")


def link_of(given: argparse.Namespace) -> Link:
    """Raises AskError."""
    verify: Any = True
    if given.ca_file is not None:
        try:
            verify = ssl.create_default_context(cafile=given.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise AskError(f"--ca-file {given.ca_file}: {error}") from None
    if not given.url.startswith(("http://", "https://")):
        raise AskError(f"--url {given.url!r}: http://HOST:PORT is expected")
    return Link(url=given.url, token=token_of(given.token_file), verify=verify)


# --- looking --------------------------------------------------------------------------------------


def _path(path: str, /, **query: object) -> str:
    told = urlencode({name: text for name, text in query.items() if text not in (None, "", False)})
    return f"{path}?{told}" if told else path


def _agents_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phase", help="one or several, with commas")
    parser.add_argument("--q", metavar="TEXT", help="in host, address, step or reason")
    parser.add_argument("--sort", choices=("host", "phase", "since", "step", "fault_set"))
    parser.add_argument("--desc", action="store_true")
    parser.add_argument("--limit", type=int, metavar="N")
    parser.add_argument("--offset", type=int, metavar="N")


def _agents(link: Link, given: argparse.Namespace) -> Json:
    return link.read(
        _path(
            "/v1/agents", phase=given.phase, q=given.q, sort=given.sort or "attention",
            desc="1" if given.desc else "", limit=given.limit, offset=given.offset,
        )
    )  # fmt: skip


def _host_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="AGENT", help="as `agents` names it")


def _why_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "about",
        nargs="+",
        metavar="WHAT",
        help="AGENT, AGENT STEP, AGENT /dev/DISK, pool DOMAIN/POOL, rollout, or framework",
    )


def why_path(about: list[str]) -> str:
    """Raises AskError."""
    match about:
        case ["rollout" | "framework" as what]:
            return f"/v1/why/{what}"
        case ["pool", name] if "/" in name:
            domain, _, pool = name.partition("/")
            return f"/v1/why/pool/{quote(domain, safe='')}/{quote(pool, safe='')}"
        case [host]:
            return f"/v1/why/agent/{quote(host, safe='')}"
        case [host, disk] if disk.startswith("/"):
            return _path(f"/v1/why/device/{quote(host, safe='')}", path=disk)
        case [host, step]:
            return f"/v1/why/step/{quote(host, safe='')}/{quote(step, safe='')}"
        case _:
            raise AskError(
                "why what? AGENT, AGENT STEP, AGENT /dev/DISK, pool DOMAIN/POOL, rollout, framework"
            )


VIEWS: Final[Mapping[str, View]] = {
    "status": View(
        read=lambda link, _: link.read("/v1/status"),
        shown=tables.status,
        status=lambda told: VERDICTS.get(str(told.get("verdict")), 2),
    ),
    "agents": View(read=_agents, shown=tables.agents, arguments=_agents_arguments),
    "agent": View(
        read=lambda link, given: link.read(f"/v1/agents/{quote(given.host, safe='')}"),
        shown=tables.agent,
        arguments=_host_argument,
    ),
    "why": View(
        read=lambda link, given: link.read(why_path(given.about)),
        shown=tables.why,
        arguments=_why_arguments,
    ),
    "alerts": View(read=lambda link, _: link.read("/v1/conditions"), shown=tables.alerts),
    "offers": View(read=lambda link, _: link.read("/v1/offers"), shown=tables.offers),
    "capacity": View(read=lambda link, _: link.read("/v1/capacity"), shown=tables.capacity),
    "settings": View(read=lambda link, _: link.read("/v1/settings"), shown=tables.settings),
}


def add_view(name: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        VIEWS[name].arguments(parser)
        parser.add_argument("--watch", action="store_true", help="go on, until Ctrl-C")
        common(parser)

    return add


def run_view(name: str) -> Callable[[argparse.Namespace], int]:
    def run(given: argparse.Namespace) -> int:
        view = VIEWS[name]

        def once(link: Link) -> tuple[str, int]:
            told = view.read(link, given)
            text = json.dumps(told, indent=2) if given.output == "json" else view.shown(told)
            return text, view.status(told)

        return _guarded(name, given, lambda link: _shown(link, once, watch=given.watch))

    return run


def _guarded(name: str, given: argparse.Namespace, act: Callable[[Link], int]) -> int:
    try:
        return act(link_of(given))
    except UnreachableError as error:
        complain(name, error)
        return UNREACHABLE
    except AskError as error:
        return complain(name, error)
    except (KeyError, TypeError) as error:
        return complain(name, AskError(f"the scheduler answers otherwise than expected: {error!r}"))
    except KeyboardInterrupt:
        return 130


def _shown(link: Link, once: Callable[[Link], tuple[str, int]], *, watch: bool) -> int:
    text, status = once(link)
    if not watch:
        print(text)
        return status
    if sys.stdout.isatty():
        return _live(link, once, text)
    last = ""
    while True:
        if text != last:
            print(text, flush=True)
            last = text
        time.sleep(LOOK_EVERY_S)
        text, status = once(link)


def _live(link: Link, once: Callable[[Link], tuple[str, int]], text: str) -> int:
    from rich.live import Live  # only where somebody looks on
    from rich.text import Text

    with Live(Text(text), refresh_per_second=2) as live:
        while True:
            time.sleep(LOOK_EVERY_S)
            text, _ = once(link)
            live.update(Text(text))


# --- telling --------------------------------------------------------------------------------------

ORDERS: Final = ("hold", "resume", "retry", "drain", "reboot", "replace")


def add_order(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("hosts", nargs="+", metavar="AGENT", help="as `agents` names them")
    _reason(parser)
    common(parser)


def _reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the order")


def run_order(word: str) -> Callable[[argparse.Namespace], int]:
    def run(given: argparse.Namespace) -> int:
        def act(link: Link) -> int:
            for host in given.hosts:
                path = f"/v1/agents/{quote(host, safe='')}/{word}"
                _say(given, host, link.order(path, {"reason": given.reason}))
            return 0

        return _guarded(word, given, act)

    return run


def _say(given: argparse.Namespace, subject: str, result: str) -> None:
    if given.output == "json":
        print(json.dumps({"subject": subject, "result": result}))
    else:
        print(result)


def add_rollout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "word", nargs="?", default="show", choices=("show", "start", "pause", "resume", "abort")
    )
    parser.add_argument("--watch", action="store_true", help="until every agent is ready")
    _reason(parser)
    common(parser)


def run_rollout(given: argparse.Namespace) -> int:
    def act(link: Link) -> int:
        if given.word != "show":
            result = link.order(f"/v1/rollout/{given.word}", {"reason": given.reason})
            _say(given, "rollout", result)
        if given.watch:
            return _followed(link)
        if given.word == "show":
            told = link.read("/v1/rollout")
            print(json.dumps(told, indent=2) if given.output == "json" else tables.rollout(told))
        return 0

    return _guarded("rollout", given, act)


def _followed(link: Link) -> int:
    """A bar until all are ready; 1 where some have failed instead."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    told = link.read("/v1/rollout")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console()
    ) as progress:
        task = progress.add_task("ready", total=told["concerned"] or None)
        while True:
            what = told["why"] or told["estimate"] or "ready"
            progress.update(
                task, total=told["concerned"], completed=told["done"], description=what[:60]
            )
            if told["done"] + len(told["failed"]) >= told["concerned"] and not told["under_way"]:
                return 1 if told["failed"] else 0
            time.sleep(LOOK_EVERY_S)
            told = link.read("/v1/rollout")


def add_silence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("condition", metavar="CONDITION", help="as `alerts` names it")
    parser.add_argument("subject", nargs="?", default="", metavar="ABOUT", help="default: all")
    parser.add_argument(
        "--for", dest="for_s", type=duration, default=7200.0, metavar="TIME", help="90m, 2h, 1d"
    )
    _reason(parser)
    common(parser)


def duration(text: str) -> float:
    """Seconds of `90m`, `2h`, `1d`, `30s`."""
    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * _UNITS_S[unit]
    except (ValueError, KeyError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 30s, 90m, 2h or 1d")
    return seconds


def run_silence(word: str) -> Callable[[argparse.Namespace], int]:
    def run(given: argparse.Namespace) -> int:
        def act(link: Link) -> int:
            path = f"/v1/conditions/{quote(given.condition, safe='')}/{word}"
            body = {"reason": given.reason, "subject": given.subject, "for_s": given.for_s}
            _say(given, given.condition, link.order(path, body))
            return 0

        return _guarded(word, given, act)

    return run


# --- following ------------------------------------------------------------------------------------


def add_events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on, until Ctrl-C")
    parser.add_argument("--after", type=int, metavar="ID", help="only younger ones")
    parser.add_argument("--kind", help="one or several, with commas: order, condition, agent, ...")
    parser.add_argument("--about", default="", metavar="SUBJECT", help="one agent, pool, ...")
    parser.add_argument("--limit", type=int, default=100, metavar="N")
    common(parser)


def run_events(given: argparse.Namespace) -> int:
    def act(link: Link) -> int:
        path = _path(
            "/v1/events", after=given.after, kind=given.kind, subject=given.about, limit=given.limit
        )
        told = link.read(path)
        _print_events(given, told["events"])
        if given.follow:
            kinds = frozenset(filter(None, (given.kind or "").split(",")))
            for event, _, data in link.events(told["next"]):
                entry = json.loads(data) if event == "entry" else None
                about = given.about in ("", entry["subject"]) if entry else False
                if entry and about and (not kinds or entry["kind"] in kinds):
                    _print_events(given, [entry])
        return 0

    return _guarded("events", given, act)


def _print_events(given: argparse.Namespace, found: list[Json]) -> None:
    for one in found:
        print(json.dumps(one) if given.output == "json" else tables.event(one), flush=True)
