"""Moments at which an installation is cut, and the two cuts: a step's processes, or the power.

A step that runs in a host is found by its processes: Mesos' freezer cgroup of its container holds
them all, and the step's text stands in the arguments of its shell.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.lab.host import FREEZER, Host

STEPS: Final = (
    "prerequisites", "sds", "sdc", "rexray", "isolator",
    "survey", "agent-restart", "claim", "probe",
)  # fmt: skip
LOOK_EVERY_S: Final = 0.02
AFTER_ITS_END: Final = 1.3  # the power may also go between two steps
LATEST_OF_A_KILL: Final = 0.9
_STEP: Final = re.compile(rb"\nbegin_step ([a-z-]+)")
_BECOMING_S: Final = 0.5  # in which a new process may still become the shell of a step
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@attrs.frozen(kw_only=True)
class Moment:
    """`share`: of the step's usual time, which an undisturbed host has shown."""

    step: str
    share: float


@attrs.frozen(kw_only=True)
class RunningStep:
    """`shell`: its first process; `others`: all that it has started and that still runs."""

    step: str
    shell: int
    others: tuple[int, ...]
    began_s: float  # of the machine's uptime


@attrs.frozen(kw_only=True)
class Cut:
    """What was done. `programs`: those that were running in the step."""

    host: str
    kind: str
    moment: Moment
    age_s: float
    programs: tuple[str, ...]

    def __str__(self) -> str:
        what = ", ".join(self.programs) or "between two steps"
        where = f"{self.moment.step} at {self.moment.share:.2f} of its time ({self.age_s:.2f} s)"
        return f"{self.host}: {self.kind} in {where}: {what}"


def draw(seed: int, count: int, latest: float, steps: Sequence[str] = STEPS) -> list[Moment]:
    """Every step as often as every other; the moments of one step lie all over its time."""
    chance = random.Random(seed)  # noqa: S311 - a seed is to give the same moments again
    rounds = -(-count // len(steps))
    found: list[Moment] = []
    for step in steps:
        parts = list(range(rounds))
        chance.shuffle(parts)
        shares = [latest * (part + chance.random()) / rounds for part in parts]
        found += [Moment(step=step, share=share) for share in shares]
    by_round = [found[step * rounds + one] for one in range(rounds) for step in range(len(steps))]
    last = by_round[len(steps) * (rounds - 1) :]
    chance.shuffle(last)
    return [*by_round[: len(steps) * (rounds - 1)], *last][:count]


def shared_out(moments: Sequence[Moment], hosts: int) -> list[list[Moment]]:
    """For each host: no step twice on one host, as far as that can be."""
    found: list[list[Moment]] = [[] for _ in range(hosts)]
    for moment in moments:
        fewest = min(found, key=lambda mine: ([m.step for m in mine].count(moment.step), len(mine)))
        fewest.append(moment)
    return found


# -- looking ---------------------------------------------------------------------------------------


class Looker:
    """Finds a host's running steps, many times a second: arguments are read once a process."""

    def __init__(self, host: Host) -> None:
        self._top = FREEZER / host.unique
        self._known: dict[tuple[int, float], str] = {}

    def look(self) -> list[RunningStep]:
        found: list[RunningStep] = []
        for folder, _, files in os.walk(self._top):  # containers come and go meanwhile
            if "cgroup.procs" in files:
                found += self._in_container(Path(folder) / "cgroup.procs")
        return found

    def _in_container(self, file: Path) -> Iterator[RunningStep]:
        parents = {pid: stat for pid in pids_in(file) if (stat := parent_and_start(pid))}
        steps = {pid: self._step_of(pid, start) for pid, (_, start) in parents.items()}
        for pid, (parent, start) in parents.items():
            if steps[pid] and not steps.get(parent):
                above = _ancestors(pid, parents)
                others = tuple(one for one in parents if one != pid and one not in above)
                yield RunningStep(step=steps[pid], shell=pid, others=others, began_s=start)

    def _step_of(self, pid: int, start: float) -> str:
        key = (pid, start)
        if key not in self._known:
            arguments = _read(f"/proc/{pid}/cmdline")
            is_shell = arguments.startswith((b"sh\0", b"/bin/sh\0"))
            named = _STEP.findall(arguments) if is_shell else []
            if not is_shell and not _has_run_long(start):
                return ""  # it may be on its way to become the shell
            self._known[key] = named[-1].decode() if named else ""
        return self._known[key]


def _has_run_long(start: float) -> bool:
    return uptime() - start > _BECOMING_S


def pids_in(file: Path) -> list[int]:
    try:
        return [int(word) for word in file.read_text().split()]
    except OSError:  # the container is gone
        return []


def parent_and_start(pid: int) -> tuple[int, float] | None:
    """Its parent, and when it began in the machine's uptime; None when there is none."""
    state, *fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split() or [b"Z"]
    return None if state in b"ZX" else (int(fields[0]), int(fields[18]) / _TICKS)


def _ancestors(pid: int, parents: Mapping[int, tuple[int, float]]) -> set[int]:
    found: set[int] = set()
    while (pid := parents[pid][0]) in parents:
        found.add(pid)
    return found


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:  # the process is gone
        return b""


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


# -- cutting ---------------------------------------------------------------------------------------

Photograph = Callable[[str], None]


def kill_step(running: RunningStep, looker: Looker, photograph: Callable[[], None]) -> list[str]:
    """Everything of it dies at one moment; `photograph` is called when nothing of it moves.

    The names of the programs that it had been running; empty when it had ended already.
    """
    stopped: set[int] = set()
    while new := _members(running, looker) - stopped:
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        stopped |= new
    programs = [_read(f"/proc/{pid}/comm").decode().strip() for pid in sorted(stopped)]
    if stopped:
        photograph()
    for pid in stopped:
        _signal(pid, signal.SIGKILL)
    return programs


def _members(running: RunningStep, looker: Looker) -> set[int]:
    now = [one for one in looker.look() if one.shell == running.shell]
    return {pid for one in now for pid in (one.shell, *one.others)}


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)


