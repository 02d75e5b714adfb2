"""The simulated ScaleIO Gateway: REST in front of a simulated MDM, with hooks for the world."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

import attrs
import trio

from simulation.gateway_faults import (
    JSON,
    Faults,
    HalfBody,
    Silence,
    error,
    html,
    json_reply,
    unauthorised,
)
from simulation.gateway_fields import (
    MalformedError,
    MdmRefusalError,
    NoSuchRouteError,
    parsed,
)
from simulation.gateway_mdm import DeviceSize, Refused
from simulation.gateway_routes import Routes
from simulation.gateway_tokens import TokenStore
from simulation.gateway_views import EPOCH_S
from simulation.gateway_world import APIS, Api, SimulatedCluster
from simulation.http_server import Cut, Handler, Reply, Request, StreamReply

__all__ = ["APIS", "Api", "DeviceSize", "Faults", "Refused", "SimulatedGateway"]


def _unheard(_request: Request) -> None:
    """Nobody listens."""


@attrs.define(kw_only=True)
class SimulatedGateway(SimulatedCluster):
    """A cluster of the world, and what answers for it over HTTP."""

    user: str
    password: str = attrs.field(repr=False)
    version_needs_login: bool = False  # releases differ
    bearer_offered: bool = True  # on 4.x; without it clients stay with Basic
    on_request: Callable[[Request], None] = attrs.field(default=_unheard, init=False, repr=False)
    calls: int = attrs.field(default=0, init=False)
    tokens: TokenStore = attrs.field(init=False, repr=False)
    faults: Faults = attrs.field(init=False)
    _routes: Routes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.tokens = TokenStore(
            user=self.user, password=self.password, clock=self.clock, rng=self.rng
        )
        self.faults = Faults(self._freeze, rng=self.rng)
        self._routes = Routes(mdm=self._mdm, read=self._read, clock=self.clock)

    def restart(self) -> None:
        """The Gateway process is new: no token is valid any more."""
        self.tokens.forget_all()

    # --- HTTP

    @property
    def handler(self) -> Handler:
        return self._handle

    async def _handle(self, request: Request) -> Reply | StreamReply | Cut:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        self.on_request(request)
        if self.faults.take_timeout():
            return StreamReply(chunks=Silence(), headers=JSON)
        if delay_s := self.faults.take_delay():
            await trio.sleep(delay_s)
        self.settle()
        reply = self._login_reply(request) or self.faults.take_reply()
        if reply is None:
            reply = self._api_reply(request)
            if request.method != "GET":
                self.settle()
        reply = attrs.evolve(reply, headers=(*reply.headers, ("Date", self._date())))
        if self.faults.take_cut():
            return StreamReply(
                chunks=HalfBody(reply.body), status=reply.status, headers=reply.headers
            )
        return reply

    def _date(self) -> str:
        return formatdate(EPOCH_S + self.clock() + self.state.clock_skew_s, usegmt=True)

    def _login_reply(self, request: Request) -> Reply | None:
        """The calls that need no token."""
        headers = request.headers
        match request.method, request.path:
            case "GET", "/api/login":
                token = self.tokens.log_in(headers)
                return unauthorised() if token is None else json_reply(token)
            case "GET", "/api/logout" if self.tokens.allows(headers):
                self.tokens.log_out(headers)
                return json_reply("")
            case "GET", "/api/version":
                allowed = self.tokens.allows(headers) or self.tokens.allows_password(headers)
                if self.version_needs_login and not allowed:
                    return unauthorised()
                return json_reply(self.api)
            case "POST", "/rest/auth/login" if self._is_4x and self.bearer_offered:
                return self._bearer_login(request)
            case "POST", "/rest/auth/logout" if self._is_4x and self.bearer_offered:
                self.tokens.bearer_log_out(_body_of(request).get("refresh_token"))
                return Reply(status=204)
            case _:
                return None

    def _bearer_login(self, request: Request) -> Reply:
        body = _body_of(request)
        made = self.tokens.bearer_log_in(body.get("username"), body.get("password"))
        return html(401, "Unauthorized") if made is None else json_reply(made)

    def _api_reply(self, request: Request) -> Reply:
        if not self.tokens.allows(request.headers):
            return unauthorised()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        strict = self.state.api >= (3, 6)
        if request.method == "POST" and strict and media_type != "application/json":
            return error(400, "The request's Content-Type header must be application/json", 0)
        try:
            return json_reply(self._routes.answer(request.method, request.path, request.body))
        except MdmRefusalError as refusal:
            return error(500, refusal.message, refusal.code)
        except MalformedError as malformed:
            return error(400, str(malformed), 0)
        except NoSuchRouteError:
            if self._is_4x:
                return html(404, "Not Found")
            return error(404, "Not Found", 0)

    @property
    def _is_4x(self) -> bool:
        return self.state.api >= (4, 0)


def _body_of(request: Request) -> dict[str, object]:
    try:
        return parsed(request.body)
    except MalformedError:
        return {}
