"""What is said to operators and peers is what was read and agreed.

After a wanted change: `python -m tests.unit.sentence_book`, and read the difference.
"""

from __future__ import annotations

import pytest

from tests.unit.sentence_book import BOOK, FOLDER


@pytest.mark.parametrize("name", BOOK)
def test_it_is_said_as_it_was(name: str) -> None:
    assert "\n".join(BOOK[name]()) + "\n" == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_no_page_is_forgotten() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(BOOK)
