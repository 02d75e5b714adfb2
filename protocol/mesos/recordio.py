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
    """Cuts a byte stream into records. Holds bytes; never awaits."""

    record_bytes_max: int = RECORD_BYTES_MAX
    _held: bytearray = attrs.field(factory=bytearray, init=False)
    _due: int | None = attrs.field(default=None, init=False)  # length of the record being read

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each record that `chunk` completes.

        Raises RemoteMesosError on a header that is no length: the stream can't be resumed.
        """
        self._held += chunk
        start = 0
        try:
            while (span := self._next(start)) is not None:
                begin, start = span
                yield bytes(self._held[begin:start])
        finally:
            del self._held[:start]

    def _next(self, start: int) -> tuple[int, int] | None:
        if self._due is None:
            end = self._held.find(b"\n", start, start + HEADER_BYTES_MAX + 1)
            if end < 0:
                if len(self._held) - start > HEADER_BYTES_MAX:
                    raise RemoteMesosError(f"record header {bytes(self._held[start:][:24])!r}")
                return None
            self._due = self._length(bytes(self._held[start:end]))
            del self._held[start : end + 1]
        if len(self._held) - start < self._due:
            return None
        stop, self._due = start + self._due, None
        return start, stop

    def _length(self, head: bytes) -> int:
        digits = head.strip()
        if not digits:
            return 0  # a blank line between records, which proxies have been seen to add
        if not digits.isdigit() or int(digits) > self.record_bytes_max:
            raise RemoteMesosError(
                f"record length {head!r}: expected digits up to {self.record_bytes_max}"
            )
        return int(digits)


def encode_record(body: bytes) -> bytes:
    return b"%d\n%b" % (len(body), body)
