"""What decisions about the storage cluster ask for, done through the Gateway, one call each."""

from __future__ import annotations

from typing import Final, assert_never

import structlog

from actors.messages import StorageRequest
from actors.ports import Gateway
from domain import joining, leaving
from domain.inbox import StorageAnswer
from domain.storage import StorageSnapshot
from protocol.gateway.errors import GatewayRefusedError

PROBE_GB: Final = 8  # the smallest volume there is
TOO_FEW_UNITS: Final = frozenset({45, 67, 144})  # no devices, not enough resources, < 3 SDSs
ABSENT: Final = frozenset({79, 84})
WORLDWIDE: Final = ("wwn-", "nvme-eui.")  # by-id names that no two disks have

log = structlog.get_logger()


async def make(gateway: Gateway, act: joining.Change) -> None:
    """Carry out what is missing for an agent to belong to the cluster."""
    log.info("storage", act=type(act).__name__, on=repr(act))
    match act:
        case joining.CreateDomain(name=name):
            await gateway.create_protection_domain(name)
        case joining.CreatePool():
            await gateway.create_storage_pool(
                domain_id=act.domain_id,
                name=act.name,
                media_type=act.media_type,
                spare_percent=act.spare_percent,
            )
        case joining.SetThresholds():
            await gateway.set_capacity_thresholds(
                pool_id=act.pool_id, high=act.high, critical=act.critical
            )
        case joining.CreateFaultSet(domain_id=domain_id, name=name):
            await gateway.create_fault_set(domain_id=domain_id, name=name)
        case joining.CreateSds():
            await _make_sds(gateway, act)
        case joining.AddSdsAddress():
            await gateway.add_sds_address(sds_id=act.sds_id, address=act.address, role=act.role)
        case joining.SetSdsRole():
            await gateway.set_sds_address_role(
                sds_id=act.sds_id, address=act.address, role=act.role
            )
        case joining.AddDevice():
            await gateway.add_device(
                sds_id=act.sds_id,
                pool_id=act.pool_id,
                path=act.path,
                name=act.name,
                test_mode=act.test_mode,
            )
        case joining.ApproveSdc(guid=guid, address=address):
            await gateway.approve_sdc(guid=guid, address=address)
        case joining.NameSdc(sdc_id=sdc_id, name=name):
            await gateway.name_sdc(sdc_id=sdc_id, name=name)
        case _:
            assert_never(act)


async def _make_sds(gateway: Gateway, act: joining.CreateSds) -> None:
    fault_set_id = ""
    if act.fault_set:
        fault_set_id = await gateway.create_fault_set(domain_id=act.domain_id, name=act.fault_set)
    await gateway.create_sds(
        domain_id=act.domain_id,
        name=act.name,
        addresses=[(one.ip, one.role) for one in act.addresses],
        fault_set_id=fault_set_id,
    )


async def give_up(gateway: Gateway, act: leaving.Change) -> None:
    """Carry out what still ties an agent to the cluster."""
    log.info("storage", act=type(act).__name__, on=repr(act))
    match act:
        case leaving.UnmapProbe():
            await gateway.unmap_volume(volume_id=act.volume_id, sdc_id=act.sdc_id)
        case leaving.RemoveProbe():
            await gateway.remove_volume(act.volume_id)
        case leaving.RemoveSds():
            await gateway.remove_sds(act.sds_id)
        case leaving.RemoveSdc():
            await gateway.remove_sdc(act.sdc_id)
        case _:
            assert_never(act)


# -- the probe: one small volume on each host -----------------------------------------------------


async def map_probe(
    gateway: Gateway, storage: StorageSnapshot, request: StorageRequest
) -> StorageAnswer:
    """A small thin volume, named after the host so that a crash finds it again."""
    spec = request.spec
    pool = next((p for p in storage.pools if p.name == request.probe_pool), None)
    if pool is None:
        return skipped(f"there is no storage pool {request.probe_pool}")
    sdc = storage.sdc_by_guid(spec.sdc_guid)
    if sdc is None:
        return waiting("probe-map", "the SDC is not listed yet")
    name = joining.probe_name(spec.host)
    volume_id = await gateway.find_volume(name)
    if volume_id is None:
        try:
            volume_id = await gateway.create_volume(pool_id=pool.id, name=name, size_gb=PROBE_GB)
        except GatewayRefusedError as error:
            if error.code in TOO_FEW_UNITS:
                return skipped(f"pool {pool.name} cannot hold a volume yet: {error}")
            raise
    await gateway.map_volume(volume_id=volume_id, sdc_id=sdc.id)
    return StorageAnswer(request="probe-map", outcome="done", volume_id=volume_id)


async def clean_probe(
    gateway: Gateway, storage: StorageSnapshot, request: StorageRequest
) -> StorageAnswer:
    sdc = storage.sdc_by_guid(request.spec.sdc_guid)
    try:
        if sdc is not None:
            await gateway.unmap_volume(volume_id=request.volume_id, sdc_id=sdc.id)
        await gateway.remove_volume(request.volume_id)
    except GatewayRefusedError as error:
        if error.code not in ABSENT:
            raise
    return StorageAnswer(request="probe-clean", outcome="done")


# -- answers --------------------------------------------------------------------------------------


def waiting(request: str, sentence: str) -> StorageAnswer:
    return StorageAnswer(request=request, outcome="waiting", sentence=sentence)


def skipped(sentence: str) -> StorageAnswer:
    return StorageAnswer(request="probe-map", outcome="skipped", sentence=sentence)


def elsewhere(storage: StorageSnapshot, act: joining.AddDevice) -> str:
    """Where the disk is given away already: two hosts on one shelf may see the same one."""
    if not act.path.rpartition("/")[2].startswith(WORLDWIDE):
        return ""
    there = next(
        (d for d in storage.devices if d.path == act.path and d.sds_id != act.sds_id), None
    )
    if there is None:
        return ""
    name = next((s.name for s in storage.sds if s.id == there.sds_id), there.sds_id)
    return (
        f"device {act.path} is in use by SDS {name} already: two hosts must not share a disk; "
        "name each host's own disks in its attributes, or list it in devices.deny on one of them"
    )
