"""Where a store is: reading `-store.uri`, /etc/mesos/zk and the master's `zk` flag. No I/O."""

from __future__ import annotations

from typing import Final

from flags.ensemble import Ensemble, EnsembleError, looks_like_ensemble, read_ensemble

__all__ = [
    "EXPECTED",
    "Ensemble",
    "StoreChoiceError",
    "StoreTypeError",
    "StoreUriError",
    "looks_like_ensemble",
    "looks_like_path",
    "parse_ensemble",
]

EXPECTED: Final = "expected zk://HOST:PORT,HOST:PORT/PATH, or HOST:PORT,HOST:PORT, or a file's path"


class StoreChoiceError(ValueError):
    """The settings name no store that we can use; one line for the operator."""


class StoreUriError(StoreChoiceError):
    """An address that cannot be read: says what, where it was found, and what was expected."""


class StoreTypeError(StoreChoiceError):
    """A kind of store that is not built."""


def parse_ensemble(text: str, *, source: str) -> Ensemble:
    """`source` tells people where the text was found. Raises StoreUriError."""
    try:
        return read_ensemble(text)
    except EnsembleError as error:
        raise StoreUriError(f"{source}: {error}") from None


def looks_like_path(text: str) -> bool:
    """A path with a folder in it, or a name that ends as database files do."""
    return text.startswith(("/", "./", "../", "~/")) or text.endswith((".db", ".sqlite"))
