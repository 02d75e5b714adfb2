"""Every reply of ours: JSON or text, with known secrets replaced in each value."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

PROBLEM: Final = "application/problem+json"
_AGES: Final = re.compile(r'"(?:for_s|age_s|duration_s|last_age_s)":[0-9.e+-]+')

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


def tagged_reply(request: Request, value: object, redact: Redact) -> Response:
    """With an ETag over everything but ages; 304 where the caller has the same already."""
    text = json_text(value, redact)
    mark = hashlib.blake2b(_AGES.sub("", text).encode(), digest_size=12).hexdigest()
    headers = {"etag": f'W/"{mark}"', "cache-control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if mark in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    body = msgspec.json.format(text, indent=2) + "\n"
    return Response(body, headers=headers, media_type="application/json")


def text_reply(text: str, redact: Redact, status: int = 200) -> Response:
    return Response(redact(text), status_code=status, media_type="text/plain; charset=utf-8")


def error_reply(
    status: int, sentence: str, redact: Redact, headers: Mapping[str, str] | None = None
) -> Response:
    """What is wrong, in one line: RFC 9457. `error` says the same to older clients."""
    line = " ".join(sentence.split())
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": line,
        "error": line,
    }
    return Response(
        json_text(problem, redact) + "\n",
        status_code=status,
        headers=headers,
        media_type=PROBLEM,
    )
