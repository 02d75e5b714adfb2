"""The shortest script that still fails, by delta debugging (Zeller's ddmin)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Line = TypeVar("Line")


def shortest(
    lines: Sequence[Line],
    fails: Callable[[Sequence[Line]], bool],
    *,
    enough: Callable[[], bool] = lambda: False,
) -> list[Line]:
    """Fewer and fewer of `lines`, in their order, as long as they fail.

    Ends where no single line can be left out, or when `enough` says so: with the shortest so far.
    """
    if not enough() and fails(()):
        return []
    left, parts = list(lines), 2
    while len(left) > 1 and not enough():
        found = _without_a_part(left, parts, fails, enough)
        if found is not None:
            left, parts = found, max(parts - 1, 2)
        elif parts >= len(left):
            break
        else:
            parts = min(2 * parts, len(left))
    return left


def _without_a_part(
    lines: list[Line],
    parts: int,
    fails: Callable[[Sequence[Line]], bool],
    enough: Callable[[], bool],
) -> list[Line] | None:
    size = -(-len(lines) // parts)
    for start in range(0, len(lines), size):
        rest = lines[:start] + lines[start + size :]
        if enough():
            return None
        if fails(rest):
            return rest
    return None
