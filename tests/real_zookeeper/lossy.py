"""A way to a server that can lose an answer: the request arrives, then the connection breaks."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 65536


class LossyWay:
    """Forwards connections to `port` on loopback; `lose_next_answer` arms one loss."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._armed = threading.Event()
        self.lost = threading.Event()
        self._connections: list[socket.socket] = []

    def lose_next_answer(self) -> None:
        """The next bytes that come back are dropped, and their connection is cut."""
        self.lost.clear()
        self._armed.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # ended already
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed: the end
            while True:
                client, _ = self._listener.accept()
                self._connections.append(client)
                with contextlib.suppress(ConnectionError):
                    self._join(client)

    def _join(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        self._connections.append(server)
        for source, sink in ((client, server), (server, client)):
            answers = source is server
            threading.Thread(
                target=self._forward, args=(source, sink), kwargs={"answers": answers}, daemon=True
            ).start()

    def _forward(self, source: socket.socket, sink: socket.socket, *, answers: bool) -> None:
        with contextlib.suppress(OSError):  # either side went
            while data := source.recv(_CHUNK):
                if answers and self._armed.is_set():
                    self._armed.clear()
                    self.lost.set()
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
