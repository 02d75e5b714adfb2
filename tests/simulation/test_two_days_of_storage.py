"""48 virtual hours of a storage cluster with 100 SDSs: what breaks is told in time, once, and ends.

The simulated Gateway over real HTTP, the poller, the health monitor and the notifier as the
supervisor puts them together; whoever is told is a real HTTP server on a loopback socket.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

import attrs
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from actors.board import Board
from actors.clock import Chance
from actors.gateway_poller import GatewayPoller
from actors.health_monitor import HealthMonitor
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.messages import GateInbox, HealthInbox, PollerInbox
from actors.notifier import Notifier
from adapters.gateway_http import HttpGateway
from adapters.http_client import make_client
from domain import notices
from domain.conditions import KINDS
from domain.storage_health import Limits
from simulation.gateway import SimulatedGateway
from simulation.gateway_views import EPOCH_S
from simulation.http_server import Cut, Handler, Request
from simulation.network import MemoryBackend, Network
from tests.unit.actor_doubles import MemoryStore, box
from tests.unit.webhook_receiver import ClockHeld, http_notices, recording_receiver

SEED: Final = 48
HOURS: Final = 48
HOUR_S: Final = 3600.0
SDSS: Final = 100
POLL_S: Final = 60.0
INTERVAL_S: Final = POLL_S * 1.1 + 1.0  # between two looks at most, by the poller's own jitter
BACKOFF_S: Final = 2 * 61.0  # the longest pause of the poller, and of a refused password
PASSWORD: Final = "Correct-Horse-9"
GB: Final = 1 << 20
REBUILD_S: Final = 600.0
THICK_GB: Final = 800  # one volume that is there from the first moment

Key = tuple[str, str]


@attrs.define
class Cause:
    """What was broken, from when to when. The condition's key is known beforehand."""

    key: Key
    begin: float
    end: float


@attrs.define
class Days:
    gateway: SimulatedGateway
    network: Network
    board: Board
    rng: random.Random
    causes: list[Cause] = attrs.field(factory=list)
    changes: list[tuple[float, Key, bool]] = attrs.field(factory=list)
    looks: list[float] = attrs.field(factory=list)

    async def watch(self) -> None:
        """Each beginning and end of a condition on the board, with its time."""
        known: set[Key] = set()
        while True:
            now = {(one.name, one.subject) for one in self.board.conditions}
            self.changes += [(trio.current_time(), key, True) for key in sorted(now - known)]
            self.changes += [(trio.current_time(), key, False) for key in sorted(known - now)]
            known = now
            await self.board.wait_change()

    async def tick(self) -> None:
        """A storage cluster rebuilds also while nobody asks it."""
        while True:
            self.gateway.settle()
            await trio.sleep(30.0)

    async def breaks(
        self, key: Key, at: float, lasts_s: float, act: Callable[[bool], object]
    ) -> None:
        """`act(True)` breaks it, `act(False)` mends it."""
        await trio.sleep_until(at)
        begin = trio.current_time()
        act(True)
        await trio.sleep(lasts_s)
        act(False)
        self.causes.append(Cause(key, begin, trio.current_time()))

    async def fills(self, begin: float, peak: float, end: float, percent: int) -> None:
        """The pool's volumes grow to that much of what it holds, and shrink again."""
        room_kb = SDSS * 200 * GB * 9 // 10
        level, since = "", 0.0
        await trio.sleep_until(begin)
        while trio.current_time() < end:
            now = trio.current_time()
            share = min((now - begin) / (peak - begin), (end - now) / (end - peak))
            used = 12 + (percent - 12) * max(0.0, share)
            self.gateway.fill("default", int(used / 100 * room_kb) - 2 * THICK_GB * GB)
            becomes = _level(int(used), level)
            if becomes != level:
                if level:
                    self.causes.append(Cause((level, "default"), since, now))
                level, since = becomes, now
            await trio.sleep(60.0)


def _level(used: int, before: str) -> str:
    """What a pool is called: limits at 80 and 90, and three percent below on the way back."""
    if used >= (87 if before == "capacity-critical" else 90):
        return "capacity-critical"
    return "capacity-high" if used >= (77 if before == "capacity-high" else 80) else ""


# -- what happens ---------------------------------------------------------------------------------


