"""How soon the program is there: its version, its help, and its first subscription."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import stores
from benchmarks.processes import ROOT, master, running, spread

RUNS: Final = 11
SUBSCRIPTIONS: Final = 5
AGENTS: Final = 3


def run(folder: Path) -> dict[str, Any]:
    """Seconds; python alone is what nobody can be below. They are run in turn."""
    commands = {
        "python": ["-c", "pass"],
        "version": ["cli.py", "--version"],
        "help": ["cli.py", "-help"],
    }
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            spent[name].append(_took(command))
    subscribed = [_subscription(folder) for _ in range(SUBSCRIPTIONS)]
    return {
        **{f"{name}_s": spread(values) for name, values in spent.items()},
        "first_subscription_s": spread(subscribed),
    }


def _took(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _subscription(folder: Path) -> float:
    """From the start of the process, on an empty store, to its SUBSCRIBE at the master."""
    used = folder / "fresh.sqlite"
    for file in folder.glob("fresh.sqlite*"):
        file.unlink()
    with master(folder, agents=AGENTS, per_event=AGENTS, play_s=0) as there:
        flags = stores.flags(folder, used, there.place)
        began = time.perf_counter()
        with running(["cli.py", *flags], log=folder / "ours.log"):
            return there.subscribed_s(began)
