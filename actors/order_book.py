"""The operators' orders: each is stored before it is done, with who asked, from where, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board
from actors.journal import Journal
from domain import records
from domain.audit import AuditRecord, Order, Silence, SilencesRecord, repeated

STORE_PATIENCE_S: Final = 20.0
NOT_STORED: Final = "the order could not be stored, and nothing was done: see /v1/conditions"

Act = Callable[[], Awaitable[tuple[int, str]]]

log = structlog.get_logger()


@attrs.define
class OrderBook:
    """`save` waits for the store as long as it takes; we do not."""

    journal: Journal
    board: Board
    wall: Callable[[], float]
    audit: AuditRecord = attrs.field(factory=AuditRecord)
    _writing: trio.Lock = attrs.field(factory=trio.Lock)

    def restore(self, audit: AuditRecord, silences: SilencesRecord) -> None:
        self.audit = audit
        self.board.silences = silences.standing(self.wall())
        for order in audit.orders:
            self._tell(order)

    async def carry_out(self, order: Order, act: Act) -> tuple[int, str]:
        """What `act` answers; the same again where the key was used for the same order before."""
        before = self.audit.under_key(order.key, self.wall())
        if before is not None:
            return repeated(before, order.digest)
        self.audit = self.audit.with_order(order)
        if not await self._store_audit():
            # It may yet be written: then it stands there without an outcome, as is right.
            self.audit = self.audit.answered(order, 503, NOT_STORED)
            return 503, NOT_STORED
        status, sentence = await act()
        self.audit = self.audit.answered(order, status, sentence)
        self._tell(attrs.evolve(order, status=status, sentence=sentence))
        log.info(
            "operator's order",
            what=order.what,
            subject=order.subject,
            who=order.who,
            source=order.source,
            reason=order.reason,
            status=status,
        )
        await self._store_audit()  # where that fails, the next order stores this one's outcome
        return status, sentence

    async def silence(self, silence: Silence) -> tuple[int, str]:
        unix = self.wall()
        kept = SilencesRecord(silences=self.board.silences).with_silence(silence, unix)
        if not await self._store_silences(kept):
            return 503, NOT_STORED
        about = f" of {silence.subject}" if silence.subject else ""
        hours = (silence.until - unix) / 3600
        return 202, f"nobody is notified of {silence.name}{about} for {hours:.1f} hours"

    async def unsilence(self, name: str, subject: str) -> tuple[int, str]:
        before = SilencesRecord(silences=self.board.silences)
        left = before.without(name, subject, self.wall())
        if len(left) == len(before.standing(self.wall())):
            return 404, f"no silence of {name} stands for {subject or 'all'}: see /v1/conditions"
        if not await self._store_silences(SilencesRecord(silences=left)):
            return 503, NOT_STORED
        return 202, f"people are notified of {name} again"

    def refused(self, *, what: str, who: str, source: str, status: int, why: str) -> None:
        """Not stored: whoever knocks in vain does not fill our store."""
        self.board.chronicle.note(
            "refused",
            what,
            why,
            at=self.wall(),
            severity="warning",
            by=who,
            source=source,
            outcome=str(status),
        )
        self.board.touch()

    # -- inside ------------------------------------------------------------------------------------

    def _tell(self, order: Order) -> None:
        because = f" ({order.reason})" if order.reason else ""
        self.board.chronicle.note(
            "order",
            order.subject,
            f"{order.what}{because}: {order.sentence or 'its outcome is not known'}",
            at=order.at,
            by=order.who,
            source=order.source,
            outcome=str(order.status or "unknown"),
        )
        self.board.touch()

    async def _store_audit(self) -> bool:
        return await self._save(lambda: {records.AUDIT_KEY: records.encode(self.audit)})

    async def _store_silences(self, kept: SilencesRecord) -> bool:
        if not await self._save(lambda: {records.SILENCES_KEY: records.encode(kept)}):
            return False
        self.board.silences = kept.silences
        self.board.touch()
        return True

    async def _save(self, changes: Callable[[], dict[str, bytes | None]]) -> bool:
        """In turns, so that a later state is not overwritten by an earlier one."""
        with trio.move_on_after(STORE_PATIENCE_S) as scope:
            async with self._writing:
                await self.journal.save(changes())
        return not scope.cancelled_caught