def script(days: Days, nursery: trio.Nursery) -> None:
    """Troubles of each kind at random times; while the Gateway is away nothing else breaks."""
    rng, gateway = days.rng, days.gateway
    hosts = [f"10.0.1.{n}" for n in range(1, SDSS + 1)]
    rng.shuffle(hosts)
    sdcs = [sdc.guid for sdc in gateway.state.sdcs.values()]
    quiet = [hour for hour in range(1, HOURS - 2) if hour % 6]

    def at() -> float:
        return (rng.choice(quiet) + rng.uniform(0.1, 0.2)) * HOUR_S

    def lasts() -> float:
        return rng.uniform(400.0, 1800.0)

    for _ in range(16):
        ip = hosts.pop()
        nursery.start_soon(
            days.breaks, ("sds-unhealthy", f"sds_{ip}"), at(), lasts(),
            lambda bad, ip=ip: gateway.set_sds_connected(ip, not bad),
        )  # fmt: skip
    for _ in range(14):
        ip = hosts.pop()
        nursery.start_soon(
            days.breaks, ("device-error", f"/dev/sdb of sds_{ip}"), at(), lasts(),
            lambda bad, ip=ip: gateway.set_device_failed(ip, "/dev/sdb", bad),
        )  # fmt: skip
    for n, guid in enumerate(sdcs):
        for hour in (4 + 9 * n, 27 + 9 * n):
            nursery.start_soon(
                days.breaks, ("sdc-disconnected", guid), hour * HOUR_S, lasts(),
                lambda bad, guid=guid: gateway.set_sdc_connected(guid, not bad),
            )  # fmt: skip
    for hour, ip in ((3, "10.0.0.2"), (21, "10.0.0.3"), (40, "10.0.0.1")):
        nursery.start_soon(
            days.breaks, ("mdm-not-normal", ""), (hour + 0.5) * HOUR_S, lasts(),
            lambda bad, ip=ip: gateway.set_mdm_connected(ip, not bad),
        )  # fmt: skip
    for hour in (12, 30):
        nursery.start_soon(
            days.breaks, ("gateway-unreachable", ""), hour * HOUR_S, 1200.0,
            lambda bad: _answers(days.network, _dead if bad else gateway.handler),
        )  # fmt: skip
    for hour in (18, 42):
        nursery.start_soon(
            days.breaks, ("gateway-login", ""), hour * HOUR_S, 1200.0,
            lambda bad: _change_password(gateway, "other" if bad else PASSWORD),
        )  # fmt: skip
    nursery.start_soon(days.fills, 2.0 * HOUR_S, 20 * HOUR_S, 28 * HOUR_S, 94)
    nursery.start_soon(days.fills, 31 * HOUR_S, 38 * HOUR_S, 46 * HOUR_S, 85)


def _answers(network: Network, handler: Handler) -> None:
    network.cut("gateway", 80)
    network.listen("gateway", 80, handler)


async def _dead(_: Request) -> Cut:
    await trio.lowlevel.checkpoint()
    return Cut()


def _change_password(gateway: SimulatedGateway, password: str) -> None:
    gateway.tokens.password = password
    gateway.restart()


# -- the house ------------------------------------------------------------------------------------


@asynccontextmanager
async def house(port: ClockHeld) -> AsyncIterator[Days]:
    rng = random.Random(SEED)  # noqa: S311 - the same two days in each run
    gateway = SimulatedGateway(
        api="3.6",
        user="admin",
        password=PASSWORD,
        clock=trio.current_time,
        rng=rng,
        rebuild_s=REBUILD_S,
    )
    gateway.seed(sds=SDSS)
    gateway.add_volume("data", THICK_GB)
    polls: Mailbox[PollerInbox] = box("gateway-poller")
    gate: Mailbox[GateInbox] = box("gate", 100_000)
    health: Mailbox[HealthInbox] = box("health", 16)
    board = Board()
    board.link = attrs.evolve(board.link, state="subscribed")
    chance = Chance(wall=lambda: EPOCH_S + trio.current_time(), rng=rng)
    journal = Journal(store=MemoryStore(), mailbox=box("journal"), chance=rng)
    async with (
        trio.open_nursery() as nursery,
        make_client(network_backend=MemoryBackend(Network(nursery))) as unused,
    ):
        await unused.aclose()
        network = Network(nursery)
        async with make_client(network_backend=MemoryBackend(network)) as client:
            network.listen("gateway", 80, gateway.handler)
            adapter = HttpGateway(
                client=client,
                base_url="http://gateway",
                user="admin",
                password=lambda: PASSWORD,
                clock=trio.current_time,
                chance=rng.random,
            )
            poller = GatewayPoller(
                mailbox=polls,
                gateway=adapter,
                gate=gate,
                health=health,
                agents=lambda _: None,
                board=board,
                chance=rng,
                poll_s=POLL_S,
            )
            monitor = HealthMonitor(
                mailbox=health,
                board=board,
                agents=lambda _: None,
                limits=Limits(),
                wall=chance.wall,
                store_fault=lambda: "",
                store_bound=False,
            )
            notifier = Notifier(
                mailbox=box("notifier"),
                port=port,
                health=health,
                board=board,
                journal=journal,
                chance=chance,
                policy=notices.Policy(min_severity="warning", group_wait_s=10.0, repeat_s=0.0),
                framework=lambda: notices.Framework(name="f", role="r", id="1", url="http://x/"),
                redact=str,
            )
            for run in (journal.run, poller.run, monitor.run, notifier.run):
                nursery.start_soon(run)
            yield Days(gateway, network, board, rng)
            nursery.cancel_scope.cancel()


