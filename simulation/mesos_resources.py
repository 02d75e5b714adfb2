"""Amounts of resources, exact: scalars in thousandths, ports as ranges with both ends inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

Range = tuple[int, int]


@attrs.frozen
class Reserved:
    """A dynamic reservation, made with RESERVE. Static ones are told by the name of their role."""

    role: str
    principal: str = ""


Owner = str | Reserved
Key = tuple[Owner, str]  # (role it is reserved for, or "*"; name)

UNRESERVED: Final = "*"
CPUS_MIN_MILLI: Final = 10  # the allocator's --min_allocatable_resources: cpus:0.01 or mem:32
MEM_MIN_MILLI: Final = 32_000


def role_of(owner: Owner) -> str:
    return owner.role if isinstance(owner, Reserved) else owner


def _static(owner: Owner) -> str:
    return UNRESERVED if isinstance(owner, Reserved) else owner


def merged(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    """The same numbers, sorted, with touching ranges put together."""
    out: list[Range] = []
    for begin, end in sorted(ranges):
        if out and begin <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((begin, end))
    return tuple(out)


def without(ranges: tuple[Range, ...], taken: tuple[Range, ...]) -> tuple[Range, ...]:
    out = list(ranges)
    for low, high in taken:
        rest: list[Range] = []
        for begin, end in out:
            if begin < low:
                rest.append((begin, min(end, low - 1)))
            if end > high:
                rest.append((max(begin, high + 1), end))
        out = rest
    return tuple(out)


@attrs.frozen
class Bundle:
    """What an agent has, an offer holds or a task takes. Nothing in it is zero or empty."""

    scalars: Mapping[Key, int] = attrs.field(factory=dict)
    ranges: Mapping[Key, tuple[Range, ...]] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls,
        *,
        cpus: float = 0.0,
        mem: float = 0.0,
        disk: float = 0.0,
        gpus: float = 0.0,
        ports: tuple[Range, ...] = (),
        role: str = UNRESERVED,
    ) -> Bundle:
        """The usual kinds; mem and disk in MiB; all reserved for `role`, if one is given."""
        named = {"cpus": cpus, "mem": mem, "disk": disk, "gpus": gpus}
        scalars: dict[Key, int] = {
            (role, name): round(amount * 1000) for name, amount in named.items() if amount
        }
        return cls(scalars, {(role, "ports"): merged(ports)} if ports else {})

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges)

    def __add__(self, other: Bundle) -> Bundle:
        scalars = dict(self.scalars)
        for key, milli in other.scalars.items():
            scalars[key] = scalars.get(key, 0) + milli
        ranges = dict(self.ranges)
        for key, more in other.ranges.items():
            ranges[key] = merged(ranges.get(key, ()) + more)
        return Bundle(scalars, ranges)

    def __sub__(self, other: Bundle) -> Bundle:
        """What is left; `other` must be contained."""
        scalars = dict(self.scalars)
        for key, milli in other.scalars.items():
            scalars[key] = scalars.get(key, 0) - milli
            if not scalars[key]:
                del scalars[key]
        ranges = dict(self.ranges)
        for key, taken in other.ranges.items():
            ranges[key] = without(ranges.get(key, ()), taken)
            if not ranges[key]:
                del ranges[key]
        return Bundle(scalars, ranges)

    def contains(self, other: Bundle) -> bool:
        return all(
            self.scalars.get(key, 0) >= milli for key, milli in other.scalars.items()
        ) and all(
            not without(wanted, self.ranges.get(key, ())) for key, wanted in other.ranges.items()
        )

    def beyond(self, other: Bundle) -> Bundle:
        """What is here and not in `other`."""
        return Bundle(
            {
                key: milli - other.scalars.get(key, 0)
                for key, milli in self.scalars.items()
                if milli > other.scalars.get(key, 0)
            },
            {
                key: rest
                for key, some in self.ranges.items()
                if (rest := without(some, other.ranges.get(key, ())))
            },
        )

    def usable_by(self, role: str) -> Bundle:
        """The part that a framework may be offered in that role."""
        mine = {UNRESERVED, role}
        if all(role_of(key[0]) in mine for key in (*self.scalars, *self.ranges)):
            return self
        return Bundle(
            {key: milli for key, milli in self.scalars.items() if role_of(key[0]) in mine},
            {key: some for key, some in self.ranges.items() if role_of(key[0]) in mine},
        )

    def without_dynamic(self) -> Bundle:
        """The same amounts, with all dynamic reservations undone."""
        plain = Bundle()
        for (owner, name), milli in self.scalars.items():
            plain += Bundle({(_static(owner), name): milli})
        for (owner, name), some in self.ranges.items():
            plain += Bundle({}, {(_static(owner), name): some})
        return plain

    def milli(self, name: str) -> int:
        """The amount of that name over all roles."""
        return sum(milli for key, milli in self.scalars.items() if key[1] == name)

    def worth_offering(self) -> bool:
        return self.milli("cpus") >= CPUS_MIN_MILLI or self.milli("mem") >= MEM_MIN_MILLI

    def text(self, role: str) -> str:
        """As the master prints resources that are allocated to `role`, in its order."""
        pieces = [Piece(key, ranges=some) for key, some in self.ranges.items()]
        pieces += [Piece(key, milli=milli) for key, milli in self.scalars.items()]
        return "; ".join(piece.text(role) for piece in sorted(pieces, key=_place))


@attrs.frozen
class Piece:
    """One resource as a task names it; `role` is what it says it is allocated to."""

    key: Key
    milli: int = 0
    ranges: tuple[Range, ...] = ()
    role: str = ""

    def text(self, role: str) -> str:
        owner, name = self.key
        marks = f"(allocated: {self.role or role}){_reservation(owner)}"
        if self.ranges:
            return f"{name}{marks}:[{', '.join(f'{low}-{high}' for low, high in self.ranges)}]"
        return f"{name}{marks}:{self.milli / 1000:g}"


def _place(piece: Piece) -> int:
    """What is reserved by agents' operators, ranges, what frameworks reserved, all else."""
    owner = piece.key[0]
    if owner != UNRESERVED and not isinstance(owner, Reserved):
        return 0
    if piece.ranges:
        return 1
    return 2 if isinstance(owner, Reserved) else 3


def _reservation(owner: Owner) -> str:
    if isinstance(owner, Reserved):
        principal = f",{owner.principal}" if owner.principal else ""
        return f"(reservations: [(DYNAMIC,{owner.role}{principal})])"
    return "" if owner == UNRESERVED else f"(reservations: [(STATIC,{owner})])"
