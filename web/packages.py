"""`/packages/<sha256>/<name>`: the catalog's files, as far as the scheduler has them itself.

Read-only, in pieces of a bounded size, and only what has the SHA-256 in its own address: hosts
decide by that, so plain HTTP is as good as any other way.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from install_steps.shelf import Item, Shelf
from web.replies import Redact, error_reply

PATH: Final = "/packages/{sha256}/{name}"
READERS_MAX: Final = 16  # a host that is refused takes the next mirror, or comes back
READ_S_MAX: Final = 1800.0  # longer than any step downloads
CHUNK: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)

log = structlog.get_logger()


@attrs.frozen(eq=False)
class PackageFiles:
    shelf: Shelf
    redact: Redact
    _places: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(READERS_MAX))
    _hashing: trio.Lock = attrs.field(factory=trio.Lock)

    async def package_file(self, request: Request) -> ASGIApp | Response:
        item = self.shelf.items.get(request.path_params["sha256"])
        if item is None or request.path_params["name"] != item.file:
            return error_reply(404, "there is no such file in the catalog", self.redact)
        if not await self._is_right(item):
            log.error("a package is not the catalog's any more", file=item.file, sha256=item.sha256)
            sentence = f"{item.file} has changed and is not what the catalog says"
            return error_reply(503, sentence, self.redact)
        span = _span(request, item)
        headers = {
            "accept-ranges": "bytes",
            "etag": _tag(item),
            "content-type": "application/octet-stream",
        }
        if span is None:
            headers["content-range"] = f"bytes */{item.size_bytes}"
            return error_reply(416, "there are no such bytes in the file", self.redact, headers)
        first, end = span
        headers["content-length"] = str(end - first)
        status = 200
        if (first, end) != (0, item.size_bytes):
            headers["content-range"] = f"bytes {first}-{end - 1}/{item.size_bytes}"
            status = 206
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return _FileReply(item, first, end, status, headers, self._places, self.redact)

    async def _is_right(self, item: Item) -> bool:
        """Only what has changed is read again, and only one file at a time."""
        if self.shelf.is_known_good(item):
            return True
        async with self._hashing:
            return await trio.to_thread.run_sync(self.shelf.is_right, item, abandon_on_cancel=True)


@attrs.frozen(eq=False)
class _FileReply:
    """An ASGI reply that ends when the bytes do, the reader is gone, or it takes too long."""

    item: Item
    first: int
    end: int
    status: int
    headers: dict[str, str]
    places: trio.CapacityLimiter
    redact: Redact

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.places.acquire_on_behalf_of_nowait(self)
        except trio.WouldBlock:
            sentence = f"{READERS_MAX} downloads are under way already: try again"
            refusal = error_reply(503, sentence, self.redact, {"retry-after": "15"})
            await refusal(scope, receive, send)
            return
        try:
            await self._stream(receive, send)
        finally:
            self.places.release_on_behalf_of(self)

    async def _stream(self, receive: Receive, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        start = {"type": "http.response.start", "status": self.status, "headers": headers}
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + READ_S_MAX
            nursery.start_soon(_watch_reader, receive, nursery.cancel_scope)
            await send(start)
            await self._write(send)
            nursery.cancel_scope.cancel(reason="the file is sent")

    async def _write(self, send: Send) -> None:
        """What the file lacks is not made up: a short reply is an error at the other side."""
        at = self.first
        while at < self.end:
            offset, most = self.item.offset + at, min(CHUNK, self.end - at)
            chunk = await trio.to_thread.run_sync(_read, self.item.path, offset, most)
            if not chunk:
                log.error("a package became shorter while it was sent", file=self.item.file)
                return
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            at += len(chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _read(path: Path, offset: int, most: int) -> bytes:
    """Opened anew for each piece, so that a reader who never ends holds no file open."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(handle, most, offset)
    finally:
        os.close(handle)


async def _watch_reader(receive: Receive, scope: trio.CancelScope) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
    scope.cancel(reason="the reader is gone")


def _tag(item: Item) -> str:
    return f'"{item.sha256}"'


def _span(request: Request, item: Item) -> tuple[int, int] | None:
    """First byte and the one behind the last; the whole for what is no single range.

    None where the range begins behind the end.
    """
    size = item.size_bytes
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    condition = request.headers.get("if-range")
    if asked is None or asked.groups() == ("", "") or condition not in {None, _tag(item)}:
        return 0, size
    first, last = asked.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    begin, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < begin:
        return 0, size  # no range at all, says the standard
    return (begin, end) if begin < size else None
