"""`make lock`: pin every library, with the hash of every file and without an index's address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

COMPILE: Final = (
    sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe",
    "--strip-extras", "--no-config", "--no-emit-index-url", "--no-emit-find-links",
    "--no-emit-trusted-host", "--extra=cli", "--extra=sim", "--extra=zk",
)  # fmt: skip
RUN: Final = "requirements/run.txt"
TEST: Final = "requirements/test.txt"
FUZZ: Final = "requirements/fuzz.txt"
DOCS: Final = "requirements/docs.txt"
MUTANTS: Final = "requirements/mutants.txt"


def main(options: list[str]) -> int:
    """The product's versions first; the others' may not differ from them."""
    environment = {**os.environ, "CUSTOM_COMPILE_COMMAND": "make lock"}
    for argv in (
        [f"--output-file={RUN}", "pyproject.toml"],
        [f"--output-file={TEST}", f"--constraint={RUN}", "pyproject.toml", "requirements/test.in"],
        [f"--output-file={FUZZ}", f"--constraint={RUN}", "pyproject.toml", "requirements/fuzz.in"],
        [f"--output-file={DOCS}", f"--constraint={TEST}", "pyproject.toml", "requirements/docs.in"],
        [
            f"--output-file={MUTANTS}",
            f"--constraint={TEST}",
            "pyproject.toml",
            "requirements/test.in",
            "requirements/mutants.in",
        ],
    ):
        done = subprocess.run([*COMPILE, *options, *argv], env=environment, check=False)
        if done.returncode:
            return done.returncode
    counts = {"run": RUN, "test": TEST, "fuzz": FUZZ, "docs": DOCS, "mutants": MUTANTS}
    print("lock:", *(f"{name}={_count(path)}" for name, path in counts.items()))
    return 0


def _count(path: str) -> int:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return sum("==" in line and not line.lstrip().startswith("#") for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
