"""`make fidelity`: what is simulated against what is real, calls of Mesos first, then steps."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final

from tests.conftest import tier_needs
from tools.pytest_run import ROOT

PARTS: Final = {"real": "tests.fidelity", "lab": "tests.lab.fidelity"}  # tier -> module
LAST: Final = re.compile(r"fidelity: scripts=(\d+) agree=(\d+) differ=(\d+)")


def main() -> int:
    counts, status = [0, 0, 0], 0
    for tier, module in PARTS.items():
        lacking = tier_needs()[tier]
        if lacking:
            print(f"{module}: not run here: {'; '.join(lacking)}")
            status = 1
            continue
        found, code = _run(module)
        counts = [all_ + one for all_, one in zip(counts, found, strict=True)]
        status = status or code
    scripts, agree, differ = counts
    print(f"fidelity: scripts={scripts} agree={agree} differ={differ}")
    return status or int(differ > 0 or scripts == 0)


def _run(module: str) -> tuple[list[int], int]:
    """The counts of its last line, and its exit status; what it says is passed on."""
    found = [0, 0, 0]
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        for line in process.stdout:
            told = LAST.match(line)
            if told:
                found = [int(count) for count in told.groups()]
                line = f"{module}: {line}"  # noqa: PLW2901 - there is one such line at the end
            print(line, end="", flush=True)
    return found, process.returncode


if __name__ == "__main__":
    sys.exit(main())
