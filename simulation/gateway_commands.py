"""Which verb of which type is which of the simulated MDM's commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from simulation.gateway_fields import Body, NoSuchRouteError
from simulation.gateway_limits import queried
from simulation.gateway_mdm import Mdm

Command = Callable[[Mdm, str, Body], object]


def answer(mdm: Mdm, kind: str, object_id: str, verb: str, body: Body) -> object:
    """An empty object, unless the command has more to tell. Raises NoSuchRouteError."""
    command = COMMANDS.get((kind, verb)) or _maintenance(mdm, kind, verb)
    if command is None:
        raise NoSuchRouteError(verb)
    said = command(mdm, object_id, body)
    return {} if said is None else said


def _renaming(kind: str, key: str) -> Command:
    return lambda mdm, i, body: mdm.rename(kind, i, body, key)


def _maintenance(mdm: Mdm, kind: str, verb: str) -> Command | None:
    if kind != "Sds" or verb not in (mdm.maintenance_verbs or ()):
        return None
    enters = mdm.maintenance_verbs is not None and verb == mdm.maintenance_verbs[0]
    if enters:
        return lambda mdm, i, _body: mdm.enter_maintenance(mdm.state.sds[i])
    return lambda mdm, i, _body: mdm.exit_maintenance(mdm.state.sds[i])


_VOLUME: Final[Mapping[str, Command]] = {
    "addMappedSdc": lambda mdm, i, body: mdm.map_volume(mdm.state.volumes[i], body),
    "removeMappedSdc": lambda mdm, i, body: mdm.unmap_volume(mdm.state.volumes[i], body),
    "setMappedSdcLimits": lambda mdm, i, body: mdm.limit_mapping(mdm.state.volumes[i], body),
    "setVolumeSize": lambda mdm, i, body: mdm.resize_volume(mdm.state.volumes[i], body),
    "setVolumeName": _renaming("Volume", "newName"),
    "removeVolume": lambda mdm, i, body: mdm.remove_volume(mdm.state.volumes[i], body),
}
_SDS: Final[Mapping[str, Command]] = {
    "removeSds": lambda mdm, i, _body: mdm.remove_sds(mdm.state.sds[i]),
    "setSdsName": _renaming("Sds", "name"),
    "addSdsIp": lambda mdm, i, body: mdm.add_address(mdm.state.sds[i], body),
    "removeSdsIp": lambda mdm, i, body: mdm.remove_address(mdm.state.sds[i], body),
    "setSdsIpRole": lambda mdm, i, body: mdm.set_role(mdm.state.sds[i], body),
    "setSdsPort": lambda mdm, i, body: mdm.set_port(mdm.state.sds[i], body),
    "setDrlMode": lambda mdm, i, body: mdm.set_drl_mode(mdm.state.sds[i], body),
    "setSdsRmcacheEnabled": lambda mdm, i, body: mdm.set_rmcache(mdm.state.sds[i], body),
    "setSdsRmcacheSize": lambda mdm, i, body: mdm.set_rmcache_size(mdm.state.sds[i], body),
    "setSdsPerformanceParameters": lambda mdm, i, body: mdm.set_sds_profile(mdm.state.sds[i], body),
}
_POOL: Final[Mapping[str, Command]] = {
    "removeStoragePool": lambda mdm, i, _body: mdm.remove_pool(mdm.state.pools[i]),
    "setStoragePoolName": _renaming("StoragePool", "name"),
    "setSparePercentage": lambda mdm, i, body: mdm.set_spare(mdm.state.pools[i], body),
    "setCapacityAlertThresholds": lambda mdm, i, body: mdm.set_thresholds(mdm.state.pools[i], body),
    "setMediaType": lambda mdm, i, body: mdm.set_media_type(mdm.state.pools[i], body),
    "setZeroPaddingPolicy": lambda mdm, i, body: mdm.set_zero_padding(mdm.state.pools[i], body),
    "setRebuildEnabled": lambda mdm, i, body: mdm.set_rebuild(mdm.state.pools[i], body),
    "setRebalanceEnabled": lambda mdm, i, body: mdm.set_rebalance(mdm.state.pools[i], body),
    "setChecksumEnabled": lambda mdm, i, body: mdm.set_checksum(mdm.state.pools[i], body),
}
_OTHERS: Final[Mapping[tuple[str, str], Command]] = {
    ("Sdc", "removeSdc"): lambda mdm, i, _body: mdm.remove_sdc(mdm.state.sdcs[i]),
    ("Sdc", "setSdcName"): _renaming("Sdc", "sdcName"),
    ("Device", "removeDevice"): lambda mdm, i, body: mdm.remove_device(mdm.state.devices[i], body),
    ("Device", "setDeviceName"): _renaming("Device", "newName"),
    ("Device", "setMediaType"): lambda mdm, i, body: mdm.set_media_type(mdm.state.devices[i], body),
    ("FaultSet", "removeFaultSet"): lambda mdm, i, _body: mdm.remove_fault_set(
        mdm.state.fault_sets[i]
    ),
    ("FaultSet", "setFaultSetName"): _renaming("FaultSet", "newName"),
    ("ProtectionDomain", "removeProtectionDomain"): lambda mdm, i, _body: mdm.remove_domain(
        mdm.state.domains[i]
    ),
    ("ProtectionDomain", "setProtectionDomainName"): _renaming("ProtectionDomain", "name"),
    ("System", "approveSdc"): lambda mdm, _i, body: {"id": mdm.approve_sdc(body)},
    ("System", "setRestrictedSdcMode"): lambda mdm, _i, body: mdm.restrict_sdcs(body),
    ("System", "snapshotVolumes"): lambda mdm, _i, body: mdm.snapshot_volumes(body),
    ("System", "removeConsistencyGroupSnapshots"): lambda mdm, _i, body: mdm.remove_snapshot_group(
        body
    ),
    ("System", "querySystemLimits"): lambda mdm, _i, _body: queried(mdm.limits),
}
COMMANDS: Final[Mapping[tuple[str, str], Command]] = {
    **{("Volume", verb): command for verb, command in _VOLUME.items()},
    **{("Sds", verb): command for verb, command in _SDS.items()},
    **{("StoragePool", verb): command for verb, command in _POOL.items()},
    **_OTHERS,
}
