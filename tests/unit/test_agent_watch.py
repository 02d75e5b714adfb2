"""The watch over new settings of the Mesos agent: what it takes for good, and when it goes back.

The program is the one that the isolator step writes, over functions in place of a host.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import pytest

from install_steps.catalog import script_text
from tests.unit.test_scripts import function, shell

OLD: Final = "posix/cpu\n"
NEW: Final = "posix/cpu,docker/volume\n"


class Watch:
    """The watch program, as the isolator step writes it, over functions instead of a host.

    One file stood before and holds the new value, one was not there before.
    """

    FAKES: Final = """
        tick=0
        systemctl() {
            echo "$1" >>ordered
            case $1 in
                show) echo "MainPID=$(pid)" ;;
                is-failed) return 1 ;;
            esac
        }
        initctl() { echo "$1" >>ordered; [ "$1" != status ] || job; }
        sleep() { tick=$((tick + $1)); echo tick >>ticks; }
        curl() {
            case $* in
                */flags) ! shows || echo '{"isolation":"new"}' ;;
                */metrics/snapshot) knows_master && echo '{"slave/registered":1}' ;;
                *) master ;;
            esac
        }
        sync() { :; }
        pid() { echo 7; }
        shows() { [ "$(pid)" != 0 ]; }
        knows_master() { false; }
        master() { false; }
    """

    def __init__(self, folder: Path, *, armed: bool = True) -> None:
        self.folder = folder
        for name in ("bin", "receipt.d", "backup", "backup/agent", "etc"):
            (folder / name).mkdir()
        receipt = folder / "bin" / "receipt"
        receipt.write_text('#!/bin/sh\n[ ! -e full ] || exit 1\nprintf "%s " "$@" >said\n')
        receipt.chmod(0o700)
        if armed:
            (folder / "receipt.d" / "agent-restart.json").write_text('{"state":"open"}')
        self.changes = folder / "backup" / "agent" / "changes"
        self.stood, self.new = folder / "etc" / "isolation", folder / "etc" / "checkpoint"
        (folder / "backup" / "agent" / "isolation").write_text(OLD)
        self.stood.write_text(NEW)
        self.new.write_text(NEW)
        digest = hashlib.sha256(NEW.encode()).hexdigest()
        owner = f"{os.getuid()}:{os.getgid()}"
        self.changes.write_text(
            f"present {digest} {self.stood} isolation 640 {owner}\n"
            f"absent {digest} {self.new} checkpoint - -\n"
        )

    def run(
        self, *, more: str = "", fakes: str = "", init: str = "systemd", code: int = 0
    ) -> tuple[int, str]:
        """How often it slept, and what its receipt says. `more` is what the restart step tells it;
        `fakes`: other functions; `tick` is the second."""
        given = (
            "AGENT_UNIT=mesos-slave MESOS_AGENT_ENDPOINT=a:1 MASTER_ENDPOINT=m:1\n"
            f"ISOLATION_TO=new INIT={init} GUARD=guard WAIT=wait pid=7\n"
        )
        step = script_text("isolator")
        writer = step[step.index("\nwatcher() {") : step.index("\nWATCH\n}\n") + 9]
        written = shell(f"{given}{writer}\nwatcher\n", self.folder)
        assert written.stderr == ""
        (self.folder / "bin" / "agent-watch.more").write_text(more)
        program = written.stdout.replace("/var/lib/scaleio-framework", str(self.folder))
        done = shell(f"{self.FAKES}\n{fakes}\n{program}", self.folder)
        assert (done.returncode, done.stderr) == (code, "")
        ticks = self.folder / "ticks"
        slept = len(ticks.read_text().splitlines()) if ticks.exists() else 0
        return slept, self.said()

    def said(self) -> str:
        said = self.folder / "said"
        return said.read_text() if said.exists() else ""

    def ordered(self) -> list[str]:
        return (self.folder / "ordered").read_text().split()


@pytest.mark.parametrize(("setting", "seconds"), [("", 300), ("PATIENCE_S=7", 7)])
def test_a_restarts_watcher_has_five_minutes_patience_if_not_told_otherwise(
    tmp_path: Path, setting: str, seconds: int
) -> None:
    """The agent shows the new value and does not register, since the master is silent."""
    waited, said = Watch(tmp_path).run(more=setting)
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
    assert waited < 90 + 30, "and half a minute for the agent as it was"
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"crashes' in said


@pytest.mark.parametrize(("given", "restarts"), [("set --", 1), ("set -- boot", 0)])
def test_a_watch_that_a_reboot_ended_goes_on_after_it_without_another_restart(
    tmp_path: Path, given: str, restarts: int
) -> None:
    watch = Watch(tmp_path)
    _, said = watch.run(fakes=f"{given}; knows_master() {{ true; }}")
    assert said.split()[:2] == ["agent-restart", "kept"]
    assert watch.ordered().count("restart") == restarts
    assert watch.ordered()[-1] == "disable", "it is over: no later boot is watched"
    assert not watch.changes.exists()


CRASHING: Final = "pid() { echo $((tick / 4)); }"
CALM_AGAIN: Final = "pid() { [ -e etc/checkpoint ] && echo $((tick / 4)) || echo 3; }"


def test_a_bad_setting_is_undone_and_an_agent_that_runs_again_is_seen(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    _, said = watch.run(fakes=CALM_AGAIN)
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"crashes"' in said
    assert watch.stood.read_text() == OLD
    assert watch.stood.stat().st_mode & 0o777 == 0o640, "rights as before"
    assert not watch.new.exists()
    assert watch.ordered().count("reset-failed") == 2, "before either restart"
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["isolation"]


def test_an_agent_that_does_not_stay_with_its_old_setting_either_is_told(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    _, said = watch.run(fakes=CRASHING)
    assert '"crashes+agent-down"' in said
    assert watch.stood.read_text() == OLD


def test_a_file_that_somebody_changed_meanwhile_is_left_and_told(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.stood.write_text("network/cni\n")
    _, said = watch.run(fakes=CALM_AGAIN)
    assert '"crashes+partly"' in said
    assert watch.stood.read_text() == "network/cni\n"
    assert not watch.new.exists()


@pytest.mark.parametrize("failing", ["dd", "chmod", "chown", "mv", "mktemp"])
def test_a_file_that_cannot_be_put_back_stays_whole_and_is_tried_again(
    tmp_path: Path, failing: str
) -> None:
    """As on a full disk, until there is room."""
    watch = Watch(tmp_path)
    full = f"""
        {failing}() {{
            [ -e room ] && {{ command {failing} "$@"; return; }}
            return 1
        }}
        sleep() {{
            tick=$((tick + $1))
            [ "$1" != 30 ] || {{ cp said said.then; cp etc/isolation then; : >room; }}
        }}
    """
    _, said = watch.run(fakes=f"{CALM_AGAIN}\n{full}")
    assert (tmp_path / "said.then").read_text().split()[:2] == ["agent-restart", "open"]
    assert "not-restored" in (tmp_path / "said.then").read_text()
    assert (tmp_path / "then").read_text() == NEW
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert watch.stood.read_text() == OLD
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["isolation"]


def test_a_receipt_that_cannot_be_written_leaves_the_guard_for_the_next_boot(
    tmp_path: Path,
) -> None:
    watch = Watch(tmp_path)
    (tmp_path / "full").touch()
    watch.run(fakes=CALM_AGAIN, code=1)
    assert watch.stood.read_text() == OLD
    assert watch.changes.exists()
    assert "disable" not in watch.ordered()
    (tmp_path / "full").unlink()
    _, said = watch.run(fakes="set -- boot")
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"interrupted"' in said
    assert watch.ordered()[-1] == "disable"


# -- nobody has armed a restart yet ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["boot", "wait"])
def test_a_bad_setting_is_undone_also_where_no_restart_was_armed(tmp_path: Path, how: str) -> None:
    watch = Watch(tmp_path, armed=False)
    _, said = watch.run(fakes=f"set -- {how}; {CALM_AGAIN}; shows() {{ false; }}")
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert watch.stood.read_text() == OLD
    assert watch.ordered().count("restart") == 1


@pytest.mark.parametrize("how", ["boot", "wait"])
def test_a_good_setting_that_no_restart_was_armed_for_stays_without_a_word(
    tmp_path: Path, how: str
) -> None:
    watch = Watch(tmp_path, armed=False)
    _, said = watch.run(fakes=f"set -- {how}; knows_master() {{ true; }}")
    assert said == ""
    assert watch.stood.read_text() == NEW
    assert watch.ordered()[-1] == "disable"
    assert "restart" not in watch.ordered()


def test_it_waits_until_the_agent_is_another_process(tmp_path: Path) -> None:
    watch = Watch(tmp_path, armed=False)
    process = "pid() { [ $tick -lt 4000 ] && echo 7 || echo 8; }; shows() { [ $tick -ge 4000 ]; }"
    slept, _ = watch.run(fakes=f"set -- wait; {process}; knows_master() {{ true; }}")
    assert slept >= 800
    assert watch.stood.read_text() == NEW


def test_a_guard_with_nothing_to_watch_takes_itself_away(tmp_path: Path) -> None:
    """The step was killed before its first file."""
    watch = Watch(tmp_path, armed=False)
    watch.stood.write_text(OLD)
    watch.new.unlink()
    slept, said = watch.run(fakes="set -- boot")
    assert (slept, said) == (0, "")
    assert watch.ordered() == ["disable"]


def test_a_restart_that_cannot_be_armed_is_undone_and_the_agent_left_alone(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    _, said = watch.run(fakes="set -- undo")
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert watch.stood.read_text() == OLD
    assert "restart" not in watch.ordered()


def test_upstart_has_not_given_up_a_service_that_it_has_not_started_yet(tmp_path: Path) -> None:
    job = (
        "job() { [ $tick -lt 20 ] && echo 'mesos-slave stop/waiting' ||"
        " echo 'mesos-slave start/running, process 9'; }; shows() { [ $tick -ge 20 ]; }"
    )
    watch = Watch(tmp_path)
    _, said = watch.run(fakes=f"set -- boot; {job}; knows_master() {{ true; }}", init="upstart")
    assert said.split()[:2] == ["agent-restart", "kept"]


def test_upstart_has_given_up_a_service_that_stays_away(tmp_path: Path) -> None:
    away = "job() { echo 'mesos-slave stop/waiting'; }; shows() { false; }"
    watch = Watch(tmp_path)
    slept, said = watch.run(fakes=f"set -- boot; {away}", init="upstart")
    assert slept < 60 + 70
    assert '"crashes+agent-down"' in said
    assert watch.stood.read_text() == OLD


def test_an_agent_that_dies_after_it_looked_good_is_looked_at_again(tmp_path: Path) -> None:
    fakes = "knows_master() { true; }; pid() { echo $((tick / 4)); }"
    waited, said = Watch(tmp_path).run(fakes=fakes)
    assert waited > 5
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"crashes' in said


# -- the list of what is to be undone --------------------------------------------------------------


NEEDED: Final = ("install_file", "file_rights", "replace_file", "digest", "is_one_of", "want")


class Wants:
    """The isolator step's list, made before each run's first file is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "isolation"
        self.source = folder / "wanted-isolation"
        self.stored = folder / "backup" / "changes"
        self.source.write_text(NEW)
        (folder / "backup").mkdir()
        (folder / "work").mkdir()

    def entry(self) -> list[str]:
        """The entry that it makes now, which is stored as the step does."""
        text = "".join(function("isolator", name) for name in NEEDED)
        made = self.folder / "work" / "changes"
        made.unlink(missing_ok=True)
        done = shell(f'BACKUP=backup WORK=work\n{text}want "$1" "$2"\n', self.folder,
                     str(self.source), str(self.target))  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        self.stored.write_text(made.read_text())
        return made.read_text().split()

    def backup(self) -> str:
        (name,) = (path for path in (self.folder / "backup").iterdir() if path != self.stored)
        return name.read_text()


