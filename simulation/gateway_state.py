"""The simulated ScaleIO cluster as plain state: objects, and what follows from them.

Nothing here changes anything; `gateway_mdm` does. The state can be copied whole, which is how
a Gateway with stale data is played.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from functools import partial
from itertools import takewhile
from typing import Final, Generic, TypeVar

import attrs

from simulation.gateway_capacity import Figures

ApiVersion = tuple[int, int]
_T = TypeVar("_T")
HIGH_PERCENT: Final = 80
CRITICAL_PERCENT: Final = 90
DEGRADED_KB_MIN: Final = 1024  # a pool with devices always holds metadata: err on the strict side


@attrs.define
class Ids:
    """16 lower-case hexadecimal digits: the upper half by type, the lower half a counter."""

    rng: random.Random
    _high: dict[str, int] = attrs.field(factory=dict, init=False)
    _count: dict[str, int] = attrs.field(factory=dict, init=False)

    def next(self, kind: str) -> str:
        if kind not in self._high:
            self._high[kind] = self.rng.getrandbits(32)
        number = self._count.get(kind, 0)
        self._count[kind] = number + 1
        return f"{self._high[kind]:08x}{number:08x}"


@attrs.frozen(kw_only=True)
class Work:
    """Data that moves from one time to another by the world's clock; `share` of it at first."""

    since: float
    until: float
    share: float = 1.0

    def left(self, now: float) -> float:
        """The part that is still to be moved, from `share` steadily down to 0."""
        if now >= self.until:
            return 0.0
        return self.share * min(1.0, (self.until - now) / (self.until - self.since))

    @property
    def per_second(self) -> float:
        lasts_s = self.until - self.since
        return self.share / lasts_s if lasts_s > 0 else 0.0


@attrs.frozen(kw_only=True)
class Traffic:
    """What clients read and write through one SDS, in KB and operations a second."""

    read_kbps: int = 0
    write_kbps: int = 0
    read_iops: int = 0
    write_iops: int = 0


@attrs.define(kw_only=True)
class Domain:
    id: str
    name: str
    active: bool = True


@attrs.define(kw_only=True)
class FaultSet:
    id: str
    name: str
    domain_id: str


@attrs.define(kw_only=True)
class Pool:
    """`thin_kb`: what thin volumes occupy, set by the world. The times are by the world's clock."""

    id: str
    name: str
    domain_id: str
    media_type: str = "HDD"
    spare_percent: int = 10
    zero_padding: bool = False
    thin_kb: int = 0
    snap_kb: int = 0  # kept from allocation by snapshots
    snap_occupied_kb: int = 0  # what they really fill
    high_percent: int = HIGH_PERCENT
    critical_percent: int = CRITICAL_PERCENT
    rebuild_enabled: bool = True
    rebalance_enabled: bool = True
    checksum_enabled: bool = False
    rebalance: Work | None = None
    unbalanced_kb: int = 0  # new devices, while rebalancing is switched off


@attrs.define(kw_only=True)
class Sds:
    id: str
    name: str
    domain_id: str
    fault_set_id: str | None = None
    ips: list[tuple[str, str]] = attrs.field(factory=list)  # address, role
    port: int = 7072
    connected: bool = True
    in_maintenance: bool = False
    leaves_at: float | None = None  # its data moves to the others until then
    leaving_since: float = 0.0
    absorbed_at: float | None = None  # away: its data is on the others then, if it has room there
    away_since: float = 0.0
    absorbed: bool = False  # away, and nothing misses it any more
    rebuild: Work | None = None  # back: what it missed is brought to it
    drl_mode: str = "Volatile"
    rmcache: bool = True
    rmcache_kb: int = 131072
    profile: str = "Default"
    traffic: Traffic = attrs.field(factory=Traffic)

    stuck: bool = False  # away, and its data finds no place on the others

    @property
    def evacuation(self) -> Work | None:
        """Its data on the way to the others, because it is being removed."""
        if self.leaves_at is None:
            return None
        return Work(since=self.leaving_since, until=self.leaves_at)

    @property
    def rebuild_elsewhere(self) -> Work | None:
        """Away: its data on the way to be whole again on the others."""
        if self.absorbed_at is None or self.stuck:
            return None
        return Work(since=self.away_since, until=self.absorbed_at)

    @property
    def unit(self) -> str:
        """The fault unit: two copies of the same data are never in one."""
        return self.fault_set_id or self.id


