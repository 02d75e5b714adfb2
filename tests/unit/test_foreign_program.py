"""Whether a program was brought by somebody else: the survey and the steps say the same.

rpm lays a package's files first, and lists the package when all of them are there. One that was
killed in between leaves a program of no package, which only our own record tells to be ours.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from domain.facts import Facts
from install_steps.facts import parse_survey
from install_steps.texts import script_text
from simulation.host_survey import frame, result_line

RECORD: Final = "libaio\t0.3.109-13.el7\nrexray\t0.11.4-1\n"
OTHERS: Final = "libaio\t0.3.109-13.el7\nrexray-tools\t1-1\n"
CALLED: Final = ("digest", "first_state", "is_ours", "is_recorded", "foreign_program")
DIGEST: Final = "a" * 64


def surveyed(family: str, **more: tuple[str, int]) -> dict[str, str]:
    """Packages by the survey of a host with a REX-Ray that its package database does not know."""
    return dict(facts_of(family, **more).packages)


def facts_of(family: str, **more: tuple[str, int]) -> Facts:
    frames = {
        "os-release": ("ID=debian\n" if family == "deb" else "ID=centos\n", 0),
        "uname": ("3.10.0-1160.el7.x86_64 x86_64\n", 0),
        "boot-id": ("5f4b1f0e-3c1d-4a55-9a0e-0d8c4c6f2b11\n", 0),
        "machine-id": ("4efb02849e52d670f2484feeb6b3fbcc\n", 0),
        "init": ("systemd\n", 0),
        "packages-rpm": ("package rexray is not installed\n", 1),
        "binary.rexray": (f"{DIGEST}  /usr/bin/rexray\n", 0),
        **more,
    }
    text = "".join(frame(name, body, status) for name, (body, status) in frames.items())
    end = result_line("survey", changed=False, reason="surveyed", extra={"frames": len(frames)})
    return parse_survey(text + end)


def test_the_survey_believes_our_record_where_rpm_was_killed() -> None:
    assert surveyed("rpm", brought=(RECORD, 0)) == {}


@pytest.mark.parametrize(
    ("family", "record"),
    [
        ("rpm", ("", 1)),
        ("rpm", (OTHERS, 0)),
        ("rpm", (RECORD, 1)),
        ("deb", (RECORD, 0)),  # dpkg itself tells what it was killed in
    ],
    ids=["no-record", "of-others", "unreadable", "deb"],
)
def test_a_program_that_we_did_not_bring_is_of_unknown_version(
    family: str, record: tuple[str, int]
) -> None:
    assert surveyed(family, brought=record) == {"rexray": "unknown"}


def test_a_program_that_we_unpacked_keeps_its_version() -> None:
    found = surveyed("rpm", brought=(RECORD, 0), **{"unpacked.rexray": (f"0.12.0 {DIGEST}\n", 0)})
    assert found == {"rexray": "0.12.0"}


def step_says(root: Path, family: str, record: str) -> str:
    """The end of a step that finds such a program; empty where it goes on."""
    (root / "rexray").write_text("half of it", encoding="utf-8")
    (root / "backup").mkdir()
    (root / "backup/packages").write_text(record, encoding="utf-8")
    text = script_text("rexray")
    parts = []
    for name in CALLED:
        start = text.index(f"\n{name}() {{\n")
        parts.append(text[start : text.index("\n}\n", start) + 3])
    body = "".join(parts).replace("/usr/bin/", f"{root}/")
    head = (
        f"STATE_DIR={root}\nFAMILY={family}\nTAB=$(printf '\\t')\nensure_name=rexray\n"
        'finish() { echo "$1 $2"; exit; }\n'
    )
    done = subprocess.run(
        ["sh", "-euf", "-c", f"{head}{body}\nforeign_program rexray"],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_step_goes_on_where_rpm_was_killed(tmp_path: Path) -> None:
    assert step_says(tmp_path, "rpm", RECORD) == ""


@pytest.mark.parametrize(("family", "record"), [("rpm", OTHERS), ("deb", RECORD)])
def test_a_step_leaves_the_program_of_somebody_else(
    tmp_path: Path, family: str, record: str
) -> None:
    assert step_says(tmp_path, family, record) == "78 other-version"


def test_what_we_brought_and_no_receipt_tells_of_is_unfinished() -> None:
    record = "libaio\t0.3\nEMC-ScaleIO-sds\t2.0\nEMC-ScaleIO-sdc\t2.0\nrexray\t0.11.4-1\n"
    entries = (
        '{"version":1,"entries":[{"step":"sds","state":"kept"},{"step":"sdc","state":"open"}]}'
    )
    found = facts_of("rpm", brought=(record, 0), receipt=(entries, 0))
    assert found.unfinished == ("rexray",)
    assert facts_of("rpm", brought=(record, 0)).unfinished == ("sds", "sdc", "rexray")
    assert facts_of("rpm", receipt=(entries, 0)).unfinished == ()
