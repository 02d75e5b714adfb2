"""Looks at the board, keeps the conditions, and makes agents look again where all is not well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs
import structlog
import trio

from actors.board import AgentSnapshot, Board, Condition
from actors.mailbox import Mailbox
from actors.messages import HealthInbox
from domain import health, repairs, storage_health
from domain.conditions import Entry, Ledger
from domain.inbox import AgentInbox
from domain.storage import StorageSnapshot
from domain.trends import HOUR_S, Trend, time_to, time_to_zero
from protocol.mesos.session import State

LOOK_EVERY_S: Final = 10.0
FILL_EVERY_S: Final = 300.0  # 72 readings: the line goes through the last six hours
FILL_SPAN_S: Final = HOUR_S
MOVE_EVERY_S: Final = 20.0
MOVE_SPAN_S: Final = 60.0
DOUBT_AFTER_S: Final = 60.0  # a service restart or a poll in between is no reason
DOUBT_EVERY_S: Final = 300.0

log = structlog.get_logger()


@attrs.define
class HealthMonitor:
    """`wall`: unix seconds, to compare clocks and certificates with."""

    mailbox: Mailbox[HealthInbox]
    board: Board
    agents: Callable[[str], Mailbox[AgentInbox] | None]
    limits: storage_health.Limits
    wall: Callable[[], float]
    store_fault: Callable[[], str]
    store_bound: bool
    _ledger: Ledger = attrs.field(factory=Ledger)
    _fill: dict[str, Trend] = attrs.field(factory=dict)  # by pool id: KB in use
    _move: dict[str, Trend] = attrs.field(factory=dict)  # by pool id: KB that a rebuild has to move
    _move_most: dict[str, int] = attrs.field(factory=dict)  # by pool id: the most it had to move
    _suspect_since: dict[str, float] = attrs.field(factory=dict)
    _viewed: dict[str, tuple[AgentSnapshot, health.AgentView]] = attrs.field(factory=dict)  # host

    async def run(self) -> None:
        while True:
            due = self._ledger.due()
            now = trio.current_time()
            pause_s = LOOK_EVERY_S if due is None else min(LOOK_EVERY_S, max(0.1, due - now))
            with trio.move_on_after(pause_s):
                await self.mailbox.receive()
            self._look()

    def _look(self) -> None:
        now = trio.current_time()
        views, closing = self._views(), self.board.closing
        away = self.board.link.state != "subscribed"
        wanted = closing is None or not closing.is_torn_down  # then nobody subscribes any more
        removed = self.board.link.state == State.REMOVED.value
        gateway = self.board.gateway
        self.board.store_fault = self.store_fault()
        scene = health.Scene(
            link_down=away and wanted,
            link_detail=self.board.link.detail,
            framework_removed=removed and (closing is None or closing.stage == "ordered"),
            gateway_error=gateway.error,
            gateway_fault=gateway.fault,
            gateway_skew_s=self._gateway_skew_s(gateway.storage),
            certificate_left_s=self._certificate_left_s(gateway.storage),
            store_fault=self.store_fault(),
            store_bound_to_host=self.store_bound,
            deaf={one.receiver: one.last_error for one in self.board.notices if one.last_error},
            storage=gateway.storage,
            outlooks=self._outlooks(gateway.storage),
            agents=views,
        )
        findings = health.judge(scene, self.limits, self._ledger.keys())
        self._ledger = self._ledger.after(findings, now)
        conditions = tuple(_condition(entry) for entry in self._ledger.standing())
        if conditions != self.board.conditions:
            self._tell(conditions)
        self._doubt(views, now)

    def _tell(self, conditions: tuple[Condition, ...]) -> None:
        before = {(one.name, one.subject) for one in self.board.conditions}
        for one in conditions:
            if (one.name, one.subject) not in before:
                log.warning("condition", name=one.name, subject=one.subject, text=one.text)
        stands = {(one.name, one.subject) for one in conditions}
        for name, subject in sorted(before - stands):
            log.info("condition is over", name=name, subject=subject)
        self.board.conditions = conditions
        self.board.touch()

    def _views(self) -> tuple[health.AgentView, ...]:
        """Made anew only where what is shown is new, or where repairs are to be forgotten."""
        before, self._viewed = self._viewed, {}
        for host, shown in sorted(self.board.agents.items()):
            known = before.get(host)
            if known is None or known[0] is not shown or shown.repairs:
                known = (shown, _view(shown, self.wall()))
            self._viewed[host] = known
        return tuple(view for _, view in self._viewed.values())

    def _gateway_skew_s(self, storage: StorageSnapshot | None) -> float:
        """As of the last look at the Gateway, whose own clock it told then."""
        if storage is None or not storage.gateway_time:
            return 0.0
        return storage.gateway_time - (self.wall() - (trio.current_time() - storage.taken_at))

    def _certificate_left_s(self, storage: StorageSnapshot | None) -> float | None:
        if storage is None or not storage.certificate_ends:
            return None
        return storage.certificate_ends - self.wall()

    def _outlooks(self, storage: StorageSnapshot | None) -> Mapping[str, storage_health.Outlook]:
        pools = storage.pools if storage is not None else ()
        taken_at = storage.taken_at if storage is not None else 0.0
        known = {pool.id for pool in pools}
        for pool_id in self._move_most.keys() - known:
            del self._move_most[pool_id]
        for trends in (self._fill, self._move):
            for pool_id in trends.keys() - known:
                del trends[pool_id]
        found = {}
        for pool in pools:
            fill = self._fill.get(pool.id, Trend(every_s=FILL_EVERY_S))
            self._fill[pool.id] = fill = fill.after(taken_at, pool.in_use_kb)
            if pool.moving_kb:
                move = self._move.get(pool.id, Trend(every_s=MOVE_EVERY_S))
                self._move[pool.id] = move.after(taken_at, pool.moving_kb)
                most = max(self._move_most.get(pool.id, 0), pool.moving_kb)
                self._move_most[pool.id] = most
            else:
                self._move.pop(pool.id, None)  # the next one is another one
                self._move_most.pop(pool.id, None)
            left_kb = storage_health.usable_kb(pool) - pool.in_use_kb
            found[pool.id] = storage_health.Outlook(
                full_in_s=time_to(fill, left_kb, span_min_s=FILL_SPAN_S),
                moved_in_s=time_to_zero(
                    self._move.get(pool.id, Trend(every_s=MOVE_EVERY_S)),
                    pool.moving_kb,
                    span_min_s=MOVE_SPAN_S,
                ),
                moved_percent=100 - 100 * pool.moving_kb // self._move_most[pool.id]
                if pool.id in self._move_most
                else None,
            )
        self.board.outlooks, self.board.fill = found, dict(self._fill)
        return found

    def _doubt(self, views: tuple[health.AgentView, ...], now: float) -> None:
        storage = self.board.gateway.storage
        if storage is None or self.board.gateway.error:
            return
        wrong = health.doubts(storage, views)
        for host in set(self._suspect_since) - wrong.keys():
            del self._suspect_since[host]
        for host, doubt in wrong.items():
            since = self._suspect_since.setdefault(host, now)
            target = self.agents(host)
            if now - since >= DOUBT_AFTER_S and target is not None:
                target.offer(doubt)
                self._suspect_since[host] = now + DOUBT_EVERY_S - DOUBT_AFTER_S


def _view(shown: AgentSnapshot, unix: float) -> health.AgentView:
    facts = shown.facts
    return health.AgentView(
        host=shown.host,
        phase=shown.phase,
        error=shown.error,
        address=shown.address,
        sdc_guid=facts.sdc_guid if facts else "",
        missing=shown.missing,
        later=shown.later,
        repairs_spent=repairs.are_spent(shown.repairs, unix),
        skew_s=facts.clock - shown.surveyed if facts and facts.clock else 0.0,
    )


def _condition(entry: Entry) -> Condition:
    finding = entry.finding
    return Condition(
        name=finding.name,
        severity=finding.severity,
        subject=finding.subject,
        text=finding.text,
        since=entry.since,
        cure=finding.cure,
        objects=finding.objects,
    )
