"""The web application put together: endpoints, guard, error replies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actors.board import Board
from flags.tokens import Token, TokenFile
from install_steps.shelf import Shelf
from settings import Redactor, Settings
from web.access import ALL, CHANGE, HOSTS, LOOK, Access
from web.changes import Book, Changes, Commands, Orders, Removals, RolloutWords
from web.endpoints import endpoints
from web.guard import Guard
from web.metrics import Metrics
from web.openapi import document
from web.packages import PATH as PACKAGES
from web.packages import PackageFiles
from web.page import Page
from web.rates import Rate
from web.replies import Redact, error_reply, json_reply
from web.site import Permits, Site
from web.views import Times

BURST: Final = 4.0  # seconds' worth of requests at once


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
    metrics = Metrics(board, times, version)
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
            Middleware(
                Guard,
                hosts=own_names(settings),
                redact=redactor,
                count=metrics.request,
                access=access_of(settings, redactor, now),
                refused=book.refused,
                clock=now,
                time_scale=time_scale,
            )
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


def access_of(settings: Settings, redactor: Redact, now: Callable[[], float]) -> Access:
    """Tokens, roles, doors and rates, as the flags have them."""
    first = settings.rest_tokens or (
        (Token("operator", settings.rest_token),) if settings.rest_token else ()
    )
    hide = redactor if isinstance(redactor, Redactor) else Redactor()
    viewers = None
    if settings.rest_viewer_tokens:
        path = str(settings.rest_viewer_token_file or "")
        viewers = TokenFile(path, "viewer", settings.rest_viewer_tokens, hide, now)
    doors, others = _doors(settings)
    return Access(
        operators=TokenFile(str(settings.rest_token_file or ""), "operator", first, hide, now),
        viewers=viewers,
        looks=Rate(per_s=settings.rest_rate, burst=settings.rest_rate * BURST),
        changes=Rate(per_s=settings.rest_rate / 10, burst=settings.rest_rate * BURST / 10),
        failures=Rate(per_s=1.0, burst=20.0),
        doors=doors,
        others=others,
    )


def _doors(settings: Settings) -> tuple[dict[int, frozenset[str]], dict[str, str]]:
    """What each port serves, and how the others are called."""
    tls, changes = settings.rest_tls_port, settings.rest_changes_port
    doors: dict[int, frozenset[str]] = {}
    others: dict[str, str] = {}
    if tls:
        doors[settings.rest_port] = frozenset({HOSTS})
        doors[tls] = frozenset({HOSTS, LOOK} if changes else ALL)
        others = {LOOK: f"https, port {tls}", CHANGE: f"https, port {tls}"}
    elif changes:
        doors[settings.rest_port] = frozenset({HOSTS, LOOK})
    if changes:
        doors[changes] = ALL
        others[CHANGE] = f"{settings.rest_changes_address}, port {changes}"
    return doors, others


def own_names(settings: Settings) -> frozenset[str]:
    """Host names by which we may be called, besides localhost and any address."""
    names = (settings.hostname, settings.rest_address, settings.rest_advertised)
    whole = {name.lower() for name in names if name}
    return frozenset(whole | {name.partition(".")[0] for name in whole})
