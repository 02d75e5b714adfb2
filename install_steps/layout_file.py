"""The operator's layout (-layout FILE): which nodes provide what, how pools are, and the limits.

A JSON file. Of its `nodes` the first that fits an agent counts; an agent's own attributes win over
it, and the flags stand where neither says anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import attrs
import msgspec
from msgspec import Meta, Struct

from domain.facts import Facts
from domain.joining import PoolSpec
from domain.layout import NO_RULE, AddressRule, NodeRule, PoolWish
from domain.limits import Limits
from install_steps.overrides import Match

LAYOUT_CHARACTERS_MAX: Final = 1024 * 1024
GB: Final = 1 << 30

Name = Annotated[str, Meta(pattern=r"^[!-~]{1,31}$")]  # of a ScaleIO object: no blanks
Percent = Annotated[int, Meta(ge=1, le=100)]
Size = Annotated[int, Meta(ge=0, le=1_000_000)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class LayoutError(Exception):
    """The file is wrong: one line with what, where, and what is expected."""


class _Pool(Struct, forbid_unknown_fields=True, frozen=True):
    media: Literal["SSD", "HDD", "Transitional", ""] = ""
    spare_percent: Percent | None = None
    capacity_high: Percent | None = None
    capacity_critical: Percent | None = None


class _Choice(Struct, forbid_unknown_fields=True, frozen=True):
    pool: Name
    media: Literal["SSD", "NVMe", "HDD", ""] = ""
    min_gb: Size = 0
    max_gb: Size = 0
    devices: Annotated[tuple[str, ...], Meta(max_length=64)] | None = None


class _Attribute(Struct, forbid_unknown_fields=True, frozen=True):
    attribute: Annotated[str, Meta(pattern=r"^[!-~]{1,128}$")]


class _Address(Struct, forbid_unknown_fields=True, frozen=True):
    role: Literal["all", "sdsOnly", "sdcOnly"]
    attribute: Annotated[str, Meta(pattern=r"^[!-~]{0,128}$")] = ""


class _Node(Struct, forbid_unknown_fields=True, frozen=True):
    match: Match
    provides: bool = True
    domain: Name | Literal[""] = ""
    pools: Annotated[tuple[_Choice, ...], Meta(max_length=64)] = ()
    fault_set: Name | _Attribute | None = None
    sds_addresses: Annotated[tuple[_Address, ...], Meta(max_length=8)] = ()
    device_test: Literal["testOnly", "noTest", "testAndActivate", ""] = ""
    sdc_name: Literal["host", ""] = ""
    comment: Annotated[str, Meta(max_length=200)] = ""


class _Limits(Struct, forbid_unknown_fields=True, frozen=True):
    sds: Count | None = None
    sds_per_domain: Count | None = None
    sdc: Count | None = None
    devices_per_sds: Count | None = None
    terabytes_per_sds: Count | None = None
    devices_per_pool: Count | None = None
    domains: Count | None = None
    pools: Count | None = None
    pools_per_domain: Count | None = None
    fault_sets_per_domain: Count | None = None


class _File(Struct, forbid_unknown_fields=True, frozen=True):
    version: Literal[1]
    nodes: Annotated[tuple[_Node, ...], Meta(max_length=1000)] = ()
    pools: Annotated[dict[str, _Pool], Meta(max_length=1024)] = msgspec.field(default_factory=dict)
    limits: _Limits = _Limits()


@attrs.frozen(kw_only=True)
class LayoutFile:
    """`pools`: by name, how each is made and kept. `limits`: what this release can hold."""

    rules: tuple[tuple[Match, NodeRule], ...] = ()
    pools: Mapping[str, PoolSpec] = attrs.field(factory=dict)
    limits: Limits = attrs.field(factory=Limits)

    def rule_for(self, host: str, attributes: Mapping[str, str], facts: Facts | None) -> NodeRule:
        """The first that fits; none asks for nothing beside the flags."""
        fitting = (rule for match, rule in self.rules if match.fits(host, attributes, facts))
        return next(fitting, NO_RULE)


def load_layout(path: Path | None) -> LayoutFile:
    """Raises LayoutError."""
    if path is None:
        return LayoutFile()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise LayoutError(f"-layout: {path}: {reason}") from None
    return read_layout(text, f"-layout: {path}")


def read_layout(text: str, source: str) -> LayoutFile:
    if len(text) > LAYOUT_CHARACTERS_MAX:
        raise LayoutError(f"{source}: {len(text)} characters, at most {LAYOUT_CHARACTERS_MAX}")
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, RecursionError) as error:
        raise LayoutError(f"{source}: {error}") from None
    rules = []
    for number, node in enumerate(file.nodes):
        fault = _fault(node)
        if fault:
            raise LayoutError(f"{source}: nodes[{number}]: {fault}")
        rules.append((node.match, _rule(number, node)))
    pools = {}
    for name, pool in file.pools.items():
        pools[name] = _pool(source, name, pool)
    given = {
        name: value
        for name in file.limits.__struct_fields__
        if (value := getattr(file.limits, name)) is not None
    }
    return LayoutFile(rules=tuple(rules), pools=pools, limits=Limits(**given))


def _fault(node: _Node) -> str:
    if not node.provides and node.pools:
        return "provides is false, so pools make no sense: leave one of them out"
    if node.sds_addresses and (fault := _address_fault(node.sds_addresses)):
        return fault
    for choice in node.pools:
        if choice.max_gb and choice.max_gb < choice.min_gb:
            return f"pool {choice.pool}: max_gb {choice.max_gb} is less than min_gb {choice.min_gb}"
        if choice.devices is not None and (choice.media or choice.min_gb or choice.max_gb):
            return f"pool {choice.pool}: devices are named, so media and sizes make no sense"
        for path in choice.devices or ():
            if not path.startswith("/dev/"):
                return f"pool {choice.pool}: device {path[:64]!r}: a path below /dev is expected"
    return ""


def _address_fault(addresses: tuple[_Address, ...]) -> str:
    """ScaleIO wants one address for all traffic, or at least one for each kind of it."""
    roles = {one.role for one in addresses}
    if sum(not one.attribute for one in addresses) != 1:
        return "sds_addresses: exactly one without attribute is expected: the agent's own address"
    if len(addresses) == 1 and roles != {"all"}:
        return "sds_addresses: a single address has the role all"
    if "all" not in roles and roles != {"sdsOnly", "sdcOnly"}:
        return "sds_addresses: sdsOnly and sdcOnly are both needed, or one of the role all"
    return ""


def _rule(number: int, node: _Node) -> NodeRule:
    told = f"layout node {number + 1}"
    return NodeRule(
        name=f"{told} ({node.comment})" if node.comment else told,
        provides=node.provides,
        domain=node.domain,
        pools=tuple(
            PoolWish(
                domain=node.domain,
                pool=choice.pool,
                devices=choice.devices,
                media=choice.media,
                bytes_min=choice.min_gb * GB,
                bytes_max=choice.max_gb * GB,
            )
            for choice in node.pools
        ),
        fault_set=node.fault_set if isinstance(node.fault_set, str) else "",
        fault_set_attribute=node.fault_set.attribute
        if isinstance(node.fault_set, _Attribute)
        else "",
        addresses=tuple(
            AddressRule(role=one.role, attribute=one.attribute) for one in node.sds_addresses
        ),
        device_test=node.device_test,
        sdc_name=node.sdc_name,
    )


def _pool(source: str, name: str, pool: _Pool) -> PoolSpec:
    where = f"{source}: pools[{name[:64]!r}]"
    if not 0 < len(name) <= 31 or not name.isascii() or not name.isprintable() or " " in name:
        raise LayoutError(f"{where}: a name of 1 to 31 characters without blanks is expected")
    high, critical = pool.capacity_high, pool.capacity_critical
    if (high is None) != (critical is None):
        raise LayoutError(f"{where}: capacity_high and capacity_critical belong together")
    if high is not None and critical is not None and high >= critical:
        raise LayoutError(
            f"{where}: capacity_high {high} is not less than capacity_critical {critical}"
        )
    return PoolSpec(
        name=name,
        media_type=pool.media,
        spare_percent=pool.spare_percent or 0,
        capacity_high=high or 0,
        capacity_critical=critical or 0,
    )
