"""Any script of faults on three agents: afterwards all are ready, and no promise was broken.

Hypothesis makes a script that fails as short as it can. `SCRIPTS=1000` tries that many, each
time others; without it a few that are always the same.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import given, note, settings
from hypothesis import strategies as st

from commands.simulate import Options, simulate, verdict
from simulation.fault_kinds import KINDS
from simulation.scripts import EVERY_HOST, Line, render

AGENTS: Final = 3
HOSTS: Final = tuple(f"agent{number}.sim" for number in range(AGENTS))
LAST_S: Final = 600  # an onboarding without faults takes about that long
LINES_MAX: Final = 12
SCRIPTS: Final = int(os.environ.get("SCRIPTS", "0"))


@st.composite
def lines(draw: st.DrawFn) -> Line:
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    host = draw(st.sampled_from(HOSTS)) if kind.hits_host else EVERY_HOST
    at = draw(st.integers(0, LAST_S))
    if kind.size is None:
        return Line(at, name, host)
    size = kind.size
    whole = st.integers(int(size.low), int(size.high)).map(float)
    return Line(at, name, host, draw(st.sampled_from(size.among) if size.among else whole))


scripts = st.lists(lines(), max_size=LINES_MAX).map(lambda made: tuple(sorted(made, key=_at)))


def _at(line: Line) -> float:
    return line.at


@settings(max_examples=SCRIPTS or 10, derandomize=not SCRIPTS, database=None)
@given(script=scripts, seed=st.integers(1, 5))
def test_any_script_ends_with_all_agents_ready(script: tuple[Line, ...], seed: int) -> None:
    report = simulate(Options(agents=AGENTS, seed=seed, script=script))
    note(
        f"again: .venv/bin/python cli.py simulate --agents {AGENTS} --seed {seed} "
        f"--script '{render(script)}'"
    )
    assert report["violations"] == []
    assert verdict(report) == 0
