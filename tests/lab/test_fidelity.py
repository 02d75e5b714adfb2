"""The step scripts in booted hosts and the simulation's host models do the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from install_steps.catalog import STEPS
from tests.lab.fidelity import Verdict, verdicts
from tests.lab.situations import ALL
from tests.lab.situations.bases import BASES
from tests.lab.situations.table import Situation

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

SITUATIONS_MIN: Final = 6
TITLES: Final = {situation.title: situation for situation in ALL}


@pytest.fixture(scope="session")
def known(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Verdict]:
    """Of all situations that this run has chosen, because two hosts share them."""
    chosen = [
        TITLES[str(item.callspec.params["title"])]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "known" in item.fixturenames
    ]
    folder: Path = tmp_path_factory.mktemp("fidelity")
    return {verdict.situation.title: verdict for verdict in verdicts(chosen, folder)}


@pytest.mark.parametrize("title", TITLES)
def test_host_and_model_agree(known: Mapping[str, Verdict], title: str) -> None:
    verdict = known[title]
    assert not verdict.differences, verdict.said


def test_every_step_has_situations_enough() -> None:
    counted = Counter(situation.step for situation in ALL)
    assert counted.keys() == {*STEPS, "keeper_health"}
    assert min(counted.values()) >= SITUATIONS_MIN, counted


def test_titles_and_bases_are_sound() -> None:
    assert len(TITLES) == len(ALL)
    assert {situation.base for situation in ALL} <= BASES.keys()


def test_a_situation_differs_from_its_base_only_where_it_says_so() -> None:
    """Two rows that say the same would count one situation twice."""
    told: Counter[tuple[object, ...]] = Counter(map(_what_it_says, ALL))
    assert [row for row, count in told.items() if count > 1] == []


def _what_it_says(situation: Situation) -> tuple[object, ...]:
    return (
        situation.step,
        situation.base,
        situation.before,
        str(situation.wish),
        str(situation.environment),
        situation.inside,
        situation.real,
    )
