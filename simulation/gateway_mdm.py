"""The simulated MDM: what creates objects, with the world's word on hosts and disks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from simulation import gateway_fields as fields
from simulation.gateway_capacity import (
    DEVICE_KB_MAX,
    DEVICE_KB_MIN,
    KB_PER_GB,
    VOLUME_KB_MAX,
    volume_kb,
)
from simulation.gateway_changes import check_name, found
from simulation.gateway_fields import Body, MalformedError, MdmRefusalError
from simulation.gateway_model import (
    Device,
    Domain,
    FaultSet,
    Pool,
    Sds,
    Volume,
)
from simulation.gateway_sds import SdsChanges

DEVICE_KB_DEFAULT: Final = 200 * KB_PER_GB
# Real numbers for fault sets are not public; clients must not rely on these.
FAULT_SET_NAME_TAKEN: Final = 1031
FAULT_SET_NOT_FOUND: Final = 1032


@attrs.frozen
class Refused:
    """The world's word against an SDS or device: an MDM error code and its text."""

    code: int
    message: str


@attrs.frozen
class DeviceSize:
    """The world's word for a device: it is there, with that size.

    `usable_kb`: what is left of the disk for data, where that is less.
    """

    kb: int
    usable_kb: int | None = None


@attrs.define(kw_only=True)
class WorldHooks:
    """What the MDM finds out about hosts. Without a hook everything that is named exists."""

    on_sds_added: Callable[[str], Refused | None] | None = None
    on_device_added: Callable[[str, str], Refused | DeviceSize | None] | None = None


