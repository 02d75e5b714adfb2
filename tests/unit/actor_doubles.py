"""What tests of actors share: mailboxes, seeded chance, and a store that holds its checkpoints."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TypeVar

import attrs
import trio

from actors.clock import Chance
from actors.mailbox import Mailbox, Vitals

T = TypeVar("T")


def box(name: str, size: int = 64) -> Mailbox[T]:
    """As `box("gate")`; the messages' type comes from where it is assigned."""
    made: Mailbox[T] = Mailbox(Vitals(name=name, kind=name), size)
    return made


def drained(mailbox: Mailbox[T]) -> list[T]:
    """All that waits in it now."""
    found: list[T] = []
    while (message := mailbox.receive_now()) is not None:
        found.append(message)
    return found


def rng(seed: int = 7) -> random.Random:
    return random.Random(seed)  # noqa: S311 - replayable


def chance() -> Chance:
    return Chance(wall=lambda: 1e9 + trio.current_time(), rng=rng())


@attrs.define
class MemoryStore:
    """A store that takes `write_s` for a write, and raises what `faults` holds, one by one."""

    kind: str = "memory"
    write_s: float = 0.0
    faults: list[Exception] = attrs.field(factory=list)
    records: dict[str, bytes] = attrs.field(factory=dict)
    batches: list[dict[str, bytes | None]] = attrs.field(factory=list)

    async def load(self) -> Mapping[str, bytes]:
        await trio.lowlevel.checkpoint()
        return dict(self.records)

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        await trio.sleep(self.write_s)
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(dict(changes))
        for key, value in changes.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
