"""Reading JSON as Mesos' protobuf conversion does: what does not fit is a 400 with its words."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

import msgspec

JsonObject = dict[str, Any]

_KINDS: Final = (
    (bool, "boolean"),
    (str, "string"),
    ((int, float), "number"),
    (list, "array"),
    (dict, "object"),
)


class CallError(Exception):
    """The call is answered 400 with this text."""


def unconvertible(why: str) -> CallError:
    return CallError(f"Failed to convert JSON into Call protobuf: {why}")


def read_object(body: bytes) -> JsonObject:
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise CallError(f"Failed to parse body into JSON: {_where(body)}") from None
    if not isinstance(value, dict):
        raise unconvertible("Expecting a JSON object")
    return value


def _where(body: bytes) -> str:
    """Which line is wrong, and its rest from there."""
    text = body.decode("utf-8", errors="replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].partition("\n")[0]
        near = "".join(char for char in rest if char >= " ")
        return f"syntax error at line {error.lineno} near: {near}"
    return f"Parsed JSON included non-whitespace trailing characters: {text[end:]}"


def _unfit(value: object, name: str) -> CallError:
    kind = next(word for types, word in _KINDS if isinstance(value, types))
    return unconvertible(f"Not expecting a JSON {kind} for field '{name}'")


def text(of: JsonObject, name: str) -> str:
    value = of.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _unfit(value, name)
    return value


def number(of: JsonObject, name: str, default: float) -> float:
    value = of.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(value, name)
    return float(value)


def flag(of: JsonObject, name: str) -> bool:
    value = of.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _unfit(value, name)
    return value


def inner(of: JsonObject, name: str) -> JsonObject:
    """The sub-object; empty when it is not there."""
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _unfit(value, name)
    return value


def items(of: JsonObject, name: str) -> list[Any]:
    value = of.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unfit(value, name)
    return value


def objects(of: JsonObject, name: str) -> list[JsonObject]:
    for item in (found := items(of, name)):
        if not isinstance(item, dict):
            raise _unfit(item, name)
    return found


def words(of: JsonObject, name: str) -> tuple[str, ...]:
    """A bare string counts as a list of one."""
    if isinstance(of.get(name), str):
        return (of[name],)
    for item in (found := items(of, name)):
        if not isinstance(item, str):
            raise _unfit(item, name)
    return tuple(found)


def identifier(of: JsonObject, name: str) -> str:
    return text(inner(of, name), "value")


def seconds(of: JsonObject, name: str) -> float | None:
    """A DurationInfo."""
    if of.get(name) is None:
        return None
    return number(inner(of, name), "nanoseconds", 0.0) / 1e9


def raw_bytes(of: JsonObject, name: str) -> bytes:
    """Bytes travel as base64."""
    word = "".join(text(of, name).split())
    try:
        return base64.b64decode(word, validate=True)
    except binascii.Error:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
        odd = next((char for char in word if char not in alphabet), "=")
        raise unconvertible(
            f"Failed to base64 decode bytes field '{name}': Invalid character '{odd}'"
        ) from None