@attrs.define(kw_only=True)
class Mdm(SdsChanges):
    hooks: WorldHooks

    # --- creating; each gives the new id

    def create_domain(self, body: Body) -> str:
        name = _name(body)
        if any(d.name == name for d in self.state.domains.values()):
            raise MdmRefusalError(141, "Protection Domain name already in use")
        self.limits.check_domain(self.state)
        domain = Domain(id=self.ids.next("ProtectionDomain"), name=name)
        self.state.domains[domain.id] = domain
        self.emit("domain-created", {"id": domain.id, "name": name})
        return domain.id

    def create_fault_set(self, body: Body) -> str:
        name, domain = _name(body), self._domain(fields.text(body, "protectionDomainId"))
        if any(f.name == name for f in self.state.fault_sets.values()):
            raise MdmRefusalError(FAULT_SET_NAME_TAKEN, "Fault Set name already in use")
        self.limits.check_fault_set(self.state, domain.id)
        made = FaultSet(id=self.ids.next("FaultSet"), name=name, domain_id=domain.id)
        self.state.fault_sets[made.id] = made
        self.emit("fault-set-created", {"id": made.id, "name": name})
        return made.id

    def create_pool(self, body: Body) -> str:
        name, domain = _name(body), self._domain(fields.text(body, "protectionDomainId"))
        if self.state.api >= (3, 5) and fields.optional(body, "mediaType") is None:
            raise MalformedError("Request message is not valid: mediaType is required")
        if any(p.name == name and p.domain_id == domain.id for p in self.state.pools.values()):
            raise MdmRefusalError(170, "Storage Pool name already in use")
        self.limits.check_pool(self.state, domain.id)
        spare = fields.number(body, "sparePercentage") if "sparePercentage" in body else 10
        pool = Pool(
            id=self.ids.next("StoragePool"),
            name=name,
            domain_id=domain.id,
            media_type=fields.optional(body, "mediaType") or "HDD",
            spare_percent=spare,
            zero_padding=fields.flag(body, "zeroPaddingEnabled"),
        )
        self.state.pools[pool.id] = pool
        self.emit("pool-created", {"id": pool.id, "name": name, "domain": domain.name})
        return pool.id

    def create_sds(self, body: Body) -> str:
        domain = self._domain(fields.text(body, "protectionDomainId"))
        ips = fields.sds_ips(body)
        fields.test_mode(body, "deviceTestMode")
        self.limits.check_sds(self.state, domain.id)
        self.limits.check_addresses(len(ips))
        name = fields.optional(body, "name") or f"SDS_[{ips[0][0]}]"
        check_name(name)
        if any(s.name == name for s in self.state.sds.values()):
            raise MdmRefusalError(98, "SDS name already in use")
        for ip, _ in ips:
            if (there := self.state.sds_at(ip)) is not None:
                code = 75 if there.domain_id == domain.id else 93
                raise MdmRefusalError(code, f"The address {ip} is already in use by an SDS")
        fault_set = fields.optional(body, "faultSetId")
        if fault_set is not None and self._fault_set(fault_set).domain_id != domain.id:
            raise MdmRefusalError(FAULT_SET_NOT_FOUND, "Fault Set is in another domain")
        refused = self.hooks.on_sds_added(ips[0][0]) if self.hooks.on_sds_added else None
        if refused is not None:
            raise MdmRefusalError(refused.code, refused.message)
        sds = Sds(
            id=self.ids.next("Sds"),
            name=name,
            domain_id=domain.id,
            fault_set_id=fault_set,
            ips=ips,
            port=fields.between(body, "sdsPort", 1, 65535) if body.get("sdsPort") else 7072,
        )
        self.state.sds[sds.id] = sds
        self.emit(
            "sds-created",
            {"id": sds.id, "name": name, "sds_ip": ips[0][0], "forced": fields.forced(body)},
        )
        listed = body.get("deviceInfoList")
        for item in listed if isinstance(listed, list) else ():
            self._listed_device(sds, item, forced=fields.forced(body))
        return sds.id

    def create_device(self, body: Body) -> str:
        sds = self.sds(fields.text(body, "sdsId"))
        pool = self._pool(fields.text(body, "storagePoolId"))
        path = fields.text(body, "deviceCurrentPathname")
        name = fields.optional(body, "name")
        media_type = fields.optional(body, "mediaType")
        fields.test_mode(body, "testMode")
        limit = fields.optional(body, "capacityLimitInKb")
        device_id = self._add_device(
            sds, pool, path, name=name, media_type=media_type, forced=fields.forced(body)
        )
        if limit is not None:
            of = self.state.devices[device_id]
            of.limit_kb = min(of.capacity_kb, fields.number(body, "capacityLimitInKb"))
        return device_id

    def create_volume(self, body: Body) -> str:
        pool = self._pool(fields.text(body, "storagePoolId"))
        domain = fields.optional(body, "protectionDomainId")
        if domain not in {None, pool.domain_id}:
            raise MdmRefusalError(197, "Protection Domain and Storage Pool do not match")
        name = fields.optional(body, "name")
        if name is not None:
            check_name(name)
        if name and any(v.name == name for v in self.state.volumes.values()):
            raise MdmRefusalError(99, "Volume name already in use. Please use a different name.")
        units = {self.state.sds[d.sds_id].unit for d in self.state.devices_of_pool(pool.id)}
        if len(units) < 3:
            raise MdmRefusalError(144, "The pool needs three devices on three different SDSs")
        self.limits.check_volume(self.state, pool.domain_id)
        size_kb = volume_kb(_volume_kb(body))
        thick = fields.optional(body, "volumeType") == "ThickProvisioned"
        if size_kb > VOLUME_KB_MAX:
            raise MdmRefusalError(190, "Requested volume size is too large")
        if thick and size_kb > self.state.pool_figures(pool).available_kb:
            raise MdmRefusalError(67, "Not enough resources to complete the operation")
        volume = Volume(
            id=self.ids.next("Volume"),
            name=name,
            pool_id=pool.id,
            vtree_id=self.ids.next("VTree"),
            size_kb=size_kb,
            thick=thick,
            created_at=int(self.clock()),
        )
        self.state.volumes[volume.id] = volume
        self.emit("volume-created", {"id": volume.id, "name": name, "size_kb": size_kb})
        return volume.id

    # --- looking up; a miss is the MDM's refusal

    def sds(self, sds_id: str) -> Sds:
        return found(self.state.sds, sds_id, 78, "SDS")

    def _domain(self, domain_id: str) -> Domain:
        return found(self.state.domains, domain_id, 142, "Protection Domain")

    def _fault_set(self, fault_set_id: str) -> FaultSet:
        return found(self.state.fault_sets, fault_set_id, FAULT_SET_NOT_FOUND, "Fault Set")

    def _pool(self, pool_id: str) -> Pool:
        return found(self.state.pools, pool_id, 171, "Storage Pool")

    def _listed_device(self, sds: Sds, item: object, *, forced: bool) -> None:
        body: Body = item if isinstance(item, dict) else {}
        self._add_device(
            sds,
            self._pool(fields.text(body, "storagePoolId")),
            fields.text(body, "devicePath"),
            name=fields.optional(body, "deviceName"),
            media_type=fields.optional(body, "mediaType"),
            forced=forced,
        )

    def _add_device(
        self,
        sds: Sds,
        pool: Pool,
        path: str,
        *,
        name: str | None,
        media_type: str | None,
        forced: bool,
    ) -> str:
        if pool.domain_id != sds.domain_id:
            raise MdmRefusalError(197, "Protection Domain and Storage Pool do not match")
        if name is not None:
            check_name(name)
        on_this_sds = self.state.devices_of_sds(sds.id)
        if any(d.path == path for d in on_this_sds):
            raise MdmRefusalError(71, f"Cannot open the device {path}: it is in use")
        if name and any(d.name == name for d in on_this_sds):
            raise MdmRefusalError(206, "Device name already in use")
        if not sds.connected:
            raise MdmRefusalError(69, "Communication error with the SDS")
        size_kb = self._device_kb(sds.ips[0][0], path)
        self.limits.check_device(self.state, sds, pool.id, size_kb)
        device = Device(
            id=self.ids.next("Device"),
            name=name,
            sds_id=sds.id,
            pool_id=pool.id,
            path=path,
            capacity_kb=size_kb,
            media_type=media_type or "HDD",
        )
        self.state.devices[device.id] = device
        self.emit(
            "device-added",
            {
                "id": device.id,
                "sds_ip": sds.ips[0][0],
                "path": path,
                "pool": pool.name,
                "size_kb": size_kb,
                "forced": forced,
            },
        )
        return device.id

    def _device_kb(self, ip: str, path: str) -> int:
        said = self.hooks.on_device_added(ip, path) if self.hooks.on_device_added else None
        if isinstance(said, Refused):
            raise MdmRefusalError(said.code, said.message)
        size_kb = said.kb if isinstance(said, DeviceSize) else DEVICE_KB_DEFAULT
        if not DEVICE_KB_MIN <= size_kb <= DEVICE_KB_MAX:
            raise MdmRefusalError(72, f"The size of device {path} is out of range")
        usable_kb = said.usable_kb if isinstance(said, DeviceSize) else None
        return size_kb if usable_kb is None else usable_kb


def _volume_kb(body: Body) -> int:
    if "volumeSizeInGb" in body:
        return fields.number(body, "volumeSizeInGb") * KB_PER_GB
    return fields.number(body, "volumeSizeInKb")


def _name(body: Body) -> str:
    name = fields.text(body, "name")
    check_name(name)
    return name
