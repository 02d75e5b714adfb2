"""The step texts are understood by every shell that may be a host's /bin/sh, and do the same there.

Programs and functions run over stand-ins of a host, as in test_agent_watch and test_scripts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from install_steps.catalog import script_text
from install_steps.frames import frames_of
from tests.unit.test_agent_watch import CALM_AGAIN, NEW, OLD, Wants, Watch
from tests.unit.test_scripts import NAMES, function, shell

KINDS: Final = ("dash", "bash", "busybox")
PROGRAMS: Final = {kind: shutil.which(kind) for kind in KINDS}
SHELLS: Final = tuple(kind for kind in KINDS if PROGRAMS[kind])


def test_all_shells_are_here_where_nothing_may_be_left_out() -> None:
    """A user's machine may have no busybox: the others are tested. `.ci/run` brings all."""
    wanted = KINDS if os.environ.get("REQUIRE") == "all" else ("bash",)
    assert set(wanted) <= set(SHELLS), "apt-get install busybox dash"


@pytest.fixture(params=SHELLS)
def sh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
       monkeypatch: pytest.MonkeyPatch) -> str:  # fmt: skip
    """`sh` is that shell for what the test runs."""
    folder = tmp_path_factory.mktemp("sh")
    program = PROGRAMS[request.param]
    assert program is not None
    (folder / "sh").symlink_to(program)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return str(request.param)


def inner_programs(text: str) -> list[str]:
    found = re.findall(r"<<'(\w+)'\n(.*?)\n\1\n", text, re.DOTALL)
    return [body for _, body in found]


@pytest.mark.parametrize("name", NAMES)
def test_every_shell_understands_every_text_and_the_programs_in_it(sh: str, name: str) -> None:
    text = script_text(name)
    for part in (text, *inner_programs(text)):
        checked = subprocess.run(
            ["sh", "-n"], input=part, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, ""), f"{sh}, {name}"


# -- reading ------------------------------------------------------------------------------------


def test_a_frame_is_the_same_in_every_shell(sh: str, tmp_path: Path) -> None:
    body = "FRAMES=0\nFRAME_BYTES_MAX=1000\nexec 4>&1\nbad() { printf 'x\\ny'; return 3; }\n"
    body += function("survey", "frame") + "frame one printf '%s\\n' 'a  b'\nframe two bad\n"
    frames = frames_of(shell(body, tmp_path).stdout)
    assert (frames["one"].text, frames["one"].status) == ("a  b\n", 0)
    assert (frames["two"].text, frames["two"].status) == ("x\ny", 3)


def test_versions_are_compared_in_every_shell(sh: str, tmp_path: Path) -> None:
    text = function("sds", "same_version") + 'same_version "$1" "$2"\n'
    assert shell(text, tmp_path, "2.0-10000.2072.el7", "2.0-10000.2072").returncode == 0
    assert shell(text, tmp_path, "2.0-10000.20721", "2.0-10000.2072").returncode != 0


# -- the watch over the Mesos agent -------------------------------------------------------------


