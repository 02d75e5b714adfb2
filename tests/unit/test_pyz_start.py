"""The one-file product says in one line where it can't run, and needs no home folder."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from tools import pyz_start
from tools.pyz_start import Machine, cache_folder, complaint_about, this_machine
from tools.zipapp import MAIN, VERSION

BUILT = Machine(soabi="cpython-311-x86_64-linux-gnu", glibc=(2, 28))


def test_it_runs_where_it_was_built_for_and_on_newer_systems() -> None:
    assert complaint_about(BUILT, BUILT) == ""
    assert complaint_about(BUILT._replace(glibc=(2, 41)), BUILT) == ""


@pytest.mark.parametrize(
    ("here", "named"),
    [
        (BUILT._replace(soabi="cpython-312-x86_64-linux-gnu"), "cpython-312"),
        (BUILT._replace(soabi="cpython-311-aarch64-linux-gnu"), "aarch64"),
        (BUILT._replace(soabi="cpython-311-x86_64-linux-musl", glibc=()), "musl"),
        (BUILT._replace(glibc=(2, 17)), "2.17"),
    ],
)
def test_another_machine_gets_one_line_with_the_cure(here: Machine, named: str) -> None:
    complaint = complaint_about(here, BUILT)
    assert named in complaint
    assert "Docker image python:3.11" in complaint
    assert "\n" not in complaint


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10), (3, 99)])
def test_another_python_is_told_which_one_to_take(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    with pytest.raises(SystemExit) as end:
        exec(compile(MAIN, "__main__.py", "exec"), {})  # noqa: S102 - our own first lines
    line = str(end.value)
    assert f"needs Python {VERSION}, this is {version[0]}.{version[1]}: " in line
    assert "\n" not in line


def test_this_very_machine_is_known() -> None:
    assert this_machine().soabi.startswith("cpython-3")


def test_it_is_unpacked_into_the_sandbox_else_the_home_folder_else_a_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyz_start, "_home", lambda: "")
    sandbox, home = tmp_path / "sandbox", tmp_path / "home"
    sandbox.mkdir()
    home.mkdir()
    both = {"MESOS_SANDBOX": str(sandbox), "HOME": str(home)}
    assert cache_folder(both) == str(sandbox / ".shiv")
    assert cache_folder({"HOME": str(home)}) == str(home / ".shiv")
    monkeypatch.setattr(pyz_start, "_home", lambda: str(home))
    assert cache_folder({}) == str(home / ".shiv")
    monkeypatch.setattr(pyz_start, "_home", lambda: "")
    private = Path(cache_folder({"HOME": str(tmp_path / "absent")}))
    try:
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    finally:
        private.rmdir()
