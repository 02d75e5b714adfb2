"""-mesos.before-reboot=deactivate: nobody is offered a host that is about to reboot."""

from __future__ import annotations

import pytest

from commands.simulate import Options, simulate
from simulation.promises import DEBTS

TOLD = ("-mesos.before-reboot=deactivate",)


@pytest.mark.parametrize(("seed", "faults"), [(1, "none"), (2, "storm"), (3, "scheduler-crash")])
def test_every_agent_is_ready_and_offered_again(seed: int, faults: str) -> None:
    report = simulate(Options(agents=4, seed=seed, faults=faults, extra=TOLD))
    assert report["violations"] == []
    assert report["ready"] == 4
    checked = report["invariants_checked"]
    assert isinstance(checked, dict)
    assert checked[DEBTS] >= 4
