"""Statistics of the simulated cluster by type and release, misspelt names included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from simulation.gateway_capacity import Figures
from simulation.gateway_model import ClusterState, Device, Pool, PoolHealth, Sds, pool_health

Found = dict[str, object]
Rates = dict[str, tuple[int, int]]  # of a counter: KB and operations a second

WINDOW_S: Final = 5
REBUILD_IO_KB: Final = 1024  # data is moved in pieces of that size
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
_JOBS: Final = ("FwdRebuild", "BckRebuild", "NormRebuild", "Rebalance")


@attrs.define
class Statistics:
    """All statistics of one state, for one request: what a pool holds is computed once."""

    state: ClusterState
    _parts: dict[str, dict[str, int]] = attrs.field(factory=dict, init=False)
    _health: dict[str, PoolHealth] = attrs.field(factory=dict, init=False)
    _rates: dict[str, Rates] | None = attrs.field(default=None, init=False)

    def of(self, kind: str, object_id: str) -> Found:
        """Everything there is about one object, as `relationships/Statistics` gives it."""
        match kind:
            case "System" | "ProtectionDomain" | "StoragePool":
                pools = self._pools(kind, object_id)
                return {
                    **_summed([_EMPTY_PART, *(self._part(p) for p in pools)], self.state.api),
                    **_counters(_BWC, _added(self._pool_rates(p) for p in pools)),
                    **_counts(self.state, kind, object_id, pools),
                }
            case "Sds":
                return self._sds(self.state.sds[object_id])
            case "Device":
                return self._device(self.state.devices[object_id])
            case "Sdc":
                volumes = self.state.volumes.values()
                mapped = [v.id for v in volumes if any(m.sdc_id == object_id for m in v.mapped)]
                return {
                    **_counters(("userDataRead", "userDataWrite"), {}),
                    "numOfMappedVolumes": len(mapped),
                    "volumeIds": mapped,
                }
            case _:
                return _counters(("userDataRead", "userDataWrite"), {})

    def _pools(self, kind: str, object_id: str) -> list[Pool]:
        pools = self.state.pools
        if kind == "StoragePool":
            return [pools[object_id]]
        return [p for p in pools.values() if kind == "System" or p.domain_id == object_id]

    def _part(self, pool: Pool) -> dict[str, int]:
        if pool.id not in self._parts:
            health = self._pool_health(pool)
            volumes = self.state.volumes_of_pool(pool.id)
            thin_kb = 2 * sum(v.size_kb for v in volumes if not v.thick and not v.snapshot)
            self._parts[pool.id] = {
                **_figures(health.figures),
                **_health_figures(health),
                **_vac(health, sum(v.size_kb for v in volumes)),
                "thinCapacityAllocatedInKm": thin_kb,
                "thinCapacityAllocatedInKb": thin_kb,
            }
        return self._parts[pool.id]

    def _pool_health(self, pool: Pool) -> PoolHealth:
        if pool.id not in self._health:
            self._health[pool.id] = pool_health(self.state, pool)
        return self._health[pool.id]

    def _pool_rates(self, pool: Pool) -> Rates:
        """What clients do to its SDSs, as far as those serve this pool, and its own jobs."""
        if self._rates is None:
            self._rates = _traffic_by_pool(self.state)
        return _added([self._rates.get(pool.id, {}), _job_rates(self._pool_health(pool))])

    def _sds(self, sds: Sds) -> Found:
        devices = self.state.devices_of_sds(sds.id)
        return {
            "maxCapacityInKb": sum(d.capacity_kb for d in devices),
            "capacityLimitInKb": sum(d.usable_kb for d in devices),
            "capacityInUseInKb": sum(self._in_use_kb(d) for d in devices),
            "numOfDevices": len(devices),
            "deviceIds": [d.id for d in devices],
            "rfacheReadHit": 0,
            "rfcachePooIosOutstanding": 0,
            **_counters(_BWC, _traffic(sds)),
        }

    def _device(self, device: Device) -> Found:
        return {
            "maxCapacityInKb": device.capacity_kb,
            "capacityLimitInKb": device.usable_kb,
            "capacityInUseInKb": self._in_use_kb(device),
            "avgReadLatencyInMicrosec": device.read_us,
            "avgWriteLatencyInMicrosec": device.write_us,
            "fixedReadErrorCount": device.fixed_read_errors,
            **_counters(_BWC[:6], {}),
        }

    def _in_use_kb(self, device: Device) -> int:
        """A pool's data lies evenly on its devices."""
        figures = self._pool_health(self.state.pools[device.pool_id]).figures
        return figures.in_use_kb * device.usable_kb // max(1, figures.limit_kb)


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
        "netCapacityInUseInKb": of.in_use_kb // 2,
        "netUnusedCapacityInKb": of.unused_kb // 2,
        "snapshotCapacityInKb": of.snap_kb,
    }


