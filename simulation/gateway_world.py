"""The world's side of the simulated Gateway: what befalls its cluster, and what time does to it.

Deterministic: time and chance come from outside. Nothing runs by itself; a rebuild that should
have ended is found to have ended at the next request or event (`settle`).
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Final, Literal

import attrs

from simulation.gateway_alerts import alert_conditions
from simulation.gateway_changes import Listener
from simulation.gateway_mdm import DeviceSize, Mdm, Refused, WorldHooks
from simulation.gateway_model import (
    AlertRecord,
    ClusterState,
    Device,
    Ids,
    Pool,
    PoolHealth,
    Sdc,
    Traffic,
    Work,
    missing_part,
    pool_health,
)
from simulation.gateway_model import Mdm as MdmMember

Api = Literal["2.0", "2.5", "3.6", "4.5"]
APIS: Final[tuple[Api, ...]] = ("2.0", "2.5", "3.6", "4.5")


@attrs.define(kw_only=True)
class SimulatedCluster:
    """`listeners` are told of every change, synchronously, with its kind and its facts.

    Kinds: domain-created, fault-set-created, pool-created, sds-created, device-added,
    volume-created, -resized, -mapped, -unmapped, -removed, sdc-registered, sdc-approved,
    sdc-connected, sdc-disconnected, sds-connected, sds-disconnected, mdm-connected,
    mdm-disconnected, rebuild-started, degraded, healthy, sds-leaving, sds-resting, sds-awake,
    and the other *-removed.
    """

    api: Api
    clock: Callable[[], float] = attrs.field(repr=False)
    rng: random.Random = attrs.field(repr=False)
    system_name: str = "scaleio"
    mdm_addresses: tuple[str, str] = ("10.0.0.1", "10.0.0.2")
    tiebreaker: str = "10.0.0.3"
    virtual_addresses: tuple[str, ...] = ()
    rebuild_s: float = 60.0  # from the return of an SDS until its data is whole again
    rebalance_s: float = 0.0  # data moves that long after a device was added
    absorb_s: float = 3600.0  # from the loss of an SDS until its data is rebuilt on the others
    maintenance_verbs: tuple[str, str] | None = None  # to enter and to leave; not public
    limits: bool = False  # what ScaleIO 2.0 can hold at most is the most
    evacuate_s: float = 0.0  # from the removal of an SDS until its data is on the others
    listeners: list[Listener] = attrs.field(factory=list, init=False, repr=False)
    state: ClusterState = attrs.field(init=False, repr=False)
    _hooks: WorldHooks = attrs.field(factory=WorldHooks, init=False, repr=False)
    _ids: Ids = attrs.field(init=False, repr=False)
    _mdm: Mdm = attrs.field(init=False, repr=False)
    _frozen: ClusterState | None = attrs.field(default=None, init=False, repr=False)
    _degraded: set[str] = attrs.field(factory=set, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        major, _, minor = self.api.partition(".")
        self.state = ClusterState(
            api=(int(major), int(minor)),
            system_id=f"{self.rng.getrandbits(64):016x}",
            system_name=self.system_name,
            virtual_ips=list(self.virtual_addresses),
        )
        self._ids = Ids(self.rng)
        members = [(ip, False) for ip in self.mdm_addresses] + [(self.tiebreaker, True)]
        self.state.mdms = [
            MdmMember(id=self._ids.next("Mdm"), name=f"mdm{n}", ip=ip, tie_breaker=tie_breaker)
            for n, (ip, tie_breaker) in enumerate(members, 1)
        ]
        self._mdm = Mdm(
            state=self.state, ids=self._ids, clock=self.clock, hooks=self._hooks, emit=self._emit
        )
        self._mdm.evacuate_s = self.evacuate_s
        self._dial()

    # --- the world

    @property
    def system_id(self) -> str:
        return self.state.system_id

    @property
    def on_device_added(self) -> Callable[[str, str], Refused | DeviceSize | None] | None:
        """Asked with the SDS's address and the path, before a device is taken."""
        return self._hooks.on_device_added

    @on_device_added.setter
    def on_device_added(self, hook: Callable[[str, str], Refused | DeviceSize | None]) -> None:
        self._hooks.on_device_added = hook

    @property
    def on_sds_added(self) -> Callable[[str], Refused | None] | None:
        """Asked with the address, before an SDS is taken."""
        return self._hooks.on_sds_added

    @on_sds_added.setter
    def on_sds_added(self, hook: Callable[[str], Refused | None]) -> None:
        self._hooks.on_sds_added = hook

    def register_sdc(self, guid: str, ip: str) -> str:
        """A driver started and reached the MDM. Gives the SDC's id."""
        guid = guid.upper()
        sdc = self.state.sdc_by_guid(guid)
        if sdc is None:
            approved = self.state.approved.get(guid)
            sdc = Sdc(
                id=approved or self._ids.next("Sdc"),
                guid=guid,
                ip=ip,
                approved=approved is not None or self.state.restricted_sdc == "None",
            )
            self.state.sdcs[sdc.id] = sdc
            self._emit("sdc-registered", {"guid": guid, "ip": ip})
        sdc.ip, sdc.connected = ip, True
        self.settle()
        return sdc.id

    def set_sdc_connected(self, guid: str, connected: bool) -> None:  # noqa: FBT001
        """An SDC that never registered stays unknown."""
        sdc = self.state.sdc_by_guid(guid)
        if sdc is not None and sdc.connected != connected:
            sdc.connected = connected
            self._emit(_word("sdc", connected=connected), {"guid": sdc.guid})
            self.settle()

    def set_sds_connected(self, ip: str, connected: bool) -> None:  # noqa: FBT001
        """Degraded until it is back and `rebuild_s` have passed, or its data is on the others."""
        self.settle()
        sds = self.state.sds_at(ip)
        if sds is None or sds.connected == connected:
            return
        now = self.clock()
        missed = missing_part(sds, now)
        sds.connected = connected
        self._emit(_word("sds", connected=connected), {"id": sds.id, "sds_ip": ip})
        sds.absorbed_at = None if connected else now + self.absorb_s
        sds.away_since = now
        sds.rebuild = None
        if connected and not sds.absorbed and not sds.in_maintenance:
            sds.rebuild = Work(since=now, until=now + self.rebuild_s, share=missed)
            for pool in self.state.pools_of_sds(sds.id):
                self._emit("rebuild-started", {"id": pool.id, "pool": pool.name})
        sds.absorbed = sds.stuck = False
        self.settle()

    def set_mdm_connected(self, ip: str, connected: bool) -> None:  # noqa: FBT001
        """The next good manager is master while the first is away."""
        for member in self.state.mdms:
            if member.ip == ip and member.good != connected:
                member.good = connected
                self._emit(_word("mdm", connected=connected), {"ip": ip})
        self.settle()

    def fill(self, pool_name: str, thin_kb: int) -> None:
        """Thin volumes of that pool now occupy so much (raw, two copies)."""
        for pool in self.state.pools.values():
            if pool.name == pool_name:
                pool.thin_kb = thin_kb
        self.settle()

    def fill_percent(self, pool_name: str, percent: int) -> None:
        """As `fill`, of what may be filled without the spare."""
        for pool in self.state.pools.values():
            if pool.name == pool_name:
                figures = self.state.pool_figures(pool)
                self.fill(pool_name, (figures.limit_kb - figures.spare_kb) * percent // 100)

    def set_snapshot_use(self, pool_name: str, *, in_use_kb: int, occupied_kb: int) -> None:
        """Snapshots of that pool now keep so much from allocation, and fill so much (raw)."""
        for pool in self.state.pools.values():
            if pool.name == pool_name:
                pool.snap_kb, pool.snap_occupied_kb = in_use_kb, occupied_kb
        self.settle()

    def set_traffic(
        self, ip: str, *, read_kbps: int, write_kbps: int, read_iops: int = 0, write_iops: int = 0
    ) -> None:
        """What clients do to the SDS at that address, until told otherwise."""
        sds = self.state.sds_at(ip)
        if sds is not None:
            sds.traffic = Traffic(
                read_kbps=read_kbps,
                write_kbps=write_kbps,
                read_iops=read_iops,
                write_iops=write_iops,
            )

    def set_latency(self, ip: str, path: str, *, read_us: int, write_us: int) -> None:
        """Of one device, or with no path of all that the SDS at that address serves."""
        for device in self._devices_at(ip, path):
            device.read_us, device.write_us = read_us, write_us

    def set_fixed_read_errors(self, ip: str, path: str, count: int) -> None:
        """How many read errors of the device were put right from the other copy so far."""
        for device in self._devices_at(ip, path):
            device.fixed_read_errors = count

    def raise_alert(
        self,
        kind: str,
        *,
        severity: str = "ALERT_MEDIUM",
        object_type: str = "System",
        object_id: str = "",
    ) -> None:
        """An alert that nothing here causes; it stands until it is cleared."""
        at = object_id or (self.system_id if object_type == "System" else "")
        self.state.foreign_alerts[kind, at] = (severity, object_type)
        self.settle()

    def clear_alert(self, kind: str, *, object_id: str = "") -> None:
        """Without an object: wherever an alert of that kind was raised."""
        for key in list(self.state.foreign_alerts):
            if key[0] == kind and object_id in {"", key[1]}:
                del self.state.foreign_alerts[key]
        self.settle()

    def set_clock_skew(self, seconds: float) -> None:
        """The Gateway's own clock, as the Date header shows it, is that much ahead."""
        self.state.clock_skew_s = seconds

    def set_device_failed(self, ip: str, path: str, failed: bool) -> None:  # noqa: FBT001
        for device in self._devices_at(ip, path):
            device.failed = failed
        self.settle()

    def devices_of(self, ip: str) -> tuple[str, ...]:
        """Paths of the devices that the SDS at that address serves."""
        sds = self.state.sds_at(ip)
        return tuple(d.path for d in self.state.devices_of_sds(sds.id)) if sds else ()

    def _devices_at(self, ip: str, path: str) -> list[Device]:
        sds = self.state.sds_at(ip)
        devices = self.state.devices_of_sds(sds.id) if sds else []
        return [d for d in devices if path in {"", d.path}]

    def mapped_volumes(self, guid: str) -> list[tuple[str, str]]:
        """System and volume ids of what that host should see as block devices."""
        sdc = self.state.sdc_by_guid(guid)
        if sdc is None or not sdc.approved:
            return []
        return [
            (self.system_id, volume.id)
            for volume in self.state.volumes.values()
            if any(m.sdc_id == sdc.id for m in volume.mapped)
        ]

    def seed(
        self,
        *,
        domain: str = "default",
        pool: str = "default",
        sds: int = 3,
        sdc: int = 2,
        devices: int = 1,
    ) -> None:
        """One domain, one pool, `sds` SDSs with 200 GB devices, `sdc` connected SDCs."""
        domain_id = self._mdm.create_domain({"name": domain})
        pool_id = self._mdm.create_pool(
            {"protectionDomainId": domain_id, "name": pool, "mediaType": "HDD"}
        )
        for n in range(1, sds + 1):
            address = f"10.0.1.{n}" if n < 250 else f"10.1.{n // 250}.{n % 250 + 1}"
            sds_id = self._mdm.create_sds(
                {
                    "protectionDomainId": domain_id,
                    "name": f"sds_{address}",
                    "sdsIpList": [{"ip": address, "role": "all"}],
                }
            )
            for letter in range(devices):
                at = {"sdsId": sds_id, "storagePoolId": pool_id}
                self._mdm.create_device({**at, "deviceCurrentPathname": _disk(letter)})
        for n in range(1, sdc + 1):
            guid = str(uuid.UUID(int=self.rng.getrandbits(128)))
            self.register_sdc(guid, f"10.0.2.{n}")
        self.settle()

    def add_volume(self, name: str, size_gb: int) -> str:
        """Thick and mapped nowhere, in the first pool. Raises MdmRefusalError."""
        wanted = {"storagePoolId": next(iter(self.state.pools)), "name": name}
        sized = {"volumeSizeInGb": str(size_gb), "volumeType": "ThickProvisioned"}
        return self._mdm.create_volume({**wanted, **sized})

    def settle(self) -> None:
        """Bring what depends on time up to now, and tell what has changed by it."""
        self._dial()
        now = self.state.now = self.clock()
        self._mdm.settle_absorbed()
        self._mdm.settle_leaving()
        for sds in self.state.sds.values():
            if sds.rebuild is not None and now >= sds.rebuild.until:
                sds.rebuild = None
        health: dict[str, PoolHealth] = {}
        for pool in self.state.pools.values():
            if pool.unbalanced_kb and pool.rebalance_enabled:
                self._rebalance(pool)
            if pool.rebalance is not None and now >= pool.rebalance.until:
                pool.rebalance = None
            health[pool.id] = pool_health(self.state, pool)
            degraded = health[pool.id].degraded
            if degraded and pool.id not in self._degraded:
                self._degraded.add(pool.id)
                self._emit("degraded", {"id": pool.id, "pool": pool.name})
            elif not degraded and pool.id in self._degraded:
                self._degraded.remove(pool.id)
                self._emit("healthy", {"id": pool.id, "pool": pool.name})
        self._settle_alerts(health)

    def _read(self) -> ClusterState:
        return self._frozen or self.state

    def _freeze(self, freeze: bool) -> None:  # noqa: FBT001
        self._frozen = copy.deepcopy(self.state) if freeze else None

    def _emit(self, kind: str, facts: Mapping[str, object]) -> None:
        if kind == "device-added" and self.rebalance_s:
            for pool in self.state.pools.values():
                if pool.name == facts["pool"] and isinstance(size_kb := facts["size_kb"], int):
                    pool.unbalanced_kb += size_kb
        for listener in self.listeners:
            listener(kind, facts)

    def _rebalance(self, pool: Pool) -> None:
        """The part of the data that new devices are to hold moves to them."""
        now, total_kb = self.clock(), sum(self.state.members_of_pool(pool.id).values())
        moved = pool.rebalance.left(now) if pool.rebalance else 0.0
        if total_kb:
            moved = min(1.0, moved + pool.unbalanced_kb / total_kb)
        pool.unbalanced_kb = 0
        pool.rebalance = Work(since=now, until=now + self.rebalance_s, share=moved)

    def _dial(self) -> None:
        """What a test may turn at any time."""
        self._mdm.maintenance_verbs = self.maintenance_verbs
        self._mdm.limits.on = self.limits

    def _settle_alerts(self, health: Mapping[str, PoolHealth]) -> None:
        """Alerts are current state: a cleared one is simply absent."""
        alerts = self.state.alerts
        wanted = {
            (kind, object_id): (severity, object_type)
            for kind, severity, object_type, object_id in alert_conditions(self.state, health)
        }
        wanted |= self.state.foreign_alerts
        for key in [key for key in alerts if key not in wanted]:
            del alerts[key]
        for (kind, object_id), (severity, object_type) in wanted.items():
            if (kind, object_id) not in alerts:
                alerts[kind, object_id] = AlertRecord(
                    id=self._ids.next("Alert"),
                    uuid=str(uuid.UUID(int=self.rng.getrandbits(128))),
                    kind=kind,
                    severity=severity,
                    object_type=object_type,
                    object_id=object_id,
                    started_at=self.state.now,
                )


def _disk(number: int) -> str:
    """/dev/sdb to /dev/sdz, then /dev/sdaa and on."""
    place = number + 1
    first = chr(ord("a") + place // 26 - 1) if place >= 26 else ""
    return f"/dev/sd{first}{chr(ord('a') + place % 26)}"


def _word(what: str, *, connected: bool) -> str:
    return f"{what}-{'connected' if connected else 'disconnected'}"
