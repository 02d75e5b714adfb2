"""What the documents say about flags and phases is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domain.agent import NEXT, Phase
from settings import FLAGS
from tools import docs


@pytest.mark.parametrize("name", sorted(docs.renewed()))
def test_what_is_made_from_the_code_is_current(name: str) -> None:
    assert (docs.DOCS / name).read_text(encoding="utf-8") == docs.renewed()[name], "make docs"


def test_every_change_of_phase_is_in_the_picture_or_the_table_below_it() -> None:
    picture, _, table = docs.phases().partition("```\n\n")
    drawn = len(re.findall(r"^    \w+ --> \w+: ", picture, re.MULTILINE))
    listed = sum(len(line.split("|")[3].split(",")) for line in table.splitlines()[2:] if line)
    changes = sum(after is not phase for phase, row in NEXT.items() for after in row.values())
    assert drawn + listed == changes


def test_every_phase_is_explained(repository: Path) -> None:
    text = (repository / "docs/operations.md").read_text(encoding="utf-8")
    assert [phase.value for phase in Phase if f"| `{phase.value}` |" not in text] == []


DOCUMENTS = (
    "README.md",
    "docs/hosts.md",
    "docs/operations.md",
    "docs/architecture.md",
    "docs/rest.md",
    "docs/notifications.md",
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_flags_and_files_that_exist(repository: Path, name: str) -> None:
    text = (repository / name).read_text(encoding="utf-8")
    known = {flag.name for flag in FLAGS} | {"help", "c", "f"}
    named = set(re.findall(r"`-{1,2}([a-z][\w.-]*\w)(?:[=| ][^`]*)?`", text))
    commands = {"agents", "seed", "faults", "report", "plant", "listen", "keep", "serve", "port"}
    commands |= {"all", "no-wait", "plan", "output", "survey", "attribute", "host", "flags", "url"}
    commands |= {"call-off", "framework", "gone", "teardown"}
    assert named - known - commands == set()
    links = set(re.findall(r"\]\((?!https?:)([^)#]+)", text))
    base = (repository / name).parent
    assert [link for link in sorted(links) if not (base / link).exists()] == []
