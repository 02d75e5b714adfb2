"""What each view of the page is made of: values for its template, read off the board."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import attrs
from starlette.datastructures import QueryParams

from actors.board import AgentSnapshot, Board
from domain.chronicle import KINDS
from domain.words import WORDS
from settings import Settings
from web import introspection, lists, removal, views
from web.lists import AGENT_SORTS, PHASES
from web.query import Query, QueryError, number_of, read_query
from web.views import Times
from web.why_cluster import Explainer

ROWS: Final = 100  # of a table, where the reader asks for no other number
ROWS_MAX: Final = 1000
TAIL_CHARACTERS_MAX: Final = 8000
RECENT: Final = 20
TASKS_SHOWN: Final = 300  # of Trio's task tree; all of it has its own address
# view -> (title, key after g)
VIEWS: Final[Mapping[str, tuple[str, str]]] = {
    "overview": ("Overview", "o"),
    "agents": ("Agents", "a"),
    "devices": ("Devices", "d"),
    "rollout": ("Rollout", "r"),
    "capacity": ("Capacity", "c"),
    "health": ("Health", "h"),
    "offers": ("Offers", "f"),
    "events": ("Events", "e"),
    "settings": ("Settings", "s"),
    "debug": ("Debug", "b"),
}
# What an agent can be told in each phase, the most likely first; the others are under "more".
LIKELY: Final[Mapping[str, tuple[str, ...]]] = {
    "failed": ("retry", "hold", "drain"),
    "held": ("resume", "drain"),
    "lost": ("replace", "hold"),
    "retired": ("resume",),
    "draining": ("resume", "hold"),
    "ready": ("hold", "reboot", "drain"),
}


@attrs.frozen(kw_only=True)
class Scene:
    board: Board
    settings: Settings
    times: Times
    version: str
    query: QueryParams
    path: str = "/ui"

    @property
    def explainer(self) -> Explainer:
        return Explainer(self.board, self.times)


def frame(scene: Scene, view: str) -> dict[str, Any]:
    """What stands around every view."""
    board = scene.board
    word, reasons = views.verdict(board)
    return {
        "view": view,
        "views": VIEWS,
        "title": VIEWS[view][0] if view in VIEWS else "Agent",
        "version": scene.version,
        "mode": scene.settings.mode,
        "debug": scene.settings.debug,
        "verdict": word,
        "reasons": reasons,
        "now": scene.times.wall(),
        "may_change": bool(scene.settings.rest_token),
        "query": dict(scene.query),
        "words": WORDS,
    }


def overview(scene: Scene) -> dict[str, Any]:
    board, times = scene.board, scene.times
    return {
        "phases": views.phases(board),
        "agents": len(board.agents),
        "link": board.link,
        "gateway": board.gateway,
        "gateway_address": scene.settings.gateway_address,
        "system": board.gateway.storage,
        "system_age_s": times.age(board.gateway.storage.taken_at) if board.gateway.storage else 0,
        "store": board.store_kind,
        "store_fault": board.store_fault,
        "pools": lists.capacity(board, times)["pools"],
        "rollout": board.rollout,
        "rollout_why": scene.explainer.rollout(),
        "offers": lists.offers(board, times),
        "conditions": views.conditions(board, times)[:RECENT],
        "events": [lists.event_line(one) for one in board.chronicle.last(RECENT)],
        "attention": _rows(scene, views.attention(board)[:RECENT]),
    }


def agents(scene: Scene) -> dict[str, Any]:
    query, found = lists.chosen_agents(scene.board, scene.query, limit=ROWS)
    if not query.sort:
        found.sort(key=lists.by_attention)
    limited = _bounded(query)
    return {
        "phases": views.phases(scene.board),
        "known_phases": PHASES,
        "sorts": AGENT_SORTS,
        "chosen": query,
        "rows": _rows(scene, limited.page(found)),
        "pager": pager(scene, limited, len(found)),
        "link_to": _linker(scene),
    }


def agent(scene: Scene, shown: AgentSnapshot) -> dict[str, Any]:
    board, times = scene.board, scene.times
    told = lists.steps(shown, times)
    kept = scene.settings
    return {
        "agent": shown,
        "line": views.agent_line(shown, times, board.why_waiting(shown)),
        "why": scene.explainer.agent(shown),
        "steps": told,
        "strip": lists.strip(shown, times),
        "devices": lists.device_lines(shown),
        "offer": lists.offer_of(board, shown),
        "facts": _facts(shown),
        "concerns": views.agent_whole(shown, times)["concerns"],
        "tail": shown.tail[-TAIL_CHARACTERS_MAX:],
        "events": [
            lists.event_line(one) for one in board.chronicle.last(RECENT, subject=shown.host)
        ],
        "likely": LIKELY.get(shown.phase, ("hold", "retry", "drain")),
        "removal": removal.plan(
            board,
            shown,
            keeps_sds=kept.components_sds == "ignore",
            keeps_sdc=kept.components_sdc == "ignore",
        ),
    }


def devices(scene: Scene) -> dict[str, Any]:
    found = lists.devices(scene.board, scene.query)
    query = read_query(scene.query, sorts=("host", "rule"), also=("host", "taken"), limit=ROWS)
    rows: Any = found["devices"]
    limited = _bounded(query)
    shown = rows if query.limit and "limit" in scene.query else limited.page(rows)
    total = number_of(QueryParams({"n": str(found["total"])}), "n", 0, 10**9)
    return {
        "rows": list(shown)[:ROWS_MAX],
        "chosen": query,
        "pager": pager(scene, limited, total),
        "link_to": _linker(scene),
    }


def rollout(scene: Scene) -> dict[str, Any]:
    board = scene.board
    waiting = [a for a in board.agents.values() if board.gate_verdicts.get(a.host)]
    waiting.sort(key=lambda a: (a.since, lists.natural(a.host)))
    under_way = [board.agents[h] for h in board.rollout.under_way if h in board.agents]
    failed = [board.agents[h] for h in board.rollout.failed if h in board.agents]
    return {
        "rollout": board.rollout,
        "why": scene.explainer.rollout(),
        "phases": views.phases(board),
        "under_way": _rows(scene, under_way[:ROWS]),
        "under_way_total": len(under_way),
        "waiting": _rows(scene, waiting[:ROWS]),
        "waiting_total": len(waiting),
        "failed": _rows(scene, failed[:ROWS]),
        "deactivated": board.deactivated,
        "limits": {
            "parallel": scene.settings.rollout_parallel,
            "reboots": scene.settings.reboots_at_a_time,
        },
        "conflicts": views.plan(board, scene.settings)["conflicts"]
        if len(board.agents) <= ROWS_MAX
        else [],
    }


def capacity(scene: Scene) -> dict[str, Any]:
    found: Any = lists.capacity(scene.board, scene.times)
    pools = [
        {**pool, "why": scene.explainer.pool(pool["domain"], pool["pool"])}
        for pool in found["pools"]
    ]
    return {
        "pools": pools,
        "error": found["error"],
        "high": scene.settings.health_capacity_high,
        "critical": scene.settings.health_capacity_critical,
    }


def health(scene: Scene) -> dict[str, Any]:
    return {
        "conditions": views.conditions(scene.board, scene.times),
        "notices": scene.board.notices,
        "leaving": scene.board.leaving,
        "silences": scene.board.silences,
    }


def offers(scene: Scene) -> dict[str, Any]:
    return {"offers": lists.offers(scene.board, scene.times)}


def events(scene: Scene) -> dict[str, Any]:
    found: Any = lists.events(scene.board, scene.query)
    return {
        "events": found["events"][::-1],
        "kinds": KINDS,
        "gap": found["gap"],
        "chosen": read_query(scene.query, also=("after", "kind", "subject")),
    }


def settings(scene: Scene) -> dict[str, Any]:
    query = read_query(scene.query)
    found: Any = lists.settings_list(scene.settings)
    rows = [r for r in found["settings"] if query.has(r["flag"], r["meaning"], str(r["value"]))]
    return {"rows": rows, "warnings": found["warnings"], "chosen": query}


def debug(scene: Scene) -> dict[str, Any]:
    """Every actor, the busiest first; the task tree has its own address."""
    query = read_query(scene.query, limit=ROWS)
    found: Any = introspection.actors(scene.board)["actors"]
    found = [a for a in found if query.has(a["name"], a["phase"], a["waiting_for"])]
    found.sort(key=lambda a: (a["phase"] == "running", -a["mailbox_depth"], -a["mailbox_peak"]))
    limited = _bounded(query)
    return {
        "rows": limited.page(found),
        "pager": pager(scene, limited, len(found)),
        "chosen": query,
        "revision": scene.board.revision,
        "tree": introspection.tasks_text(introspection.tasks()[:TASKS_SHOWN]),
        "link_to": _linker(scene),
    }


MAKERS: Final[Mapping[str, Callable[[Scene], dict[str, Any]]]] = {
    "overview": overview,
    "agents": agents,
    "devices": devices,
    "rollout": rollout,
    "capacity": capacity,
    "health": health,
    "offers": offers,
    "events": events,
    "settings": settings,
    "debug": debug,
}


# --- parts ----------------------------------------------------------------------------------------


def _rows(scene: Scene, shown: Any) -> list[dict[str, object]]:
    return [
        {
            **views.agent_line(one, scene.times, scene.board.why_waiting(one)),
            "taken": sum(verdict.startswith("in pool ") for _, verdict in one.devices),
            "disks": len(one.devices),
            "done": sum(s.state in ("satisfied", "ignored") for s in one.plan),
            "steps": len(one.plan),
            "tries": max(one.attempts.values(), default=0),
        }
        for one in shown
    ]


def _facts(shown: AgentSnapshot) -> list[tuple[str, str]]:
    facts = shown.facts
    if facts is None:
        return []
    told = {
        "operating system": f"{facts.os_id} {facts.os_version}".strip(),
        "kernel": facts.kernel,
        "machine id": facts.machine_id,
        "boot id": facts.boot_id,
        "packages": ", ".join(f"{name} {version}" for name, version in facts.packages.items()),
        "SDC": facts.sdc_guid,
    }
    return [(name, text) for name, text in told.items() if text]


def _bounded(query: Query) -> Query:
    return attrs.evolve(query, limit=min(query.limit or ROWS_MAX, ROWS_MAX))


def pager(scene: Scene, query: Query, total: int) -> dict[str, object]:
    """Where we are in a long table, and the addresses of its neighbours."""
    last = max(0, (total - 1) // query.limit * query.limit)
    places = {
        "first": 0 if query.offset else None,
        "before": max(0, query.offset - query.limit) if query.offset else None,
        "after": query.offset + query.limit if query.offset + query.limit < total else None,
        "last": last if query.offset < last else None,
    }
    link_to = _linker(scene)
    return {
        "total": total,
        "from": min(query.offset + 1, total),
        "to": min(query.offset + query.limit, total),
        **{
            name: None if offset is None else link_to(offset=str(offset))
            for name, offset in places.items()
        },
    }


def _linker(scene: Scene) -> Callable[..., str]:
    """This view's address with other parameters; an empty one is left out."""

    def link_to(**changed: str) -> str:
        if "offset" not in changed:
            changed["offset"] = ""
        together = {**dict(scene.query), **changed}
        told = urlencode({name: text for name, text in together.items() if text})
        return f"{scene.path}?{told}" if told else scene.path

    return link_to


__all__ = ["MAKERS", "VIEWS", "QueryError", "Scene", "agent", "frame"]
