"""Offered resources in exact milli-units (Mesos `Value.Scalar`: fixed point, three decimals).

Both resource forms are read: `role` + `reservation` (before refinement), `reservations[]` after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from protocol.mesos.errors import LocalMesosError
from protocol.mesos.fields import INT64_MAX, finite

MILLI: Final = 1000
UNRESERVED: Final = "*"
ECHO_DEPTH_MAX: Final = 16  # of a Resource; reservations with labels nest 5 deep


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


def usable(raw: Iterable[object], *, role: str) -> tuple[Resource, ...]:
    """The plain scalars of an offer that may be used under `role`, reserved ones first.

    Left out: revocable, shared, disks with a source or persistence, other roles' and labelled
    reservations (they belong to somebody), and whatever is no scalar.
    """
    found = [r for entry in raw if (r := _usable(entry, role)) is not None]
    return tuple(sorted(found, key=lambda r: r.role == UNRESERVED))


def _usable(entry: object, role: str) -> Resource | None:
    plain = _plain(entry)
    if plain is None or not isinstance(entry, Mapping) or _labelled(entry):
        return None
    name, amount_milli = plain
    held_for = holder(entry)
    if held_for not in (UNRESERVED, role):
        return None
    echo = {k: v for k, v in entry.items() if k not in ("scalar", "allocation_info")}
    if not _can_go_back(echo, ECHO_DEPTH_MAX):
        return None
    return Resource(name=name, amount_milli=amount_milli, role=held_for, echo=echo)


def _plain(entry: object) -> tuple[str, int] | None:
    """Name and quantity of a scalar that is nothing special; None for everything else."""
    if not isinstance(entry, Mapping) or entry.get("type") != "SCALAR":
        return None
    if any(entry.get(key) is not None for key in ("revocable", "shared", "disk")):
        return None
    scalar, name = entry.get("scalar"), entry.get("name")
    value = finite(scalar.get("value")) if isinstance(scalar, Mapping) else None
    if value is None or not isinstance(name, str) or not 0 < value <= INT64_MAX / MILLI:
        return None
    amount_milli = milli(value)
    return (name, amount_milli) if amount_milli > 0 else None


def holder(entry: Mapping[str, object]) -> str:
    """The role it is reserved for, the most specific one; "*" if for none."""
    stack = entry.get("reservations")
    if isinstance(stack, list) and stack:
        last = stack[-1]
        return str(last.get("role", "")) if isinstance(last, Mapping) else ""
    role = entry.get("role", UNRESERVED)
    return role if isinstance(role, str) else ""


def _labelled(entry: Mapping[str, object]) -> bool:
    """True for a reservation that bears labels: it is somebody's, even under our role."""
    stack = entry.get("reservations")
    last = stack[-1] if isinstance(stack, list) and stack else None
    return any(isinstance(r, Mapping) and r.get("labels") for r in (entry.get("reservation"), last))


def _can_go_back(value: object, depth: int) -> bool:
    """True if that can be sent again: no depth and no number that only a stranger would send."""
    match value:
        case str() | bool() | None:
            return True
        case int() | float():
            return finite(value) is not None
        case dict():
            return depth > 0 and all(_can_go_back(v, depth - 1) for v in value.values())
        case list():
            return depth > 0 and all(_can_go_back(v, depth - 1) for v in value)
        case _:
            return False


def sums(raw: Iterable[object]) -> dict[str, int]:
    """Thousandths of all plain scalars by name, reserved or not."""
    found: dict[str, int] = {}
    for entry in raw:
        if (plain := _plain(entry)) is not None:
            found[plain[0]] = found.get(plain[0], 0) + plain[1]
    return found


def reserved_sums(raw: Iterable[object]) -> dict[str, dict[str, int]]:
    """Thousandths of the reserved plain scalars by role and name."""
    found: dict[str, dict[str, int]] = {}
    for entry in raw:
        plain = _plain(entry)
        if plain is None or not isinstance(entry, Mapping) or holder(entry) == UNRESERVED:
            continue
        of_role = found.setdefault(holder(entry), {})
        of_role[plain[0]] = of_role.get(plain[0], 0) + plain[1]
    return found


def wire(resource: Resource, amount_milli: int) -> dict[str, object]:
    """That resource with another quantity, as a task names it."""
    return {**resource.echo, "scalar": {"value": amount_milli / MILLI}}


def reserved(resource: Resource, role: str, principal: str, *, refinement: bool) -> Resource:
    """An unreserved resource as it looks once it is reserved for `role`, in its own form.

    `refinement`: the master knows `reservations`; where they are used, `role` is not set.
    """
    if resource.role != UNRESERVED:
        raise LocalMesosError(f"{resource.name} is reserved for {resource.role} already")
    by = {"principal": principal} if principal else {}
    if "reservations" in resource.echo or (refinement and "role" not in resource.echo):
        echo = {**resource.echo, "reservations": [{"type": "DYNAMIC", "role": role, **by}]}
    else:
        echo = {**resource.echo, "role": role, "reservation": by}
    return attrs.evolve(resource, role=role, echo=echo)


def unreserved(resource: Resource, role: str) -> Resource:
    """That resource itself, as UNRESERVE names it, if it is a dynamic reservation of `role`."""
    stack = resource.echo.get("reservations")
    if isinstance(stack, list):
        last = stack[-1] if stack else None
        dynamic = isinstance(last, Mapping) and last.get("type") == "DYNAMIC"
    else:
        dynamic = resource.echo.get("reservation") is not None
    if not dynamic or resource.role != role:
        raise LocalMesosError(f"{resource.name} is no dynamic reservation for {role}")
    return resource
