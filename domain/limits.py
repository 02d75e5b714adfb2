"""What a storage cluster can hold, and who has to wait because of it.

Figures: Dell white paper h15148 (ScaleIO 2.0); an operator whose release holds more says so in the
layout file, or lifts them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from domain.layout import Layout
from domain.storage import StorageSnapshot

TB: Final = 10**12
_OUT: Final = frozenset({"failed", "held", "lost", "retired", "draining"})


@attrs.frozen(kw_only=True)
class Limits:
    """0: no limit."""

    sds: int = 1024
    sds_per_domain: int = 128
    sdc: int = 1024
    devices_per_sds: int = 64
    terabytes_per_sds: int = 64
    devices_per_pool: int = 300
    domains: int = 256
    pools: int = 1024
    pools_per_domain: int = 64
    fault_sets_per_domain: int = 64


NO_LIMITS: Final = Limits(**dict.fromkeys((field.name for field in attrs.fields(Limits)), 0))


@attrs.frozen(kw_only=True)
class Member:
    """An agent as the limits see it."""

    host: str
    address: str
    phase: str
    layout: Layout
    sdc_guid: str = ""
    provides: bool = True  # it has disks to give, or nobody has looked yet

    @property
    def domain(self) -> str:
        return self.layout.provides[0].domain if self.provides and self.layout.provides else ""


def why_over(
    me: Member, others: Iterable[Member], storage: StorageSnapshot | None, limits: Limits
) -> str:
    """Which limit keeps that agent out, "" if none.

    Who is in the cluster already stays; of the others those come first whose names do.
    """
    if storage is None or _is_in(me, storage):
        return ""  # most of those who are asked for are in: the others need not be counted
    ahead = [
        one
        for one in others
        if one.host < me.host and one.phase not in _OUT and not _is_in(one, storage)
    ]
    return _server(me, ahead, storage, limits) or _client(me, ahead, storage, limits)


def _server(me: Member, ahead: list[Member], storage: StorageSnapshot, limits: Limits) -> str:
    if not me.domain or storage.sds_at(me.address) is not None:
        return ""
    coming = [one for one in ahead if one.domain and storage.sds_at(one.address) is None]
    total = len(storage.sds) + len(coming)
    if limits.sds and total >= limits.sds:
        return _sentence("SDSs", "the system", total, limits.sds)
    domain = next((d for d in storage.domains if d.name == me.domain), None)
    there = sum(s.domain_id == domain.id for s in storage.sds) if domain is not None else 0
    there += sum(one.domain == me.domain for one in coming)
    if limits.sds_per_domain and there >= limits.sds_per_domain:
        place = f"protection domain {me.domain}"
        return _sentence("SDSs", place, there, limits.sds_per_domain)
    return _objects(me, storage, limits)


def _objects(me: Member, storage: StorageSnapshot, limits: Limits) -> str:
    """Domains, pools and fault sets that would have to be made for it."""
    domain = next((d for d in storage.domains if d.name == me.domain), None)
    if domain is None:
        if limits.domains and len(storage.domains) >= limits.domains:
            return _sentence(
                "protection domains", "the system", len(storage.domains), limits.domains
            )
        return ""
    place = f"protection domain {me.domain}"
    pools = {p.name for p in storage.pools if p.domain_id == domain.id}
    new = {wish.pool for wish in me.layout.provides} - pools
    if new and limits.pools_per_domain and len(pools) >= limits.pools_per_domain:
        return _sentence("storage pools", place, len(pools), limits.pools_per_domain)
    if new and limits.pools and len(storage.pools) >= limits.pools:
        return _sentence("storage pools", "the system", len(storage.pools), limits.pools)
    sets = {f.name for f in storage.fault_sets if f.domain_id == domain.id}
    wanted = {me.layout.fault_set} - {""} - sets
    if wanted and limits.fault_sets_per_domain and len(sets) >= limits.fault_sets_per_domain:
        return _sentence("fault sets", place, len(sets), limits.fault_sets_per_domain)
    return ""


def _client(me: Member, ahead: list[Member], storage: StorageSnapshot, limits: Limits) -> str:
    if _has_client(me, storage):
        return ""
    total = len(storage.sdcs) + sum(not _has_client(one, storage) for one in ahead)
    if limits.sdc and total >= limits.sdc:
        return _sentence("SDCs", "the system", total, limits.sdc)
    return ""


def _is_in(one: Member, storage: StorageSnapshot) -> bool:
    has_server = not one.domain or storage.sds_at(one.address) is not None
    return has_server and _has_client(one, storage)


def _has_client(one: Member, storage: StorageSnapshot) -> bool:
    by_guid = one.sdc_guid and storage.sdc_by_guid(one.sdc_guid) is not None
    return bool(by_guid) or storage.sdc_at(one.address) is not None


def why_too_many_devices(count: int, size_bytes: int, limits: Limits) -> str:
    """Of one SDS. "" if it can hold them."""
    if limits.devices_per_sds and count > limits.devices_per_sds:
        return (
            f"{count} devices are more than the {limits.devices_per_sds} that an SDS can hold: "
            "name fewer in its attributes or in the layout"
        )
    if limits.terabytes_per_sds and size_bytes > limits.terabytes_per_sds * TB:
        return (
            f"devices of {size_bytes // TB} TB are more than the {limits.terabytes_per_sds} TB "
            "that an SDS can hold: name fewer in its attributes or in the layout"
        )
    return ""


def _sentence(what: str, where: str, there: int, limit: int) -> str:
    return (
        f"{where} has, or is about to have, {there} of at most {limit} {what}: make room, use "
        "another protection domain, or say what your release holds in the layout's limits "
        "(-limits=off lifts them)"
    )
