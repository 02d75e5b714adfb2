"""RecordIO: decimal byte length, newline, that many bytes (docs/recordio.md of Mesos)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from protocol.mesos.errors import RemoteMesosError

HEADER_BYTES_MAX: Final = 20  # digits of a 64-bit length
RECORD_BYTES_MAX: Final = 256 * 1024 * 1024  # one OFFERS event for 10,000 agents is about 12 MB


@attrs.define
class RecordReader:
    """Cuts a byte stream into records. Holds bytes; never awaits.

    What is held is what has come, never what a header announces. Pieces of a record are put
    together once, when its last one is here.
    """

    record_bytes_max: int = RECORD_BYTES_MAX
    _head: bytes = attrs.field(default=b"", init=False)  # of a header that is not whole
    _due: int | None = attrs.field(default=None, init=False)  # length of the record being read
    _parts: list[bytes] = attrs.field(factory=list, init=False)  # what has come of it
    _have: int = attrs.field(default=0, init=False)  # bytes in them
    _left: bytes = attrs.field(default=b"", init=False)  # of a chunk that was not read to its end

    @property
    def held_bytes(self) -> int:
        """What has come of the record that is not complete."""
        return len(self._head) + self._have + len(self._left)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each record that `chunk` completes.

        Raises RemoteMesosError on a header that is no length: the stream can't be resumed.
        """
        at, chunk = 0, self._left + chunk if self._left else chunk
        self._left = b""
        try:
            while True:
                if self._due is None:
                    at = self._begin(chunk, at)
                    if self._due is None:
                        if at == len(chunk):
                            return
                        continue  # a blank line between records, which proxies may add
                taken = min(self._due - self._have, len(chunk) - at)
                if taken == self._due:  # all of it: the usual case
                    record = chunk[at : at + taken]
                else:
                    self._parts.append(chunk[at : at + taken])
                    self._have += taken
                    if self._have < self._due:
                        at += taken
                        return
                    record = b"".join(self._parts)
                    self._parts.clear()
                at, self._due, self._have = at + taken, None, 0
                yield record
        finally:
            self._left = chunk[at:]

    def _begin(self, chunk: bytes, at: int) -> int:
        """Where the record begins whose header ends after `at`; the end, if it is not whole."""
        rest = HEADER_BYTES_MAX + 1 - len(self._head)
        end = chunk.find(b"\n", at, at + rest)
        if end < 0:
            head = self._head + chunk[at : at + rest]
            if len(head) > HEADER_BYTES_MAX:
                raise RemoteMesosError(f"record header {head!r}: expected a length")
            self._head = head
            return len(chunk)
        self._due = self._length(self._head + chunk[at:end])
        self._head = b""
        return end + 1

    def _length(self, head: bytes) -> int | None:
        digits = head.strip()
        if not digits:
            return None
        if not digits.isdigit() or int(digits) > self.record_bytes_max:
            raise RemoteMesosError(
                f"record length {head!r}: expected digits up to {self.record_bytes_max}"
            )
        return int(digits)


def encode_record(body: bytes) -> bytes:
    return b"%d\n%b" % (len(body), body)
