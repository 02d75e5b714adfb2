"""How long work and reboots took so far, for the estimate of the rest."""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from actors.board import RolloutSnapshot
from domain.estimate import Work, estimate
from domain.rollout import Limits
from domain.stages import Course, RolloutRecord, Standing

MEASURED: Final = 50  # of the last ones: a cluster's pace changes


@attrs.define
class Tempo:
    """Times are seconds on the run's clock. Lives as long as the process."""

    works: deque[float] = attrs.field(factory=lambda: deque(maxlen=MEASURED))
    reboots: deque[float] = attrs.field(factory=lambda: deque(maxlen=MEASURED))
    rebooted: int = 0
    done: int = 0
    _working: dict[str, float] = attrs.field(factory=dict)  # host -> since
    _rebooting: dict[str, float] = attrs.field(factory=dict)

    def work_begins(self, host: str, now: float) -> None:
        self._working.setdefault(host, now)

    def work_ends(self, host: str, phase: str, now: float) -> None:
        """A place is given back; with a reboot still to come the agent's work goes on."""
        if phase not in ("ready", "failed", "held", "lost", "retired"):
            return
        began = self._working.pop(host, None)
        if began is not None and phase == "ready":
            self.works.append(now - began)
            self.done += 1

    def reboot_begins(self, host: str, now: float, *, boots: bool) -> None:
        self._rebooting.setdefault(host, now)
        self.rebooted += boots

    def reboot_ends(self, host: str, now: float) -> None:
        began = self._rebooting.pop(host, None)
        if began is not None:
            self.reboots.append(now - began)

    def work(self, course: Course, limits: Limits, reboots: int, waits: str) -> Work:
        return Work(
            to_do=len(course.concerned - course.ready - course.failed),
            places=limits.parallel,
            reboots=reboots,
            reboots_at_once=limits.reboots,
            work_s=tuple(self.works),
            reboot_s=tuple(self.reboots),
            rebooted=self.rebooted,
            done=self.done,
            waits=waits,
        )

    def shown(
        self, course: Course, now: Standing, word: RolloutRecord, limits: Limits, reboots: int
    ) -> RolloutSnapshot:
        told = estimate(self.work(course, limits, reboots, now.halted))
        return RolloutSnapshot(
            state=now.state,
            stage=now.stage,
            allowed=now.allowed,
            concerned=len(course.concerned),
            done=len(course.ready),
            under_way=tuple(sorted(course.under_way)),
            failed=tuple(sorted(course.failed - set(word.forgiven))),
            why=now.halted,
            estimate_s=told.seconds,
            estimate=told.sentence,
        )
