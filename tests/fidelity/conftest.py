"""The last line of a run: how many scripts were compared, and how many agree."""

from __future__ import annotations

import pytest

from tests.fidelity.playing import Verdict, summary

HEARD = pytest.StashKey[list[Verdict]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[HEARD] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    verdicts = terminalreporter.config.stash.get(HEARD, [])
    if verdicts:
        terminalreporter.write_line(summary(verdicts))
