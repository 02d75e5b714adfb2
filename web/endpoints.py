"""The table of endpoints: the router, the OpenAPI document and docs/rest.md's test read it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request

from domain.chronicle import KINDS
from web import schemas
from web.changes import COMMANDS, REMOVAL_WORDS, ROLLOUT_WORDS, SILENCE_WORDS, Changes
from web.lists import AGENT_SORTS, PHASES
from web.openapi import EVENTS, HTML, JSON, TEXT, Endpoint
from web.query import LIMIT_MAX, TEXT_CHARACTERS_MAX
from web.schemas import Schema
from web.site import Site

Answer = Callable[[Request], Awaitable[Any]]

_TEXT: Final[Schema] = {"type": "string", "maxLength": TEXT_CHARACTERS_MAX}
_SWITCH: Final[Schema] = {"type": "string", "enum": ["0", "1"]}
PAGING: Final = (
    ("limit", {"type": "integer", "minimum": 0, "maximum": LIMIT_MAX}),
    ("offset", {"type": "integer", "minimum": 0, "maximum": 10**9}),
    ("q", _TEXT),
)


def _sorted_by(*words: str) -> tuple[tuple[str, Schema], ...]:
    return (("sort", {"type": "string", "enum": list(words)}), ("desc", _SWITCH))


def _one_of(words: tuple[str, ...]) -> Schema:
    return {"type": "string", "enum": list(words)}


def endpoints(site: Site, changes: Changes) -> tuple[Endpoint, ...]:
    """Every path there is, the fixed ones before those with a part to fill in."""
    return (
        *_for_people(site),
        *_agents(site),
        *_cluster(site),
        *_events(site),
        *_why(site),
        *_for_machines(site),
        *_for_all(changes),
        *_for_one(changes),
    )


def _get(path: str, answer: Answer, summary: str, media: str = JSON) -> Endpoint:
    refusals = (404,) if "{" in path else ()
    return Endpoint(path=path, answer=answer, summary=summary, media=media, refusals=refusals)


def _state_of(
    path: str,
    answer: Answer,
    summary: str,
    shape: Schema,
    query: tuple[tuple[str, Schema], ...] = (),
) -> Endpoint:
    refusals = ((404,) if "{" in path else ()) + ((400,) if query else ())
    return Endpoint(
        path=path,
        answer=answer,
        summary=summary,
        shape=shape,
        query=query,
        tagged=True,
        refusals=refusals,
    )


def _for_people(site: Site) -> tuple[Endpoint, ...]:
    return (
        _get("/", site.ui, "The page", HTML),
        _get("/ui", site.ui, "The page: overview", HTML),
        _get("/ui/agents/{host}", site.ui_agent, "The page: one agent", HTML),
        _get("/ui/{view}", site.ui_view, "The page: one of its views", HTML),
        _get("/page.js", site.page_script, "Its script", "text/javascript"),
        _get("/page.css", site.page_style, "Its style", "text/css"),
    )


def _agents(site: Site) -> tuple[Endpoint, ...]:
    return (
        _state_of(
            "/v1/agents",
            site.agents,
            "Agents, one short object each",
            schemas.counted("agents", schemas.AGENT),
            (
                *PAGING,
                *_sorted_by(*AGENT_SORTS),
                ("phase", _one_of(PHASES)),
                ("fault_set", _TEXT),
            ),
        ),
        _state_of("/v1/agents/{host}", site.agent, "One agent whole", schemas.AGENT_WHOLE),
        _state_of("/v1/agents/{host}/steps", site.steps, "Its plan and its runs", schemas.STEPS),
        _state_of(
            "/v1/agents/{host}/devices",
            site.agent_devices,
            "Its disks, each with the rule that decided",
            schemas.of({"host": schemas.TEXT, "devices": schemas.listed(schemas.DEVICE_LINE)}),
        ),
        Endpoint(
            path="/v1/agents/{host}/preview/{command}",
            answer=site.preview,
            summary="What a command would do now; nothing is done",
            shape=schemas.PREVIEW,
            refusals=(404,),
        ),
        Endpoint(
            path="/v1/agents/{host}/uninstall",
            answer=site.uninstall_plan,
            summary="What its removal takes away",
            shape=schemas.REMOVAL_PLAN,
            refusals=(404,),
        ),
        _state_of(
            "/v1/devices",
            site.devices,
            "All disks of all agents",
            schemas.counted("devices", schemas.DEVICE_LINE),
            (
                *PAGING,
                *_sorted_by("host", "rule"),
                ("host", _TEXT),
                ("taken", _one_of(("yes", "no"))),
            ),
        ),
    )


def _cluster(site: Site) -> tuple[Endpoint, ...]:
    return (
        Endpoint(
            path="/v1/framework/uninstall",
            answer=site.framework_uninstall_plan,
            summary="The same of all; the order",
            shape=schemas.FRAMEWORK_REMOVAL,
        ),
        _state_of(
            "/v1/conditions",
            site.conditions,
            "What an operator should know, the worst first",
            schemas.of({"conditions": schemas.listed(schemas.CONDITION)}),
        ),
        _state_of("/v1/storage", site.storage, "The storage as last seen", schemas.STORAGE),
        _state_of("/v1/capacity", site.capacity, "Pools: sizes and trends", schemas.CAPACITY),
        _state_of("/v1/rollout", site.rollout_state, "How far the rollout is", schemas.ROLLOUT),
        _state_of("/v1/plan", site.plan, "What is left to do on each agent", schemas.PLAN),
        _state_of("/v1/offers", site.offers, "Offers, and what became of them", schemas.OFFERS),
        _state_of("/v1/settings", site.settings_list, "What is in effect", schemas.SETTINGS),
        _state_of("/v1/status", site.status, "How the parts stand", schemas.STATUS),
    )


def _events(site: Site) -> tuple[Endpoint, ...]:
    return (
        _state_of(
            "/v1/events",
            site.event_list,
            "What happened, and who ordered what",
            schemas.EVENTS,
            (
                *PAGING,
                ("after", {"type": "integer", "minimum": 0, "maximum": 10**17}),
                ("kind", _one_of(KINDS)),
                ("subject", _TEXT),
            ),
        ),
        Endpoint(
            path="/events",
            answer=site.events,
            summary="Server-sent events: `entry` with an id, `change`",
            media=EVENTS,
            query=(("after", {"type": "integer", "minimum": 0, "maximum": 10**16}),),
            refusals=(400,),
        ),
    )


def _why(site: Site) -> tuple[Endpoint, ...]:
    def why(path: str, answer: Answer, summary: str, *query: tuple[str, Schema]) -> Endpoint:
        refusals = (404,) if "{" in path else ()
        return Endpoint(
            path=f"/v1/why/{path}",
            answer=answer,
            summary=summary,
            shape=schemas.WHY,
            query=query,
            refusals=refusals,
        )

    return (
        why("rollout", site.why_rollout, "Why the rollout is no further"),
        why("framework", site.why_framework, "Why the framework waits"),
        why("agent/{host}", site.why_agent, "Why an agent waits, or failed"),
        why("step/{host}/{step}", site.why_step, "Why a step is as it is"),
        why("device/{host}", site.why_device, "Why a disk is taken or not", ("path", _TEXT)),
        why("pool/{domain}/{pool}", site.why_pool, "Why a pool is as it is"),
    )


def _for_machines(site: Site) -> tuple[Endpoint, ...]:
    health = schemas.HEALTH
    return (
        Endpoint(
            path="/healthz",
            answer=site.healthz,
            summary="200 while the process works; reasons if degraded",
            shape=health,
        ),
        Endpoint(
            path="/readyz",
            answer=site.readyz,
            summary="200 once subscribed and the Gateway was read",
            shape=health,
            refusals=(503,),
        ),
        _get("/metrics", site.prometheus, "Metrics for Prometheus", TEXT),
        Endpoint(
            path="/debug/actors",
            answer=site.debug_actors,
            summary="All actors",
            shape=schemas.ACTORS,
        ),
        Endpoint(
            path="/debug/actors/{name:path}",
            answer=site.debug_actor,
            summary="One actor with its last messages",
            shape=schemas.ACTOR,
            refusals=(404,),
        ),
        _get("/debug/tasks", site.debug_tasks, "Trio's tasks; JSON if accepted", TEXT),
        _get("/version", site.original_version, "As the original"),
        _get("/api/state", site.original_state, "As the original, without the password"),
        _get("/v1/permits/{permit_id}", site.permit, "May this host reboot now: 200 only", TEXT),
    )


def _post(
    path: str, answer: Answer, summary: str, *refusals: int, body: Schema = schemas.ORDER_BODY
) -> Endpoint:
    usual = {400, 403, 409, 413, 422, 503, *refusals}
    return Endpoint(
        path=path,
        answer=answer,
        summary=summary,
        method="POST",
        shape=schemas.RESULT,
        refusals=tuple(sorted(usual)),
        body=body,
    )


def _for_all(changes: Changes) -> tuple[Endpoint, ...]:
    """What changes the framework or all agents."""
    return (
        _post(
            "/v1/framework/register",
            changes.register,
            "Register as a new framework, where ours is removed or torn down",
        ),
        _post(
            "/v1/framework/uninstall",
            changes.framework_uninstall,
            "Take every agent out of use, and at last end the framework if wished",
            body=schemas.FRAMEWORK_BODY,
        ),
        _post(
            "/v1/framework/resume",
            changes.framework_resume,
            "Call the removal of the framework off, before it is torn down",
        ),
        _post(
            "/v1/rollout/{word}",
            changes.rollout_order,
            f"Tell the rollout: {', '.join(ROLLOUT_WORDS)}",
            404,
        ),
    )


def _for_one(changes: Changes) -> tuple[Endpoint, ...]:
    return (
        _post(
            "/v1/conditions/{name}/{word}",
            changes.silence,
            f"Whether people are notified of it: {', '.join(SILENCE_WORDS)}",
            404,
            body=schemas.SILENCE_BODY,
        ),
        _post(
            "/v1/storage/{kind}/{id}/{word}",
            changes.storage_removal,
            f"Tell about a device, sds, sdc, pool or domain: {', '.join(REMOVAL_WORDS)}",
            404,
        ),
        _post(
            "/v1/agents/{host}/{command}",
            changes.command,
            f"Tell an agent: {', '.join(COMMANDS)}",
            404,
        ),
    )
