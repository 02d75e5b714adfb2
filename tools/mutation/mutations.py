"""Mutants of one file, as mutmut makes them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

import attrs
import libcst
from mutmut.mutation.file_mutation import create_mutations, deep_replace

LINES_SHOWN: Final = 6


@attrs.frozen(kw_only=True)
class Mutant:
    """`function`: qualified name of the outermost function or method that is changed."""

    path: str
    function: str
    number: int  # of its file
    difference: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        return {"path": self.path, "function": self.function, "number": self.number}


def mutants_of(path: str, code: str) -> list[Mutant]:
    """In the order of the file; those that read like the original are none."""
    module, mutations, _, _ = create_mutations(path, code)
    names = _names(module)
    found = []
    for number, mutation in enumerate(mutations):
        function = mutation.contained_by_top_level_function
        before, after = _text(module, mutation.original_node), _text(module, mutation.mutated_node)
        if not isinstance(function, libcst.FunctionDef) or before == after:
            continue
        found.append(
            Mutant(
                path=path,
                function=names.get(id(function), function.name.value),
                number=number,
                difference=tuple(_difference(before, after)),
            )
        )
    return found


def mutated(path: str, code: str, number: int) -> str:
    """The whole file with that one change."""
    module, mutations, _, _ = create_mutations(path, code)
    mutation = mutations[number]
    changed = deep_replace(module, mutation.original_node, mutation.mutated_node)
    if not isinstance(changed, libcst.Module):
        raise TypeError(f"{path} is no module any more")
    return changed.code


def _names(module: libcst.Module) -> dict[int, str]:
    """Functions of the module and methods of its classes, by identity."""
    found: dict[int, str] = {}
    for node in module.body:
        if isinstance(node, libcst.FunctionDef):
            found[id(node)] = node.name.value
        if isinstance(node, libcst.ClassDef):
            for inner in node.body.body:
                if isinstance(inner, libcst.FunctionDef):
                    found[id(inner)] = f"{node.name.value}.{inner.name.value}"
    return found


def _text(module: libcst.Module, node: libcst.CSTNode) -> str:
    return module.code_for_node(node)


def _difference(before: str, after: str) -> Iterable[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[:3] not in ("---", "+++") and line[:2] != "@@"][
        :LINES_SHOWN
    ]
