"""The OpenAPI 3.1 document, made from the table of endpoints."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
from starlette.requests import Request

from web import schemas
from web.replies import PROBLEM
from web.schemas import Schema

JSON: Final = "application/json"
HTML: Final = "text/html"
TEXT: Final = "text/plain"
EVENTS: Final = "text/event-stream"
# What stands before every endpoint may answer, for what it says: see web.guard.
GUARD: Final = {
    401: "a token is wanted, or another one",
    408: "the request came too slowly",
    411: "its length is not told",
    413: "it is too long",
    421: "we are not called by this host name",
    429: "too many requests: see Retry-After",
    431: "the headers are too long",
    503: "too much is under way, or nothing is known yet",
}


@attrs.frozen(kw_only=True)
class Endpoint:
    path: str
    answer: Callable[[Request], Awaitable[Any]]  # a Response, or the event stream
    summary: str
    method: str = "GET"
    media: str = JSON  # what it answers with
    shape: Schema = attrs.field(factory=dict)  # of the answer, where it is JSON
    query: tuple[tuple[str, Schema], ...] = ()
    tagged: bool = False  # knows If-None-Match
    refusals: tuple[int, ...] = ()
    body: Schema | None = None  # of what is sent; None: nothing is read

    @property
    def documented(self) -> str:
        """Without the router's own mark for a part that may hold slashes."""
        return self.path.replace(":path}", "}")


def document(table: tuple[Endpoint, ...], version: str) -> dict[str, object]:
    paths: dict[str, dict[str, object]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.documented, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ScaleIO framework",
            "version": version,
            "description": "Reading needs no secret unless a viewer's token is set; changes need "
            "the operator's bearer token. Times are unix seconds, those that end in _s seconds.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": schemas.PROBLEM},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, object]:
    error = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    replies: dict[str, object] = {
        str(status): {"description": GUARD.get(status, "refused, with one line"), "content": error}
        for status in sorted({*endpoint.refusals, *GUARD})
    }
    done = "202" if endpoint.method == "POST" else "200"
    content = {"schema": endpoint.shape} if endpoint.shape else {}
    replies[done] = {"description": endpoint.summary, "content": {endpoint.media: content}}
    if endpoint.tagged:
        replies["304"] = {"description": "the same as under the ETag in If-None-Match"}
    if endpoint.path == "/readyz":
        replies["503"] = {
            "description": "not ready yet",
            "content": {**error, JSON: {"schema": schemas.HEALTH}},
        }
    if endpoint.path == "/v1/permits/{permit_id}":
        for status in ("404", "409", "503"):
            replies[status] = {
                "description": "not now, for this reason",
                "content": {**error, TEXT: {}},
            }
    operation: dict[str, object] = {
        "operationId": _id_of(endpoint),
        "summary": endpoint.summary,
        "responses": replies,
    }
    parameters = _parameters(endpoint)
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": endpoint.body}}}
    if endpoint.method == "POST":
        operation["security"] = [{"token": []}]
    return operation


def _id_of(endpoint: Endpoint) -> str:
    words = re.findall(r"\w+", endpoint.documented) or ["page"]
    return "_".join([endpoint.method.lower(), *words])


def _parameters(endpoint: Endpoint) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.documented)
    ]
    found += [{"name": name, "in": "query", "schema": schema} for name, schema in endpoint.query]
    if endpoint.tagged:
        found.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}})
    if endpoint.method == "POST":
        schema = {"type": "string", "minLength": 1, "maxLength": 128}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": schema})
    return found
