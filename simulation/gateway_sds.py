"""The simulated MDM's commands on SDSs and devices that are there: addresses, rest, leaving."""

from __future__ import annotations

import attrs

from simulation import gateway_fields as fields
from simulation.gateway_fields import Body, MalformedError, MdmRefusalError
from simulation.gateway_model import Device, Pool, Sds, Work
from simulation.gateway_snapshots import Snapshots

WRONG_STATE = 105


@attrs.define(kw_only=True)
class SdsChanges(Snapshots):
    def add_address(self, sds: Sds, body: Body) -> None:
        ip = fields.text(body, "ip")
        if self.state.sds_at(ip) is not None:
            raise MdmRefusalError(93, f"The address {ip} is already in use by an SDS")
        self._set_addresses(sds, [*sds.ips, (ip, fields.text(body, "role"))])

    def remove_address(self, sds: Sds, body: Body) -> None:
        ip = self._own_address(sds, body, "ip")
        self._set_addresses(sds, [(one, role) for one, role in sds.ips if one != ip])

    def set_role(self, sds: Sds, body: Body) -> None:
        ip, new = self._own_address(sds, body, "sdsIpToSet"), fields.text(body, "newRole")
        self._set_addresses(sds, [(one, new if one == ip else role) for one, role in sds.ips])

    def set_port(self, sds: Sds, body: Body) -> None:
        sds.port = fields.between(body, "sdsPort", 1, 65535)

    def set_drl_mode(self, sds: Sds, body: Body) -> None:
        sds.drl_mode = fields.one_of(body, "drlMode", ("Volatile", "NonVolatile"))

    def set_rmcache(self, sds: Sds, body: Body) -> None:
        sds.rmcache = fields.flag(body, "rmcacheEnabled", default=sds.rmcache)

    def set_rmcache_size(self, sds: Sds, body: Body) -> None:
        sds.rmcache_kb = 1024 * fields.between(body, "rmcacheSizeInMB", 128, 128 * 1024)

    def set_sds_profile(self, sds: Sds, body: Body) -> None:
        sds.profile = fields.one_of(body, "perfProfile", ("HighPerformance", "Compact", "Default"))

    # --- maintenance; the verbs are the release's, see SimulatedGateway

    def enter_maintenance(self, sds: Sds) -> None:
        """One at a time in a domain, and only while all its other data is whole."""
        others = [s for s in self.state.sds.values() if s.domain_id == sds.domain_id]
        rebuilt = any(s.rebuild is not None for s in others)
        away = any(s.in_maintenance or not (s.connected or s.absorbed) for s in others)
        if rebuilt or away or sds.leaves_at is not None:
            raise MdmRefusalError(WRONG_STATE, "Another SDS of the domain is not whole")
        sds.in_maintenance = True
        self.emit("sds-resting", {"id": sds.id, "sds_ip": sds.ips[0][0]})

    def exit_maintenance(self, sds: Sds) -> None:
        if not sds.in_maintenance:
            raise MdmRefusalError(WRONG_STATE, "The SDS is not in maintenance")
        if not sds.connected:
            raise MdmRefusalError(WRONG_STATE, "The SDS is not connected")
        sds.in_maintenance = False
        self.emit("sds-awake", {"id": sds.id, "sds_ip": sds.ips[0][0]})

    # --- devices and pools

    def set_media_type(self, of: Device | Pool, body: Body) -> None:
        kinds = (
            ("HDD", "SSD", "NVDIMM") if isinstance(of, Device) else ("HDD", "SSD", "Transitional")
        )
        of.media_type = fields.one_of(body, "mediaType", kinds)

    def remove_device(self, device: Device, body: Body) -> None:
        """Its data moves to the others first, where that has room, and takes its time."""
        if device.leaving is not None:
            raise MdmRefusalError(135, "The device is being removed")
        if fields.flag(body, "forceRemove") or not self.evacuate_s:
            self.drop_device(device)
            return
        self._room_without_device(device)
        now = self.clock()
        device.leaving = Work(since=now, until=now + self.evacuate_s)
        self.state.leaving_devices.append(device.id)

    def settle_leaving(self) -> None:
        super().settle_leaving()
        now, state = self.clock(), self.state
        for device_id in list(state.leaving_devices):
            device = state.devices.get(device_id)
            if device is None:
                state.leaving_devices.remove(device_id)
            elif device.leaving is not None and now >= device.leaving.until:
                members = [state.sds[i] for i in state.members_of_pool(device.pool_id)]
                if all(one.connected or one.absorbed for one in members):
                    state.leaving_devices.remove(device_id)
                    self.drop_device(device)

    def set_thresholds(self, pool: Pool, body: Body) -> None:
        high_key, critical_key = (
            f"capacityAlert{word}ThresholdPercent" for word in ("High", "Critical")
        )
        high = fields.between(body, high_key, 0, 100) if high_key in body else pool.high_percent
        critical = (
            fields.between(body, critical_key, 0, 100)
            if critical_key in body
            else pool.critical_percent
        )
        if high >= critical:
            raise MalformedError(
                f"Request message is not valid: {high_key} must be below {critical_key}"
            )
        pool.high_percent, pool.critical_percent = high, critical

    def set_zero_padding(self, pool: Pool, body: Body) -> None:
        pool.zero_padding = fields.required_flag(body, "zeroPadEnabled")

    def set_rebuild(self, pool: Pool, body: Body) -> None:
        pool.rebuild_enabled = fields.required_flag(body, "rebuildEnabled")

    def set_rebalance(self, pool: Pool, body: Body) -> None:
        pool.rebalance_enabled = fields.required_flag(body, "rebalanceEnabled")

    def set_checksum(self, pool: Pool, body: Body) -> None:
        pool.checksum_enabled = fields.required_flag(body, "checksumEnabled")

    def _own_address(self, sds: Sds, body: Body, key: str) -> str:
        ip = fields.text(body, key)
        if ip not in {one for one, _ in sds.ips}:
            raise MalformedError(f"Request message is not valid: {key} is no address of the SDS")
        return ip

    def _set_addresses(self, sds: Sds, ips: list[tuple[str, str]]) -> None:
        fields.check_roles(ips)
        self.limits.check_addresses(len(ips))
        sds.ips = ips
        self.state.forget_addresses()
