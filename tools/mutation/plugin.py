"""A pytest plugin: finds which test reaches which function, then meets mutants with those tests."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase, settings

from tools.mutation.mutations import mutated
from tools.mutation.patching import PatchError, patch

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build" / "mutants"
ROOMS: Final = tuple(f"{ROOT / room}{os.sep}" for room in ("domain", "protocol"))
PATIENCE_S: Final = 20.0  # for all tests of one mutant
BUDGET_S: Final = 12.0  # of tests, by what they take without a mutant
_FUNCTIONS: Final = "functions"


class Reached:
    """Which functions of the two rooms run while a test runs."""

    def __init__(self) -> None:
        self.now: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event == "call":
            code: CodeType = frame.f_code
            if code.co_filename.startswith(ROOMS):
                self.now.add((code.co_filename, code.co_qualname))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    del config
    settings.register_profile(
        "mutants",
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    settings.load_profile("mutants")
    items = [item for item in session.items if not _is_slow(item)]
    if os.environ["MUTANTS_TASK"] == "map":
        session.testsfailed = _make_map(items)
    else:
        _meet_all(items, Path(os.environ["MUTANTS_JOB"]))
    return True


def _is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("real", "zk", "lab"))


def _make_map(items: Sequence[pytest.Item]) -> int:
    """Test -> seconds and functions. Returns how many tests fail without any mutant."""
    found: dict[str, Any] = {}
    failed = 0
    for item, after in zip(items, [*items[1:], None], strict=True):
        reached = Reached()
        began = time.perf_counter()
        sys.setprofile(reached)
        try:
            reports = runtestprotocol(item, nextitem=after, log=False)
        finally:
            sys.setprofile(None)
        took_s = time.perf_counter() - began
        if any(report.failed for report in reports):
            failed += 1
            print(f"FAILED {item.nodeid}", *[r.longreprtext for r in reports if r.failed])
            continue
        names = sorted(f"{Path(f).relative_to(ROOT).as_posix()}:{q}" for f, q in reached.now)
        found[item.nodeid] = {"s": round(took_s, 4), _FUNCTIONS: names}
    (FOLDER / "map.json").write_text(json.dumps(found), encoding="utf-8")
    return 0 if failed <= len(items) // 1000 else failed


def _meet_all(items: Sequence[pytest.Item], job: Path) -> None:
    share = json.loads(job.read_text(encoding="utf-8"))
    known = json.loads((FOLDER / "map.json").read_text(encoding="utf-8"))
    with job.with_suffix(".verdicts").open("w", encoding="utf-8") as told:
        for number, mutant in share.items():
            tests = _tests_for(mutant, items, known)
            told.write(f"{number} {_meet(mutant, tests)}\n")
            told.flush()


def _tests_for(
    mutant: dict[str, Any], items: Sequence[pytest.Item], known: dict[str, Any]
) -> list[pytest.Item]:
    """Those that reach little else come first; all in all as long as the budget lasts."""
    name = f"{mutant['path']}:{mutant['function']}"
    ranked = []
    for place, item in enumerate(items):
        seen = known.get(item.nodeid)
        if seen is None:
            continue
        inside = any(f == name or f.startswith(f"{name}.") for f in seen[_FUNCTIONS])
        if inside:
            ranked.append((seen["s"] * (20 + len(seen[_FUNCTIONS])), place, seen["s"], item))
    chosen: list[pytest.Item] = []
    spent_s = 0.0
    for _, _, takes_s, item in sorted(ranked, key=lambda row: row[:2]):
        if spent_s + takes_s > BUDGET_S and chosen:
            continue
        spent_s += takes_s
        chosen.append(item)
    return chosen


def _meet(mutant: dict[str, Any], tests: Sequence[pytest.Item]) -> str:
    """In a process of its own, which may hang or break."""
    if not tests:
        return "survived"
    child = os.fork()
    if child == 0:
        os._exit(_in_child(mutant, tests))
    deadline = time.monotonic() + PATIENCE_S  # noqa: TID251 - a real wait
    while time.monotonic() < deadline:  # noqa: TID251 - a real wait
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", 3: "broken"}.get(code, "killed")
        time.sleep(0.005)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _in_child(mutant: dict[str, Any], tests: Sequence[pytest.Item]) -> int:
    """0: it survives; 1: a test fails; 3: it cannot be put in place."""
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    path = ROOT / mutant["path"]
    try:
        code = mutated(mutant["path"], path.read_text(encoding="utf-8"), mutant["number"])
        patch(mutant["path"], mutant["function"], code)
    except (PatchError, SyntaxError):
        return 3
    for item, after in zip(tests, [*tests[1:], None], strict=True):
        if any(report.failed for report in runtestprotocol(item, nextitem=after, log=False)):
            return 1
    return 0
