"""A newer catalog reaches a cluster that is at work: one fault set at a time, on whole data."""

from __future__ import annotations

import pytest

from commands.simulate import Options, simulate


@pytest.mark.parametrize("seed", [4, 9])
def test_a_cluster_moves_to_a_newer_catalog_and_stays_whole(seed: int) -> None:
    report = simulate(Options(agents=10, seed=seed, upgrade=True))
    assert report["violations"] == []
    told = report["upgrade"]
    assert isinstance(told, dict)
    assert told["fault_sets"] == 5
    assert told["fault_sets_at_once_max"] == 1
    failed = report["failed"]
    assert isinstance(failed, int)
    assert report["ready"] == 10 - failed
    assert told["upgraded"] >= 10 - failed
    assert failed <= told["failures_injected"]
