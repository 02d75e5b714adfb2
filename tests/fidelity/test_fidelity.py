"""The simulated Mesos and a real one hear the same scripts of calls, and say the same."""

from __future__ import annotations

import pytest

from tests.fidelity import agreed
from tests.fidelity.conftest import HEARD
from tests.fidelity.playing import Verdict, compare
from tests.fidelity.scripts import ALL

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    """Of all chosen scripts: they are played side by side, on few clusters."""
    chosen = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    ]
    found: list[Verdict] = []
    compare([ALL[name] for name in chosen], found.append)
    request.config.stash[HEARD] += found
    return {verdict.script.name: verdict for verdict in found}


@pytest.mark.parametrize("name", ALL)
def test_both_sides_say_the_same(name: str, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[name]
    assert verdict.agrees, f"{verdict.script.title}\n{verdict.difference()}"
    assert agreed.digest(verdict.real.lines) == agreed.read().get(name), (
        "both sides agree on something new: python -m tests.fidelity --record"
    )
