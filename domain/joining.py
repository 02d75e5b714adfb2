"""One agent's place in the ScaleIO cluster: from a snapshot, the next act that is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.storage import PoolState, SdsState, StorageSnapshot

NAME_TAIL_CHARACTERS: Final = 18  # with a dash and 12 hex digits: 31, the most a name may have


@attrs.frozen(kw_only=True)
class PoolSpec:
    """How a pool is made and kept. "" and 0: as the storage cluster has it by itself."""

    name: str
    media_type: str = ""  # HDD, SSD or Transitional
    spare_percent: int = 0
    capacity_high: int = 0  # percent; with the next one both or none
    capacity_critical: int = 0


@attrs.frozen(kw_only=True)
class SdsAddress:
    """`role`: all, sdsOnly (traffic between SDSs), sdcOnly (traffic of clients)."""

    ip: str
    role: str = "all"


@attrs.frozen(kw_only=True)
class JoinSpec:
    """What the cluster should have of this agent. `devices`: path -> pool name."""

    host: str
    address: str
    domain: str  # "" when the agent provides no storage
    pools: tuple[str, ...] = ()
    fault_set: str = ""
    devices: Mapping[str, str] = attrs.field(factory=dict)
    pool_specs: tuple[PoolSpec, ...] = ()  # of those in `pools` that somebody has described
    addresses: tuple[SdsAddress, ...] = ()  # of its SDS; none: `address`, for all traffic
    device_test: str = ""  # deviceTestMode: testOnly, noTest, testAndActivate; "": the Gateway's
    sdc_name: str = ""  # what its SDC is to be called; "": left alone
    sdc_guid: str = ""  # "" when the client is not ours to check
    keeps_sds: bool = False  # its SDS is not ours to remove
    keeps_sdc: bool = False
    sds_id: str = ""  # where it was when it joined: its address may be another since
    runs_sds: bool = False  # by the host's word, and nothing has been removed yet
    gone: bool = False  # the host is taken for lost for ever: it must not be heard of any more


@attrs.frozen
class CreateDomain:
    name: str


@attrs.frozen
class CreatePool:
    """Without media type and spare: as the Gateway makes it by itself."""

    domain_id: str
    name: str
    media_type: str = ""
    spare_percent: int = 0


@attrs.frozen
class SetThresholds:
    pool_id: str
    high: int
    critical: int


@attrs.frozen
class CreateFaultSet:
    domain_id: str
    name: str


@attrs.frozen
class CreateSds:
    domain_id: str
    name: str
    addresses: tuple[SdsAddress, ...]
    fault_set: str


@attrs.frozen
class AddSdsAddress:
    sds_id: str
    address: str
    role: str


@attrs.frozen
class SetSdsRole:
    sds_id: str
    address: str
    role: str


@attrs.frozen
class AddDevice:
    sds_id: str
    pool_id: str
    path: str
    name: str
    test_mode: str = ""


@attrs.frozen
class ApproveSdc:
    guid: str
    address: str


@attrs.frozen
class NameSdc:
    sdc_id: str
    name: str


@attrs.frozen
class Wait:
    sentence: str


@attrs.frozen
class Refuse:
    sentence: str


@attrs.frozen
class Joined:
    sds_id: str


Change = (
    CreateDomain
    | CreatePool
    | SetThresholds
    | CreateFaultSet
    | CreateSds
    | AddSdsAddress
    | SetSdsRole
    | AddDevice
    | ApproveSdc
    | NameSdc
)
Act = Change | Wait | Refuse | Joined


def sds_name(address: str) -> str:
    """`sds_<ip>`, as the original named them."""
    return f"sds_{address}"


def probe_name(host: str) -> str:
    """Of the host's probe volume: at most 31 characters, and no collisions by cutting."""
    return f"probe-{hashlib.sha256(host.encode()).hexdigest()[:20]}"


def device_name(host: str, path: str) -> str:
    """At most 31 characters, and unique in the cluster: hosts have equal paths, disks long ids."""
    tail = "".join(c for c in path.rpartition("/")[2] if c.isalnum() or c in "-_.")
    digest = hashlib.sha256(f"{host} {path}".encode()).hexdigest()[:12]
    return f"{tail[-NAME_TAIL_CHARACTERS:]}-{digest}"


def next_act(storage: StorageSnapshot, spec: JoinSpec) -> Act:
    """The first thing that is missing, in dependency order; Joined when nothing is."""
    sds_id = ""
    if spec.domain and spec.devices:
        act = _serve(storage, spec)
        if not isinstance(act, Joined):
            return act
        sds_id = act.sds_id
    return _consume(storage, spec, sds_id)


