"""Which release this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    try:
        return metadata.version("scaleio-framework")
    except metadata.PackageNotFoundError:
        return "1.0.0"  # run from a checkout
