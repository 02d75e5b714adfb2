"""A network in memory: names and ports lead to handlers, connections are pairs of Trio streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import httpcore
import trio
from trio.testing import memory_stream_pair

from simulation.http_server import Handler, serve_connection


@attrs.define
class Network:
    """Who listens where. `nursery` hosts one task per open connection.

    `down` holds the addresses that refuse connections; existing ones are cut by `cut`.
    """

    nursery: trio.Nursery
    _listeners: dict[tuple[str, int], Handler] = attrs.field(factory=dict, init=False)
    _streams: dict[tuple[str, int], set[trio.abc.Stream]] = attrs.field(factory=dict, init=False)
    down: set[tuple[str, int]] = attrs.field(factory=set, init=False)

    def listen(self, host: str, port: int, handler: Handler) -> None:
        self._listeners[host, port] = handler

    def cut(self, host: str, port: int) -> None:
        """Break every open connection to that address, both ways, at once."""
        for stream in list(self._streams.get((host, port), ())):
            _break(stream)

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        handler = self._listeners.get((host, port))
        if handler is None or (host, port) in self.down:
            raise ConnectionRefusedError(f"nobody listens on {host}:{port}")
        ours, theirs = memory_stream_pair()
        self.nursery.start_soon(self._serve, (host, port), theirs, handler)
        return ours

    async def _serve(self, at: tuple[str, int], stream: trio.abc.Stream, handler: Handler) -> None:
        streams = self._streams.setdefault(at, set())
        streams.add(stream)
        try:
            await serve_connection(stream, handler)
        finally:
            streams.discard(stream)


def _break(stream: trio.abc.Stream) -> None:
    if isinstance(stream, trio.StapledStream):
        for half in (stream.send_stream, stream.receive_stream):
            close = getattr(half, "close", None)
            if close is not None:
                close()


@attrs.define
class MemoryBackend(httpcore.AsyncNetworkBackend):
    """What an httpcore connection pool needs to speak over a `Network`."""

    network: Network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - httpcore's signature
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        try:
            return MemoryStream(await self.network.connect(host, port))
        except OSError as refused:
            raise httpcore.ConnectError(str(refused)) from refused

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


@attrs.define
class MemoryStream(httpcore.AsyncNetworkStream):
    stream: trio.abc.Stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        with _errors(httpcore.ReadError, httpcore.ReadTimeout):
            with trio.fail_after(float("inf") if timeout is None else timeout):
                return bytes(await self.stream.receive_some(max_bytes))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        with _errors(httpcore.WriteError, httpcore.WriteTimeout):
            with trio.fail_after(float("inf") if timeout is None else timeout):
                await self.stream.send_all(buffer)

    async def aclose(self) -> None:
        await self.stream.aclose()

    async def start_tls(
        self,
        ssl_context: Any,  # noqa: ARG002 - httpcore's signature
        server_hostname: str | None = None,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """TLS changes nothing that the simulation is about; the bytes stay readable."""
        await trio.lowlevel.checkpoint()
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - httpcore's signature
        return None


@attrs.define
class _errors:  # noqa: N801 - reads as a statement: `with _errors(...)`
    broken: type[Exception]
    late: type[Exception]

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, trio.TooSlowError):
            raise self.late("timed out") from error
        if isinstance(error, trio.BrokenResourceError | trio.ClosedResourceError):
            raise self.broken("the connection is broken") from error
