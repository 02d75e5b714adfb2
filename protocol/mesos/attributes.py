"""Attributes of agents as text, however a master writes them (v1 mesos.proto `Attribute`)."""

from __future__ import annotations

from protocol.mesos import fields
from protocol.mesos.fields import JsonObject


def attributes_of(raw: object) -> dict[str, str]:
    """Agent attributes as text: the first of equal names wins; a number has no needless `.0`.

    RANGES become `1-5,9-9`. Mesos turns numeric-looking text into SCALAR, so both are read.
    What is no attribute is left out.
    """
    found: dict[str, str] = {}
    for entry in raw if isinstance(raw, list) else ():
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name.strip() in found:
            continue
        value = _attribute(entry)
        if value is not None:
            found[name.strip()] = value
    return found


def _attribute(entry: JsonObject) -> str | None:
    try:
        match entry.get("type"):
            case "TEXT":
                return fields.text(fields.required(entry, "text"), "value")
            case "SCALAR":
                value = fields.required(entry, "scalar").get("value")
                number = fields.finite(value)
                return None if number is None else _number(number)
            case "RANGES":
                listed = fields.objects(fields.required(entry, "ranges"), "range")
                return ",".join(f"{_end(pair, 'begin')}-{_end(pair, 'end')}" for pair in listed)
            case _:
                return None
    except ValueError:
        return None


def _end(pair: JsonObject, name: str) -> int:
    value = pair.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"'{name}' must be a whole number")  # noqa: TRY004 - malformed, not misused
    return value


def _number(value: float) -> str:
    """A whole number in all its digits: it may be a name that only looks like one."""
    return str(int(value)) if value.is_integer() else f"{value:.15g}"
