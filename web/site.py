"""The answers. All of them read the board; only permits and commands reach into the house."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from actors.board import AgentSnapshot, Board
from domain.agent import Phase
from domain.closing import Wish
from settings import Settings
from web import introspection, original, removal, views
from web.live import STREAMS_MAX, EventStream
from web.metrics import CONTENT_TYPE, Metrics
from web.orders import OrderError, read_order
from web.page import Page
from web.replies import Redact, error_reply, json_reply, json_text, text_reply
from web.views import Times

COMMANDS: Final = ("hold", "resume", "retry", "uninstall", "drain", "retire")
ROLLOUT_WORDS: Final = ("pause", "resume", "abort", "start")
REMOVAL_WORDS: Final = ("remove", "keep", "enter-maintenance", "leave-maintenance")
REGISTER: Final = "register"  # for no agent, but the framework
_PERMIT_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,128}", re.ASCII)

Permits = Callable[[str], Awaitable[tuple[int, str]]]
Commands = Callable[[str, str], tuple[int, str]]  # name, host -> status, sentence
Orders = Callable[[Wish | None], Awaitable[tuple[int, str]]]  # None: the order is called off
RolloutWords = Callable[[str], Awaitable[tuple[int, str]]]  # one of ROLLOUT_WORDS
Removals = Callable[[str, str, str], Awaitable[tuple[int, str]]]  # kind, id, word

log = structlog.get_logger()


@attrs.frozen(kw_only=True, eq=False)
class Site:
    board: Board
    settings: Settings
    redact: Redact
    permits: Permits
    commands: Commands
    orders: Orders
    rollout: RolloutWords
    removals: Removals
    times: Times
    version: str
    stop: trio.Event
    time_scale: float
    page: Page
    metrics: Metrics
    _streams: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(STREAMS_MAX))

    # --- for people -----------------------------------------------------------------------------

    async def ui(self, request: Request) -> Response:
        del request
        text = self.page.whole(self.board, self.settings, self.times, self.version)
        return Response(text, media_type="text/html")

    async def ui_live(self, request: Request) -> Response:
        del request
        text = self.page.live(self.board, self.settings, self.times, self.version)
        return Response(text, media_type="text/html")

    async def page_script(self, request: Request) -> Response:
        del request
        return Response(self.page.script, media_type="text/javascript")

    async def page_style(self, request: Request) -> Response:
        del request
        return Response(self.page.style, media_type="text/css")

    # --- state ----------------------------------------------------------------------------------

    async def agents(self, request: Request) -> Response:
        phase = request.query_params.get("phase", "")
        known = [one.value for one in Phase]
        if phase and phase not in known:
            return self._error(400, f"there is no phase {phase}: one of {', '.join(known)}")
        return self._json(views.agents(self.board, self.times, phase))

    async def agent(self, request: Request) -> Response:
        agent = self.board.agents.get(request.path_params["host"])
        if agent is None:
            return self._unknown_agent()
        return self._json(views.agent_whole(agent, self.times, self.board.why_waiting(agent)))

    async def uninstall_plan(self, request: Request) -> Response:
        agent = self.board.agents.get(request.path_params["host"])
        if agent is None:
            return self._unknown_agent()
        return self._json(self._removal(agent))

    async def framework_uninstall_plan(self, request: Request) -> Response:
        """Every agent's and the order, so that one look tells what still has to come."""
        del request
        agents = [agent for _, agent in sorted(self.board.agents.items())]
        left = sum(agent.phase != Phase.RETIRED.value for agent in agents)
        plans = [self._removal(agent) for agent in agents]
        order = views.closing(self.board)
        return self._json({"agents": plans, "left": left, "order": order})

    def _removal(self, agent: AgentSnapshot) -> dict[str, object]:
        told = removal.plan(
            self.board,
            agent,
            keeps_sds=self.settings.components_sds == "ignore",
            keeps_sdc=self.settings.components_sdc == "ignore",
        )
        return {**told, "reason": self.board.why_waiting(agent) or agent.reason}

    async def conditions(self, request: Request) -> Response:
        del request
        return self._json({"conditions": views.conditions(self.board, self.times)})

    async def storage(self, request: Request) -> Response:
        del request
        return self._json(views.storage(self.board, self.times))

    async def plan(self, request: Request) -> Response:
        del request
        return self._json(views.plan(self.board, self.settings))

    async def status(self, request: Request) -> Response:
        del request
        return self._json(self._status())

    async def events(self, request: Request) -> ASGIApp | Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return EventStream(
            board=self.board,
            stop=self.stop,
            describe=lambda: json_text(self._change(), self.redact),
            redact=self.redact,
            places=self._streams,
            time_scale=self.time_scale,
        )

    # --- for machines that watch ------------------------------------------------------------------

    async def healthz(self, request: Request) -> Response:
        """200 while this process answers: a restart would not bring back a master or a Gateway."""
        del request
        reasons = views.troubles(self.board)
        word = "degraded" if reasons else "ok"
        return self._json({"status": word, "reasons": reasons})

    async def readyz(self, request: Request) -> Response:
        del request
        reasons = views.not_ready(self.board)
        word = "not ready" if reasons else "ready"
        return self._json({"status": word, "reasons": reasons}, 503 if reasons else 200)

    async def prometheus(self, request: Request) -> Response:
        del request
        return Response(self.redact(self.metrics.text()), media_type=CONTENT_TYPE)

    # --- inside ---------------------------------------------------------------------------------

    async def debug_actors(self, request: Request) -> Response:
        del request
        return self._json(introspection.actors(self.board))

    async def debug_actor(self, request: Request) -> Response:
        look = self.board.actors.get(request.path_params["name"])
        if look is None:
            return self._error(404, "there is no such actor: see /debug/actors")
        return self._json(introspection.actor_whole(look(), self.times, self.redact))

    async def debug_tasks(self, request: Request) -> Response:
        lines = introspection.tasks()
        if "application/json" in request.headers.get("accept", ""):
            return self._json({"tasks": [attrs.asdict(line) for line in lines]})
        return text_reply(introspection.tasks_text(lines), self.redact)

    # --- the original's -------------------------------------------------------------------------

    async def original_version(self, request: Request) -> Response:
        del request
        return self._json(original.version(self.version))

    async def original_state(self, request: Request) -> Response:
        port = (request.scope.get("server") or ("", 0))[1]
        address = f"http://{self.settings.rest_advertised}:{port or self.settings.rest_port}"
        return self._json(original.state(self.board, self.settings, self.times, address))

    # --- what reaches into the house --------------------------------------------------------------

    async def permit(self, request: Request) -> Response:
        """Asked by the armed unit on a host: it reboots on 200 only."""
        if request.method == "HEAD":  # must not use up a permit
            return self._error(405, "a permit is asked for by GET")
        permit_id = request.path_params["permit_id"]
        if not _PERMIT_ID.fullmatch(permit_id):
            return text_reply("no such permit\n", self.redact, 404)
        status, sentence = await self.permits(permit_id)
        return text_reply(" ".join(sentence.split()) + "\n", self.redact, status)

    async def command(self, request: Request) -> Response:
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        name, host = request.path_params["command"], request.path_params["host"]
        if name not in COMMANDS:
            return self._error(404, f"there is no such command: one of {', '.join(COMMANDS)}")
        if host not in self.board.agents:
            return self._unknown_agent()
        if name == "retire" and (why_not := removal.why_not_gone(self.board.agents[host])):
            return self._error(409, why_not)
        status, sentence = self.commands(name, host)
        log.info("operator command", command=name, host=host, status=status)
        if status >= 400:
            return self._error(status, sentence)
        return self._json({"result": sentence}, status)

    async def register(self, request: Request) -> Response:
        """The way out of a dead framework id; nothing else leads to a new one."""
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        status, sentence = self.commands(REGISTER, "")
        return self._told(REGISTER, status, sentence)

    async def framework_uninstall(self, request: Request) -> Response:
        """The framework's removal, and TEARDOWN as its last act where the body wishes it."""
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        try:
            wish = await read_order(request)
        except OrderError as error:
            return self._error(error.status, str(error))
        return self._told("framework uninstall", *await self.orders(wish))

    async def rollout_state(self, request: Request) -> Response:
        del request
        return self._json(views.rollout(self.board))

    async def rollout_order(self, request: Request) -> Response:
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        word = request.path_params["word"]
        if word not in ROLLOUT_WORDS:
            return self._error(404, f"there is no such word: one of {', '.join(ROLLOUT_WORDS)}")
        return self._told(f"rollout {word}", *await self.rollout(word))

    async def storage_removal(self, request: Request) -> Response:
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        word = request.path_params["word"]
        if word not in REMOVAL_WORDS:
            return self._error(404, f"there is no such word: one of {', '.join(REMOVAL_WORDS)}")
        kind, object_id = request.path_params["kind"], request.path_params["id"]
        told = await self.removals(kind, object_id, word)
        return self._told(f"storage {word}", *told)

    async def framework_resume(self, request: Request) -> Response:
        refusal = self._unauthorised(request)
        if refusal is not None:
            return refusal
        return self._told("framework resume", *await self.orders(None))

    def _told(self, command: str, status: int, sentence: str) -> Response:
        log.info("operator command", command=command, status=status)
        if status >= 400:
            return self._error(status, sentence)
        return self._json({"result": sentence}, status)

    def _unauthorised(self, request: Request) -> Response | None:
        token = self.settings.rest_token
        if not token:
            return self._error(
                403, "changes are refused: start the scheduler with -rest.token-file=FILE"
            )
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.matches(given.strip()):
            sentence = "changes need the header Authorization: Bearer TOKEN with the right token"
            return self._error(401, sentence, {"www-authenticate": "Bearer"})
        return None

    # --- what goes wrong --------------------------------------------------------------------------

    async def http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
        headers = dict(error.headers or {})
        match error.status_code:
            case 404:
                sentence = "there is nothing here: see /v1/openapi.json"
            case 405:
                headers["Allow"] = ", ".join(sorted(headers.get("Allow", "").split(", ")))
                sentence = f"{request.method} is not allowed here, only {headers['Allow']}"
            case _:
                sentence = error.detail
        return self._error(error.status_code, sentence, headers)

    async def crashed(self, request: Request, error: Exception) -> Response:
        """A bug of ours: logged with its place, and nothing of it told."""
        log.error("web request failed", path=request.url.path, exc_info=error)
        return self._error(500, "this request has failed: the scheduler's log says why")

    def _status(self) -> dict[str, object]:
        about = {"version": self.version}
        return views.status(self.board, self.settings, self.times, about)

    def _change(self) -> dict[str, object]:
        return {
            "revision": self.board.revision,
            "phases": views.phases(self.board),
            "conditions": len(self.board.conditions),
            "master": self.board.link.state,
        }

    def _unknown_agent(self) -> Response:
        return self._error(404, "there is no such agent: see /v1/agents")

    def _json(self, value: object, status: int = 200) -> Response:
        return json_reply(value, self.redact, status)

    def _error(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
        return error_reply(status, sentence, self.redact, headers)
