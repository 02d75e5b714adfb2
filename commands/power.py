"""The power of a simulated process: without it no byte leaves, and no write lands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import httpcore
import trio

from actors.ports import Store, StoreError
from simulation.network import MemoryBackend
from simulation.process_dials import ProcessDials


@attrs.define
class Power:
    """On until the simulated scheduler process dies. `outward` hears of all that leaves it."""

    on: bool = True
    outward: Callable[[], None] = lambda: None

    async def check(self) -> None:
        if not self.on:
            await trio.sleep_forever()


@attrs.define
class PoweredBackend(httpcore.AsyncNetworkBackend):
    """The network of one scheduler process: dead sockets send nothing, not even a goodbye."""

    inner: MemoryBackend
    power: Power

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        await self.power.check()
        self.power.outward()
        inner = await self.inner.connect_tcp(host, port, timeout, local_address, socket_options)
        self.power.outward()
        return PoweredStream(inner, self.power)

    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)


@attrs.define
class PoweredStream(httpcore.AsyncNetworkStream):
    inner: httpcore.AsyncNetworkStream
    power: Power

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await self.power.check()
        return await self.inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self.power.check()
        self.power.outward()
        await self.inner.write(buffer, timeout)
        self.power.outward()

    async def aclose(self) -> None:
        self.power.outward()
        await self.inner.aclose()
        self.power.outward()

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        await self.inner.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


@attrs.define
class PoweredStore:
    """A store that takes nothing from a dead process. Its kind: state is not bound to a host."""

    inner: Store
    power: Power
    dials: ProcessDials
    landed: Callable[[Mapping[str, bytes | None]], None]  # it is durable, confirmed or not
    confirmed: Callable[[Iterable[str]], None]  # of these keys the scheduler knows what is durable
    kind: str = "simulated"

    async def load(self) -> Mapping[str, bytes]:
        loaded = await self.inner.load()
        self.confirmed(loaded)
        return loaded

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        delay_s = self.dials.take_delay_s()
        await trio.sleep(delay_s)
        await self.power.check()
        self.power.outward()
        await self.inner.write(changes)
        self.power.outward()
        self.landed(changes)
        if self.dials.take_unheard():
            self.dials.crash()
        await trio.sleep(delay_s)
        await self.power.check()
        if self.dials.take_unsure():
            raise StoreError("the connection broke before the store answered")
        self.confirmed(changes)

    async def close(self) -> None:
        await self.inner.close()
