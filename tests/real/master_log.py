"""What the master itself wrote down: each line with its microsecond, over all of its lives."""

from __future__ import annotations

import datetime as dt
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from tests.real_mesos import Cluster

# Before the log is set up a line's time is all zeros: such a line is left out.
LINE: Final = re.compile(
    r"[IWEF](?!0000)(\d{4} \d{2}:\d{2}:\d{2}\.\d{6}) +\d+ [a-z_]+\.[ch]pp:\d+\] (.*)"
)
SENT: Final = re.compile(r"Sending offers \[ (.*) \] to framework (\S+)")
ANSWERED: Final = re.compile(r"Processing (ACCEPT|DECLINE) call for offers: \[ (.*?) \] .*")
REMOVED: Final = re.compile(r"Removing offer (\S+)")
LAUNCHED: Final = re.compile(r"Launching task (\S+) of framework")
ACKNOWLEDGED: Final = re.compile(r"Processing ACKNOWLEDGE call for status (\S+) for task (\S+) of")
FORWARDED: Final = re.compile(
    r"Forwarding status update (\S+) \(Status UUID: (\S+)\) for task (\S+) .*of framework"
)
CALL: Final = re.compile(r"Processing ([A-Z_]+) call .*")
BIRTH: Final = re.compile(r"Master \S+ \(.*\) started on .*")
LEAP_YEAR: Final = "2024"  # the log names no year; only differences matter
LOOK_AGAIN_S: Final = 0.002  # a master is ready 20 ms after its start


@attrs.frozen
class Line:
    at: float  # seconds, from an epoch of its own
    text: str


@attrs.define
class MasterLog:
    """Its file grows over all lives of the master. `lines` reads it whole."""

    path: Path

    @classmethod
    def of(cls, cluster: Cluster, name: str = "master0") -> MasterLog:
        return cls(cluster.work_dir / f"{name}.log")

    def mark(self) -> int:
        """For `wait`: from what will be written from now on."""
        return self.path.stat().st_size

    def lines(self) -> list[Line]:
        return list(self._lines(self.path.read_text(errors="replace")))

    def _lines(self, text: str) -> Iterator[Line]:
        for line in text.splitlines():
            if found := LINE.fullmatch(line):
                stamp = f"{LEAP_YEAR}{found[1]}+0000"
                at = dt.datetime.strptime(stamp, "%Y%m%d %H:%M:%S.%f%z").timestamp()
                yield Line(at, found[2])

    def wait(self, needle: str, since: int, *, timeout_s: float) -> str:
        """The first text written after the mark `since` that holds `needle`, up to its end.

        Looks every 2 ms: what is waited for passes quickly. Raises TimeoutError.
        """
        end = time.perf_counter() + timeout_s
        looked_for = needle.encode()
        with self.path.open("rb") as file:
            file.seek(since)
            held = b""
            while looked_for not in held:
                if time.perf_counter() > end:
                    raise TimeoutError(f"{needle!r} is not in {self.path} after {timeout_s:g} s")
                time.sleep(LOOK_AGAIN_S)
                held = held[-len(looked_for) :] + file.read()
        return held.decode(errors="replace")


# -- offers ----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Held:
    """One offer, from the moment that it was sent to the one that the master had it back."""

    offer_id: str
    framework_id: str
    sent: float
    ended: float
    how: str  # ACCEPT, DECLINE, OPEN; "" where the master took it back, or died


def offers(lines: Iterable[Line]) -> list[Held]:
    """All of them, in the order of their ends; an open one has lasted up to the last line."""
    open_: dict[str, tuple[str, float]] = {}
    answers: dict[str, tuple[str, float]] = {}
    over: list[Held] = []
    last = 0.0
    for line in lines:
        last = line.at
        if sent := SENT.match(line.text):
            open_.update(dict.fromkeys(sent[1].split(", "), (sent[2], line.at)))
        elif answered := ANSWERED.match(line.text):
            answers.update(dict.fromkeys(answered[2].split(", "), (answered[1], line.at)))
        elif (removed := REMOVED.match(line.text)) and removed[1] in open_:
            framework_id, began = open_.pop(removed[1])
            how, ended = answers.pop(removed[1], ("", line.at))
            over.append(_held(removed[1], framework_id, began, ended, how))
        elif BIRTH.match(line.text):
            over += [_held(one, fid, at, line.at, "") for one, (fid, at) in open_.items()]
            open_.clear()
    return over + [_held(one, fid, at, last, "OPEN") for one, (fid, at) in open_.items()]


