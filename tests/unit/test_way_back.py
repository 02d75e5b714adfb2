"""What the steps write down of a host's first state, so that it can be put back.

The functions are cut out of the prelude and run in a folder of the test.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Final

import pytest

from install_steps.texts import script_text

CALLED: Final = (
    "did", "install_file", "file_rights", "replace_file", "digest", "save_first_state",
    "first_state", "other_first_states", "is_ours", "installed_file", "record_package",
    "is_recorded", "backup_folder", "note_absent", "is_noted",
)  # fmt: skip


def functions() -> str:
    found = []
    text = script_text("sds")
    for name in CALLED:
        start = text.index(f"\n{name}() {{\n")
        found.append(text[start : text.index("\n}\n", start) + 3])
    return "".join(found)


class Host:
    """A folder that stands for a host's root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.state.mkdir()

    def path(self, name: str) -> Path:
        return self.root / name

    def do(self, calls: str) -> subprocess.CompletedProcess[str]:
        head = (
            f"STEP=test\nSTATE_DIR={self.state}\nWORK={self.root}\nTAB=$(printf '\\t')\n"
            "say() { printf '%s\\n' \"$1\" >&2; }\nhost_log() { :; }\n"
        )
        return subprocess.run(
            ["sh", "-euf", "-c", f"umask 022\n{head}{functions()}\n{calls}"],
            cwd=self.root, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            text=True, capture_output=True, check=True,
        )  # fmt: skip

    def write(self, name: str, content: str, mode: str = "0644") -> None:
        self.path("new").write_text(content, encoding="utf-8")
        self.do(f"installed_file {mode} {self.path('new')} {self.path(name)}")

    def manifest(self) -> dict[str, list[str]]:
        lines = (self.state / "backup/manifest").read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines]
        return {row[0]: row[1:] for row in rows}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def test_a_file_that_was_not_there_is_absent_in_its_first_state(host: Host) -> None:
    host.write("ours.conf", "one\n")
    host.write("ours.conf", "two\n")
    assert host.manifest() == {str(host.path("ours.conf")): ["-", "-", sha("two\n"), "absent"]}


def test_the_first_state_of_a_file_is_kept_through_all_that_follows(host: Host) -> None:
    target = host.path("theirs.conf")
    target.write_text("theirs\n", encoding="utf-8")
    target.chmod(0o640)
    for content in ("one\n", "two\n"):
        host.write("theirs.conf", content)
    target.write_text("edited\n", encoding="utf-8")  # by an operator
    host.write("theirs.conf", "three\n")
    mode, owner, ours, backup = host.manifest()[str(target)]
    stat = target.stat()
    assert (mode, owner, ours) == ("640", f"{stat.st_uid}:{stat.st_gid}", sha("three\n"))
    saved = host.state / "backup" / backup
    assert saved.read_text(encoding="utf-8") == "theirs\n"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_files_own_mode_can_be_kept(host: Host) -> None:
    target = host.path("init-script")
    target.write_text("old\n", encoding="utf-8")
    target.chmod(0o751)
    host.write("init-script", "new\n", mode="kept")
    assert (target.read_text(encoding="utf-8"), target.stat().st_mode & 0o777) == ("new\n", 0o751)


def test_each_file_has_one_line_and_damaged_lines_are_none(host: Host) -> None:
    host.write("a", "1\n")
    host.write("b", "2\n")
    with (host.state / "backup/manifest").open("a", encoding="utf-8") as file:
        file.write(f"{host.path('c')}\t-")
    host.path("c").write_text("theirs\n", encoding="utf-8")
    host.write("a", "3\n")
    host.write("c", "4\n")
    found = host.manifest()
    assert [Path(path).name for path in sorted(found)] == ["a", "b", "c"]
    assert found[str(host.path("c"))][3].endswith("_c")


def test_a_text_of_ours_is_known_until_somebody_edits_it(host: Host) -> None:
    host.write("a", "1\n")
    ask = f"if is_ours {host.path('a')}; then echo yes; else echo no; fi"
    assert host.do(ask).stdout == "yes\n"
    host.path("a").write_text("edited\n", encoding="utf-8")
    assert host.do(ask).stdout == "no\n"


def test_while_a_file_is_replaced_both_texts_of_ours_are_known(host: Host) -> None:
    host.write("a", "1\n")
    host.do(f"save_first_state {host.path('a')} {sha('2')} {sha('1')}")
    assert host.manifest()[str(host.path("a"))][2] == f"{sha('2')},{sha('1')}"


def test_packages_of_ours_are_recorded_once_with_their_last_version(host: Host) -> None:
    host.do("record_package one 1; record_package two 1; record_package one 2")
    text = (host.state / "backup/packages").read_text(encoding="utf-8")
    assert text == "two\t1\none\t2\n"
    ask = "if is_recorded one && ! is_recorded on; then echo yes; fi"
    assert host.do(ask).stdout == "yes\n"


def test_each_change_is_told(host: Host) -> None:
    host.path("new").write_text("x", encoding="utf-8")
    done = host.do(f"installed_file 0644 {host.path('new')} {host.path('a')}")
    assert done.stderr == f"wrote {host.path('a')}\n"
