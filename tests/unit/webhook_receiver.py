"""A receiver of notifications on a loopback socket that writes down what it is told.

    async with recording_receiver() as receiver:
        ...
        receiver.url        # http://127.0.0.1:PORT/hook
        receiver.messages   # the JSON of each message that it took, in order

Under a virtual clock the socket has to be waited for in real time: `ClockHeld` stands between
the notifier and its adapter, and lets no virtual time pass while a message is on its way.
"""

from __future__ import annotations

import json
import math
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import trio
from trio.testing import MockClock

from actors.ports import NoticeAnswer, Notices
from adapters.http_client import make_client
from adapters.webhook_http import HttpNotices
from domain.notices import Framework, Message, Receiver
from flags.secret import Redactor
from simulation.http_server import Cut, Reply, Request, StreamReply, serve_connection

LOOPBACK: Final = "127.0.0.1"
OK: Final = Reply(status=200)

Answer = Reply | StreamReply | Cut
Behaviour = Callable[[Request], Awaitable[Answer]]


@attrs.define
class RecordingReceiver:
    """Takes everything, but what `replies` holds comes first, one for each request.

    `behaviour`, if there is one, decides instead of both.
    """

    base: str
    path: str
    requests: list[Request] = attrs.field(factory=list)  # all, also those that were refused
    messages: list[Any] = attrs.field(factory=list)  # of those that were answered by 2xx
    replies: list[Answer] = attrs.field(factory=list)
    behaviour: Behaviour | None = None

    @property
    def url(self) -> str:
        return f"{self.base}{self.path}"

    @property
    def conditions(self) -> list[tuple[str, str, str]]:
        """(state, name, subject) of each line of each generic message, in order."""
        return [
            (one["state"], one["name"], one["subject"])
            for message in self.messages
            for one in message["conditions"]
        ]

    def headers(self, name: str) -> list[str]:
        return [request.headers.get(name, "") for request in self.requests]

    async def answer(self, request: Request) -> Answer:
        await trio.lowlevel.checkpoint()
        self.requests.append(request)
        if self.behaviour is not None:
            reply = await self.behaviour(request)
        else:
            reply = self.replies.pop(0) if self.replies else OK
        if isinstance(reply, Reply) and 200 <= reply.status < 300:
            self.messages.append(json.loads(request.body))
        return reply


@asynccontextmanager
async def recording_receiver(
    path: str = "/hook", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RecordingReceiver]:
    """`tls`: a server's context; without it the receiver speaks plain HTTP."""
    made = RecordingReceiver(base="", path=path)

    async def serve(stream: trio.abc.Stream) -> None:
        try:
            await serve_connection(stream, made.answer)
        except* (trio.BrokenResourceError, ssl.SSLError):
            pass  # who does not trust us hangs up

    async with trio.open_nursery() as nursery:
        if tls is None:
            [plain] = await nursery.start(partial(trio.serve_tcp, serve, 0, host=LOOPBACK))
            port = plain.socket.getsockname()[1]
        else:
            listening = partial(trio.serve_ssl_over_tcp, serve, 0, tls, host=LOOPBACK)
            [secured] = await nursery.start(listening)
            port = secured.transport_listener.socket.getsockname()[1]
        made.base = f"{'http' if tls is None else 'https'}://{LOOPBACK}:{port}"
        yield made
        nursery.cancel_scope.cancel()


@attrs.define
class ClockHeld:
    """Notices whose sockets are waited for in real time, though the run's clock is virtual."""

    inner: Notices
    _holds: int = 0
    _threshold: float = 0.0

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        return self.inner.receivers

    async def deliver(
        self, receiver: Receiver, message: Message, framework: Framework
    ) -> NoticeAnswer:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock), "only a virtual clock has to be held"
        self._hold(clock)
        try:
            return await self.inner.deliver(receiver, message, framework)
        finally:
            self._release(clock)

    def _hold(self, clock: MockClock) -> None:
        if self._holds == 0:
            self._threshold, clock.autojump_threshold = clock.autojump_threshold, math.inf
        self._holds += 1

    def _release(self, clock: MockClock) -> None:
        self._holds -= 1
        if self._holds == 0:
            clock.autojump_threshold = self._threshold


@asynccontextmanager
async def http_notices(
    *webhooks: str,
    alertmanagers: tuple[str, ...] = (),
    token_file: Path | None = None,
    tls: ssl.SSLContext | None = None,
    redactor: Redactor | None = None,
) -> AsyncIterator[HttpNotices]:
    """The real adapter on real sockets, as the scheduler makes it."""
    client: httpx.AsyncClient = make_client(ssl_context=tls, connections_max=16)
    async with client:
        yield HttpNotices.to(
            webhooks=webhooks,
            alertmanagers=alertmanagers,
            token_file=token_file,
            client=client,
            redactor=redactor or Redactor(),
        )
