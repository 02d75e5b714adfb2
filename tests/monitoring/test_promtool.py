"""Prometheus' own tool finds nothing wrong with what we give it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.test_web import full_board, get

pytestmark = pytest.mark.promtool


def promtool(folder: Path, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, input=text, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_rules_are_rules_and_say_what_they_should(repository: Path) -> None:
    folder = repository / "docs" / "monitoring"
    assert "15 rules found" in promtool(folder, "check", "rules", "alerts.yml")
    promtool(folder, "test", "rules", "alerts_test.yml")


async def test_a_scrape_is_as_the_conventions_want_it(repository: Path) -> None:
    scrape = (await get(full_board(), "/metrics")).text
    assert promtool(repository, "check", "metrics", text=scrape) == ""
