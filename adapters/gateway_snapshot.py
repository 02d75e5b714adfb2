"""From the Gateway's shapes to the `StorageSnapshot` that decisions are made on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.storage import (
    AlertState,
    DeviceState,
    DomainState,
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
    DomainShape,
    MdmClusterShape,
    PoolShape,
    PoolStatisticsShape,
    SdcShape,
    SdsShape,
    TreeShape,
    VolumeShape,
)
from protocol.gateway.versions import ApiVersion

_NOTHING = PoolStatisticsShape()


def assemble(
    tree: TreeShape,
    *,
    taken_at: float,
    api_version: ApiVersion,
    statistics: Mapping[str, PoolStatisticsShape],
    alerts: Sequence[AlertShape],
    cluster: MdmClusterShape | None,
) -> StorageSnapshot:
    system = tree.system
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
        sds=tuple(_sds(s) for s in tree.sds_list or ()),
        devices=tuple(_device(d) for d in tree.device_list or ()),
        sdcs=tuple(_sdc(s) for s in tree.sdc_list or ()),
        volumes=tuple(_volume(v) for v in tree.volume_list or ()),
        alerts=tuple(_alert(a) for a in alerts),
    )


def _domain(shape: DomainShape) -> DomainState:
    return DomainState(
        id=shape.id,
        name=shape.name or "",
        active=(shape.protection_domain_state or "Active") == "Active",
    )


def _pool(shape: PoolShape, of: PoolStatisticsShape) -> PoolState:
    return PoolState(
        id=shape.id,
        name=shape.name or "",
        domain_id=shape.protection_domain_id or "",
        capacity_kb=of.capacity_limit_in_kb or 0,
        in_use_kb=of.capacity_in_use_in_kb or 0,
        spare_kb=of.spare_capacity_in_kb or 0,
        available_kb=of.capacity_available_for_volume_allocation_in_kb or 0,
        degraded_kb=health.degraded_kb(of),
        failed_kb=of.failed_capacity_in_kb or 0,
        moving=health.is_moving(of),
    )


def _sds(shape: SdsShape) -> SdsState:
    return SdsState(
        id=shape.id,
        name=shape.name or "",
        domain_id=shape.protection_domain_id or "",
        fault_set_id=shape.fault_set_id or "",
        addresses=tuple(at.ip for at in shape.ip_list or () if at.ip),
        good=health.sds_is_good(shape),
        disconnected=shape.mdm_connection_state == "Disconnected",
        detail=health.sds_detail(shape),
    )


def _device(shape: DeviceShape) -> DeviceState:
    return DeviceState(
        id=shape.id,
        path=shape.device_current_path_name or shape.device_original_path_name or "",
        sds_id=shape.sds_id or "",
        pool_id=shape.storage_pool_id or "",
        good=health.device_is_good(shape),
        detail=health.device_detail(shape),
        capacity_kb=shape.capacity_limit_in_kb or 0,
    )


def _volume(shape: VolumeShape) -> VolumeState:
    return VolumeState(
        id=shape.id,
        name=shape.name or "",
        pool_id=shape.storage_pool_id or "",
        sdc_ids=tuple(at.sdc_id for at in shape.mapped_sdc_info or () if at.sdc_id),
    )


def _sdc(shape: SdcShape) -> SdcState:
    return SdcState(
        id=shape.id,
        guid=(shape.sdc_guid or "").upper(),
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
    )
