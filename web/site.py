"""The answers to who only looks. All of them read the board; changes are in web.changes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import structlog
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from actors.board import AgentSnapshot, Board
from domain.agent import Phase
from domain.chronicle import Entry
from domain.words import WORDS, foretold
from settings import Settings
from web import introspection, lists, original, pages, removal, views
from web.causes import Why
from web.changes import GONE_ONLY
from web.live import STREAMS_MAX, EventStream
from web.metrics import CONTENT_TYPE, Metrics
from web.page import Page
from web.query import QueryError
from web.replies import Redact, error_reply, json_reply, json_text, tagged_reply, text_reply
from web.views import Times
from web.why_cluster import Explainer

LINES_KEPT: Final = 2000  # of the event stream
_PERMIT_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,128}", re.ASCII)

Permits = Callable[[str], Awaitable[tuple[int, str]]]

log = structlog.get_logger()


@attrs.frozen(kw_only=True, eq=False)
class Site:
    board: Board
    settings: Settings
    redact: Redact
    permits: Permits
    times: Times
    version: str
    stop: trio.Event
    time_scale: float
    page: Page
    metrics: Metrics
    _entries: dict[int, str] = attrs.field(factory=dict)  # id -> its line, of the last ones
    _told: list[object] = attrs.field(factory=lambda: [-1, ""])
    _streams: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(STREAMS_MAX))

    # --- for people -----------------------------------------------------------------------------

    async def ui(self, request: Request) -> Response:
        return self._view(request, "overview")

    async def ui_view(self, request: Request) -> Response:
        view = request.path_params["view"]
        if view not in pages.MAKERS:
            return self._error(404, f"there is no such view: one of {', '.join(pages.MAKERS)}")
        return self._view(request, view)

    async def ui_agent(self, request: Request) -> Response:
        shown = self._agent(request)
        if shown is None:
            return self._unknown_agent()
        scene = self._scene(request)
        return self._rendered(request, "agent", {**pages.agent(scene, shown)}, scene)

    def _view(self, request: Request, view: str) -> Response:
        scene = self._scene(request)
        try:
            values = pages.MAKERS[view](scene)
        except QueryError as error:
            return self._error(400, str(error))
        return self._rendered(request, view, values, scene)

    def _scene(self, request: Request) -> pages.Scene:
        return pages.Scene(
            board=self.board,
            settings=self.settings,
            times=self.times,
            version=self.version,
            query=request.query_params,
            path=request.url.path,
        )

    def _rendered(
        self, request: Request, view: str, values: dict[str, Any], scene: pages.Scene
    ) -> Response:
        part = request.headers.get("x-part") == "main"
        framed = {**pages.frame(scene, view), **values}
        text = self.page.render(view, framed, part=part)
        return Response(text, media_type="text/html", headers={"vary": "X-Part"})

    async def page_script(self, request: Request) -> Response:
        del request
        return Response(self.page.script, media_type="text/javascript")

    async def page_style(self, request: Request) -> Response:
        del request
        return Response(self.page.style, media_type="text/css")

    # --- state ----------------------------------------------------------------------------------

    async def agents(self, request: Request) -> Response:
        return self._listed(
            request, lambda: lists.agents(self.board, self.times, request.query_params)
        )

    async def agent(self, request: Request) -> Response:
        agent = self._agent(request)
        if agent is None:
            return self._unknown_agent()
        whole = views.agent_whole(agent, self.times, self.board.why_waiting(agent))
        why = self.explainer.agent(agent)
        told = {"why": why.sentence, "unblocked_by": why.unblocked_by}
        return self._tagged(request, {**whole, **told, "offer": lists.offer_of(self.board, agent)})

    async def steps(self, request: Request) -> Response:
        agent = self._agent(request)
        if agent is None:
            return self._unknown_agent()
        return self._tagged(request, lists.steps(agent, self.times))

    async def agent_devices(self, request: Request) -> Response:
        agent = self._agent(request)
        if agent is None:
            return self._unknown_agent()
        found = {"host": agent.host, "devices": lists.device_lines(agent)}
        return self._tagged(request, found)

    async def preview(self, request: Request) -> Response:
        """What a word would do to that agent now; nothing is done."""
        agent, word = self._agent(request), request.path_params["command"]
        if agent is None:
            return self._unknown_agent()
        if word not in WORDS:
            return self._error(404, f"there is no such command: one of {', '.join(WORDS)}")
        why_not = removal.why_not_gone(agent) if word in GONE_ONLY else ""
        will = foretold(
            word, host=agent.host, phase=agent.phase, step=agent.step, removal_stage=agent.removal
        )
        told = {"host": agent.host, "command": word, "refused": why_not, "will": why_not or will}
        return self._json({**told, "cli": f"scaleio-scheduler {word} {agent.host}"})

    async def devices(self, request: Request) -> Response:
        return self._listed(request, lambda: lists.devices(self.board, request.query_params))

    async def capacity(self, request: Request) -> Response:
        return self._tagged(request, lists.capacity(self.board, self.times))

    async def offers(self, request: Request) -> Response:
        return self._tagged(request, lists.offers(self.board, self.times))

    async def event_list(self, request: Request) -> Response:
        return self._listed(request, lambda: lists.events(self.board, request.query_params))

    async def settings_list(self, request: Request) -> Response:
        return self._tagged(request, lists.settings_list(self.settings))

    # --- why ------------------------------------------------------------------------------------

    async def why_agent(self, request: Request) -> Response:
        agent = self._agent(request)
        if agent is None:
            return self._unknown_agent()
        return self._why(self.explainer.agent(agent))

    async def why_step(self, request: Request) -> Response:
        agent, step = self._agent(request), request.path_params["step"]
        if agent is None:
            return self._unknown_agent()
        why = self.explainer.step(agent, step)
        if why is None:
            names = ", ".join(one.name for one in agent.plan) or "none yet"
            return self._error(404, f"this agent has no such step; its plan: {names}")
        return self._why(why)

    async def why_device(self, request: Request) -> Response:
        agent = self._agent(request)
        if agent is None:
            return self._unknown_agent()
        why = self.explainer.device(agent, request.query_params.get("path", ""))
        if why is None:
            paths = ", ".join(path for path, _ in agent.devices[:20]) or "none is known"
            return self._error(404, f"?path= names no disk of this agent; its disks: {paths}")
        return self._why(why)

    async def why_pool(self, request: Request) -> Response:
        domain, pool = request.path_params["domain"], request.path_params["pool"]
        why = self.explainer.pool(domain, pool)
        if why is None:
            return self._error(404, "there is no such pool: see /v1/capacity")
        return self._why(why)

    async def why_rollout(self, request: Request) -> Response:
        del request
        return self._why(self.explainer.rollout())

    async def why_framework(self, request: Request) -> Response:
        del request
        return self._why(self.explainer.framework())

    def _why(self, why: Why) -> Response:
        return self._json(
            {
                "subject": why.subject,
                "sentence": why.sentence,
                "chain": [attrs.asdict(link) for link in why.chain],
                "unblocked_by": why.unblocked_by,
            }
        )

    # --- what stands and waits ------------------------------------------------------------------

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
        return self._tagged(request, {"conditions": views.conditions(self.board, self.times)})

    async def storage(self, request: Request) -> Response:
        return self._tagged(request, views.storage(self.board, self.times))

    async def plan(self, request: Request) -> Response:
        return self._tagged(request, views.plan(self.board, self.settings))

    async def status(self, request: Request) -> Response:
        return self._tagged(request, self._status())

    async def events(self, request: Request) -> ASGIApp | Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        given = request.headers.get("last-event-id") or request.query_params.get("after", "")
        if given and not (given.isascii() and given.isdigit() and len(given) <= 17):
            return self._error(400, "Last-Event-ID, after: the id of an event is expected")
        after = int(given) if given else self.board.chronicle.last_id
        return EventStream(
            board=self.board,
            stop=self.stop,
            describe=self._changed_now,
            after=after,
            entry=self._entry_told,
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

    async def rollout_state(self, request: Request) -> Response:
        return self._tagged(request, views.rollout(self.board))

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

    def _entry_told(self, entry: Entry) -> str:
        """Made once for all who listen."""
        told = self._entries.get(entry.id)
        if told is None:
            if len(self._entries) >= LINES_KEPT:
                self._entries.clear()
            told = self._entries[entry.id] = json_text(lists.event_line(entry), self.redact)
        return told

    def _changed_now(self) -> str:
        """Made once for all who listen."""
        if self._told[0] != self.board.revision:
            self._told[:] = [self.board.revision, json_text(self._change(), self.redact)]
        return str(self._told[1])

    def _change(self) -> dict[str, object]:
        return {
            "revision": self.board.revision,
            "phases": views.phases(self.board),
            "conditions": len(self.board.conditions),
            "master": self.board.link.state,
        }

    def _agent(self, request: Request) -> AgentSnapshot | None:
        return self.board.agents.get(request.path_params["host"])

    @property
    def explainer(self) -> Explainer:
        return Explainer(self.board, self.times)

    def _listed(self, request: Request, read: Callable[[], dict[str, object]]) -> Response:
        try:
            return self._tagged(request, read())
        except QueryError as error:
            return self._error(400, str(error))

    def _tagged(self, request: Request, value: object) -> Response:
        return tagged_reply(request, value, self.redact)

    def _unknown_agent(self) -> Response:
        return self._error(404, "there is no such agent: see /v1/agents")

    def _json(self, value: object, status: int = 200) -> Response:
        return json_reply(value, self.redact, status)

    def _error(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
        return error_reply(status, sentence, self.redact, headers)