def _held(offer_id: str, framework_id: str, sent: float, ended: float, how: str) -> Held:
    return Held(offer_id=offer_id, framework_id=framework_id, sent=sent, ended=ended, how=how)


@attrs.frozen(kw_only=True)
class HoldTimes:
    """Of the offers that a framework answered, or holds; the others the master took back."""

    received: int
    accepted: int
    declined: int
    rescinded: int
    median_ms: float
    p99_ms: float
    worst_ms: float

    @classmethod
    def of(cls, held: Iterable[Held], framework_id: str) -> HoldTimes:
        ours = [one for one in held if one.framework_id == framework_id]
        ways = Counter(one.how for one in ours)
        times = sorted((one.ended - one.sent) * 1000 for one in ours if one.how) or [0.0]
        return cls(
            received=len(ours),
            accepted=ways["ACCEPT"],
            declined=ways["DECLINE"],
            rescinded=ways[""],
            median_ms=statistics.median(times),
            p99_ms=times[int(0.99 * (len(times) - 1))],
            worst_ms=times[-1],
        )

    def __str__(self) -> str:
        return (
            f"received={self.received} accepted={self.accepted} declined={self.declined} "
            f"rescinded={self.rescinded} hold_ms median={self.median_ms:.1f} "
            f"p99={self.p99_ms:.1f} worst={self.worst_ms:.1f}"
        )


# -- tasks and calls -------------------------------------------------------------------------------


def launched(lines: Iterable[Line]) -> list[str]:
    """Task ids as often as a master handed them to an agent."""
    return [found[1] for line in lines if (found := LAUNCHED.match(line.text))]


def calls(lines: Iterable[Line], framework_id: str) -> Counter[str]:
    """Kinds of calls that masters have processed for that framework."""
    of_framework = [line.text for line in lines if framework_id in line.text]
    return Counter(found[1] for text in of_framework if (found := CALL.match(text)))


@attrs.frozen(kw_only=True)
class Acknowledged:
    """Status updates that masters forwarded, and when they were acknowledged."""

    updates: int  # by their uuid
    needless: list[str]  # tasks with updates acknowledged more often than they were forwarded
    never: list[str]  # tasks with updates that were not
    median_ms: float  # from the first time that it was forwarded
    worst_ms: float

    @classmethod
    def of(cls, lines: Iterable[Line], framework_id: str) -> Acknowledged:
        first: dict[str, tuple[str, float]] = {}  # uuid -> task, forwarded at
        forwarded: Counter[str] = Counter()
        acknowledged: Counter[str] = Counter()
        waits: dict[str, float] = {}
        for line in lines:
            if framework_id not in line.text:
                continue
            if found := FORWARDED.match(line.text):
                first.setdefault(found[2], (found[3], line.at))
                forwarded[found[2]] += 1
            elif found := ACKNOWLEDGED.match(line.text):
                acknowledged[found[1]] += 1
                if found[1] in first:
                    waits.setdefault(found[1], (line.at - first[found[1]][1]) * 1000)
        times = sorted(waits.values()) or [0.0]
        return cls(
            updates=len(first),
            needless=sorted(first[one][0] for one in first if acknowledged[one] > forwarded[one]),
            never=sorted(task for one, (task, _) in first.items() if not acknowledged[one]),
            median_ms=statistics.median(times),
            worst_ms=times[-1],
        )

    def __str__(self) -> str:
        return (
            f"updates={self.updates} ack_ms median={self.median_ms:.1f} worst={self.worst_ms:.0f}"
        )
