"""The lists of the API and of the page: agents, steps, devices, offers, events, settings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from starlette.datastructures import QueryParams

from actors.board import AgentSnapshot, Board
from domain.agent import Phase, Run
from domain.chronicle import KINDS, Entry
from domain.storage_health import NO_OUTLOOK, used_percent
from domain.trends import Trend
from flags.flag import Flag, without_credentials
from flags.secret import STARS, Secret
from settings import FLAGS, Settings
from web.query import Query, number_of, read_query, text_of, words_of
from web.views import ATTENTION, Times, agent_line, percent_used, plain

PHASES: Final = tuple(phase.value for phase in Phase)
EVENTS_SHOWN: Final = 200
AGENT_SORTS: Final = ("attention", "host", "phase", "since", "step", "fault_set")
_RANK: Final = {phase.value: place for place, phase in enumerate(ATTENTION)}
_DIGITS: Final = re.compile(r"(\d+)")


def natural(text: str) -> tuple[object, ...]:
    """agent2 before agent10."""
    parts = _DIGITS.split(text)
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts))


# --- agents ---------------------------------------------------------------------------------------


def chosen_agents(
    board: Board, given: QueryParams, *, limit: int = 0
) -> tuple[Query, list[AgentSnapshot]]:
    """All that fit, in the order that is asked for. Raises QueryError."""
    query = read_query(given, sorts=AGENT_SORTS, limit=limit, also=("phase", "fault_set"))
    phases = words_of(given, "phase", PHASES)
    fault_set = text_of(given, "fault_set")
    found = [
        agent
        for agent in board.agents.values()
        if (not phases or agent.phase in phases)
        and (not fault_set or agent.layout.fault_set == fault_set)
        and (not query.q or _has(board, agent, query))
    ]
    return query, sorted(found, key=_ORDERS[query.sort or "host"], reverse=query.desc)


def _has(board: Board, agent: AgentSnapshot, query: Query) -> bool:
    return query.has(agent.host, agent.address, agent.step, agent.error, board.why_waiting(agent))


def by_attention(agent: AgentSnapshot) -> tuple[object, ...]:
    """Those that need somebody's eye first, then by name."""
    return _RANK.get(agent.phase, len(_RANK)), natural(agent.host)


_ORDERS: Final[Mapping[str, Callable[[AgentSnapshot], Any]]] = {
    "attention": by_attention,
    "host": lambda a: natural(a.host),
    "phase": lambda a: (PHASES.index(a.phase) if a.phase in PHASES else 0, natural(a.host)),
    "since": lambda a: (a.since, natural(a.host)),
    "step": lambda a: (a.step, natural(a.host)),
    "fault_set": lambda a: (a.layout.fault_set, natural(a.host)),
}


def agents(board: Board, times: Times, given: QueryParams) -> dict[str, object]:
    query, found = chosen_agents(board, given)
    return {
        **query.about(len(found)),
        "agents": [agent_line(a, times, board.why_waiting(a)) for a in query.page(found)],
    }


# --- one agent's steps and devices ----------------------------------------------------------------


def run_line(run: Run) -> dict[str, object]:
    number = run.task_id.rsplit(".", 3)[2] if run.task_id.count(".") >= 3 else ""
    return {
        "step": run.step,
        "task_id": run.task_id,
        "attempt": int(number) if number.isdigit() else None,
        "wanted_at": run.wanted_at,
        "began": run.began,
        "ended": run.ended,
        "duration_s": round(run.ended - run.began, 3) if 0 < run.began <= run.ended else None,
        "exit_code": run.exit_code,
        "outcome": run.outcome,
        "tail": run.said,
    }


def steps(agent: AgentSnapshot, times: Times) -> dict[str, object]:
    """What is planned, what runs, and what has run, the newest first."""
    running: dict[str, object] | None = None
    if agent.task_id:
        running = {
            "step": agent.step,
            "task_id": agent.task_id,
            "began": agent.began,
            "duration_s": times.since_unix(agent.began)["for_s"] if agent.began else None,
        }
    return {
        "host": agent.host,
        "plan": [plain(step) for step in agent.plan],
        "running": running,
        "steps": [run_line(run) for run in reversed(agent.runs)],
        "attempts": dict(agent.attempts),
        "tail": agent.tail,
    }


