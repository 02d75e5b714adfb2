"""The MDM's port 6611: SDCs connect, are registered, and are told which volumes they see."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Final

import attrs
import trio

from simulation.gateway import SimulatedGateway
from tests.lab.standins import lines

PORT: Final = 6611
SILENCE_S: Final = 5.0  # an SDC beats every second
SEND_S: Final = 2.0
CHANGES: Final = frozenset(
    {"volume-mapped", "volume-unmapped", "volume-removed", "sdc-approved", "sdc-removed"}
)


async def messages(stream: trio.abc.ReceiveStream) -> AsyncIterator[lines.Message]:
    """What the other side says, until it is silent too long, goes away, or speaks nonsense."""
    splitter = lines.Splitter()
    while True:
        with trio.move_on_after(SILENCE_S) as scope:
            try:
                chunk = bytes(await stream.receive_some(lines.READ_BYTES))
                found = splitter.feed(chunk)
            except (trio.BrokenResourceError, trio.ClosedResourceError, lines.ProtocolError):
                return
        if scope.cancelled_caught or not chunk:
            return
        for message in found:
            yield message


@attrs.define(eq=False)
class MdmPort:
    """An SDC is connected while any of its connections is. Register `listener` at the Gateway."""

    gateway: SimulatedGateway
    epoch: str
    _version: int = attrs.field(default=0, init=False)
    _connections: Counter[str] = attrs.field(factory=Counter, init=False)
    _wakes: set[trio.MemorySendChannel[None]] = attrs.field(factory=set, init=False)

    def listener(self, kind: str, _facts: Mapping[str, object]) -> None:
        """Synchronous: whoever is told that a volume is mapped finds that list under way."""
        if kind in CHANGES:
            self._version += 1
            for wake in self._wakes:
                _wake(wake)

    async def serve(
        self, address: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Until cancelled. Raises OSError when it cannot listen."""
        listeners = await trio.open_tcp_listeners(PORT, host=address)
        task_status.started()
        await trio.serve_listeners(self._serve_one, listeners)

    async def _serve_one(self, stream: trio.SocketStream) -> None:
        async with stream:
            heard = messages(stream)
            hello = await anext(heard, None)
            if hello is None or not _is_guid(str(hello.get("guid"))):
                return
            guid = str(hello["guid"]).upper()
            self._connections[guid] += 1
            self.gateway.register_sdc(guid, str(hello.get("ip")))
            try:
                await self._keep_told(guid, stream, heard)
            finally:
                self._connections[guid] -= 1
                if not self._connections[guid]:
                    self.gateway.set_sdc_connected(guid, False)

    async def _keep_told(
        self, guid: str, stream: trio.SocketStream, heard: AsyncIterator[lines.Message]
    ) -> None:
        wake, woken = trio.open_memory_channel[None](1)
        self._wakes.add(wake)
        _wake(wake)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._tell, guid, stream, woken, nursery.cancel_scope)
                async for _ in heard:
                    _wake(wake)
                nursery.cancel_scope.cancel(reason="the SDC is gone")
        finally:
            self._wakes.discard(wake)

    async def _tell(
        self,
        guid: str,
        stream: trio.SocketStream,
        woken: trio.MemoryReceiveChannel[None],
        scope: trio.CancelScope,
    ) -> None:
        async for _ in woken:
            try:
                with trio.fail_after(SEND_S):
                    await stream.send_all(lines.encode(self._list(guid)))
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                break
        scope.cancel(reason="the SDC does not take what it is told")

    def _list(self, guid: str) -> dict[str, object]:
        system = self.gateway.system_id
        sdc = self.gateway.state.sdc_by_guid(guid)
        return {
            "system": system,
            "sdc": sdc.id if sdc else "",
            "installation": system[::-1],  # as the Gateway's System object has it
            "epoch": self.epoch,
            "version": self._version,
            "volumes": [volume for _, volume in self.gateway.mapped_volumes(guid)],
        }


def _wake(channel: trio.MemorySendChannel[None]) -> None:
    try:
        channel.send_nowait(None)
    except trio.WouldBlock:
        return  # it is awake already, and reads the state when it sends


def _is_guid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
