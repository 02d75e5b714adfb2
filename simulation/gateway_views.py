"""Objects of the simulated cluster as the JSON of the emulated release.

Unset fields are null, not missing; `links` items hold `rel` and `href` and nothing else;
clients of the 2.x time refuse keys they do not know, so later fields appear by release.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from simulation.gateway_model import (
    AlertRecord,
    ClusterState,
    Device,
    Sdc,
    Sds,
    Volume,
)
from simulation.mesos_values import EPOCH_S as WORLD_EPOCH_S

View = dict[str, object]
EPOCH_S: Final = int(WORLD_EPOCH_S)  # one moment for all of the simulated world

RELATIONSHIPS: Final[Mapping[str, tuple[str, ...]]] = {
    "System": ("ProtectionDomain", "Sdc", "User", "Statistics"),
    "ProtectionDomain": ("StoragePool", "Sds", "FaultSet", "Statistics"),
    "StoragePool": ("Device", "Volume", "VTree", "Statistics"),
    "FaultSet": ("Sds",),
    "Sds": ("Device", "Statistics"),
    "Sdc": ("Volume", "Statistics"),
    "VTree": ("Volume", "Statistics"),
    "Volume": ("Statistics",),
    "Device": ("Statistics",),
    "Alert": (),
}


def links(kind: str, object_id: str, **parents: tuple[str, str | None]) -> list[dict[str, str]]:
    """`parents`: field name to the parent's type and id."""
    at = f"/api/instances/{kind}::{object_id}"
    found = [{"rel": "self", "href": at}]
    found += [
        {"rel": f"/api/{kind}/relationship/{name}", "href": f"{at}/relationships/{name}"}
        for name in RELATIONSHIPS[kind]
    ]
    for field, (parent, parent_id) in parents.items():
        if parent_id:
            href = f"/api/instances/{parent}::{parent_id}"
            found.append({"rel": f"/api/parent/relationship/{field}", "href": href})
    return found


def domain(state: ClusterState, object_id: str) -> View:
    of = state.domains[object_id]
    throttled = {
        f"{job}NetworkThrottling{what}": False if what == "Enabled" else 0
        for job in ("rebuild", "rebalance", "overallIo")
        for what in ("Enabled", "InKbps")
    }
    return {
        "id": of.id,
        "name": of.name,
        "systemId": state.system_id,
        "protectionDomainState": "Active" if of.active else "Inactive",
        **throttled,
        "links": links("ProtectionDomain", of.id, systemId=("System", state.system_id)),
    }


def fault_set(state: ClusterState, object_id: str) -> View:
    of = state.fault_sets[object_id]
    parent = ("ProtectionDomain", of.domain_id)
    return {
        "id": of.id,
        "name": of.name,
        "protectionDomainId": of.domain_id,
        "links": links("FaultSet", of.id, protectionDomainId=parent),
    }


def pool(state: ClusterState, object_id: str) -> View:
    of = state.pools[object_id]
    found: View = {
        "id": of.id,
        "name": of.name,
        "protectionDomainId": of.domain_id,
        "sparePercentage": of.spare_percent,
        "capacityAlertHighThreshold": of.high_percent,
        "capacityAlertCriticalThreshold": of.critical_percent,
        "zeroPaddingEnabled": of.zero_padding,
        "useRmcache": False,
        "useRfcache": False,
        "checksumEnabled": of.checksum_enabled,
        "rebuildEnabled": of.rebuild_enabled,
        "rebalanceEnabled": of.rebalance_enabled,
        "rebuildIoPriorityPolicy": "limitNumOfConcurrentIos",
        "rebalanceIoPriorityPolicy": "favorAppIos",
        "backgroundScannerMode": "Disabled",
        "rmcacheWriteHandlingMode": "Cached",
        "numOfParallelRebuildRebalanceJobsPerDevice": 2,
        "links": links("StoragePool", of.id, protectionDomainId=("ProtectionDomain", of.domain_id)),
    }
    if state.api >= (3, 0):
        found["mediaType"] = of.media_type
        found["dataLayout"] = "MediumGranularity"
    return found


