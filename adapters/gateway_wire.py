"""One conversation with the Gateway: login, renewal, deadline, and every failure by its name."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import attrs
import httpx
import structlog
import trio

from adapters.gateway_tls import certificate_fault
from protocol.gateway import requests, responses
from protocol.gateway.errors import (
    GatewayCertificateError,
    GatewayError,
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnreachableError,
)
from protocol.gateway.requests import GatewayRequest
from protocol.gateway.responses import GatewayAnswer
from protocol.gateway.session import Phase, Token, TokenSession
from protocol.gateway.versions import BEARER_SINCE, ApiVersion, version_text

BODY_BYTES_MAX: Final = 64 * 1024 * 1024  # the tree of a thousand nodes is a few MB
LOGOUT_S: Final = 3.0  # Marathon's grace period is short; an idle token ends by itself

CALLS_AT_ONCE: Final = 4  # a Gateway is one small Java process that others need, too
REPEATS_MAX: Final = 2  # of a call that changes nothing and was not answered
REPEAT_PAUSE_S: Final = 0.5
PROXY_FAULTS: Final = frozenset({502, 503, 504})

log = structlog.get_logger()
T = TypeVar("T")

_REASONS: Final[dict[type[Exception], str]] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.ReadTimeout: "no answer in time",
    httpx.RemoteProtocolError: "the answer was cut or is no HTTP",
    httpx.ReadError: "the connection broke",
    httpx.WriteError: "the connection broke",
}


def checked_base_url(text: str) -> str:
    """`https://host[:port]`, also given with the `/api` that REX-Ray wants."""
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        raise ValueError("the Gateway's address is not a URL: use https://host[:port]") from None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise ValueError(
            "the Gateway's address must have the form https://host[:port], without a user"
        )
    path = url.path.rstrip("/").removesuffix("/api")
    return str(url.copy_with(raw_path=path.encode() or b"/")).rstrip("/")


@attrs.define(kw_only=True)
class Place:
    """One Gateway of the cluster, with its own session: tokens are not shared between them."""

    url: str = attrs.field(converter=checked_base_url)
    session: TokenSession = attrs.field(factory=TokenSession, init=False)
    version: ApiVersion | None = attrs.field(default=None, init=False)
    answers: bool = attrs.field(default=True, init=False)  # as far as we know
    login_lock: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)


@attrs.define(kw_only=True)
class GatewayWire:
    """Sends requests with the session's token. Many tasks may call it at the same time.

    Of several Gateways one is used as long as it answers. A request that changes nothing goes to
    the next one at once; what changes something is left to the caller, who looks first.
    """

    client: httpx.AsyncClient = attrs.field(repr=False)
    places: tuple[Place, ...]
    user: str
    password: Callable[[], str] = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    chance: Callable[[], float] = attrs.field(repr=False)  # 0 to 1, for jitter
    deadline_s: float
    gateway_time: float = attrs.field(default=0.0, init=False)  # unix s, by its last answer
    _at: int = attrs.field(default=0, init=False)
    _sent: int = attrs.field(default=0, init=False)
    _at_once: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(CALLS_AT_ONCE), init=False, repr=False
    )

    @property
    def url(self) -> str:
        """Of the Gateway in use."""
        return self.places[self._at].url

    @contextmanager
    def deadline(self) -> Iterator[None]:
        """All waiting of one operation, also for another task's login, ends here."""
        try:
            with trio.fail_after(self.deadline_s):
                yield
        except trio.TooSlowError:
            late = GatewayUnreachableError(
                f"the Gateway {self.url} did not answer within {self.deadline_s:g} s"
            )
            self._leave(self.places[self._at], late)
            raise late from None

    async def version(self) -> ApiVersion:
        return await self._persistently(self._version_at, safe=True)

    async def call(self, request: GatewayRequest) -> GatewayAnswer:
        """The answer, after at most one new login at each Gateway. Raises GatewayError."""
        return await self._persistently(
            lambda place: self._call_at(place, request), safe=request.may_repeat
        )

    async def _persistently(self, act: Callable[[Place], Awaitable[T]], *, safe: bool) -> T:
        """By the Gateway in use; if that cannot be reached and repeating does no harm, again."""
        alone = len(self.places) == 1
        repeats = max(REPEATS_MAX, len(self.places) - 1) if safe else 0
        patience_s = self.deadline_s / (len(self.places) + 1) if safe and not alone else math.inf
        tried = 0
        while True:
            place = self.places[self._at]
            try:
                with trio.move_on_after(patience_s):
                    return await act(place)
                raise GatewayUnreachableError(f"the Gateway {place.url} did not answer in time")
            except GatewayCertificateError as failed:
                self._leave(place, failed)
                if alone or tried == repeats:
                    raise
            except GatewayUnreachableError as failed:
                self._leave(place, failed)
                if tried == repeats:
                    raise
            tried += 1
            if tried >= len(self.places):
                await trio.sleep(REPEAT_PAUSE_S * 2.0**tried * (0.5 + self.chance()))

    def _leave(self, place: Place, why: GatewayError) -> None:
        """The next calls go to the next Gateway, unless another task has found that out before."""
        if len(self.places) > 1 and self.places[self._at] is place:
            self._at = (self._at + 1) % len(self.places)
            tell = log.warning if place.answers else log.debug  # once for each that falls silent
            tell("another Gateway is used", left=place.url, now=self.url, why=str(why))
            place.answers = False

    async def _version_at(self, place: Place) -> ApiVersion:
        return (await self._token(place))[0].version

    async def _call_at(self, place: Place, request: GatewayRequest) -> GatewayAnswer:
        for _ in range(2):
            token, generation = await self._token(place)
            answer = await self._send(
                place, request, version=token.version, authorization=token.authorization
            )
            if answer.status != 401:
                place.answers = True
                place.session = place.session.used(generation, now=self.clock())
                if answer.status in PROXY_FAULTS and answer.is_html:
                    raise GatewayUnreachableError(
                        f"there is no Gateway behind {place.url} (HTTP {answer.status})"
                    )
                return answer
            place.session = place.session.unauthorised(generation)
        raise GatewayLoginError(
            f"the Gateway {place.url} does not accept the token it has just given "
            f"to user {self.user!r}"
        )

    async def log_out(self) -> None:
        """Within a short time, and whatever happens: the token would end by itself anyway."""
        with trio.move_on_after(LOGOUT_S):
            for place in self.places:
                token, place.session = place.session.token, place.session.logged_out()
                if token is not None:
                    await self._log_out(place, token)

    async def _log_out(self, place: Place, token: Token) -> None:
        asked = [requests.logout(token.basic_authorization)]
        if token.refresh_token:
            asked.insert(0, requests.bearer_logout(token.refresh_token, token.authorization))
        for request in asked:
            try:
                await self._send(place, request, version=token.version, authorization=None)
            except GatewayError:
                return

    async def _token(self, place: Place) -> tuple[Token, int]:
        """A token that is good as far as we know; one task logs in, the others wait for it."""
        if (found := self._fresh(place)) is not None:
            return found
        async with place.login_lock:
            if (found := self._fresh(place)) is not None:
                return found
            password = self._read_password()
            if not place.session.may_log_in(password, now=self.clock()):
                raise self._login_refused(place)
            try:
                token = await self._log_in(place, password)
            except GatewayLoginError:
                place.session = place.session.login_refused(password, now=self.clock())
                raise self._login_refused(place) from None
            place.session = place.session.logged_in(token, now=self.clock())
            if place.version is not None and place.version != token.version:
                log.warning(
                    "the Gateway is of another version now",
                    gateway=place.url,
                    was=version_text(place.version),
                    now=version_text(token.version),
                )
            place.version = token.version
            return token, place.session.generation

    def _fresh(self, place: Place) -> tuple[Token, int] | None:
        place.session = place.session.at(self.clock())
        token = place.session.token
        if token is None or place.session.phase is not Phase.LIVE:
            return None
        return token, place.session.generation

    def _read_password(self) -> str:
        try:
            return self.password()
        except OSError as unreadable:
            raise GatewayLoginError(
                f"the Gateway's password cannot be read: {unreadable.strerror or 'unreadable'}"
            ) from None

    def _login_refused(self, place: Place) -> GatewayLoginError:
        return GatewayLoginError(
            f"the Gateway {place.url} refuses user {self.user!r}: "
            "check the user name and the password"
        )

    async def _log_in(self, place: Place, password: str) -> Token:
        now = self.clock()
        answer = await self._send(place, requests.login(self.user, password))
        authorization = requests.basic("", responses.token(answer))
        version = responses.version(await self._send(place, requests.version(authorization)))
        plain = Token(
            version=version, authorization=authorization, basic_authorization=authorization
        )
        if version < BEARER_SINCE:
            return plain
        asked = requests.bearer_login(self.user, password)
        answer = await self._send(place, asked, version=version)
        try:
            made = responses.bearer_tokens(answer)
        except (GatewayLoginError, GatewayProtocolError, GatewayRefusedError):
            return plain
        if not made.access_token:
            return plain
        spent_s = self.clock() - now
        return attrs.evolve(
            plain,
            authorization=requests.bearer(made.access_token),
            refresh_token=made.refresh_token or "",
            life_s=None if made.expires_in is None else made.expires_in - spent_s,
        )

    async def _send(
        self,
        place: Place,
        request: GatewayRequest,
        *,
        version: ApiVersion | None = None,
        authorization: str | None = None,
    ) -> GatewayAnswer:
        self._sent += 1
        request_id = f"scaleio-framework-{self._sent}"
        headers = requests.headers(
            request, version=version, authorization=authorization, request_id=request_id
        )
        began = self.clock()
        try:
            async with (
                self._at_once,
                self.client.stream(
                    request.method, place.url + request.path, headers=headers, content=request.body
                ) as response,
            ):
                body = bytearray()
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > BODY_BYTES_MAX:
                        raise GatewayProtocolError(
                            f"{request.call} answered with more than {BODY_BYTES_MAX} bytes"
                        )
        except httpx.RequestError as error:
            log.info("a call of the Gateway failed", request=request_id, call=request.call)
            fault = certificate_fault(error)
            if fault is not None:
                raise fault from error
            raise GatewayUnreachableError(
                f"the Gateway {place.url} cannot be reached: {_reason(error)}"
            ) from error
        answer = GatewayAnswer(
            call=request.call,
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=bytes(body),
            date=response.headers.get("date", ""),
        )
        self.gateway_time = responses.gateway_time(answer.date)
        tell = log.debug if request.may_repeat and answer.status < 400 else log.info
        tell(
            "a call of the Gateway",
            request=request_id,
            call=request.call,
            status=answer.status,
            took_ms=round((self.clock() - began) * 1000),
            size_bytes=len(body),
        )
        return answer


def _reason(error: httpx.RequestError) -> str:
    """Short and without values: a protocol error could quote a header."""
    if isinstance(error, httpx.ConnectError):
        return str(error) or "no connection"
    return _REASONS.get(type(error), type(error).__name__)
