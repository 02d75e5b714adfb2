"""Whole processes under load: started, asked, and measured from outside."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import attrs
import httpx

ROOT: Final = Path(__file__).resolve().parent.parent
PATIENCE_S: Final = 120.0
REST_S: Final = 5.0  # a client that has ten thousand agents in its store has a start behind it
TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """Something did not come up, or did not do what is measured."""


@attrs.frozen
class Usage:
    """CPU seconds so far, and memory in MB: now, and at most."""

    cpu_s: float
    rss_mb: float
    peak_mb: float


def usage(process: subprocess.Popen[bytes]) -> Usage:
    """From /proc (proc(5))."""
    folder = Path(f"/proc/{process.pid}")
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    status = (folder / "status").read_text()
    return Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS,
        rss_mb=_kb(status, "VmRSS") / 1024,
        peak_mb=_kb(status, "VmHWM") / 1024,
    )


def _kb(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def running(
    command: Sequence[str], *, log: Path, python: str = sys.executable
) -> Iterator[subprocess.Popen[bytes]]:
    """That Python program, from the repository's root, until the end of the block."""
    with log.open("wb") as out:
        process = subprocess.Popen([python, *command], cwd=ROOT, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@attrs.frozen
class Master:
    """A `simulate-master --play` that is running."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def place(self) -> str:
        return self.url.partition("://")[2]

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.url}/play", trust_env=False, timeout=60).json()
        return found

    def wait(self, what: str, **least: float) -> dict[str, Any]:
        """Figures once each named one has reached its value. Raises BenchmarkError."""
        deadline = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            found = self.figures()
            if all((found[name] or 0) >= value for name, value in least.items()):
                return found
            time.sleep(0.02)
        raise BenchmarkError(f"{what}: not within {PATIENCE_S:g} s: {self.figures()}")

    def subscribed_s(self, began: float) -> float:
        """Seconds since `began` when the first SUBSCRIBE was seen here."""
        deadline = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            if "SUBSCRIBE" in self.figures()["calls"]:
                return time.perf_counter() - began
            time.sleep(0.005)
        raise BenchmarkError("nobody subscribes")


@contextlib.contextmanager
def master(folder: Path, *, agents: int, per_event: int, play_s: float) -> Iterator[Master]:
    log = folder / "master.log"
    command = [
        "cli.py", "simulate-master", "--listen=127.0.0.1:0", f"--agents={agents}",
        f"--offers-per-event={per_event}", f"--play={play_s:g}", f"--play-after={REST_S:g}",
    ]  # fmt: skip
    with running(command, log=log) as process:
        deadline = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            found = re.search(r"http://\S+", log.read_text())
            if found:
                yield Master(found[0], process)
                return
            if process.poll() is not None:
                break
            time.sleep(0.02)
        raise BenchmarkError(f"simulate-master does not begin: {log.read_text()[-500:]}")


def spread(values: Sequence[float], digits: int = 4) -> dict[str, Any]:
    """Median, least and most of some runs."""
    return {
        "median": round(median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
        "runs": len(values),
    }
