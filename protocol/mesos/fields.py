"""Reading decoded JSON by the rules of the wire: whatever does not fit is the master's fault.

The readers raise ValueError with the name of the field; `malformed` makes one line of it. Numbers
that come out are finite and within 64 bits: no `inf`, no `nan`, no truth value as a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from protocol.mesos.errors import RemoteMesosError

JsonObject = dict[str, Any]

INT64_MAX: Final = 2**63 - 1
PORT_DEFAULT: Final = 5051
SHOWN_MAX: Final = 160  # characters of foreign text in one of our sentences


@contextmanager
def malformed(what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise RemoteMesosError(f"a malformed {what}: {shown(str(error))}") from error


def shown(foreign: str, characters_max: int = SHOWN_MAX) -> str:
    """Foreign text in one line, cut to a length that a log can bear, and harmless on a screen."""
    told = " ".join(foreign[: 2 * characters_max].split())[:characters_max]
    return "".join(char if char.isprintable() else "?" for char in told)


def parse_object(body: bytes | str, what: str) -> JsonObject:
    """The JSON object in `body`. Raises RemoteMesosError when it holds none."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RemoteMesosError(f"{what} is no JSON: {body[:80]!r}") from error
    if not isinstance(raw, dict):
        raise RemoteMesosError(f"{what} is no JSON object: {body[:80]!r}")
    return raw


def inner(of: JsonObject, name: str) -> JsonObject:
    """The sub-object; empty where it is absent."""
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _unfit(name, "an object", value)
    return value


def required(of: JsonObject, name: str) -> JsonObject:
    if of.get(name) is None:
        raise ValueError(f"'{name}' is missing")
    return inner(of, name)


def objects(of: JsonObject, name: str) -> list[JsonObject]:
    """The listed objects; none where the list is absent."""
    value = of.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unfit(name, "a list", value)
    for entry in value:
        if not isinstance(entry, dict):
            raise _unfit(name, "objects", entry)
    return value


def text(of: JsonObject, name: str, default: str | None = None) -> str:
    value = of.get(name)
    if value is None:
        if default is None:
            raise ValueError(f"'{name}' is missing")
        return default
    if not isinstance(value, str):
        raise _unfit(name, "text", value)
    return value


def texts(of: JsonObject, name: str) -> tuple[str, ...]:
    value = of.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise _unfit(name, "a list of text", value)
    return tuple(value)


def identifier(of: JsonObject, name: str, default: str | None = None) -> str:
    """The `value` of an id object. One without default must be there and not be empty."""
    if default is not None:
        return text(inner(of, name), "value", default)
    found = text(required(of, name), "value")
    if not found:
        raise ValueError(f"'{name}' is empty")
    return found


def flag(of: JsonObject, name: str, *, default: bool) -> bool:
    value = of.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _unfit(name, "true or false", value)
    return value


def number(of: JsonObject, name: str, default: float) -> float:
    value = of.get(name)
    if value is None:
        return default
    found = finite(value)
    if found is None:
        raise _unfit(name, "a number", value)
    return found


def finite(value: object) -> float | None:
    """That number as a float; None for what is no number, or none that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def port(of: JsonObject, name: str) -> int:
    """A TCP port; the agents' default where it is absent or 0."""
    value = of.get(name)
    if value is None or value == 0:
        return PORT_DEFAULT
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise _unfit(name, "a port", value)
    return value


def seconds(of: JsonObject, name: str) -> float | None:
    """A TimeInfo or DurationInfo; None where it is absent."""
    if of.get(name) is None:
        return None
    value = inner(of, name).get("nanoseconds")
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > INT64_MAX:
        raise _unfit(f"{name}.nanoseconds", "a 64-bit number", value)
    return value / 1e9


def kinds(of: JsonObject, name: str) -> frozenset[str]:
    """The words of a list of `{"type": WORD}`; masters send `{}` for one the v1 enum lacks."""
    return frozenset(word for entry in objects(of, name) if (word := text(entry, "type", "")))


def _unfit(name: str, wanted: str, value: object) -> ValueError:
    return ValueError(f"'{name}' must be {wanted}, not {type(value).__name__}")
