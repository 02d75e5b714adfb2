"""What sub-commands share that ask a running scheduler: one GET or POST, and one line on error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from flags.flag import quoted
from install_steps.frames import SURVEY_CHARACTERS_MAX

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # of 10,000 agents, with room
TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)


class AskError(Exception):
    """No answer that is of use: one line with whom was asked, and what to do."""


def token_of(path: Path | None) -> str:
    """The bearer token in that file. Raises AskError."""
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AskError(f"--token-file {path} cannot be read: {error}") from None
    named = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    # NAME TOKEN, or TOKEN: the scheduler's own file will do.
    token = named[0][-1] if named and len(named[0]) <= 2 else text
    if not token or not token.isprintable() or not token.isascii():
        raise AskError(
            f"--token-file {path} holds no token: one line of printable text is expected"
        )
    return token


def ask(
    url: str, path: str, *, body: Mapping[str, object] | None = None, token: str = ""
) -> dict[str, object]:
    """The JSON object that the scheduler at `url` answers; a POST with a body. Raises AskError."""
    where = f"{url.rstrip('/')}{path}"
    method = "GET" if body is None else "POST"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        with (
            httpx.Client(timeout=TIMEOUT, trust_env=False) as client,
            client.stream(method, where, json=body, headers=headers) as answer,
        ):
            text = bytearray()
            for chunk in answer.iter_bytes():
                text += chunk
                if len(text) > ANSWER_BYTES_MAX:
                    raise AskError(f"{where}: the answer has more than {ANSWER_BYTES_MAX} bytes")
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        what = str(error) or type(error).__name__
        raise AskError(f"no scheduler answers at {url}: {what}: correct --url") from None
    return _decoded(bytes(text), status, where)


def _decoded(text: bytes, status: int, where: str) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AskError(
            f"{where}: status {status}, and no JSON object: is it a scheduler's address?"
        )
    if status >= 400:
        raise AskError(f"{where}: {status}: {value.get('error') or 'no reason is given'}")
    return value


def complain(name: str, error: Exception) -> int:
    """One line for people, and the status of bad input."""
    print(f"scaleio-scheduler {name}: {error}", file=sys.stderr)
    return 2


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows under each other, each column as wide as its widest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def attributes_of(given: Iterable[str]) -> dict[str, str]:
    """`--attribute NAME=VALUE` as Mesos would tell them. Raises AskError."""
    found: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise AskError(f"--attribute {quoted(one)}: give NAME=VALUE")
        found[name] = value
    return found


def survey_text(file: str) -> str:
    """The saved standard output of a survey; `-` reads ours. Raises AskError."""
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(SURVEY_CHARACTERS_MAX + 1)
        else:
            with Path(file).open("rb") as survey:
                raw = survey.read(SURVEY_CHARACTERS_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AskError(f"--survey {quoted(file)}: {reason}") from None
    return raw.decode("utf-8", "replace")
