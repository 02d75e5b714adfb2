"""What every request passes first: limits, the Host header; and what every reply carries."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

import attrs
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.replies import Redact, error_reply

BODY_BYTES_MAX: Final = 1024 * 1024  # the original's limit; no request of ours needs a body
HEADER_BYTES_MAX: Final = 16 * 1024
REQUESTS_MAX: Final = 256  # at a time, open event streams included

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
        self._busy += 1
        try:
            await self.app(scope, receive, send_noted)
        finally:
            self._busy -= 1

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
