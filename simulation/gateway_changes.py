"""The simulated MDM's commands on what is there: mapping, renaming, removing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import attrs

from simulation import gateway_fields as fields
from simulation.gateway_capacity import KB_PER_GB, volume_kb
from simulation.gateway_fields import Body, MalformedError, MdmRefusalError
from simulation.gateway_limits import Limits
from simulation.gateway_model import (
    ClusterState,
    Device,
    Domain,
    FaultSet,
    Ids,
    MappedSdc,
    Pool,
    Sdc,
    Sds,
    Volume,
)

Listener = Callable[[str, Mapping[str, object]], None]
_T = TypeVar("_T")
NAME_CHARACTERS_MAX: Final = 31
FAULT_UNITS_MIN: Final = 3  # a pool that holds volumes needs devices in that many
FAULT_SET_IN_USE: Final = 1033  # the real number is not public; clients must not rely on it


@attrs.define(kw_only=True)
class Changes:
    """Each command checks, changes the state and tells the listeners."""

    state: ClusterState
    ids: Ids
    clock: Callable[[], float]
    emit: Listener
    evacuate_s: float = 0.0
    maintenance_verbs: tuple[str, str] | None = None
    limits: Limits = attrs.field(factory=Limits)

    # --- volumes and SDCs

    def map_volume(self, volume: Volume, body: Body) -> None:
        sdc = self._sdc_named(body)
        if any(m.sdc_id == sdc.id for m in volume.mapped):
            raise MdmRefusalError(81, "The volume is already mapped to this SDC")
        if volume.mapped and not fields.flag(body, "allowMultipleMappings"):
            raise MdmRefusalError(306, "The volume is mapped to another SDC")
        self.limits.check_mapping(self.state, sdc.id)
        volume.mapped.append(MappedSdc(sdc_id=sdc.id))
        self.emit("volume-mapped", {"id": volume.id, "guid": sdc.guid})

    def unmap_volume(self, volume: Volume, body: Body) -> None:
        if "allSdcs" in body and not (body.get("sdcId") or body.get("guid")):
            gone = list(volume.mapped)
        else:
            sdc = self._sdc_named(body)
            gone = [m for m in volume.mapped if m.sdc_id == sdc.id]
            if not gone:
                raise MdmRefusalError(84, "The volume is not mapped to this SDC")
        volume.mapped = [m for m in volume.mapped if m not in gone]
        for mapping in gone:
            guid = self.state.sdcs[mapping.sdc_id].guid
            self.emit("volume-unmapped", {"id": volume.id, "guid": guid})

    def limit_mapping(self, volume: Volume, body: Body) -> None:
        sdc = self._sdc_named(body)
        mapping = next((m for m in volume.mapped if m.sdc_id == sdc.id), None)
        if mapping is None:
            raise MdmRefusalError(84, "The volume is not mapped to this SDC")
        if "iopsLimit" in body:
            mapping.limit_iops = fields.number(body, "iopsLimit")
        if "bandwidthLimitInKbps" in body:
            mapping.limit_kbps = fields.number(body, "bandwidthLimitInKbps")

    def resize_volume(self, volume: Volume, body: Body) -> None:
        size_kb = volume_kb(fields.number(body, "sizeInGB") * KB_PER_GB)
        if size_kb < volume.size_kb:
            raise MdmRefusalError(133, "The volume size can only grow")
        volume.size_kb = size_kb
        self.emit("volume-resized", {"id": volume.id, "size_kb": size_kb})

    def approve_sdc(self, body: Body) -> str:
        """Also before the SDC has shown itself: it is approved when it comes."""
        guid = fields.text(body, "sdcGuid").upper()
        sdc = self.state.sdc_by_guid(guid)
        if sdc is not None:
            sdc.approved = True
            sdc_id = sdc.id
        else:
            sdc_id = self.state.approved.get(guid) or self.ids.next("Sdc")
        self.state.approved[guid] = sdc_id
        self.emit("sdc-approved", {"guid": guid})
        return sdc_id

    def remove_sdc(self, sdc: Sdc) -> None:
        if any(m.sdc_id == sdc.id for v in self.state.volumes.values() for m in v.mapped):
            raise MdmRefusalError(180, "The SDC still has mapped volumes")
        del self.state.sdcs[sdc.id]
        self.emit("sdc-removed", {"guid": sdc.guid})

    def restrict_sdcs(self, body: Body) -> None:
        mode = fields.text(body, "restrictedSdcMode")
        if mode not in {"None", "Guid", "ApprovedIp"}:
            raise MalformedError("Request message is not valid: restrictedSdcMode")
        self.state.restricted_sdc = mode

    # --- renaming and removing the rest

    def rename(self, kind: str, object_id: str, body: Body, key: str) -> None:
        """`key` is the parameter that holds the new name; every verb has its own."""
        name = fields.text(body, key)
        check_name(name)
        match kind:
            case "ProtectionDomain":
                self.state.domains[object_id].name = name
            case "FaultSet":
                self.state.fault_sets[object_id].name = name
            case "StoragePool":
                self.state.pools[object_id].name = name
            case "Sds":
                self.state.sds[object_id].name = name
            case "Device":
                self.state.devices[object_id].name = name
            case "Sdc":
                self.state.sdcs[object_id].name = name
            case _:
                self.state.volumes[object_id].name = name

    def set_spare(self, pool: Pool, body: Body) -> None:
        pool.spare_percent = fields.number(body, "sparePercentage")

    def drop_device(self, device: Device) -> None:
        del self.state.devices[device.id]
        address = self.state.sds[device.sds_id].ips[0][0]
        self.emit("device-removed", {"id": device.id, "path": device.path, "sds_ip": address})

    def remove_sds(self, sds: Sds) -> None:
        """Its data moves to the others first, where that has room, and takes its time."""
        if sds.leaves_at is not None:
            raise MdmRefusalError(103, "The SDS is being removed")
        for pool in self.state.pools_of_sds(sds.id):
            self._room_without(sds, pool)
        sds.leaving_since = self.clock()
        sds.leaves_at = sds.leaving_since + self.evacuate_s
        self.emit("sds-leaving", {"id": sds.id, "sds_ip": sds.ips[0][0]})
        self.settle_leaving()

    def settle_absorbed(self) -> None:
        """What an SDS held that is away for long, the others hold now, where it has room."""
        now = self.clock()
        for sds in self.state.sds.values():
            if sds.absorbed_at is None or sds.absorbed or sds.in_maintenance:
                continue
            sds.stuck = not self._place_elsewhere(sds)
            sds.absorbed = now >= sds.absorbed_at and not sds.stuck

    def _place_elsewhere(self, sds: Sds) -> bool:
        pools = self.state.pools_of_sds(sds.id)
        others = {i for p in pools for i in self.state.members_of_pool(p.id)} - {sds.id}
        if not all(self.state.sds[i].connected for i in others):
            return False
        try:
            for pool in pools:
                self._room_without(sds, pool)
        except MdmRefusalError:
            return False
        return all(pool.rebuild_enabled for pool in pools)

    def settle_leaving(self) -> None:
        """SDSs whose data has moved are gone; it moves only while all the others are there."""
        now = self.clock()
        due = [s for s in self.state.sds.values() if s.leaves_at is not None and now >= s.leaves_at]
        for sds in due:
            pools = self.state.pools_of_sds(sds.id)
            others = [self.state.sds[i] for p in pools for i in self.state.members_of_pool(p.id)]
            if all(one.connected or one.absorbed for one in others):
                self._drop_sds(sds)

    def _room_without(self, sds: Sds, pool: Pool) -> None:
        devices = [d for d in self.state.devices_of_pool(pool.id) if d.sds_id != sds.id]
        self._room_on(devices, pool)

    def _room_without_device(self, device: Device) -> None:
        pool = self.state.pools[device.pool_id]
        devices = [d for d in self.state.devices_of_pool(pool.id) if d is not device]
        self._room_on(devices, pool)

    def _room_on(self, devices: list[Device], pool: Pool) -> None:
        units = {self.state.sds[d.sds_id].unit for d in devices}
        if self.state.volumes_of_pool(pool.id) and len(units) < FAULT_UNITS_MIN:
            raise MdmRefusalError(67, "Not enough fault units would be left in the Storage Pool")
        left_kb = sum(d.usable_kb for d in devices)
        free_kb = left_kb - left_kb * pool.spare_percent // 100
        if self.state.pool_figures(pool).in_use_kb > free_kb:
            raise MdmRefusalError(61, "The operation violates the spare policy")

    def _drop_sds(self, sds: Sds) -> None:
        for device in self.state.devices_of_sds(sds.id):
            self.drop_device(device)
        del self.state.sds[sds.id]
        self.emit("sds-removed", {"id": sds.id, "sds_ip": sds.ips[0][0]})

    def remove_pool(self, pool: Pool) -> None:
        if self.state.volumes_of_pool(pool.id):
            raise MdmRefusalError(196, "The Storage Pool has volumes")
        if self.state.devices_of_pool(pool.id):
            raise MdmRefusalError(172, "The Storage Pool has devices")
        del self.state.pools[pool.id]
        self.emit("pool-removed", {"id": pool.id, "name": pool.name})

    def remove_fault_set(self, fault_set: FaultSet) -> None:
        if any(s.fault_set_id == fault_set.id for s in self.state.sds.values()):
            raise MdmRefusalError(FAULT_SET_IN_USE, "The Fault Set has SDSs")
        del self.state.fault_sets[fault_set.id]
        self.emit("fault-set-removed", {"id": fault_set.id})

    def remove_domain(self, domain: Domain) -> None:
        if any(s.domain_id == domain.id for s in self.state.sds.values()):
            raise MdmRefusalError(143, "The Protection Domain has SDSs")
        pools = [p.id for p in self.state.pools.values() if p.domain_id == domain.id]
        for pool_id in pools:
            self.remove_pool(self.state.pools[pool_id])
        del self.state.domains[domain.id]
        self.emit("domain-removed", {"id": domain.id, "name": domain.name})

    def _sdc_named(self, body: Body) -> Sdc:
        guid = fields.optional(body, "guid")
        if guid is None:
            return found(self.state.sdcs, fields.text(body, "sdcId"), 80, "SDC")
        sdc = self.state.sdc_by_guid(guid)
        if sdc is None:
            raise MdmRefusalError(80, "Could not find the SDC")
        return sdc


def check_name(name: str) -> None:
    if len(name) > NAME_CHARACTERS_MAX or " " in name or not name.isprintable():
        raise MalformedError("Request message is not valid: name must have up to 31 characters")


def found(objects: Mapping[str, _T], object_id: str, code: int, what: str) -> _T:
    try:
        return objects[object_id]
    except KeyError:
        raise MdmRefusalError(code, f"Could not find the {what}") from None
