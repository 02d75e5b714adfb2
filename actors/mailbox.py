"""Bounded mailboxes. The supervisor owns them; an actor runs on a clone of the receiving end."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Generic, TypeVar

import attrs
import trio

from actors.board import ActorSnapshot, RecentMessage

T = TypeVar("T")

RECENT_KEPT: Final = 20


@attrs.define
class Vitals:
    """What introspection shows of one actor; written by its mailbox and its supervisor."""

    name: str
    kind: str
    phase: str = "starting"
    handled: int = 0
    last_message: str = ""
    last_message_at: float = -math.inf
    restarts: int = 0
    last_error: str = ""
    waiting_for: str = ""
    peak: int = 0
    recent: deque[tuple[float, object]] = attrs.field(factory=lambda: deque(maxlen=RECENT_KEPT))


@attrs.define
class Mailbox(Generic[T]):
    """One actor's queue of one closed union of messages, with its vitals beside it."""

    vitals: Vitals
    size: int
    _send: trio.MemorySendChannel[T] = attrs.field(init=False)
    _receive: trio.MemoryReceiveChannel[T] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not 0 < self.size < 1_000_000:
            raise ValueError(f"mailbox {self.vitals.name}: size {self.size} is no bound")
        self._send, self._receive = trio.open_memory_channel(self.size)

    def offer(self, message: T) -> bool:
        """Put it in now; False if there is no room (each caller has a policy for that)."""
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            return False
        self._note_depth()
        return True

    async def put(self, message: T) -> None:
        """Wait for room: only downstream (reader -> broker -> writer, agent -> journal)."""
        await self._send.send(message)
        self._note_depth()

    @property
    def depth(self) -> int:
        return self._send.statistics().current_buffer_used

    def _note_depth(self) -> None:
        self.vitals.peak = max(self.vitals.peak, self.depth)

    async def receive(self) -> T:
        """The next message; the vitals tell that we wait, and what came."""
        self.vitals.waiting_for = "a message"
        message = await self._receive.receive()
        self.note(message)
        return message

    def receive_now(self) -> T | None:
        try:
            message = self._receive.receive_nowait()
        except trio.WouldBlock:
            return None
        self.note(message)
        return message

    def note(self, message: T) -> None:
        vitals, now = self.vitals, trio.current_time()
        vitals.waiting_for = ""
        vitals.handled += 1
        vitals.last_message = type(message).__name__
        vitals.last_message_at = now
        brief = getattr(message, "brief", None)  # what is large is not kept for who may look
        vitals.recent.append((now, message if brief is None else brief()))

    def snapshot(self) -> ActorSnapshot:
        vitals = self.vitals
        heard = vitals.last_message_at
        return ActorSnapshot(
            name=vitals.name,
            kind=vitals.kind,
            phase=vitals.phase,
            mailbox_depth=self.depth,
            mailbox_peak=vitals.peak,
            mailbox_size=self.size,
            handled=vitals.handled,
            last_message=vitals.last_message,
            last_message_age_s=None if heard == -math.inf else trio.current_time() - heard,
            restarts=vitals.restarts,
            last_error=vitals.last_error,
            waiting_for=vitals.waiting_for,
            recent=tuple(RecentMessage(at=at, message=message) for at, message in vitals.recent),
        )