@attrs.define(kw_only=True)
class Device:
    id: str
    name: str | None
    sds_id: str
    pool_id: str
    path: str
    capacity_kb: int
    media_type: str = "HDD"
    failed: bool = False
    limit_kb: int | None = None  # less than its capacity, if an operator wants so
    read_us: int = 0
    write_us: int = 0
    fixed_read_errors: int = 0
    leaving: Work | None = None  # being removed

    @property
    def usable_kb(self) -> int:
        return self.capacity_kb if self.limit_kb is None else self.limit_kb


@attrs.define(kw_only=True)
class Sdc:
    id: str
    guid: str
    ip: str
    name: str | None = None
    connected: bool = True
    approved: bool = True


@attrs.define(kw_only=True)
class MappedSdc:
    sdc_id: str
    limit_iops: int = 0
    limit_kbps: int = 0


@attrs.define(kw_only=True)
class Volume:
    """A volume or a snapshot; all that come from one volume share its tree."""

    id: str
    name: str | None
    pool_id: str
    vtree_id: str
    size_kb: int
    thick: bool
    created_at: int
    mapped: list[MappedSdc] = attrs.field(factory=list)
    snapshot: bool = False
    ancestor_id: str | None = None  # what a snapshot was taken of, while that is there
    group_id: str | None = None  # of snapshots that were taken at once


@attrs.define(kw_only=True)
class Mdm:
    """A member of the MDM cluster; the first manager that is good is the master."""

    id: str
    name: str
    ip: str
    tie_breaker: bool = False
    good: bool = True


@attrs.define(kw_only=True)
class AlertRecord:
    id: str
    uuid: str
    kind: str
    severity: str
    object_type: str
    object_id: str
    started_at: float


@attrs.define
class Groups(Generic[_T]):
    """Objects by what they belong to, so that reading all of them stays linear.

    It follows its dict by itself: ids are never used again, so whatever has come or gone shows
    in the number of objects and in the last one's id.
    """

    keys: Callable[[_T], tuple[str, ...]]
    _count: int = attrs.field(default=0, init=False)
    _last: str = attrs.field(default="", init=False)
    _groups: dict[str, list[_T]] = attrs.field(factory=dict, init=False)

    def of(self, objects: dict[str, _T], key: str) -> list[_T]:
        return self.all(objects).get(key, [])

    def all(self, objects: dict[str, _T]) -> dict[str, list[_T]]:
        last = next(reversed(objects), "")
        if (len(objects), last) != (self._count, self._last):
            new = list(takewhile(lambda i: i != self._last, reversed(objects)))
            if not self._count or len(objects) - len(new) != self._count:
                self._groups, new = {}, list(reversed(objects))
            for object_id in reversed(new):
                for key in self.keys(objects[object_id]):
                    self._groups.setdefault(key, []).append(objects[object_id])
            self._count, self._last = len(objects), last
        return self._groups

    def forget(self) -> None:
        """To be called when an object that stays is changed in what it belongs to."""
        self._count, self._last, self._groups = 0, "", {}


def _pool_of(of: Device | Volume) -> tuple[str, ...]:
    return (of.pool_id,)


def _sds_of(of: Device) -> tuple[str, ...]:
    return (of.sds_id,)


def _vtree_of(of: Volume) -> tuple[str, ...]:
    return (of.vtree_id,)


def _addresses_of(of: Sds) -> tuple[str, ...]:
    return tuple(address for address, _ in of.ips)


