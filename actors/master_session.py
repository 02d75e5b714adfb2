"""What the reader and the writer of the one subscription share."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from protocol.mesos import calls
from protocol.mesos.session import State

FIRST_FAILOVER_S: Final = (
    60.0  # until our id is stored: an orphan of a crash in between is soon gone
)


@attrs.define
class Session:
    """`generation` counts subscriptions; `scope` is around the reading of the present one."""

    info: calls.FrameworkInfo
    state: State = State.DISCONNECTED
    generation: int = 0
    base: str = ""
    stream_id: str = ""
    version: calls.Version = (1, 0)
    minimal_for: calls.Version | None = None  # this master refuses what its version should know
    suppressed: bool = False
    outlives_us: bool = True  # the master keeps our tasks for the whole failover timeout
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def fence(self, stream_id: str, why: str) -> None:
        """Leave that subscription: a new one has a new stream id, so that what is still on its
        way comes to nothing."""
        if stream_id and self.stream_id == stream_id:
            self.scope.cancel(reason=why)

    def subscription(self) -> bytes:
        """The SUBSCRIBE to send now."""
        info = self.info
        if not info.framework_id:
            first_s = min(FIRST_FAILOVER_S, info.failover_timeout_s)
            info = attrs.evolve(info, failover_timeout_s=first_s)
        return calls.subscribe(
            info,
            self.version,
            suppressed=self.suppressed,
            minimal=self.minimal,
        )

    @property
    def minimal(self) -> bool:
        """Ask for as few capabilities as there are."""
        return self.minimal_for == self.version
