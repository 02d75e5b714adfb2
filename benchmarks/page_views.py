"""What the page costs with 10,000 agents: the Agents view, and 50 listeners to the events.

The real web server on a real socket in a process of its own; its CPU seconds are counted there.
One of the listeners stops reading: how late the others hear is told with and without it.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Final, cast

import attrs
import httpx
import trio

from actors.board import AgentSnapshot, Board, LinkSnapshot, StepSnapshot
from actors.journal import Journal
from actors.order_book import OrderBook
from domain.agent import Phase
from settings import Redactor, Secret, Settings
from web.app import create_app
from web.server import serve

AGENTS: Final = 10_000
VIEWS: Final = 30
LISTENERS: Final = 50
CHANGES_S: Final = 0.1  # between two changes of the board
LISTEN_S: Final = 20.0
PATHS: Final = ("/ui/agents", "/ui", "/v1/agents?limit=100", "/v1/agents", "/metrics")


def run() -> dict[str, Any]:
    """Seconds, bytes and CPU seconds of each view; CPU share and delays of the stream."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,))
    process.start()
    try:
        url = here.recv()
        found: dict[str, Any] = {
            "agents": AGENTS,
            "views": [attrs.asdict(_view(url, path, here)) for path in PATHS],
            "listeners": LISTENERS,
            "stream": _stream(url, here, stalled=False),
            "stream_with_one_stalled": _stream(url, here, stalled=True),
        }
    finally:
        here.send("end")
        process.join(30)
    return found


@attrs.frozen(kw_only=True)
class View:
    path: str
    first_byte_s: float
    whole_s: float
    bytes_each: int
    cpu_s: float


def _view(url: str, path: str, pipe: Connection) -> View:
    firsts, wholes, size = [], [], 0
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        client.get(path)
        before = _cpu(pipe)
        for _ in range(VIEWS):
            began = time.perf_counter()
            with client.stream("GET", path) as reply:
                chunks = reply.iter_raw()
                size = len(next(chunks))
                firsts.append(time.perf_counter() - began)
                size += sum(map(len, chunks))
            wholes.append(time.perf_counter() - began)
        spent = (_cpu(pipe) - before) / VIEWS
    return View(
        path=path,
        first_byte_s=round(median(firsts), 4),
        whole_s=round(median(wholes), 4),
        bytes_each=size,
        cpu_s=round(spent, 4),
    )


def _stream(url: str, pipe: Connection, *, stalled: bool) -> dict[str, float]:
    before = _cpu(pipe)
    pipe.send("change")
    heard = trio.run(_listen, url, stalled)
    pipe.send("rest")
    spent = _cpu(pipe) - before
    return {
        "cpu_share": round(spent / LISTEN_S, 4),
        "events_each": round(sum(map(len, heard)) / len(heard), 1),
        "longest_pause_s": round(max(max(gaps) for gaps in heard), 3),
    }


async def _listen(url: str, stalled: bool) -> list[list[float]]:  # noqa: FBT001 - trio.run's
    """For each listener the seconds between two `change` events."""
    found: list[list[float]] = [[] for _ in range(LISTENERS - stalled)]
    with trio.move_on_after(LISTEN_S):
        async with trio.open_nursery() as nursery:
            if stalled:
                await nursery.start(_stall, url)
            for gaps in found:
                nursery.start_soon(_hear, url, gaps)
    return found


async def _hear(url: str, gaps: list[float]) -> None:
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("GET", "/events") as reply,
    ):
        last = time.perf_counter()
        async for line in reply.aiter_lines():
            if line == "event: change":
                now = time.perf_counter()
                gaps.append(now - last)
                last = now


async def _stall(url: str, *, task_status: trio.TaskStatus[None]) -> None:
    host, port = url.removeprefix("http://").split(":")
    stream = await trio.open_tcp_stream(host, int(port))
    await stream.send_all(b"GET /events?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    task_status.started()
    await trio.sleep_forever()  # takes nothing


def _cpu(pipe: Connection) -> float:
    pipe.send("cpu")
    return float(pipe.recv())


# --- the other process --------------------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    trio.run(_serving, pipe)


async def _serving(pipe: Connection) -> None:
    board = _board()
    stop = trio.Event()
    settings = Settings(
        hostname="localhost",
        rest_address="127.0.0.1",
        scaleio_password=Secret("p" * 16),
        scaleio_preconfig_primary="10.0.0.1",
    )

    async def nothing(*_: object) -> tuple[int, str]:
        await trio.lowlevel.checkpoint()
        return 503, "nobody is here"

    app = create_app(
        board=board,
        settings=settings,
        redactor=Redactor([settings.scaleio_password]),
        permits=nothing,
        commands=lambda *_: (503, "nobody is here"),
        orders=nothing,
        rollout=nothing,
        removals=nothing,
        book=OrderBook(journal=cast("Journal", None), board=board, wall=time.time),  # noqa: TID251
        now=trio.current_time,
        wall=time.time,  # noqa: TID251 - a benchmark's clock
        version="bench",
        stop=stop,
    )
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[str]) -> None:
            await serve(app, host="127.0.0.1", port=0, stop=stop, task_status=task_status)

        pipe.send(await nursery.start(run))
        scope: trio.CancelScope | None = None
        while True:
            word = await trio.to_thread.run_sync(pipe.recv)
            match word:
                case "cpu":
                    pipe.send(time.process_time())
                case "change":
                    scope = trio.CancelScope()
                    nursery.start_soon(_change, board, scope)
                case "rest" if scope is not None:
                    scope.cancel()
                case _:
                    break
        stop.set()


async def _change(board: Board, scope: trio.CancelScope) -> None:
    """Agents change their phase, ten a second."""
    chance = random.Random(1)  # noqa: S311 - a benchmark's
    hosts = list(board.agents)
    phases = [Phase.READY.value, Phase.SURVEYING.value, Phase.INSTALLING.value]
    with scope:
        while True:
            await trio.sleep(CHANGES_S)
            host = chance.choice(hosts)
            shown = board.agents[host]
            board.post_agent(attrs.evolve(shown, phase=chance.choice(phases)))


def _board() -> Board:
    board = Board(wall=time.time)  # noqa: TID251 - a benchmark's clock
    board.link = LinkSnapshot(state="subscribed", master="http://m:5050", subscriptions=1)
    plan = tuple(
        StepSnapshot(name=name, state="satisfied", detail="as the catalog says")
        for name in ("prerequisites", "sds", "sdc", "rexray", "isolator")
    )
    devices = tuple((f"/dev/disk/by-id/ata-{n}", "in pool default") for n in range(4))
    for number in range(AGENTS):
        board.post_agent(
            AgentSnapshot(
                host=f"agent-{number}.example",
                agent_id=f"5c0ffee-{number}",
                address=f"10.{number // 65536}.{number // 256 % 256}.{number % 256}",
                phase="ready" if number % 50 else "failed",
                since=1_700_000_000.0 + number,
                error="" if number % 50 else "step sds failed: no space left on device; mend it",
                plan=plan,
                devices=devices,
            )
        )
    return board