def sds(state: ClusterState, object_id: str) -> View:
    of: Sds = state.sds[object_id]
    found: View = {
        "id": of.id,
        "name": of.name,
        "protectionDomainId": of.domain_id,
        "faultSetId": of.fault_set_id,
        "port": of.port,
        "ipList": [{"ip": ip, "role": role} for ip, role in of.ips],
        "sdsState": "Normal",
        "membershipState": "Joined",
        "mdmConnectionState": _connection(connected=of.connected),
        "drlMode": of.drl_mode,
        "maintenanceState": "InMaintenance" if of.in_maintenance else "NoMaintenance",
        "rmcacheEnabled": of.rmcache,
        "rmcacheSizeInKb": of.rmcache_kb,
        "rmcacheFrozen": False,
        "rmcacheMemoryAllocationState": "AllocationPending",
        "rfcacheEnabled": False,
        "authenticationError": "None",
        "certificateInfo": None,
        "softwareVersionInfo": software(state),
        "numOfIoBuffers": None,
        "onVmWare": False,
        "links": links(
            "Sds",
            of.id,
            protectionDomainId=("ProtectionDomain", of.domain_id),
            faultSetId=("FaultSet", of.fault_set_id),
        ),
    }
    if state.api >= (2, 5):
        found |= {"perfProfile": of.profile, "sdsDecoupled": None}
    if state.api >= (3, 0):
        found |= {
            "maintenanceType": "NoMaintenance",
            "configuredDrlMode": of.drl_mode,
            "raidControllers": None,
            "numRestarts": 0,
        }
    return found


def device(state: ClusterState, object_id: str) -> View:
    of: Device = state.devices[object_id]
    found: View = {
        "id": of.id,
        "name": of.name,
        "sdsId": of.sds_id,
        "storagePoolId": of.pool_id,
        "deviceState": "Normal" if of.leaving is None else "RemovePending",
        "errorState": "Error" if of.failed else "None",
        "aggregatedState": "Failed" if of.failed else "NeverFailed",
        "capacityLimitInKb": of.usable_kb,
        "maxCapacityInKb": of.capacity_kb,
        "deviceCurrentPathName": of.path,
        "deviceOriginalPathName": of.path,
        "ledSetting": "Off",
        "temperatureState": "NeverFailed",
        "ssdEndOfLifeState": "NeverFailed",
        "links": links(
            "Device",
            of.id,
            sdsId=("Sds", of.sds_id),
            storagePoolId=("StoragePool", of.pool_id),
        ),
    }
    if state.api >= (3, 0):
        found |= {"mediaType": of.media_type, "spSdsId": None, "storageProps": None}
    return found


def sdc(state: ClusterState, object_id: str) -> View:
    of: Sdc = state.sdcs[object_id]
    address = of.ip if of.connected or state.api < (3, 6) else None
    version = software(state) if of.connected else None
    found: View = {
        "id": of.id,
        "name": of.name,
        "sdcGuid": of.guid,
        "sdcIp": address,
        "sdcApproved": of.approved,
        "mdmConnectionState": _connection(connected=of.connected),
        "onVmWare": False,
        "systemId": state.system_id,
        "links": links("Sdc", of.id, systemId=("System", state.system_id)),
    }
    if state.api >= (2, 5):
        found |= {
            "sdcApprovedIps": None,
            "perfProfile": "Default",
            "osType": "Linux" if of.connected else None,
            "kernelVersion": None,
            "softwareVersionInfo": version,
            "versionInfo": version,
            "memoryAllocationFailure": None,
            "socketAllocationFailure": None,
        }
    if state.api >= (3, 0):
        found |= {
            "installedSoftwareVersionInfo": version,
            "sdcType": "AppSdc",
            "sdcIps": [address] if address else [],
            "peerMdmId": None,
        }
    if state.api >= (4, 0):
        found |= {"hostType": "SdcHost", "nqn": None}
    return found


