"""What the simulated Gateway does wrong on request: late, cut off, or now and then."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from simulation.gateway import SimulatedGateway
from simulation.gateway_faults import FAULT_KINDS
from simulation.http_server import Cut, Reply, Request, StreamReply
from tests.unit.gateway_client import basic, make

Answer = Reply | StreamReply | Cut


def simulated(seed: int = 7) -> SimulatedGateway:
    return SimulatedGateway(
        api="3.6",
        user="admin",
        password="pw",
        clock=trio.current_time,
        rng=random.Random(seed),  # noqa: S311 - the same faults in each run
    )


def in_virtual_time(story: Callable[[], Awaitable[None]]) -> None:
    trio.run(story, clock=MockClock(autojump_threshold=0))


async def ask(gateway: SimulatedGateway, path: str, authorization: str = "") -> Answer:
    headers = {"authorization": authorization}
    return await gateway.handler(Request(method="GET", target=path, headers=headers, body=b""))


def test_slow_answers_come_after_their_time_and_then_are_quick_again() -> None:
    async def story() -> None:
        gateway = simulated()
        gateway.faults.slow_next(1, 30.0)
        begun = trio.current_time()
        assert isinstance(await ask(gateway, "/api/version"), Reply)
        assert trio.current_time() - begun == pytest.approx(30.0)
        assert isinstance(await ask(gateway, "/api/version"), Reply)
        assert trio.current_time() - begun == pytest.approx(30.0)

    in_virtual_time(story)


def test_a_cut_answer_has_half_its_body() -> None:
    async def story() -> None:
        gateway = simulated()
        whole = await ask(gateway, "/api/version")
        assert isinstance(whole, Reply)
        gateway.faults.cut_next(1)
        cut = await ask(gateway, "/api/version")
        assert isinstance(cut, StreamReply)
        parts = [await cut.chunks.__anext__() for _ in range(2)]
        assert parts == [whole.body[: len(whole.body) // 2], None]
        assert await ask(gateway, "/api/version") == whole

    in_virtual_time(story)


@pytest.mark.parametrize(
    ("kind", "status"), [("401", 401), ("500", 500), ("html", 404), ("slow", 200), ("cut", 200)]
)
def test_a_rate_of_one_befalls_every_request_and_none_befalls_none(kind: str, status: int) -> None:
    async def story() -> None:
        gateway = simulated()
        login = await ask(gateway, "/api/login", basic("admin", "pw"))
        assert isinstance(login, Reply)
        token = basic("", login.body.decode().strip('"'))
        gateway.faults.random_rates = {kind: 1.0}
        begun = trio.current_time()
        befallen = await ask(gateway, "/api/instances", token)
        assert isinstance(befallen, Reply | StreamReply)
        assert befallen.status == status
        assert isinstance(befallen, StreamReply) is (kind == "cut")
        assert (trio.current_time() > begun) is (kind == "slow")
        gateway.faults.random_rates = dict.fromkeys(FAULT_KINDS, 0.0)
        whole = await ask(gateway, "/api/instances", token)
        assert isinstance(whole, Reply)
        assert whole.status == 200

    in_virtual_time(story)


def test_a_rate_befalls_some_requests_and_the_same_seed_the_same_ones() -> None:
    def befallen() -> list[int]:
        client = make()
        client.simulated.faults.random_rates = {"500": 0.3}
        return [client.ask("GET", "/api/instances")[0] for _ in range(60)]

    found = befallen()
    assert set(found) == {200, 500}
    assert befallen() == found
