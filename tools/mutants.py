"""`make mutants`: a seeded sample of mutants of `domain/` and `protocol/`, each met by its tests.

mutmut makes the mutants (its operators, one change each, inside functions); the tests that reach
the changed function are run against it in a forked process, the most specific ones first. One
run before tells which test reaches which function.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tools.mutation.mutations import Mutant, mutants_of

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "build" / "mutants"
ROOMS: Final = ("domain", "protocol")
TESTS: Final = ("tests/unit", "tests/property")
KILLED_PERCENT: Final = 85.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1500, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J")
    parser.add_argument("--only", default="", metavar="TEXT", help="files whose path holds it")
    parser.add_argument("--reuse", action="store_true", help="the last run's map of tests")
    options = parser.parse_args(arguments)
    began = time.monotonic()  # noqa: TID251 - a real wait
    FOLDER.mkdir(parents=True, exist_ok=True)
    drawn = draw(options.sample, options.seed, options.only)
    if not (options.reuse and (FOLDER / "map.json").exists()):
        done = _pytest("map", {})
        if done:
            print("mutants: the tests fail without a mutant: mend them first")
            return 2
    verdicts = _meet(drawn, options.jobs)
    _write_report(drawn, verdicts)
    count = Counter(verdicts.values())
    judged = sum(count[word] for word in ("killed", "survived", "timeout"))
    killed = count["killed"] + count["timeout"]
    share = 100.0 * killed / judged if judged else 0.0
    print(
        f"mutants: drawn={len(drawn)} sampled={judged} killed={count['killed']} "
        f"survived={count['survived']} timeout={count['timeout']} broken={count['broken']} "
        f"share={share:.1f}% "
        f"seconds={time.monotonic() - began:.0f} "  # noqa: TID251 - a real wait
        f"list={(FOLDER / 'report.txt').relative_to(ROOT)}"
    )
    return 0 if judged == len(drawn) and share >= KILLED_PERCENT else 1


def draw(sample: int, seed: int, only: str) -> list[Mutant]:
    """The same seed draws the same mutants from the same code."""
    found: list[Mutant] = []
    for path in sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if only in name:
            found += mutants_of(name, path.read_text(encoding="utf-8"))
    chance = random.Random(seed)  # noqa: S311 - a sample
    chosen = sorted(chance.sample(range(len(found)), min(sample, len(found))))
    return [found[number] for number in chosen]


def _meet(drawn: Sequence[Mutant], jobs: int) -> dict[int, str]:
    """Number of the mutant -> killed, survived, timeout, broken; shared among processes."""
    workers = []
    for job in range(jobs):
        share = {str(n): drawn[n].plain() for n in range(job, len(drawn), jobs)}
        where = FOLDER / f"job-{job}.json"
        where.write_text(json.dumps(share), encoding="utf-8")
        workers.append(_start("meet", {"MUTANTS_JOB": str(where)}))
    for worker in workers:
        worker.wait()
    verdicts: dict[int, str] = {}
    for job in range(jobs):
        told = FOLDER / f"job-{job}.verdicts"
        lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
        verdicts |= {int(number): word for number, word in (line.split() for line in lines)}
    return {number: verdicts.get(number, "broken") for number in range(len(drawn))}


def _write_report(drawn: Sequence[Mutant], verdicts: dict[int, str]) -> None:
    lines = []
    for number, mutant in enumerate(drawn):
        if verdicts[number] != "killed":
            lines.append(f"{verdicts[number]}: {mutant.path} {mutant.function}")
            lines += [f"    {line}" for line in mutant.difference]
    (FOLDER / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _start(task: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "tools.mutation.plugin", "-p",
         "no:cacheprovider", *TESTS],
        cwd=ROOT,
        env={**os.environ, "MUTANTS_TASK": task, **environment},
        stdout=(FOLDER / f"{task}.log").open("ab"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def _pytest(task: str, environment: dict[str, str]) -> int:
    return _start(task, environment).wait()


def plain_map() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "map.json").read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
