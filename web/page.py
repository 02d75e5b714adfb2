"""The status page: template, style and script are held in memory from the start."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Final

import jinja2
import jinja2.runtime

from actors.board import Board
from domain.agent import Phase
from settings import Settings
from web import views
from web.replies import Redact
from web.views import Times

AGENTS_SHOWN_MAX: Final = 500  # a browser stays quick; the rest is under /v1/agents
TAIL_CHARACTERS_MAX: Final = 4000
_UNITS: Final = ("KB", "MB", "GB", "TB", "PB")


def size(kb: int) -> str:
    amount = float(kb)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "KB" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {_UNITS[-1]}"


def span(seconds: float) -> str:
    """Rough, for people: 42 s, 7 min, 3 h, 12 d."""
    for limit, length, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds / 86400)} d"


@jinja2.pass_context
def _finalize(context: jinja2.runtime.Context, value: object) -> object:
    """Each value is redacted before it is escaped."""
    redact: Redact = context["redact"]
    return redact(value) if isinstance(value, str) else value


@functools.cache
def _texts() -> dict[str, str]:
    folder = resources.files("web") / "templates"
    return {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.is_file()}


@functools.cache
def _environment() -> jinja2.Environment:
    """Compiled once: a simulation makes many apps."""
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.DictLoader(_texts()),
    )
    environment.filters |= {"size": size, "span": span}
    return environment


class Page:
    """Everything is read and compiled when this is made; rendering touches no file."""

    def __init__(self, redact: Redact) -> None:
        self.script: Final = _texts()["page.js"]
        self.style: Final = _texts()["page.css"]
        self._redact: Final = redact
        self._whole: Final = _environment().get_template("page.html")
        self._live: Final = _environment().get_template("live.html")

    def whole(self, board: Board, settings: Settings, times: Times, version: str) -> str:
        return self._render(self._whole, context(board, settings, times, version))

    def live(self, board: Board, settings: Settings, times: Times, version: str) -> str:
        """The part that changes."""
        return self._render(self._live, context(board, settings, times, version))

    def _render(self, template: jinja2.Template, values: dict[str, object]) -> str:
        return template.render(values, redact=self._redact)


def context(board: Board, settings: Settings, times: Times, version: str) -> dict[str, object]:
    agents = views.agents_in_order(board)
    seen = board.gateway.storage
    return {
        "version": version,
        "settings": settings,
        "board": board,
        "gateway": board.gateway,
        "link": board.link,
        "system": seen,
        "system_age_s": times.age(seen.taken_at) if seen else 0.0,
        "pools": views.pools(seen) if seen else [],
        "conditions": views.conditions(board, times),
        "phases": views.phases(board),
        "rollout": board.rollout,
        "legend": [phase.value for phase in Phase],
        "agents": [
            {
                **views.agent_line(agent, times, board.why_waiting(agent)),
                "tail": agent.tail[-TAIL_CHARACTERS_MAX:],
                "plan": agent.plan,
                "devices": agent.devices,
            }
            for agent in agents[:AGENTS_SHOWN_MAX]
        ],
        "hidden": max(0, len(agents) - AGENTS_SHOWN_MAX),
    }
