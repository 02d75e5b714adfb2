"""The page's templates, style and script: held in memory from the start, nothing from elsewhere."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Final

import jinja2
import jinja2.runtime
from markupsafe import Markup

from web.replies import Redact

_UNITS: Final = ("KB", "MB", "GB", "TB", "PB")
# Icon and tone of each word that is shown as a state: never colour alone.
ICONS: Final[Mapping[str, tuple[str, str]]] = {
    "ready": ("✓", "good"), "ok": ("✓", "good"), "held": ("‖", "rest"), "retired": ("·", "rest"),
    "satisfied": ("✓", "good"), "running": ("◐", "work"), "wanted": ("○", "wait"),
    "blocked": ("▲", "warn"), "ignored": ("·", "rest"), "later": ("○", "wait"),
    "withdrawn": ("·", "rest"), "failed": ("✕", "bad"), "lost": ("?", "bad"),
    "seen": ("○", "wait"), "surveying": ("◐", "work"), "installing": ("◐", "work"),
    "joining": ("◐", "work"), "activating": ("◐", "work"), "reboot_wanted": ("○", "wait"),
    "rebooting": ("↻", "warn"), "draining": ("◐", "warn"), "critical": ("✕", "bad"),
    "error": ("✕", "bad"), "warning": ("▲", "warn"), "info": ("i", "rest"),
    "subscribed": ("✓", "good"), "paused": ("‖", "warn"), "aborted": ("✕", "bad"),
    "halted": ("✕", "bad"), "asking": ("?", "warn"), "whole": ("✓", "good"),
    "backing-off": ("▲", "warn"), "quarantined": ("✕", "bad"), "starting": ("◐", "work"),
    "stopped": ("·", "rest"),
}  # fmt: skip
CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 120


def size(kb: float) -> str:
    amount = float(kb)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "KB" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {_UNITS[-1]}"


def span(seconds: float | None) -> str:
    """Rough, for people: 42 s, 7 min, 3 h, 12 d."""
    if seconds is None:
        return ""
    for limit, length, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds / 86400)} d"


@jinja2.pass_context
def state(context: jinja2.runtime.Context, word: str, shown: str | None = "") -> Markup:
    """A state as icon, word and colour."""
    icon, tone = ICONS.get(word, ("•", "rest"))
    redact: Redact = context["redact"]
    return Markup(
        '<span class="state {}"><span class="icon" aria-hidden="true">{}</span> {}</span>'
    ).format(tone, icon, redact(shown or word.replace("_", " ")))


def moment(unix: float) -> Markup:
    """A point in time; the script shows it in the reader's own zone."""
    if not unix:
        return Markup("")
    return Markup('<time data-unix="{}">{}</time>').format(f"{unix:.3f}", utc(unix))


def utc(unix: float) -> str:
    """`2026-11-23 21:04:05Z`."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def line_points(readings: Sequence[Sequence[float]], top: float) -> str:
    """SVG points of a trend: the newest reading at the right, `top` at the upper edge."""
    if not readings:
        return ""
    first, last = readings[0][0], readings[-1][0]
    wide = max(last - first, 1.0)
    high = max(top, 1.0)
    return " ".join(
        f"{CHART_WIDTH * (at - first) / wide:.1f},{CHART_HEIGHT * (1 - min(1.0, y / high)):.1f}"
        for at, y in readings
    )


def arcs(counts: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """Parts of a ring of circumference 100: (word, dash array, dash offset)."""
    total = sum(counts.values())
    found, turned = [], 25.0  # begins at the top
    for word, count in counts.items():
        if count:
            share = 100 * count / total
            found.append((word, f"{share:.3f} {100 - share:.3f}", f"{turned:.3f}"))
            turned = math.fmod(turned - share + 100, 100)
    return found


@jinja2.pass_context
def _finalize(context: jinja2.runtime.Context, value: object) -> object:
    """Each value is redacted before it is escaped."""
    redact: Redact = context["redact"]
    if isinstance(value, Markup):
        return Markup(redact(value))  # noqa: S704 - escaped where it was made
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
    environment.filters |= {
        "size": size,
        "span": span,
        "state": state,
        "moment": moment,
        "points": line_points,
        "arcs": arcs,
        "tone": lambda word: ICONS.get(word, ("", "rest"))[1],
    }
    environment.globals |= {"chart_width": CHART_WIDTH, "chart_height": CHART_HEIGHT}
    return environment


class Page:
    """Everything is read and compiled when this is made; rendering touches no file."""

    def __init__(self, redact: Redact) -> None:
        self.script: Final = _texts()["page.js"]
        self.style: Final = _texts()["page.css"]
        self._redact: Final = redact

    def render(self, view: str, values: Mapping[str, object], *, part: bool) -> str:
        """`part`: only what changes, for the script; else the whole page."""
        template = _environment().get_template(f"{view}.html")
        frame = "part.html" if part else "base.html"
        return template.render(**values, frame=frame, redact=self._redact)