def test_a_run_that_was_cut_short_does_not_forget_the_first_state(tmp_path: Path) -> None:
    wants = Wants(tmp_path)
    wants.target.write_text(OLD)
    wants.target.chmod(0o640)
    first = wants.entry()
    assert (first[0], first[4]) == ("present", "640")
    assert first[1] == hashlib.sha256(NEW.encode()).hexdigest(), "of what is about to be written"
    assert wants.entry() == first, "cut before the file was written"
    wants.target.write_text(NEW)
    wants.target.chmod(0o644)
    assert wants.entry() == first, "cut after it"
    wants.source.write_text("another value\n")
    for _ in range(2):
        assert wants.entry()[2:] == first[2:], "another wish, cut short too, goes back to the same"
    wants.target.write_text("another value\n")
    assert wants.entry()[2:] == first[2:]
    assert wants.backup() == OLD


def test_a_file_that_was_not_there_is_remembered_as_absent(tmp_path: Path) -> None:
    wants = Wants(tmp_path)
    first = wants.entry()
    assert first[0] == "absent"
    wants.target.write_text(NEW)
    assert wants.entry() == first


def test_what_somebody_wrote_since_is_the_state_to_go_back_to(tmp_path: Path) -> None:
    wants = Wants(tmp_path)
    wants.entry()
    wants.target.write_text("network/cni\n")
    assert wants.entry()[0] == "present"
    assert wants.backup() == "network/cni\n"


