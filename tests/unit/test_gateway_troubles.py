"""What goes wrong with a Gateway: one line each, and work goes on without a restart of ours."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio
import trustme
from structlog.testing import capture_logs
from trio.testing import MockClock

from actors.board import Board
from actors.gateway_poller import RETRY_CEILING_S, GatewayPoller
from actors.health_monitor import HealthMonitor
from actors.mailbox import Mailbox
from actors.messages import GateInbox, HealthInbox, PollerInbox
from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import Seen, gateway_client
from adapters.http_client import make_client
from domain.conditions import CLEAR_S
from domain.storage_health import Limits
from simulation.gateway import Api, SimulatedGateway
from simulation.gateway_serve import Identity, serve_gateway
from simulation.gateway_views import EPOCH_S
from simulation.network import MemoryBackend, Network
from tests.unit.actor_doubles import box

PASSWORD = "Correct-Horse-9"
Lines = list[MutableMapping[str, Any]]


@attrs.define
class Watch:
    """The poller and the monitor at work, as the supervisor puts them together."""

    board: Board
    lines: Lines

    def warnings(self) -> list[str]:
        """What an operator reads in the log: each trouble, once."""
        return [
            str(line.get("error") or line.get("event"))
            for line in self.lines
            if line["log_level"] == "warning" and line["event"] != "condition"
        ]

    def standing(self) -> list[str]:
        return [one.name for one in self.board.conditions]

    async def until(self, holds: Callable[[], bool], *, within_s: float) -> None:
        with trio.fail_after(within_s):
            while not holds():
                await self.board.wait_change()

    async def polled(self, *, within_s: float) -> None:
        await self.until(
            lambda: self.board.gateway.storage is not None and not self.board.gateway.error,
            within_s=within_s,
        )


@asynccontextmanager
async def watch(
    gateway: HttpGateway, *, poll_s: float = 5.0, wall: Callable[[], float] | None = None
) -> AsyncIterator[Watch]:
    """`wall`: unix seconds; by the simulated Gateway's own clock where nothing else is said."""
    board = Board()
    board.link = attrs.evolve(board.link, state="subscribed")
    polls: Mailbox[PollerInbox] = box("gateway-poller")
    gate: Mailbox[GateInbox] = box("gate", 10_000)
    health: Mailbox[HealthInbox] = box("health", 4)
    rng = random.Random(5)  # noqa: S311 - the same in each run
    poller = GatewayPoller(
        mailbox=polls,
        gateway=gateway,
        gate=gate,
        health=health,
        agents=lambda _: None,
        board=board,
        chance=rng,
        poll_s=poll_s,
    )
    monitor = HealthMonitor(
        mailbox=health,
        board=board,
        agents=lambda _: None,
        limits=Limits(),
        wall=wall or (lambda: EPOCH_S + trio.current_time()),
        store_fault=lambda: "",
        store_bound=False,
    )
    with capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poller.run)
            nursery.start_soon(monitor.run)
            yield Watch(board, lines)
            nursery.cancel_scope.cancel()


def simulated(api: Api = "3.6", seed: int = 7) -> SimulatedGateway:
    made = SimulatedGateway(
        api=api,
        user="admin",
        password=PASSWORD,
        clock=trio.current_time,
        rng=random.Random(seed),  # noqa: S311 - the same in each run
    )
    made.seed()
    return made


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - certificates are judged by OpenSSL's own clock


