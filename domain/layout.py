"""The ScaleIO objects that one agent should provide and consume, from its Mesos attributes.

Grammar of the attributes: the original's 2.12 (`scaleio-sds-domains`, `scaleio-sds-<domain>`,
`scaleio-sds-<pool>`, and the same with `sdc`); comma lists, blanks are trimmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

NAME_CHARACTERS_MAX: Final = 31  # ScaleIO object names
_SDS: Final = "scaleio-sds-"
_SDC: Final = "scaleio-sdc-"


@attrs.frozen(kw_only=True)
class PoolWish:
    """A pool of a domain. `devices` None: whatever provably empty disks there are."""

    domain: str
    pool: str
    devices: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class Layout:
    """`imperative`: the operator named things, so nothing is discovered."""

    imperative: bool = False
    provides: tuple[PoolWish, ...] = ()
    consumes: tuple[PoolWish, ...] = ()
    fault_set: str = ""
    faults: tuple[str, ...] = ()  # what is wrong with the attributes, for people


def layout_of(attributes: Mapping[str, str], *, domain: str, pool: str) -> Layout:
    """What the attributes ask for; without any, discovery into the default domain and pool."""
    provides, wrong = _wishes(attributes, _SDS, with_devices=True)
    consumes, more = _wishes(attributes, _SDC, with_devices=False)
    faults = [*wrong, *more]
    domains = {wish.domain for wish in provides}
    if len(domains) > 1:
        faults.append(
            f"attribute {_SDS}domains names {len(domains)} protection domains "
            f"({', '.join(sorted(domains))}); an SDS can serve one: name one"
        )
    imperative = f"{_SDS}domains" in attributes or f"{_SDC}domains" in attributes
    if not imperative:
        provides = (PoolWish(domain=domain, pool=pool),)
    if not consumes:
        first = provides[0] if provides else PoolWish(domain=domain, pool=pool)
        consumes = (PoolWish(domain=first.domain, pool=first.pool, devices=()),)
    return Layout(
        imperative=imperative,
        provides=provides,
        consumes=consumes,
        fault_set=attributes.get("scaleio-fault-set", "").strip(),
        faults=tuple(faults),
    )


def _wishes(
    attributes: Mapping[str, str], prefix: str, *, with_devices: bool
) -> tuple[tuple[PoolWish, ...], list[str]]:
    wishes: list[PoolWish] = []
    faults: list[str] = []
    for domain in _names(attributes.get(f"{prefix}domains", ""), prefix):
        pools = _names(attributes.get(prefix + domain, ""), prefix)
        if not pools:
            faults.append(
                f"attribute {prefix}domains names {domain}, but attribute {prefix}{domain} "
                "names no pool: add it, with a comma list of pools"
            )
        for pool in pools:
            devices: tuple[str, ...] = ()
            if with_devices:
                devices = _devices(attributes, prefix, domain, pool)
                if not devices:
                    faults.append(
                        f"attribute {prefix}{domain} names pool {pool}, but attribute "
                        f"{prefix}{pool} names no device: add it, with a comma list of paths"
                    )
            wishes.append(PoolWish(domain=domain, pool=pool, devices=devices))
    faults += [
        f"name {name!r} is longer than {NAME_CHARACTERS_MAX} characters: shorten it"
        for wish in wishes
        for name in (wish.domain, wish.pool)
        if len(name) > NAME_CHARACTERS_MAX
    ]
    return tuple(wishes), faults


def _devices(attributes: Mapping[str, str], prefix: str, domain: str, pool: str) -> tuple[str, ...]:
    """A pool's devices; the spelling with the domain wins: two domains may share a pool name."""
    for key in (f"{prefix}{domain}.{pool}", f"{prefix}{pool}"):
        if key in attributes and not (pool == domain and key == prefix + domain):
            return _split(attributes[key])
    if pool == domain:  # the key holds both the pool list and the devices: tell them apart
        return tuple(v for v in _split(attributes.get(prefix + pool, "")) if v.startswith("/"))
    return ()


def _names(text: str, prefix: str) -> tuple[str, ...]:
    """Names of a list; one that already carries the prefix is used without it."""
    return tuple(v.removeprefix(prefix) for v in _split(text) if not v.startswith("/"))


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for raw in text.split(",") if (part := raw.strip())))
