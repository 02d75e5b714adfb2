"""One subscription as the master holds it: a queue of records and the connection they leave by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
import trio

from simulation import mesos_json
from simulation.mesos_json import JsonObject


@attrs.define(eq=False)
class EventStream:
    """An asynchronous iterator of HTTP chunks; `send`, `end` and `cut` never wait.

    The queue has no bound, as the real master's has none (MESOS-7748). `hung_up` is called
    once when the reader is seen to be gone; not after an `end` or `cut` of ours.
    """

    stream_id: str
    framework_id: str
    hung_up: Callable[[EventStream], None]
    muted: bool = False  # a dial: nothing arrives any more, and nobody notices
    _queue: deque[bytes | None] = attrs.field(factory=deque, init=False)
    _wake: trio.Event = attrs.field(factory=trio.Event, init=False)
    _ending: bool = attrs.field(default=False, init=False)
    _handed_at: float | None = attrs.field(default=None, init=False)

    @property
    def open(self) -> bool:
        return not self._ending

    def send(self, event: JsonObject) -> None:
        if not self._ending and not self.muted:
            self._put(mesos_json.record(event))

    def send_raw(self, data: bytes) -> None:
        if not self._ending:
            self._put(data)

    def end(self) -> None:
        """After what is queued, the last chunk: a clean end of the body."""
        self._ending = True
        self._wake.set()

    def cut(self, *, mid_record: bool = False) -> None:
        """Break the connection now; `mid_record` lets half of one record out before."""
        if not mid_record:
            self._queue.clear()
        elif self._queue and isinstance(self._queue[0], bytes):
            first = self._queue[0]
            self._queue.clear()
            self._queue.append(first[: len(first) // 2])
        else:
            whole = mesos_json.record(mesos_json.HEARTBEAT)
            self._queue.append(whole[: len(whole) // 2])
        self._put(None)
        self._ending = True

    def stalled_s(self) -> float:
        """How long the last chunk has been on its way to the reader; 0 when it has arrived."""
        return 0.0 if self._handed_at is None else trio.current_time() - self._handed_at

    def _put(self, chunk: bytes | None) -> None:
        self._queue.append(chunk)
        self._wake.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> bytes | None:
        self._handed_at = None
        try:
            while not self._queue:
                if self._ending:
                    raise StopAsyncIteration
                self._wake = trio.Event()
                await self._wake.wait()
        except trio.Cancelled:
            self.gone()
            raise
        self._handed_at = trio.current_time()
        return self._queue.popleft()

    def gone(self) -> None:
        """Nobody reads any more."""
        if not self._ending:
            self._ending = True
            self.hung_up(self)
