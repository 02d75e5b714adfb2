"""Statistics of the simulated cluster by type and release, misspelt names included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from simulation.gateway_capacity import Figures
from simulation.gateway_model import ClusterState, PoolHealth, pool_health

Statistics = dict[str, object]

_BWC: Final = (
    "primaryRead",
    "primaryWrite",
    "secondaryRead",
    "secondaryWrite",
    "totalRead",
    "totalWrite",
    "userDataRead",
    "userDataWrite",
    "primaryReadFromDev",
    "primaryReadFromRmcache",
    "fwdRebuildRead",
    "fwdRebuildWrite",
    "bckRebuildRead",
    "bckRebuildWrite",
    "normRebuildRead",
    "normRebuildWrite",
    "rebalanceRead",
    "rebalanceWrite",
)
_CAPACITY_TYPES: Final = ("System", "ProtectionDomain", "StoragePool")


def statistics(state: ClusterState, kind: str, object_id: str) -> Statistics:
    """Everything there is about one object, as `relationships/Statistics` gives it."""
    if kind in _CAPACITY_TYPES:
        pools = _pools(state, kind, object_id)
        return {
            **_capacity(state, pools),
            **_idle_counters(_BWC),
            **_counts(state, kind, pools),
        }
    if kind == "Sds":
        return _sds(state, object_id)
    if kind == "Device":
        return _device(state, object_id)
    if kind == "Sdc":
        mapped = [
            v.id for v in state.volumes.values() if any(m.sdc_id == object_id for m in v.mapped)
        ]
        return {
            **_idle_counters(("userDataRead", "userDataWrite")),
            "numOfMappedVolumes": len(mapped),
            "volumeIds": mapped,
        }
    return _idle_counters(("userDataRead", "userDataWrite"))


def _pools(state: ClusterState, kind: str, object_id: str) -> list[str]:
    if kind == "StoragePool":
        return [object_id]
    in_scope = kind == "System"
    return [p.id for p in state.pools.values() if in_scope or p.domain_id == object_id]


def _capacity(state: ClusterState, pool_ids: Iterable[str]) -> Statistics:
    """Sums over pools, so the system's available capacity is not recomputed from its total."""
    pools = [state.pools[i] for i in pool_ids]
    total: dict[str, int] = {}
    for pool in pools:
        figures, health = state.pool_figures(pool), pool_health(state, pool)
        volumes_kb = sum(v.size_kb for v in state.volumes_of_pool(pool.id))
        allocated_kb = 2 * sum(v.size_kb for v in state.volumes_of_pool(pool.id) if not v.thick)
        part = {
            **_figures(figures),
            **_health(figures, health),
            "thinCapacityAllocatedInKm": allocated_kb,
            "primaryVacInKb": volumes_kb,
            "secondaryVacInKb": volumes_kb,
            "inUseVacInKb": 2 * volumes_kb,
        }
        if state.api >= (2, 5):
            part["thinCapacityAllocatedInKb"] = allocated_kb
        if state.api >= (3, 0):
            part["netCapacityInUseInKb"] = figures.in_use_kb // 2
            part["netUnusedCapacityInKb"] = figures.unused_kb // 2
        if state.api >= (3, 5):
            part["snapshotCapacityInKb"] = figures.snap_kb
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    if not pools:
        return dict.fromkeys((*_figures(_EMPTY), *_health(_EMPTY, PoolHealth())), 0)
    return dict(total)


_EMPTY: Final = Figures(limit_kb=0)


def _figures(of: Figures) -> dict[str, int]:
    return {
        "maxCapacityInKb": of.limit_kb,
        "capacityLimitInKb": of.limit_kb,
        "capacityInUseInKb": of.in_use_kb,
        "thinCapacityInUseInKb": of.thin_kb,
        "thickCapacityInUseInKb": of.thick_kb,
        "snapCapacityInUseInKb": of.snap_kb,
        "snapCapacityInUseOccupiedInKb": of.snap_occupied_kb,
        "unusedCapacityInKb": of.unused_kb,
        "spareCapacityInKb": of.spare_kb,
        "capacityAvailableForVolumeAllocationInKb": of.available_kb,
    }


