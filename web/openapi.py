"""The table of endpoints, and the OpenAPI document that is made from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
from starlette.requests import Request

from web.site import COMMANDS, REMOVAL_WORDS, ROLLOUT_WORDS, Site

Schema = dict[str, object]

JSON: Final = "application/json"
HTML: Final = "text/html"
TEXT: Final = "text/plain"
REMOVAL: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "teardown": {"type": "boolean", "default": False},
        "confirm": {"type": "string", "description": "the framework's id, with teardown"},
    },
}


@attrs.frozen(kw_only=True)
class Endpoint:
    path: str
    answer: Callable[[Request], Awaitable[Any]]  # a Response, or the event stream
    summary: str
    method: str = "GET"
    media: str = JSON  # what it answers with
    refusals: tuple[int, ...] = ()
    body: Schema | None = None  # of what is sent; None: nothing is read

    @property
    def documented(self) -> str:
        """Without the router's own mark for a part that may hold slashes."""
        return self.path.replace(":path}", "}")


def endpoints(site: Site) -> tuple[Endpoint, ...]:
    """Every path there is, the fixed ones before those with a part to fill in."""

    def get(
        path: str, answer: Callable[[Request], Awaitable[Any]], summary: str, media: str = JSON
    ) -> Endpoint:
        refusals = (404,) if "{" in path else ()
        return Endpoint(path=path, answer=answer, summary=summary, media=media, refusals=refusals)

    return (
        get("/", site.ui, "Status page", HTML),
        get("/ui", site.ui, "Status page", HTML),
        get("/ui/live", site.ui_live, "The part of the status page that changes", HTML),
        get("/page.js", site.page_script, "Its script", "text/javascript"),
        get("/page.css", site.page_style, "Its style", "text/css"),
        get("/v1/agents", site.agents, "All agents; ?phase= picks one phase"),
        get("/v1/agents/{host}", site.agent, "One agent with plan, devices, facts, last error"),
        get("/v1/agents/{host}/uninstall", site.uninstall_plan, "What its removal takes away"),
        get("/v1/framework/uninstall", site.framework_uninstall_plan, "The same of all; the order"),
        get("/v1/conditions", site.conditions, "What an operator should know, the worst first"),
        get("/v1/storage", site.storage, "The storage cluster as last seen"),
        get("/v1/rollout", site.rollout_state, "How far the rollout is, and how long it will take"),
        get("/v1/plan", site.plan, "What is done and left to do on each agent"),
        get("/v1/status", site.status, "How the parts stand"),
        get("/events", site.events, "Server-sent events: `change`", "text/event-stream"),
        get("/healthz", site.healthz, "200 while the process works; reasons if degraded"),
        Endpoint(
            path="/readyz",
            answer=site.readyz,
            summary="200 once subscribed and the Gateway was read",
            refusals=(503,),
        ),
        get("/metrics", site.prometheus, "Metrics for Prometheus", TEXT),
        get("/debug/actors", site.debug_actors, "All actors"),
        get("/debug/actors/{name:path}", site.debug_actor, "One actor with its last messages"),
        get("/debug/tasks", site.debug_tasks, "Trio's tasks; JSON if accepted", TEXT),
        get("/version", site.original_version, "As the original"),
        get("/api/state", site.original_state, "As the original, without the password"),
        get("/v1/permits/{permit_id}", site.permit, "May this host reboot now: 200 only", TEXT),
        *_orders(site),
    )


def _orders(site: Site) -> tuple[Endpoint, ...]:
    """What changes anything: the framework's before those with a part to fill in."""
    return (
        Endpoint(
            path="/v1/framework/register",
            answer=site.register,
            summary="Register as a new framework, where ours is removed or torn down",
            method="POST",
            refusals=(401, 403, 409),
        ),
        Endpoint(
            path="/v1/framework/uninstall",
            answer=site.framework_uninstall,
            summary="Take every agent out of use, and at last end the framework if wished",
            method="POST",
            refusals=(400, 401, 403, 409, 413, 503),
            body=REMOVAL,
        ),
        Endpoint(
            path="/v1/framework/resume",
            answer=site.framework_resume,
            summary="Call the removal of the framework off, before it is torn down",
            method="POST",
            refusals=(401, 403, 409, 503),
        ),
        Endpoint(
            path="/v1/rollout/{word}",
            answer=site.rollout_order,
            summary=f"Tell the rollout: {', '.join(ROLLOUT_WORDS)}",
            method="POST",
            refusals=(401, 403, 404, 409, 503),
        ),
        Endpoint(
            path="/v1/storage/{kind}/{id}/{word}",
            answer=site.storage_removal,
            summary=f"Tell about a device, sds, sdc, pool or domain: {', '.join(REMOVAL_WORDS)}",
            method="POST",
            refusals=(401, 403, 404, 409, 503),
        ),
        Endpoint(
            path="/v1/agents/{host}/{command}",
            answer=site.command,
            summary=f"Tell an agent: {', '.join(COMMANDS)}",
            method="POST",
            refusals=(401, 403, 404, 409, 503),
        ),
    )


def document(table: tuple[Endpoint, ...], version: str) -> dict[str, object]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, object]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.documented, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ScaleIO framework",
            "version": version,
            "description": "Reading needs no secret; changes need the bearer token.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, object]:
    error = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    replies: dict[str, object] = {
        str(status): {"description": "refused, with one line", "content": error}
        for status in endpoint.refusals
    }
    done = "202" if endpoint.method == "POST" else "200"
    replies[done] = {"description": endpoint.summary, "content": {endpoint.media: {}}}
    operation: dict[str, object] = {"summary": endpoint.summary, "responses": replies}
    names = re.findall(r"{(\w+)}", endpoint.documented)
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in names
        ]
    if endpoint.body is not None:
        operation["requestBody"] = {"content": {JSON: {"schema": endpoint.body}}}
    if endpoint.method == "POST":
        operation["security"] = [{"token": []}]
    return operation
