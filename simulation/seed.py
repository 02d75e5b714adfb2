"""Determinism: the only module that touches Trio's private switch for it.

Trio shuffles each batch of runnable tasks with a generator of its own; with the switch on, and
that generator seeded, the same program takes the same turns (Hypothesis does the same).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trio._core import _run as _module

_run: Any = _module  # the switch is declared final: it is private, and set from outside


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Inside, one `trio.run` after the other takes turns that depend on `seed` only."""
    allowed: bool = _run._ALLOW_DETERMINISTIC_SCHEDULING  # noqa: SLF001
    generator: random.Random = _run._r  # noqa: SLF001
    state = generator.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # noqa: SLF001
    generator.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # noqa: SLF001
        generator.setstate(state)
