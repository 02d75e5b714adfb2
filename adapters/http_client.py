"""httpx clients whose sockets can be replaced: production, real Mesos and simulation differ here.

Each client owns a pool. `network_backend` is httpcore's own seam (None: real sockets).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator
from types import TracebackType
from typing import Final, Self

import attrs
import httpcore
import httpx

from adapters.wide_reads import WideReads

CONNECT_TIMEOUT_S: Final = 10.0  # a master in the same site answers in milliseconds

_ERRORS: Final[tuple[tuple[type[Exception], type[httpx.HTTPError]], ...]] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
)


def _translated(error: Exception, request: httpx.Request) -> httpx.HTTPError:
    for inner, outer in _ERRORS:
        if isinstance(error, inner):
            return outer(str(error) or inner.__name__, request=request)  # type: ignore[call-arg]
    return httpx.TransportError(str(error) or type(error).__name__, request=request)


_HTTPCORE_ERRORS: Final = tuple(inner for inner, _ in _ERRORS)


@attrs.define
class _Body(httpx.AsyncByteStream):
    parts: AsyncIterable[bytes]
    request: httpx.Request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self.parts:
                yield part
        except _HTTPCORE_ERRORS as error:
            raise _translated(error, self.request) from error

    async def aclose(self) -> None:
        close = getattr(self.parts, "aclose", None)
        if close is not None:
            await close()


@attrs.define
class PoolTransport(httpx.AsyncBaseTransport):
    """An httpx transport over an httpcore pool (httpx offers no way to name the network)."""

    pool: httpcore.AsyncConnectionPool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not isinstance(request.stream, httpx.AsyncByteStream):
            raise httpx.UnsupportedProtocol("the request body must be asynchronous")
        inner = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = await self.pool.handle_async_request(inner)
        except _HTTPCORE_ERRORS as error:
            raise _translated(error, request) from error
        if not isinstance(answer.stream, AsyncIterable):
            raise httpx.UnsupportedProtocol("the response body must be asynchronous")
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream, request),
            extensions=answer.extensions,
        )

    async def __aenter__(self) -> Self:
        await self.pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.pool.__aexit__(exc_type, exc_value, traceback)  # noqa: ASYNC102 - shields itself  # noqa: ASYNC102 - shields itself


def make_client(
    *,
    network_backend: httpcore.AsyncNetworkBackend | None = None,
    ssl_context: ssl.SSLContext | None = None,
    connections_max: int = 8,
    read_timeout_s: float | None = 75.0,
) -> httpx.AsyncClient:
    """A client that follows no redirects and reads no environment.

    `read_timeout_s=None` is for the event stream only: its heartbeat deadline is the caller's.
    """
    if read_timeout_s is None:
        network_backend = WideReads(network_backend or httpcore.TrioBackend())
    pool = httpcore.AsyncConnectionPool(
        ssl_context=ssl_context,
        max_connections=connections_max,
        keepalive_expiry=60.0,
        network_backend=network_backend,
    )
    return httpx.AsyncClient(
        transport=PoolTransport(pool),
        timeout=httpx.Timeout(
            connect=CONNECT_TIMEOUT_S, read=read_timeout_s, write=30.0, pool=30.0
        ),
        follow_redirects=False,
        trust_env=False,
    )
