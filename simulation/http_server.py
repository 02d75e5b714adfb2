"""A small HTTP/1.1 server on any Trio stream: real bytes, chunks and cuts.

The simulated master, agents and Gateway answer through it, over memory streams in the
simulation and over sockets in `simulate-master` and `simulate-gateway`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import attrs
import h11
import trio

BODY_BYTES_MAX: Final = 64 * 1024 * 1024  # no request of ours comes near; a runaway is cut off
READ_BYTES: Final = 65536


@attrs.frozen(kw_only=True)
class Request:
    """One request as received; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@attrs.frozen(kw_only=True)
class Reply:
    """An answer with its whole body."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@attrs.frozen(kw_only=True)
class StreamReply:
    """An endless answer: every item of `chunks` is one HTTP chunk; its end closes the connection.

    An item of `None` cuts the connection at once, in the middle of the body. `over` is called
    when the connection has ended, even where it did before the first item was asked for.
    """

    chunks: AsyncIterator[bytes | None]
    over: Callable[[], None] = lambda: None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Cut:
    """No answer: the connection is closed as if the process had died."""


Handler = Callable[[Request], Awaitable[Reply | StreamReply | Cut]]


async def serve_connection(stream: trio.abc.Stream, handler: Handler) -> None:
    """Answer requests on one connection until it is closed by either side."""
    connection = h11.Connection(h11.SERVER)
    async with stream:
        try:
            while await _serve_one(stream, connection, handler):
                connection.start_next_cycle()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # the other side is gone, or speaks no HTTP: nothing can be answered


async def _serve_one(stream: trio.abc.Stream, connection: h11.Connection, handler: Handler) -> bool:
    request = await _read_request(stream, connection)
    if request is None:
        return False
    reply = await handler(request)
    if isinstance(reply, Cut):
        return False
    if isinstance(reply, StreamReply):
        try:
            await _send_stream(stream, connection, reply)
        finally:
            reply.over()
        return False
    headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
    head = h11.Response(status_code=reply.status, headers=headers)
    out = (connection.send(head) or b"") + (connection.send(h11.Data(data=reply.body)) or b"")
    await stream.send_all(out + (connection.send(h11.EndOfMessage()) or b""))
    return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _read_request(stream: trio.abc.Stream, connection: h11.Connection) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await stream.send_all(connection.send(go_on) or b"")
            connection.receive_data(bytes(await stream.receive_some(READ_BYTES)))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_BYTES_MAX:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Request(
                method=head.method.decode("ascii"),
                target=head.target.decode("ascii"),
                headers={k.decode("latin-1"): v.decode("latin-1") for k, v in head.headers},
                body=bytes(body),
            )
        else:
            return None


async def _send_stream(
    stream: trio.abc.Stream, connection: h11.Connection, reply: StreamReply
) -> None:
    headers = [*reply.headers, ("Transfer-Encoding", "chunked")]
    head = h11.Response(status_code=reply.status, headers=headers)
    await stream.send_all(connection.send(head) or b"")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_for_hang_up, stream, nursery.cancel_scope)
        async for chunk in reply.chunks:
            if chunk is None:
                break
            await stream.send_all(connection.send(h11.Data(data=chunk)) or b"")
        else:
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        nursery.cancel_scope.cancel(reason="the stream has ended")


async def _watch_for_hang_up(stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """A client that closes its side ends the stream, even when we have nothing to send."""
    try:
        while await stream.receive_some(READ_BYTES):
            pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    scope.cancel(reason="the client hung up")
