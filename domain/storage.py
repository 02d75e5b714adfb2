"""The ScaleIO cluster as values: one snapshot of it, and what we may ask of it.

Objects and fields follow `GET /api/instances` and the per-type lists (ScaleIO 2.x to
PowerFlex 4.x REST API), normalised at the edge. Sizes in KB as the Gateway gives them.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class DomainState:
    id: str
    name: str
    active: bool = True


@attrs.frozen(kw_only=True)
class PoolState:
    id: str
    name: str
    domain_id: str
    capacity_kb: int = 0  # capacityLimitInKb
    in_use_kb: int = 0
    spare_kb: int = 0
    available_kb: int = 0  # capacityAvailableForVolumeAllocationInKb
    degraded_kb: int = 0  # degradedHealthy + degradedFailed capacity
    failed_kb: int = 0
    moving: bool = False  # a rebuild or rebalance is under way


@attrs.frozen(kw_only=True)
class SdsState:
    """Good only if sdsState Normal, membershipState Joined and mdmConnectionState Connected."""

    id: str
    name: str
    domain_id: str
    fault_set_id: str = ""
    addresses: tuple[str, ...] = ()
    good: bool = False
    disconnected: bool = False  # the MDM says so; False where it says anything else
    detail: str = ""  # the three states, for people


@attrs.frozen(kw_only=True)
class DeviceState:
    id: str
    path: str  # deviceCurrentPathName
    sds_id: str
    pool_id: str
    good: bool = True
    detail: str = ""
    capacity_kb: int = 0  # capacityLimitInKb


@attrs.frozen(kw_only=True)
class VolumeState:
    id: str
    name: str
    pool_id: str
    sdc_ids: tuple[str, ...] = ()  # of the SDCs that it is mapped to


@attrs.frozen(kw_only=True)
class SdcState:
    id: str
    guid: str  # upper case
    address: str = ""
    approved: bool = True
    connected: bool = False


@attrs.frozen(kw_only=True)
class AlertState:
    id: str
    kind: str  # alertType, unknown ones included
    severity: str
    object: str = ""
    since: str = ""  # ISO 8601 as the Gateway gave it


@attrs.frozen(kw_only=True)
class StorageSnapshot:
    """The whole cluster at one moment. `taken_at` is monotonic seconds."""

    taken_at: float
    api_version: tuple[int, int]
    system_id: str
    system_name: str = ""
    mdm_normal: bool = False  # cluster state and goodNodesNum against the mode
    mdm_detail: str = ""
    manager_addresses: tuple[str, ...] = ()  # data addresses of managers; virtual ones first
    member_addresses: tuple[str, ...] = ()  # every MDM address, tie-breakers included
    restricted_sdc: str = "None"  # None, Guid, ApprovedIp
    domains: tuple[DomainState, ...] = ()
    pools: tuple[PoolState, ...] = ()
    sds: tuple[SdsState, ...] = ()
    devices: tuple[DeviceState, ...] = ()
    sdcs: tuple[SdcState, ...] = ()
    volumes: tuple[VolumeState, ...] = ()
    alerts: tuple[AlertState, ...] = ()

    @property
    def data_is_whole(self) -> bool:
        """No copy of any data is missing: nothing degraded, nothing failed, nothing rebuilding."""
        return all(not (p.degraded_kb or p.failed_kb or p.moving) for p in self.pools)

    def sds_at(self, address: str) -> SdsState | None:
        return next((s for s in self.sds if address in s.addresses), None)

    def sdc_at(self, address: str) -> SdcState | None:
        return next((s for s in self.sdcs if s.address == address), None)

    def sdc_by_guid(self, guid: str) -> SdcState | None:
        wanted = guid.upper()
        return next((s for s in self.sdcs if s.guid == wanted), None)
