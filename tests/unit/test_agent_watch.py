"""The watcher that outlives the step agent-restart: what it takes for good, and when it goes back.

The program is the one that the step writes, over functions in place of a host.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from install_steps.catalog import script_text
from tests.unit.test_scripts import shell


class Watch:
    """The watcher of an agent restart, as its step writes it, over functions instead of a host."""

    FAKES: Final = """
        tick=0
        systemctl() {
            echo "$1" >>ordered
            case $1 in
                show) echo "MainPID=$(pid)" ;;
                is-failed) return 1 ;;
            esac
        }
        sleep() { tick=$((tick + $1)); echo tick >>ticks; }
        curl() {
            case $* in
                */flags) [ "$(pid)" = 0 ] || echo '{"isolation":"new"}' ;;
                */metrics/snapshot) knows_master && echo '{"slave/registered":1}' ;;
                *) master ;;
            esac
        }
        pid() { echo 7; }
        knows_master() { false; }
        master() { false; }
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        receipt = folder / "bin" / "receipt"
        receipt.write_text('#!/bin/sh\nprintf "%s " "$@" >said\n', encoding="utf-8")
        receipt.chmod(0o700)
        (folder / "backup" / "agent").mkdir(parents=True)
        (folder / "backup" / "agent" / "changes").touch()

    def run(self, setting: str = "", fakes: str = "") -> tuple[int, str]:
        """Seconds that it had patience for, and what its receipt says. `fakes`: other functions;
        `tick` is the second."""
        step = script_text("agent-restart")
        writer = step[step.index("\nwatcher() {") : step.index("\n# A reboot ends the watch")]
        given = (
            "AGENT_UNIT=mesos-slave MESOS_AGENT_ENDPOINT=a:1 MASTER_ENDPOINT=m:1\n"
            f"ISOLATION_TO=new INIT=systemd GUARD=guard {setting}\n"
        )
        allowance = next(line for line in step.splitlines() if line.startswith("allow WATCH_S "))
        written = shell(f"allow() {{ :; }}\n{given}{allowance}\n{writer}\nwatcher\n", self.folder)
        assert written.stderr == ""
        program = written.stdout.replace("/var/lib/scaleio-framework", str(self.folder))
        done = shell(f"{self.FAKES}\n{fakes}\n{program}", self.folder)
        assert (done.returncode, done.stderr) == (0, "")
        ticks = len((self.folder / "ticks").read_text(encoding="utf-8").splitlines())
        return ticks, (self.folder / "said").read_text(encoding="utf-8")


@pytest.mark.parametrize(("setting", "seconds"), [("", 300), ("WATCH_S=", 300), ("WATCH_S=7", 7)])
def test_a_restarts_watcher_has_five_minutes_patience_if_not_told_otherwise(
    tmp_path: Path, setting: str, seconds: int
) -> None:
    """The agent shows the new value and does not register, since the master is silent."""
    waited, said = Watch(tmp_path).run(setting)
    assert waited == seconds
    assert said.split()[:2] == ["agent-restart", "kept"]
    assert "master-silent" in said


@pytest.mark.parametrize(
    ("found_at", "receipt", "reason"),
    [(340, "kept", "registered"), (9999, "rolled-back", "not-registered")],
)
def test_a_master_that_has_just_come_back_gets_time_before_a_setting_is_undone(
    tmp_path: Path, found_at: int, receipt: str, reason: str
) -> None:
    """It answers before it leads, and the agent finds it only then."""
    fakes = f"master() {{ [ $tick -ge 299 ]; }}; knows_master() {{ [ $tick -ge {found_at} ]; }}"
    _, said = Watch(tmp_path).run(fakes=fakes)
    assert said.split()[:2] == ["agent-restart", receipt]
    assert f'"{reason}"' in said


def test_an_agent_that_is_started_again_every_20_seconds_is_not_waited_for_to_the_end(
    tmp_path: Path,
) -> None:
    """As Mesos' usual packages do it."""
    fakes = "pid() { [ $((tick % 21)) -ge 1 ] && echo 0 || echo $((100 + tick)); }"
    waited, said = Watch(tmp_path).run(fakes=fakes)
    assert waited < 90
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"crashes"' in said


@pytest.mark.parametrize(("given", "restarts"), [("set --", 1), ("set -- boot", 0)])
def test_a_watch_that_a_reboot_ended_goes_on_after_it_without_another_restart(
    tmp_path: Path, given: str, restarts: int
) -> None:
    _, said = Watch(tmp_path).run(fakes=f"{given}; knows_master() {{ true; }}")
    assert said.split()[:2] == ["agent-restart", "kept"]
    ordered = (tmp_path / "ordered").read_text(encoding="utf-8").split()
    assert ordered.count("restart") == restarts
    assert ordered[-1] == "disable", "it is over: no later boot is watched"


def test_an_agent_that_dies_after_it_looked_good_is_looked_at_again(tmp_path: Path) -> None:
    fakes = "knows_master() { true; }; pid() { echo $((tick / 4)); }"
    waited, said = Watch(tmp_path).run(fakes=fakes)
    assert waited > 5
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"crashes"' in said
