"""What one simulated cluster can hold at most, as ScaleIO 2.0 has it, and the refusals beyond."""

from __future__ import annotations

from typing import Final

import attrs

from simulation.gateway_capacity import KB_PER_GB
from simulation.gateway_fields import MdmRefusalError
from simulation.gateway_model import ClusterState, Sds

GB_PER_TB: Final = 1024
LIMITS: Final[dict[str, int]] = {
    "maxVolumes": 32768,  # with snapshots; also in one domain
    "maxVolumesInVtree": 32,  # one volume and 31 snapshots
    "maxVolumesMappedToSdc": 8192,
    "maxSds": 1024,
    "maxSdsInDomain": 128,
    "maxDevicesInSds": 64,
    "maxCapacityInSdsInGb": 64 * GB_PER_TB,
    "maxDevicesInPool": 300,
    "maxSdc": 1024,
    "maxDomains": 256,
    "maxPools": 1024,
    "maxPoolsInDomain": 64,
    "maxFaultSetsInDomain": 64,
    "maxIpsInSds": 8,
    "maxCapacityInSystemInGb": 16 * 1024 * GB_PER_TB,
}
NO_ROOM: Final = 67
TOO_MANY_VOLUMES: Final = 96
TOO_MANY_VOLUMES_IN_DOMAIN: Final = 97
TOO_MANY_SNAPSHOTS: Final = 182


@attrs.define
class Limits:
    """Checks nothing unless it is on: small rules stay small for tests with large clusters."""

    on: bool = False

    def check_domain(self, state: ClusterState) -> None:
        self._below("maxDomains", len(state.domains), "Protection Domains")

    def check_pool(self, state: ClusterState, domain_id: str) -> None:
        here = sum(p.domain_id == domain_id for p in state.pools.values())
        self._below("maxPools", len(state.pools), "Storage Pools")
        self._below("maxPoolsInDomain", here, "Storage Pools in the Protection Domain")

    def check_fault_set(self, state: ClusterState, domain_id: str) -> None:
        here = sum(f.domain_id == domain_id for f in state.fault_sets.values())
        self._below("maxFaultSetsInDomain", here, "Fault Sets in the Protection Domain")

    def check_sds(self, state: ClusterState, domain_id: str) -> None:
        here = sum(s.domain_id == domain_id for s in state.sds.values())
        self._below("maxSds", len(state.sds), "SDSs")
        self._below("maxSdsInDomain", here, "SDSs in the Protection Domain")

    def check_addresses(self, count: int) -> None:
        self._below("maxIpsInSds", count - 1, "addresses of the SDS")

    def check_device(self, state: ClusterState, sds: Sds, pool_id: str, size_kb: int) -> None:
        here = state.devices_of_sds(sds.id)
        self._below("maxDevicesInSds", len(here), "devices of the SDS")
        self._below("maxDevicesInPool", len(state.devices_of_pool(pool_id)), "devices of the pool")
        new_gb = size_kb // KB_PER_GB
        self._up_to("maxCapacityInSdsInGb", sum(d.capacity_kb for d in here), new_gb)
        if self.on:
            all_kb = sum(d.capacity_kb for d in state.devices.values())
            self._up_to("maxCapacityInSystemInGb", all_kb, new_gb)

    def check_volume(self, state: ClusterState, domain_id: str) -> None:
        if not self.on:
            return
        here = sum(state.pools[v.pool_id].domain_id == domain_id for v in state.volumes.values())
        self._below("maxVolumes", len(state.volumes), "volumes", TOO_MANY_VOLUMES)
        self._below("maxVolumes", here, "volumes in the domain", TOO_MANY_VOLUMES_IN_DOMAIN)

    def check_tree(self, state: ClusterState, vtree_id: str, new: int) -> None:
        there = len(state.volumes_of_vtree(vtree_id)) + new - 1
        self._below("maxVolumesInVtree", there, "snapshots in the tree", TOO_MANY_SNAPSHOTS)

    def check_mapping(self, state: ClusterState, sdc_id: str) -> None:
        if self.on:
            volumes = state.volumes.values()
            there = sum(any(m.sdc_id == sdc_id for m in v.mapped) for v in volumes)
            self._below("maxVolumesMappedToSdc", there, "volumes mapped to the SDC")

    def _below(self, name: str, count: int, what: str, code: int = NO_ROOM) -> None:
        if self.on and count >= LIMITS[name]:
            raise MdmRefusalError(code, f"There can be no more than {LIMITS[name]} {what}")

    def _up_to(self, name: str, held_kb: int, new_gb: int) -> None:
        if self.on and held_kb // KB_PER_GB + new_gb > LIMITS[name]:
            raise MdmRefusalError(NO_ROOM, f"There can be no more than {LIMITS[name]} GB")


def queried(limits: Limits) -> dict[str, object]:
    """The reply's form is not public: clients must not rely on the names of its items."""
    listed = [{"type": name, "maxVal": str(value)} for name, value in LIMITS.items()]
    return {"systemLimitEntryList": listed if limits.on else []}
