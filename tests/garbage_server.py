"""A TCP server on loopback that answers every request for a path with the same bytes, or badly."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

Write = Callable[[bytes], object]
# Bytes, or who writes them, given the request's body; the connection is closed after that.
Answer = bytes | Callable[[bytes, Write], None]


def http_answer(body: bytes, *, headers: str = "", status: str = "200 OK") -> bytes:
    """A complete answer in HTTP, whatever its body is."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    answers: Mapping[str, Answer]


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = 5

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client may go whenever it likes
            path = self.rfile.readline().split(b" ")[1:2]
            length = 0
            while (line := self.rfile.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = self.rfile.read(length)
            key = path[0].decode() if path else ""
            answer = self.server.answers.get(key, self.server.answers["*"])
            if isinstance(answer, bytes):
                self.wfile.write(answer)
            else:
                answer(body, self.wfile.write)


class GarbageServer:
    """`answers`: path -> answer; "*" is for all other paths. As a context manager."""

    def __init__(self, answers: Mapping[str, Answer], *, port: int = 0) -> None:
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.answers = answers
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
