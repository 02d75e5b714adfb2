"""What the product says and does in each course of an agent's life is what was read and agreed.

After a wanted change: `python -m tests.unit.story_book`, and read the difference.
"""

from __future__ import annotations

import pytest

from tests.unit.story_book import BOOK, FOLDER


@pytest.mark.parametrize("name", BOOK)
def test_it_goes_as_it_is_told(name: str) -> None:
    told = "\n".join(BOOK[name]().lines) + "\n"
    assert told == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_no_story_is_forgotten() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(BOOK)
