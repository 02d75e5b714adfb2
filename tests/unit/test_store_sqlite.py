"""The SQLite store: the common contract, and what is its own: files, locks, damage, crashes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from actors.journal import Journal
from actors.mailbox import Mailbox, Vitals
from actors.ports import Store, StoreConflictError, StoreError
from adapters.store_choice import SqliteChoice, open_store
from adapters.store_sqlite import RunSync, SqliteStore, run_inline
from tests.scheduler_process import MDMS, PASSWORD
from tests.store_contract import Opened, StoreContract
from tests.store_writer import ROOT, number_in, written_until_killed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@asynccontextmanager
async def sqlite_store(
    path: Path, run_sync: RunSync = trio.to_thread.run_sync
) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, run_sync=run_sync, busy_timeout_s=0.05)
    try:
        yield store
    finally:
        with trio.move_on_after(10, shield=True):
            await store.close()


class TestSqliteStoreInAThread(StoreContract):
    @pytest.fixture
    def opened(self, path: Path) -> Opened:
        return lambda: sqlite_store(path)


class TestSqliteStoreInline(StoreContract):
    """As the simulation runs it: no thread."""

    @pytest.fixture
    def opened(self, path: Path) -> Opened:
        return lambda: sqlite_store(path, run_inline)


def content(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


async def open_and_close(path: Path) -> None:
    async with sqlite_store(path):
        pass


async def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as refused:
        await open_and_close(path)
    text = str(refused.value)
    assert "\n" not in text
    assert str(path) in text
    return text


async def test_a_second_scheduler_is_told_the_file_and_the_way_out(path: Path) -> None:
    async with sqlite_store(path):
        text = await refusal(path)
    assert "in use by another scheduler" in text
    assert "-store.uri" in text


@contextmanager
def another_scheduler(path: Path) -> Iterator[None]:
    """A process that has the file open, stopped in the middle of its work; killed at the end."""
    command = [sys.executable, "-m", "tests.store_writer", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


async def test_the_lock_of_another_process_holds_and_dies_with_it(path: Path) -> None:
    with another_scheduler(path):
        assert "in use by another scheduler" in await refusal(path)
    await open_and_close(path)


@pytest.mark.parametrize("writes", [1, 2, 3, 7, 40])
async def test_a_killed_scheduler_leaves_its_last_complete_write(path: Path, writes: int) -> None:
    reported = written_until_killed(str(path), writes)
    async with sqlite_store(path) as store:
        number = number_in(await store.load())
    # One more write may have landed before it could be reported.
    assert reported <= number <= reported + 1


async def test_a_new_file_is_readable_by_its_owner_only(path: Path) -> None:
    async with sqlite_store(path) as store:
        await store.write({"a": b"1"})
        modes = {stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == {0o600}


async def test_writes_are_synchronised_in_write_ahead_mode(path: Path) -> None:
    async with sqlite_store(path) as store:
        ask = store._connection.execute
        assert ask("PRAGMA synchronous").fetchone() == (2,)
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_every_change_of_a_record_raises_its_version(path: Path) -> None:
    async with sqlite_store(path) as store:
        await store.write({"a": b"1", "b": b"1"})
        await store.write({"a": b"2"})
    with sqlite3.connect(path) as reader:
        rows = reader.execute("SELECT key, version FROM records ORDER BY key").fetchall()
    reader.close()
    assert rows == [("a", 2), ("b", 1)]


async def test_a_full_disk_is_named_and_the_store_goes_on_when_there_is_room(path: Path) -> None:
    async with sqlite_store(path) as store:
        await store.write({"a": b"1"})
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="disk is full"):
            await store.write({"a": b"2", "big": bytes(1_000_000)})
        assert dict(await store.load()) == {"a": b"1"}
        store._connection.execute("PRAGMA max_page_count = 100000")
        await store.write({"a": b"3"})
        assert dict(await store.load()) == {"a": b"3"}


LIMITED = """
import resource, sys, trio
from pathlib import Path
from actors.ports import StoreError
from adapters.store_sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    await store.write({"a": b"1", "b": b"1"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        await store.write({"a": b"2", "big": bytes(1_000_000)})
    except StoreError as error:
        print(error)
    await store.write({"b": b"3"})
    print(sorted((await store.load()).items()))

trio.run(main)
"""


def output_with_limited_file_size(path: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


async def test_a_write_that_the_system_cuts_short_leaves_nothing(path: Path) -> None:
    """The kernel refuses in the middle of the write, as a full or broken disk does."""
    error, records = output_with_limited_file_size(path)
    assert error.startswith(str(path))
    assert records == "[('a', b'1'), ('b', b'3')]"
    async with sqlite_store(path) as store:
        assert dict(await store.load()) == {"a": b"1", "b": b"3"}


WITHOUT_ROOM = """
import resource, sys
from cli import main

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


def test_a_start_without_room_for_the_store_ends_with_one_line_and_status_5(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM, *MDMS, f"-store.uri={path}", "-uri=127.0.0.1:1",
         "-rest.address=127.0.0.1", "-rest.port=0"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
        # The limit would cut the interpreter's own cache files, too.
        env={"PATH": os.environ["PATH"], "SCALEIO_SCALEIO_PASSWORD": PASSWORD,
             "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("scaleio-scheduler:")]
    assert f"{path} cannot be read or written" in line
    assert "nothing was written" in line


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    put(notes, b"these are my notes\n" * 100)
    assert "is not a SQLite database" in await refusal(notes)
    assert content(notes) == b"these are my notes\n" * 100


async def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    assert "another program" in await refusal(path)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("songs",)]
    other.close()


async def test_a_file_of_a_newer_scheduler_is_refused(path: Path) -> None:
    await open_and_close(path)
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 7")
    newer.close()
    text = await refusal(path)
    assert "newer scheduler" in text
    assert "schema 7" in text


PAGE = 4096
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "all but the first page": lambda data: data[:PAGE] + b"\xff" * (len(data) - PAGE),
    "one page": lambda data: data[: 2 * PAGE] + b"\xff" * PAGE + data[3 * PAGE :],
    "zeroes": lambda data: data[: 2 * PAGE] + bytes(PAGE) + data[3 * PAGE :],
    "the beginning": lambda data: b"\xff" * 100 + data[100:],
    "cut": lambda data: data[: 5 * PAGE + 1000],
}


async def a_damaged_file(path: Path, damage: Callable[[bytes], bytes]) -> None:
    async with sqlite_store(path) as store:
        await store.write({f"agents/{number}": b"x" * 500 for number in range(200)})
    put(path, damage(content(path)))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_file_stops_the_start_with_the_cure(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    await a_damaged_file(path, damage)
    before = content(path)
    text = await refusal(path)
    assert "damaged" in text
    assert "-store.rebuild" in text
    assert content(path) == before


async def opened_with_rebuild(path: Path) -> Store:
    choice = SqliteChoice(path=path, reason="test", default_path=False)
    return await open_store(choice, role="scaleio", rebuild=True, run_sync=run_inline)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_rebuild_keeps_the_damaged_file_and_begins_an_empty_one(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    for name in ("store.sqlite.damaged", "store.sqlite.damaged-2"):
        await a_damaged_file(path, damage)
        before = content(path)
        store = await opened_with_rebuild(path)
        assert dict(await store.load()) == {}
        await store.write({"a": b"1"})
        await store.close()
        assert content(path.with_name(name)) == before
        remove(path)


async def test_rebuild_leaves_a_whole_file_alone(path: Path) -> None:
    """The flag may stand in a definition for long, and be read at every start."""
    async with sqlite_store(path) as store:
        await store.write({"a": b"1"})
    again = await opened_with_rebuild(path)
    assert dict(await again.load()) == {"a": b"1"}
    await again.close()
    assert [one.name for one in path.parent.iterdir()] == [path.name]


async def test_rebuild_never_takes_the_database_of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        await opened_with_rebuild(path)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


async def test_while_the_disk_is_full_nothing_is_confirmed_and_the_reason_stands(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """What is not confirmed is not acted on; the journal goes on by itself when there is room."""
    async with sqlite_store(path, run_inline) as store, trio.open_nursery() as nursery:
        await store.write({"a": b"1"})
        journal = Journal(
            store=store,
            mailbox=Mailbox(Vitals(name="journal", kind="journal"), 8),
            chance=random.Random(1),  # noqa: S311 - a seed
        )
        nursery.start_soon(journal.run)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with trio.move_on_after(600) as patience:
            await journal.save({"a": b"2", "big": bytes(100_000)})
        assert patience.cancelled_caught
        assert "disk is full" in journal.fault
        assert dict(await store.load()) == {"a": b"1"}
        store._connection.execute("PRAGMA max_page_count = 100000")
        await journal.save({"b": b"3"})
        assert journal.fault == ""
        assert dict(await store.load()) == {"a": b"2", "big": bytes(100_000), "b": b"3"}
        nursery.cancel_scope.cancel()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "store.sqlite"
    assert f"there is no folder {path.parent}" in await refusal(path)


async def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    assert "is a folder" in await refusal(tmp_path)


async def test_a_folder_without_permission_names_the_user(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)  # root, who runs some of our tests, may everything
    assert f"let the user with id {os.geteuid()} write in {path.parent}" in await refusal(path)


@pytest.mark.parametrize("replace", [Path.unlink, lambda path: path.rename(f"{path}.old")])
async def test_a_file_removed_under_the_scheduler_ends_its_writing(
    path: Path, replace: Callable[[Path], object]
) -> None:
    """Otherwise it would go on for days into a file that nobody can open any more."""
    async with sqlite_store(path) as store:
        await store.write({"a": b"1"})
        replace(path)
        with pytest.raises(StoreConflictError, match="was removed or replaced"):
            await store.write({"a": b"2"})


async def test_the_production_runner_keeps_the_event_loop_free(path: Path) -> None:
    """Store work happens in another thread, so a slow disk delays the journal only."""
    threads: set[int] = set()

    async with sqlite_store(path) as store:
        store._connection.set_trace_callback(lambda _: threads.add(threading.get_ident()))
        ours: Store = store
        await ours.write({"a": b"1"})
        store._connection.set_trace_callback(None)
    assert threads
    assert threading.get_ident() not in threads
