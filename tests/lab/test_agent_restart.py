"""A new setting of the Mesos agent: a bad one is undone by the host itself, a good one stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from tests.lab import evidence
from tests.lab.host import Host
from tests.lab.operating import order, steps_flag, token_flag
from tests.lab.site import FILES, UNIT, HostPlan, Site
from tests.real_mesos import get_json
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

Json = dict[str, Any]

# Nothing but what the agent's own setting needs; hosts without disks are clients.
ISOLATOR_ONLY: Final = (
    "-probe=off",
    "-components.sds=ignore",
    "-components.sdc=ignore",
    "-components.rexray=ignore",
)
SETTING: Final = "docker/volume"
UNIT_FILE: Final = "/etc/systemd/system/mesos-slave.service"
DROP_INS: Final = f"{UNIT_FILE}.d"
FLAG_FILES: Final = "/etc/mesos-slave"
START: Final = "/usr/bin/mesos-init-wrapper"
WRAPPED: Final = "/usr/local/sbin/lab-agent"
WATCHER: Final = "scaleio-framework-agent-restart"
GUARD_UNIT: Final = "scaleio-framework-agent-watch.service"
STEP: Final = "agent-restart"

# What a Mesos agent does that does not know the isolator.
_REFUSING: Final = """#!/bin/sh
case "${MESOS_ISOLATION:-} $*" in
    *docker/volume*)
        echo "Failed to create a containerizer: Unknown or unsupported isolator" >&2
        exit 1
        ;;