def strip(agent: AgentSnapshot, times: Times) -> list[dict[str, object]]:
    """Its runs as bars on a line of 1000: where each begins, and how long it is."""
    bars = [(run.began or run.wanted_at, run.ended, run.step, run.outcome) for run in agent.runs]
    if agent.task_id and agent.began:
        bars.append((agent.began, times.wall(), agent.step, "running"))
    bars = [bar for bar in bars if bar[0]]
    if not bars:
        return []
    first = min(began for began, *_ in bars)
    wide = max(max(ended for _, ended, *_ in bars) - first, 1.0)
    return [
        {
            "x": round(1000 * (began - first) / wide, 1),
            "width": round(max(3.0, 1000 * (ended - began) / wide), 1),
            "step": step,
            "outcome": outcome,
        }
        for began, ended, step, outcome in bars
    ]


TAKES: Final = ("empty", "declared", "overwrite")  # rules of domain.devices that take a disk


def device_lines(agent: AgentSnapshot) -> list[dict[str, object]]:
    """`state`: taken, wanted (it passed all rules so far), left."""
    disks = {
        name: disk
        for disk in (agent.facts.disks if agent.facts else ())
        for name in (disk.path, disk.by_id, *disk.links)
        if name
    }
    return [
        {
            "host": agent.host,
            "path": path,
            "verdict": verdict,
            "rule": (rule := verdict.partition(":")[0]),
            "taken": verdict.startswith("in pool "),
            "state": "taken"
            if verdict.startswith("in pool ")
            else "wanted"
            if rule in TAKES
            else "left",
            "size_bytes": disks[path].size_bytes if path in disks else None,
        }
        for path, verdict in agent.devices
    ]


def devices(board: Board, given: QueryParams) -> dict[str, object]:
    """Of all agents."""
    query = read_query(given, sorts=("host", "rule"), also=("host", "taken"))
    host = text_of(given, "host")
    taken = {"yes": True, "no": False}.get("".join(words_of(given, "taken", ("yes", "no"))))
    found = [
        line
        for _, agent in sorted(board.agents.items(), key=lambda item: natural(item[0]))
        if not host or agent.host == host
        for line in device_lines(agent)
        if taken in (None, line["taken"])
        and query.has(agent.host, str(line["path"]), str(line["verdict"]))
    ]
    if query.sort == "rule":
        found.sort(key=lambda line: str(line["rule"]))
    if query.desc:
        found.reverse()
    return {**query.about(len(found)), "devices": list(query.page(found))}


# --- capacity -------------------------------------------------------------------------------------


def capacity(board: Board, times: Times) -> dict[str, object]:
    """Each pool's sizes in KB, when it will be full, and how its use went: [unix, KB]."""
    storage = board.gateway.storage
    if storage is None:
        return {"error": board.gateway.error, "pools": []}
    domains = {domain.id: domain.name for domain in storage.domains}
    no_trend = Trend(every_s=1.0)
    return {
        "error": board.gateway.error,
        "pools": [
            {
                "domain": domains.get(pool.domain_id, ""),
                "pool": pool.name,
                "capacity_kb": pool.capacity_kb,
                "in_use_kb": pool.in_use_kb,
                "spare_kb": pool.spare_kb,
                "available_kb": pool.available_kb,
                "degraded_kb": pool.degraded_kb,
                "failed_kb": pool.failed_kb,
                "moving_kb": pool.moving_kb,
                "provisioned_kb": pool.provisioned_kb,
                "used_percent": used_percent(pool),
                "of_capacity_percent": percent_used(pool),
                "full_in_s": board.outlooks.get(pool.id, NO_OUTLOOK).full_in_s,
                "moved_in_s": board.outlooks.get(pool.id, NO_OUTLOOK).moved_in_s,
                "moved_percent": board.outlooks.get(pool.id, NO_OUTLOOK).moved_percent,
                "read_kbps": pool.read_kbps,
                "write_kbps": pool.write_kbps,
                "trend": [
                    [times.unix(at), amount]
                    for at, amount in board.fill.get(pool.id, no_trend).readings
                ],
            }
            for pool in sorted(storage.pools, key=lambda pool: (pool.domain_id, pool.name))
        ],
    }


