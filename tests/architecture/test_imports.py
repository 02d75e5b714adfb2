"""Who may import whom. The contracts stand in pyproject.toml; import-linter judges the packages."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

LINT: Final = "from importlinter.cli import lint_imports_command as lint; lint()"
ROOMS: Final = frozenset(
    {
        "actors", "adapters", "cli", "commands", "domain", "flags", "install_steps", "protocol",
        "settings", "simulation", "supervisor", "tests", "tools", "web",
    }
)  # fmt: skip
TOP: Final = {
    "cli.py": {"commands"},
    "settings.py": {"flags"},
    "supervisor.py": {"actors", "domain", "protocol", "settings", "cli"},  # cli: only if run itself
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_contract_about_imports_is_kept(repository: Path) -> None:
    done = _lint(repository)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("domain/rollout.py", "import trio"),
        ("protocol/mesos/recordio.py", "import domain.agent"),
        ("actors/journal.py", "import adapters.store_sqlite"),
        ("install_steps/frames.py", "import httpx"),
        ("simulation/host.py", "import actors.board"),
        ("web/views.py", "import supervisor"),
        ("domain/plan.py", "import random"),
    ],
)
def test_a_wrong_import_breaks_a_contract(
    repository: Path, tmp_path: Path, module: str, line: str
) -> None:
    for room in sorted(ROOMS - {"cli", "settings", "supervisor", "tests", "tools"}):
        shutil.copytree(
            repository / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in (*TOP, "pyproject.toml"):
        shutil.copy(repository / name, tmp_path / name)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


@pytest.mark.parametrize("name", sorted(TOP))
def test_the_modules_at_the_top_import_only_the_rooms_below_them(
    repository: Path, name: str
) -> None:
    tree = ast.parse((repository / name).read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module)):
                imported.add(module.partition(".")[0])
            case _:
                pass
    assert imported & ROOMS <= TOP[name]


def test_no_product_code_knows_the_tests(repository: Path) -> None:
    guilty = [
        str(path.relative_to(repository))
        for room in sorted(ROOMS - {"tests", "tools", "cli", "settings", "supervisor"})
        for path in sorted((repository / room).rglob("*.py"))
        if any(
            isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tests"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]
    assert guilty == []
