"""A package database that does not answer is named; it never looks like a host without packages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from tests.unit.test_scripts import function, shell

ANSWERS: Final = {
    "it tells": ("echo bash", 0),
    "it tells nothing": (":", 1),
    "dpkg cannot read it": ("echo 'dpkg-query: error: parsing file' >&2; exit 2", 1),
    "rpm reads a part of it": ("echo bash; echo 'error: cannot open Packages index' >&2", 1),
    "rpm warns": ("echo bash; echo 'warning: found bdb database' >&2", 0),
}


@pytest.mark.parametrize(("family", "program"), [("deb", "dpkg-query"), ("rpm", "rpm")])
@pytest.mark.parametrize("case", ANSWERS)
def test_only_a_database_that_answers_is_believed(
    tmp_path: Path, family: str, program: str, case: str
) -> None:
    answer, code = ANSWERS[case]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program).write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "bin" / program).chmod(0o755)
    text = f"PATH={tmp_path}/bin:{os.environ['PATH']}\nFAMILY={family}\nWORK=$PWD\n"
    text += 'finish() { printf "%s" "$2"; exit "$1"; }\n'
    done = shell(f"{text}{function('sds', 'database_answers')}database_answers", tmp_path)
    assert (done.returncode, done.stdout) == (code, "package-database" if code else "")
