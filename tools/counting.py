"""A pytest plugin that writes how many tests passed and failed, for `tools.run_tests`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import pytest

VARIABLE: Final = "SCALEIO_TEST_COUNTS"  # the file that the counts are written to
GOOD: Final = ("passed",)
BAD: Final = ("failed", "error", "skipped", "xpassed")  # a test that is not run has failed


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {
        "passed": sum(len(terminalreporter.stats.get(kind, [])) for kind in GOOD),
        "failed": sum(len(terminalreporter.stats.get(kind, [])) for kind in BAD),
    }
    Path(os.environ[VARIABLE]).write_text(json.dumps(counts), encoding="utf-8")
