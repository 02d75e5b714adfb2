"""`simulate`: the whole product against a simulated cluster, in virtual time, with a report."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import trio
from trio.testing import MockClock

from commands import logs, replay
from commands.attendant import Attendant
from commands.plants import NAMES, plant
from commands.rehearsal import (
    OWN_ADDRESS,
    Rehearsal,
    all_arrived,
    phases_of,
    simulated_settings,
)
from commands.upgrade import FAULT_SETS, Upgrade
from commands.upgrade import SETTINGS as UPGRADE_SETTINGS
from settings import Redactor, Secret
from simulation.checkers import Checkers
from simulation.fault_kinds import KINDS
from simulation.mesos_observed import CallReceived
from simulation.scripts import Line, ScriptError, parse, render
from simulation.seed import deterministic
from simulation.storms import HOUR_S, WEATHERS, Storm, WeatherError, weather
from simulation.world import HostEvent, Shape, World, WorldEvent, build

LOOK_EVERY_S: Final = 1.0
PATIENCE_S: Final = 1800.0  # virtual, beside what each agent may take
PER_AGENT_S: Final = 300.0
STORAGE_AGENTS: Final = 5
HOURS_MAX: Final = 10_000.0


@attrs.define
class Tally:
    events: int = 0
    calls: int = 0

    def saw(self, event: WorldEvent) -> None:
        self.events += 1
        self.calls += isinstance(event, CallReceived)


@attrs.frozen(kw_only=True)
class Options:
    agents: int
    seed: int
    faults: str = "none"
    plant: str = ""
    storage: int = STORAGE_AGENTS
    extra: tuple[str, ...] = ()
    uninstall: str = ""  # one, all: in the end
    script: tuple[Line, ...] | None = None  # exact faults in place of a storm
    hours: float = 0.0  # simulated: the run is not over before
    upgrade: bool = False  # to a newer catalog, when all are ready
    mdms_on_agents: bool = False
    limits: str = "on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agents", type=whole(1, 20000), default=25, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument(
        "--faults",
        default="none",
        metavar="KINDS",
        help=f"{', '.join(WEATHERS)}, or names of faults with commas between them",
    )
    parser.add_argument(
        "--script",
        metavar="TEXT|@FILE",
        help="these faults at these simulated seconds, and no others: "
        "'SECONDS KIND HOST; SECONDS KIND *'; a size may follow",
    )
    parser.add_argument(
        "--hours",
        type=hours,
        default=0.0,
        metavar="H",
        help="go on for so many simulated hours, with a fault now and then",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "faults:\n" + "\n".join(f"  {n:<17} {k.says}" for n, k in KINDS.items())
    parser.add_argument(
        "--mdms-on-agents", action="store_true", help="the first three agents are the MDM cluster"
    )
    parser.add_argument(
        "--limits", choices=("on", "off"), default="on",
        help="off: more than 128 agents with disks in one protection domain do not wait",
    )  # fmt: skip
    parser.add_argument("--plant", choices=NAMES, default="", help="a deliberate wrong")
    parser.add_argument(
        "--uninstall", choices=("one", "all"), default="", help="take agents out of use in the end"
    )
    parser.add_argument(
        "--upgrade", action="store_true",
        help="when all are ready: newer SDS, SDC and REX-Ray, in five fault sets, with failures",
    )  # fmt: skip
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="the same run as the one that this report is of"
    )
    parser.add_argument("--report", default="-", metavar="FILE", help="JSON report; - is stdout")
    parser.add_argument("--serve", action="store_true", help="scaled clock, with the web page")
    parser.add_argument("--loglevel", default="critical")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of decimal numbers from `low` to `high`, for argparse."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a number from {low} to {high}")
        return int(text)

    return read


def hours(text: str) -> float:
    """A reader of simulated hours, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= HOURS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: expected hours from 0 to {HOURS_MAX:g}")
    return number


