"""`plan`: what is done and left to do on each host, and who decided it; nothing is changed.

Asked of a running scheduler, or made here from a saved survey and the scheduler's own flags.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from typing import Final

from commands.asking import AskError, ask, attributes_of, columns, complain, survey_text
from commands.inputs import read_inputs
from commands.opening import BadInputError
from domain.agent import AgentRecord
from domain.job import StepFaultError
from domain.plan import Plan
from install_steps.assembly import Assembly
from settings import HelpRequestedError, SettingsError, parse

PASSWORD_VARIABLE: Final = "SCALEIO_SCALEIO_PASSWORD"  # noqa: S105 - a name
PASSWORD_FLAGS: Final = ("-scaleio.password", "--scaleio.password")
UNUSED: Final = "not-used-by-plan"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", nargs="*", help="hosts to show; none: all")
    parser.add_argument("--url", default="", help="of the running scheduler")
    parser.add_argument("--survey", default="", help="a survey's saved output, or - for ours")
    parser.add_argument("--host", default="host", help="its name, with --survey")
    parser.add_argument(
        "--attribute", action="append", default=[], metavar="NAME=VALUE", help="with --survey"
    )
    parser.add_argument("--output", choices=("table", "json"), default="table")
    parser.add_argument(
        "--flags", nargs=argparse.REMAINDER, default=[],
        help="with --survey, last: the scheduler's own flags",
    )  # fmt: skip


def run(given: argparse.Namespace) -> int:
    """Exit status: 0 shown, 1 a host cannot be served or a step is blocked, 2 bad input."""
    try:
        if bool(given.url) == bool(given.survey):
            raise AskError("either --url or --survey is expected: what should the plan be made of?")
        whole: Mapping[str, object] = ask(given.url, "/v1/plan") if given.url else {}
        hosts = _asked(given.url, whole, given.agent) if given.url else [_made(given)]
    except (AskError, BadInputError, SettingsError, StepFaultError) as error:
        return complain("plan", error)
    if given.output == "json":
        together = {key: whole[key] for key in ("wanted", "conflicts") if key in whole}
        print(json.dumps({"agents": hosts, **together}, indent=2))
    else:
        conflicts = [_conflict(one) for one in _objects(whole, "conflicts")]
        print("\n\n".join([*map(_shown, hosts), *conflicts]))
    return 1 if any(map(_is_stuck, hosts)) else 0


def _asked(url: str, whole: Mapping[str, object], wanted: Sequence[str]) -> list[dict[str, object]]:
    answer = whole.get("agents")
    hosts = [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []
    known = {str(one.get("host")) for one in hosts}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise AskError(f"{url} knows no agent {', '.join(unknown)}: see /v1/agents there")
    return [one for one in hosts if not wanted or one.get("host") in wanted]


def _made(given: argparse.Namespace) -> dict[str, object]:
    attributes = attributes_of(given.attribute)
    flags = [flag for flag in given.flags if flag != "--"]
    environ = dict(os.environ)
    if not any(flag.startswith(PASSWORD_FLAGS) for flag in flags):
        environ.setdefault(PASSWORD_VARIABLE, UNUSED)  # the plan is made without asking anybody
    try:
        settings = parse(flags, environ)
    except HelpRequestedError:
        raise AskError("--flags takes the scheduler's flags: see scaleio-scheduler -help") from None
    inputs = read_inputs(settings)
    assembly = Assembly(
        settings=settings,
        catalog=inputs.catalog,
        storage=lambda: None,
        leader=lambda: "",
        own_url=lambda: "",
        installation=lambda: b"",
        extras=inputs.extras,
        overrides=inputs.overrides,
        layout_file=inputs.layout,
    )
    facts = assembly.parse(survey_text(given.survey))
    record = AgentRecord(host=given.host, agent_id="", attributes=attributes)
    return _as_told(given.host, assembly.plan(record, facts))


def _as_told(host: str, plan: Plan) -> dict[str, object]:
    return {
        "host": host,
        "reason": plan.fault,
        "steps": [
            {"name": step.name, "state": step.state, "detail": step.sentence} for step in plan.steps
        ],
        "overrides": list(plan.overrides),
        "devices": [{"path": path, "verdict": verdict} for path, verdict in plan.verdicts],
    }


def _shown(host: Mapping[str, object]) -> str:
    head = f"{host.get('host')}  {host.get('phase', '')}".rstrip()
    reason = str(host.get("reason") or "")
    lines = [head, *([f"  {reason}"] if reason else [])]
    rows = [
        (f"  {step.get('name')}", str(step.get("state")), str(step.get("detail") or ""))
        for step in _objects(host, "steps")
    ]
    lines += [columns(rows)] if rows else ["  it has not been surveyed yet"]
    told = host.get("overrides")
    lines += [f"  {text}" for text in (told if isinstance(told, list) else [])]
    lines += [f"  {one.get('path')}  {one.get('verdict')}" for one in _objects(host, "devices")]
    return "\n".join(lines)


def _conflict(one: Mapping[str, object]) -> str:
    hosts = one.get("hosts")
    names = ", ".join(map(str, hosts)) if isinstance(hosts, list) else ""
    return f"{'CONFLICT' if one.get('blocking') else 'advice'}  {one.get('sentence')}  ({names})"


def _is_stuck(host: Mapping[str, object]) -> bool:
    fault = "phase" not in host and bool(host.get("reason"))
    return fault or any(step.get("state") == "blocked" for step in _objects(host, "steps"))


def _objects(host: Mapping[str, object], name: str) -> list[dict[str, object]]:
    items = host.get(name)
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []
