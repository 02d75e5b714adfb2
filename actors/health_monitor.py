"""Looks at the board, keeps the conditions, and makes agents look again where all is not well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board, Condition
from actors.mailbox import Mailbox
from actors.messages import HealthInbox
from domain import health, inbox
from domain.inbox import AgentInbox
from protocol.mesos.session import State

LOOK_EVERY_S: Final = 10.0
DOUBT_AFTER_S: Final = 60.0  # a service restart or a poll in between is no reason
DOUBT_EVERY_S: Final = 300.0

log = structlog.get_logger()


@attrs.define
class HealthMonitor:
    mailbox: Mailbox[HealthInbox]
    board: Board
    agents: Callable[[str], Mailbox[AgentInbox] | None]
    limits: health.Limits
    store_fault: Callable[[], str]
    store_bound: bool
    _suspect_since: dict[str, float] = attrs.field(factory=dict)
    _down_since: dict[str, float] = attrs.field(factory=dict)

    async def run(self) -> None:
        while True:
            with trio.move_on_after(LOOK_EVERY_S):
                await self.mailbox.receive()
            self._look()

    def _look(self) -> None:
        now = trio.current_time()
        views, closing = self._views(now), self.board.closing
        away = self.board.link.state != "subscribed"
        wanted = closing is None or not closing.is_torn_down  # then nobody subscribes any more
        removed = self.board.link.state == State.REMOVED.value
        scene = health.Scene(
            link_down_for_s=self._lasting("link", now, away and wanted),
            link_detail=self.board.link.detail,
            framework_removed=removed and (closing is None or closing.stage == "ordered"),
            gateway_down_for_s=self._lasting("gateway", now, bool(self.board.gateway.error)),
            gateway_error=self.board.gateway.error,
            store_fault=self.store_fault(),
            store_bound_to_host=self.store_bound,
            storage=self.board.gateway.storage,
            agents=views,
        )
        standing = {(c.name, c.subject): c for c in self.board.conditions}
        conditions = tuple(
            self._condition(finding, standing, now)
            for finding in health.judge(scene, self.limits, standing)
        )
        if conditions != self.board.conditions:
            self.board.conditions = conditions
            self.board.touch()
        self._doubt(views, now)

    def _views(self, now: float) -> tuple[health.AgentView, ...]:
        return tuple(
            health.AgentView(
                host=shown.host,
                phase=shown.phase,
                error=shown.error,
                address=shown.address,
                sdc_guid=shown.facts.sdc_guid if shown.facts else "",
                missing=shown.missing,
                later=shown.later,
                later_for_s=self._lasting(f"later {shown.host}", now, bool(shown.later)),
            )
            for _, shown in sorted(self.board.agents.items())
        )

    def _lasting(self, what: str, now: float, wrong: bool) -> float:  # noqa: FBT001 - a reading
        if not wrong:
            self._down_since.pop(what, None)
            return 0.0
        return now - self._down_since.setdefault(what, now)

    def _condition(
        self,
        finding: health.Finding,
        standing: dict[tuple[str, str], Condition],
        now: float,
    ) -> Condition:
        old = standing.get((finding.name, finding.subject))
        if old is None:
            log.warning("condition", name=finding.name, subject=finding.subject, text=finding.text)
        return Condition(
            name=finding.name,
            severity=finding.severity,
            subject=finding.subject,
            text=finding.text,
            since=old.since if old else now,
        )

    def _doubt(self, views: tuple[health.AgentView, ...], now: float) -> None:
        storage = self.board.gateway.storage
        if storage is None or self.board.gateway.error:
            return
        wrong = health.doubts(storage, views)
        for host in set(self._suspect_since) - wrong.keys():
            del self._suspect_since[host]
        for host, why in wrong.items():
            since = self._suspect_since.setdefault(host, now)
            target = self.agents(host)
            if now - since >= DOUBT_AFTER_S and target is not None:
                target.offer(inbox.Doubted(why=why))
                self._suspect_since[host] = now + DOUBT_EVERY_S - DOUBT_AFTER_S
