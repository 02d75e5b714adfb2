"""One ZooKeeper session for Trio. kazoo runs threads of its own; they only post results here.

kazoo belongs to the extra `zk` and is imported when the first session is opened.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import attrs
import trio

from actors.ports import StoreError
from adapters.store_uri import Ensemble

if TYPE_CHECKING:
    from kazoo.client import KazooClient  # pragma: no cover - an optional extra

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

CONNECT_TIMEOUT_S: Final = 15.0  # an ensemble that is electing a leader answers within this
SESSION_TIMEOUT_S: Final = 10.0  # so long after our death another scheduler may take over
ANSWER_TIMEOUT_S: Final = 15.0  # longer than the session: an expired one is noticed first
CLOSE_TIMEOUT_S: Final = 5.0

_RETRY: Final = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 2.0}


class ZkProblem(enum.Enum):
    """What an answer means for the caller; `UNKNOWN` is no answer: it may have been done."""

    NO_NODE = enum.auto()
    NODE_EXISTS = enum.auto()
    BAD_VERSION = enum.auto()
    DENIED = enum.auto()
    SESSION_LOST = enum.auto()
    ROLLED_BACK = enum.auto()  # undone, or not tried, because another one of the group failed
    UNKNOWN = enum.auto()
    OTHER = enum.auto()


_PROBLEMS: Final = {
    "NoNodeError": ZkProblem.NO_NODE,
    "NodeExistsError": ZkProblem.NODE_EXISTS,
    "BadVersionError": ZkProblem.BAD_VERSION,
    "NoAuthError": ZkProblem.DENIED,
    "AuthFailedError": ZkProblem.DENIED,
    "InvalidACLError": ZkProblem.DENIED,
    "SessionExpiredError": ZkProblem.SESSION_LOST,
    "RolledBackError": ZkProblem.ROLLED_BACK,
    "RuntimeInconsistency": ZkProblem.ROLLED_BACK,
    "ConnectionLoss": ZkProblem.UNKNOWN,
    "OperationTimeoutError": ZkProblem.UNKNOWN,
    "RequestTimeoutError": ZkProblem.UNKNOWN,
    "SessionMovedError": ZkProblem.UNKNOWN,
}


def problem_of(error: Exception) -> ZkProblem:
    for kind in type(error).__mro__:
        if kind.__name__ in _PROBLEMS:
            return _PROBLEMS[kind.__name__]
    return ZkProblem.OTHER


class KazooMissingError(StoreError):
    """The library for ZooKeeper is not installed; the text says how to get it."""


class ZkError(Exception):
    """A request was refused, or not answered."""

    def __init__(self, problem: ZkProblem, text: str) -> None:
        super().__init__(text)
        self.problem = problem


class Stat(Protocol):
    """The part of a node's status that we read."""

    version: int


class Pending(Protocol[T_co]):
    """kazoo's promise of an answer."""

    def rawlink(self, callback: Callable[[object], None]) -> None: ...
    def ready(self) -> bool: ...
    def get(self, block: bool = ...) -> T_co: ...  # noqa: FBT001 - kazoo's signature


class Transaction(Protocol):
    def create(self, path: str, value: bytes) -> None: ...
    def set_data(self, path: str, value: bytes, version: int) -> None: ...
    def delete(self, path: str, version: int) -> None: ...
    def check(self, path: str, version: int) -> None: ...
    def commit_async(self) -> Pending[Sequence[object]]: ...


class Client(Protocol):
    """The part of kazoo's client that we use; no call of it blocks."""

    def get_async(self, path: str) -> Pending[tuple[bytes, Stat]]: ...
    def get_children_async(
        self, path: str, watch: Callable[[object], None] | None = ...
    ) -> Pending[list[str]]: ...
    def exists_async(
        self, path: str, watch: Callable[[object], None] | None = ...
    ) -> Pending[Stat | None]: ...
    def ensure_path_async(self, path: str) -> Pending[object]: ...
    def create_async(
        self, path: str, value: bytes, *, ephemeral: bool, sequence: bool
    ) -> Pending[str]: ...
    def delete_async(self, path: str) -> Pending[object]: ...
    def transaction(self) -> Transaction: ...


