"""One change at a time to a frozen value, for tables of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

T = TypeVar("T")


def changed(value: T, change: Mapping[str, object]) -> T:
    """`attrs.evolve`; a wrong name still fails, a wrong type is the table's own matter."""
    evolve: Callable[..., T] = attrs.evolve
    return evolve(value, **change)
