"""A mutant takes the place of a loaded function, wherever that one is held."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tools.mutation.patching import PatchError, patch

CODE = """
from functools import cache

@cache
def kept(number):
    return number + 1

class Shelf:
    @property
    def size(self):
        return 1

    @classmethod
    def named(cls):
        return "a"

    def inside(self):
        return [one + 1 for one in (1, 2)]

def around(more):
    def inner():
        return more + 1
    return inner

held = around
"""


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code, loaded as if it were a module of the product."""
    module = ModuleType("domain.shelves_of_a_test")
    exec(compile(CODE, str(Path("domain/shelves_of_a_test.py")), "exec"), module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


PATH = "domain/shelves_of_a_test.py"


def change(function: str, before: str, after: str) -> None:
    assert before in CODE
    patch(PATH, function, CODE.replace(before, after, 1))


def test_what_a_cache_kept_is_forgotten(shelves: ModuleType) -> None:
    assert shelves.kept(1) == 2
    change("kept", "number + 1", "number - 1")
    assert shelves.kept(1) == 0


def test_properties_and_class_methods_are_reached(shelves: ModuleType) -> None:
    change("Shelf.size", "return 1", "return 2")
    assert shelves.Shelf().size == 2
    change("Shelf.named", '"a"', '"b"')
    assert shelves.Shelf.named() == "b"


def test_what_is_nested_changes_with_its_function(shelves: ModuleType) -> None:
    change("Shelf.inside", "one + 1", "one - 1")
    assert shelves.Shelf().inside() == [0, 1]
    change("around", "more + 1", "more - 1")
    assert shelves.held(1)() == 0, "whoever holds the function has the mutant"


def test_a_function_that_is_not_there_is_said(shelves: ModuleType) -> None:
    with pytest.raises(PatchError, match="nowhere"):
        patch(PATH, "nowhere", CODE)
