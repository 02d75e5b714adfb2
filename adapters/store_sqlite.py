"""The store as one SQLite file: for clusters without ZooKeeper, bound to the scheduler's host.

Every write is one transaction in write-ahead mode with full synchronisation: after a crash at
any moment the file holds the last write that was reported as done, whole, and perhaps the one
that was under way, whole. The file stays locked from opening to closing, so that a second
scheduler is refused instead of doing everything twice.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

import attrs
import trio

from actors.ports import StoreConflictError, StoreError, StoreInUseError

T = TypeVar("T")


class StoreDamagedError(StoreError):
    """The file holds no whole database of ours; `set_aside` makes room for a new one."""


SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x5343494F  # "SCIO": tells our file from another program's
BUSY_TIMEOUT_S: Final = 2.0  # a scheduler that is just ending gets time to let go of the file

_BUSY: Final = "SQLITE_BUSY"
_FILE_MODE: Final = 0o600
_SCHEMA: Final = """
CREATE TABLE records (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    version INTEGER NOT NULL
) WITHOUT ROWID
"""
_UPSERT: Final = """
INSERT INTO records (key, value, version) VALUES (?, ?, 1)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = version + 1
"""
_BROKEN: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_VERDICT_CHARACTERS_MAX: Final = 120
_REBUILD: Final = (
    "or start once with -store.rebuild: it keeps this file under another name, begins a new one, "
    "and learns the state anew from Mesos and the Gateway"
)
_DAMAGED: Final = f"is damaged: put back a copy, {_REBUILD}"
_REPLACED: Final = (
    "was removed or replaced while this scheduler used it: "
    "start the scheduler again, it reads what is there now"
)


class RunSync(Protocol):
    """Runs blocking work: `trio.to_thread.run_sync`, or `run_inline` under the virtual clock."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


async def run_inline(work: Callable[[], T], /) -> T:
    """No thread (threads and virtual time do not mix), but a checkpoint as a thread has."""
    await trio.lowlevel.checkpoint()
    return work()


