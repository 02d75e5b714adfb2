"""Samples of every stored record, as the code of today writes them, with every field filled.

python -m tests.record_samples      writes those of this version that there are not yet

A sample is never written anew: it is what some site has in its store.
"""

from __future__ import annotations

import enum
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from domain import records
from domain.records import Record

FOLDER: Final = Path(__file__).parent / "data" / "records"
KINDS: Final[tuple[type[Record], ...]] = typing.get_args(Record)


def filled(kind: type) -> Any:
    """One record with a value of its own in each field, none of them the default."""
    hints = typing.get_type_hints(kind)
    return kind(**{one.name: _value(hints[one.name], one.name) for one in attrs.fields(kind)})


def _value(hint: Any, name: str) -> Any:
    plain: dict[Any, Any] = {str: f"of-{name}", int: len(name), float: len(name) + 0.5, bool: True}
    if hint in plain:
        return plain[hint]
    inner = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(next(one for one in inner if one is not type(None)), name)
    if origin is tuple:
        return (_value(inner[0], name),)
    if origin is Mapping:
        return {_value(inner[0], name): _value(inner[1], name)}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)[-1]
    return filled(hint)


def sample_path(kind: type[Record], version: int = records.VERSION) -> Path:
    return FOLDER / f"v{version}-{kind.__name__}.json"


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        path = sample_path(kind)
        if not path.exists():
            text = json.dumps(json.loads(records.encode(filled(kind))), indent=1)
            path.write_text(text + "\n", encoding="utf-8")
            print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
