"""Plays one simulated cluster after the other: a JSON line in, a JSON line out.

One process for many runs spares each of them the imports. `Player` is the other end.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Final

import attrs

from commands.simulate import Options, simulate, verdict
from simulation.scripts import Line, parse, render

ROOT: Final = Path(__file__).resolve().parent.parent
RUN_S_MAX: Final = 600.0  # of one run; takes a few seconds otherwise
RUNS_MAX: Final = 200  # of one process


@attrs.frozen(kw_only=True)
class Case:
    """One run. A `script` takes the place of the storm."""

    seed: int
    agents: int
    faults: str
    hours: float = 0.0
    script: tuple[Line, ...] | None = None

    def command(self) -> str:
        """What plays it again."""
        words = [
            ".venv/bin/python cli.py simulate",
            f"--agents {self.agents} --seed {self.seed}",
            f"--faults {self.faults}" if self.script is None else "",
            f"--hours {self.hours:g}" if self.hours else "",
            "" if self.script is None else f"--script '{render(self.script)}'",
        ]
        return " ".join(word for word in words if word)

    def to_json(self) -> str:
        return json.dumps(
            {**attrs.asdict(self), "script": None if self.script is None else render(self.script)}
        )


@attrs.frozen(kw_only=True)
class Outcome:
    """`status` as the command's; `said` where there is no report."""

    status: int
    report: dict[str, Any] = attrs.field(factory=dict)
    said: str = ""

    @property
    def broken(self) -> frozenset[str]:
        """The names of the promises that did not hold."""
        return frozenset(one["invariant"] for one in self.report.get("violations", ()))


@attrs.define
class Player:
    """A process that plays cases; a new one when it dies, hangs, or has played many."""

    _process: subprocess.Popen[str] | None = None
    _played: int = 0

    def play(self, case: Case) -> Outcome:
        asked, told = self._ready()
        self._played += 1
        asked.write(case.to_json() + "\n")
        asked.flush()
        if not select.select([told], [], [], RUN_S_MAX)[0]:
            self.close()
            return Outcome(status=1, said=f"still running after {RUN_S_MAX:.0f} s")
        line = told.readline()
        if not line:
            self.close()
            return Outcome(status=1, said="the process died: its words stand above")
        answer = json.loads(line)
        return Outcome(status=answer["status"], report=answer["report"])

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _ready(self) -> tuple[IO[str], IO[str]]:
        if self._played >= RUNS_MAX:
            self.close()
        if self._process is None:
            self._played = 0
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tools.soak_worker"],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        asked, told = self._process.stdin, self._process.stdout
        if asked is None or told is None:
            raise AssertionError("both are pipes")
        return asked, told


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        script = asked.pop("script")
        options = Options(**asked, script=None if script is None else parse(script))
        report = simulate(options)
        print(json.dumps({"status": verdict(report), "report": report}), flush=True)


if __name__ == "__main__":
    main()
