"""One pytest run as a process of its own, and what it counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools import counting

ROOT: Final = Path(__file__).resolve().parent.parent


def run_pytest(*selection: str, quiet: bool = False) -> tuple[int, int]:
    """How many passed and failed. A run that ends badly has one failure at least."""
    with tempfile.TemporaryDirectory(prefix="counts-") as folder:
        counts = Path(folder) / "counts.json"
        environment = {**os.environ, counting.VARIABLE: str(counts)}
        environment.pop("REQUIRE", None)  # missing tiers are judged here
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tools.counting", *selection],
            cwd=ROOT,
            env=environment,
            check=False,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
        )
        if quiet:
            sys.stdout.write(done.stdout.decode(errors="replace"))
        found = json.loads(counts.read_text(encoding="utf-8")) if counts.exists() else {}
    passed, failed = found.get("passed", 0), found.get("failed", 0)
    return passed, max(failed, 1) if done.returncode else failed
