"""The documents as a site: complete, current, and without anything from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from settings import FLAGS, help_text
from tools.docs import renewed

NAV = re.compile(r": ([\w/-]+\.md)$", re.MULTILINE)


def test_every_page_is_in_the_navigation_once(repository: Path) -> None:
    docs = repository / "docs"
    there = sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))
    assert sorted(NAV.findall((repository / "mkdocs.yml").read_text("utf-8"))) == there


def test_what_is_made_from_the_code_is_current(repository: Path) -> None:
    for name, text in renewed().items():
        assert (repository / "docs" / name).read_text("utf-8") == text, f"{name}: run `make docs`"


def test_every_flag_of_the_help_is_in_the_documents(repository: Path) -> None:
    page = (repository / "docs" / "flags.md").read_text("utf-8")
    told = help_text()
    for flag in FLAGS:
        assert f"  -{flag.name}" in told
        assert f"| `{flag.name}` |" in page


def test_the_site_loads_nothing_from_elsewhere(repository: Path) -> None:
    config = (repository / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in config
    assert "://" not in config


def test_every_document_of_the_readme_is_there(repository: Path) -> None:
    for name in re.findall(r"\]\((docs/[^)#]+)", (repository / "README.md").read_text("utf-8")):
        assert (repository / name).exists(), name