esac
exec %s "$@"
"""
_WILLING: Final = '#!/bin/sh\nexec %s "$@"\n'


def refuse(site: Site, host: Host) -> None:
    """From now on its agent does not start with the new setting; it does with the old one."""
    agent = f"{site.cluster.runtime}/mesos-agent"
    host.put(WRAPPED, _REFUSING % agent, "0755")
    host.sh(f"for file in {UNIT_FILE} {START}; do"
            f' [ ! -e "$file" ] || sed -i "s|{agent}|{WRAPPED}|" "$file"; done;'
            " systemctl daemon-reload; systemctl restart mesos-slave")  # fmt: skip


def mend(site: Site, host: Host) -> None:
    host.put(WRAPPED, _WILLING % f"{site.cluster.runtime}/mesos-agent", "0755")


@attrs.frozen
class Agent:
    """A Mesos agent as its host and its master see it."""

    agent_id: str
    isolation: str
    process: str  # pid and when it was started
    files: dict[str, str]  # all that its flags are read from


def agent_of(site: Site, host: Host) -> Agent:
    def registered() -> str:
        slaves = get_json(f"{site.cluster.url}/slaves")["slaves"]
        return next((s["id"] for s in slaves if s["hostname"] == host.name and s["active"]), "")

    pid = host.sh("systemctl show --property=MainPID --value mesos-slave").strip()
    found = host.sh(f"find {UNIT_FILE} {DROP_INS} {FLAG_FILES} -type f 2>/dev/null || :")
    return Agent(
        agent_id=wait_for(f"{host.name} is registered", registered),
        isolation=isolation(site, host),
        process=f"{pid} {host.sh(f'stat -c %Y /proc/{pid}').strip()}",
        files={path: host.sh(f"cat {path}") for path in sorted(found.split())},
    )


def isolation(site: Site, host: Host) -> str:
    return str(get_json(f"{site.agent_url(host.name)}/flags")["flags"]["isolation"])


def agents_of(site: Site) -> dict[str, Agent]:
    return {name: agent_of(site, host) for name, host in site.hosts.items()}


def steps_of(host: Host) -> list[str]:
    return [run.step for run in evidence.step_runs(host)]


def setting_steps(host: Host) -> list[str]:
    return [step for step in steps_of(host) if step in ("isolator", STEP)]


# -- a bad one ------------------------------------------------------------------------------------


@pytest.mark.parametrize("styles", [[FILES, FILES, UNIT], [UNIT, UNIT]], ids=["files", "unit"])
def test_a_setting_that_keeps_the_agent_from_starting_is_undone_and_halts_the_rollout(
    tmp_path: Path, styles: Sequence[str]
) -> None:
    plans = [HostPlan(disks=(), style=style) for style in styles]
    more = (*ISOLATOR_ONLY, token_flag(tmp_path / "operator"))
    with Site(tmp_path / "site", plans, more=more) as site:
        scheduler = site.scheduler
        for host in site.hosts.values():
            refuse(site, host)
        before = agents_of(site)
        assert all(SETTING not in agent.isolation for agent in before.values())
        scheduler.start()

        def failed() -> list[str]:
            return [name for name, phase in scheduler.phases().items() if phase == "failed"]

        (first,) = scheduler.wait("one agent has failed", failed, 240.0) or []
        others = [name for name in site.hosts if name != first]

        def halted() -> bool:
            reasons = [scheduler.agents()[name]["reason"] for name in others]
            return all("halted" in reason and first in reason for reason in reasons)

        scheduler.wait("the others wait, and say for whom", halted)
        went_back(site, site.hosts[first], before[first])
        error = scheduler.agents()[first]["error"]
        assert "did not come back with the new settings" in error
        assert "the host restored the old ones" in error
        now = agents_of(site)
        for name in others:
            assert now[name] == before[name], "not touched"
            assert setting_steps(site.hosts[name]) == []

        for host in site.hosts.values():
            mend(site, host)
        assert setting_steps(site.hosts[first]) == ["isolator", STEP], "not by itself"
        order(scheduler, "retry", first)
        scheduler.wait_phase("ready", list(site.hosts))
        for name, host in site.hosts.items():
            agent = agent_of(site, host)
            assert SETTING in agent.isolation
            assert agent.agent_id == before[name].agent_id
            assert evidence.receipts(host)[STEP]["state"] == "kept"


def test_a_reboot_in_the_middle_does_not_save_a_bad_setting(tmp_path: Path) -> None:
    """The agent then starts with it, and neither the watcher nor the scheduler is there."""
    with Site(tmp_path / "site", [HostPlan(disks=(), style=UNIT)], more=ISOLATOR_ONLY) as site:
        (host,) = site.hosts.values()
        refuse(site, host)
        before = agent_of(site, host)
        site.scheduler.start()
        site.scheduler.wait("the restart is armed", lambda: is_armed(host))
        site.scheduler.kill()
        boot = host.boot_id
        host.run("systemctl", "reboot")
        wait_for("another boot", lambda: host.boot_id not in ("", boot))
        host.wait_booted()

        def over_there() -> bool:
            return bool(evidence.receipts(host)[STEP]["state"] == "rolled-back")

        wait_for("the host has restored the old settings", over_there)
        went_back(site, host, before)
        guard_leaves(host)
        site.scheduler.start()
        site.scheduler.wait_phase("failed", [host.name])
        assert "restored the old ones" in site.scheduler.agents()[host.name]["error"]


def guard_leaves(host: Host) -> None:
    """It says how it ended first, and goes then."""
    enabled = ("systemctl", "is-enabled", GUARD_UNIT)
    wait_for("the guard leaves", lambda: host.run(*enabled, check=False).returncode)


def went_back(site: Site, host: Host, before: Agent) -> None:
    now = agent_of(site, host)
    assert now.files == before.files, "byte for byte"
    assert now.isolation == before.isolation
    assert now.agent_id == before.agent_id
    assert now.process != before.process
    receipt = evidence.receipts(host)[STEP]
    assert (receipt["state"], receipt["reason"]) == ("rolled-back", "crashes")
    assert setting_steps(host) == ["isolator", STEP], "one attempt"


# -- a good one -----------------------------------------------------------------------------------


@attrs.frozen
class Silence:
    """How long the master is away, and how long the watcher has patience (its own, if None)."""

    away_s: float
    patience_s: int | None = None


SILENCES: Final = [
    pytest.param(Silence(away_s=45.0, patience_s=20), id="short"),
    *([pytest.param(Silence(away_s=360.0), id="6-minutes")] if os.environ.get("LAB_LONG") else []),
]


@pytest.mark.parametrize("silence", SILENCES)
def test_a_good_setting_stays_when_the_master_is_away_longer_than_the_watch(
    tmp_path: Path, silence: Silence
) -> None:
    more = [*ISOLATOR_ONLY]
    if silence.patience_s is not None:
        shorter = {f"{STEP}.sh": ("WATCH_S:=300", f"WATCH_S:={silence.patience_s}")}
        more.append(steps_flag(tmp_path / "steps", shorter))
    with Site(tmp_path / "site", [HostPlan(disks=())], more=more) as site:
        (host,) = site.hosts.values()
        before = agent_of(site, host)
        site.scheduler.start()
        site.scheduler.wait("the restart is armed", lambda: is_armed(host))
        silence_master(site)
        away = time.perf_counter()

        def ended() -> bool:
            return bool(evidence.receipts(host)[STEP]["state"] != "open")

        wait_for("the watch is over", ended, silence.away_s + 60.0)
        assert time.perf_counter() - away > (silence.patience_s or 300), "it had patience"
        receipt = evidence.receipts(host)[STEP]
        assert (receipt["state"], receipt["reason"]) == ("kept", "master-silent")
        assert SETTING in isolation(site, host)
        wait_for("the silence is over", over(away + silence.away_s), silence.away_s)
        site.cluster.start("master0")  # and leads

        site.wait_registered()
        site.scheduler.wait_phase("ready", list(site.hosts))
        now = agent_of(site, host)
        assert SETTING in now.isolation
        assert now.agent_id == before.agent_id
        assert evidence.receipts(host)[STEP]["state"] == "kept"
        assert setting_steps(host) == ["isolator", STEP], "once"
        assert restarts(host) == 1


def silence_master(site: Site) -> None:
    """As ZooKeeper takes it: nobody leads."""
    site.cluster.kill("master0")
    site.cluster.elect(None)


def is_armed(host: Host) -> bool:
    return (
        host.run("systemctl", "is-active", "--quiet", f"{WATCHER}.timer", check=False).returncode
        == 0
    )


def over(moment: float) -> Callable[[], bool]:
    return lambda: time.perf_counter() >= moment


def restarts(host: Host) -> int:
    """How often the init system stopped the agent's service."""
    log = host.sh("journalctl --quiet --no-pager --output=cat --unit=mesos-slave")
    return log.count("Stopped mesos-slave.service")