@attrs.define(kw_only=True)
class Cutter:
    """Cuts one host at its moments. `usual`: a step's usual seconds. `photograph` is told when.

    A moment may come too late, because the step was quicker this time: it stays in `missed`.
    """

    host: Host
    moments: list[Moment]
    usual: Mapping[str, float]
    photograph: Photograph
    power: bool = False
    over: threading.Event = attrs.field(factory=threading.Event)
    made: list[Cut] = attrs.field(factory=list, init=False)
    missed: list[Moment] = attrs.field(factory=list, init=False)
    _done_with: set[int] = attrs.field(factory=set, init=False)
    _watched: dict[int, tuple[RunningStep, Moment]] = attrs.field(factory=dict, init=False)

    def run(self) -> None:
        """Until all is done, or `over` is set; raises what a host's start raises."""
        looker = Looker(self.host)
        while (self.moments or self._watched) and not self.over.wait(LOOK_EVERY_S):
            running = looker.look()
            for one in running:
                self._take_up(one)
            alive = {one.shell: one for one in running}
            for shell in list(self._watched):
                self._consider(shell, alive.get(shell), looker)
        self.missed += [*self.moments, *(moment for _, moment in self._watched.values())]

    def _take_up(self, running: RunningStep) -> None:
        if running.shell in self._done_with or self._watched:
            return
        moment = next((one for one in self.moments if one.step == running.step), None)
        if moment is not None:
            self._done_with.add(running.shell)
            self.moments.remove(moment)
            self._watched[running.shell] = (running, moment)

    def _consider(self, shell: int, now: RunningStep | None, looker: Looker) -> None:
        running, moment = self._watched[shell]
        age = uptime() - running.began_s
        is_due = age >= moment.share * self.usual[moment.step]
        if now is None and not self.power:
            del self._watched[shell]
            self.missed.append(moment)
        elif is_due:
            del self._watched[shell]
            if self.power:
                self._cut_power(now, moment, age)
            else:
                self._kill(running, moment, age, looker)

    def _kill(self, running: RunningStep, moment: Moment, age: float, looker: Looker) -> None:
        programs = kill_step(
            running, looker, lambda: self.photograph(f"kill in {moment.step} at {age:.2f} s")
        )
        if programs:
            self._say("kill", moment, age, programs)
        else:
            self.missed.append(moment)

    def _cut_power(self, now: RunningStep | None, moment: Moment, age: float) -> None:
        pids = (now.shell, *now.others) if now is not None else ()
        programs = [_read(f"/proc/{pid}/comm").decode().strip() for pid in pids]
        self.host.cut()
        self.photograph(f"power cut in {moment.step} at {age:.2f} s")
        self._say("power cut", moment, age, programs)
        self.host.start()
        self.host.wait_booted()

    def _say(self, kind: str, moment: Moment, age: float, programs: Sequence[str]) -> None:
        names = tuple(sorted(set(programs) - {""}))
        cut = Cut(host=self.host.name, kind=kind, moment=moment, age_s=age, programs=names)
        self.made.append(cut)
        print(cut, flush=True)


@attrs.define
class Stopwatch:
    """How long each step of an undisturbed host takes."""

    host: Host
    over: threading.Event = attrs.field(factory=threading.Event)
    usual: dict[str, float] = attrs.field(factory=dict)

    def run(self) -> None:
        looker = Looker(self.host)
        while not self.over.wait(LOOK_EVERY_S):
            for one in looker.look():
                age = uptime() - one.began_s
                self.usual[one.step] = max(self.usual.get(one.step, 0.0), age)
