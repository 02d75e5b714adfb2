"""The single writer of the store: what it has not confirmed is not acted on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

import attrs
import structlog
import trio

from actors.mailbox import Mailbox
from actors.messages import JournalInbox, Save
from actors.ports import Store, StoreConflictError, StoreError

BATCH_MAX: Final = 64
BATCH_BYTES_MAX: Final = 256 * 1024  # plus one more record: far below ZooKeeper's 1 MB
RETRY_FIRST_S: Final = 1.0
RETRY_CEILING_S: Final = 30.0

log = structlog.get_logger()


@attrs.define
class Journal:
    """Batches what waits, writes it in one transaction, retries for as long as it takes.

    While the store is away nothing is confirmed: agents wait, nothing is launched or
    acknowledged, and the stream stays alive.
    """

    store: Store
    mailbox: Mailbox[JournalInbox]
    chance: random.Random
    fault: str = ""  # why nothing can be stored now; empty while it works
    writes: int = 0
    _held: list[Save] = attrs.field(factory=list, init=False)

    async def save(self, changes: Mapping[str, bytes | None]) -> None:
        """Return when the changes are durable."""
        done = trio.Event()
        await self.mailbox.put(Save(changes=changes, done=done))
        await done.wait()

    async def run(self) -> None:
        while True:
            if not self._held:
                self._held.append(await self.mailbox.receive())
            while len(self._held) < BATCH_MAX and self._held_bytes() < BATCH_BYTES_MAX:
                more = self.mailbox.receive_now()
                if more is None:
                    break
                self._held.append(more)
            await self._write_held()

    def _held_bytes(self) -> int:
        return sum(len(raw or b"") for save in self._held for raw in save.changes.values())

    async def _write_held(self) -> None:
        """A crash in here keeps `_held`: the supervisor starts us again, and we go on with it."""
        together: dict[str, bytes | None] = {}
        for save in self._held:
            together.update(save.changes)
        pause_s = RETRY_FIRST_S
        while True:
            try:
                await self.store.write(together)
                break
            except StoreConflictError:
                raise
            except StoreError as error:
                self.fault = str(error)
                self.mailbox.vitals.last_error = self.fault
                log.warning("the store does not take our records", error=self.fault)
            await trio.sleep(pause_s * self.chance.uniform(0.5, 1.0))
            pause_s = min(RETRY_CEILING_S, pause_s * 2)
        self.fault = ""
        self.writes += 1
        for save in self._held:
            save.done.set()
        self._held.clear()
