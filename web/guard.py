"""What every request passes first: limits, the Host header; and what every reply carries."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

import attrs
import trio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.access import Access, Refusal
from web.replies import Redact, error_reply

BODY_BYTES_MAX: Final = 1024 * 1024  # the original's limit; no request of ours needs a body
HEADER_BYTES_MAX: Final = 16 * 1024
REQUESTS_MAX: Final = 256  # at a time, open event streams included
BODY_S: Final = 10.0  # for the whole body: who sends slower is dropped

Refused = Callable[..., None]  # of Book.refused

REPLY_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@attrs.define
class Guard:
    """ASGI middleware. `hosts`: names in lower case by which we may be called."""

    app: ASGIApp
    hosts: frozenset[str]
    redact: Redact
    count: Callable[[str, int], None]  # endpoint's name, status
    access: Access | None = None  # None: everybody may, but change nothing
    refused: Refused = lambda **_: None
    clock: Callable[[], float] = trio.current_time
    time_scale: float = 1.0
    _busy: int = attrs.field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in REPLY_HEADERS.items():
                    headers.setdefault(name, value)
                self.count(_endpoint(scope), message["status"])
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal:
            await error_reply(*refusal, self.redact)(scope, receive, send_noted)
            return
        judged = self._judged(scope)
        if isinstance(judged, Refusal):
            reply = error_reply(judged.status, judged.sentence, self.redact, judged.headers)
            await reply(scope, receive, send_noted)
            return
        scope.setdefault("state", {})["who"] = judged
        self._busy += 1
        try:
            body = b""
            if scope["method"] not in ("GET", "HEAD"):
                with trio.move_on_after(BODY_S * self.time_scale) as patience:
                    body = await _whole(receive)
                if patience.cancelled_caught:
                    slow = error_reply(408, "the request's body came too slowly", self.redact)
                    await slow(scope, receive, send_noted)
                    return
            await self.app(scope, _again(body, receive), send_noted)
        finally:
            self._busy -= 1

    def _judged(self, scope: Scope) -> str | Refusal:
        if self.access is None:
            return ""
        path, method = scope["path"], scope["method"]
        address = (scope.get("client") or ("", 0))[0]
        judged = self.access.judge(
            method,
            path,
            Headers(scope=scope),
            port=(scope.get("server") or ("", 0))[1] or 0,
            address=address,
            now=self.clock(),
        )
        if isinstance(judged, Refusal) and (method == "POST" or judged.status != 429):
            self.refused(
                what=f"{method} {path[:200]}",
                who="",
                source=address,
                status=judged.status,
                why=judged.sentence,
            )
        return judged

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence; None lets it pass. No await between check and count."""
        if sum(len(name) + len(value) for name, value in headers.raw) > HEADER_BYTES_MAX:
            return 431, f"the headers are longer than {HEADER_BYTES_MAX} bytes"
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not known_host(hosts[0], self.hosts):
            return 421, (
                "not served under this host name: call the scheduler by an IP address, by the "
                "host name it announces, or start it with that name as -rest.address"
            )
        if "transfer-encoding" in headers:
            return 411, "say how long the body is: Content-Length is required"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:12]) > BODY_BYTES_MAX:
            return 413, f"the body is longer than {BODY_BYTES_MAX} bytes"
        if self._busy >= REQUESTS_MAX:
            return 503, f"{REQUESTS_MAX} requests are under way already: try again"
        return None


async def _whole(receive: Receive) -> bytes:
    """The body; its length was checked before."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)  # the caller is gone: the app sees it next
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """First the body that was read already, then whatever comes."""
    given = False

    async def read() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        await trio.lowlevel.checkpoint()
        return {"type": "http.request", "body": body, "more_body": False}

    return read


def known_host(header: str, names: Iterable[str]) -> bool:
    """An address, localhost, or one of our names.

    Any other name may belong to a stranger's page that lets it point here (DNS rebinding).
    """
    host = header.strip().lower()
    if host.startswith("[") and "]" in host:
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    host = host.removesuffix(".")
    if host == "localhost" or host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _endpoint(scope: Scope) -> str:
    return getattr(scope.get("endpoint"), "__name__", "none")
