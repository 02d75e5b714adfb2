"""`make test` and `make real`: the checks, the tests, and each tier that this machine can run."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final

import attrs

from tests.conftest import TIERS, tier_needs
from tools import check, lab
from tools.pytest_run import ROOT, run_pytest

ALWAYS: Final = ("simulation", "unit", "property", "architecture")  # in tests/; the longest first


@attrs.define
class Tally:
    """A checker counts as one test."""

    passed: int = 0
    failed: int = 0
    run: list[str] = attrs.field(factory=list)
    missing: list[str] = attrs.field(factory=list)

    def add(self, tier: str, passed: int, failed: int) -> None:
        self.passed += passed
        self.failed += failed
        self.run.append(tier)
        print(f"=== {tier}: {passed} passed, {failed} failed", flush=True)

    def lacks(self, tier: str, needs: list[str]) -> None:
        """A tier that is asked for and can't run is a failure of its own."""
        self.missing.append(tier)
        self.failed += os.environ.get("REQUIRE") == "all"
        print(f"=== {tier}: not run here: {'; '.join(needs)}", flush=True)

    @property
    def status(self) -> int:
        return 1 if self.failed or not self.passed else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="TIER", help="these tiers, and no others")
    only: list[str] | None = parser.parse_args(arguments).only
    tally = Tally()
    if only is None:
        _check(tally)
        _folders(tally)
    _tiers(tally, only)
    if only is None:
        print(f"test: passed={tally.passed} failed={tally.failed} {_names(tally)}")
        return tally.status
    # Asked for by name: a tier that can't run has failed.
    print(f"real: runs={tally.passed + tally.failed} failed={tally.failed} {_names(tally)}")
    return 1 if tally.missing else tally.status


def folders() -> list[str]:
    """Those of ALWAYS that hold tests."""
    return [name for name in ALWAYS if any((ROOT / "tests" / name).glob("test_*.py"))]


def _names(tally: Tally) -> str:
    run, missing = (",".join(names) or "none" for names in (tally.run, tally.missing))
    return f"tiers_run={run} tiers_missing={missing}"


def _check(tally: Tally) -> None:
    results = check.run_all()
    bad = check.failures(results)
    for name, (state, output) in results.items():
        if state != "ok":
            print(f"--- {name}: {state}\n{output.rstrip()}")
    tally.add("check", sum(state == "ok" for state, _ in results.values()), len(bad))


def _folders(tally: Tally) -> None:
    """Two at a time: each of them keeps one core busy. What one says is shown when it is over."""
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        running = {pool.submit(run_pytest, f"tests/{name}", quiet=True): name for name in folders()}
        for done in as_completed(running):
            tally.add(running[done], *done.result())


def _tiers(tally: Tally, only: list[str] | None) -> None:
    """One table in tests/conftest.py says what each tier needs."""
    for tier, needs in tier_needs().items():
        if only is not None and tier not in only:
            continue
        if needs:
            tally.lacks(tier, needs)
        else:
            tally.add(
                tier, *(lab.run() if tier == "lab" else run_pytest("tests", "-m", _own(tier)))
            )


def _own(tier: str) -> str:
    """Tests of several tiers run once, with the last of them."""
    names = list(TIERS)
    later = names[names.index(tier) + 1 :]
    return " and ".join([tier, *(f"not {name}" for name in later)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