def _serve(storage: StorageSnapshot, spec: JoinSpec) -> Act:
    domain = next((d for d in storage.domains if d.name == spec.domain), None)
    if domain is None:
        return CreateDomain(spec.domain)
    if not domain.active:
        return Refuse(f"protection domain {spec.domain} is inactive: activate it")
    pools = {p.name: p for p in storage.pools if p.domain_id == domain.id}
    if (act := _next_for_pools(pools, domain.id, spec)) is not None:
        return act
    wanted = spec.addresses or (SdsAddress(ip=spec.address),)
    if spec.address not in {one.ip for one in wanted}:
        return Refuse(
            f"the addresses of the SDS ({', '.join(one.ip for one in wanted)}) leave out "
            f"{spec.address}, by which Mesos knows the host: name it, too"
        )
    sds = storage.sds_at(spec.address)
    if sds is None:
        return CreateSds(domain.id, sds_name(spec.address), wanted, spec.fault_set)
    if sds.domain_id != domain.id:
        return Refuse(
            f"SDS {sds.name} at {spec.address} serves another protection domain than "
            f"{spec.domain}; an SDS can't be moved: remove it there first, or name its domain"
        )
    if (change := _next_address(spec.addresses, sds)) is not None:
        return change
    if not sds.good:
        return Wait(f"SDS {sds.name} is not healthy yet ({sds.detail})")
    return _give_devices(storage, spec, sds.id, pools) or Joined(sds.id)


def _next_address(wanted: Iterable[SdsAddress], sds: SdsState) -> AddSdsAddress | SetSdsRole | None:
    """New addresses first, then wider roles, then narrower ones: it is reached all the while."""
    for one in wanted:
        if one.ip not in sds.roles:
            return AddSdsAddress(sds.id, one.ip, one.role)
    changed = [one for one in wanted if sds.roles[one.ip] != one.role]
    for one in changed:
        if one.role == "all":
            return SetSdsRole(sds.id, one.ip, one.role)
    for one in changed:
        if sds.roles[one.ip] != "all":  # from one use to the other: by way of both
            return SetSdsRole(sds.id, one.ip, "all")
    for one in changed:
        return SetSdsRole(sds.id, one.ip, one.role)
    return None


def _give_devices(
    storage: StorageSnapshot, spec: JoinSpec, sds_id: str, pools: Mapping[str, PoolState]
) -> AddDevice | Refuse | Wait | None:
    there = {d.path: d for d in storage.devices_of(sds_id)}
    for path, pool in spec.devices.items():
        if path not in there and pool not in pools:
            return Refuse(
                f"device {path} was chosen for pool {pool}, which {spec.domain} does not have "
                "and the agent's attributes no longer name: name the pool again, or create it"
            )
        if path not in there:
            name = device_name(spec.host, path)
            return AddDevice(sds_id, pools[pool].id, path, name, spec.device_test)
        if not there[path].good:
            return Wait(f"device {path} is not ready yet ({there[path].detail})")
    return None


def _next_for_pools(
    pools: Mapping[str, PoolState], domain_id: str, spec: JoinSpec
) -> CreatePool | SetThresholds | None:
    described = {one.name: one for one in spec.pool_specs}
    for name in spec.pools:
        wish = described.get(name, PoolSpec(name=name))
        pool = pools.get(name)
        if pool is None:
            return CreatePool(domain_id, name, wish.media_type, wish.spare_percent)
        is_told = bool(pool.high_percent and pool.critical_percent)
        wanted = (wish.capacity_high, wish.capacity_critical)
        if all(wanted) and is_told and wanted != (pool.high_percent, pool.critical_percent):
            return SetThresholds(pool.id, *wanted)
    return None


def _consume(storage: StorageSnapshot, spec: JoinSpec, sds_id: str) -> Act:
    if not spec.sdc_guid:
        return Joined(sds_id)
    sdc = storage.sdc_by_guid(spec.sdc_guid)
    if sdc is None:
        return Wait(
            f"the MDM does not list SDC {spec.sdc_guid} yet; if this lasts, compare MDM_IP on "
            "the host with the manager addresses"
        )
    if not sdc.approved and storage.restricted_sdc != "None":
        return ApproveSdc(sdc.guid, spec.address)
    if not sdc.connected:
        return Wait(f"SDC {spec.sdc_guid} is listed, but not connected to the MDM")
    if spec.sdc_name and sdc.name != spec.sdc_name:
        if any(other.name == spec.sdc_name for other in storage.sdcs):
            return Refuse(
                f"another SDC is called {spec.sdc_name} already: name it differently, or "
                "rename the other one"
            )
        return NameSdc(sdc.id, spec.sdc_name)
    return Joined(sds_id)
