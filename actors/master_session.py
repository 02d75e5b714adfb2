"""What the reader and the writer of the one subscription share."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from actors.ports import MesosAnswer
from protocol.mesos import calls
from protocol.mesos.session import Remedy, State, Verdict, judge_answer, redirect_base

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
    adopted: bool = False  # the framework is older than its store
    outlives_us: bool = True  # the master keeps our tasks for the whole failover timeout
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def fence(self, stream_id: str, why: str) -> None:
        """Leave that subscription: what is still on its way with its stream id is void then."""
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

    def elsewhere(self, base: str, answer: MesosAnswer) -> Verdict | str:
        """What an answer that is no stream means; a text is the base to go to instead."""
        if answer.status in (301, 302, 307, 308):
            scheme = base.partition("://")[0]
            target = redirect_base(answer.headers.get("location", ""), scheme=scheme)
            if target is not None:
                return target
        principal = self.info.principal
        verdict = judge_answer(answer.status, answer.body, principal=principal)
        if verdict.remedy is not Remedy.FEWER:
            return verdict
        if self.minimal_for == self.version:
            return attrs.evolve(verdict, remedy=Remedy.PERSON)
        self.minimal_for = self.version
        return verdict
