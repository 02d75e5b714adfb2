"""`ports.Leaders` from the ZooKeeper in which the masters elect their leader.

The session is opened by the first question and again by the first one after its loss; the
questions carry every timeout, so there is no task to supervise.
"""

from __future__ import annotations

from typing import Final

import attrs
import structlog
import trio

from actors.ports import LeaderUnknownError, StoreError
from adapters.zookeeper_session import ZkError, ZkProblem, ZkSession, check_kazoo
from flags.ensemble import Ensemble
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.leader import bases, candidates, parse_master_info

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0  # nobody waits for the end of this session
TELL_TIMEOUT_S: Final = 20.0  # for connecting and all answers together
LOOK_AGAIN_S: Final = 5.0  # a watch that got lost costs this much
PAUSE_FIRST_S: Final = 1.0
PAUSE_CEILING_S: Final = 15.0  # as long as the link to the master pauses at most

log = structlog.get_logger()


@attrs.frozen
class _Leader:
    node: str
    bases: tuple[str, ...]


@attrs.define(kw_only=True)
class ZooKeeperLeaders:
    """Make one with `create`; `close` ends its session."""

    ensemble: Ensemble  # its path is the one of the masters' -zk flag
    scheme: str  # http or https: the nodes do not tell
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    answer_timeout_s: float = ANSWER_TIMEOUT_S
    _session: ZkSession | None = attrs.field(default=None, init=False)
    _one_look: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _stirred: trio.Event = attrs.field(factory=trio.Event, init=False)
    _told: _Leader | None = attrs.field(default=None, init=False)
    _unreadable: frozenset[str] = attrs.field(default=frozenset(), init=False)

    @classmethod
    def create(cls, ensemble: Ensemble, *, scheme: str) -> ZooKeeperLeaders:
        """Connects to nobody yet. Raises KazooMissingError."""
        check_kazoo(ensemble, otherwise="name the masters with -uri=host:port,host:port")
        return cls(ensemble=ensemble, scheme=scheme)

    async def bases(self) -> tuple[str, ...]:
        """The leader's addresses only: all that other masters know is the way to it."""
        self._told = None
        self._told = await self._look()
        return self._told.bases

    async def changed(self) -> None:
        pause_s = PAUSE_FIRST_S
        while True:
            patience_s = LOOK_AGAIN_S
            try:
                if await self._look() != self._told:
                    return
                pause_s = PAUSE_FIRST_S
            except LeaderUnknownError as error:
                log.debug("no leading master yet", reason=str(error))
                patience_s, pause_s = pause_s, min(pause_s * 2, PAUSE_CEILING_S)
            with trio.move_on_after(patience_s):
                await self._stirred.wait()

    async def close(self) -> None:
        """Harmless the second time."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _look(self) -> _Leader:
        """Who leads now. Raises LeaderUnknownError."""
        with trio.move_on_after(TELL_TIMEOUT_S):
            async with self._one_look:
                try:
                    return await self._ask(await self._opened())
                except ZkError as error:
                    raise LeaderUnknownError(await self._failed(error)) from error
                except StoreError as error:  # no server answered; the text says which, and a cure
                    raise LeaderUnknownError(str(error)) from error
        raise LeaderUnknownError(
            f"{self.ensemble} did not tell the leading master within {TELL_TIMEOUT_S:g} s: "
            "check the ensemble's health"
        )

    async def _opened(self) -> ZkSession:
        if self._session is not None and self._session.lost.is_set():
            await self.close()
        if self._session is None:
            self._session = await ZkSession.open(
                self.ensemble,
                connect_timeout_s=self.connect_timeout_s,
                answer_timeout_s=self.answer_timeout_s,
                close_timeout_s=CLOSE_TIMEOUT_S,
            )
        return self._session

    async def _ask(self, session: ZkSession) -> _Leader:
        self._stirred = trio.Event()  # before the watch: what happens from here on is not missed
        folder = self.ensemble.chroot
        pending = session.client.get_children_async(folder, watch=self._on_children)
        children = await session.answer(pending)
        nodes = candidates(children)
        if not nodes:
            raise LeaderUnknownError(
                f"{self.ensemble} holds {len(children)} nodes, and none of them is a master's: "
                "start a master, or check the path against the masters' -zk flag"
            )
        found: _Leader | None = None
        unreadable: dict[str, str] = {}
        for node in nodes:
            found = await self._read(session, node, unreadable)
            if found is not None:
                break
        self._warn(unreadable)
        if found is None:
            raise LeaderUnknownError(
                f"none of the {len(nodes)} masters' nodes of {self.ensemble} could be read: an "
                "election is under way, or something else writes there"
            )
        return found

    async def _read(
        self, session: ZkSession, node: str, unreadable: dict[str, str]
    ) -> _Leader | None:
        """None where it has vanished since it was listed, or makes no sense."""
        try:
            path = f"{self.ensemble.chroot}/{node}"
            data, _ = await session.answer(session.client.get_async(path))
            announced = parse_master_info(data or b"")
        except ZkError as error:
            if error.problem is not ZkProblem.NO_NODE:
                raise
            return None
        except RemoteMesosError as error:
            unreadable[node] = str(error)
            return None
        return _Leader(node, bases(announced, scheme=self.scheme))

    def _warn(self, unreadable: dict[str, str]) -> None:
        """Once for each node, as long as it stands there."""
        for node in unreadable.keys() - self._unreadable:
            log.warning("a master's node is no MasterInfo", node=node, reason=unreadable[node])
        self._unreadable = frozenset(unreadable)

    def _on_children(self, _event: object) -> None:
        """Called by a thread of kazoo: nodes came or went, or the connection broke."""
        session = self._session
        if session is not None:
            session.post(self._stir)

    def _stir(self) -> None:
        self._stirred.set()

    async def _failed(self, error: ZkError) -> str:
        match error.problem:
            case ZkProblem.NO_NODE:
                return (
                    f"there is no path {self.ensemble.chroot} in {self.ensemble}: it must be the "
                    "one of the masters' -zk flag, usually /mesos"
                )
            case ZkProblem.DENIED:
                return (
                    f"{self.ensemble} does not let us read {self.ensemble.chroot}: give "
                    "credentials with -uri=zk://USER:PASSWORD@HOST:PORT/PATH"
                )
            case _:
                # What this session still knows is in doubt; the next question opens another one.
                await self.close()
                return f"{error}: check the addresses and that the ensemble has a leader"
