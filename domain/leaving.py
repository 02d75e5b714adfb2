"""How one agent leaves the ScaleIO cluster: from a snapshot, the next act, or why it has to wait.

An SDS is only ever removed without force: the cluster then first moves its data to the others.
"""

from __future__ import annotations

from typing import Final

import attrs

from domain.joining import JoinSpec, Wait
from domain.storage import PoolState, SdcState, SdsState, StorageSnapshot, VolumeState

FAULT_UNITS_MIN: Final = 3  # a pool that holds volumes needs devices in that many
NAMES_SHOWN: Final = 5


@attrs.frozen
class UnmapProbe:
    volume_id: str
    sdc_id: str


@attrs.frozen
class RemoveProbe:
    volume_id: str


@attrs.frozen
class RemoveSds:
    sds_id: str
    name: str


@attrs.frozen
class RemoveSdc:
    sdc_id: str
    guid: str


@attrs.frozen
class Gone:
    """Neither its SDS nor its SDC is listed any more."""


Change = UnmapProbe | RemoveProbe | RemoveSds | RemoveSdc
Act = Change | Wait | Gone


def next_act(storage: StorageSnapshot, spec: JoinSpec, probe: str) -> Act:
    """What comes next, all that forbids it first. `probe`: the name of our own probe volume."""
    sdc, sds = client_of(storage, spec), server_of(storage, spec)
    if not storage.mdm_normal:
        return Wait(f"the MDM cluster is not normal ({storage.mdm_detail})")
    if spec.gone and (why_not := _is_heard_of(sdc, sds)):
        return Wait(why_not)
    if spec.gone and sds is not None and sds.id != spec.sds_id:
        return Wait(
            f"SDS {sds.name} is listed at {spec.address}, and nobody knows whether it is this "
            "host's: remove it by hand if it is"
        )
    if sds is None and spec.runs_sds and not spec.keeps_sds and not spec.gone:
        return Wait(
            f"an SDS runs on the host, but the storage cluster lists none at {spec.address}: "
            "whose data it holds is not known; stop service sds there if it was removed by hand"
        )
    why_not = _mapped(storage, sdc, probe) if sdc is not None else ""
    if not why_not and sds is not None:
        why_not = may_leave(storage, sds, gone=spec.gone)
    if why_not:
        return Wait(why_not)
    ours = next((v for v in storage.volumes if v.name == probe), None)
    if ours is not None:
        return UnmapProbe(ours.id, ours.sdc_ids[0]) if ours.sdc_ids else RemoveProbe(ours.id)
    if sds is not None:
        return RemoveSds(sds.id, sds.name)
    return RemoveSdc(sdc.id, sdc.guid) if sdc is not None else Gone()


def _is_heard_of(sdc: SdcState | None, sds: SdsState | None) -> str:
    """Why a host that Mesos has lost is not gone; "" if the storage cluster has lost it, too."""
    what = ""
    if sds is not None and not sds.disconnected:
        what = f"SDS {sds.name}"
    elif sdc is not None and sdc.connected:
        what = f"SDC {sdc.guid}"
    if not what:
        return ""
    return (
        f"the host is not gone: the storage cluster is connected to its {what}; "
        "start its Mesos agent, or stop the host"
    )


def server_of(storage: StorageSnapshot, spec: JoinSpec) -> SdsState | None:
    """The SDS that is to leave."""
    if spec.keeps_sds:
        return None
    known = next((s for s in storage.sds if spec.sds_id and s.id == spec.sds_id), None)
    if spec.gone and spec.sds_id:
        return known  # somebody else may have its address by now
    return known or storage.sds_at(spec.address)


def client_of(storage: StorageSnapshot, spec: JoinSpec) -> SdcState | None:
    """The SDC that is to leave; by its address where the host does not tell its GUID."""
    if spec.keeps_sdc:
        return None
    if spec.sdc_guid:
        return storage.sdc_by_guid(spec.sdc_guid)
    return None if spec.gone else storage.sdc_at(spec.address)


def may_leave(storage: StorageSnapshot, sds: SdsState, *, gone: bool = False) -> str:
    """Empty if that SDS may be removed now; otherwise why not, for people.

    `gone`: it is away, and so may others be that were lost with it. Data is whole without them.
    """
    if not storage.mdm_normal:
        return f"the MDM cluster is not normal ({storage.mdm_detail})"
    if not storage.data_is_whole:
        return "data is degraded, failed, or being moved or rebuilt"
    if sds.in_maintenance:
        return f"SDS {sds.name} is in maintenance: its data is not moved before it has left that"
    for other in storage.sds:
        away = gone and other.disconnected
        if other.id != sds.id and other.domain_id == sds.domain_id and not (other.whole or away):
            return f"SDS {other.name} of the same protection domain is not healthy ({other.detail})"
    for pool in storage.pools:
        why_not = _pool_keeps(storage, pool, sds, gone=gone)
        if why_not:
            return why_not
    return ""


def _pool_keeps(storage: StorageSnapshot, pool: PoolState, sds: SdsState, *, gone: bool) -> str:
    """Why that pool needs the SDS's devices, "" if its data has room on the others."""
    devices = [d for d in storage.devices if d.pool_id == pool.id]
    out = {sds.id} | {other.id for other in storage.sds if gone and other.disconnected}
    leaving = [d for d in devices if d.sds_id in out]
    volumes = [v for v in storage.volumes if v.pool_id == pool.id]
    if not leaving or not (volumes or pool.in_use_kb):
        return ""
    units = {s.id: s.fault_set_id or s.id for s in storage.sds}
    left = {units.get(d.sds_id, d.sds_id) for d in devices if d.sds_id not in out and d.good}
    if len(left) < FAULT_UNITS_MIN:
        return (
            f"pool {pool.name} holds volumes ({_names(volumes)}) and needs devices in "
            f"{FAULT_UNITS_MIN} fault units, without SDS {sds.name} it would have {len(left)}: "
            "add others, or remove the volumes"
        )
    left_kb = pool.capacity_kb - sum(d.capacity_kb for d in leaving)
    spare_kb = pool.spare_kb * left_kb // pool.capacity_kb if pool.capacity_kb else 0
    if pool.in_use_kb > left_kb - spare_kb:
        return (
            f"the data of pool {pool.name} ({pool.in_use_kb >> 20} GB) has no room on the other "
            f"SDSs ({max(0, left_kb - spare_kb) >> 20} GB beside the spare): add capacity first"
        )
    return ""


def _mapped(storage: StorageSnapshot, sdc: SdcState, probe: str) -> str:
    """Applications' volumes are not ours to take away."""
    used = [v for v in storage.volumes if sdc.id in v.sdc_ids and v.name != probe]
    if not used:
        return ""
    return (
        f"volumes are mapped to its SDC ({_names(used)}): move the applications that use them, "
        "and unmap the volumes"
    )


def _names(volumes: list[VolumeState]) -> str:
    names = sorted(v.name or v.id for v in volumes)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
