"""Removing a device, SDS, SDC, pool or protection domain: one act at a time, data first.

Nothing is removed by force: the storage cluster moves the data of a device or an SDS to the others
before it lets go, and an order is followed, look by look, until its object is listed no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain import leaving
from domain.joining import Wait
from domain.leaving import FAULT_UNITS_MIN
from domain.storage import DeviceState, PoolState, StorageSnapshot

KINDS: Final = ("device", "sds", "sdc", "pool", "domain")


@attrs.frozen(kw_only=True)
class Order:
    """An operator's word. `name`: what the object was called when it was given."""

    kind: str  # of KINDS
    id: str
    name: str
    since: float  # unix seconds


@attrs.frozen(kw_only=True)
class OrdersRecord:
    """What is stored: the orders that have not come to their end."""

    orders: tuple[Order, ...] = ()


@attrs.frozen
class RemoveDevice:
    device_id: str
    path: str


@attrs.frozen
class RemoveSds:
    sds_id: str
    name: str


@attrs.frozen
class RemoveSdc:
    sdc_id: str
    guid: str


@attrs.frozen
class RemovePool:
    pool_id: str
    name: str


@attrs.frozen
class RemoveDomain:
    domain_id: str
    name: str


@attrs.frozen
class Gone:
    """It is not listed any more: the order has come to its end."""


Change = RemoveDevice | RemoveSds | RemoveSdc | RemovePool | RemoveDomain
Act = Change | Wait | Gone


def name_of(storage: StorageSnapshot, kind: str, object_id: str) -> str:
    """What the object is called; "" if there is none."""
    known: Mapping[str, Iterable[tuple[str, str]]] = {
        "device": ((d.id, d.path) for d in storage.devices),
        "sds": ((s.id, s.name) for s in storage.sds),
        "sdc": ((s.id, s.name or s.guid) for s in storage.sdcs),
        "pool": ((p.id, p.name) for p in storage.pools),
        "domain": ((d.id, d.name) for d in storage.domains),
    }
    return next((name or one for one, name in known[kind] if one == object_id), "")


def next_act(storage: StorageSnapshot, order: Order, wanted: Mapping[str, str]) -> Act:
    """What comes next. `wanted`: object id -> which agent has it, or wants it to be there."""
    if not name_of(storage, order.kind, order.id):
        # An MDM cluster that is not whole may list nothing at all.
        return Gone() if storage.mdm_normal else Wait(_is_not_well(storage))
    why_not = _is_not_well(storage) or _is_wanted(storage, order, wanted)
    if why_not:
        return Wait(why_not)
    match order.kind:
        case "device":
            device = next(d for d in storage.devices if d.id == order.id)
            return _device(storage, device)
        case "sds":
            return _sds(storage, order.id)
        case "sdc":
            return _sdc(storage, order.id)
        case "pool":
            return _pool(storage, next(p for p in storage.pools if p.id == order.id))
        case _:
            return _domain(storage, order.id)


def may_rest(storage: StorageSnapshot, sds_id: str) -> str:
    """Why that SDS may not enter maintenance mode now, "" if it may."""
    sds = next((s for s in storage.sds if s.id == sds_id), None)
    if sds is None:
        return f"the storage cluster lists no sds {sds_id}: see /v1/storage"
    for other in storage.sds:
        same = other.domain_id == sds.domain_id and other.id != sds.id
        if same and (other.in_maintenance or not other.good):
            return f"SDS {other.name} of the same protection domain is away ({other.detail})"
    return _is_not_well(storage)


def _is_not_well(storage: StorageSnapshot) -> str:
    if not storage.mdm_normal:
        return f"the MDM cluster is not normal ({storage.mdm_detail})"
    return "" if storage.data_is_whole else "data is degraded, failed, or being moved or rebuilt"


