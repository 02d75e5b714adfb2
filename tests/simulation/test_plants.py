"""A deliberate wrong in the world is seen, and named by the promise that it breaks."""

from __future__ import annotations

import json
from typing import Final

import pytest

from cli import main
from commands.plants import NAMES
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
    assert set(BREAKS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
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