@attrs.define(kw_only=True)
class SqliteStore:
    """Open with `SqliteStore.open`, which takes the exclusive lock; `close` lets go of it."""

    path: Path
    kind: str = attrs.field(default="sqlite", init=False)
    _connection: sqlite3.Connection
    _file: tuple[int, int]  # device and inode: tells when the path has become another file
    _run_sync: RunSync
    _one_at_a_time: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        run_sync: RunSync = trio.to_thread.run_sync,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> SqliteStore:
        """Create or open the file and lock it. Raises StoreError, one line, with the cure."""
        connection = await run_sync(lambda: _connect(path, busy_timeout_s))
        return cls(path=path, connection=connection, file=_identity(path), run_sync=run_sync)

    async def load(self) -> Mapping[str, bytes]:
        return await self._run_sync(self._load)

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        taken = dict(changes)  # the caller may go on with its own
        await self._run_sync(lambda: self._write(taken))

    async def close(self) -> None:
        """Let go of the file; harmless the second time."""
        await self._run_sync(self._close)

    def _load(self) -> dict[str, bytes]:
        with self._one_at_a_time, _explained(self.path):
            self._check_usable()
            rows = self._connection.execute("SELECT key, value FROM records").fetchall()
        return {str(key): bytes(value) for key, value in rows}

    def _write(self, changes: Mapping[str, bytes | None]) -> None:
        with self._one_at_a_time, _explained(self.path):
            self._check_usable()
            with _transaction(self._connection):
                for key, value in changes.items():
                    if value is None:
                        self._connection.execute("DELETE FROM records WHERE key = ?", (key,))
                    else:
                        self._connection.execute(_UPSERT, (key, value))

    def _close(self) -> None:
        with self._one_at_a_time, _explained(self.path):
            if not self._closed:
                self._closed = True
                self._connection.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path} is closed already: nothing was read or written")
        if _identity(self.path) != self._file:
            # Writes would go to a file that nobody finds again.
            raise StoreConflictError(f"{self.path} {_REPLACED}")


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    with _explained(path):
        _create_private(path)
        connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            with _transaction(connection):
                _prepare_schema(connection, path)
            _check_whole(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _create_private(path: Path) -> None:
    """A new file belongs to the scheduler's user alone, from the first moment on."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))


def _prepare_schema(connection: sqlite3.Connection, path: Path) -> None:
    application = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    tables = _number(connection, "SELECT count(*) FROM sqlite_schema")
    if application == 0 and version == 0 and tables == 0:
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif application != APPLICATION_ID:
        raise StoreError(
            f"{path} is the database of another program: name another file with -store.uri"
        )
    elif version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer scheduler (schema {version}, this one knows "
            f"{SCHEMA_VERSION}): start that version again"
        )


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Every page, before anything is decided by what stands there."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        what = str(verdict).splitlines()[-1]
        raise StoreDamagedError(f"{path} {_DAMAGED} ({what[:_VERDICT_CHARACTERS_MAX]})")


def set_aside(path: Path) -> Path:
    """Rename a damaged file, and what belongs to it; nothing is deleted. Raises StoreError.

    Gives the new name. To be called after StoreDamagedError only: nobody uses the file then.
    """
    numbers = itertools.count(2)
    kept = path.with_name(f"{path.name}.damaged")
    while kept.exists():
        kept = path.with_name(f"{path.name}.damaged-{next(numbers)}")
    with _explained(path):
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    return kept


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. `IMMEDIATE` takes the lock first, so nothing fails half-way for it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors have rolled it back already
            connection.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever SQLite or the system says, as one line that names the file and the cure."""
    try:
        yield
    except sqlite3.Error as error:
        raise _kind_of(error)(_sentence(path, error)) from error
    except OSError as error:
        raise StoreError(_cannot_open(path, error)) from error
    except UnicodeEncodeError as error:
        raise StoreError(f"{path} cannot hold a key that is no valid text: {error}") from error


def _kind_of(error: sqlite3.Error) -> type[StoreError]:
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith(_BUSY):
        return StoreInUseError
    return StoreDamagedError if name.startswith(_BROKEN) else StoreError


def _sentence(path: Path, error: sqlite3.Error) -> str:
    name: str = getattr(error, "sqlite_errorname", "") or type(error).__name__
    for prefix, what in _CURES:
        if name.startswith(prefix):
            return f"{path} {what}"
    return f"{path} refused the operation: {error} ({name})"


_CURES: Final[tuple[tuple[str, str], ...]] = (
    (
        _BUSY,
        (
            "is in use by another scheduler: stop that one, "
            "or give this one a file of its own with -store.uri"
        ),
    ),
    ("SQLITE_FULL", "cannot grow, the disk is full: free some space; nothing was written"),
    (
        "SQLITE_NOTADB",
        (
            "is not a SQLite database, or is damaged at its beginning: name another file with "
            f"-store.uri, {_REBUILD}"
        ),
    ),
    (
        "SQLITE_CORRUPT",
        _DAMAGED,
    ),
    (
        "SQLITE_READONLY",
        "cannot be written: give the scheduler's user write permission on it and on its folder",
    ),
    (
        "SQLITE_CANTOPEN",
        "cannot be opened: its folder must exist and the scheduler's user may write there",
    ),
    (
        "SQLITE_IOERR",
        (
            "cannot be read or written, the disk reports an error or a limit: "
            "check the disk; nothing was written"
        ),
    ),
)


def _cannot_open(path: Path, error: OSError) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"{path} cannot be created: there is no folder {folder}, create it first"
    if path.is_dir():
        return f"{path} is a folder: name a file with -store.uri"
    if isinstance(error, PermissionError):
        return f"{path} cannot be opened: let the user with id {os.geteuid()} write in {folder}"
    return f"{path} cannot be opened: {error.strerror or error}"
