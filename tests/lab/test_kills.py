"""The scheduler is killed at ten moments of the installations: nothing is lost or done twice."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.lab import evidence
from tests.lab.site import UNIT, HostPlan, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

# When so many tasks are over on all hosts, and one more is in flight.
KILLS_AT: Final = (1, 4, 7, 10, 13, 16, 19, 22, 25, 28)


def moment(site: Site, over: int) -> Callable[[], list[str]]:
    def in_flight() -> list[str]:
        running, ended = site.tasks()
        return running if len(ended) >= over else []

    return in_flight


def test_ten_kills_of_the_scheduler_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    with Site(tmp_path / "site", [HostPlan(), HostPlan(style=UNIT), HostPlan()]) as site:
        scheduler = site.scheduler
        scheduler.start()
        killed_in: list[list[str]] = []
        for over in KILLS_AT:
            running = scheduler.wait(f"{over} tasks are over", moment(site, over))
            scheduler.kill()
            killed_in.append(running or [])
            scheduler.start()
        scheduler.wait_phase("ready", list(site.hosts))

        assert all(killed_in)
        assert len({step for tasks in killed_in for step in map(step_of, tasks)}) >= 4
        for host in site.hosts.values():
            runs = evidence.step_runs(host)
            assert all(run.status in evidence.HELD for run in runs), "none was cut short"
            assert all(one.ended <= two.began for one, two in itertools.pairwise(runs))
            assert max(Counter(run.task_id for run in runs).values()) == 1
            applied = Counter(run.step for run in runs if run.changed)
            assert applied == Counter([*evidence.INSTALLATION, "agent-restart"])
        assert set(site.files.downloads.values()) == {len(site.hosts)}
        assert len(site.framework_ids()) == 1


def step_of(task_id: str) -> str:
    return task_id.rsplit(".", 3)[1]
