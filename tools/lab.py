"""`make lab`: what is proved on booted hosts. Two labs at a time: they wait more than they work."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.conftest import tier_needs
from tests.lab import tree_rpm
from tools.pytest_run import ROOT, run_pytest

FIRST: Final = (
    "test_fidelity.py",
    "test_agent_restart.py",
    "test_uninstall.py",
    "test_package_faults.py",
)  # the longest
LONG: Final = frozenset({"test_interrupts.py", "test_init_restarts.py"})
COUNTS: Final = "LAB_COUNTS"  # each lab adds a line to this file: its hosts, and those ready


def run() -> tuple[int, int]:
    """How many tests passed and failed."""
    tree_rpm.prepare()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: run_pytest(f"tests/lab/{name}", quiet=True), _files()))
    return sum(passed for passed, _ in results), sum(failed for _, failed in results)


def _files() -> list[str]:
    """The longest first. Those of LONG take minutes more: only when asked for."""
    names = {path.name for path in (ROOT / "tests/lab").glob("test_*.py")}
    if os.environ.get("LONG") != "1":
        names -= LONG
    return sorted(names, key=lambda name: (name not in FIRST, name))


def main() -> int:
    lacking = tier_needs()["lab"]
    if lacking:
        print("; ".join(lacking), file=sys.stderr)
        print("lab: hosts=0 ready=0 failed=1")
        return 1
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        counts = Path(folder) / "counts"
        os.environ[COUNTS] = str(counts)
        passed, failed = run()
        lines = counts.read_text(encoding="utf-8").splitlines() if counts.exists() else []
    labs = [json.loads(line) for line in lines]
    hosts, ready = (sum(lab[name] for lab in labs) for name in ("hosts", "ready"))
    print(f"lab: hosts={hosts} ready={ready} tests={passed + failed} failed={failed}")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
