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

    What is held is what has come, never what a header announces. Every byte is moved a bounded
    number of times, however the stream is cut: headers are looked for where the last one ended,
    and what is done with is dropped once per chunk, from the front.
    """

    record_bytes_max: int = RECORD_BYTES_MAX
    _held: bytearray = attrs.field(factory=bytearray, init=False)
    _due: int | None = attrs.field(default=None, init=False)  # length of the record being read

    @property
    def held_bytes(self) -> int:
        """What has come of the record that is not complete."""
        return len(self._held)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each record that `chunk` completes.

        Raises RemoteMesosError on a header that is no length: the stream can't be resumed.
        """
        self._held += chunk
        done = 0
        try:
            while True:
                if self._due is None:
                    begin = self._begin(done)
                    if begin is None:
                        return
                    done = begin
                if self._due is None:  # a blank line between records, which proxies may add
                    continue
                if len(self._held) - done < self._due:
                    return
                begin, done, self._due = done, done + self._due, None
                yield bytes(memoryview(self._held)[begin:done])
        finally:
            del self._held[:done]

    def _begin(self, start: int) -> int | None:
        """Where the record of the header at `start` begins; None while the header is not whole."""
        end = self._held.find(b"\n", start, start + HEADER_BYTES_MAX + 1)
        if end < 0:
            if len(self._held) - start > HEADER_BYTES_MAX:
                head = bytes(self._held[start : start + HEADER_BYTES_MAX + 1])
                raise RemoteMesosError(f"record header {head!r}: expected a length")
            return None
        self._due = self._length(bytes(self._held[start:end]))
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