def test_a_good_setting_is_kept(sh: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    _, said = watch.run(fakes="knows_master() { true; }")
    assert said.split()[:2] == ["agent-restart", "kept"]
    assert watch.stood.read_text() == NEW
    assert not watch.changes.exists()


def test_a_bad_setting_is_undone(sh: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    _, said = watch.run(fakes=CALM_AGAIN)
    assert said.split()[:2] == ["agent-restart", "rolled-back"]
    assert watch.stood.read_text() == OLD
    assert not watch.new.exists()


def test_the_first_state_is_remembered(sh: str, tmp_path: Path) -> None:
    wants = Wants(tmp_path)
    wants.target.write_text(OLD)
    first = wants.entry()
    wants.target.write_text(NEW)
    assert wants.entry() == first
    assert wants.backup() == OLD


# -- cron, where nothing else runs something later ------------------------------------------------


class Cron:
    """The program that cron runs, as `arm_cron` writes it, over a folder instead of a host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("cron.d", "bin", "work"):
            (folder / name).mkdir()
        self.entry = folder / "cron.d" / "unit"
        (folder / "bin" / "program").write_text("echo ran >>ran\n")
        (folder / "boot_id").write_text("boot-1\n")
        self.uptime(100)

    def uptime(self, seconds: int) -> None:
        (self.folder / "uptime").write_text(f"{seconds}.25 9.00\n")

    def placed(self, text: str) -> str:
        """With paths of this folder in place of the host's."""
        text = text.replace("/proc/sys/kernel/random/boot_id", "boot_id")
        text = text.replace("/proc/uptime", "uptime")
        text = text.replace("/var/lib/scaleio-framework", str(self.folder))
        return text.replace("/etc/cron.d", str(self.folder / "cron.d"))

    def arm(self, delay_s: int) -> subprocess.CompletedProcess[str]:
        names = ("run", "install_file", "file_rights", "replace_file", "arm_cron")
        text = "".join(function("reboot", name) for name in names)
        given = f"STATE_DIR={self.folder} WORK=work CRON_DIR=cron.d\ncron_runs() {{ true; }}\n"
        return shell(
            self.placed(f"{given}{text}arm_cron unit {delay_s} {self.folder}/bin/program\n"),
            self.folder,
        )

    def minute(self) -> None:
        """What cron does with the entry, if it is there."""
        if self.entry.exists():
            self.fire()

    def fire(self) -> None:
        program = self.placed((self.folder / "bin" / "unit.cron").read_text())
        sleeping = 'sleep() { read -r s r <uptime; echo "$((${s%.*} + 20)).0 1" >uptime; }\n'
        done = subprocess.run(
            ["sh", "-c", f"{sleeping}{program}"],
            cwd=self.folder, text=True, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")

    def runs(self) -> int:
        ran = self.folder / "ran"
        return len(ran.read_text().splitlines()) if ran.exists() else 0


def test_cron_runs_it_once_and_not_before_its_time(sh: str, tmp_path: Path) -> None:
    cron = Cron(tmp_path)
    assert cron.arm(30).returncode == 0
    schedule, _, command = cron.entry.read_text().partition(" root ")
    assert schedule == "* * * * *"
    assert command.split()[:2] == ["exec", "/bin/sh"]
    assert "%" not in command, "a line break to cron"
    cron.minute()
    assert cron.runs() == 1
    assert int((tmp_path / "uptime").read_text().split(".")[0]) >= 130, "it waited"
    assert not cron.entry.exists()
    cron.minute()
    cron.fire()  # two that began in the same minute: one has taken the entry away
    assert cron.runs() == 1


def test_cron_runs_nothing_that_another_boot_has_ordered(sh: str, tmp_path: Path) -> None:
    cron = Cron(tmp_path)
    cron.arm(0)
    (tmp_path / "boot_id").write_text("boot-2\n")
    cron.minute()
    assert cron.runs() == 0
    assert not cron.entry.exists()


def test_an_entry_that_cannot_be_taken_away_runs_nothing(sh: str, tmp_path: Path) -> None:
    """It would run every minute."""
    cron = Cron(tmp_path)
    cron.arm(0)
    cron.entry.unlink()
    cron.entry.mkdir()
    cron.fire()
    assert cron.runs() == 0


def test_what_is_armed_by_cron_is_seen_and_ended(sh: str, tmp_path: Path) -> None:
    cron = Cron(tmp_path)
    cron.arm(0)
    text = "".join(
        function("reboot", name) for name in ("run", "cron_job_pid", "is_armed", "disarm")
    )
    given = f"INIT=sysvinit STATE_DIR={tmp_path} CRON_DIR=cron.d\nsleep() {{ :; }}\n"
    ask = f"{given}{text}"
    assert shell(f"{ask}is_armed unit\n", tmp_path).returncode == 0
    command = ["/bin/sh", "-c", "read -r line", f"{tmp_path}/bin/program"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as program:
        (tmp_path / "unit.pid").write_text(f"{program.pid}\n")
        cron.entry.unlink()
        assert shell(f"{ask}is_armed unit\n", tmp_path).returncode == 0, "it runs"
        assert shell(f"{ask}disarm unit\n", tmp_path).returncode == 0
        assert program.wait(timeout=20) == -15
        assert shell(f"{ask}is_armed unit\n", tmp_path).returncode != 0
    (tmp_path / "unit.pid").write_text(f"{os.getpid()}\n")
    assert shell(f"{ask}is_armed unit\n", tmp_path).returncode != 0, "another's number"
    cron.arm(0)
    shell(f"{ask}disarm unit\n", tmp_path)
    assert not cron.entry.exists()
    cron.entry.write_text("@reboot root x\n")
    assert shell(f"{ask}is_armed unit\n", tmp_path).returncode != 0, "a guard that waits for a boot"
    shell(f"{ask}disarm unit\n", tmp_path)
    assert cron.entry.exists()


@pytest.mark.parametrize(
    ("process", "init", "code"),
    [
        ("cron", "sysvinit", 0),
        ("", "sysvinit", 78),
        ("busybox", "sysvinit", 78),
        ("", "upstart", 0),
    ],
)
def test_nothing_can_be_armed_only_where_neither_init_system_nor_cron_would_run_it(
    sh: str, tmp_path: Path, process: str, init: str, code: int
) -> None:
    (tmp_path / "cron.d").mkdir()
    text = "".join(function("reboot", name) for name in ("cron_runs", "can_arm"))
    given = f"INIT={init} CRON_DIR=cron.d\nfinish() {{ exit $1; }}\n"
    given += (
        f"pgrep() {{ [ -n '{process}' ] && echo 7; }}\nreadlink() {{ echo /usr/sbin/{process}; }}\n"
    )
    assert shell(f"{given}{text}can_arm\n", tmp_path).returncode == code


# -- a daemon that a script of init.d starts ------------------------------------------------------


def test_it_leaves_the_cgroups_of_its_task(sh: str, tmp_path: Path) -> None:
    """Mesos kills every process in them when the task is over."""
    freezer, cpu = tmp_path / "freezer", tmp_path / "cpu"
    freezer.mkdir()
    cpu.mkdir()
    (tmp_path / "cgroup").write_text(
        "4:freezer:/mesos/x\n3:cpu,cpuacct:/mesos/x\n2:pids:/\n0::/x\n"
    )
    (tmp_path / "mounts").write_text(
        f"cgroup {freezer} cgroup rw,nosuid,freezer 0 0\n"
        f"cgroup {cpu} cgroup rw,cpu,cpuacct 0 0\ntmpfs /run tmpfs rw 0 0\n"
    )
    text = "".join(
        function("sds", name) for name in ("run", "outside_of_task", "leave_cgroups", "cgroup_root")
    )
    text = text.replace("/proc/self/cgroup", "cgroup").replace("/proc/mounts", "mounts")
    done = shell(f"{text}outside_of_task echo started\n", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")
    assert (freezer / "cgroup.procs").read_text() == "0\n", "whoever writes it"
    assert (cpu / "cgroup.procs").read_text() == "0\n"
