"""`plan`: made of a saved survey and the scheduler's flags, or asked of a running scheduler."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import pytest

from commands import plan
from simulation.host import DEBIAN_12, SimulatedHost
from simulation.host_survey import survey_text
from tests.garbage_server import GarbageServer, http_answer
from tests.scheduler_process import MDMS
from tests.unit.catalog_cases import DVDCLI, REXRAY, SDC, entry, text

TOLD = {
    "mode": "run",
    "agents": [
        {
            "host": "a1", "phase": "installing", "reason": "waits", "overrides": ["override 1"],
            "steps": [{"name": "sds", "state": "blocked", "detail": "no package"}],
            "devices": [{"path": "/dev/sdb", "verdict": "signature: ext4"}],
        },
        {"host": "a2", "phase": "seen", "reason": "", "steps": [], "devices": []},
    ],
}  # fmt: skip


def asked(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="plan")
    plan.add_arguments(parser)
    return plan.run(parser.parse_args(arguments))


@pytest.fixture
def survey(tmp_path: Path) -> str:
    rng = random.Random(1)  # noqa: S311  # a simulation's chance
    host = SimulatedHost(hostname="a1", address="10.1.0.1", rng=rng, os=DEBIAN_12, disks=())
    (tmp_path / "survey.txt").write_text(survey_text(host), encoding="utf-8")
    return str(tmp_path / "survey.txt")


@pytest.fixture
def flags(tmp_path: Path) -> tuple[str, ...]:
    catalog = tmp_path / "catalog.json"
    catalog.write_text(text(entry(), SDC, REXRAY, DVDCLI), encoding="utf-8")
    extras = tmp_path / "extras"
    extras.mkdir()
    (extras / "before-sdc-net.sh").write_text("true", encoding="utf-8")
    overrides = tmp_path / "overrides.json"
    rule = {"match": {"attributes": {"rack": "r1"}}, "comment": "no volumes there",
            "set": {"skip": ["rexray"]}}  # fmt: skip
    overrides.write_text(json.dumps({"version": 1, "overrides": [rule]}), encoding="utf-8")
    return (
        "--flags", "-scaleio.preconfig.gateway=g.test", *MDMS, f"-catalog={catalog}",
        f"-steps.extra={extras}", f"-steps.overrides={overrides}",
    )  # fmt: skip


def test_a_plan_is_made_of_a_saved_survey(
    survey: str, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    asked("--survey", survey, "--attribute", "rack=r1", "--output", "json", *flags)
    (host,) = json.loads(capsys.readouterr().out)["agents"]
    states = {step["name"]: step["state"] for step in host["steps"]}
    assert states["rexray"] == "ignored"
    assert list(states).index("before-sdc-net") == list(states).index("sdc") - 1
    assert host["overrides"] == ['override 1 (no volumes there): {"skip":["rexray"]}']
    assert {one["path"] for one in host["devices"]}, "each device has its verdict"


def test_without_the_attribute_the_rule_has_no_say(
    survey: str, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    asked("--survey", survey, *flags)
    shown = capsys.readouterr().out
    assert "override" not in shown
    assert "left out by" not in shown


def test_a_running_scheduler_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    answer = http_answer(json.dumps(TOLD).encode())
    with GarbageServer({"*": answer}) as server:
        assert asked("--url", f"http://{server.address}") == 1, "a step is blocked"
        shown = capsys.readouterr().out
        assert [line.split() for line in shown.splitlines()] == [
            ["a1", "installing"], ["waits"], ["sds", "blocked", "no", "package"],
            ["override", "1"], ["/dev/sdb", "signature:", "ext4"], [],
            ["a2", "seen"], ["it", "has", "not", "been", "surveyed", "yet"],
        ]  # fmt: skip
        assert asked("--url", f"http://{server.address}", "a2") == 0
        assert asked("--url", f"http://{server.address}", "a3") == 2
        assert "knows no agent a3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "either --url or --survey"),
        (("--url", "http://x", "--survey", "-"), "either --url or --survey"),
        (("--survey", "/nowhere/survey"), "No such file"),
        (("--survey", "SURVEY", "--attribute", "rack"), "give NAME=VALUE"),
        (("--survey", "SURVEY", "--flags", "-rest.prot=1"), "rest.prot"),
        (("--survey", "SURVEY", "--flags", "-help"), "scaleio-scheduler -help"),
        (("--url", "http://127.0.0.1:1"), "no scheduler answers at"),
        (("--url", "nonsense"), "no scheduler answers at"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    survey: str,
    arguments: tuple[str, ...],
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = tuple(survey if one == "SURVEY" else one for one in arguments)
    if "--survey" in given and "--flags" not in given:
        given = (*given, "--flags", "-scaleio.preconfig.gateway=g.test", *MDMS)
    assert asked(*given) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert expected in line


@pytest.mark.parametrize("body", [b"[]", b"<html>", b"\xff"])
def test_an_answer_of_somebody_else_is_one_line(
    body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with GarbageServer({"*": http_answer(body)}) as server:
        assert asked("--url", f"http://{server.address}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is it a scheduler's address?" in line


def test_a_text_that_is_no_survey_is_named(
    tmp_path: Path, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.txt").write_text("hello", encoding="utf-8")
    assert asked("--survey", str(tmp_path / "other.txt"), *flags) == 2
    assert "survey output is not complete" in capsys.readouterr().err
