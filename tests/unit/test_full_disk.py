"""A full file system is a reason to come back, not a failure: 75 `space`, and a line that says
which one, how much is free and what to do."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.unit.test_scripts import function, shell

PARTS: Final = ("say", "result_line", "finish", "full_place", "on_exit", "host_log")
START: Final = """
STEP=sds CHANGED=false EXTRA= RESULT_SAID=no REASON=unexpected LOCKED=yes NO_ROOM= ROOM_MIN=256
WRITING=$PWD WORK=$PWD/work STATE_DIR=$PWD/state
mkdir -p work state
run() { "$@" </dev/null; }
await_package_manager() { :; }
as_package_manager() { exec "$@"; }
"""
# Of `df -P`: KB or inodes that are free, and where.
DF: Final = """#!/bin/sh
case $2 in -k) free=%d ;; *) free=%d ;; esac
echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
[ $# -le 3 ] || echo "/dev/vda1 1000000 1 9999999 1%% /"
echo "/dev/vdb1 1000000 1 $free 99%% /var/lib/a place"
"""


@attrs.frozen
class Said:
    code: int
    reason: str
    stderr: str


@attrs.frozen
class Place:
    """A host of which one file system has this much room."""

    folder: Path

    def with_free(self, kilobytes: int, inodes: int = 9999) -> Place:
        (self.folder / "bin").mkdir(exist_ok=True)
        df = self.folder / "bin/df"
        df.write_text(DF % (kilobytes, inodes))
        df.chmod(0o755)
        return self

    def run(self, text: str, *more: str) -> Said:
        names = (*PARTS, *more)
        parts = "".join(function("prerequisites", name) for name in names)
        path = f"PATH={self.folder}/bin:{os.environ['PATH']}\n"
        done = shell(f"{path}{START}{parts}{text}", self.folder)
        reason = done.stdout.partition('"reason":"')[2].partition('"')[0]
        return Said(done.returncode, reason, done.stderr)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("ended", ["1 package", "65 archive", "65 sealed", "75 download"])
def test_what_fails_on_a_full_disk_is_tried_again(place: Place, ended: str) -> None:
    said = place.with_free(12).run(f"finish {ended} 'it failed'")
    assert (said.code, said.reason) == (75, "space")
    full = "the file system /var/lib/a place is full (12 KB free, at least 256 are needed)"
    assert said.stderr.splitlines() == [
        "sds: it failed",
        f"sds: {full}: make room, it is tried again",
    ]


def test_without_inodes_it_is_full_too(place: Place) -> None:
    said = place.with_free(99999, inodes=0).run("finish 1 package")
    assert (said.code, said.reason) == (75, "space")
    assert "(0 inodes free, at least 256 are needed)" in said.stderr


@pytest.mark.parametrize("ended", ["1 package", "65 archive", "75 download"])
def test_with_room_a_failure_is_one(place: Place, ended: str) -> None:
    said = place.with_free(256).run(f"finish {ended}")
    assert f"{said.code} {said.reason}" == ended


@pytest.mark.parametrize("ended", ["0 holds", "65 checksum", "75 locked", "78 setting"])
def test_other_ends_stay_as_they_are(place: Place, ended: str) -> None:
    said = place.with_free(0).run(f"finish {ended}")
    assert f"{said.code} {said.reason}" == ended


def test_a_step_that_writes_nothing_fails_for_its_own_reason(place: Place) -> None:
    said = place.with_free(0).run("LOCKED=no\nfinish 1 module")
    assert (said.code, said.reason) == (1, "module")


@pytest.mark.parametrize(
    ("free", "ending", "expected"),
    [
        (0, "false", (75, "space")),
        (0, "exit 143", (143, "unexpected")),
        (999, "false", (1, "unexpected")),
    ],
)
def test_a_command_that_ends_a_step(
    place: Place, free: int, ending: str, expected: tuple[int, str]
) -> None:
    said = place.with_free(free).run(f"trap on_exit EXIT\n{ending}")
    assert (said.code, said.reason) == expected


def test_a_full_sandbox_that_takes_no_line_still_says_75(place: Place) -> None:
    said = place.with_free(0).run("trap on_exit EXIT\nexec >/dev/full 2>/dev/full\nfinish 0 holds")
    assert said.code == 75


@pytest.mark.parametrize(
    "line",
    [
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "dpkg: error processing archive x.deb: cannot write: No space left on device",
        "installing package x-1 needs 12MB on the / filesystem",
        "  At least 12MB more space needed on the / filesystem.",
    ],
)
def test_a_package_manager_without_room_is_tried_again(place: Place, line: str) -> None:
    (place.folder / "manager").write_text(f'#!/bin/sh\ncat <<"END"\n{line}\nEND\nexit 1\n')
    text = "managed sh ./manager || finish 1 package 'it failed'"
    said = place.with_free(99999).run(text, "managed")
    assert (said.code, said.reason) == (75, "space")
    assert f"found no room ({line}): make room, it is tried again" in said.stderr


def test_an_earlier_lack_of_room_does_not_excuse_another_failure(place: Place) -> None:
    (place.folder / "full").write_text("echo 'No space left on device'; exit 1\n")
    text = "managed sh ./full || :\nmanaged false || finish 1 package"
    said = place.with_free(99999).run(text, "managed")
    assert (said.code, said.reason) == (1, "package")


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(("free", "code"), [(8 * 1024, 0), (2 * 1024, 75)])
def test_there_is_room_before_an_archive_is_unpacked(
    place: Place, gzipped: bool, free: int, code: int
) -> None:
    with tarfile.open(place.folder / "a.tar", "w:gz" if gzipped else "w") as archive:
        member = tarfile.TarInfo("program")
        member.size = 2 * 1024 * 1024
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    text = "FETCH_ROOM_KB=1024\nroom_to_unpack a.tar . 2"
    said = place.with_free(free).run(text, "room_to_unpack", "fetch_has_room")
    assert said.code == code
    if code:
        assert said.reason == "space"
        assert f". has {free} KB free, and a.tar needs 5120 KB" in said.stderr
