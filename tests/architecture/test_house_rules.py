"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PRODUCT: Final = (
    "actors", "adapters", "commands", "domain", "flags", "install_steps", "protocol", "simulation",
    "tools", "web",
)  # fmt: skip
LEFT_OUT: Final = frozenset({".git", ".venv", "build", "dist", ".hypothesis", "__pycache__"})
CACHES: Final = frozenset({".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache"})

FILE_LINES_MAX: Final = 420
LONG_FILES: Final = {"settings.py": "one table: a row for each flag, told in one place"}
FUNCTION_LINES_MAX: Final = 50
LONG_FUNCTIONS: Final = {
    "supervisor.py:_compose": "one call for each actor, an argument a line: who speaks to whom"
}
SHIELDS: Final = {"commands/rehearsal.py": "store and clients of the simulation close inline"}
CATCHES_ALL: Final = {"actors/supervision.py": "this is where a crash of an actor ends"}

PLACES: Final = (  # where a developer's machine, or its package index, would show
    rf"{re.escape(str(Path.home()))}/",
    r"/home/(?!someone)",
    r"/opt/(?!emc/)[a-z]",
    r"\.pyenv",
    r"--(?:extra-)?index-url|--find-links",
    r"pypi\.|pythonhosted|npmjs|registry\.[a-z]+\.[a-z]",
    r"(?:deb|archive|security)\.[a-z]+\.(?:org|com)",
)


def _modules(root: Path, folders: tuple[str, ...] = PRODUCT) -> Iterator[tuple[str, Path]]:
    paths = [*root.glob("*.py"), *(p for folder in folders for p in (root / folder).rglob("*.py"))]
    for path in sorted(paths):
        yield str(path.relative_to(root)), path


def _trees(root: Path, folders: tuple[str, ...] = PRODUCT) -> Iterator[tuple[str, ast.Module, str]]:
    for name, path in _modules(root, folders):
        text = path.read_text(encoding="utf-8")
        yield name, ast.parse(text), text


def _code_lines(text: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, without docstring, blank lines and comments."""
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    first = node.body[1 if documented else 0].lineno
    lines = [line.strip() for line in text.splitlines()[first - 1 : node.end_lineno]]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_a_file_can_be_read_at_a_sitting(repository: Path) -> None:
    long = {
        name: count
        for name, path in _modules(repository)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
    }
    assert long.keys() - LONG_FILES.keys() == set(), long


def test_a_function_fits_on_a_screen(repository: Path) -> None:
    long = {
        f"{name}:{node.name}": count
        for name, tree, text in _trees(repository)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := _code_lines(text, node)) > FUNCTION_LINES_MAX
    }
    assert long.keys() - LONG_FUNCTIONS.keys() == set(), long


def test_no_channel_is_unbounded(repository: Path) -> None:
    """An unbounded queue hides overload until memory is gone."""
    guilty = []
    for name, tree, _ in _trees(repository, (*PRODUCT, "tests")):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and "open_memory_channel" in ast.unparse(node.func):
                sizes = [ast.unparse(a) for a in [*node.args, *(k.value for k in node.keywords)]]
                if not sizes or any("inf" in size.lower() for size in sizes):
                    guilty.append(f"{name}:{node.lineno}")
    assert guilty == []


def test_only_supervision_catches_what_it_does_not_know(repository: Path) -> None:
    guilty = [
        f"{name}:{node.lineno}"
        for name, tree, _ in _trees(repository, (*PRODUCT, "tests"))
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) == "Exception")
        and name not in CATCHES_ALL
    ]
    assert guilty == []


def test_what_catches_everything_raises_it_again_or_ends_the_process(repository: Path) -> None:
    """`except BaseException` is for cleaning up; the command line alone turns it into a status."""
    guilty = [
        f"{name}:{node.lineno}"
        for name, tree, _ in _trees(repository)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and ast.unparse(node.type) == "BaseException"
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        and name != "commands/scheduler.py"
    ]
    assert guilty == []


def test_no_shield_without_a_deadline(repository: Path) -> None:
    """`CancelScope(shield=True)` can make the process unstoppable."""
    guilty = [
        f"{name}:{node.lineno}"
        for name, tree, _ in _trees(repository)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("CancelScope")
        and any(keyword.arg == "shield" for keyword in node.keywords)
        and not any(keyword.arg in {"deadline", "relative_deadline"} for keyword in node.keywords)
        and name not in SHIELDS
    ]
    assert guilty == []


BLANKET: Final = re.compile(r"#\s*(?:type:\s*ignore(?!\[)|noqa(?!:\s*[A-Z]+[0-9]))")


def test_what_is_excused_from_a_check_says_from_which(repository: Path) -> None:
    guilty = [
        f"{name}:{number}"
        for name, path in _modules(repository, (*PRODUCT, "tests"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BLANKET.search(line)
    ]
    assert guilty == []


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - LEFT_OUT - CACHES)
        for file in sorted(files):
            path = Path(folder) / file
            try:
                yield str(path.relative_to(root)), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


@pytest.mark.parametrize("place", PLACES)
def test_no_file_knows_the_machine_it_was_written_on(repository: Path, place: str) -> None:
    guilty = [
        f"{name}: {line.strip()[:80]}"
        for name, text in _texts(repository)
        if name != str(Path(__file__).relative_to(repository))
        for line in text.splitlines()
        if re.search(place, line)
    ]
    assert guilty == []