@attrs.define(kw_only=True)
class ClusterState:
    api: ApiVersion
    system_id: str
    system_name: str
    restricted_sdc: str = "None"
    virtual_ips: list[str] = attrs.field(factory=list)
    mdms: list[Mdm] = attrs.field(factory=list)
    domains: dict[str, Domain] = attrs.field(factory=dict)
    fault_sets: dict[str, FaultSet] = attrs.field(factory=dict)
    pools: dict[str, Pool] = attrs.field(factory=dict)
    sds: dict[str, Sds] = attrs.field(factory=dict)
    devices: dict[str, Device] = attrs.field(factory=dict)
    sdcs: dict[str, Sdc] = attrs.field(factory=dict)
    volumes: dict[str, Volume] = attrs.field(factory=dict)
    leaving_devices: list[str] = attrs.field(factory=list)  # ids
    now: float = attrs.field(default=0.0, repr=False)  # everything here is settled up to then
    approved: dict[str, str] = attrs.field(factory=dict)  # GUID to the id it has or will have
    foreign_alerts: dict[tuple[str, str], tuple[str, str]] = attrs.field(factory=dict)
    clock_skew_s: float = 0.0
    alerts: dict[tuple[str, str], AlertRecord] = attrs.field(factory=dict)

    _by_pool: Groups[Device] = attrs.field(
        factory=partial(Groups, _pool_of), init=False, repr=False, eq=False
    )
    _by_sds: Groups[Device] = attrs.field(
        factory=partial(Groups, _sds_of), init=False, repr=False, eq=False
    )
    _volumes_by_pool: Groups[Volume] = attrs.field(
        factory=partial(Groups, _pool_of), init=False, repr=False, eq=False
    )
    _volumes_by_vtree: Groups[Volume] = attrs.field(
        factory=partial(Groups, _vtree_of), init=False, repr=False, eq=False
    )
    _by_address: Groups[Sds] = attrs.field(
        factory=partial(Groups, _addresses_of), init=False, repr=False, eq=False
    )

    def forget_addresses(self) -> None:
        """To be called when an SDS has got or lost an address."""
        self._by_address.forget()

    def sds_at(self, ip: str) -> Sds | None:
        return next(iter(self._by_address.of(self.sds, ip)), None)

    def sdc_by_guid(self, guid: str) -> Sdc | None:
        wanted = guid.upper()
        return next((s for s in self.sdcs.values() if s.guid == wanted), None)

    def devices_of_pool(self, pool_id: str) -> list[Device]:
        return list(self._by_pool.of(self.devices, pool_id))

    def devices_of_sds(self, sds_id: str) -> list[Device]:
        return list(self._by_sds.of(self.devices, sds_id))

    def devices_leaving(self, pool_id: str) -> list[Device]:
        known = [self.devices[i] for i in self.leaving_devices if i in self.devices]
        return [d for d in known if d.pool_id == pool_id]

    def members_of_pool(self, pool_id: str) -> dict[str, int]:
        """Ids of the SDSs with devices in the pool, and the capacity (KB) each brings."""
        found: dict[str, int] = {}
        for device in self._by_pool.of(self.devices, pool_id):
            found[device.sds_id] = found.get(device.sds_id, 0) + device.usable_kb
        return found

    def volumes_of_pool(self, pool_id: str) -> list[Volume]:
        return list(self._volumes_by_pool.of(self.volumes, pool_id))

    def volumes_of_vtree(self, vtree_id: str) -> list[Volume]:
        return list(self._volumes_by_vtree.of(self.volumes, vtree_id))

    @property
    def vtrees(self) -> Collection[str]:
        """Ids of the trees that volumes and their snapshots are in."""
        return self._volumes_by_vtree.all(self.volumes)

    def pools_of_sds(self, sds_id: str) -> list[Pool]:
        ids = dict.fromkeys(d.pool_id for d in self._by_sds.of(self.devices, sds_id))
        return [p for p in self.pools.values() if p.id in ids] if ids else []

    def pool_figures(self, pool: Pool) -> Figures:
        return Figures(
            limit_kb=sum(d.usable_kb for d in self._by_pool.of(self.devices, pool.id)),
            thick_kb=sum(
                2 * v.size_kb for v in self._volumes_by_pool.of(self.volumes, pool.id) if v.thick
            ),
            thin_kb=pool.thin_kb,
            snap_kb=pool.snap_kb,
            snap_occupied_kb=pool.snap_occupied_kb,
            spare_percent=pool.spare_percent,
        )
