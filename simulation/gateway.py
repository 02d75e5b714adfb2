"""The simulated ScaleIO Gateway: REST in front of a simulated MDM, with hooks for the world.

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
import trio

from simulation.gateway_changes import Listener
from simulation.gateway_faults import JSON, Faults, Silence, error, html, json_reply, unauthorised
from simulation.gateway_fields import (
    MalformedError,
    MdmRefusalError,
    NoSuchRouteError,
    parsed,
)
from simulation.gateway_mdm import DeviceSize, Mdm, Refused, WorldHooks
from simulation.gateway_model import (
    AlertRecord,
    ClusterState,
    Ids,
    Sdc,
    alert_conditions,
    pool_health,
)
from simulation.gateway_model import Mdm as MdmMember
from simulation.gateway_routes import Routes
from simulation.gateway_tokens import TokenStore
from simulation.http_server import Cut, Handler, Reply, Request, StreamReply

Api = Literal["2.0", "2.5", "3.6", "4.5"]
APIS: Final[tuple[Api, ...]] = ("2.0", "2.5", "3.6", "4.5")
__all__ = ["APIS", "Api", "DeviceSize", "Faults", "Refused", "SimulatedGateway"]


def _unheard(_request: Request) -> None:
    """Nobody listens."""


@attrs.define(kw_only=True)
class SimulatedGateway:
    """`listeners` are told of every change, synchronously, with its kind and its facts.

    Kinds: domain-created, fault-set-created, pool-created, sds-created, device-added,
    volume-created, -resized, -mapped, -unmapped, -removed, sdc-registered, sdc-approved,
    sdc-connected, sdc-disconnected, sds-connected, sds-disconnected, mdm-connected,
    mdm-disconnected, rebuild-started, degraded, healthy, and the other *-removed.
    """

    api: Api
    user: str
    password: str = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    rng: random.Random = attrs.field(repr=False)
    system_name: str = "scaleio"
    mdm_addresses: tuple[str, str] = ("10.0.0.1", "10.0.0.2")
    tiebreaker: str = "10.0.0.3"
    virtual_addresses: tuple[str, ...] = ()
    rebuild_s: float = 60.0  # from the return of an SDS until its data is whole again
    rebalance_s: float = 0.0  # data moves that long after a device was added
    absorb_s: float = 3600.0  # from the loss of an SDS until its data is rebuilt on the others
    evacuate_s: float = 0.0  # from the removal of an SDS until its data is on the others
    version_needs_login: bool = False  # releases differ
    bearer_offered: bool = True  # on 4.x; without it clients stay with Basic
    listeners: list[Listener] = attrs.field(factory=list, init=False, repr=False)
    on_request: Callable[[Request], None] = attrs.field(default=_unheard, init=False, repr=False)
    calls: int = attrs.field(default=0, init=False)
    state: ClusterState = attrs.field(init=False, repr=False)
    tokens: TokenStore = attrs.field(init=False, repr=False)
    faults: Faults = attrs.field(init=False)
    _hooks: WorldHooks = attrs.field(factory=WorldHooks, init=False, repr=False)
    _ids: Ids = attrs.field(init=False, repr=False)
    _mdm: Mdm = attrs.field(init=False, repr=False)
    _routes: Routes = attrs.field(init=False, repr=False)
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
        self.tokens = TokenStore(
            user=self.user, password=self.password, clock=self.clock, rng=self.rng
        )
        self.faults = Faults(self._freeze)
        self._mdm = Mdm(
            state=self.state, ids=self._ids, clock=self.clock, hooks=self._hooks, emit=self._emit
        )
        self._mdm.evacuate_s = self.evacuate_s
        self._routes = Routes(mdm=self._mdm, read=self._read, clock=self.clock)

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
        sds = self.state.sds_at(ip)
        if sds is None or sds.connected == connected:
            return
        sds.connected = connected
        self._emit(_word("sds", connected=connected), {"id": sds.id, "sds_ip": ip})
        sds.absorbed_at = None if connected else self.clock() + self.absorb_s
        if not sds.absorbed:
            for pool in self.state.pools_of_sds(sds.id):
                pool.rebuild_until = self.clock() + self.rebuild_s if connected else None
                if connected:
                    self._emit("rebuild-started", {"id": pool.id, "pool": pool.name})
        sds.absorbed = False
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

    def set_device_failed(self, ip: str, path: str, failed: bool) -> None:  # noqa: FBT001
        sds = self.state.sds_at(ip)
        for device in self.state.devices_of_sds(sds.id) if sds else ():
            if device.path == path:
                device.failed = failed
        self.settle()

    def devices_of(self, ip: str) -> tuple[str, ...]:
        """Paths of the devices that the SDS at that address serves."""
        sds = self.state.sds_at(ip)
        return tuple(d.path for d in self.state.devices_of_sds(sds.id)) if sds else ()

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

    def restart(self) -> None:
        """The Gateway process is new: no token is valid any more."""
        self.tokens.forget_all()

    def seed(
        self, *, domain: str = "default", pool: str = "default", sds: int = 3, sdc: int = 2
    ) -> None:
        """One domain, one pool, `sds` SDSs with one 200 GB device each, `sdc` connected SDCs."""
        domain_id = self._mdm.create_domain({"name": domain})
        pool_id = self._mdm.create_pool(
            {"protectionDomainId": domain_id, "name": pool, "mediaType": "HDD"}
        )
        for n in range(1, sds + 1):
            address = f"10.0.1.{n}"
            sds_id = self._mdm.create_sds(
                {
                    "protectionDomainId": domain_id,
                    "name": f"sds_{address}",
                    "sdsIpList": [{"ip": address, "role": "all"}],
                }
            )
            self._mdm.create_device(
                {"sdsId": sds_id, "storagePoolId": pool_id, "deviceCurrentPathname": "/dev/sdb"}
            )
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
        now = self.clock()
        self._mdm.settle_absorbed()
        self._mdm.settle_leaving()
        for pool in self.state.pools.values():
            away = any(
                not self.state.sds[d.sds_id].connected for d in self.state.devices_of_pool(pool.id)
            )
            if pool.rebuild_until is not None and now >= pool.rebuild_until and not away:
                pool.rebuild_until = None
            if pool.rebalance_until is not None and now >= pool.rebalance_until:
                pool.rebalance_until = None
            degraded = pool_health(self.state, pool).degraded
            if degraded and pool.id not in self._degraded:
                self._degraded.add(pool.id)
                self._emit("degraded", {"id": pool.id, "pool": pool.name})
            elif not degraded and pool.id in self._degraded:
                self._degraded.remove(pool.id)
                self._emit("healthy", {"id": pool.id, "pool": pool.name})
        self._settle_alerts(now)

    # --- HTTP

    @property
    def handler(self) -> Handler:
        return self._handle

    async def _handle(self, request: Request) -> Reply | StreamReply | Cut:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        self.on_request(request)
        if self.faults.take_timeout():
            return StreamReply(chunks=Silence(), headers=JSON)
        self.settle()
        reply = self._login_reply(request) or self.faults.take_reply()
        if reply is None:
            reply = self._api_reply(request)
            self.settle()
        return reply

    def _login_reply(self, request: Request) -> Reply | None:
        """The calls that need no token."""
        headers = request.headers
        match request.method, request.path:
            case "GET", "/api/login":
                token = self.tokens.log_in(headers)
                return unauthorised() if token is None else json_reply(token)
            case "GET", "/api/logout" if self.tokens.allows(headers):
                self.tokens.log_out(headers)
                return json_reply("")
            case "GET", "/api/version":
                allowed = self.tokens.allows(headers) or self.tokens.allows_password(headers)
                if self.version_needs_login and not allowed:
                    return unauthorised()
                return json_reply(self.api)
            case "POST", "/rest/auth/login" if self._is_4x and self.bearer_offered:
                return self._bearer_login(request)
            case "POST", "/rest/auth/logout" if self._is_4x and self.bearer_offered:
                self.tokens.bearer_log_out(_body_of(request).get("refresh_token"))
                return Reply(status=204)
            case _:
                return None

    def _bearer_login(self, request: Request) -> Reply:
        body = _body_of(request)
        made = self.tokens.bearer_log_in(body.get("username"), body.get("password"))
        return html(401, "Unauthorized") if made is None else json_reply(made)

    def _api_reply(self, request: Request) -> Reply:
        if not self.tokens.allows(request.headers):
            return unauthorised()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        strict = self.state.api >= (3, 6)
        if request.method == "POST" and strict and media_type != "application/json":
            return error(400, "The request's Content-Type header must be application/json", 0)
        try:
            return json_reply(self._routes.answer(request.method, request.path, request.body))
        except MdmRefusalError as refusal:
            return error(500, refusal.message, refusal.code)
        except MalformedError as malformed:
            return error(400, str(malformed), 0)
        except NoSuchRouteError:
            if self._is_4x:
                return html(404, "Not Found")
            return error(404, "Not Found", 0)

    @property
    def _is_4x(self) -> bool:
        return self.state.api >= (4, 0)

    def _read(self) -> ClusterState:
        return self._frozen or self.state

    def _freeze(self, freeze: bool) -> None:  # noqa: FBT001
        self._frozen = copy.deepcopy(self.state) if freeze else None

    def _emit(self, kind: str, facts: Mapping[str, object]) -> None:
        if kind == "device-added" and self.rebalance_s:
            for pool in self.state.pools.values():
                if pool.name == facts["pool"]:
                    pool.rebalance_until = self.clock() + self.rebalance_s
        for listener in self.listeners:
            listener(kind, facts)

    def _settle_alerts(self, now: float) -> None:
        """Alerts are current state: a cleared one is simply absent."""
        alerts = self.state.alerts
        wanted = {
            (kind, object_id): (severity, object_type)
            for kind, severity, object_type, object_id in alert_conditions(self.state)
        }
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
                    started_at=now,
                )


def _word(what: str, *, connected: bool) -> str:
    return f"{what}-{'connected' if connected else 'disconnected'}"


def _body_of(request: Request) -> dict[str, object]:
    try:
        return parsed(request.body)
    except MalformedError:
        return {}
