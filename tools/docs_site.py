"""`make docs`: the site of docs/ in build/site. A warning is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"


def main() -> int:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--quiet"]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    told = (done.stdout + done.stderr).strip()
    warnings = sum("WARNING" in line for line in told.splitlines())
    if told:
        print(told)
    pages = len(list(SITE.rglob("*.html"))) if done.returncode == 0 else 0
    print(f"docs: pages={pages} warnings={warnings}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
