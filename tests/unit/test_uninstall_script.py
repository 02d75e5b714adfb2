"""The parts of `uninstall.sh` that put files back, run on a folder of their own."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import attrs
import pytest

from install_steps.texts import script_text

HEAD = """
begin_step() { STEP=uninstall; INIT=none; WORK=$ROOT/work; mkdir -p "$WORK"; }
can_arm() { :; }
agent_get() { cat "$ROOT/flags"; }
logger() { :; }
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@attrs.define
class Host:
    root: Path

    def run(self, call: str, *, isolation: str = "posix/cpu,posix/mem") -> tuple[int, str]:
        """The functions of the text, with our folders in place of the host's; then `call`."""
        prelude, _, own = script_text("uninstall").partition("\nbegin_step uninstall lock\n")
        functions = own.partition("\nawait_package_manager\ncheck_cluster\n")[0]
        functions = functions.replace("\nfind_platform\n", "\n")
        state = f"STATE_DIR={self.root}/state"
        prelude = prelude.replace("STATE_DIR=/var/lib/scaleio-framework", state, 1)
        text = f"{prelude}\n{HEAD}\nbegin_step\n{functions}\n{call}\n"
        done = subprocess.run(
            ["sh", "-c", text],
            env={**os.environ, "ROOT": str(self.root), "ISOLATION_TO": isolation,
                 "MESOS_AGENT_ENDPOINT": "127.0.0.1:5051"},
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def manifest(self, *rows: tuple[str, str, str]) -> None:
        """(file, our text, first state's file or absent)"""
        me = f"{os.getuid()}:{os.getgid()}"
        lines = [
            f"{self.root}/{name}\t{'-' if first == 'absent' else '640'}\t"
            f"{'-' if first == 'absent' else me}\t{digest(ours)}\t{first}\n"
            for name, ours, first in rows
        ]
        self.write("state/backup/manifest", "".join(lines))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_files_are_as_before_and_changed_ones_are_kept_and_named(host: Host) -> None:
    made = host.write("etc/made", "ours")
    had = host.write("etc/had", "ours")
    theirs = host.write("etc/theirs", "an operator's")
    host.write("state/backup/files/had", "first")
    host.manifest(
        ("etc/made", "ours", "absent"),
        ("etc/had", "ours", "files/had"),
        ("etc/theirs", "ours", "absent"),
        ("etc/gone", "ours", "absent"),
    )
    code, said = host.run('restore_files; echo "kept $KEPT"')
    assert code == 0, said
    assert not made.exists()
    assert had.read_text() == "first"
    assert had.stat().st_mode & 0o777 == 0o640
    assert theirs.read_text() == "an operator's"
    assert f"kept: {theirs} was changed since" in said
    assert "kept 1" in said


def agent_files(host: Host) -> tuple[Path, Path]:
    """What the isolator step left: one file that was there before, and one that was not."""
    isolation = host.write("etc/isolation", "ours")
    checkpoint = host.write("etc/checkpoint", "ours too")
    host.write("state/backup/agent/_isolation", "theirs")
    me = f"{os.getuid()}:{os.getgid()}"
    host.write(
        "state/backup/agent/changes.done",
        f"present {digest('ours')} {isolation} _isolation 644 {me}\n"
        f"absent {digest('ours too')} {checkpoint} _checkpoint - -\n",
    )
    host.write("flags", '{"isolation":"new"}')
    return isolation, checkpoint


def test_the_agents_settings_are_put_back_with_a_way_to_ours(host: Host) -> None:
    isolation, checkpoint = agent_files(host)
    code, said = host.run("restore_agent")
    assert code == 21, said
    assert isolation.read_text() == "theirs"
    assert not checkpoint.exists()
    ways = (host.root / "state/backup/agent/changes").read_text().splitlines()
    assert [line.split()[:3] for line in ways] == [
        ["present", digest("theirs"), str(isolation)],
        ["present", "absent,,absent", str(checkpoint)],
    ]
    ours = [host.root / "state/backup/agent" / line.split()[3] for line in ways]
    assert [path.read_text() for path in ours] == ["ours", "ours too"]


def test_it_goes_on_where_it_was_killed(host: Host) -> None:
    isolation, checkpoint = agent_files(host)
    assert host.run("restore_agent")[0] == 21
    before = (host.root / "state/backup/agent/changes").read_text()
    checkpoint.write_text("ours too")  # it had not come so far
    assert host.run("restore_agent")[0] == 21
    assert not checkpoint.exists()
    assert (host.root / "state/backup/agent/changes").read_text() == before
    assert isolation.read_text() == "theirs"


def test_it_is_over_when_the_agent_runs_with_the_old_settings(host: Host) -> None:
    agent_files(host)
    assert host.run("restore_agent")[0] == 21
    assert host.run("restore_agent")[0] == 21, "it was not restarted yet"
    host.write("flags", '{"isolation":"posix/cpu,posix/mem"}')
    code, said = host.run("restore_agent; echo over")
    assert (code, "over" in said) == (0, True), said


def test_the_watchers_verdict_ends_it_too(host: Host) -> None:
    agent_files(host)
    assert host.run("restore_agent")[0] == 21
    agent = host.root / "state/backup/agent"
    (agent / "changes").rename(agent / "changes.done")
    code, said = host.run("restore_agent; echo over")
    assert (code, "over" in said) == (0, True), said


def test_without_the_old_isolation_nothing_is_written(host: Host) -> None:
    isolation, _ = agent_files(host)
    code, said = host.run("restore_agent", isolation="")
    assert code == 78
    assert "set it by hand" in said
    assert isolation.read_text() == "ours"


def test_what_an_operator_has_changed_since_is_no_longer_ours_to_undo(host: Host) -> None:
    isolation, checkpoint = agent_files(host)
    isolation.write_text("an operator's")
    checkpoint.write_text("too")
    code, said = host.run("restore_agent; echo over")
    assert (code, "over" in said) == (0, True), said
    assert f"kept: {isolation} was changed since" in said
    assert isolation.read_text() == "an operator's"


# A package database of two files: what is there, and who needs whom.
DATABASE = """
FAMILY=deb
database_answers() { :; }
present_packages() { cat "$ROOT/installed" >"$1"; }
installed_version() { grep -x -F -e "$1" "$ROOT/installed" || :; }
changing() {
    BEFORE=$CHANGED
    for gone; do :; done
    if grep -x -F -f "$ROOT/installed" "$ROOT/needing-$gone" 2>/dev/null; then
        echo "dependency problems" >"$WORK/log"
        return 1
    fi
    grep -v -x -F -e "$gone" "$ROOT/installed" >"$ROOT/left" || :
    mv "$ROOT/left" "$ROOT/installed"
}
"""


def test_what_came_with_a_package_is_recorded_and_goes_after_it(host: Host) -> None:
    installed = host.write("installed", "base\n")
    host.write("needing-libnuma", "numactl\n")
    bring = 'bring() { printf "numactl\\nlibnuma\\n" >>"$ROOT/installed"; }\nbringing bring'
    code, said = host.run(f"{DATABASE}\n{bring}\nremove_packages")
    assert code == 0, said
    assert installed.read_text() == "base\n"
    assert "kept" not in said


def test_what_a_killed_run_has_brought_is_known_to_the_next_one(host: Host) -> None:
    host.write("installed", "base\nnumactl\n")
    host.write("state/backup/packages.before", "base\n")
    code, said = host.run(f"{DATABASE}\nbringing true\nbringing true\nremove_packages")
    assert code == 0, said
    assert (host.root / "installed").read_text() == "base\n"


def test_what_a_killed_run_meant_to_bring_is_ours_and_nothing_else(host: Host) -> None:
    host.write("installed", "base\nnumactl\nlibnuma\ntheirs\n")
    host.write("state/backup/packages.before", "base\n")
    host.write("state/backup/packages.going", "numactl\nlibnuma\nnever-came\n")
    code, said = host.run(f"{DATABASE}\nbringing true\nremove_packages")
    assert code == 0, said
    assert (host.root / "installed").read_text() == "base\ntheirs\n"
    assert list((host.root / "state/backup").glob("packages.*")) == []


def test_a_package_that_others_need_is_kept_and_named(host: Host) -> None:
    installed = host.write("installed", "theirs\nours\n")
    host.write("state/backup/packages", "ours\t1\n")
    host.write("needing-ours", "theirs\n")
    code, said = host.run(f'{DATABASE}\nremove_packages; echo "kept $KEPT"')
    assert code == 0, said
    assert "kept: package ours, which others need" in said
    assert "kept 1" in said
    assert installed.read_text() == "theirs\nours\n"


def test_only_what_was_not_there_before_is_noted(host: Host) -> None:
    theirs = host.write("etc/theirs", "")
    code, said = host.run(
        f'note_absent {theirs} {host.root}/etc/made; : >"$ROOT/etc/made"; '
        f"note_absent {host.root}/etc/made; is_noted {host.root}/etc/made && echo made; "
        f"is_noted {theirs} || echo theirs"
    )
    assert (code, said.split()) == (0, ["made", "theirs"])
    assert (host.root / "state/backup/made").read_text() == f"{host.root}/etc/made\n"
