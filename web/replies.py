"""Every reply of ours: JSON or text, with known secrets replaced in each value."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from starlette.responses import Response

Redact = Callable[[str], str]


def redacted(value: object, redact: Redact) -> object:
    """The same value with every text in it redacted. Names of fields are ours, and stay."""
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {name: redacted(inner, redact) for name, inner in value.items()}
        case list() | tuple():
            return [redacted(inner, redact) for inner in value]
        case _:
            return value


def json_text(value: object, redact: Redact) -> str:
    return msgspec.json.encode(redacted(value, redact)).decode()


def json_reply(value: object, redact: Redact, status: int = 200) -> Response:
    body = msgspec.json.format(json_text(value, redact), indent=2) + "\n"
    return Response(body, status_code=status, media_type="application/json")


def text_reply(text: str, redact: Redact, status: int = 200) -> Response:
    return Response(redact(text), status_code=status, media_type="text/plain; charset=utf-8")


def error_reply(
    status: int, sentence: str, redact: Redact, headers: Mapping[str, str] | None = None
) -> Response:
    """One line of JSON that says what is wrong."""
    line = " ".join(sentence.split())
    return Response(
        json_text({"error": line}, redact) + "\n",
        status_code=status,
        headers=headers,
        media_type="application/json",
    )