def _is_wanted(storage: StorageSnapshot, order: Order, wanted: Mapping[str, str]) -> str:
    ids = {order.id}
    if order.kind == "domain":
        ids |= {s.id for s in storage.sds if s.domain_id == order.id}
        ids |= {p.id for p in storage.pools if p.domain_id == order.id}
    host = next((wanted[one] for one in sorted(ids) if one in wanted), "")
    if not host:
        return ""
    return (
        f"agent {host} would bring it back: uninstall it, or name something else in its "
        "attributes or in the layout, first"
    )


def _device(storage: StorageSnapshot, device: DeviceState) -> Act:
    pool = next((p for p in storage.pools if p.id == device.pool_id), None)
    if pool is None:
        return Wait(f"in which pool {device.path} is, the storage cluster does not tell")
    why_not = _has_no_room(storage, pool, device)
    for other in storage.sds:
        if not why_not and not other.whole:
            why_not = f"SDS {other.name} is not healthy ({other.detail})"
    return Wait(why_not) if why_not else RemoveDevice(device.id, device.path)


def _has_no_room(storage: StorageSnapshot, pool: PoolState, device: DeviceState) -> str:
    """Why the pool needs that device, "" if its data has room on the others."""
    volumes = [v for v in storage.volumes if v.pool_id == pool.id]
    if not volumes and not pool.in_use_kb:
        return ""
    units = {s.id: s.fault_set_id or s.id for s in storage.sds}
    others = [d for d in storage.devices if d.pool_id == pool.id and d.id != device.id and d.good]
    left = len({units.get(d.sds_id, d.sds_id) for d in others})
    if left < FAULT_UNITS_MIN:
        return (
            f"pool {pool.name} holds volumes and needs devices in {FAULT_UNITS_MIN} fault units, "
            f"without {device.path} it would have {left}: add others, or remove the volumes"
        )
    left_kb = pool.capacity_kb - device.capacity_kb
    spare_kb = pool.spare_kb * left_kb // pool.capacity_kb if pool.capacity_kb else 0
    if pool.in_use_kb > left_kb - spare_kb:
        return (
            f"the data of pool {pool.name} ({pool.in_use_kb >> 20} GB) has no room on its other "
            f"devices ({max(0, left_kb - spare_kb) >> 20} GB beside the spare): add capacity first"
        )
    return ""


def _sds(storage: StorageSnapshot, sds_id: str) -> Act:
    sds = next(s for s in storage.sds if s.id == sds_id)
    why_not = leaving.may_leave(storage, sds, gone=sds.disconnected)
    return Wait(why_not) if why_not else RemoveSds(sds.id, sds.name)


def _sdc(storage: StorageSnapshot, sdc_id: str) -> Act:
    sdc = next(s for s in storage.sdcs if s.id == sdc_id)
    mapped = sorted(v.name or v.id for v in storage.volumes if sdc.id in v.sdc_ids)
    if mapped:
        return Wait(f"volumes are mapped to it ({', '.join(mapped[:5])}): unmap them first")
    if sdc.connected:
        return Wait("it is connected, and would register again: stop scini on its host first")
    return RemoveSdc(sdc.id, sdc.guid)


def _pool(storage: StorageSnapshot, pool: PoolState) -> Act:
    volumes = sorted(v.name or v.id for v in storage.volumes if v.pool_id == pool.id)
    if volumes:
        names = ", ".join(volumes[:5])
        return Wait(f"pool {pool.name} holds {len(volumes)} volumes ({names}): remove them first")
    device = next((d for d in storage.devices if d.pool_id == pool.id), None)
    return _device(storage, device) if device is not None else RemovePool(pool.id, pool.name)


def _domain(storage: StorageSnapshot, domain_id: str) -> Act:
    for pool in storage.pools:
        if pool.domain_id == domain_id:
            return _pool(storage, pool)
    for sds in storage.sds:
        if sds.domain_id == domain_id:
            return _sds(storage, sds.id)
    domain = next(d for d in storage.domains if d.id == domain_id)
    return RemoveDomain(domain.id, domain.name)
