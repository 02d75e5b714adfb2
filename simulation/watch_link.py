"""Who we are to the master, and on which stream our calls leave: promises 13 and 14."""

from __future__ import annotations

import attrs

from simulation.mesos_observed import CallReceived, StreamOpened
from simulation.promises import IDENTITY, LIVE_STREAM, Book
from simulation.world import WorldEvent


@attrs.define
class LinkWatch:
    """Both ends of the wire are heard: what the master receives, and what the scheduler knows.

    A call that was under way when its stream died is no fault: its sender could not know.
    """

    book: Book
    _stored: str | None = None  # framework id; None: not known yet
    _told: bool = False  # an operator said that the id may change
    _issued: set[str] = attrs.field(factory=set)  # stream ids that a master gave out
    _dead: set[str] = attrs.field(factory=set)  # those whose end the scheduler has seen

    def saw(self, event: WorldEvent) -> None:
        match event:
            case StreamOpened():
                self._issued.add(event.stream_id)
            case CallReceived(kind="SUBSCRIBE"):
                self._subscribes(event.framework_id)
            case CallReceived(stream_id=stream_id) if stream_id:
                text = f"{event.kind} came on {stream_id}, which no master gave out"
                self.book.check(LIVE_STREAM, stream_id in self._issued, text)
            case _:
                pass

    def _subscribes(self, framework_id: str) -> None:
        if self._stored is None:
            self._stored = framework_id
        text = f"SUBSCRIBE as {framework_id or 'a new framework'}, stored is {self._stored!r}"
        self.book.check(IDENTITY, framework_id == self._stored, text)

    def kept(self, framework_id: str) -> None:
        """That id is durable now; "" forgets it."""
        if self._stored:
            same = framework_id == self._stored or self._told
            text = f"{framework_id!r} was stored in place of {self._stored!r}"
            self.book.check(IDENTITY, same, text)
        if framework_id != self._stored:
            self._told = False
        self._stored = framework_id

    def registers(self) -> None:
        """An operator lets the framework register anew, or end: the id may change once."""
        self._told = True

    def stays(self) -> None:
        """The operator has called the framework's end off."""
        self._told = False

    def call_leaves(self, stream_id: str) -> None:
        """The scheduler begins to send a call."""
        text = f"a call was sent on {stream_id}, whose end was known"
        self.book.check(LIVE_STREAM, stream_id not in self._dead, text)

    def stream_over(self, stream_id: str) -> None:
        """The scheduler has seen the end of that stream, or has left it."""
        self._dead.add(stream_id)