def _health(of: Figures, health: PoolHealth) -> dict[str, int]:
    whole_kb = max(0, of.in_use_kb - 2 * health.degraded_kb - health.failed_kb)
    moving_kb = health.rebuilding_kb + health.rebalancing_kb
    return {
        "protectedCapacityInKb": whole_kb,
        "degradedHealthyCapacityInKb": health.degraded_kb,
        "degradedFailedCapacityInKb": health.degraded_kb,
        "failedCapacityInKb": health.failed_kb,
        "semiProtectedCapacityInKb": 0,
        "inMaintenanceCapacityInKb": 0,
        "atRestCapacityInKb": max(0, whole_kb - moving_kb),
        "movingCapacityInKb": moving_kb,
        "unreachableUnusedCapacityInKb": 0,
        "pendingFwdRebuildCapacityInKb": 0,
        "pendingBckRebuildCapacityInKb": 0,
        "pendingNormRebuildCapacityInKb": 0,
        "pendingRebalanceCapacityInKb": 0,
    }


def _counts(state: ClusterState, kind: str, pool_ids: list[str]) -> Statistics:
    pools = set(pool_ids)
    volumes = [v for v in state.volumes.values() if v.pool_id in pools]
    devices = [d for d in state.devices.values() if d.pool_id in pools]
    found: Statistics = {
        "numOfVolumes": len(volumes),
        "numOfVtrees": len(volumes),
        "numOfSnapshots": 0,
        "numOfThinBaseVolumes": sum(not v.thick for v in volumes),
        "numOfThickBaseVolumes": sum(v.thick for v in volumes),
        "numOfUnmappedVolumes": sum(not v.mapped for v in volumes),
        "numOfMappedToAllVolumes": 0,
        "numOfVolumesInDeletion": 0,
        "numOfDevices": len(devices),
        "deviceIds": [d.id for d in devices],
        "volumeIds": [v.id for v in volumes],
        "vtreeIds": [v.vtree_id for v in volumes],
    }
    if kind != "StoragePool":
        found["numOfStoragePools"] = len(pools)
        found["numOfSds"] = len({d.sds_id for d in devices})
        found["numOfFaultSets"] = len(state.fault_sets)
    if kind == "System":
        found["numOfSds"] = len(state.sds)
        found["numOfSdc"] = len(state.sdcs)
        found["numOfProtectionDomains"] = len(state.domains)
        found["numOfRfcacheDevices"] = 0
        found["protectionDomainIds"] = list(state.domains)
        found["sdcIds"] = list(state.sdcs)
        if state.api < (3, 0):
            found["numOfScsiInitiators"] = 0
    return found


def _sds(state: ClusterState, sds_id: str) -> Statistics:
    devices = state.devices_of_sds(sds_id)
    limit_kb = sum(d.capacity_kb for d in devices)
    return {
        "maxCapacityInKb": limit_kb,
        "capacityLimitInKb": limit_kb,
        "capacityInUseInKb": sum(_in_use_kb(state, d.id) for d in devices),
        "numOfDevices": len(devices),
        "deviceIds": [d.id for d in devices],
        "rfacheReadHit": 0,
        "rfcachePooIosOutstanding": 0,
        **_idle_counters(_BWC),
    }


def _device(state: ClusterState, device_id: str) -> Statistics:
    device = state.devices[device_id]
    return {
        "maxCapacityInKb": device.capacity_kb,
        "capacityLimitInKb": device.capacity_kb,
        "capacityInUseInKb": _in_use_kb(state, device_id),
        "avgReadLatencyInMicrosec": 0,
        "avgWriteLatencyInMicrosec": 0,
        "fixedReadErrorCount": 0,
        **_idle_counters(_BWC[:6]),
    }


def _in_use_kb(state: ClusterState, device_id: str) -> int:
    """A pool's data lies evenly on its devices."""
    device = state.devices[device_id]
    figures = state.pool_figures(state.pools[device.pool_id])
    return figures.in_use_kb * device.capacity_kb // max(1, figures.limit_kb)


def _idle_counters(names: Iterable[str]) -> Statistics:
    return {
        f"{name}Bwc": {"numSeconds": 0, "totalWeightInKb": 0, "numOccured": 0} for name in names
    }
