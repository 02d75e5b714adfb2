"""`make lab-interrupts`: as many kills and power cuts as asked for, and all causes that last."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.conftest import tier_needs
from tests.lab import tree
from tools.pytest_run import run_pytest

KINDS: Final = ("kill", "power", "cause")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.interrupts_run", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--power-cuts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    lacking = tier_needs()["lab"]
    if lacking:
        print("; ".join(lacking), file=sys.stderr)
        print("lab-interrupts: kills=0 power_cuts=0 causes=0 hosts=0 ready=0 failed=1")
        return 1
    tree.prepare()
    with tempfile.TemporaryDirectory(prefix="interrupts-") as folder:
        told = Path(folder) / "told"
        os.environ["LAB_KILLS"] = str(options.kills)
        os.environ["LAB_POWER_CUTS"] = str(options.power_cuts)
        os.environ["LAB_SEED"] = str(options.seed)
        os.environ["LAB_INTERRUPTS"] = str(told)
        _, failed = run_pytest("tests/lab/interrupts_whole.py", "-s")
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    counts = [json.loads(line) for line in lines]
    done = {kind: sum(one["done"] for one in counts if one["kind"] == kind) for kind in KINDS}
    hosts, ready, faults = (sum(c[name] for c in counts) for name in ("hosts", "ready", "faults"))
    print(
        f"lab-interrupts: kills={done['kill']} power_cuts={done['power']} causes={done['cause']} "
        f"hosts={hosts} ready={ready} faults={faults} failed={failed} seed={options.seed}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
