"""A process that writes to a store until it is killed; prints each number once it is stored.

python -m tests.store_writer FILE                    a SQLite file
python -m tests.store_writer zk://HOST:PORT/PATH     a ZooKeeper ensemble
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from actors.ports import Store
from adapters.store_sqlite import SqliteStore

ROOT: Final = Path(__file__).resolve().parent.parent
KEYS: Final = ("framework", "agents/a", "agents/b")
PADDING: Final = b" " * 20_000  # several pages, so that a torn write would show


async def _opened(place: str) -> Store:
    if not place.startswith("zk://"):
        return await SqliteStore.open(Path(place))
    from adapters.store_uri import parse_ensemble  # only where the zk extra is there
    from adapters.store_zookeeper import ZooKeeperStore

    store = await ZooKeeperStore.open(parse_ensemble(place, source="argument"), role="writer")
    await store.acquire(timeout_s=30.0)
    return store


async def _write_for_ever(place: str) -> None:
    store = await _opened(place)
    for number in itertools.count(1):
        await store.write(dict.fromkeys(KEYS, b"%d" % number + PADDING))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def written_until_killed(place: str, writes: int) -> int:
    """Start the process, kill it (SIGKILL) after `writes` writes; the last number it reported."""
    command = [sys.executable, "-m", "tests.store_writer", place]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(writes)]
        process.send_signal(signal.SIGKILL)
        reported += [int(line) for line in process.stdout.read().split()]
    return reported[-1]


def number_in(records: Mapping[str, bytes]) -> int:
    """The number that all records carry; a torn write fails here."""
    assert set(records) == set(KEYS)
    (value,) = set(records.values())
    assert value.endswith(PADDING)
    return int(value)


if __name__ == "__main__":
    trio.run(_write_for_ever, sys.argv[1])
