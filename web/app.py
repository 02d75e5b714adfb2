"""The web application put together: endpoints, guard, error replies."""

from __future__ import annotations

from collections.abc import Callable

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actors.board import Board
from install_steps.shelf import Shelf
from settings import Settings
from web.changes import Book, Changes, Commands, Orders, Removals, RolloutWords
from web.endpoints import endpoints
from web.guard import Guard
from web.metrics import Metrics
from web.openapi import document
from web.packages import PATH as PACKAGES
from web.packages import PackageFiles
from web.page import Page
from web.replies import Redact, error_reply, json_reply
from web.site import Permits, Site
from web.views import Times


def create_app(
    *,
    board: Board,
    settings: Settings,
    redactor: Redact,
    permits: Permits,
    commands: Commands,
    orders: Orders,
    rollout: RolloutWords,
    removals: Removals,
    book: Book,
    now: Callable[[], float],
    wall: Callable[[], float],
    version: str,
    stop: trio.Event,
    time_scale: float = 1.0,
    shelf: Shelf | None = None,
) -> Starlette:
    """All endpoints over one board. `time_scale`: run-clock seconds per real second.

    `shelf`: the packages that hosts may fetch from here.
    """
    times = Times(now=now, wall=wall)
    metrics = Metrics(board, times)
    site = Site(
        board=board,
        settings=settings,
        redact=redactor,
        permits=permits,
        times=times,
        version=version,
        stop=stop,
        time_scale=time_scale,
        page=Page(redactor),
        metrics=metrics,
    )
    changes = Changes(
        board=board,
        settings=settings,
        redact=redactor,
        commands=commands,
        orders=orders,
        rollout=rollout,
        removals=removals,
        book=book,
        wall=wall,
    )
    table = endpoints(site, changes)
    described = json_reply(document(table, version), redactor)
    files = PackageFiles(shelf or Shelf({}), redactor)
    routes = [Route(one.path, one.answer, methods=[one.method]) for one in table]
    app = Starlette(
        routes=[
            Route("/v1/openapi.json", described, methods=["GET"]),
            Route(PACKAGES, files.package_file, methods=["GET"]),
            *routes,
        ],
        middleware=[
            Middleware(Guard, hosts=own_names(settings), redact=redactor, count=metrics.request)
        ],
        exception_handlers={HTTPException: site.http_error, Exception: site.crashed},
    )
    app.router.redirect_slashes = False  # a redirect would repeat the caller's Host header
    return app


def create_waiting_app(settings: Settings, redactor: Redact, why: Callable[[], str]) -> Starlette:
    """What answers while there is no scheduler yet; `why`: what is waited for, "" unknown."""

    def sentence() -> str:
        return why() or "the store is being opened"

    async def healthz(request: Request) -> Response:
        del request
        return json_reply({"status": "degraded", "reasons": [sentence()]}, redactor)

    async def not_yet(request: Request) -> Response:
        del request
        return error_reply(503, f"not yet: {sentence()}", redactor)

    return Starlette(
        routes=[
            Route("/healthz", healthz, methods=["GET"]),
            Route("/{path:path}", not_yet, methods=["GET", "POST"]),
        ],
        middleware=[
            Middleware(Guard, hosts=own_names(settings), redact=redactor, count=lambda _, __: None)
        ],
    )


def own_names(settings: Settings) -> frozenset[str]:
    """Host names by which we may be called, besides localhost and any address."""
    names = (settings.hostname, settings.rest_address, settings.rest_advertised)
    whole = {name.lower() for name in names if name}
    return frozenset(whole | {name.partition(".")[0] for name in whole})
