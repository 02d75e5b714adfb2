"""Steps run under whatever a host's /bin/sh is: all other labs have dash, these hosts have not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.lab import evidence
from tests.lab.site import HostPlan, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

PATIENCE_S: Final = 300.0
SHELLS: Final = {"h0.lab": "bash", "h1.lab": "busybox"}


def test_hosts_with_bash_or_busybox_as_their_shell_become_ready(tmp_path: Path) -> None:
    with Site(tmp_path / "site", [HostPlan() for _ in SHELLS]) as site:
        site.hosts["h1.lab"].sh("apt-get -q update && apt-get -q -y install busybox")
        for name, shell in SHELLS.items():
            site.hosts[name].sh(f'ln -s -f "$(command -v {shell})" /bin/sh')
        site.scheduler.start()
        site.scheduler.wait_phase("ready", list(site.hosts), PATIENCE_S)
        for name, host in site.hosts.items():
            shell = host.sh("readlink -f /bin/sh").strip()
            assert Path(shell).name == SHELLS[name]
            assert host.sh("readlink -f /proc/$$/exe; true").strip() == shell, "no wrapper of it"
            applied = [run.step for run in evidence.step_runs(host) if run.changed]
            assert sorted(applied) == sorted([*evidence.INSTALLATION, "agent-restart"])
