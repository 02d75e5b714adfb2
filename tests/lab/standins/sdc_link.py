"""The SDC's connections to its MDMs: it reports, and is told which volumes are mapped to it.

Every manager of a cluster is connected to, each tells the same, and any of them may be away.
Volumes stay as they are while none can be reached: the data does not go through the MDM.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from . import lines
from .sdc_config import Addresses

PORT: Final = 6611
CONNECT_S: Final = 2.0
BEAT_S: Final = 1.0
SILENCE_S: Final = 5.0
RETRY_S: Final = 1.0


@dataclass(frozen=True, order=True)
class Volume:
    system: str
    volume: str


@dataclass(kw_only=True)
class Cluster:
    """What one MDM cluster said last."""

    addresses: Addresses
    system: str = ""
    sdc: str = ""
    installation: str = ""
    epoch: str = ""
    version: int = -1
    heard: int = 0
    volumes: frozenset[Volume] = frozenset()

    def take(self, message: lines.Message) -> None:
        """Managers answer in any order: what is older than what is known is left out."""
        self.heard += 1
        epoch, version = str(message["epoch"]), int(message["version"])
        if epoch == self.epoch and version < self.version:
            return
        self.epoch, self.version = epoch, version
        self.system, self.sdc = str(message["system"]), str(message["sdc"])
        self.installation = str(message["installation"])
        self.volumes = frozenset(Volume(self.system, str(v)) for v in message["volumes"])


@dataclass
class Link:
    """One connection, made again whenever it breaks. `told` gets what the MDM says."""

    source: str
    address: str
    hello: lines.Message
    told: Callable[[lines.Message], None]
    closed: threading.Event = field(default_factory=threading.Event)
    _connection: socket.socket | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        if (connection := self._connection) is not None:
            with contextlib.suppress(OSError):  # its thread sees the end at once
                connection.shutdown(socket.SHUT_RDWR)

    def beat(self) -> None:
        """Ask for the list now. A broken connection is the thread's own matter."""
        if (connection := self._connection) is not None:
            with contextlib.suppress(OSError):
                connection.sendall(lines.encode({"ask": "beat"}))

    def _run(self) -> None:
        said = ""
        while not self.closed.is_set():
            try:
                self._converse()
            except (OSError, lines.ProtocolError, KeyError, ValueError, TypeError) as error:
                text = f"MDM {self.address}: {error}"
                if text != said and not self.closed.is_set():
                    sys.stderr.write(f"{text}\n")
                    sys.stderr.flush()
                said = text
            self.closed.wait(RETRY_S)

    def _converse(self) -> None:
        peer = (self.address, PORT)
        with socket.create_connection(peer, CONNECT_S, (self.source, 0)) as connection:
            connection.sendall(lines.encode(self.hello))
            self._connection = connection
            try:
                self._listen(connection)
            finally:
                self._connection = None

    def _listen(self, connection: socket.socket) -> None:
        splitter = lines.Splitter()
        heard_at = time.perf_counter()
        while not self.closed.is_set():
            if select.select([connection], [], [], BEAT_S)[0]:
                chunk = connection.recv(lines.READ_BYTES)
                if not chunk:
                    raise ConnectionError("it closed the connection")
                for message in splitter.feed(chunk):
                    self.told(message)
                heard_at = time.perf_counter()
            elif time.perf_counter() - heard_at > SILENCE_S:
                raise TimeoutError(f"silent for {SILENCE_S:g} s")
            else:
                self.beat()
