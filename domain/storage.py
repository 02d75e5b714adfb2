"""The ScaleIO cluster as values: one snapshot of it, and what we may ask of it.

Objects and fields follow `GET /api/instances` and the per-type lists (ScaleIO 2.x to
PowerFlex 4.x REST API), normalised at the edge. Sizes in KB as the Gateway gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs


@attrs.frozen(kw_only=True)
class DomainState:
    id: str
    name: str
    active: bool = True


@attrs.frozen(kw_only=True)
class FaultSetState:
    id: str
    name: str
    domain_id: str


@attrs.frozen(kw_only=True)
class PoolState:
    """Raw KB unless said otherwise: two copies are counted."""

    id: str
    name: str
    domain_id: str
    media_type: str = ""  # "" where the release has none
    spare_percent: int = 0
    high_percent: int = 0  # where the Gateway itself begins to warn
    critical_percent: int = 0
    capacity_kb: int = 0  # capacityLimitInKb
    in_use_kb: int = 0
    spare_kb: int = 0
    available_kb: int = 0  # capacityAvailableForVolumeAllocationInKb
    degraded_kb: int = 0  # degradedHealthy + degradedFailed capacity
    failed_kb: int = 0
    moving: bool = False  # a rebuild or rebalance is under way
    moving_kb: int = 0  # what it still has to move, as far as it is told
    provisioned_kb: int = 0  # of thin volumes; what they may grow to
    read_kbps: int = 0  # of applications
    write_kbps: int = 0


@attrs.frozen(kw_only=True)
class SdsState:
    """Good only if sdsState Normal, membershipState Joined and mdmConnectionState Connected."""

    id: str
    name: str
    domain_id: str
    fault_set_id: str = ""
    addresses: tuple[str, ...] = ()
    good: bool = False
    roles: Mapping[str, str] = attrs.field(factory=dict)  # address -> all, sdsOnly, sdcOnly
    disconnected: bool = False  # the MDM says so; False where it says anything else
    in_maintenance: bool = False
    detail: str = ""  # the three states, for people
    read_kbps: int = 0  # all its devices, copies and rebuilds included
    write_kbps: int = 0

    @property
    def whole(self) -> bool:
        """It serves its copies: one in maintenance is well, and does not."""
        return self.good and not self.in_maintenance


@attrs.frozen(kw_only=True)
class DeviceState:
    id: str
    path: str  # deviceCurrentPathName
    sds_id: str
    pool_id: str
    good: bool = True
    detail: str = ""
    capacity_kb: int = 0  # capacityLimitInKb
    read_us: int = 0  # mean latency of a read, as last told; 0: idle or not told
    write_us: int = 0
    fixed_reads: int = 0  # read errors that were mended from the other copy


@attrs.frozen(kw_only=True)
class VolumeState:
    id: str
    name: str
    pool_id: str
    size_kb: int = 0  # net: one copy
    sdc_ids: tuple[str, ...] = ()  # of the SDCs that it is mapped to


@attrs.frozen(kw_only=True)
class SdcState:
    id: str
    guid: str  # upper case
    name: str = ""
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
    object_id: str = ""


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
    fault_sets: tuple[FaultSetState, ...] = ()
    pools: tuple[PoolState, ...] = ()
    sds: tuple[SdsState, ...] = ()
    devices: tuple[DeviceState, ...] = ()
    sdcs: tuple[SdcState, ...] = ()
    volumes: tuple[VolumeState, ...] = ()
    alerts: tuple[AlertState, ...] = ()
    gateway_url: str = ""  # which of several Gateways told this
    gateway_time: float = 0.0  # unix seconds by the Gateway's own clock; 0: it does not tell
    certificate_ends: float = 0.0  # unix seconds; 0: not seen (no TLS)
    fingerprint: str = ""  # SHA-256 of that certificate

    @property
    def data_is_whole(self) -> bool:
        """No copy of any data is missing: nothing degraded, nothing failed, nothing rebuilding."""
        return all(not (p.degraded_kb or p.failed_kb or p.moving) for p in self.pools)

    def sds_at(self, address: str) -> SdsState | None:
        return self._sds_by_address.get(address)

    def sdc_at(self, address: str) -> SdcState | None:
        return next((s for s in self.sdcs if s.address == address), None)

    def sdc_by_guid(self, guid: str) -> SdcState | None:
        return self._sdc_by_guid.get(guid.upper())

    def devices_of(self, sds_id: str) -> tuple[DeviceState, ...]:
        return self._devices_by_sds.get(sds_id, ())

    # A thousand agents ask the same snapshot: each look-up by itself would read all of it.

    @cached_property
    def _sds_by_address(self) -> Mapping[str, SdsState]:
        return {address: sds for sds in reversed(self.sds) for address in sds.addresses}

    @cached_property
    def _sdc_by_guid(self) -> Mapping[str, SdcState]:
        return {sdc.guid: sdc for sdc in reversed(self.sdcs)}

    @cached_property
    def _devices_by_sds(self) -> Mapping[str, tuple[DeviceState, ...]]:
        found: dict[str, list[DeviceState]] = {}
        for device in self.devices:
            found.setdefault(device.sds_id, []).append(device)
        return {sds_id: tuple(devices) for sds_id, devices in found.items()}
