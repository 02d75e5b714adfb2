"""Faults by name, as storms and as scripts: what is drawn can be noted and played again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import main
from commands.simulate import Options, simulate
from simulation.fault_kinds import KINDS, Size
from simulation.scripts import EVERY_HOST, Line, ScriptError, parse, render
from simulation.storms import WEATHERS, WeatherError, weather

SIZES = st.one_of(st.none(), st.integers(-9999, 9999).map(lambda tenths: tenths / 10))


@st.composite
def lines(draw: st.DrawFn) -> Line:
    kind = draw(st.sampled_from(sorted(KINDS)))
    at = draw(st.integers(0, 10**7)) / 1000
    host = draw(st.sampled_from((EVERY_HOST, "agent0.sim", "agent7.sim")))
    return Line(at, kind, host, draw(SIZES) if KINDS[kind].size is not None else None)


@given(st.lists(lines()))
def test_a_script_is_read_as_it_was_written_in_order_of_time(script: list[Line]) -> None:
    assert parse(render(script)) == tuple(sorted(script, key=lambda line: line.at))


def test_a_script_may_have_remarks_and_line_ends() -> None:
    text = "# a bad evening\n 30.5 reboot agent1.sim # the first\n\n2 clock-jump * -60; 3 rescind *"
    assert parse(text, ["agent1.sim"]) == (
        Line(2, "clock-jump", EVERY_HOST, -60.0),
        Line(3, "rescind"),
        Line(30.5, "reboot", "agent1.sim"),
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("30 reboot", "SECONDS KIND HOST"),
        ("soon reboot *", "'soon'"),
        ("nan reboot *", "'nan'"),
        ("-1 reboot *", "begins at 0"),
        ("1 flood *", "stream-cut"),
        ("1 reboot agent9.sim", "agent9.sim"),
        ("1 reboot * 5", "no size"),
    ],
)
def test_a_wrong_line_is_named_in_one_line(text: str, word: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(f"1 reboot *; {text}", ["agent0.sim"])
    assert word in str(caught.value)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weather_is_a_level_all_kinds_or_some_by_name() -> None:
    assert weather("none").kinds == ()
    assert set(WEATHERS["some"].kinds) < set(WEATHERS["storm"].kinds) < set(KINDS)
    assert weather("all").kinds == tuple(KINDS)
    assert weather("stream-cut, clock-jump").kinds == ("stream-cut", "clock-jump")
    with pytest.raises(WeatherError):
        weather("stream-cut,all")


def test_a_size_is_within_its_bounds() -> None:
    rng = random.Random(7)  # noqa: S311 - simulated chance
    assert all(2 <= Size(2, 5).draw(rng) <= 5 for _ in range(50))
    assert {Size(among=(1, 75)).draw(rng) for _ in range(50)} == {1, 75}
    assert Size(2, 5).usual == 3.5


@pytest.mark.parametrize(
    "words",
    [["--faults", "flood"], ["--script", "1 flood *"], ["--script", "1 reboot agent3.sim"],
     ["--script", "@nowhere"]],
)  # fmt: skip
def test_what_cannot_be_played_ends_with_2_and_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--agents", "3", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(words[0])


def test_help_lists_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in KINDS)


def _course(report: Mapping[str, object]) -> dict[str, object]:
    return {name: v for name, v in report.items() if name not in ("wall_seconds", "options")}


def test_the_script_of_a_storm_plays_the_same_course_again(tmp_path: Path) -> None:
    drawn = simulate(Options(agents=3, seed=11, faults="storm", hours=0.7))
    assert drawn["faults"]
    script = parse(str(drawn["script"]))
    again = simulate(Options(agents=3, seed=11, script=script, hours=0.7))
    assert _course(again) == _course(drawn)
    file = tmp_path / "script"
    file.write_text(render(script), encoding="utf-8")
    report = tmp_path / "report"
    words = ["--agents", "3", "--seed", "11", "--hours", "0.7", "--script", f"@{file}"]
    assert main(["simulate", *words, "--report", str(report)]) == 0


def test_the_run_is_not_over_before_its_hours() -> None:
    report = simulate(Options(agents=1, seed=2, storage=1, hours=0.5))
    assert 1800 <= float(str(report["virtual_seconds"])) < 2000
    assert report["violations"] == []
