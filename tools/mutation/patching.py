"""Puts a mutant in the place of a function that is loaded already."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]


class PatchError(Exception):
    """There is no such function, or it is made anew in a way that can't be followed."""


def patch(path: str, function: str, code: str) -> None:
    """Its code is replaced; who holds the function runs the mutant from now on."""
    compiled = compile(code, str(ROOT / path), "exec", dont_inherit=True)
    wanted = [one for one in _codes(compiled) if one.co_qualname == function]
    live = list(_live(path, function))
    if not wanted or not live:
        raise PatchError(f"{path}: {function}")
    for one in live:
        twins = [w for w in wanted if w.co_firstlineno == one.__code__.co_firstlineno] or wanted
        if twins[0].co_freevars != one.__code__.co_freevars:
            raise PatchError(f"{path}: {function} holds other names")
        one.__code__ = twins[0]
    forget(path)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _live(path: str, function: str) -> Iterator[FunctionType]:
    name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    module = sys.modules.get(name) or importlib.import_module(name)
    holder: Any = module
    *owners, last = function.split(".")
    for owner in owners:
        holder = vars(holder).get(owner)
        if holder is None:
            return
    yield from _functions(vars(holder).get(last))


def _functions(found: Any) -> Iterator[FunctionType]:
    """The function inside properties, class methods, caches and other wrappers."""
    if isinstance(found, property):
        for part in (found.fget, found.fset, found.fdel):
            yield from _functions(part)
        return
    for inner in ("__wrapped__", "__func__", "func"):
        if not isinstance(found, FunctionType) and hasattr(found, inner):
            found = getattr(found, inner)
    while isinstance(found, FunctionType) and hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    if isinstance(found, FunctionType):
        yield found


def forget(path: str) -> None:
    """What was cached before the change is not the mutant's."""
    del path
    rooms = tuple(f"{room}." for room in ("domain", "protocol", "install_steps"))
    for name, module in list(sys.modules.items()):
        if name.startswith(rooms):
            for value in list(vars(module).values()):
                clear = getattr(value, "cache_clear", None)
                if callable(clear):
                    clear()
