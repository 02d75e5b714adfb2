"""The simulated ScaleIO cluster as plain state: objects, and what follows from them.

Nothing here changes anything; `gateway_mdm` does. The state can be copied whole, which is how
a Gateway with stale data is played.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import attrs

from simulation.gateway_capacity import Figures

ApiVersion = tuple[int, int]
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
    rebuild_until: float | None = None
    rebalance_until: float | None = None


@attrs.define(kw_only=True)
class Sds:
    id: str
    name: str
    domain_id: str
    fault_set_id: str | None = None
    ips: list[tuple[str, str]] = attrs.field(factory=list)  # address, role
    port: int = 7072
    connected: bool = True
    leaves_at: float | None = None  # its data moves to the others until then
    absorbed_at: float | None = None  # away: its data is on the others then, if it has room there
    absorbed: bool = False  # away, and nothing misses it any more

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
    id: str
    name: str | None
    pool_id: str
    vtree_id: str
    size_kb: int
    thick: bool
    created_at: int
    mapped: list[MappedSdc] = attrs.field(factory=list)


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
    approved: dict[str, str] = attrs.field(factory=dict)  # GUID to the id it has or will have
    alerts: dict[tuple[str, str], AlertRecord] = attrs.field(factory=dict)

    def sds_at(self, ip: str) -> Sds | None:
        return next((s for s in self.sds.values() if ip in {a for a, _ in s.ips}), None)

    def sdc_by_guid(self, guid: str) -> Sdc | None:
        wanted = guid.upper()
        return next((s for s in self.sdcs.values() if s.guid == wanted), None)

    def devices_of_pool(self, pool_id: str) -> list[Device]:
        return [d for d in self.devices.values() if d.pool_id == pool_id]

    def devices_of_sds(self, sds_id: str) -> list[Device]:
        return [d for d in self.devices.values() if d.sds_id == sds_id]

    def volumes_of_pool(self, pool_id: str) -> list[Volume]:
        return [v for v in self.volumes.values() if v.pool_id == pool_id]

    def pools_of_sds(self, sds_id: str) -> list[Pool]:
        ids = {d.pool_id for d in self.devices_of_sds(sds_id)}
        return [p for p in self.pools.values() if p.id in ids]

    def pool_figures(self, pool: Pool) -> Figures:
        return Figures(
            limit_kb=sum(d.capacity_kb for d in self.devices_of_pool(pool.id)),
            thick_kb=sum(2 * v.size_kb for v in self.volumes_of_pool(pool.id) if v.thick),
            thin_kb=pool.thin_kb,
            spare_percent=pool.spare_percent,
        )


@attrs.frozen(kw_only=True)
class PoolHealth:
    """`degraded_kb`: data with one copy left; `failed_kb`: data with none at hand."""

    degraded_kb: int = 0
    failed_kb: int = 0
    rebuilding_kb: int = 0
    rebalancing_kb: int = 0

    @property
    def degraded(self) -> bool:
        return bool(self.degraded_kb or self.failed_kb)


def pool_health(state: ClusterState, pool: Pool) -> PoolHealth:
    """Degraded while data of a fault unit that is away is on no other, or is rebuilt."""
    devices = [d for d in state.devices_of_pool(pool.id) if not state.sds[d.sds_id].absorbed]
    total_kb = sum(d.capacity_kb for d in devices)
    away = [d for d in devices if not state.sds[d.sds_id].connected]
    away_kb = sum(d.capacity_kb for d in away)
    figures = state.pool_figures(pool)
    share_kb = figures.in_use_kb * away_kb // total_kb if total_kb else 0
    share_kb = max(DEGRADED_KB_MIN, share_kb)
    units_away = {state.sds[d.sds_id].unit for d in away}
    rebuilding = pool.rebuild_until is not None
    leaving = any(state.sds[d.sds_id].leaves_at is not None for d in devices)
    return PoolHealth(
        degraded_kb=share_kb if units_away or rebuilding else 0,
        failed_kb=share_kb if len(units_away) > 1 else 0,
        rebuilding_kb=share_kb if rebuilding and not units_away else 0,
        rebalancing_kb=DEGRADED_KB_MIN if pool.rebalance_until is not None or leaving else 0,
    )


@attrs.frozen(kw_only=True)
class MdmHealth:
    state: str
    mode: str
    good: int
    master: Mdm | None
    others: tuple[Mdm, ...]  # managers that are not master
    tie_breakers: tuple[Mdm, ...]


def mdm_health(state: ClusterState) -> MdmHealth:
    managers = [m for m in state.mdms if not m.tie_breaker]
    tie_breakers = tuple(m for m in state.mdms if m.tie_breaker)
    master = next((m for m in managers if m.good), None)
    managers_good = all(m.good for m in managers)
    tie_breakers_good = all(m.good for m in tie_breakers)
    if len(state.mdms) == 1:
        word = "NotClustered"
    elif managers_good:
        word = "ClusteredNormal" if tie_breakers_good else "ClusteredTiebreakerDown"
    else:
        word = "ClusteredDegraded" if tie_breakers_good else "ClusteredDegradedTiebreakerDown"
    return MdmHealth(
        state=word,
        mode={1: "OneNode", 3: "ThreeNodes", 5: "FiveNodes"}.get(len(state.mdms), "ThreeNodes"),
        good=sum(m.good for m in state.mdms),
        master=master,
        others=tuple(m for m in managers if m is not master),
        tie_breakers=tie_breakers,
    )


def alert_conditions(state: ClusterState) -> Iterator[tuple[str, str, str, str]]:
    """Every alert that should stand now: type, severity, type of the object, its id."""
    if mdm_health(state).state != "ClusteredNormal":
        yield "MDM_NOT_CLUSTERED", "ALERT_HIGH", "System", state.system_id
    for sds in state.sds.values():
        if not sds.connected:
            yield "SDS_DISCONNECTED", "ALERT_HIGH", "Sds", sds.id
    for sdc in state.sdcs.values():
        if not sdc.connected:
            yield "SDC_DISCONNECTED", "ALERT_LOW", "Sdc", sdc.id
    for device in state.devices.values():
        if device.failed:
            yield "DEVICE_FAILED", "ALERT_HIGH", "Device", device.id
    for pool in state.pools.values():
        yield from _pool_alerts(state, pool)


def _pool_alerts(state: ClusterState, pool: Pool) -> Iterator[tuple[str, str, str, str]]:
    health = pool_health(state, pool)
    if health.failed_kb:
        yield "STORAGE_POOL_HAS_FAILED_CAPACITY", "ALERT_HIGH", "StoragePool", pool.id
    if health.degraded_kb:
        yield "STORAGE_POOL_HAS_DEGRADED_CAPACITY", "ALERT_MEDIUM", "StoragePool", pool.id
    fill_percent = state.pool_figures(pool).fill_percent
    if fill_percent >= CRITICAL_PERCENT:
        kind = "CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD"
        yield kind, "ALERT_HIGH", "StoragePool", pool.id
    elif fill_percent >= HIGH_PERCENT:
        kind = "CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD"
        yield kind, "ALERT_MEDIUM", "StoragePool", pool.id
