"""What a terminal shows of the answers: rows of text, made of JSON alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from commands.asking import columns

Json = Mapping[str, Any]
TAIL_LINES: Final = 20
MARKS: Final = {"ok": "OK", "warning": "WARNING", "error": "ERROR"}
_UNITS: Final = ("KB", "MB", "GB", "TB", "PB")


def span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for limit, length, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds / 86400)} d"


def size(kb: float) -> str:
    amount = float(kb)
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            return f"{amount:.1f} {unit}"
        amount /= 1024
    return ""


def moment(unix: float | None) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if unix else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    texts = [[_plain(cell) for cell in row] for row in rows]
    return columns([list(heads), *texts]) if texts else "none"


def _plain(cell: object) -> str:
    """On one line, and without what a terminal would obey."""
    text = "" if cell is None else str(cell)
    return "".join(c if c.isprintable() else " " for c in text)


def status(told: Json) -> str:
    phases = {phase: n for phase, n in told.get("phases", {}).items() if n}
    rollout, master, gateway = told["rollout"], told["master"], told["gateway"]
    lines = [MARKS.get(told.get("verdict", ""), "?"), *(f"  {r}" for r in told.get("reasons", ()))]
    lines += [
        f"agents   {told['agents']}: " + (", ".join(f"{p} {n}" for p, n in phases.items()) or "-"),
        f"rollout  {rollout['state']}, {rollout['done']} of {rollout['concerned']} ready",
        f"         {rollout['why'] or rollout['estimate']}",
        f"master   {master['state']} {master['master']} {master['detail']}",
        f"gateway  {gateway['address']} {gateway['error'] or gateway['system']}",
        f"store    {told['store']}",
    ]
    return "\n".join(_plain(line).rstrip() for line in lines)


def agents(told: Json) -> str:
    rows = [
        (a["host"], a["phase"], span(a["for_s"]), a["step"], a["error"] or a["reason"])
        for a in told["agents"]
    ]
    shown = table(("HOST", "PHASE", "FOR", "STEP", "WAITS FOR, OR WHAT IS WRONG"), rows)
    return f"{shown}\n{len(rows)} of {told['total']}"


def agent(told: Json) -> str:
    lines = [
        f"{told['host']}  {told['phase']} for {span(told['for_s'])}",
        f"why   {told['why']}",
        f"help  {told['unblocked_by']}",
        "",
        table(("STEP", "STATE", ""), [(s["name"], s["state"], s["detail"]) for s in told["plan"]]),
        "",
        table(
            ("RUN", "BEGAN", "EXIT", "OUTCOME", "SAID"),
            [
                (r["step"], moment(r["began"]), r["exit_code"], r["outcome"], last(r["said"]))
                for r in reversed(told["runs"])
            ],
        ),
        "",
        table(("DISK", "VERDICT"), [(d["path"], d["verdict"]) for d in told["devices"]]),
    ]
    if told["tail"]:
        lines += ["", "the end of the failing step's output:"]
        lines += [f"  {_plain(line)}" for line in told["tail"].splitlines()[-TAIL_LINES:]]
    return "\n".join(lines)


def last(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""


def why(told: Json) -> str:
    facts = [f"{one['subject']} {one['fact']}".strip() for one in told["chain"]]
    links = [f"  {_plain(fact)}" for fact in facts]
    head = _plain(told["sentence"])
    return "\n".join([head, *(links if len(links) > 1 else ()), f"helps: {told['unblocked_by']}"])


def alerts(told: Json) -> str:
    rows = [
        (
            c["severity"], c["name"], c["subject"], span(c["for_s"]),
            f"silenced until {moment(c['silenced_until'])}" if c.get("silenced_until") else "",
            f"{c['text']}" + (f" -> {c['cure']}" if c["cure"] else ""),
        )
        for c in told["conditions"]
    ]  # fmt: skip
    return table(("SEVERITY", "CONDITION", "ABOUT", "FOR", "SILENCE", "WHAT, AND WHAT TO DO"), rows)


def events(told: Json) -> str:
    return "\n".join(event(one) for one in told["events"]) or "none"


def event(one: Json) -> str:
    who = f" [{one['by']} {one['from']}]" if one["by"] else ""
    about = f" {one['subject']}" if one["subject"] else ""
    return _plain(
        f"{moment(one['at'])} {one['severity']:<8} {one['kind']}{about}: {one['text']}{who}"
    )


def offers(told: Json) -> str:
    head = (
        f"received {told['received']}, taken {told['accepted']}, declined {told['declined']}, "
        f"void {told['void']}; held {told['held_mean_s'] * 1000:.1f} ms on average, "
        f"{told['held_max_s'] * 1000:.1f} ms at most; the last {span(told['last_age_s'])} ago"
    )
    why_not = [(n, reason) for reason, n in told["declined_for"].items()]
    blocked = list(told["blocked"].items())
    return "\n\n".join(
        [head, table(("DECLINED", "WHY"), why_not), table(("AGENT", "NO OFFER FITS"), blocked)]
    )


def capacity(told: Json) -> str:
    rows = [
        (
            f"{p['domain']}/{p['pool']}", f"{p['used_percent']} %", size(p["in_use_kb"]),
            size(p["capacity_kb"]), span(p["full_in_s"]),
            "lost data" if p["failed_kb"] else "rebuilding" if p["moving_kb"] else
            "degraded" if p["degraded_kb"] else "whole",
        )
        for p in told["pools"]
    ]  # fmt: skip
    return table(("POOL", "USED", "IN USE", "CAPACITY", "FULL IN", "HEALTH"), rows)


def settings(told: Json) -> str:
    rows = [(f"-{s['flag']}", _value(s["value"]), s["source"]) for s in told["settings"]]
    return table(("FLAG", "VALUE", "FROM"), rows)


def _value(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def rollout(told: Json) -> str:
    lines = [
        f"{told['state']}, stage {told['stage']}: {told['done']} of {told['concerned']} ready",
        told["why"],
        told["estimate"],
        f"under way: {', '.join(told['under_way'])}" if told["under_way"] else "",
        f"failed: {', '.join(told['failed'])}" if told["failed"] else "",
    ]
    return "\n".join(_plain(line) for line in lines if line)
