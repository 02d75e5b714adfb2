"""A simulated Gateway and the real adapter, on a network in memory or on TLS sockets."""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import fingerprint_of, gateway_client
from adapters.http_client import make_client
from simulation.gateway import APIS, Api, SimulatedGateway
from simulation.gateway_serve import Identity, Serving, make_identity, serve_gateway
from simulation.http_server import Cut, Handler, Reply, Request, StreamReply
from simulation.network import MemoryBackend, Network

GUID = "6A1D4C5E-0F3B-4C52-9C35-0A8B5F7C2D11"
OTHER_GUID = "0B5F7C2D-4C52-4C52-9C35-6A1D4C5E0F3B"
PASSWORD = "Correct-Horse-9"


@attrs.define(kw_only=True)
class World:
    """`skip` moves the clock that sessions and rebuilds go by, also where time is real."""

    simulated: SimulatedGateway
    gateway: HttpGateway
    password: list[str]
    skipped_s: list[float]
    seen: list[str]
    events: list[tuple[str, dict[str, object]]]
    answer_instead: list[Callable[[Request], Reply | None]]

    def skip(self, seconds: float) -> None:
        self.skipped_s[0] += seconds

    async def pool_and_sds(self) -> tuple[str, str, str]:
        """Ids of the seeded domain and pool, and of one of its SDSs."""
        shown = await self.gateway.snapshot()
        return shown.domains[0].id, shown.pools[0].id, shown.sds[0].id

    def forced(self) -> list[object]:
        return [facts["forced"] for kind, facts in self.events if kind == "device-added"]


Story = Callable[[World], Awaitable[None]]


def _world(api: Api, client: httpx.AsyncClient, *, deadline_s: float) -> World:
    skipped_s, password = [0.0], [PASSWORD]

    def clock() -> float:
        return trio.current_time() + skipped_s[0]

    simulated = SimulatedGateway(
        api=api,
        user="admin",
        password=PASSWORD,
        clock=clock,
        rng=random.Random(7),  # noqa: S311 - the same ids in each run
        virtual_addresses=("10.0.0.9",),
    )
    simulated.seed()
    simulated.register_sdc(GUID, "10.0.3.1")
    events: list[tuple[str, dict[str, object]]] = []
    simulated.listeners.append(lambda kind, facts: events.append((kind, dict(facts))))
    return World(
        simulated=simulated,
        gateway=HttpGateway(
            client=client,
            base_url="http://gateway",
            user="admin",
            password=lambda: password[0],
            clock=clock,
            deadline_s=deadline_s,
        ),
        password=password,
        skipped_s=skipped_s,
        seen=[],
        events=events,
        answer_instead=[],
    )


def _watched(world: World) -> Handler:
    async def handle(request: Request) -> Reply | StreamReply | Cut:
        world.seen.append(f"{request.method} {request.path}")
        for instead in world.answer_instead:
            if (reply := instead(request)) is not None:
                return reply
        return await world.simulated.handler(request)

    return handle


def in_memory(story: Story, *, api: Api) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            network = Network(nursery)
            async with make_client(network_backend=MemoryBackend(network)) as client:
                world = _world(api, client, deadline_s=30.0)
                network.listen("gateway", 80, _watched(world))
                await story(world)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


IDENTITY: Identity = make_identity("127.0.0.1")


def over_tls(story: Story, *, api: Api) -> None:
    der = ssl.PEM_cert_to_DER_cert(IDENTITY.certificate_pem.decode())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            async with gateway_client(ca_file=None, fingerprint=fingerprint_of(der)) as client:
                world = _world(api, client, deadline_s=5.0)
                serving: Serving = await nursery.start(
                    partial(
                        serve_gateway,
                        world.simulated,
                        "127.0.0.1:0",
                        plain=False,
                        identity=IDENTITY,
                    )
                )
                world.gateway = attrs.evolve(world.gateway, base_url=serving.url)
                await story(world)
            nursery.cancel_scope.cancel()

    trio.run(main)


MEMORY = [pytest.param(in_memory, api, id=f"memory-{api}") for api in APIS]
SOCKETS = [pytest.param(over_tls, api, id=f"tls-{api}") for api in ("2.0", "4.5")]


def promise(story: Story) -> Callable[..., None]:
    """A test of the story on every network and release."""

    @pytest.mark.parametrize(("network", "api"), [*MEMORY, *SOCKETS])
    def test(network: Callable[..., None], api: Api) -> None:
        network(story, api=api)

    kept: Callable[..., None] = test
    return kept


def promise_in_memory(story: Story) -> Callable[..., None]:
    """For stories that need a word in between client and Gateway."""

    @pytest.mark.parametrize(("network", "api"), MEMORY)
    def test(network: Callable[..., None], api: Api) -> None:
        network(story, api=api)

    kept: Callable[..., None] = test
    return kept