@pytest.mark.parametrize("failing", ["dd", "chmod", "mv"])
def test_a_file_is_installed_whole_or_not_at_all_also_within_a_condition(
    tmp_path: Path, failing: str
) -> None:
    (tmp_path / "new").write_text(NEW)
    (tmp_path / "stood").write_text(OLD)
    text = f"{failing}() {{ return 1; }}\n{function('isolator', 'install_file')}"
    done = shell(f"{text}if install_file 0644 new ./stood; then echo yes; fi\n", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "stood").read_text() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "stood"]


def test_an_agent_that_ended_before_the_wait_began_is_another_process_too(tmp_path: Path) -> None:
    watch = Watch(tmp_path, armed=False)
    fakes = "set -- wait; pid() { echo 8; }; shows() { false; }; knows_master() { true; }"
    slept, said = watch.run(fakes=fakes)
    assert slept > 0
    assert "rolled-back" in said
    assert watch.stood.read_text() == OLD


# -- an agent that a script of init.d starts ------------------------------------------------------


SCRIPT: Final = """
    service() { echo "service-$2" >>ordered; }
    pgrep() { now=$(pid); [ "$now" = 0 ] || echo "$now"; }
"""


def test_an_agent_of_init_d_is_stopped_waited_for_and_started(tmp_path: Path) -> None:
    """The usual script starts nothing while the old process is there."""
    watch = Watch(tmp_path)
    process = "pid() { [ -e stopped ] && { rm stopped; echo 0; } || echo 7; }"
    slow = 'service() { echo "service-$2" >>ordered; [ "$2" != stop ] || : >stopped; }'
    _, said = watch.run(
        fakes=f"{SCRIPT}\n{process}\n{slow}\nknows_master() {{ true; }}", init="sysvinit"
    )
    assert said.split()[:2] == ["agent-restart", "kept"]
    assert watch.ordered() == ["service-stop", "service-start"]


