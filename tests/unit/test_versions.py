"""Versions are ordered as the hosts' package managers order them, in Python and in the steps."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from install_steps.packages import load_catalog
from install_steps.texts import source_text
from install_steps.versions import change_of, compare, deb_order, rpm_order
from tests.unit.catalog_cases import entry, text

# As rpm's own test suite and its manual have them: first, second, order.
RPM: Final = (
    ("1.0", "1.0", 0), ("1.0", "2.0", -1), ("2.0.1", "2.0.1", 0), ("2.0", "2.0.1", -1),
    ("2.0.1a", "2.0.1", 1), ("5.5p1", "5.5p2", -1), ("5.5p10", "5.5p1", 1),
    ("10xyz", "10.1xyz", -1), ("xyz10", "xyz10.1", -1), ("xyz.4", "8", -1), ("xyz.4", "2", -1),
    ("5.5p2", "5.6p1", -1), ("5.6p1", "6.5p1", -1), ("6.0.rc1", "6.0", 1), ("10b2", "10a1", 1),
    ("1.0a", "1.0aa", -1),
    ("10.0001", "10.1", 0), ("10.0001", "10.0039", -1), ("4.999.9", "5.0", -1),
    ("20101121", "20101122", -1), ("2_0", "2.0", 0), ("a", "a", 0), ("a+", "a_", 0), ("+", "_", 0),
    ("1.0~rc1", "1.0", -1), ("1.0~rc1", "1.0~rc2", -1), ("1.0~rc1~git123", "1.0~rc1", -1),
    ("2.0-7536.el7", "2.0-10000.2072", -1), ("2.0-10000.2072.el7", "2.0-10000.2072", 1),
    ("2.5-0.254.el7", "2.0-14000.231", 1), ("3.6-700.103.el7", "3.5", 1), ("2.0-5014.0", "2.0", 0),
)  # fmt: skip
DEB: Final = (
    ("2.0-7536", "2.0-10000.2072", -1), ("2.0-10000.2072", "2.5-0.254", -1),
    ("1.0~rc1", "1.0", -1), ("1.0", "1.0-1", -1), ("1:0.9", "2.0", 1), ("1.0a", "1.0+", -1),
    ("0.11.4-1", "0.11.3-1", 1), ("3.0-0.769.Ubuntu.18.04", "3.0-0.769", 1),
)  # fmt: skip
DPKG: Final = "/usr/bin/dpkg"  # on the PATH of tests stands a trap
VERSIONS: Final = st.from_regex(r"[0-9][A-Za-z0-9.+~]{0,8}(-[A-Za-z0-9.+~]{1,6})?", fullmatch=True)


@pytest.mark.parametrize(("first", "second", "order"), RPM)
def test_rpms_order(first: str, second: str, order: int) -> None:
    assert (rpm_order(first, second), rpm_order(second, first)) == (order, -order)


@pytest.mark.parametrize(("first", "second", "order"), DEB)
def test_dpkgs_order(first: str, second: str, order: int) -> None:
    assert (deb_order(first, second), deb_order(second, first)) == (order, -order)


@pytest.mark.skipif(not Path(DPKG).exists(), reason="there is no dpkg here")
@given(VERSIONS, VERSIONS)
@example("1.0-1", "1.0")
@example("1.0~~a", "1.0~")
@settings(max_examples=150, deadline=None)
def test_dpkg_itself_agrees(first: str, second: str) -> None:
    word = {-1: "lt", 0: "eq", 1: "gt"}[deb_order(first, second)]
    command = [DPKG, "--compare-versions", first, word, second]
    assert subprocess.run(command, check=False).returncode == 0


@given(VERSIONS, VERSIONS, VERSIONS, st.sampled_from(("deb", "rpm")))
def test_it_is_an_order(first: str, second: str, third: str, family: str) -> None:
    assert compare(family, first, first) == 0
    assert compare(family, first, second) == -compare(family, second, first)
    if compare("deb", first, second) <= 0 and compare("deb", second, third) <= 0:
        assert compare("deb", first, third) <= 0


def _of_the_step(pairs: list[tuple[str, str]], family: str) -> list[int]:
    """By the step's own function, all pairs in one shell."""
    steps = source_text("sds")
    functions = steps[steps.index("# version_order A B") :].partition("# -----")[0]
    calls = "".join(f"version_order '{a}' '{b}'\n" for a, b in pairs)
    done = subprocess.run(
        ["sh", "-euf", "-c", f"FAMILY={family}\n{functions}\n{calls}"],
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


def test_the_steps_have_rpms_order() -> None:
    pairs = [(a, b) for a, b, _ in RPM] + [(b, a) for a, b, _ in RPM]
    assert _of_the_step(pairs, "rpm") == [rpm_order(a, b) for a, b in pairs]


@given(st.lists(st.tuples(VERSIONS, VERSIONS), min_size=20, max_size=20))
@settings(max_examples=10, deadline=None)
def test_plan_and_step_agree_on_what_is_newer(pairs: list[tuple[str, str]]) -> None:
    assert _of_the_step(pairs, "rpm") == [rpm_order(a, b) for a, b in pairs]


@pytest.mark.parametrize(
    ("installed", "upgrade", "downgrade", "kind"),
    [
        ("", False, False, "install"),
        ("2.0-10000.2072", True, True, "none"),
        ("2.0-10000.2072.el7", True, True, "none"),
        ("2.0-7536", False, True, "refused"),
        ("2.0-7536", True, False, "upgrade"),
        ("2.5-0.254", True, False, "refused"),
        ("2.5-0.254", False, True, "downgrade"),
        ("unknown", False, True, "refused"),
        ("unknown", True, False, "upgrade"),
    ],
)
def test_nobodys_version_is_replaced_unasked(
    installed: str, kind: str, *, upgrade: bool, downgrade: bool
) -> None:
    package = load_catalog(text(entry()), "c").packages[0]
    package = attrs.evolve(package, upgrade=upgrade, downgrade=downgrade)
    change = change_of(package, installed, "deb")
    assert change.kind == kind
    assert bool(change.sentence) is (kind not in {"none", "install"})
    assert change_of(None, installed, "deb").kind == "none"
