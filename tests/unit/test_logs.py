"""Log lines: what libraries say comes in the same form, with secrets hidden."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from commands import logs
from settings import Redactor, Secret

SECRET = "Quite-Another-Tree-9"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = list(root.handlers)
    stream = io.StringIO()
    for _ in range(2):  # a second configuration replaces the first one
        redactor = Redactor([Secret(SECRET)])
        logs.configure(level="warning", style="json", redactor=redactor, out=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before


def test_a_librarys_warning_is_one_line_of_ours(out: io.StringIO) -> None:
    logging.getLogger("some.library").warning("cannot log in as %s", f"admin:{SECRET}")
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert told["event"] == "cannot log in as admin:***"
    assert (told["library"], told["level"]) == ("some.library", "warning")


def test_a_librarys_chatter_is_left_out(out: io.StringIO) -> None:
    chatty = logging.getLogger("some.library.chatty")
    chatty.setLevel(logging.DEBUG)
    chatty.info("sending 12 bytes")
    assert out.getvalue() == ""
