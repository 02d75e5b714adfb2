"""Which store: one decision from the settings and from what the host and the master tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs
import structlog
import trio

from actors.ports import Store, StoreError, StoreInUseError
from adapters.store_sqlite import RunSync, SqliteStore, StoreDamagedError, set_aside
from adapters.store_uri import (
    EXPECTED,
    Ensemble,
    StoreTypeError,
    StoreUriError,
    looks_like_ensemble,
    looks_like_path,
    parse_ensemble,
)
from adapters.store_zookeeper import ZooKeeperStore
from adapters.zookeeper_session import CLOSE_TIMEOUT_S

STORE_TYPES: Final = ("auto", "zk", "sqlite")
MESOS_ZK_FILE: Final = Path("/etc/mesos/zk")  # what Mesos packages read on every host
DEFAULT_FOLDER: Final = Path("/var/lib/scaleio-scheduler")
LEADER_TIMEOUT_S: Final = float("inf")  # a second scheduler stands by as long as the first lives
TELL_WAITING_S: Final = 3.0  # one that is ending in good order is gone by then
WAITING: Final = "waiting for the store"

IMPORT: Final = "`scaleio-scheduler store import FILE` takes over the hosts of a dump (JSON)"
_DROPPED_TYPES: Final = ("etcd", "consul", "boltdb")

log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class SqliteChoice:
    path: Path
    reason: str  # for people: what decided
    default_path: bool  # we chose the folder, so we may create it


@attrs.frozen(kw_only=True)
class ZooKeeperChoice:
    ensemble: Ensemble
    reason: str


StoreChoice = SqliteChoice | ZooKeeperChoice


def choose_store(
    *,
    store_type: str,
    uri: str,
    mesos_zk: str,
    masters: Ensemble | None = None,
    master_zk: str,
    role: str,
) -> StoreChoice:
    """The one place where the kind and the address of the store are decided.

    `mesos_zk` is the content of /etc/mesos/zk, `masters` the ensemble of `-uri`, `master_zk`
    the value of `zk` in the master's /flags; "" or None where there is none. Of these only the
    servers and credentials are taken, as the original scheduler did: their path is Mesos' own.
    Raises StoreTypeError, StoreUriError.
    """
    uri = uri.strip()
    match store_type:
        case "sqlite":
            return _sqlite(uri, role, "-store.type=sqlite")
        case "zk" if uri:
            ensemble = parse_ensemble(uri, source="-store.uri")
            return ZooKeeperChoice(ensemble=ensemble, reason="-store.uri")
        case "auto" if uri:
            return _told_by_uri(uri, role)
        case "zk" | "auto":
            found = (
                _hinted(str(MESOS_ZK_FILE), mesos_zk)
                or _of_masters(masters)
                or _hinted("the master's flag zk", master_zk)
            )
            if found is not None:
                return found
            if store_type == "auto":
                return _sqlite("", role, f"neither {MESOS_ZK_FILE} nor the master names ZooKeeper")
            raise StoreUriError(
                f"-store.type=zk needs an ensemble, and neither {MESOS_ZK_FILE} nor the master "
                "names one: give -store.uri=zk://HOST:PORT,HOST:PORT/PATH"
            )
        case _:
            raise StoreTypeError(_no_such_type(store_type))


def _told_by_uri(uri: str, role: str) -> StoreChoice:
    if looks_like_ensemble(uri):
        ensemble = parse_ensemble(uri, source="-store.uri")
        return ZooKeeperChoice(ensemble=ensemble, reason="-store.uri")
    if looks_like_path(uri):
        return _sqlite(uri, role, "-store.uri")
    shown = uri.rpartition("@")[2]  # before it may stand a password
    raise StoreUriError(f"-store.uri: cannot tell what {shown!r} is: {EXPECTED}")


def _hinted(source: str, text: str) -> ZooKeeperChoice | None:
    if not text.strip():
        return None
    try:
        named = parse_ensemble(text, source=source)
    except StoreUriError as error:
        raise StoreUriError(f"{error}; or name the store with -store.uri") from None
    return ZooKeeperChoice(ensemble=attrs.evolve(named, chroot=""), reason=source)


def _of_masters(ensemble: Ensemble | None) -> ZooKeeperChoice | None:
    if ensemble is None:
        return None
    return ZooKeeperChoice(ensemble=attrs.evolve(ensemble, chroot=""), reason="-uri")


def _sqlite(uri: str, role: str, reason: str) -> SqliteChoice:
    if "://" in uri or looks_like_ensemble(uri):
        raise StoreUriError(
            f"-store.uri: {uri.rpartition('@')[2]!r} is no file: expected a file's path, "
            "or another -store.type"
        )
    if uri:
        return SqliteChoice(path=Path(uri).expanduser(), reason=reason, default_path=False)
    path = DEFAULT_FOLDER / f"{quote(role, safe='')}.sqlite"
    return SqliteChoice(path=path, reason=reason, default_path=True)


def _no_such_type(store_type: str) -> str:
    if store_type in _DROPPED_TYPES:
        return (
            f"-store.type={store_type} is not supported: take zk or sqlite, new and empty; "
            "nothing has to be carried over, since master, agents and Gateway tell what there is; "
            f"{IMPORT}"
        )
    return f"-store.type={store_type} is unknown: expected {', '.join(STORE_TYPES)}"


async def open_store(
    choice: StoreChoice,
    *,
    role: str,
    run_sync: RunSync = trio.to_thread.run_sync,
    leader_timeout_s: float = LEADER_TIMEOUT_S,
    tell: Callable[[str], None] = lambda _: None,
    rebuild: bool = False,
) -> Store:
    """Open what was chosen, as its only writer. Raises StoreError, one line; StoreUriError.

    Another scheduler is waited for: it may be ending, or be dead without the store knowing yet.
    `tell` is told of it, once. `rebuild` begins a new file where the one there is damaged.
    """
    match choice:
        case SqliteChoice(path=path, default_path=default_path):
            if default_path:
                await run_sync(lambda: _create_folder(path))
            if rebuild:
                await _set_damaged_aside(path, run_sync)
            return await _open_sqlite(path, run_sync, leader_timeout_s, tell)
        case ZooKeeperChoice(ensemble=ensemble) if rebuild:
            raise StoreUriError(
                f"-store.rebuild: is for a damaged SQLite file, and the store is {ensemble}; a "
                "record that can't be read is removed with -store.del.key"
            )
        case ZooKeeperChoice(ensemble=ensemble):
            store = await ZooKeeperStore.open(ensemble, role=role)
            try:
                await _acquire(store, leader_timeout_s, tell)
            except BaseException:
                with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                    await store.close()
                raise
            return store


async def _set_damaged_aside(path: Path, run_sync: RunSync) -> None:
    try:
        store = await SqliteStore.open(path, run_sync=run_sync)
    except StoreInUseError:
        return  # nobody has a damaged file in use; it is waited for as always
    except StoreDamagedError as error:
        kept = await run_sync(lambda: set_aside(path))
        log.warning("the damaged store is set aside", reason=str(error), kept=str(kept))
    else:
        await store.close()
        log.info("-store.rebuild: the store is whole and stays as it is", path=str(path))


async def _open_sqlite(
    path: Path, run_sync: RunSync, timeout_s: float, tell: Callable[[str], None]
) -> SqliteStore:
    """Each try waits a little by itself; an order to stop is obeyed between two of them."""
    deadline = trio.current_time() + timeout_s
    told = False
    while True:
        try:
            return await SqliteStore.open(path, run_sync=run_sync)
        except StoreInUseError as error:
            if trio.current_time() >= deadline:
                raise StoreInUseError(f"{error} (waited {timeout_s:g} s)") from error
            if not told:
                log.warning(WAITING, reason=str(error))
                tell(f"{WAITING}: {error}")
            told = True


async def _acquire(store: ZooKeeperStore, timeout_s: float, tell: Callable[[str], None]) -> None:
    told_after_s = min(TELL_WAITING_S, timeout_s)
    try:
        await store.acquire(told_after_s)
    except StoreInUseError as error:
        if told_after_s == timeout_s:
            raise
        log.warning(WAITING, reason=str(error))
        tell(f"{WAITING}: {error}")
        await store.acquire(timeout_s - told_after_s)


def _create_folder(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path.parent} cannot be created ({error.strerror or error}): create it for the "
            "scheduler's user, or name a file with -store.uri"
        ) from error
