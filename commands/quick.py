"""What is told at once, without all that a scheduler needs: the release, and the flags."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Final

from settings import help_text

VERSION_WORDS: Final = frozenset({"-version", "--version"})
HELP_WORDS: Final = frozenset({"-h", "--h", "-help", "--help"})


def version() -> str:
    try:
        return metadata.version("scaleio-framework")
    except metadata.PackageNotFoundError:
        return "1.0.0"  # run from a checkout


def answer(arguments: Sequence[str]) -> str | None:
    """What answers these arguments alone; None where they ask for more."""
    match arguments:
        case [word] if word in VERSION_WORDS:
            return version()
        case [word] if word in HELP_WORDS:
            return help_text()
        case _:
            return None