def volume(state: ClusterState, object_id: str) -> View:
    of: Volume = state.volumes[object_id]
    return {
        "id": of.id,
        "name": of.name,
        "sizeInKb": of.size_kb,
        "volumeType": _volume_type(of),
        "storagePoolId": of.pool_id,
        "vtreeId": of.vtree_id,
        "ancestorVolumeId": of.ancestor_id,
        "consistencyGroupId": of.group_id,
        "creationTime": EPOCH_S + of.created_at,
        "isObfuscated": False,
        "isVvol": False,
        "useRmcache": False,
        "mappingToAllSdcsEnabled": False,
        "mappedSdcInfo": _mapped(state, of) or None,
        "mappedScsiInitiatorInfo": None,
        "links": links(
            "Volume",
            of.id,
            storagePoolId=("StoragePool", of.pool_id),
            vtreeId=("VTree", of.vtree_id),
        ),
    }


def vtree(state: ClusterState, object_id: str) -> View:
    of = state.volumes_of_vtree(object_id)[0]
    parent = ("StoragePool", of.pool_id)
    return {
        "id": object_id,
        "name": of.name,
        "baseVolumeId": of.id,
        "storagePoolId": of.pool_id,
        "links": links("VTree", object_id, storagePoolId=parent),
    }


def pool_members(state: ClusterState, kind: str, object_id: str) -> list[View]:
    """`SpSds` of 3.x: one item for each pair of a pool and an SDS with devices in it."""
    pairs = dict.fromkeys(
        (d.pool_id, d.sds_id)
        for d in state.devices.values()
        if object_id == (d.pool_id if kind == "StoragePool" else d.sds_id)
    )
    return [
        {"id": pool_id[8:] + sds_id[8:], "storagePoolId": pool_id, "sdsId": sds_id, "links": []}
        for pool_id, sds_id in pairs
    ]


def alert(record: AlertRecord, now: float) -> View:
    return {
        "id": record.id,
        "uuid": record.uuid,
        "name": record.id,
        "alertType": record.kind,
        "severity": record.severity,
        "affectedObject": {
            "type": f"com.emc.ecs.api.model.gen.{record.object_type}",
            "id": record.object_id,
            "objectId": record.object_id,
        },
        "alertValues": {},
        "startTime": _iso(record.started_at),
        "lastObserved": _iso(now),
        "links": links("Alert", record.id),
    }


ONE: Final[Mapping[str, Callable[[ClusterState, str], View]]] = {
    "ProtectionDomain": domain,
    "StoragePool": pool,
    "FaultSet": fault_set,
    "Sds": sds,
    "Device": device,
    "Sdc": sdc,
    "Volume": volume,
    "VTree": vtree,
}


def ids(state: ClusterState, kind: str) -> list[str]:
    return list(objects(state, kind))


def objects(state: ClusterState, kind: str) -> Collection[str]:
    """Ids of all objects of that type; asking it for one id is no search."""
    match kind:
        case "System":
            return {state.system_id: None}
        case "ProtectionDomain":
            return state.domains
        case "StoragePool":
            return state.pools
        case "FaultSet":
            return state.fault_sets
        case "Sds":
            return state.sds
        case "Device":
            return state.devices
        case "Sdc":
            return state.sdcs
        case "Volume":
            return state.volumes
        case "VTree":
            return state.vtrees
        case _:
            return ()


def views(state: ClusterState, kind: str, object_ids: Iterable[str]) -> list[View]:
    return [ONE[kind](state, object_id) for object_id in object_ids]


def _volume_type(of: Volume) -> str:
    if of.snapshot:
        return "Snapshot"
    return "ThickProvisioned" if of.thick else "ThinProvisioned"


def _mapped(state: ClusterState, of: Volume) -> list[View]:
    found: list[View] = []
    for mapping in of.mapped:
        at = state.sdcs[mapping.sdc_id]
        item: View = {
            "sdcId": at.id,
            "sdcIp": at.ip,
            "limitIops": mapping.limit_iops,
            "limitBwInMbps": mapping.limit_kbps // 1024,
        }
        if state.api >= (3, 0):
            item |= {"sdcName": at.name, "accessMode": "ReadWrite", "isDirectBufferMapping": False}
        if state.api >= (4, 0):
            item |= {"nqn": None, "hostType": "SdcHost"}
        found.append(item)
    return found


def _connection(*, connected: bool) -> str:
    return "Connected" if connected else "Disconnected"


def software(state: ClusterState) -> str:
    return f"R{state.api[0]}_{state.api[1]}.0.0"


def _iso(at: float) -> str:
    return (
        datetime.fromtimestamp(EPOCH_S + at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
