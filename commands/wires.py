"""Between the simulated scheduler and its master: who overhears the wire, and who spoils it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Protocol

import attrs

from actors.ports import Mesos, MesosAnswer, MesosStream
from simulation.watch_link import LinkWatch


@attrs.define
class OverheardMesos:
    """Mesos, with an ear for what the scheduler knows of its stream when it sends a call."""

    inner: Mesos
    watch: LinkWatch

    @asynccontextmanager
    async def subscribe(
        self, base: str, path: str, body: bytes
    ) -> AsyncIterator[MesosStream | MesosAnswer]:
        async with self.inner.subscribe(base, path, body) as opened:
            if isinstance(opened, MesosAnswer):
                yield opened
                return
            try:
                yield OverheardStream(opened, self.watch)
            finally:
                self.watch.stream_over(opened.stream_id)

    async def call(self, base: str, path: str, body: bytes, stream_id: str) -> MesosAnswer:
        self.watch.call_leaves(stream_id)
        return await self.inner.call(base, path, body, stream_id)

    async def operator(self, base: str, body: bytes) -> MesosAnswer:
        return await self.inner.operator(base, body)

    async def get(self, base: str, path: str) -> MesosAnswer:
        return await self.inner.get(base, path)

    async def renew_credentials(self) -> bool:
        return await self.inner.renew_credentials()


@attrs.frozen
class OverheardStream:
    inner: MesosStream
    watch: LinkWatch

    @property
    def stream_id(self) -> str:
        return self.inner.stream_id

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.inner.chunks()) as chunks:
            try:
                async for chunk in chunks:
                    yield chunk  # noqa: ASYNC119 - the reader closes us, as the port says
            finally:
                self.watch.stream_over(self.inner.stream_id)


class Plant(Protocol):
    """A deliberate wrong in a test double, to prove that the checkers see it."""

    def subscription(self, body: bytes) -> bytes:
        """What leaves instead of a SUBSCRIBE's body."""

    def call(self, body: bytes) -> bytes:
        """What leaves instead of a scheduler call's body."""

    def stream(self, stream_id: str) -> str:
        """On which stream a call leaves."""

    def times(self, body: bytes) -> int:
        """How often a call leaves."""


@attrs.define
class PlantedMesos:
    """Mesos through a plant: the product believes that it sent what it meant."""

    inner: Mesos
    plant: Plant

    def subscribe(
        self, base: str, path: str, body: bytes
    ) -> AbstractAsyncContextManager[MesosStream | MesosAnswer]:
        return self.inner.subscribe(base, path, self.plant.subscription(body))

    async def call(self, base: str, path: str, body: bytes, stream_id: str) -> MesosAnswer:
        sent, on = self.plant.call(body), self.plant.stream(stream_id)
        answer = await self.inner.call(base, path, sent, on)
        for _ in range(self.plant.times(body) - 1):
            answer = await self.inner.call(base, path, sent, on)
        return answer

    async def operator(self, base: str, body: bytes) -> MesosAnswer:
        return await self.inner.operator(base, body)

    async def get(self, base: str, path: str) -> MesosAnswer:
        return await self.inner.get(base, path)

    async def renew_credentials(self) -> bool:
        return await self.inner.renew_credentials()
