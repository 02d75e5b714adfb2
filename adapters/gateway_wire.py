"""One conversation with the Gateway: login, renewal, deadline, and every failure by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs
import httpx
import trio

from adapters.gateway_tls import certificate_fault
from protocol.gateway import requests, responses
from protocol.gateway.errors import (
    GatewayError,
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnreachableError,
)
from protocol.gateway.requests import GatewayRequest
from protocol.gateway.responses import GatewayAnswer
from protocol.gateway.session import Phase, Token, TokenSession
from protocol.gateway.versions import BEARER_SINCE, ApiVersion

BODY_BYTES_MAX: Final = 64 * 1024 * 1024  # the tree of a thousand nodes is a few MB
LOGOUT_S: Final = 3.0  # Marathon's grace period is short; an idle token ends by itself

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
class GatewayWire:
    """Sends requests with the session's token. Many tasks may call it at the same time."""

    client: httpx.AsyncClient = attrs.field(repr=False)
    base_url: str = attrs.field(converter=checked_base_url)
    user: str
    password: Callable[[], str] = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    deadline_s: float
    _session: TokenSession = attrs.field(factory=TokenSession, init=False)
    _login_lock: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)

    @contextmanager
    def deadline(self) -> Iterator[None]:
        """All waiting of one operation, also for another task's login, ends here."""
        try:
            with trio.fail_after(self.deadline_s):
                yield
        except trio.TooSlowError:
            raise GatewayUnreachableError(
                f"the Gateway {self.base_url} did not answer within {self.deadline_s:g} s"
            ) from None

    async def version(self) -> ApiVersion:
        return (await self._token())[0].version

    async def call(self, request: GatewayRequest) -> GatewayAnswer:
        """The answer, after at most one new login. Raises GatewayError."""
        for _ in range(2):
            token, generation = await self._token()
            answer = await self._send(
                request, version=token.version, authorization=token.authorization
            )
            if answer.status != 401:
                self._session = self._session.used(generation, now=self.clock())
                return answer
            self._session = self._session.unauthorised(generation)
        raise GatewayLoginError(
            f"the Gateway {self.base_url} does not accept the token it has just given "
            f"to user {self.user!r}"
        )

    async def log_out(self) -> None:
        """Within a short time, and whatever happens: the token would end by itself anyway."""
        token, self._session = self._session.token, self._session.logged_out()
        if token is None:
            return
        asked = [requests.logout(token.basic_authorization)]
        if token.refresh_token:
            asked.insert(0, requests.bearer_logout(token.refresh_token, token.authorization))
        with trio.move_on_after(LOGOUT_S):
            for request in asked:
                try:
                    await self._send(request, version=token.version, authorization=None)
                except GatewayError:
                    return

    async def _token(self) -> tuple[Token, int]:
        """A token that is good as far as we know; one task logs in, the others wait for it."""
        if (found := self._fresh()) is not None:
            return found
        async with self._login_lock:
            if (found := self._fresh()) is not None:
                return found
            password = self._read_password()
            if not self._session.may_log_in(password, now=self.clock()):
                raise self._login_refused()
            try:
                token = await self._log_in(password)
            except GatewayLoginError:
                self._session = self._session.login_refused(password, now=self.clock())
                raise self._login_refused() from None
            self._session = self._session.logged_in(token, now=self.clock())
            return token, self._session.generation

    def _fresh(self) -> tuple[Token, int] | None:
        self._session = self._session.at(self.clock())
        token = self._session.token
        if token is None or self._session.phase is not Phase.LIVE:
            return None
        return token, self._session.generation

    def _read_password(self) -> str:
        try:
            return self.password()
        except OSError as unreadable:
            raise GatewayLoginError(
                f"the Gateway's password cannot be read: {unreadable.strerror or 'unreadable'}"
            ) from None

    def _login_refused(self) -> GatewayLoginError:
        return GatewayLoginError(
            f"the Gateway {self.base_url} refuses user {self.user!r}: "
            "check the user name and the password"
        )

    async def _log_in(self, password: str) -> Token:
        now = self.clock()
        answer = await self._send(requests.login(self.user, password))
        authorization = requests.basic("", responses.token(answer))
        version = responses.version(await self._send(requests.version(authorization)))
        plain = Token(
            version=version, authorization=authorization, basic_authorization=authorization
        )
        if version < BEARER_SINCE:
            return plain
        answer = await self._send(requests.bearer_login(self.user, password), version=version)
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
        request: GatewayRequest,
        *,
        version: ApiVersion | None = None,
        authorization: str | None = None,
    ) -> GatewayAnswer:
        headers = requests.headers(request, version=version, authorization=authorization)
        try:
            async with self.client.stream(
                request.method, self.base_url + request.path, headers=headers, content=request.body
            ) as response:
                body = bytearray()
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > BODY_BYTES_MAX:
                        raise GatewayProtocolError(
                            f"{request.call} answered with more than {BODY_BYTES_MAX} bytes"
                        )
        except httpx.RequestError as error:
            fault = certificate_fault(error)
            if fault is not None:
                raise fault from error
            raise GatewayUnreachableError(
                f"the Gateway {self.base_url} cannot be reached: {_reason(error)}"
            ) from error
        return GatewayAnswer(
            call=request.call,
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=bytes(body),
        )


def _reason(error: httpx.RequestError) -> str:
    """Short and without values: a protocol error could quote a header."""
    if isinstance(error, httpx.ConnectError):
        return str(error) or "no connection"
    return _REASONS.get(type(error), type(error).__name__)
