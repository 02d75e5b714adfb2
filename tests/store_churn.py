"""Random writes to a store by a process that is killed again and again, and what must be left.

python -m tests.store_churn PLACE SEED FIRST LAST     a SQLite file, or zk://HOST:PORT/PATH

Write number n is the same whoever makes it, so the parent knows what the store has to hold: the
state after the last write that was confirmed, or after the one that was under way, whole.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from actors.ports import Store
from adapters.store_sqlite import SqliteStore

ROOT: Final = Path(__file__).resolve().parent.parent
KEYS: Final = ("framework", "rollout", *(f"agents/host-{n}.example.com:31000" for n in range(20)))
KEYS_AT_ONCE_MAX: Final = 6
BYTES_MAX: Final = 12_000  # several pages, so that a torn write would show
DELETES: Final = 0.25
WRITES_A_LIFE_MAX: Final = 60
LOCK_PATIENCE_S: Final = 30.0  # a killed one's session has to end first
SESSION_S: Final = 2.0

Changes = dict[str, bytes | None]
State = dict[str, bytes]


def changes_of(seed: int, number: int) -> Changes:
    """Write `number`: several records together, some of them deleted."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - the same for child and parent
    keys = chance.sample(KEYS, chance.randint(1, KEYS_AT_ONCE_MAX))
    return {
        key: None
        if chance.random() < DELETES
        else b"%d " % number + bytes([65 + number % 26]) * chance.randint(0, BYTES_MAX)
        for key in keys
    }


def after(state: State, changes: Changes) -> State:
    """The state that holds once the changes have landed."""
    merged = {**state, **changes}
    return {key: value for key, value in merged.items() if value is not None}


@attrs.define
class Tally:
    """What was seen. `unreported`: writes that had landed before they could be confirmed."""

    writes: int = 0
    kills: int = 0
    lost: int = 0
    torn: int = 0
    resurrected: int = 0
    unreported: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.torn or self.resurrected)

    def __str__(self) -> str:
        return " ".join(f"{one.name}={getattr(self, one.name)}" for one in attrs.fields(Tally))

    def judge(self, found: Mapping[str, bytes], before: State, under_way: Changes) -> bool:
        """Compare with the confirmed state, and with that after the write under way.

        True if that one has landed, whole.
        """
        whole = after(before, under_way)
        if dict(found) == before:
            return False
        if dict(found) == whole:
            self.unreported += 1
            return True
        for key in sorted({*found, *before, *whole}):
            is_value = found.get(key)
            if is_value == before.get(key) or is_value == whole.get(key):
                continue
            if key not in before:
                self.resurrected += 1
            else:
                self.lost += 1
        landed = {k for k in under_way if found.get(k) == whole.get(k) != before.get(k)}
        if landed and any(found.get(key) != whole.get(key) for key in under_way):
            self.torn += 1
        return False


@asynccontextmanager
async def opened(place: str) -> AsyncIterator[Store]:
    """With the lock: what a killed scheduler had sent has landed by then, or never will."""
    store: Store
    if place.startswith("zk://"):
        from adapters.store_uri import parse_ensemble  # only where the zk extra is there
        from adapters.store_zookeeper import ZooKeeperStore

        ensemble = parse_ensemble(place, source="argument")
        store = leader = await ZooKeeperStore.open(
            ensemble, role="churn", session_timeout_s=SESSION_S
        )
        await leader.acquire(LOCK_PATIENCE_S)
    else:
        store = await SqliteStore.open(Path(place))
    try:
        yield store
    finally:
        with trio.move_on_after(LOCK_PATIENCE_S, shield=True):
            await store.close()


async def _churn(place: str, seed: int, first: int, last: int) -> None:
    async with opened(place) as store:
        for number in range(first, last + 1):
            await store.write(changes_of(seed, number))
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


async def _content(place: str) -> State:
    async with opened(place) as store:
        return dict(await store.load())


def _one_life(
    place: str, seed: int, first: int, last: int, chance: random.Random
) -> tuple[int, bool]:
    """Writes from `first` on, killed at some moment: the last one confirmed, and whether killed."""
    command = [sys.executable, "-m", "tests.store_churn", place]
    command += [str(seed), str(first), str(last)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        confirmed = first - 1
        for _ in range(chance.randint(1, WRITES_A_LIFE_MAX)):
            line = process.stdout.readline()
            if not line:
                break
            confirmed = int(line)
        time.sleep(chance.uniform(0, 0.01))  # so that any moment of a write can be the last one
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        rest = [int(line) for line in process.stdout.read().split()]
        killed = process.wait() == -signal.SIGKILL
        if not killed and process.returncode:
            raise RuntimeError(f"the writer ended with {process.returncode}")
    return (rest or [confirmed])[-1], killed


def churn(place: str, *, writes: int, seed: int) -> Tally:
    """Blocks until so many writes are made, or something was wrong."""
    chance = random.Random(seed)  # noqa: S311 - a seed gives the same lives again, not moments
    tally, state, done = Tally(), State(), 0
    while done < writes and tally.is_good:
        confirmed, killed = _one_life(place, seed, done + 1, writes, chance)
        for number in range(done + 1, confirmed + 1):
            state = after(state, changes_of(seed, number))
        under_way: Changes = changes_of(seed, confirmed + 1) if confirmed < writes else {}
        if tally.judge(trio.run(_content, place), state, under_way):
            state, confirmed = after(state, under_way), confirmed + 1
        tally.kills += killed
        tally.writes = done = confirmed
    return tally


if __name__ == "__main__":
    trio.run(_churn, sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
