"""`make soak`: simulated clusters in a storm of faults, seed after seed, until the time is up."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import attrs

ROOT: Final = Path(__file__).resolve().parent.parent
AGENTS: Final = 12
RUN_S_MAX: Final = 600.0  # of one seed; takes a few seconds otherwise


@attrs.define
class Total:
    seeds: int = 0
    virtual_seconds: float = 0.0
    faults: int = 0
    violations: int = 0

    def add(self, report: dict[str, Any], status: int) -> None:
        """A run that ends badly without a violation (a crash, agents left over) counts as one."""
        found = len(report.get("violations", ()))
        self.seeds += 1
        self.virtual_seconds += report.get("virtual_seconds", 0.0)
        self.faults += sum(report.get("faults", {}).values())
        self.violations += max(found, 1) if status else found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="at most so many")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="at most so long")
    parser.add_argument("--first", type=int, default=1, metavar="S", help="the first seed")
    options = parser.parse_args(arguments)
    total, ends_at = Total(), time.monotonic() + 60 * options.minutes  # noqa: TID251 - a real wait
    for seed in range(options.first, options.first + options.seeds):
        if time.monotonic() >= ends_at:  # noqa: TID251 - a real wait
            break
        status, report, said = _run(seed)
        total.add(report, status)
        if status:
            print(
                f"seed {seed} ended with {status}; again: {' '.join(_command(seed, '-'))}\n{said}"
            )
    print(
        f"soak: seeds={total.seeds} hours={total.virtual_seconds / 3600:.1f} "
        f"faults={total.faults} violations={total.violations}"
    )
    return 1 if total.violations or not total.seeds else 0


def _command(seed: int, report: str) -> list[str]:
    return [".venv/bin/python", "cli.py", "simulate", "--agents", str(AGENTS), "--seed", str(seed),
            "--faults", "storm", "--report", report]  # fmt: skip


def _run(seed: int) -> tuple[int, dict[str, Any], str]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, *_command(seed, str(report))[1:]]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=RUN_S_MAX
            )
        except subprocess.TimeoutExpired:
            return 1, {}, f"still running after {RUN_S_MAX:.0f} s"
        found = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    return done.returncode, found, done.stderr[-4000:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
