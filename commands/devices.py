"""`devices explain`: why each disk of a host is taken or left alone.

Of a saved survey the rules are applied here, with the flags given; of a running scheduler's agent
its own verdicts are shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

import attrs
import httpx
import msgspec

from commands.asking import AskError, attributes_of, columns, survey_text
from domain.devices import GIB, DeviceRules, DeviceVerdict, candidates, names_of
from domain.facts import Disk
from domain.layout import layout_of
from flags.flag import Flag, quoted
from flags.kinds import SWITCH, RefusedError
from install_steps.facts import SurveyError, parse_survey
from settings import FLAGS

ANSWER_S: Final = 10.0
HEADS: Final = ("DEVICE", "STABLE NAME", "SIZE", "MODEL", "VERDICT", "RULE", "EVIDENCE")
_TAKING: Final = frozenset({"empty", "declared", "overwrite"})
_IN_POOL: Final = "in pool "
_DEVICE_FLAGS: Final[Mapping[str, Flag]] = {
    flag.attribute: flag
    for flag in FLAGS
    if flag.name in {"devices", "devices.min-size-gb", "devices.overwrite", "devices.allow-loop"}
}


class ExplainError(AskError):
    """One line for people: what was given, and what is wrong with it. The process ends with 2."""


@attrs.frozen(kw_only=True)
class Line:
    """One disk. `verdict`: take, leave, in pool."""

    path: str
    stable_name: str
    size_bytes: int
    model: str
    serial: str
    verdict: str
    rule: str
    sentence: str
    evidence: str
    pool: str = ""


@attrs.frozen(kw_only=True)
class _Shown:
    """What is read of an agent that a scheduler shows."""

    devices: tuple[Mapping[str, str], ...] = ()
    disks: tuple[Disk, ...] = ()


def add_arguments(devices: argparse.ArgumentParser) -> None:
    actions = devices.add_subparsers(dest="action", required=True, metavar="explain")
    parser = actions.add_parser("explain", allow_abbrev=False, description=__doc__)
    parser.add_argument("agent", nargs="?", metavar="AGENT", help="an agent of the scheduler")
    parser.add_argument("--url", default="", help="of the scheduler, http://HOST:PORT")
    parser.add_argument("--survey", metavar="FILE", help="a survey's saved stdout; - reads stdin")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument(
        "--attribute", action="append", default=[], metavar="NAME=VALUE",
        help="an attribute of the Mesos agent; may be given more than once",
    )  # fmt: skip
    for attribute, flag in _DEVICE_FLAGS.items():
        parser.add_argument(
            f"-{flag.name}", f"--{flag.name}", dest=attribute, metavar=flag.kind.placeholder,
            nargs="?", const="true" if flag.kind is SWITCH else "",
            help=f"{flag.meaning} Default: {flag.shown_default}.",
        )  # fmt: skip


def run(namespace: argparse.Namespace) -> int:
    try:
        lines = _of_survey(namespace) if _wants_survey(namespace) else _of_agent(namespace)
    except AskError as error:
        print(f"devices explain: {error}", file=sys.stderr)
        return 2
    if namespace.output == "json":
        print(json.dumps([attrs.asdict(line) for line in lines], indent=2))
    else:
        print(table(lines))
    return 0


def _wants_survey(namespace: argparse.Namespace) -> bool:
    if (namespace.survey is None) == (namespace.agent is None):
        raise ExplainError("give either --survey FILE, or AGENT with --url http://HOST:PORT")
    if namespace.survey is None and not namespace.url.startswith(("http://", "https://")):
        raise ExplainError(f"--url {quoted(namespace.url)}: give http://HOST:PORT of the scheduler")
    given = [flag for name, flag in _DEVICE_FLAGS.items() if getattr(namespace, name) is not None]
    if namespace.survey is None and (given or namespace.attribute):
        raise ExplainError("flags and attributes go with --survey: a scheduler has its own")
    return namespace.survey is not None


# ---------------------------------------------------------------- of a survey


def _of_survey(namespace: argparse.Namespace) -> tuple[Line, ...]:
    try:
        facts = parse_survey(survey_text(namespace.survey))
    except SurveyError as error:
        raise ExplainError(f"--survey {quoted(namespace.survey)}: {error}") from None
    layout = layout_of(
        attributes_of(namespace.attribute),
        domain=_default("scaleio.protectiondomain"),
        pool=_default("scaleio.storagepool"),
    )
    if layout.faults:
        raise ExplainError(layout.faults[0])
    if not layout.provides:
        raise ExplainError("these attributes give no storage: the host's disks are left alone")
    return tuple(map(_judged, candidates(facts, layout, _rules(namespace))))


def _default(name: str) -> str:
    return next(str(flag.default) for flag in FLAGS if flag.name == name)


def _rules(namespace: argparse.Namespace) -> DeviceRules:
    values: dict[str, object] = {}
    for attribute, flag in _DEVICE_FLAGS.items():
        text: str | None = getattr(namespace, attribute)
        values[attribute] = flag.default if text is None else _read(flag, text)
    return DeviceRules(
        mode=str(values["devices"]),
        bytes_min=int(str(values["devices_min_size_gb"])) * GIB,
        overwrite=msgspec.convert(values["devices_overwrite"], tuple[str, ...]),
        allow_loop=bool(values["devices_allow_loop"]),
    )


def _read(flag: Flag, text: str) -> object:
    try:
        return flag.kind.read(text)
    except RefusedError as refused:
        raise ExplainError(f"-{flag.name}: {quoted(text)}: {refused}") from None
    except ValueError:
        raise ExplainError(f"-{flag.name}: {quoted(text)}: expected {flag.kind.expected}") from None


def _judged(one: DeviceVerdict) -> Line:
    verdict, disk = one.verdict, one.disk
    return Line(
        path=disk.path if disk else one.path,
        stable_name=disk.by_id if disk else "",
        size_bytes=disk.size_bytes if disk else 0,
        model=disk.model if disk else "",
        serial=disk.serial if disk else "",
        verdict="take" if verdict.take else "leave",
        rule=verdict.rule,
        sentence=verdict.sentence,
        evidence=verdict.evidence,
        pool=one.wish.pool if one.wish and verdict.take else "",
    )


# ---------------------------------------------------------------- of a scheduler's agent


def _of_agent(namespace: argparse.Namespace) -> tuple[Line, ...]:
    url = f"{namespace.url.rstrip('/')}/v1/agents/{quote(namespace.agent, safe='')}"
    try:
        answer = httpx.get(url, timeout=ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ExplainError(f"{url} does not answer: {str(error) or 'no word'}") from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise ExplainError(f"the scheduler has no agent {quoted(namespace.agent)}: see /v1/agents")
    if answer.status_code != httpx.codes.OK:
        raise ExplainError(f"{url} answered {answer.status_code}: is that the leading scheduler?")
    shown = _shown(url, answer.content)
    if not shown.devices:
        raise ExplainError(f"{namespace.agent} has no verdicts yet, or gives no storage")
    return tuple(_told(one, shown.disks) for one in shown.devices)


def _shown(url: str, content: bytes) -> _Shown:
    try:
        whole = msgspec.json.decode(content, type=dict[str, object])
        facts = whole.get("facts") or {}
        disks = facts.get("disks", ()) if isinstance(facts, dict) else ()
        return msgspec.convert({"devices": whole.get("devices", ()), "disks": disks}, _Shown)
    except msgspec.MsgspecError as error:
        raise ExplainError(f"{url} did not answer as a scheduler does: {error}") from None


def _told(one: Mapping[str, str], disks: Iterable[Disk]) -> Line:
    path, said = one.get("path", ""), one.get("verdict", "")
    disk = next((disk for disk in disks if path in names_of(disk)), None)
    rule, _, sentence = said.partition(": ")
    pooled = said.startswith(_IN_POOL)
    return Line(
        path=disk.path if disk else path,
        stable_name=disk.by_id if disk else "",
        size_bytes=disk.size_bytes if disk else 0,
        model=disk.model if disk else "",
        serial=disk.serial if disk else "",
        verdict="in pool" if pooled else "take" if rule in _TAKING else "leave",
        rule="" if pooled else rule,
        sentence=said if pooled else sentence,
        evidence=disk.evidence.get(rule, "") if disk else "",
        pool=said.removeprefix(_IN_POOL) if pooled else "",
    )


# ---------------------------------------------------------------- what is printed


def table(lines: Iterable[Line]) -> str:
    """Columns as wide as they have to be; the sentence, which may be long, comes last."""
    return columns([HEADS, *map(_row, lines)])


def _row(line: Line) -> tuple[str, ...]:
    return (
        line.path,
        line.stable_name or "-",
        f"{line.size_bytes / GIB:.1f} GiB",
        line.model or "-",
        line.verdict,
        line.rule or "-",
        line.sentence,
    )