@attrs.define(kw_only=True)
class ZkSession:
    """Open with `ZkSession.open`. `lost` is set when the session has ended, for ever."""

    ensemble: Ensemble
    client: Client
    answer_timeout_s: float
    close_timeout_s: float = CLOSE_TIMEOUT_S
    lost: trio.Event = attrs.field(factory=trio.Event, init=False)
    closed: bool = attrs.field(default=False, init=False)
    _stop: Callable[[], None]
    _errors: type[Exception]
    _token: trio.lowlevel.TrioToken
    _connected: trio.Event = attrs.field(factory=trio.Event, init=False)

    @classmethod
    async def open(
        cls,
        ensemble: Ensemble,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        session_timeout_s: float = SESSION_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
    ) -> ZkSession:
        """Raises StoreError when no server of the ensemble answers, KazooMissingError."""
        client, errors = _kazoo_client(ensemble, session_timeout_s)
        session = cls(
            ensemble=ensemble,
            client=client,
            answer_timeout_s=answer_timeout_s,
            close_timeout_s=close_timeout_s,
            stop=lambda: _stop(client, errors),
            errors=errors,
            token=trio.lowlevel.current_trio_token(),
        )
        client.add_listener(session._on_state)
        client.start_async()
        try:
            with trio.move_on_after(connect_timeout_s):
                await session._connected.wait()
                return session
        finally:
            if not session._connected.is_set():
                with trio.move_on_after(close_timeout_s, shield=True):
                    await session.close()
        raise StoreError(
            f"no ZooKeeper server of {ensemble} answered within {connect_timeout_s:g} s: "
            "check the addresses and that the ensemble has a leader"
        )

    async def answer(self, pending: Pending[T]) -> T:
        """What ZooKeeper answers; always within `answer_timeout_s`. Raises ZkError."""
        done = trio.Event()
        pending.rawlink(lambda _: self.post(done.set))
        with trio.move_on_after(self.answer_timeout_s):
            await done.wait()
        if not pending.ready():
            raise ZkError(
                ZkProblem.UNKNOWN,
                f"{self.ensemble} did not answer within {self.answer_timeout_s:g} s",
            )
        try:
            return pending.get(block=False)
        except self._errors as error:
            name = type(error).__name__
            text = f"{self.ensemble} answered {name}{f': {error}' if str(error) else ''}"
            raise ZkError(problem_of(error), text) from error

    async def close(self) -> None:
        """End the session, and with it our lock; harmless the second time."""
        if self.closed:
            return
        self.closed = True
        with trio.move_on_after(self.close_timeout_s, shield=True):
            # Where it takes longer, the session ends by its own timeout.
            await trio.to_thread.run_sync(self._stop, abandon_on_cancel=True)

    def post(self, work: Callable[[], None]) -> None:
        """From kazoo's threads: run `work` in the Trio thread."""
        with contextlib.suppress(trio.RunFinishedError):  # nobody is left to tell
            self._token.run_sync_soon(work)

    def _on_state(self, state: str) -> None:
        """Called by kazoo's thread with CONNECTED, SUSPENDED or LOST."""
        if state == "CONNECTED":
            self.post(self._connected.set)
        elif state == "LOST":
            self.post(self.lost.set)


def check_kazoo(ensemble: Ensemble, *, otherwise: str) -> None:
    """Raise KazooMissingError where the library is missing; `otherwise`: what to do without."""
    try:
        importlib.import_module("kazoo.client")
    except ImportError as error:
        raise KazooMissingError(
            f"{ensemble} needs the library kazoo, which is not installed: "
            f"install scaleio-framework[zk], or {otherwise}"
        ) from error


def _kazoo_client(
    ensemble: Ensemble, session_timeout_s: float
) -> tuple[KazooClient, type[Exception]]:
    check_kazoo(ensemble, otherwise="use -store.type=sqlite")
    from kazoo.client import KazooClient  # an optional extra
    from kazoo.exceptions import KazooException
    from kazoo.security import CREATOR_ALL_ACL

    logger = logging.getLogger("scaleio.zookeeper")
    logger.setLevel(logging.INFO)  # below it kazoo writes the credentials out
    client = KazooClient(
        hosts=",".join(ensemble.servers),
        timeout=session_timeout_s,
        connection_retry=dict(_RETRY),
        auth_data=[("digest", ensemble.credentials)] if ensemble.credentials else None,
        default_acl=CREATOR_ALL_ACL if ensemble.credentials else None,
        logger=logger,
    )
    return client, KazooException


def _stop(client: KazooClient, errors: type[Exception]) -> None:
    """Blocks; for a thread."""
    with contextlib.suppress(errors, OSError):  # the session then ends by its timeout
        client.stop()
        client.close()
