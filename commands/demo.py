"""`demo`: the main job on the simulated cluster, on a paced clock, with its page on a socket."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from commands.consoles import Consoles
from commands.rehearsal import Rehearsal, all_arrived
from commands.simulate import Options, deliver, prepare, report_of, scratch, storm_of, whole
from simulation.clock import PacedClock
from simulation.scripts import Line
from simulation.world import Shape, World, build
from supervisor import Service
from web.server import WebServerError, serve

RATE: Final = 150.0  # simulated seconds per second: 25 agents take half a minute
OWN_ADDRESS: Final = "10.9.9.9"  # the scheduler runs beside the agents, and survives them all
LOOK_EVERY_S: Final = 0.5  # real seconds between two lines of progress
PHASES: Final = (
    "seen", "surveying", "installing", "joining", "reboot_wanted", "rebooting", "activating",
    "ready", "lost", "failed", "held",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Plan:
    options: Options
    port: int
    report: str
    keep: bool
    loglevel: str
    token_file: Path | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agents", type=whole(1, 20000), default=25, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument(
        "--port", type=whole(0, 65535), default=0, help="of the page; 0 takes a free one"
    )
    parser.add_argument("--keep", action="store_true", help="go on serving until Ctrl-C")


def run(namespace: argparse.Namespace, script: tuple[Line, ...] | None = None) -> int:
    """Also what `simulate --serve` does: with its options, and going on until it is stopped."""
    plan = Plan(
        options=Options(
            agents=namespace.agents,
            seed=namespace.seed,
            faults=getattr(namespace, "faults", "none"),
            plant=getattr(namespace, "plant", ""),
            script=script,
            limits=getattr(namespace, "limits", "on"),
        ),
        port=getattr(namespace, "port", 0),
        report=getattr(namespace, "report", "-"),
        keep=getattr(namespace, "keep", True) or os.environ.get("KEEP") == "1",
        loglevel=getattr(namespace, "loglevel", "critical"),
    )
    began = time.perf_counter()
    status, report = 0, {}
    try:
        with scratch() as folder:
            plan = _with_token(plan, folder)
            clock = PacedClock(RATE)
            report = trio.run(_run, plan, folder, clock=clock, instruments=[clock])
    except* KeyboardInterrupt:
        status = 130
    except* WebServerError as group:
        print(f"demo: {group.exceptions[0]}", file=sys.stderr)
        status = 2
    if status:
        return status
    report["wall_seconds"] = round(time.perf_counter() - began, 2)
    return deliver(report, plan.report)


def _with_token(plan: Plan, folder: Path) -> Plan:
    """So that orders can be given; who reads the file may."""
    if plan.token_file is None:
        made = folder / "operator-token"
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        plan = attrs.evolve(plan, token_file=made)
    extra = (*plan.options.extra, f"-rest.token-file={plan.token_file}")
    return attrs.evolve(plan, options=attrs.evolve(plan.options, extra=extra))


async def _run(plan: Plan, folder: Path) -> dict[str, object]:
    rng = random.Random(plan.options.seed)  # noqa: S311 - simulated chance
    agents = plan.options.agents
    async with trio.open_nursery() as nursery:
        shape = Shape(agents=agents, storage=min(plan.options.storage, agents))
        world = build(rng=rng, shape=shape, nursery=nursery)
        rehearsal, tally = prepare(
            world, plan.options, folder, rng, plan.loglevel, own_address=OWN_ADDRESS
        )
        rehearsal.time_scale = RATE
        page = _Page(rehearsal, plan.port)
        if plan.keep:
            url = await nursery.start(_serve_consoles, world)
            print(f"Consoles of the simulated hosts: {url}/", flush=True)
            print(f"The operator's token: {plan.token_file}", flush=True)
        rehearsal.web = page.serve
        storm = storm_of(plan.options, rehearsal, rng)
        await nursery.start(world.mesos.run)
        nursery.start_soon(rehearsal.run)
        nursery.start_soon(storm.run)
        await _watch(rehearsal, agents)
        report = await report_of(rehearsal, tally, plan.options)
        _print_table(rehearsal.service)
        if plan.keep:
            print(f"The page stays at {page.url} until Ctrl-C.", flush=True)
            await trio.sleep_forever()
        rehearsal.stop()
        nursery.cancel_scope.cancel(reason="the demo is over")
    return report


async def _serve_consoles(world: World, *, task_status: trio.TaskStatus[str]) -> None:
    await serve(
        Consoles(world).app(),
        host="127.0.0.1",
        port=0,
        stop=trio.Event(),
        time_scale=RATE,
        task_status=task_status,
    )


@attrs.define
class _Page:
    """The real web server on a real socket; a crashed scheduler's successor takes its port."""

    rehearsal: Rehearsal
    port: int
    url: str = ""

    async def serve(
        self, service: Service, stop: trio.Event, task_status: trio.TaskStatus[str]
    ) -> None:
        app = self.rehearsal.application(service)
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(self._listen, app, stop)
            if not self.url:
                self.url, self.port = bound, int(bound.rpartition(":")[2])
                print(f"Status page: {self.url}/", flush=True)
            task_status.started(bound)

    async def _listen(
        self, app: object, stop: trio.Event, *, task_status: trio.TaskStatus[str]
    ) -> None:
        await serve(
            app,  # type: ignore[arg-type]  # what `application` made
            host="127.0.0.1",
            port=self.port,
            stop=stop,
            time_scale=RATE,
            task_status=task_status,
        )


async def _watch(rehearsal: Rehearsal, agents: int) -> None:
    """Progress until every agent has arrived: a live table on a terminal, lines elsewhere."""
    console = Console()
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            await _look(rehearsal, agents, lambda: live.update(_live_table(rehearsal)))
        return
    last = ""

    def say() -> None:
        nonlocal last
        line = _line(rehearsal)
        if line.partition("  ")[2] != last:
            last = line.partition("  ")[2]
            print(line, flush=True)

    await _look(rehearsal, agents, say)


async def _look(rehearsal: Rehearsal, agents: int, show: Callable[[], None]) -> None:
    while not all_arrived(rehearsal.service, agents):
        show()
        await trio.sleep(LOOK_EVERY_S * RATE)
    show()


def _counts(service: Service | None) -> Counter[str]:
    if service is None:
        return Counter()
    return Counter(shown.phase for shown in service.board.agents.values())


def _line(rehearsal: Rehearsal) -> str:
    counts = _counts(rehearsal.service)
    parts = [f"{phase} {counts[phase]}" for phase in PHASES if counts[phase]]
    return f"t={trio.current_time():6.0f}s  " + ("  ".join(parts) or "subscribing")


def _live_table(rehearsal: Rehearsal) -> Table:
    counts = _counts(rehearsal.service)
    table = Table(title=f"simulated time {trio.current_time():.0f} s")
    table.add_column("phase")
    table.add_column("agents", justify="right")
    for phase in PHASES:
        table.add_row(phase, str(counts[phase]))
    return table


def _print_table(service: Service | None) -> None:
    if service is None:
        return
    table = Table(title="Agents")
    for column in ("agent", "phase", "storage devices", "probe", "SDC", "keeper"):
        table.add_column(column)
    shown = sorted(service.board.agents.values(), key=lambda a: int(a.host[5:].partition(".")[0]))
    for agent in shown:
        pooled = sum("in pool" in verdict for _, verdict in agent.devices)
        guid = agent.facts.sdc_guid if agent.facts else ""
        healthy = "healthy" if agent.keeper_healthy else "-"
        table.add_row(agent.host, agent.phase, str(pooled), agent.probe, guid[:8], healthy)
    Console(width=100).print(table)
