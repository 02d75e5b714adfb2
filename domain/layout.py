"""The ScaleIO objects that one agent should provide and consume.

Its Mesos attributes decide; where they say nothing, the rule of the layout file that fits it; and
where there is none, the flags. Grammar of the attributes: the original's 2.12
(`scaleio-sds-domains`, `scaleio-sds-<domain>`, `scaleio-sds-<pool>`, and the same with `sdc`);
comma lists, blanks are trimmed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import attrs

from domain.facts import Disk

NAME_CHARACTERS_MAX: Final = 31  # ScaleIO object names
_SDS: Final = "scaleio-sds-"
_SDC: Final = "scaleio-sdc-"
FAULT_SET_ATTRIBUTES: Final = ("scaleio-fault-set", "scaleio-faultset")


@attrs.frozen(kw_only=True)
class PoolWish:
    """A pool of a domain. `devices` None: whatever provably empty disks there are."""

    domain: str
    pool: str
    devices: tuple[str, ...] | None = None
    media: str = ""  # SSD, NVMe or HDD: only disks of that class are looked for
    bytes_min: int = 0  # of a disk that is looked for; 0: no bound beside that of the flags
    bytes_max: int = 0

    def looks_for(self, disk: Disk) -> bool:
        """True if it is of the class and size that this pool is made of."""
        if self.media and disk.rotational is not (self.media == "HDD"):
            return False
        if self.media == "NVMe" and disk.transport != "nvme":
            return False
        return self.bytes_min <= disk.size_bytes <= (self.bytes_max or disk.size_bytes)


@attrs.frozen(kw_only=True)
class AddressRule:
    """One address of an SDS: the agent's own, or the one that an attribute of it holds."""

    role: str  # all, sdsOnly, sdcOnly
    attribute: str = ""


@attrs.frozen(kw_only=True)
class NodeRule:
    """What the layout file says of the agents that it fits. "" and (): as the flags say."""

    name: str  # which rule it is, for people
    provides: bool = True  # False: it only consumes
    domain: str = ""
    pools: tuple[PoolWish, ...] = ()
    fault_set: str = ""
    fault_set_attribute: str = ""  # the agents' attribute that names it, such as rack
    addresses: tuple[AddressRule, ...] = ()
    device_test: str = ""
    sdc_name: str = ""  # "host": after the host


NO_RULE: Final = NodeRule(name="")


@attrs.frozen(kw_only=True)
class Layout:
    """`imperative`: the operator named things, so nothing is discovered."""

    imperative: bool = False
    provides: tuple[PoolWish, ...] = ()
    consumes: tuple[PoolWish, ...] = ()
    fault_set: str = ""
    addresses: tuple[tuple[str, str], ...] = ()  # (ip, role); ip "" is the agent's own
    device_test: str = ""
    sdc_name: str = ""
    reasons: tuple[str, ...] = ()  # who asked for it, for people
    faults: tuple[str, ...] = ()  # what is wrong with the attributes, for people


def layout_of(
    attributes: Mapping[str, str],
    *,
    domain: str,
    pool: str,
    rule: NodeRule = NO_RULE,
    host: str = "",
) -> Layout:
    """What is asked of that agent; `domain` and `pool` are those of the flags."""
    provides, wrong = _wishes(attributes, _SDS, with_devices=True)
    consumes, more = _wishes(attributes, _SDC, with_devices=False)
    fault_set, odd = _fault_set(attributes, rule)
    addresses, missing = _addresses(attributes, rule)
    faults = [*wrong, *more, *odd, *missing]
    domains = {wish.domain for wish in provides}
    if len(domains) > 1:
        faults.append(
            f"attribute {_SDS}domains names {len(domains)} protection domains "
            f"({', '.join(sorted(domains))}); an SDS can serve one: name one"
        )
    imperative = f"{_SDS}domains" in attributes or f"{_SDC}domains" in attributes
    home = PoolWish(domain=rule.domain or domain, pool=pool)
    if not imperative:
        provides = _provided(rule, home)
    if not consumes:
        first = provides[0] if provides else rule.pools[0] if rule.pools else home
        consumes = (PoolWish(domain=first.domain or home.domain, pool=first.pool, devices=()),)
    return Layout(
        imperative=imperative,
        provides=provides,
        consumes=consumes,
        fault_set=fault_set,
        addresses=addresses,
        device_test=rule.device_test,
        sdc_name=short_name(host) if rule.sdc_name == "host" else rule.sdc_name,
        reasons=_reasons(attributes, rule, imperative=imperative),
        faults=tuple(faults),
    )


def short_name(text: str) -> str:
    """At most 31 characters: a beginning and a digest, so that no two long names become one."""
    if len(text) <= NAME_CHARACTERS_MAX:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{text[: NAME_CHARACTERS_MAX - 13]}-{digest}"


def _provided(rule: NodeRule, home: PoolWish) -> tuple[PoolWish, ...]:
    if not rule.provides:
        return ()
    return tuple(attrs.evolve(one, domain=home.domain) for one in rule.pools) or (home,)


def _addresses(
    attributes: Mapping[str, str], rule: NodeRule
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    found, faults = [], []
    for one in rule.addresses:
        value = attributes.get(one.attribute, "").strip() if one.attribute else ""
        if one.attribute and not value:
            faults.append(
                f"{rule.name} takes an address of the SDS from attribute {one.attribute}, "
                "which this agent does not have: add it"
            )
        found.append((value, one.role))
    return tuple(found), faults


def _fault_set(attributes: Mapping[str, str], rule: NodeRule) -> tuple[str, list[str]]:
    named = [attributes[key].strip() for key in FAULT_SET_ATTRIBUTES if key in attributes]
    named = list(dict.fromkeys(name for name in named if name))
    faults = []
    if len(named) > 1:
        faults.append(
            f"attributes {' and '.join(FAULT_SET_ATTRIBUTES)} name two fault sets "
            f"({', '.join(named)}): name one"
        )
    name = named[0] if named else rule.fault_set
    if not name and rule.fault_set_attribute:
        name = attributes.get(rule.fault_set_attribute, "").strip()
        if not name:
            faults.append(
                f"{rule.name} takes the fault set from attribute {rule.fault_set_attribute}, "
                "which this agent does not have: add it"
            )
    if len(name) > NAME_CHARACTERS_MAX or " " in name:
        faults.append(
            f"fault set {name!r}: names have up to {NAME_CHARACTERS_MAX} characters and no blanks"
        )
    return name, faults


def _reasons(attributes: Mapping[str, str], rule: NodeRule, *, imperative: bool) -> tuple[str, ...]:
    found = [f"attribute {key}={attributes[key]}" for key in sorted(attributes)
             if imperative and key.startswith((_SDS, _SDC))]  # fmt: skip
    found += [f"attribute {key}={attributes[key]}" for key in FAULT_SET_ATTRIBUTES
              if key in attributes]  # fmt: skip
    if rule.name:
        found.append(rule.name)
    return tuple(found) or ("the flags",)


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