def in_memory(story: Callable[[Network, HttpGateway, list[str]], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            network = Network(nursery)
            password = [PASSWORD]
            async with make_client(network_backend=MemoryBackend(network)) as client:
                gateway = HttpGateway(
                    client=client,
                    base_url="http://gateway",
                    user="admin",
                    password=lambda: password[0],
                    clock=trio.current_time,
                )
                await story(network, gateway, password)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_a_wrong_password_is_one_line_and_a_corrected_one_is_enough() -> None:
    async def story(network: Network, gateway: HttpGateway, password: list[str]) -> None:
        there = simulated()
        network.listen("gateway", 80, there.handler)
        password[0] = "wrong"
        async with watch(gateway) as seen:
            await trio.sleep(1800.0)
            [line] = seen.warnings()
            assert line.startswith("the Gateway http://gateway refuses user 'admin': check")
            assert seen.standing() == ["gateway-login"]
            assert there.calls <= 1800 / 60 + 2, "an account is not locked by knocking"
            password[0] = PASSWORD
            await seen.polled(within_s=2 * RETRY_CEILING_S)
            await trio.sleep(CLEAR_S + 10.0)
            assert seen.standing() == []
            assert len(seen.warnings()) == 1
            assert PASSWORD not in repr(seen.lines)

    in_memory(story)


def test_a_gateway_that_is_down_at_start_is_one_line_and_found_when_it_comes() -> None:
    async def story(network: Network, gateway: HttpGateway, _: list[str]) -> None:
        async with watch(gateway) as seen:
            await trio.sleep(3600.0)
            [line] = seen.warnings()
            assert line.startswith("the Gateway http://gateway cannot be reached")
            assert seen.standing() == ["gateway-unreachable"]
            network.listen("gateway", 80, simulated().handler)
            await seen.polled(within_s=2 * RETRY_CEILING_S)
            await trio.sleep(CLEAR_S + 10.0)
            assert seen.standing() == []
            assert len(seen.warnings()) == 1

    in_memory(story)


def test_a_gateway_of_another_version_takes_over_while_we_run() -> None:
    async def story(network: Network, gateway: HttpGateway, _: list[str]) -> None:
        network.listen("gateway", 80, simulated("2.5").handler)
        async with watch(gateway) as seen:
            await seen.polled(within_s=60.0)
            for api, words in (("4.5", "4.5"), ("2.0", "2.0")):
                network.cut("gateway", 80)
                network.listen("gateway", 80, simulated(api).handler)  # type: ignore[arg-type]  # of APIS
                await trio.sleep(600.0)
                storage = seen.board.gateway.storage
                assert storage is not None
                assert ".".join(map(str, storage.api_version)) == words
                assert seen.board.gateway.error == ""
            changes = [line for line in seen.lines if "another version" in str(line["event"])]
            assert [(line["was"], line["now"]) for line in changes] == [
                ("2.5", "4.5"),
                ("4.5", "2.0"),
            ]
            assert len(seen.warnings()) == 2
            assert seen.standing() == []

    in_memory(story)


async def test_an_expired_certificate_is_one_line_until_a_new_one_is_there(tmp_path: Path) -> None:
    """Real sockets and OpenSSL's own clock: the listener is replaced by one that is renewed."""
    ca = trustme.CA()
    trusted = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(trusted))
    seen_certificate = Seen()
    client = gateway_client(ca_file=str(trusted), fingerprint=None, seen=seen_certificate)
    there = simulated()
    async with trio.open_nursery() as nursery, client:
        expired = trio.CancelScope()
        port = await nursery.start(partial(_serve, there, ca, -timedelta(days=1), 0, expired))
        gateway = HttpGateway(
            client=client,
            base_url=f"https://127.0.0.1:{port}",
            user="admin",
            password=lambda: PASSWORD,
            clock=trio.current_time,
            seen=seen_certificate,
        )
        async with watch(gateway, poll_s=0.05, wall=lambda: _now().timestamp()) as seen:
            await seen.until(lambda: seen.board.gateway.fault == "certificate", within_s=30.0)
            await seen.until(lambda: seen.standing() == ["gateway-certificate"], within_s=30.0)
            assert there.calls == 0, "not even the login was sent"
            expired.cancel()
            renewed = trio.CancelScope()
            await nursery.start(partial(_serve, there, ca, timedelta(days=9), port, renewed))
            await seen.polled(within_s=30.0)
            [line, *others] = seen.warnings()
            assert "certificate has expired): renew it" in line
            # In between nobody may have listened for a moment: that is its own line.
            assert all("cannot be reached" in other for other in others)
            await seen.until(lambda: "certificate-expiring" in seen.standing(), within_s=30.0)
        nursery.cancel_scope.cancel()


async def _serve(
    there: SimulatedGateway,
    ca: trustme.CA,
    ends_in: timedelta,
    port: int,
    scope: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[int],
) -> None:
    issued = ca.issue_cert("127.0.0.1", not_after=_now() + ends_in)
    identity = Identity(
        certificate_pem=issued.cert_chain_pems[0].bytes(),
        key_pem=issued.private_key_pem.bytes(),
    )
    with scope:
        async with trio.open_nursery() as nursery:
            serving = await nursery.start(
                partial(serve_gateway, there, f"127.0.0.1:{port}", plain=False, identity=identity)
            )
            task_status.started(int(serving.url.rpartition(":")[2]))
            await trio.sleep_forever()
