"""The event stream: what happened, entry by entry, and a word whenever something else changed.

`entry` events carry the chronicle's ids: who comes back with Last-Event-ID misses nothing that is
still kept, and is told by `gap` where something is not. `change` events have no id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio
from starlette.types import Message, Receive, Scope, Send

from actors.board import Board
from domain.chronicle import Entry
from web.replies import Redact, error_reply

STREAMS_MAX: Final = 64  # pages held open; beyond that a page polls
HEARTBEAT_S: Final = 15.0  # proxies give up on silence after 30 to 60 s
PAUSE_S: Final = 1.0  # between two events: no page need follow faster
ENTRIES_MAX: Final = 500  # in one go
RETRY_MS: Final = 3000


@attrs.frozen(kw_only=True, eq=False)
class EventStream:
    """An ASGI reply that ends when `stop` is set or the reader is gone."""

    board: Board
    stop: trio.Event
    describe: Callable[[], str]  # one line of JSON
    entry: Callable[[Entry], str]  # one line of JSON
    after: int  # the last entry that the reader has
    redact: Redact
    places: trio.CapacityLimiter
    time_scale: float = 1.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.places.acquire_on_behalf_of_nowait(self)
        except trio.WouldBlock:
            sentence = f"{STREAMS_MAX} event streams are open already: poll /v1/status instead"
            await error_reply(503, sentence, self.redact)(scope, receive, send)
            return
        try:
            await self._stream(receive, send)
        finally:
            self.places.release_on_behalf_of(self)

    async def _stream(self, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_reader, receive, nursery.cancel_scope)
            await self._write(send)
            nursery.cancel_scope.cancel(reason="the stream has ended")

    async def _write(self, send: Send) -> None:
        await send(_body(f"retry: {RETRY_MS}\n\n"))
        chronicle, last = self.board.chronicle, self.after
        if chronicle.has_gap_after(last):
            await send(_body(f'event: gap\ndata: {{"after": {last}}}\n\n'))
        seen = -1
        while not self.stop.is_set():
            if self.board.revision != seen:
                seen = self.board.revision
                news = chronicle.after(last, limit=ENTRIES_MAX)
                lines = [f"id: {e.id}\nevent: entry\ndata: {self.entry(e)}\n\n" for e in news]
                last = news[-1].id if news else last
                await send(_body(f"{''.join(lines)}event: change\ndata: {self.describe()}\n\n"))
                if len(news) == ENTRIES_MAX:
                    seen = -1  # there is more
                with trio.move_on_after(PAUSE_S * self.time_scale):
                    await self.stop.wait()
            else:
                await self._wait_news(seen)
                await send(_body(": still here\n\n"))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_news(self, seen: int) -> None:
        """Until something changed, `stop` is set, or it is time for a sign of life."""
        with trio.move_on_after(HEARTBEAT_S * self.time_scale):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_stop, nursery.cancel_scope)
                while self.board.revision == seen:
                    await self.board.wait_change()
                nursery.cancel_scope.cancel(reason="the board has changed")

    async def _watch_stop(self, scope: trio.CancelScope) -> None:
        await self.stop.wait()
        scope.cancel(reason="the process stops")

    async def _watch_reader(self, receive: Receive, scope: trio.CancelScope) -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            message = await receive()
        scope.cancel(reason="the reader is gone")


def _body(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}
