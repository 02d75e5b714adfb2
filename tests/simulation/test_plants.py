"""A deliberate wrong in the world is seen, and named by the promise that it breaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from cli import main
from commands.plants import NAMES, NO_WRONG_OF_OURS
from simulation import promises

BREAKS: Final = {
    "double-launch": promises.ONE_TASK,
    "device-with-data": promises.NO_DATA,
    "reboot-while-degraded": promises.HEALTHY,
    "leaked-secret": promises.NO_SECRET,
    "forgotten-identity": promises.IDENTITY,
    "dead-stream": promises.LIVE_STREAM,
    "hot-loop": promises.PACE,
    "forced-device": promises.NO_FORCE,
}


def simulate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, set[str], str]:
    """Exit status, names of broken promises in the report, and what stderr says."""
    status = main(["simulate", "--agents", "3", "--seed", "1", "--report", "-", *arguments])
    told = capsys.readouterr()
    report = json.loads(told.out.splitlines()[-1])
    return status, {violation["invariant"] for violation in report["violations"]}, told.err


def test_every_plant_is_known_here() -> None:
    assert set(BREAKS) == set(NAMES) - NO_WRONG_OF_OURS


def test_a_host_that_cannot_work_is_a_named_failure_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["simulate", "--agents", "4", "--plant", "kernel-mismatch", "--report", "-"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, report["failed"], report["ready"]) == (1, 1, 3)
    assert report["violations"] == []


def test_a_run_is_repeated_from_its_report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    main(["simulate", "--agents", "3", "--seed", "11", "--faults", "storm", "--report", str(first)])
    assert main(["simulate", "--replay", str(first), "--report", str(again)]) == 0
    reports = [json.loads(file.read_text(encoding="utf-8")) for file in (first, again)]
    for report in reports:
        del report["wall_seconds"]
    assert reports[0] == reports[1]
    assert main(["simulate", "--replay", str(tmp_path / "none")]) == 2
    (tmp_path / "odd").write_text("{}", encoding="utf-8")
    assert main(["simulate", "--replay", str(tmp_path / "odd")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("name", BREAKS)
def test_a_plant_is_seen_and_named(capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, broken, told = simulate(capsys, "--plant", name)
    assert status == 1
    assert broken == {BREAKS[name]}
    assert BREAKS[name] in told


def test_without_a_plant_no_promise_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    status, broken, told = simulate(capsys)
    assert status == 0
    assert broken == set()
    assert "violation" not in told
