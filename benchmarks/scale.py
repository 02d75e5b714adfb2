"""Ten thousand agents in one scheduler: its start, one event, its work, and its rest.

The master is a `simulate-master --play` in its own process, the Gateway is not reachable (a poll
that fails is tried again each minute).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import stores
from benchmarks.processes import BenchmarkError, Master, master, running, spread, usage

AGENTS: Final = 10_000
WORKING: Final = 1_000
RUNS: Final = 3
SETTLED_S: Final = 10.0
QUIET_AFTER_S: Final = 90.0  # nothing was wanted for a minute: SUPPRESS is said
QUIET_S: Final = 65.0  # one look at the list of agents is within it
PLAY_S: Final = 5.0
NO_STAGES: Final = ("-rollout.canary=0", "-rollout.share=0", f"-rollout.parallel={WORKING}")


def run(folder: Path, made: stores.Templates) -> dict[str, Any]:
    store = folder / "scale.sqlite"
    stores.seed(store, AGENTS, made, time.time())  # noqa: TID251 - a benchmark's clock
    restarts = [_restart(folder, store) for _ in range(RUNS)]
    return {
        "agents": AGENTS,
        "restart_subscribed_s": spread([one["subscribed_s"] for one in restarts]),
        "restart_all_answered_s": spread([one["answered_s"] for one in restarts]),
        "event": _event(folder, store),
        "idle": _idle(folder, store),
        "accepts": _accepts(folder),
    }


def _restart(folder: Path, store: Path) -> dict[str, float]:
    """Seconds from the start of the process to its subscription, and to its last answer."""
    used = folder / "used.sqlite"
    stores.copy(store, used)
    with master(folder, agents=AGENTS, per_event=AGENTS, play_s=0) as there:
        flags = stores.flags(folder, used, there.place)
        began = time.perf_counter()
        with running(["cli.py", *flags], log=folder / "ours.log"):
            subscribed = there.subscribed_s(began)
            there.wait("the first event", events=1)
            return {"subscribed_s": subscribed, "answered_s": time.perf_counter() - began}


def _event(folder: Path, store: Path) -> dict[str, Any]:
    """Events of 10,000 offers for a scheduler that is at rest, with a canary in it."""
    used, notes = folder / "used.sqlite", folder / "canary.json"
    stores.copy(store, used)
    with master(folder, agents=AGENTS, per_event=AGENTS, play_s=PLAY_S) as there:
        command = ["-m", "benchmarks.canary", str(notes), *stores.flags(folder, used, there.place)]
        with running(command, log=folder / "ours.log") as process:
            there.wait("the first event", events=1)
            before = time.clock_gettime(time.CLOCK_MONOTONIC)
            there.wait("the played events", events=2)
            time.sleep(PLAY_S)
            found, used_up = there.figures(), usage(process)
            after = time.clock_gettime(time.CLOCK_MONOTONIC)
    late = [over for at, over in json.loads(notes.read_text()) if before < at < after]
    return {
        "p50_s": round(found["p50_s"], 4),
        "p99_s": round(found["p99_s"], 4),
        "offers_per_s": round(found["offers_per_s"]),
        "canary_worst_s": round(max(late, default=0.0), 4),
        "canary_median_late_s": round(median(late), 4) if late else 0.0,
        "rss_mb": round(used_up.rss_mb, 1),
        "peak_rss_mb": round(used_up.peak_mb, 1),
    }


def _idle(folder: Path, store: Path) -> dict[str, Any]:
    """Everybody is ready, and Mesos has been told that nothing is wanted."""
    used = folder / "used.sqlite"
    stores.copy(store, used)
    with master(folder, agents=AGENTS, per_event=AGENTS, play_s=0) as there:
        flags = stores.flags(folder, used, there.place)
        with running(["cli.py", *flags], log=folder / "ours.log") as process:
            there.wait("the first event", events=1)
            time.sleep(QUIET_AFTER_S)
            before, calls = usage(process), _calls(there)
            time.sleep(QUIET_S)
            after, later = usage(process), _calls(there)
    if "SUPPRESS" not in later:
        raise BenchmarkError(f"not at rest: {later}")
    return {
        "core_share": round((after.cpu_s - before.cpu_s) / QUIET_S, 4),
        "rss_mb": round(after.rss_mb, 1),
        "peak_rss_mb": round(after.peak_mb, 1),
        "calls": {
            name: count - calls.get(name, 0)
            for name, count in later.items()
            if count != calls.get(name, 0)
        },
        "seconds": QUIET_S,
    }


def _calls(there: Master) -> dict[str, int]:
    found: dict[str, int] = there.figures()["calls"]
    return found


def _accepts(folder: Path) -> dict[str, Any]:
    """A thousand new agents, each with a survey to be launched: stored first, then offered."""
    with master(folder, agents=WORKING, per_event=WORKING, play_s=0) as there:
        used = folder / "fresh.sqlite"
        for file in folder.glob("fresh.sqlite*"):
            file.unlink()
        flags = [*stores.flags(folder, used, there.place), *NO_STAGES]
        with running(["cli.py", *flags], log=folder / "ours.log"):
            found = there.wait("the launches", accepted=WORKING)
    return {
        "agents": WORKING,
        "p50_s": round(found["accept_p50_s"], 4),
        "p99_s": round(found["accept_p99_s"], 4),
    }
