"""One JSON object a line, over a stream socket: how the stand-ins speak with each other."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Message = dict[str, Any]

LINE_BYTES_MAX: Final = 1024 * 1024
READ_BYTES: Final = 65536


class ProtocolError(Exception):
    """The other side does not speak our way: the connection is of no use any more."""


def encode(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises ProtocolError."""
    try:
        found = json.loads(line)
    except ValueError:
        raise ProtocolError(f"no JSON: {line[:80]!r}") from None
    if not isinstance(found, dict):
        raise ProtocolError(f"no object: {line[:80]!r}")
    return found


class Splitter:
    """Cuts a byte stream into messages. Holds bytes; never waits."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> list[Message]:
        """Raises ProtocolError."""
        *lines, self._held = (self._held + chunk).split(b"\n")
        if len(self._held) > LINE_BYTES_MAX:
            raise ProtocolError(f"a line of more than {LINE_BYTES_MAX} bytes")
        return [decode(line) for line in lines]


def received(connection: socket.socket) -> Iterator[Message]:
    """Messages until the other side closes. Raises ProtocolError, OSError, TimeoutError."""
    splitter = Splitter()
    while chunk := connection.recv(READ_BYTES):
        yield from splitter.feed(chunk)


def ask(connection: socket.socket, message: Mapping[str, object]) -> Message:
    """One question, one answer. Raises ProtocolError, OSError, TimeoutError."""
    connection.sendall(encode(message))
    for answer in received(connection):
        return answer
    raise ProtocolError("the other side closed the connection")


def serve(connection: socket.socket, answer: Callable[[Message], Mapping[str, object]]) -> None:
    """Answer until the other side goes away, or says what makes no sense."""
    with connection:
        try:
            for message in received(connection):
                connection.sendall(encode(answer(message)))
        except (OSError, ProtocolError):
            return