def test_nobody_starts_an_agent_of_init_d_again_so_its_first_death_is_its_last(
    tmp_path: Path,
) -> None:
    watch = Watch(tmp_path)
    dies = "pid() { [ -e etc/checkpoint ] && [ $tick -ge 7 ] && echo 0 || echo 7; }"
    waited, said = watch.run(
        more="ENDS_S=1", fakes=f"{SCRIPT}\n{dies}\nshows() {{ false; }}", init="sysvinit"
    )
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert '"crashes"' in said
    assert waited < 60
    assert watch.stood.read_text() == OLD


def test_the_pid_file_of_its_script_counts_before_its_name(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mesos-slave.pid").write_text(f"{os.getpid()}\n")
    watch = Watch(tmp_path)
    fakes = f"{SCRIPT}\npid() {{ echo $tick; }}; knows_master() {{ true; }}; shows() {{ true; }}"
    _, said = watch.run(more="RUN_DIR=run ENDS_S=0", fakes=fakes, init="sysvinit")
    assert said.split()[:2] == ["agent-restart", "kept"], "its name tells another pid each time"


# -- an agent that the master does not take --------------------------------------------------------


LISTED: Final = """
    knows_master() { true; }
    master() { :; }
    curl() {
        case $* in
            */flags) echo '{"isolation":"new"}' ;;
            */metrics/snapshot) echo '{"slave/registered":1}' ;;
            */state) echo '{"version":"1","id":"abc-S0","pid":"slave(1)@10.0.0.1:5051"}' ;;
            */slaves?slave_id=abc-S0) list ;;
        esac
    }
"""


def listed(*flags: str) -> str:
    """A master's list of agents, one for each text of flags."""
    rows = (f'{{"id":"abc-S0","pid":"slave(1)@10.0.0.1:5051",{flag}}}' for flag in flags)
    return f'{{"slaves":[{",".join(rows)}],"recovered_slaves":[]}}'


ON: Final = '"active":true'
OFF: Final = '"active":false'


@pytest.mark.parametrize(
    ("answer", "receipt", "reason"),
    [
        (listed(), "rolled-back", "not-registered"),
        (listed(OFF), "rolled-back", "not-registered"),
        (listed(ON), "kept", "registered"),
        (listed(f'{OFF},"deactivated":true'), "kept", "registered"),
        (listed(OFF, OFF), "kept", "registered"),  # an old master names them all
        ("", "kept", "registered"),
        ("you shall not read this", "kept", "registered"),
    ],
)
def test_knowing_a_master_is_not_enough_where_its_list_can_be_read(
    tmp_path: Path, answer: str, receipt: str, reason: str
) -> None:
    """One that is refused says that it is registered: its metric tells of a leading master only."""
    _, said = Watch(tmp_path).run(fakes=f"{LISTED}\nlist() {{ echo '{answer}'; }}")
    assert said.split()[:2] == ["agent-restart", receipt]
    assert f'"{reason}' in said
