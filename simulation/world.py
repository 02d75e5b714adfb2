"""The simulated world put together: hosts with Mesos agents on them, and their ScaleIO cluster.

What one side does is felt by the other: a driver that starts registers at the MDM, a host that
goes down takes its SDS along, a device that joins a pool is in use on its host.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import trio

from simulation.gateway import Api, SimulatedGateway
from simulation.gateway_fields import force_keys
from simulation.gateway_mdm import DeviceSize, Refused
from simulation.host import SimulatedHost
from simulation.host_disks import empty_disks
from simulation.http_server import Request
from simulation.mesos import SimulatedMesos
from simulation.mesos_observed import MesosEvent
from simulation.network import Network

GATEWAY_NAME: Final = "gateway.test"
AGENT_RESTART_AFTER_S: Final = 15.0
OLD_KERNEL: Final = "5.10.0-8-amd64"  # which the SDC of the simulation has no module for
SDS_RESTART_S: Final = (2.0, 12.0)
PERMIT_PATIENCE_S: Final = 30.0  # curl's bound in the reboot script


@attrs.frozen(kw_only=True)
class HostEvent:
    """Something that happened to a host: rebooting (of ours), down, up.

    sds-replaced, sds-back: the SDS alone was away, on our account.
    """

    at: float
    kind: str
    host: str


@attrs.frozen(kw_only=True)
class DeviceTaken:
    """A device joined a pool. `data`: what was on the disk at that moment; "" nothing."""

    at: float
    host: str
    path: str
    data: str


@attrs.frozen(kw_only=True)
class GatewayAsked:
    """A POST to the Gateway. `forced`: keys of its body that begin with "force"."""

    at: float
    path: str
    forced: tuple[str, ...] = ()


WorldEvent = MesosEvent | HostEvent | DeviceTaken | GatewayAsked


@attrs.frozen(kw_only=True)
class Shape:
    """How large the world is. The first `storage` agents have three empty disks each."""

    agents: int = 3
    storage: int = 3
    api: Api = "2.5"
    fault_sets: int = 0  # agents are spread over so many, by attribute; 0: none is named
    mdms_on_agents: bool = False  # two managers and a tie-breaker, on the first three agents
    seeded: bool = True  # a domain and a pool that can hold volumes are there already
    password: str = "Sim-Pass-7"  # noqa: S105 - of the simulated Gateway


@attrs.define(eq=False)
class World:
    """Build with `build`; `ask_permit` is how an armed host asks the scheduler (a URL's status)."""

    rng: random.Random
    shape: Shape
    nursery: trio.Nursery
    network: Network
    mesos: SimulatedMesos
    gateway: SimulatedGateway
    hosts: dict[str, SimulatedHost] = attrs.field(factory=dict)
    listeners: list[Callable[[WorldEvent], None]] = attrs.field(factory=list)
    ask_permit: Callable[[str], Awaitable[int]] | None = None

    def tell(self, event: WorldEvent) -> None:
        for listener in self.listeners:
            listener(event)

    def host_at(self, address: str) -> SimulatedHost | None:
        return next((h for h in self.hosts.values() if h.address == address), None)

    def add_host(self, number: int) -> SimulatedHost:
        host = SimulatedHost(
            hostname=f"agent{number}.sim",
            address=_address_of(number),
            rng=random.Random(self.rng.getrandbits(64)),  # noqa: S311 - simulated chance
        )
        stores = number < self.shape.storage
        host.disks.extend(empty_disks(3 if stores else 0))
        if number % 3 == 0:
            host.kernel = host.next_kernel = OLD_KERNEL
        if stores or number % 4 == 1:
            host.dials.fail_next["rexray"] = 20  # it is there, and holds after a reboot
        self.hosts[host.hostname] = host
        host.on_sdc_up = lambda guid, address, _: self._sdc_up(guid, address)
        host.on_sds_up = lambda address: self.gateway.set_sds_connected(address, connected=True)
        host.on_reboot_armed = lambda url, delay_s: self._armed(host, url, delay_s)
        host.on_agent_restart_armed = lambda: self._restart_armed(host)
        host.on_permit_wanted = lambda url, delay_s: self._permit_wanted(host, url, delay_s)
        host.on_sds_replaced = lambda: self._sds_replaced(host)
        host.on_sdc_down = lambda guid: self.gateway.set_sdc_connected(guid, connected=False)
        host.has_volumes = lambda: bool(self.gateway.mapped_volumes(host.sdc_guid))
        host.sees_volume = lambda path: self._sees(host, path)
        racks = self.shape.fault_sets
        named = {"scaleio-fault-set": f"rack{number % racks}"} if racks else {}
        self.mesos.add_agent(host, attributes=named)
        return host

    # -- what a host does to the cluster -------------------------------------------------------

    def _sdc_up(self, guid: str, address: str) -> None:
        self.gateway.register_sdc(guid, address)

    def _sees(self, host: SimulatedHost, path: str) -> bool:
        return any(
            path.endswith(f"emc-vol-{system}-{volume}")
            for system, volume in self.gateway.mapped_volumes(host.sdc_guid)
        )

    # -- reboots and restarts ------------------------------------------------------------------

    def _armed(self, host: SimulatedHost, url: str, delay_s: float) -> None:
        self.nursery.start_soon(self._ask_and_reboot, host, url, delay_s)

    async def _ask_and_reboot(self, host: SimulatedHost, url: str, delay_s: float) -> None:
        """The host's own unit: waits, asks, and reboots on 200 only. Silence means no."""
        boot = host.boot_id
        await trio.sleep(delay_s)
        status = 0
        if self.ask_permit is not None and host.boot_id == boot:
            with trio.move_on_after(PERMIT_PATIENCE_S):
                status = await self.ask_permit(url)
        if host.boot_id == boot and host.permit_answered(status):
            self.tell(HostEvent(at=trio.current_time(), kind="rebooting", host=host.hostname))
            await self.reboot(host.hostname)

    def _permit_wanted(self, host: SimulatedHost, url: str, delay_s: float) -> None:
        self.nursery.start_soon(self._ask_for_sds, host, url, delay_s)

    async def _ask_for_sds(self, host: SimulatedHost, url: str, delay_s: float) -> None:
        """A step that replaces a running SDS asks just before it does."""
        boot = host.boot_id
        await trio.sleep(delay_s)
        if self.ask_permit is not None and host.boot_id == boot and host.up:
            with trio.move_on_after(PERMIT_PATIENCE_S):
                host.permit_answers[url] = await self.ask_permit(url)

    def _sds_replaced(self, host: SimulatedHost) -> None:
        self.tell(HostEvent(at=trio.current_time(), kind="sds-replaced", host=host.hostname))
        self.gateway.set_sds_connected(host.address, connected=False)
        self.nursery.start_soon(self._sds_comes_back, host)

    async def _sds_comes_back(self, host: SimulatedHost) -> None:
        boot = host.boot_id
        await trio.sleep(self.rng.uniform(*SDS_RESTART_S))
        if host.boot_id == boot and host.up:  # else it comes back with its host
            self.gateway.set_sds_connected(host.address, connected=True)
        self.tell(HostEvent(at=trio.current_time(), kind="sds-back", host=host.hostname))

    async def reboot(self, hostname: str, *, new_id: bool = False) -> None:
        """Power goes, everything on the host with it, and comes back half a minute later."""
        host = self.hosts[hostname]
        down_s = host.dials.reboot_takes_s or self.rng.uniform(20.0, 50.0)
        # Tasks die first: what they leave half done must not outlive the power.
        self.mesos.faults.reboot(hostname, down_s=down_s, new_id=new_id)
        host.power_off()
        self.tell(HostEvent(at=trio.current_time(), kind="down", host=hostname))
        self.gateway.set_sds_connected(host.address, connected=False)
        self.gateway.set_sdc_connected(host.sdc_guid, connected=False)
        self.gateway.set_mdm_connected(host.address, connected=False)
        await trio.sleep(down_s - 5.0)
        host.boot()
        self.gateway.set_mdm_connected(host.address, connected=True)
        self.tell(HostEvent(at=trio.current_time(), kind="up", host=hostname))

    def _restart_armed(self, host: SimulatedHost) -> None:
        self.nursery.start_soon(self._restart_agent, host)

    async def _restart_agent(self, host: SimulatedHost) -> None:
        await trio.sleep(AGENT_RESTART_AFTER_S)
        if host.up:
            host.agent_restarted()
            self.mesos.faults.agent_restart(host.hostname, down_s=2.0)


def _address_of(number: int) -> str:
    return f"10.1.{number // 250}.{number % 250 + 1}"


def build(
    *,
    rng: random.Random,
    shape: Shape,
    nursery: trio.Nursery,
    clock: Callable[[], float] = trio.current_time,
) -> World:
    """A world that is not running yet: `await nursery.start(world.mesos.run)`."""
    network = Network(nursery)
    mesos = SimulatedMesos(
        rng=random.Random(rng.getrandbits(64)),  # noqa: S311 - simulated chance
        network=network,
    )
    managers, tie_breaker = ("10.0.0.1", "10.0.0.2"), "10.0.0.3"
    if shape.mdms_on_agents:
        managers, tie_breaker = (_address_of(0), _address_of(1)), _address_of(2)
    gateway = SimulatedGateway(
        mdm_addresses=managers,
        tiebreaker=tie_breaker,
        api=shape.api,
        user="admin",
        password=shape.password,
        clock=clock,
        rng=random.Random(rng.getrandbits(64)),  # noqa: S311 - simulated chance
        rebuild_s=20.0,
        evacuate_s=30.0,
    )
    if shape.seeded:
        gateway.seed()
    network.listen(GATEWAY_NAME, 443, gateway.handler)
    world = World(
        rng=rng, shape=shape, nursery=nursery, network=network, mesos=mesos, gateway=gateway
    )
    mesos.listeners.append(world.tell)
    gateway.listeners.append(lambda kind, facts: _device_removed(world, kind, facts))
    gateway.on_request = lambda request: _gateway_asked(world, request)
    gateway.on_device_added = lambda address, path: _device_added(world, address, path)
    for number in range(shape.agents):
        world.add_host(number)
    return world


def _gateway_asked(world: World, request: Request) -> None:
    if request.method == "POST":
        forced = force_keys(request.body)
        world.tell(GatewayAsked(at=trio.current_time(), path=request.path, forced=forced))


def _device_removed(world: World, kind: str, facts: Mapping[str, object]) -> None:
    """The SDS lets go of its disk; what it has written stays on it."""
    host = world.host_at(str(facts["sds_ip"])) if kind == "device-removed" else None
    disk = host.disk_named(str(facts["path"])) if host is not None else None
    if disk is not None:
        disk.in_use = False


def _device_added(world: World, address: str, path: str) -> Refused | DeviceSize | None:
    """The SDS opens its disk. What was on it is told; a stranger's SDS has what it says."""
    host = world.host_at(address)
    if host is None:
        return None
    disk = host.disk_named(path)
    if disk is None:
        return Refused(71, f"cannot open {path}")
    data = disk.signature or ("partitions" if disk.partitions else "")
    data = data or ("" if disk.zero else "data without a signature")
    data = data or ("mounted" if disk.mounted_at else "")
    if not host.give_device(path):
        return Refused(71, f"{path} is in use")
    world.tell(DeviceTaken(at=trio.current_time(), host=host.hostname, path=path, data=data))
    return DeviceSize(disk.size_bytes // 1024)
