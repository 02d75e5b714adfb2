"""From the Gateway's shapes to the `StorageSnapshot` that decisions are made on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adapters.gateway_tls import Seen
from domain.storage import (
    AlertState,
    DeviceState,
    DomainState,
    FaultSetState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
    VolumeState,
)
from protocol.gateway import health
from protocol.gateway.shapes import (
    AlertShape,
    DeviceShape,
    DeviceStatisticsShape,
    DomainShape,
    FaultSetShape,
    MdmClusterShape,
    PoolShape,
    PoolStatisticsShape,
    SdcShape,
    SdsShape,
    SdsStatisticsShape,
    TreeShape,
    VolumeShape,
)
from protocol.gateway.versions import ApiVersion

_NOTHING: Final = PoolStatisticsShape()
_NO_TRAFFIC: Final = SdsStatisticsShape()
_UNSEEN: Final = Seen()
_SILENT: Final = DeviceStatisticsShape()


def assemble(
    tree: TreeShape,
    *,
    taken_at: float,
    api_version: ApiVersion,
    statistics: Mapping[str, PoolStatisticsShape],
    alerts: Sequence[AlertShape],
    cluster: MdmClusterShape | None,
    traffic: Mapping[str, SdsStatisticsShape] | None = None,
    latencies: Mapping[str, DeviceStatisticsShape] | None = None,
    gateway_url: str = "",
    gateway_time: float = 0.0,
    certificate: Seen = _UNSEEN,
) -> StorageSnapshot:
    """Statistics by object id; those of SDSs and devices may be missing."""
    system, traffic, latencies = tree.system, traffic or {}, latencies or {}
    mdm = health.mdm_view(system, cluster)
    return StorageSnapshot(
        taken_at=taken_at,
        api_version=api_version,
        system_id=system.id,
        system_name=system.name or "",
        mdm_normal=mdm.normal,
        mdm_detail=mdm.detail,
        manager_addresses=mdm.managers,
        member_addresses=mdm.members,
        restricted_sdc=health.restricted_mode(system),
        domains=tuple(_domain(d) for d in tree.protection_domain_list or ()),
        pools=tuple(_pool(p, statistics.get(p.id, _NOTHING)) for p in tree.storage_pool_list or ()),
        fault_sets=tuple(_fault_set(f) for f in tree.fault_set_list or ()),
        sds=tuple(_sds(s, traffic.get(s.id, _NO_TRAFFIC)) for s in tree.sds_list or ()),
        devices=tuple(_device(d, latencies.get(d.id, _SILENT)) for d in tree.device_list or ()),
        sdcs=tuple(_sdc(s) for s in tree.sdc_list or ()),
        volumes=tuple(_volume(v) for v in tree.volume_list or ()),
        alerts=tuple(_alert(a) for a in alerts),
        gateway_url=gateway_url,
        gateway_time=gateway_time,
        certificate_ends=certificate.ends,
        fingerprint=certificate.fingerprint,
    )


def _domain(shape: DomainShape) -> DomainState:
    return DomainState(
        id=shape.id,
        name=shape.name or "",
        active=(shape.protection_domain_state or "Active") == "Active",
    )


def _fault_set(shape: FaultSetShape) -> FaultSetState:
    return FaultSetState(
        id=shape.id, name=shape.name or "", domain_id=shape.protection_domain_id or ""
    )


def _pool(shape: PoolShape, of: PoolStatisticsShape) -> PoolState:
    return PoolState(
        id=shape.id,
        name=shape.name or "",
        domain_id=shape.protection_domain_id or "",
        media_type=shape.media_type or "",
        spare_percent=shape.spare_percentage or 0,
        high_percent=shape.capacity_alert_high_threshold or 0,
        critical_percent=shape.capacity_alert_critical_threshold or 0,
        capacity_kb=of.capacity_limit_in_kb or 0,
        in_use_kb=of.capacity_in_use_in_kb or 0,
        spare_kb=of.spare_capacity_in_kb or 0,
        available_kb=of.capacity_available_for_volume_allocation_in_kb or 0,
        degraded_kb=health.degraded_kb(of),
        failed_kb=of.failed_capacity_in_kb or 0,
        moving=health.is_moving(of),
        moving_kb=health.moving_kb(of),
        provisioned_kb=of.thin_capacity_allocated_in_kb or of.thin_capacity_allocated_in_km or 0,
        read_kbps=health.kb_per_s(of.user_data_read_bwc),
        write_kbps=health.kb_per_s(of.user_data_write_bwc),
    )


def _sds(shape: SdsShape, of: SdsStatisticsShape) -> SdsState:
    return SdsState(
        id=shape.id,
        name=shape.name or "",
        domain_id=shape.protection_domain_id or "",
        fault_set_id=shape.fault_set_id or "",
        addresses=tuple(at.ip for at in shape.ip_list or () if at.ip),
        roles={at.ip: at.role or "all" for at in shape.ip_list or () if at.ip},
        good=health.sds_is_good(shape),
        disconnected=shape.mdm_connection_state == "Disconnected",
        in_maintenance=health.is_in_maintenance(shape),
        detail=health.sds_detail(shape),
        read_kbps=health.kb_per_s(of.total_read_bwc),
        write_kbps=health.kb_per_s(of.total_write_bwc),
    )


def _device(shape: DeviceShape, of: DeviceStatisticsShape) -> DeviceState:
    return DeviceState(
        id=shape.id,
        path=shape.device_current_path_name or shape.device_original_path_name or "",
        sds_id=shape.sds_id or "",
        pool_id=shape.storage_pool_id or "",
        good=health.device_is_good(shape),
        detail=health.device_detail(shape),
        capacity_kb=shape.capacity_limit_in_kb or 0,
        read_us=of.avg_read_latency_in_microsec or 0,
        write_us=of.avg_write_latency_in_microsec or 0,
        fixed_reads=of.fixed_read_error_count or 0,
    )


def _volume(shape: VolumeShape) -> VolumeState:
    return VolumeState(
        id=shape.id,
        name=shape.name or "",
        pool_id=shape.storage_pool_id or "",
        size_kb=shape.size_in_kb or 0,
        sdc_ids=tuple(at.sdc_id for at in shape.mapped_sdc_info or () if at.sdc_id),
    )


def _sdc(shape: SdcShape) -> SdcState:
    return SdcState(
        id=shape.id,
        guid=(shape.sdc_guid or "").upper(),
        name=shape.name or "",
        address=health.sdc_address(shape),
        approved=shape.sdc_approved is not False,
        connected=shape.mdm_connection_state == "Connected",
    )


def _alert(shape: AlertShape) -> AlertState:
    return AlertState(
        id=shape.id,
        kind=shape.alert_type or "UNKNOWN",
        severity=shape.severity or "",
        object=health.alert_object(shape),
        since=shape.start_time or "",
        object_id=health.alert_object_id(shape),
    )