def _health_figures(of: PoolHealth) -> dict[str, int]:
    """A tenth of what is to be rebuilt is being copied just now, the rest waits its turn."""
    waiting = dict(zip(_JOBS, (of.forward_kb, of.backward_kb, 0, of.rebalancing_kb), strict=True))
    active = {job: -(-kb // 10) for job, kb in waiting.items()}
    return {
        **{f"pending{job}CapacityInKb": kb - active[job] for job, kb in waiting.items()},
        **{f"active{job}CapacityInKb": kb for job, kb in active.items()},
        "protectedCapacityInKb": of.protected_kb,
        "degradedHealthyCapacityInKb": of.degraded_kb,
        "degradedFailedCapacityInKb": of.degraded_kb,
        "failedCapacityInKb": of.failed_kb,
        "semiProtectedCapacityInKb": 0,
        "inMaintenanceCapacityInKb": of.maintenance_kb,
        "atRestCapacityInKb": of.protected_kb - of.rebalancing_kb,
        "movingCapacityInKb": of.rebuilding_kb + of.rebalancing_kb,
        "unreachableUnusedCapacityInKb": 0,
    }


def _vac(of: PoolHealth, volumes_kb: int) -> dict[str, int]:
    """Volume addresses, two copies of each, as healthy as the data is."""
    all_kb, in_use_kb = 2 * volumes_kb, max(1, of.figures.in_use_kb)
    part = {
        "degradedHealthy": all_kb * of.degraded_kb // in_use_kb,
        "degradedFailed": all_kb * of.degraded_kb // in_use_kb,
        "failed": all_kb * of.failed_kb // in_use_kb,
        "inMaintenance": all_kb * of.maintenance_kb // in_use_kb,
        "semiProtected": 0,
    }
    protected_kb = all_kb - sum(part.values())
    moving_kb = all_kb * of.rebalancing_kb // in_use_kb
    part |= {"protected": protected_kb, "atRest": max(0, protected_kb - moving_kb)}
    part["moving"] = min(protected_kb, moving_kb)
    return {
        "primaryVacInKb": volumes_kb,
        "secondaryVacInKb": volumes_kb,
        "inUseVacInKb": all_kb,
        **{f"{name}VacInKb": kb for name, kb in part.items()},
    }


_EMPTY_HEALTH: Final = PoolHealth(figures=Figures(limit_kb=0))
_EMPTY_PART: Final = {
    **_figures(_EMPTY_HEALTH.figures),
    **_health_figures(_EMPTY_HEALTH),
    **_vac(_EMPTY_HEALTH, 0),
    "thinCapacityAllocatedInKm": 0,
    "thinCapacityAllocatedInKb": 0,
}
_SINCE: Final = {
    "thinCapacityAllocatedInKb": (2, 5),
    "netCapacityInUseInKb": (3, 0),
    "netUnusedCapacityInKb": (3, 0),
    "snapshotCapacityInKb": (3, 5),
}


def _summed(parts: Iterable[Mapping[str, int]], api: tuple[int, int]) -> dict[str, int]:
    """Over pools, so the system's available capacity is not recomputed from its total."""
    total: dict[str, int] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return {name: value for name, value in total.items() if api >= _SINCE.get(name, api)}


def _counts(state: ClusterState, kind: str, object_id: str, pools: list[Pool]) -> Found:
    volumes = [v for p in pools for v in state.volumes_of_pool(p.id)]
    devices = [d for p in pools for d in state.devices_of_pool(p.id)]
    base = [v for v in volumes if not v.snapshot]
    vtrees = list(dict.fromkeys(v.vtree_id for v in volumes))
    found: Found = {
        "numOfVolumes": len(volumes),
        "numOfVtrees": len(vtrees),
        "numOfSnapshots": len(volumes) - len(base),
        "numOfThinBaseVolumes": sum(not v.thick for v in base),
        "numOfThickBaseVolumes": sum(v.thick for v in base),
        "numOfUnmappedVolumes": sum(not v.mapped for v in volumes),
        "numOfMappedToAllVolumes": 0,
        "numOfVolumesInDeletion": 0,
        "numOfDevices": len(devices),
        "deviceIds": [d.id for d in devices],
        "volumeIds": [v.id for v in volumes],
        "vtreeIds": vtrees,
    }
    if kind != "StoragePool":
        in_scope = kind == "System"
        sds = [s for s in state.sds.values() if in_scope or s.domain_id == object_id]
        sets = [f for f in state.fault_sets.values() if in_scope or f.domain_id == object_id]
        found["numOfStoragePools"] = len(pools)
        found["numOfSds"] = len(sds)
        found["numOfFaultSets"] = len(sets)
    if kind == "System":
        found["numOfSdc"] = len(state.sdcs)
        found["numOfProtectionDomains"] = len(state.domains)
        found["numOfRfcacheDevices"] = 0
        found["protectionDomainIds"] = list(state.domains)
        found["sdcIds"] = list(state.sdcs)
        if state.api < (3, 0):
            found["numOfScsiInitiators"] = 0
    return found


# --- traffic


def _traffic(sds: Sds) -> Rates:
    """Reads come from the primary copy; every write goes to both."""
    of = sds.traffic
    read = (of.read_kbps, of.read_iops)
    primary = (-(-of.write_kbps // 2), -(-of.write_iops // 2))
    return {
        "totalRead": read,
        "primaryRead": read,
        "primaryReadFromDev": read,
        "totalWrite": (of.write_kbps, of.write_iops),
        "primaryWrite": primary,
        "secondaryWrite": (of.write_kbps - primary[0], of.write_iops - primary[1]),
    }


def _traffic_by_pool(state: ClusterState) -> dict[str, Rates]:
    """An SDS in several pools serves each by its capacity; nothing is lost by rounding."""
    found: dict[str, Rates] = {}
    for sds in state.sds.values():
        sizes: dict[str, int] = {}
        for device in state.devices_of_sds(sds.id):
            sizes[device.pool_id] = sizes.get(device.pool_id, 0) + device.usable_kb
        left, left_kb = _traffic(sds), sum(sizes.values())
        for pool_id, size_kb in sizes.items():
            part = {
                name: (kbps * size_kb // left_kb, iops * size_kb // left_kb)
                for name, (kbps, iops) in left.items()
            }
            left = {n: (k - part[n][0], i - part[n][1]) for n, (k, i) in left.items()}
            left_kb -= size_kb
            found[pool_id] = _added([found.get(pool_id, {}), part])
    return found


def _job_rates(of: PoolHealth) -> Rates:
    found: Rates = {}
    for job, kbps in (
        ("fwdRebuild", of.forward_kbps),
        ("bckRebuild", of.backward_kbps),
        ("rebalance", of.rebalance_kbps),
    ):
        rate = (kbps, -(-kbps // REBUILD_IO_KB))
        found |= {f"{job}Read": rate, f"{job}Write": rate}
    return found


def _added(parts: Iterable[Rates]) -> Rates:
    total: Rates = {}
    for part in parts:
        for name, (kbps, iops) in part.items():
            so_far = total.get(name, (0, 0))
            total[name] = (so_far[0] + kbps, so_far[1] + iops)
    return total


def _counters(names: Iterable[str], rates: Rates) -> Found:
    """An idle counter is all zeros, its window too."""
    found: Found = {}
    for name in names:
        kbps, iops = rates.get(name, (0, 0))
        found[f"{name}Bwc"] = {
            "numSeconds": WINDOW_S if kbps or iops else 0,
            "totalWeightInKb": kbps * WINDOW_S,
            "numOccured": iops * WINDOW_S,
        }
    return found