# --- offers ---------------------------------------------------------------------------------------


def offers(board: Board, times: Times) -> dict[str, object]:
    """Since the process began; `recent`: the last events of offers, the newest first."""
    tally = board.offers
    answered = tally.accepted + tally.declined
    why: Counter[str] = Counter()
    for answer in board.answers:
        why.update(answer.why)
    return {
        "received": tally.received,
        "accepted": tally.accepted,
        "declined": tally.declined,
        "void": tally.void,
        "held_mean_s": round(tally.held_s / answered, 6) if answered else 0.0,
        "held_max_s": round(tally.held_max_s, 6),
        "last_age_s": times.since_unix(board.answers[-1].at)["for_s"] if board.answers else None,
        "declined_for": dict(why.most_common(20)),
        "recent": [
            {
                "at": answer.at,
                "offers": answer.offers,
                "accepted": list(answer.accepted),
                "declined": answer.offers - len(answer.accepted),
                "why": dict(answer.why),
            }
            for answer in reversed(board.answers)
        ],
        "blocked": {host: text for host, text in sorted(board.verdicts.items()) if text},
    }


def offer_of(board: Board, agent: AgentSnapshot) -> dict[str, object]:
    """How Mesos' offers of this agent went: what is wanted, and when one was taken."""
    taken = [answer.at for answer in board.answers if agent.host in answer.accepted]
    return {
        "wanted": bool(agent.task_id and not agent.began),
        "verdict": board.verdicts.get(agent.host, ""),
        "maintenance": board.maintenance.get(agent.host, ""),
        "accepted_at": taken[:-11:-1],
    }


# --- events ---------------------------------------------------------------------------------------


def event_line(entry: Entry) -> dict[str, object]:
    return {**attrs.asdict(entry), "from": entry.source}


def events(board: Board, given: QueryParams) -> dict[str, object]:
    """The oldest first, after the id that is given; without one the last ones."""
    query = read_query(given, limit=EVENTS_SHOWN, also=("after", "kind", "subject"))
    kinds = words_of(given, "kind", KINDS)
    subject = text_of(given, "subject")
    chronicle = board.chronicle
    if "after" in given:
        after = number_of(given, "after", 0, 10**17)
        found = chronicle.after(after, kinds=kinds, subject=subject)
    else:
        found = chronicle.last(10**6, kinds=kinds, subject=subject)[::-1]
    found = [entry for entry in found if query.has(entry.subject, entry.text, entry.by)]
    limit = query.limit or len(found)
    shown = found[query.offset :][:limit] if "after" in given else found[-limit:]
    return {
        "events": [event_line(entry) for entry in shown],
        "next": shown[-1].id if shown else chronicle.last_id,
        "gap": "after" in given and chronicle.has_gap_after(number_of(given, "after", 0, 10**17)),
    }


# --- settings -------------------------------------------------------------------------------------


def settings_list(settings: Settings) -> dict[str, object]:
    """Each flag's value as it is in effect, and where it came from. Secrets are stars."""
    return {
        "settings": [
            {
                "flag": flag.name,
                "value": _value(flag, settings),
                "default": _shown(flag.default),
                "source": settings.sources.get(flag.name, "default"),
                "meaning": flag.explained,
            }
            for flag in FLAGS
        ],
        "warnings": list(settings.warnings),
    }


def _value(flag: Flag, settings: Settings) -> object:
    value = getattr(settings, flag.attribute)
    field = getattr(attrs.fields(Settings), flag.attribute)
    if value and (flag.masked or not field.repr):
        return STARS  # it may hold a secret, whole or in part
    return _shown(value)


def _shown(value: object) -> object:
    match value:
        case Secret():
            return STARS if value else ""
        case bool() | int() | float() | None:
            return value
        case tuple() | list() | frozenset():
            return [_shown(one) for one in value]
        case _:
            return without_credentials(str(value))
