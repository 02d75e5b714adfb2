"""structlog to stderr: one JSON object a line, or lines for people; secrets are hidden in both."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

from settings import Redactor

Line = Callable[[str], None]


def configure(
    *,
    level: str,
    style: str,
    redactor: Redactor,
    out: TextIO | None = None,
    tap: Line | None = None,
) -> None:
    """`tap` gets every line after redaction, whatever the level: the secrets checker's ear."""
    render: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )

    def finish(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
        severity = levels[str(event["level"]).upper()]
        text = redactor(str(render(None, "", event)))
        if tap is not None:
            tap(text)
        if severity < number:
            raise structlog.DropEvent
        return text

    levels = logging.getLevelNamesMapping()
    number = levels.get(level.upper(), logging.INFO)
    heard = number if tap is None else logging.DEBUG
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            finish,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(heard),
        logger_factory=structlog.PrintLoggerFactory(out or sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_in_libraries()


class _Libraries(logging.Handler):
    """What libraries warn of, as lines of ours: in the same form, with secrets hidden."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), library=record.name)


def _take_in_libraries() -> None:
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Libraries)]:
        root.removeHandler(old)
    root.addHandler(_Libraries(level=logging.WARNING))