def script_of(said: str | None, agents: int) -> tuple[Line, ...] | None:
    """What `--script` says, or the file that it names. Raises ScriptError."""
    if said is None:
        return None
    if said.startswith("@"):
        try:
            said = Path(said[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ScriptError(f"{said[1:]}: cannot be read: {error}") from None
    return parse(said, (f"agent{number}.sim" for number in range(agents)))


def run(namespace: argparse.Namespace) -> int:
    """Exit 0 only if every agent is ready and no invariant broke."""
    if namespace.replay is not None:
        return _replayed(namespace)
    try:
        weather(namespace.faults)
        script = script_of(namespace.script, namespace.agents)
    except (WeatherError, ScriptError) as error:
        where = "--faults" if isinstance(error, WeatherError) else "--script"
        print(f"{where} {error}", file=sys.stderr)
        return 2
    if namespace.serve:
        from commands import demo  # sockets and a scaled clock: another life

        return demo.run(namespace, script)
    options = Options(
        agents=namespace.agents,
        seed=namespace.seed,
        faults=namespace.faults,
        plant=namespace.plant,
        uninstall=namespace.uninstall,
        script=script,
        hours=namespace.hours,
        upgrade=namespace.upgrade,
        mdms_on_agents=namespace.mdms_on_agents,
        limits=namespace.limits,
    )
    report = simulate(options, loglevel=namespace.loglevel)
    return deliver(report, namespace.report)


def _replayed(namespace: argparse.Namespace) -> int:
    try:
        options = Options(**replay.read(namespace.replay))
    except replay.ReplayError as error:
        print(f"--replay {error}", file=sys.stderr)
        return 2
    return deliver(simulate(options, loglevel=namespace.loglevel), namespace.report)


def deliver(report: dict[str, object], where: str) -> int:
    line = json.dumps(report, sort_keys=True)
    if where == "-":
        print(line, flush=True)
    else:
        try:
            Path(where).write_text(line + "\n", encoding="utf-8")
        except OSError as error:
            print(f"--report {where}: cannot be written: {error.strerror}", file=sys.stderr)
            return 2
    violations = report["violations"]
    if isinstance(violations, list):
        for violation in violations[:10]:
            print(f"violation: {violation}", file=sys.stderr)
    return verdict(report)


def verdict(report: dict[str, object]) -> int:
    """0 only if every agent is ready (or retired, where that was asked) and no promise broke."""
    retired = {"one": 1, "all": report["agents"]}.get(str(report.get("uninstall", "")), 0)
    if report.get("upgrade"):
        arrived = int(str(report["ready"])) + int(str(report["failed"]))
        return 0 if arrived == report["agents"] and not report["violations"] else 1
    wanted = report["ready"] == int(str(report["agents"])) - int(str(retired))
    return 0 if wanted and report.get("retired", 0) == retired and not report["violations"] else 1


def simulate(options: Options, *, loglevel: str = "critical") -> dict[str, object]:
    """One run in virtual time: the same options give the same report but for `wall_seconds`."""
    began = time.perf_counter()
    with scratch() as folder, deterministic(options.seed), warnings.catch_warnings():
        # A process that dies finishes nothing: generators of its HTTP library neither.
        warnings.filterwarnings("ignore", "Async generator", ResourceWarning)
        report = trio.run(_run, options, folder, loglevel, clock=MockClock(autojump_threshold=0))
    report["wall_seconds"] = round(time.perf_counter() - began, 2)
    return report


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the simulated scheduler's store, in memory where there is such a place."""
    shared = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    where = shared if shared.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="scaleio-simulation-", dir=where) as folder:
        yield Path(folder)


async def _run(options: Options, folder: Path, loglevel: str) -> dict[str, object]:
    rng = random.Random(options.seed)  # noqa: S311 - simulated chance
    async with trio.open_nursery() as nursery:
        world = build(
            rng=rng,
            shape=_shape(options),
            nursery=nursery,
        )
        rehearsal, tally = prepare(world, options, folder, rng, loglevel)
        rehearsal.started_again = True
        storm = storm_of(options, rehearsal, rng)
        upgrade = _upgrade(rehearsal, rng) if options.upgrade else None
        await nursery.start(world.mesos.run)
        nursery.start_soon(rehearsal.run)
        attendant = Attendant(rehearsal)
        nursery.start_soon(attendant.run)
        nursery.start_soon(rehearsal.keep_comparing)
        with trio.move_on_after(patience_s(options)):
            await storm.run()
            await arrived(rehearsal, options.agents)
            if upgrade is not None:
                with trio.move_on_after(PATIENCE_S + PER_AGENT_S * options.agents):
                    await upgrade.run(options.agents)
            await take_out(rehearsal, options.uninstall)
        report = await report_of(rehearsal, tally, options)
        report["upgrade"] = upgrade.report() if upgrade is not None else {}
        report["rollout"] = {"halts": attendant.halts, "resumes": attendant.resumes}
        report["faults"] = storm.injected
        report["script"] = render(storm.noted)
        nursery.cancel_scope.cancel(reason="the run is over")
    return report


def storm_of(options: Options, rehearsal: Rehearsal, rng: random.Random) -> Storm:
    return Storm(
        world=rehearsal.world,
        process=rehearsal.dials,
        rng=random.Random(rng.getrandbits(64)),  # noqa: S311 - simulated chance
        weather=weather(options.faults),
        script=options.script,
        hours=options.hours,
    )


def patience_s(options: Options) -> float:
    """Simulated seconds after which a run that has not ended is given up."""
    last_s = max((line.at for line in options.script or ()), default=0.0)
    return max(last_s, options.hours * HOUR_S) + PATIENCE_S + PER_AGENT_S * options.agents


def _shape(options: Options) -> Shape:
    """For an upgrade every agent stores data: there is something to be careful of."""
    return Shape(
        agents=options.agents,
        storage=options.agents if options.upgrade else min(options.storage, options.agents),
        fault_sets=FAULT_SETS if options.upgrade else 0,
        mdms_on_agents=options.mdms_on_agents,
    )


def _upgrade(rehearsal: Rehearsal, rng: random.Random) -> Upgrade:
    chance = random.Random(rng.getrandbits(64))  # noqa: S311 - simulated chance
    return Upgrade(rehearsal.world, rehearsal, chance)


def prepare(
    world: World,
    options: Options,
    folder: Path,
    rng: random.Random,
    loglevel: str,
    *,
    own_address: str = OWN_ADDRESS,
) -> tuple[Rehearsal, Tally]:
    """The product beside its world, watched by the checkers."""
    password = world.shape.password
    checkers = Checkers(world, secrets=(password,), own_address=own_address)
    tally = Tally()
    rehearsal = Rehearsal(
        world=world,
        checkers=checkers,
        settings=simulated_settings(
            password,
            (
                f"-limits={options.limits}",
                *(UPGRADE_SETTINGS if options.upgrade else ()),
                *options.extra,
            ),
            own_address=own_address,
            mdms=(*world.gateway.mdm_addresses, world.gateway.tiebreaker),
        ),
        folder=folder,
        rng=random.Random(rng.getrandbits(64)),  # noqa: S311 - simulated chance
        plant=plant(options.plant, world) if options.plant else None,
    )
    world.listeners += [checkers.saw, tally.saw, lambda event: _own_host(rehearsal, event)]
    logs.configure(
        level=loglevel,
        style="text",
        redactor=Redactor([Secret(password)]),
        tap=lambda line: checkers.secret_free("a log line", line),
    )
    return rehearsal, tally


def _own_host(rehearsal: Rehearsal, event: WorldEvent) -> None:
    """The scheduler dies with the host that it runs on."""
    if isinstance(event, HostEvent) and event.kind == "down":
        host = rehearsal.world.hosts[event.host]
        if host.address == rehearsal.settings.rest_address:
            rehearsal.crash()


async def arrived(rehearsal: Rehearsal, agents: int) -> None:
    while not all_arrived(rehearsal.service, agents):  # noqa: ASYNC110 - looks on from outside
        await trio.sleep(LOOK_EVERY_S)


async def take_out(rehearsal: Rehearsal, which: str) -> None:
    """The operator's last word: one agent, or all of them, go."""
    hosts = sorted(rehearsal.world.hosts)
    chosen = {"one": hosts[:1], "all": hosts}.get(which, [])
    for host in chosen:
        rehearsal.command("uninstall", host)
    while not _retired(rehearsal, chosen):  # noqa: ASYNC110 - looks on from outside
        await trio.sleep(LOOK_EVERY_S)


def _retired(rehearsal: Rehearsal, hosts: list[str]) -> bool:
    phases = phases_of(rehearsal.service) if rehearsal.service is not None else {}
    return all(phases.get(host, ("", ""))[0] == "retired" for host in hosts)


async def report_of(rehearsal: Rehearsal, tally: Tally, options: Options) -> dict[str, object]:
    checkers, service = rehearsal.checkers, rehearsal.service
    phases = phases_of(service) if service is not None else {}
    for where, text in await rehearsal.replies():
        checkers.secret_free(f"the reply to GET {where}", text)
    await rehearsal.compare_shown()
    checkers.finish(phases)
    return {
        "agents": options.agents,
        "ready": sum(phase == "ready" for phase, _ in phases.values()),
        "failed": sum(phase == "failed" for phase, _ in phases.values()),
        "retired": sum(phase == "retired" for phase, _ in phases.values()),
        "virtual_seconds": round(trio.current_time(), 3),
        "events": tally.events,
        "calls": tally.calls + rehearsal.world.gateway.calls,
        "crashes": rehearsal.crashes,
        "ended": rehearsal.ended,
        "violations": [attrs.asdict(v) for v in checkers.violations],
        "invariants_checked": dict(checkers.counts),
        "seed": options.seed,
        "uninstall": options.uninstall,
        "limits": options.limits,
        "options": replay.recorded(options),
    }
