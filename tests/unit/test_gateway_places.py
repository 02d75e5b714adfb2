"""Several Gateways of one cluster: who is asked, and what is asked again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from adapters.gateway_http import HttpGateway
from adapters.http_client import make_client
from protocol.gateway.errors import GatewayUnreachableError
from simulation.gateway import Api, SimulatedGateway
from simulation.http_server import Cut, Handler, Reply, Request, StreamReply
from simulation.network import MemoryBackend, Network

PASSWORD = "Correct-Horse-9"
POST = "POST /api/types/ProtectionDomain/instances"


@attrs.define
class Pair:
    """Two Gateways in front of one MDM: each has its own tokens. `seen`: (gateway, call)."""

    simulated: SimulatedGateway
    network: Network
    client: HttpGateway
    seen: list[tuple[str, str]] = attrs.field(factory=list)
    cut: set[str] = attrs.field(factory=set)  # Gateways whose answers do not come
    cuts_left: int = 10**6
    request_ids: list[str] = attrs.field(factory=list)

    def handler(self, name: str, answer: Handler) -> Handler:
        async def handle(request: Request) -> Reply | StreamReply | Cut:
            self.seen.append((name, f"{request.method} {request.path}"))
            self.request_ids.append(request.headers.get("x-request-id", ""))
            if name in self.cut and self.cuts_left:
                self.cuts_left -= 1
                return Cut()
            return await answer(request)

        return handle

    def asked(self) -> set[str]:
        return {name for name, _ in self.seen}


def with_two(story: Callable[[Pair], Awaitable[None]], *, api: Api = "3.6") -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            network = Network(nursery)
            async with make_client(network_backend=MemoryBackend(network)) as client:
                simulated = SimulatedGateway(
                    api=api,
                    user="admin",
                    password=PASSWORD,
                    clock=trio.current_time,
                    rng=random.Random(3),  # noqa: S311 - the same in each run
                )
                simulated.seed()
                gateway = HttpGateway(
                    client=client,
                    base_url="http://one",
                    others=("http://two",),
                    user="admin",
                    password=lambda: PASSWORD,
                    clock=trio.current_time,
                )
                pair = Pair(simulated, network, gateway)
                for name in ("one", "two"):
                    network.listen(name, 80, pair.handler(name, simulated.handler))
                await story(pair)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_one_gateway_is_used_as_long_as_it_answers() -> None:
    async def story(pair: Pair) -> None:
        for _ in range(3):
            assert (await pair.client.snapshot()).gateway_url == "http://one"
        assert pair.asked() == {"one"}

    with_two(story)


def test_the_other_gateway_takes_over_with_its_own_login_and_keeps_the_work() -> None:
    async def story(pair: Pair) -> None:
        await pair.client.snapshot()
        pair.cut.add("one")
        with capture_logs() as logs:
            shown = await pair.client.snapshot()
        assert shown.pools
        assert shown.gateway_url == "http://two"
        assert ("two", "GET /api/login") in pair.seen
        [told] = [line for line in logs if line["log_level"] == "warning"]
        assert told["left"] == "http://one"
        assert told["now"] == "http://two"
        assert "cannot be reached" in told["why"]
        pair.seen.clear()
        await pair.client.snapshot()
        assert pair.asked() == {"two"}, "the first one is not tried in each look"
        pair.cut = {"two"}
        assert (await pair.client.snapshot()).gateway_url == "http://one"

    with_two(story)


def test_a_gateway_that_hangs_is_left_within_the_look() -> None:
    async def story(pair: Pair) -> None:
        pair.simulated.faults.timeout_next(1)
        began = trio.current_time()
        assert (await pair.client.snapshot()).gateway_url == "http://two"
        assert trio.current_time() - began < pair.client.deadline_s

    with_two(story)


def test_where_none_answers_each_is_named_once() -> None:
    async def story(pair: Pair) -> None:
        await pair.client.snapshot()
        pair.cut = {"one", "two"}
        with capture_logs() as logs:
            for _ in range(5):
                with pytest.raises(GatewayUnreachableError):
                    await pair.client.snapshot()
        left = [line["left"] for line in logs if line["log_level"] == "warning"]
        assert sorted(left) == ["http://one", "http://two"]

    with_two(story)


def test_what_changes_something_is_never_sent_twice() -> None:
    async def story(pair: Pair) -> None:
        await pair.client.snapshot()
        pair.seen.clear()
        pair.cut = {"one", "two"}
        with pytest.raises(GatewayUnreachableError):
            await pair.client.create_protection_domain("d")
        assert [call for _, call in pair.seen] == [POST]
        pair.cut.clear()
        assert await pair.client.create_protection_domain("d")
        assert pair.seen[-1] == ("two", POST)

    with_two(story)


def test_a_look_survives_a_broken_connection_but_not_a_dead_gateway() -> None:
    async def story(pair: Pair) -> None:
        pair.client = attrs.evolve(pair.client, others=())
        await pair.client.snapshot()
        pair.cut, pair.cuts_left = {"one"}, 2
        assert (await pair.client.snapshot()).pools
        pair.cuts_left = 10**6
        pair.seen.clear()
        with pytest.raises(GatewayUnreachableError, match="http://one cannot be reached"):
            await pair.client.snapshot()
        assert len(pair.seen) == 3

    with_two(story)


def test_a_proxy_without_a_gateway_behind_it_is_left() -> None:
    async def story(pair: Pair) -> None:
        async def nothing(_: Request) -> Reply:
            await trio.lowlevel.checkpoint()
            return Reply(
                status=503, headers=(("Content-Type", "text/html"),), body=b"<html>no backend"
            )

        await pair.client.snapshot()
        pair.network.cut("one", 80)
        pair.network.listen("one", 80, pair.handler("one", nothing))
        assert (await pair.client.snapshot()).gateway_url == "http://two"

    with_two(story)


def test_a_gateway_of_another_version_is_met_anew() -> None:
    async def story(pair: Pair) -> None:
        newer = SimulatedGateway(
            api="4.5",
            user="admin",
            password=PASSWORD,
            clock=trio.current_time,
            rng=random.Random(4),  # noqa: S311 - the same in each run
        )
        newer.seed()
        client = attrs.evolve(pair.client, others=())
        assert (await client.snapshot()).api_version == (3, 6)
        pair.network.cut("one", 80)
        pair.network.listen("one", 80, pair.handler("one", newer.handler))
        with capture_logs() as logs:
            assert (await client.snapshot()).api_version == (4, 5)
        [told] = [line for line in logs if line["log_level"] == "warning"]
        assert (told["was"], told["now"]) == ("3.6", "4.5")

    with_two(story)


def test_each_call_bears_an_id_that_the_log_names() -> None:
    async def story(pair: Pair) -> None:
        with capture_logs() as logs:
            await pair.client.create_protection_domain("d")
        told = {line["request"] for line in logs if "request" in line}
        assert told
        assert told <= set(pair.request_ids)
        assert len(set(pair.request_ids)) == len(pair.request_ids)

    with_two(story)
