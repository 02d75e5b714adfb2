"""Gateway objects as they stand in its JSON: only the fields that are used, all but ids optional.

Releases differ in what they send; unset fields are null or absent, states are open enums.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Text = str | None
Texts = list[Text] | None
Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None


class Shape(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    pass


class MdmShape(Shape, frozen=True):
    """A member of the MDM cluster."""

    ips: Texts = None
    management_ips: Texts = msgspec.field(default=None, name="managementIPs")
    role: Text = None
    status: Text = None


class MdmClusterShape(Shape, frozen=True):
    cluster_state: Text = None
    cluster_mode: Text = None
    good_nodes_num: Count = None
    master: MdmShape | None = None
    slaves: list[MdmShape] | None = None
    tie_breakers: list[MdmShape] | None = None
    standby_mdms: list[MdmShape] | None = msgspec.field(default=None, name="standbyMDMs")
    virtual_ips: Texts = None


class SystemShape(Shape, frozen=True):
    """`mdm_cluster` from 2.0 on; before that the flat fields."""

    id: str
    name: Text = None
    mdm_cluster: MdmClusterShape | None = None
    mdm_mode: Text = None
    mdm_cluster_state: Text = None
    primary_mdm_actor_ip_list: Texts = None
    secondary_mdm_actor_ip_list: Texts = None
    tiebreaker_mdm_ip_list: Texts = None
    restricted_sdc_mode: Text = None
    restricted_sdc_mode_enabled: bool | None = None


class DomainShape(Shape, frozen=True):
    id: str
    name: Text = None
    protection_domain_state: Text = None


class FaultSetShape(Shape, frozen=True):
    id: str
    name: Text = None
    protection_domain_id: Text = None


class PoolShape(Shape, frozen=True):
    """The thresholds' names lack the word Percent that the command's have."""

    id: str
    name: Text = None
    protection_domain_id: Text = None
    media_type: Text = None
    spare_percentage: Count = None
    capacity_alert_high_threshold: Count = None
    capacity_alert_critical_threshold: Count = None


class SdsIpShape(Shape, frozen=True):
    ip: Text = None
    role: Text = None


class SdsShape(Shape, frozen=True):
    id: str
    name: Text = None
    protection_domain_id: Text = None
    fault_set_id: Text = None
    ip_list: list[SdsIpShape] | None = None
    sds_state: Text = None
    membership_state: Text = None
    mdm_connection_state: Text = None
    maintenance_state: Text = None


class DeviceShape(Shape, frozen=True):
    id: str
    name: Text = None
    sds_id: Text = None
    storage_pool_id: Text = None
    device_current_path_name: Text = None
    device_original_path_name: Text = None
    capacity_limit_in_kb: Count = None
    device_state: Text = None
    error_state: Text = None


class SdcShape(Shape, frozen=True):
    id: str
    name: Text = None
    sdc_guid: Text = None
    sdc_ip: Text = None
    sdc_ips: Texts = None
    sdc_approved: bool | None = None
    mdm_connection_state: Text = None


class MappedSdcShape(Shape, frozen=True):
    sdc_id: Text = None


class VolumeShape(Shape, frozen=True):
    id: str
    name: Text = None
    size_in_kb: Count = None
    storage_pool_id: Text = None
    mapped_sdc_info: list[MappedSdcShape] | None = None


class AffectedShape(Shape, frozen=True):
    type: Text = None
    id: Text = None
    object_id: Text = None


class AlertShape(Shape, frozen=True):
    id: str
    alert_type: Text = None
    severity: Text = None
    affected_object: AffectedShape | None = None
    start_time: Text = None


class TreeShape(Shape, frozen=True):
    """The whole of `GET /api/instances`. A type the release does not have is null or absent."""

    system: SystemShape = msgspec.field(name="System")
    protection_domain_list: list[DomainShape] | None = None
    storage_pool_list: list[PoolShape] | None = None
    fault_set_list: list[FaultSetShape] | None = None
    sds_list: list[SdsShape] | None = None
    device_list: list[DeviceShape] | None = None
    sdc_list: list[SdcShape] | None = None
    volume_list: list[VolumeShape] | None = None


class BwcShape(Shape, frozen=True):
    """A bandwidth counter. All three can be 0; `num_occured` is misspelt in the original."""

    num_seconds: Count = None
    total_weight_in_kb: Count = None
    num_occured: Count = None


class PoolStatisticsShape(Shape, frozen=True):
    capacity_limit_in_kb: Count = None
    capacity_in_use_in_kb: Count = None
    spare_capacity_in_kb: Count = None
    capacity_available_for_volume_allocation_in_kb: Count = None
    degraded_healthy_capacity_in_kb: Count = None
    degraded_failed_capacity_in_kb: Count = None
    failed_capacity_in_kb: Count = None
    moving_capacity_in_kb: Count = None
    pending_fwd_rebuild_capacity_in_kb: Count = None
    pending_bck_rebuild_capacity_in_kb: Count = None
    pending_norm_rebuild_capacity_in_kb: Count = None
    pending_rebalance_capacity_in_kb: Count = None
    thin_capacity_allocated_in_km: Count = None
    thin_capacity_allocated_in_kb: Count = None
    user_data_read_bwc: BwcShape | None = None
    user_data_write_bwc: BwcShape | None = None


class SdsStatisticsShape(Shape, frozen=True):
    total_read_bwc: BwcShape | None = None
    total_write_bwc: BwcShape | None = None


class DeviceStatisticsShape(Shape, frozen=True):
    avg_read_latency_in_microsec: Count = None
    avg_write_latency_in_microsec: Count = None
    fixed_read_error_count: Count = None


class JointStatisticsShape(msgspec.Struct, frozen=True, kw_only=True):
    """By type, then by id. A type that was not asked for is absent."""

    pools: dict[str, PoolStatisticsShape] = msgspec.field(name="StoragePool", default_factory=dict)
    sds: dict[str, SdsStatisticsShape] = msgspec.field(name="Sds", default_factory=dict)
    devices: dict[str, DeviceStatisticsShape] = msgspec.field(name="Device", default_factory=dict)


class CreatedShape(Shape, frozen=True):
    id: str


class RefusalShape(Shape, frozen=True):
    message: Text = None
    error_code: Count = None


class BearerShape(msgspec.Struct, frozen=True, kw_only=True):
    """The reply of `/rest/auth/login` (the one place with snake_case)."""

    access_token: Text = None
    refresh_token: Text = None
    expires_in: float | None = None