# -- the promises ---------------------------------------------------------------------------------


def test_two_days_of_trouble_are_told_in_time_once_and_to_the_end() -> None:
    heard: list[tuple[str, str, str]] = []
    kept: list[Days] = []

    async def main() -> None:
        async with recording_receiver() as receiver, http_notices(receiver.url) as inner:
            async with house(ClockHeld(inner)) as days:
                kept.append(days)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(days.watch)
                    nursery.start_soon(days.tick)
                    degraded = _degraded(days)
                    script(days, nursery)
                    await trio.sleep(HOURS * HOUR_S)
                    nursery.cancel_scope.cancel()
                days.causes += degraded()
            heard.extend(receiver.conditions)

    with capture_logs():  # a line for each of thirteen thousand calls takes longer than they do
        trio.run(main, clock=MockClock(autojump_threshold=0))
    [days] = kept
    _in_time(days)
    _none_flaps(days)
    _told_once(days, heard)
    names = {key[0] for _, key, _ in days.changes}
    assert {cause.key[0] for cause in days.causes} <= names
    assert "clock-skew" not in names
    assert "gateway-alert" not in names, "its own alerts say nothing that is not said already"
    print(  # the figures for whoever runs it by hand
        f"causes={len(days.causes)} conditions={sum(on for _, _, on in days.changes)} "
        f"kinds={len(names)} told={len(heard)} calls={days.gateway.calls}"
    )


def _degraded(days: Days) -> Callable[[], list[Cause]]:
    """The storage cluster's own word for how long data had one copy only."""
    seen: list[tuple[float, str]] = []
    days.gateway.listeners.append(
        lambda kind, _: (
            seen.append((trio.current_time(), kind)) if kind in {"degraded", "healthy"} else None
        )
    )

    def causes() -> list[Cause]:
        found, since = [], None
        for at, kind in seen:
            if kind == "degraded":
                since = at
            elif since is not None:
                found.append(Cause(("data-degraded", "default"), since, at))
                since = None
        return found

    return causes


def _merged(causes: list[Cause]) -> list[Cause]:
    """Causes of one condition that follow each other before it is over are one."""
    found: list[Cause] = []
    for cause in sorted(causes, key=lambda one: (one.key, one.begin)):
        last = found[-1] if found else None
        gap_s = KINDS[cause.key[0]].clear_s + INTERVAL_S
        if last is not None and last.key == cause.key and cause.begin - last.end < gap_s:
            last.end = max(last.end, cause.end)
        else:
            found.append(attrs.evolve(cause))
    return found


def _in_time(days: Days) -> None:
    """Raised within one poll interval plus its delay, cleared within one plus its own."""
    for cause in _merged(days.causes):
        kind = KINDS[cause.key[0]]
        away = cause.key[0].startswith("gateway-")
        begins = [at for at, key, on in days.changes if key == cause.key and on]
        ends = [at for at, key, on in days.changes if key == cause.key and not on]
        latest = cause.begin + INTERVAL_S + kind.raise_s + 1.0
        # Down means that a look's repeats have ended: a few seconds, but for a refused login.
        latest += 10.0 if away else 0.0
        assert any(cause.begin <= at <= latest for at in begins), (cause, begins)
        over = cause.end + (BACKOFF_S if away else INTERVAL_S) + kind.clear_s + 1.0
        assert any(cause.end - INTERVAL_S <= at <= over for at in ends), (cause, ends)


def _none_flaps(days: Days) -> None:
    for key in {key for _, key, _ in days.changes}:
        kind = KINDS[key[0]]
        begins = [at for at, one, on in days.changes if one == key and on]
        least_s = kind.raise_s + kind.clear_s
        assert all(after - before >= least_s for before, after in pairwise(begins)), (key, begins)
        causes = [cause for cause in _merged(days.causes) if cause.key == key]
        if causes:
            assert len(begins) == len(causes), (key, begins, causes)


def _told_once(days: Days, heard: list[tuple[str, str, str]]) -> None:
    """Whoever is told hears of each beginning and each end as often as it was on the board."""
    silent = {name for name, kind in KINDS.items() if kind.severity == "info"}
    for state, on in (("firing", True), ("resolved", False)):
        shown = sorted(key for _, key, is_on in days.changes if is_on is on)
        told = sorted((name, subject) for one, name, subject in heard if one == state)
        assert told == [key for key in shown if key[0] not in silent]
