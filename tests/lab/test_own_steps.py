"""An operator's own steps run beside ours, once, with our exit codes; rules change single hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.lab import evidence
from tests.lab.host import Host
from tests.lab.site import HostPlan, Site
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

FIRST: Final = """echo "$SCALEIO_HOST $SCALEIO_PLATFORM ${ZONE:-none}" >>/etc/own-first"""
REBOOTS: Final = "#!/bin/sh\ntouch /etc/own-kernel-settings\nexit 20\n"
NOT_YET: Final = """
test -e /etc/own-window || { echo 'the maintenance window is closed' >&2; exit 75; }
"""
RULES: Final = {
    "version": 1,
    "overrides": [
        {
            "match": {"attributes": {"rack": "r2"}},
            "comment": "no volumes there",
            "set": {
                "skip": ["rexray", "isolator"],
                "environment": {"before-prerequisites-first": {"ZONE": "two"}},
            },
        }
    ],
}


def lines(host: Host, path: str) -> list[str]:
    return host.sh(f"cat {path}").splitlines()


def test_own_steps_run_once_in_their_place_and_again_when_they_change(tmp_path: Path) -> None:
    folder = tmp_path / "extra"
    folder.mkdir()
    texts = {"before-prerequisites-first": FIRST, "after-sdc-kernel": REBOOTS}
    for name, text in {**texts, "before-rexray-window": NOT_YET}.items():
        (folder / f"{name}.sh").write_text(text, encoding="utf-8")
        (folder / f"{name}.sh").chmod(0o644)
    (tmp_path / "overrides.json").write_text(json.dumps(RULES), encoding="utf-8")
    more = [f"-steps.extra={folder}", f"-steps.overrides={tmp_path / 'overrides.json'}"]
    plans = [HostPlan(), HostPlan(flags={"attributes": "rack:r2"})]
    with Site(tmp_path / "site", plans, more=more) as site:
        one, two = site.hosts.values()
        boots = {name: host.boot_id for name, host in site.hosts.items()}
        site.scheduler.start()

        def waits() -> bool:
            return any("window" in reason(site, name) for name in site.hosts)

        site.scheduler.wait("one waits for its window", waits, 300.0)
        for host in (one, two):
            open_window(host)
        site.scheduler.wait_phase("ready", list(site.hosts), 300.0)

        assert lines(one, "/etc/own-first") == ["h0.lab debian-12 none"]
        assert lines(two, "/etc/own-first") == ["h1.lab debian-12 two"]
        assert all(host.boot_id != boots[name] for name, host in site.hosts.items())
        for host in (one, two):
            ran = [run.step for run in evidence.step_runs(host) if run.status in (0, 20, 21)]
            assert [step for step in ran if step in texts] == list(texts)
            assert ran.index("after-sdc-kernel") == ran.index("sdc") + 1
        assert "rexray" not in [run.step for run in evidence.step_runs(two)]
        plan = json.loads(site.scheduler.read("/v1/plan"))["agents"]
        told = {agent["host"]: agent["overrides"] for agent in plan}
        assert told["h0.lab"] == []
        assert "no volumes there" in told["h1.lab"][0]

        site.scheduler.kill()
        changed = folder / "before-prerequisites-first.sh"
        changed.write_text(f"{FIRST}\n# a newer one\n", encoding="utf-8")
        site.scheduler.start()
        site.scheduler.wait(
            "the changed one runs again", lambda: len(lines(one, "/etc/own-first")) == 2
        )
        site.scheduler.wait_phase("ready", list(site.hosts), 120.0)
        assert len(lines(one, "/etc/own-first")) == 2
        kernel = [run for run in evidence.step_runs(one) if run.step == "after-sdc-kernel"]
        assert len(kernel) == 1


def open_window(host: Host) -> None:
    """Also on a host that reboots just now."""
    touch = ("touch", "/etc/own-window")
    wait_for(f"{host.name}'s window is open", lambda: not host.run(*touch, check=False).returncode)


def reason(site: Site, name: str) -> str:
    agents = site.scheduler.agents()
    return str(agents[name]["reason"]) if name in agents else ""
