"""Offered resources in exact milli-units (Mesos `Value.Scalar`: fixed point, three decimals).

Both resource forms are read: `role` + `reservation` (before refinement), `reservations[]` after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

MILLI: Final = 1000


def milli(value: float) -> int:
    """A scalar as the master compares it: llround(value * 1000)."""
    return round(value * MILLI)


@attrs.frozen(kw_only=True)
class Resource:
    """One scalar entry of an offer that a task of ours could use.

    `role` "*" is unreserved. `echo` is the wire object without its quantity: what the master
    sent must come back unchanged (mesos.proto, Resource).
    """

    name: str
    amount_milli: int
    role: str
    echo: Mapping[str, object]


def usable(raw: Iterable[Mapping[str, object]], *, role: str) -> tuple[Resource, ...]:
    """The plain scalars of an offer that may be used under `role`, reserved ones first.

    Left out: revocable, shared, disks with a source or persistence, other roles' and labelled
    reservations (they belong to somebody), and whatever is no scalar.
    """
    found = [r for entry in raw if (r := _usable(entry, role)) is not None]
    return tuple(sorted(found, key=lambda r: r.role == "*"))


def _usable(entry: Mapping[str, object], role: str) -> Resource | None:
    scalar = entry.get("scalar")
    if entry.get("type") != "SCALAR" or not isinstance(scalar, Mapping):
        return None
    if any(entry.get(key) is not None for key in ("revocable", "shared", "disk")):
        return None
    reserved = _reserved_for(entry)
    if reserved not in ("*", role):
        return None
    value = scalar.get("value")
    name = entry.get("name")
    if not isinstance(value, int | float) or not isinstance(name, str) or milli(value) <= 0:
        return None
    echo = {k: v for k, v in entry.items() if k not in ("scalar", "allocation_info")}
    return Resource(name=name, amount_milli=milli(value), role=reserved, echo=echo)


def _reserved_for(entry: Mapping[str, object]) -> str | None:
    """The role that holds it; None for a reservation that is not plainly ours to use."""
    dynamic = entry.get("reservation")
    if isinstance(dynamic, Mapping) and dynamic.get("labels"):
        return None
    stack = entry.get("reservations")
    if isinstance(stack, list) and stack:
        last = stack[-1]
        if not isinstance(last, Mapping) or last.get("labels"):
            return None
        return str(last.get("role", ""))
    return str(entry.get("role", "*"))


def wire(resource: Resource, amount_milli: int) -> dict[str, object]:
    """That resource with another quantity, as a task names it."""
    return {**resource.echo, "scalar": {"value": amount_milli / MILLI}}
