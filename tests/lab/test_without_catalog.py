"""Without a catalog nothing is installed, and nothing is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.site import UNIT, HostPlan, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def test_without_a_catalog_no_host_is_changed_and_each_agent_says_what_is_missing(
    tmp_path: Path,
) -> None:
    plans = [HostPlan(), HostPlan(style=UNIT), HostPlan()]
    with Site(tmp_path / "site", plans, catalog=False) as site:
        before = {name: evidence.written(host) for name, host in site.hosts.items()}
        site.scheduler.start()

        def all_wait() -> bool:
            agents = site.scheduler.agents()
            return agents.keys() == site.hosts.keys() and all(
                "no catalog" in agent["reason"] for agent in agents.values()
            )

        site.scheduler.wait("every agent says what is missing", all_wait)
        for agent in site.scheduler.agents().values():
            assert agent["phase"] == "installing"
            assert '"component": "sdc"' in agent["reason"]
            assert '"os_id": "debian", "os_version": "12"' in agent["reason"]
        for name, host in site.hosts.items():
            assert evidence.written(host) == before[name]
            assert evidence.step_runs(host) == [], "a step that changes things has run"
