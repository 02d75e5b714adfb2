"""The store in ZooKeeper: survives the loss of the scheduler's host.

    <chroot>/scaleio-framework/<role>/v2/records/<key>   one node per record
    <chroot>/scaleio-framework/<role>/v2/lock/           the leader lock: first in line writes

Every write is one transaction that first checks that our own lock node still stands, then
checks the version of each record it changes. So a scheduler whose session has ended cannot
write any more, whatever it believes; and a request that was still on its way when the session
ended lands nowhere.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote, unquote

import attrs
import trio

from actors.ports import StoreConflictError, StoreError, StoreInUseError
from adapters.store_uri import Ensemble
from adapters.zookeeper_session import (
    ANSWER_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    SESSION_TIMEOUT_S,
    Client,
    Pending,
    Transaction,
    ZkError,
    ZkProblem,
    ZkSession,
    problem_of,
)

T = TypeVar("T")

TRANSACTION_BYTES_MAX: Final = 1_000_000  # servers drop packets above 1,048,575 bytes

_OPERATION_BYTES: Final = 200  # of a packet, per record, besides path and value: generous
_READS_AT_ONCE: Final = 500
_LOCK_PREFIX: Final = "leader-"
_LOCK_CHECK_S: Final = 1.0  # a watch that got lost costs this much
_SETTLE_S: Final = 2.5  # a write, the look whether it landed, and some air


def node_name(key: str) -> str:
    """One node name for any key: a slash would be a folder, and dots alone are refused."""
    name = quote(key, safe=":*@ ")
    return name.replace(".", "%2E") if name in (".", "..") else name


def key_of(name: str) -> str:
    return unquote(name)


@attrs.define(kw_only=True)
class ZooKeeperStore:
    """Open with `ZooKeeperStore.open`, then `acquire` the leader lock to write."""

    ensemble: Ensemble
    root: str
    kind: str = attrs.field(default="zk", init=False)
    _session: ZkSession
    _versions: dict[str, int] | None = attrs.field(default=None, init=False)
    _lock_node: str = attrs.field(default="", init=False)
    _conflict: str = attrs.field(default="", init=False)  # why we may never write again
    _one_write: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    @classmethod
    async def open(
        cls,
        ensemble: Ensemble,
        *,
        role: str,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        session_timeout_s: float = SESSION_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> ZooKeeperStore:
        """Connect; changes nothing there. Raises StoreError."""
        session = await ZkSession.open(
            ensemble,
            connect_timeout_s=connect_timeout_s,
            session_timeout_s=session_timeout_s,
            answer_timeout_s=answer_timeout_s,
        )
        root = f"{ensemble.chroot}/scaleio-framework/{node_name(role)}/v2"
        return cls(ensemble=ensemble, root=root, session=session)

    @property
    def lost(self) -> trio.Event:
        """Set when the session has ended, and with it our leadership: stop, do not go on."""
        return self._session.lost

    async def acquire(self, timeout_s: float) -> None:
        """Become the only writer, or raise StoreInUseError that names who is."""
        self._check_open()
        own = ""
        try:
            for folder in ("records", "lock"):
                await self._answered(self._client.ensure_path_async(f"{self.root}/{folder}"))
            own = await self._queue_up()
            with trio.move_on_after(timeout_s):
                await self._until_first(own)
            line = await self._line(own)
            if line[0] != own:
                raise StoreInUseError(await self._held_by(line[0], timeout_s))
            self._lock_node, self._versions = own, None
        except ZkError as error:
            raise StoreError(self._sentence(error)) from error
        finally:
            if own and self._lock_node != own:
                with trio.move_on_after(self._session.answer_timeout_s, shield=True):
                    await self._leave(own)

    async def load(self) -> Mapping[str, bytes]:
        self._check_open()
        try:
            values, versions = await self._read_all()
        except ZkError as error:
            raise StoreError(self._sentence(error)) from error
        self._versions = versions
        return values

    async def original(self) -> Mapping[str, str]:
        """The original framework's keys below the same root, relative to it; none of ours.

        Read only. Raises StoreError.
        """
        self._check_open()
        base, _, ours = self.root.rpartition("/")
        try:
            return await self._texts_below(base, without=ours)
        except ZkError as error:
            raise StoreError(self._sentence(error)) from error

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """See `Store.write`. Not cut short by cancellation: it would be unknown what landed."""
        taken = dict(changes)
        self._check_size(taken)
        async with self._one_write:
            self._check_open()
            if self._versions is None:
                await self.load()
            with trio.move_on_after(self._session.answer_timeout_s * _SETTLE_S, shield=True):
                await self._write(taken)

    async def close(self) -> None:
        """End the session, and with it the lock; harmless the second time."""
        await self._session.close()

    @property
    def _client(self) -> Client:
        return self._session.client

    async def _answered(self, pending: Pending[T]) -> T:
        return await self._session.answer(pending)

    # -- writing --------------------------------------------------------------------------

    async def _write(self, changes: Mapping[str, bytes | None]) -> None:
        self._check_leader()
        versions = self._versions or {}
        changes = {k: v for k, v in changes.items() if v is not None or k in versions}
        transaction = self._client.transaction()
        transaction.check(self._lock_node, -1)
        for key, value in changes.items():
            self._add(transaction, key, value, versions.get(key))
        try:
            results = await self._answered(transaction.commit_async())
        except ZkError as error:
            await self._settle(error, changes)
        else:
            self._judge(results, list(changes))
        self._versions = _after(versions, changes)

    def _add(
        self, transaction: Transaction, key: str, value: bytes | None, version: int | None
    ) -> None:
        path = self._path(key)
        if version is None:
            transaction.create(path, value or b"")
        elif value is None:
            transaction.delete(path, version)
        else:
            transaction.set_data(path, value, version)

    def _judge(self, results: Sequence[object], keys: list[str]) -> None:
        """Raise for the one operation that undid the others, if any."""
        for key, result in zip(["", *keys], results, strict=True):
            if not isinstance(result, Exception):
                continue
            match problem_of(result):
                case ZkProblem.ROLLED_BACK:
                    continue
                case ZkProblem.NO_NODE | ZkProblem.NODE_EXISTS | ZkProblem.BAD_VERSION:
                    raise self._conflicted(
                        f"somebody else changed {self._path(key)}"
                        if key
                        else f"our leader lock {self._lock_node} is gone"
                    )
                case ZkProblem.DENIED:
                    raise StoreError(self._denied(self._path(key)))
                case _:
                    name = type(result).__name__
                    raise StoreError(f"{self.ensemble} refused to store {key!r}: {name}")

    async def _settle(self, error: ZkError, changes: Mapping[str, bytes | None]) -> None:
        """After no clear answer: return if the write landed, raise StoreError if it did not.

        One record tells for all, and requests of one session are carried out in order, so what
        is read now stands behind the write. Without an answer to that either, we stop writing.
        """
        if error.problem is ZkProblem.SESSION_LOST:
            raise self._conflicted("our ZooKeeper session ended") from error
        if error.problem is not ZkProblem.UNKNOWN or not changes:
            raise StoreError(self._sentence(error)) from error
        key, value = next(iter(changes.items()))
        before = (self._versions or {}).get(key)
        try:
            stat = await self._answered(self._client.exists_async(self._path(key)))
        except ZkError as again:
            raise self._conflicted(f"{again}, so it is unknown what was stored") from again
        if self.lost.is_set():  # a new session answered: it says nothing about the old one's order
            raise self._conflicted("our ZooKeeper session ended") from error
        after = None if stat is None else stat.version
        wanted = None if value is None else 0 if before is None else before + 1
        if after != wanted:
            raise StoreError(f"{self._sentence(error)}; nothing was written") from error

    def _conflicted(self, why: str) -> StoreConflictError:
        self._conflict = (
            f"{why} ({self.ensemble}): this scheduler must stop; a new one reads what is stored"
        )
        return StoreConflictError(self._conflict)

    def _check_leader(self) -> None:
        if self._conflict:
            raise StoreConflictError(self._conflict)
        if self.lost.is_set():
            raise self._conflicted("our ZooKeeper session ended")
        if not self._lock_node:
            raise StoreConflictError(f"no leader lock was taken on {self.root}: nothing written")

    def _check_open(self) -> None:
        if self._session.closed:
            raise StoreError(f"the store {self.ensemble} is closed: nothing was read or written")

    def _check_size(self, changes: Mapping[str, bytes | None]) -> None:
        total = 0
        for key, value in changes.items():
            size = len(value or b"")
            total += size + len(self._path(key)) + _OPERATION_BYTES
            if size > TRANSACTION_BYTES_MAX:
                raise StoreError(
                    f"the record {key!r} has {size} bytes, more than the "
                    f"{TRANSACTION_BYTES_MAX} that ZooKeeper takes: nothing was written"
                )
        if total > TRANSACTION_BYTES_MAX:
            raise StoreError(
                f"{len(changes)} records have {total} bytes together, more than the "
                f"{TRANSACTION_BYTES_MAX} that ZooKeeper takes at once: nothing was written"
            )

    # -- reading --------------------------------------------------------------------------

    async def _read_all(self) -> tuple[dict[str, bytes], dict[str, int]]:
        folder = f"{self.root}/records"
        values: dict[str, bytes] = {}
        versions: dict[str, int] = {}
        try:
            names = await self._answered(self._client.get_children_async(folder))
        except ZkError as error:
            if error.problem is ZkProblem.NO_NODE:  # nobody has written yet
                return values, versions
            raise
        names.sort()
        for start in range(0, len(names), _READS_AT_ONCE):
            batch = names[start : start + _READS_AT_ONCE]
            asked = [(key_of(name), self._client.get_async(f"{folder}/{name}")) for name in batch]
            for key, pending in asked:
                value, stat = await self._answered(pending)
                values[key], versions[key] = value or b"", stat.version
        return values, versions

    async def _texts_below(self, base: str, *, without: str) -> dict[str, str]:
        found: dict[str, str] = {}
        ahead = [""]
        while ahead:
            at = ahead.pop()
            try:
                names = await self._answered(self._client.get_children_async(base + at))
                value, _ = await self._answered(self._client.get_async(base + at))
            except ZkError as error:
                if error.problem is ZkProblem.NO_NODE:  # it went just now, or never was
                    continue
                raise
            found[at.lstrip("/")] = (value or b"").decode("utf-8", "replace")
            ahead += [f"{at}/{name}" for name in names if at or name != without]
        return found

    def _path(self, key: str) -> str:
        try:
            return f"{self.root}/records/{node_name(key)}"
        except UnicodeEncodeError as error:
            raise StoreError(
                f"{self.ensemble} cannot hold a key that is no text: {error}"
            ) from error

    # -- the leader lock ------------------------------------------------------------------

    async def _queue_up(self) -> str:
        who = f"{socket.gethostname()} (process {os.getpid()})".encode()
        return await self._answered(
            self._client.create_async(
                f"{self.root}/lock/{_LOCK_PREFIX}", who, ephemeral=True, sequence=True
            )
        )

    async def _line(self, own: str) -> list[str]:
        """All lock nodes, the leader's first."""
        folder = f"{self.root}/lock"
        names = await self._answered(self._client.get_children_async(folder))
        line = sorted(f"{folder}/{name}" for name in names if name.startswith(_LOCK_PREFIX))
        if own not in line:
            raise ZkError(ZkProblem.SESSION_LOST, f"{self.ensemble} ended our session")
        return line

    async def _until_first(self, own: str) -> None:
        while (line := await self._line(own))[0] != own:
            gone = trio.Event()
            node = line[line.index(own) - 1]
            ahead = self._client.exists_async(node, watch=partial(self._wake, gone))
            if await self._answered(ahead) is not None:
                with trio.move_on_after(_LOCK_CHECK_S):
                    await gone.wait()

    def _wake(self, gone: trio.Event, _event: object) -> None:
        """Called by a thread of kazoo."""
        self._session.post(gone.set)

    async def _held_by(self, node: str, timeout_s: float) -> str:
        try:
            value, _ = await self._answered(self._client.get_async(node))
        except ZkError:
            value = b""  # it went just now: still, it was not ours in time
        holder = (value or b"").decode(errors="replace") or "another scheduler"
        return (
            f"{self.ensemble} is in use: {holder} holds the leader lock {self.root}/lock "
            f"(waited {timeout_s:g} s): stop that scheduler, or give this one another role"
        )

    async def _leave(self, own: str) -> None:
        """Out of the line again, so that a later try of ours does not wait for this one."""
        try:
            await self._answered(self._client.delete_async(own))
        except ZkError:
            await self._session.close()  # ephemeral: it goes with the session

    # -- sentences ------------------------------------------------------------------------

    def _sentence(self, error: ZkError) -> str:
        if error.problem is ZkProblem.DENIED:
            return self._denied(self.root)
        return str(error)

    def _denied(self, path: str) -> str:
        return (
            f"{self.ensemble} does not allow us to use {path}: give credentials with "
            "-store.uri=zk://USER:PASSWORD@HOST:PORT/PATH, or another path"
        )


def _after(versions: Mapping[str, int], changes: Mapping[str, bytes | None]) -> dict[str, int]:
    """The versions that hold once the changes have landed."""
    known = dict(versions)
    for key, value in changes.items():
        if value is None:
            known.pop(key, None)
        else:
            known[key] = known[key] + 1 if key in known else 0
    return known
