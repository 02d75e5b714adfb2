"""The real product against the simulated world: same adapters, actors and domain, other sockets.

A crash is not a cancellation: the power goes first (no byte leaves, no write lands), then the
run is thrown away, and another scheduler starts on the same store.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import httpx
import trio

from actors.board import Board
from actors.clock import Chance
from actors.membership import members
from actors.notifier import NoReceivers
from actors.ports import Mesos, Notices, Store
from actors.supervision import EndOfServiceError
from adapters.gateway_http import HttpGateway
from adapters.http_client import make_client
from adapters.leaders import FixedLeaders
from adapters.mesos_http import HttpMesos
from adapters.sandbox_http import HttpSandbox
from adapters.store_sqlite import SqliteStore, run_inline
from commands.power import Power, PoweredBackend, PoweredStore
from commands.wires import OverheardMesos, Plant, PlantedMesos
from domain import records
from domain.agent import AgentRecord
from domain.closing import Wish
from domain.limits import NO_LIMITS
from install_steps.assembly import Assembly
from install_steps.catalog import Catalog, load_catalog
from install_steps.extras import Extra
from install_steps.layout_file import LayoutFile
from install_steps.overrides import Override
from settings import Redactor, Settings, parse
from simulation.checkers import Checkers
from simulation.mesos_values import EPOCH_S
from simulation.network import MemoryBackend
from simulation.process_dials import ProcessDials
from simulation.world import GATEWAY_NAME, World
from supervisor import Outside, Service, WebServer
from web.app import create_app

OWN_ADDRESS: Final = "10.1.0.2"  # the scheduler runs on the second agent's host
OWN_URL: Final = f"http://{OWN_ADDRESS}:35000"

_PACKAGES: Final = (
    ("sds", "2.0-10000.2072", "1", ""),
    ("sdc", "2.0-10000.2072", "2", ', "kernels": ["6.1.0-18-amd64"]'),
    ("rexray", "0.11.4", "3", ""),
    ("dvdcli", "0.1.0", "4", ""),
)
NEWER: Final = {"sds": "2.0-12000.122", "sdc": "2.0-12000.122", "rexray": "0.11.9"}


def catalog_text(newer: Mapping[str, str] | None = None) -> str:
    """The simulation's catalog. `newer`: component -> the version that replaces it."""
    newer = newer or {}
    entries = ",\n".join(
        f"""{{"component": "{name}", "version": "{newer.get(name, version)}",
 "platforms": [{{"os_id": "debian"}}], "url": "https://packages.example.invalid/{name}.deb",
 "sha256": "{digit * 64}", "size_bytes": 1000,
 "upgrade": {"true" if name in newer else "false"}{kernels}}}"""
        for name, version, digit, kernels in _PACKAGES
    )
    return f"""{{"version": 1, "packages": [
{entries}
]}}"""


def simulated_settings(
    password: str,
    extra: Iterable[str] = (),
    *,
    own_address: str = OWN_ADDRESS,
    mdms: tuple[str, str, str] = ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
) -> Settings:
    """The settings of the product in the simulated world, through the real parser."""
    argv = [
        "-uri=10.0.0.1:5050",
        "-hostname=scheduler.sim",
        "-user=root",
        f"-rest.address={own_address}",
        "-kernel=install",
        f"-scaleio.preconfig.primary={mdms[0]}",
        f"-scaleio.preconfig.secondary={mdms[1]}",
        f"-scaleio.preconfig.tiebreaker={mdms[2]}",
        f"-scaleio.preconfig.gateway={GATEWAY_NAME}",
        *extra,
    ]
    return parse(argv, {"SCALEIO_SCALEIO_PASSWORD": password})


@attrs.define
class Rehearsal:
    """Runs schedulers, one after the other, against one world."""

    world: World
    checkers: Checkers
    settings: Settings
    folder: Path
    rng: random.Random
    plant: Plant | None = None
    web: WebServer | None = None  # None: no sockets, the permit is asked in process
    time_scale: float = 1.0
    notices: Notices = attrs.field(factory=NoReceivers)  # nobody is told, unless a test listens
    through: Callable[[Store], Store] = lambda store: store  # where a store can be made to fail
    catalog: Catalog | None = attrs.field(
        factory=lambda: load_catalog(catalog_text(), "the simulation's catalog")
    )
    extras: tuple[Extra, ...] = ()
    overrides: tuple[Override, ...] = ()
    layout: LayoutFile = attrs.field(factory=LayoutFile)
    outward: Callable[[], None] = lambda: None  # hears of all that leaves a scheduler
    service: Service | None = None
    crashes: int = 0
    incarnations: int = 0
    started_again: bool = False  # also after an end of its own accord, such as "superseded"
    ended: int = 0  # so often it did
    dials: ProcessDials = attrs.field(init=False)
    redactor: Redactor = attrs.field(init=False)
    _power: Power = attrs.field(factory=Power)
    _scope: trio.CancelScope | None = None
    _shown: Board | None = None
    _stop: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.world.ask_permit = self._ask_permit
        self.checkers.shown.look = self.board
        self.dials = ProcessDials(self.crash)
        self.redactor = Redactor([self.settings.scaleio_password])

    def wall(self) -> float:
        return EPOCH_S + trio.current_time() + self.dials.clock_off_s

    def crash(self) -> None:
        """The process dies now, between two instructions."""
        self.crashes += 1
        self._power.on = False
        self._last_look()
        if self._scope is not None:
            self._scope.cancel(reason="simulated crash")

    def stop(self) -> None:
        self._stop.set()

    def board(self) -> Board | None:
        """What the running scheduler shows; nothing while none runs."""
        return self._shown

    def _last_look(self) -> None:
        """What a dead process showed is compared with nothing any more."""
        if self._shown is not None:
            self.checkers.shown.mailboxes(see() for see in self._shown.actors.values())
        self._shown = None

    async def run(self) -> None:
        """Start a scheduler; when it crashes start the next, until `stop` ends one gracefully."""
        while not self._stop.is_set():
            self._power = Power(outward=self.outward)
            with trio.CancelScope() as self._scope:
                await self._until_it_ends(self._power)
            if not self._power.on:
                await trio.sleep(self.rng.uniform(1.0, 5.0))  # Marathon starts it again

    async def _until_it_ends(self, power: Power) -> None:
        """A process that ends by itself is started again, too, where `started_again` says so."""
        try:
            await self._one_life(power)
        except* EndOfServiceError:
            if not self.started_again:
                raise
            self.ended += 1
            power.on = False

    async def _one_life(self, power: Power) -> None:
        self.incarnations += 1
        store = await SqliteStore.open(self.folder / "state.sqlite", run_sync=run_inline)
        clients: list[httpx.AsyncClient] = []
        try:
            outside = self._outside(power, store, clients)
            self.service = Service(self.settings, outside, self.redactor)
            self._shown = self.service.board
            await self.service.run(self._stop)
        finally:
            self._last_look()
            with trio.CancelScope(shield=True):
                # Inline and in memory: nothing in here can wait.
                for client in clients:
                    await client.aclose()
                await store.close()

    def _outside(self, power: Power, store: Store, clients: list[httpx.AsyncClient]) -> Outside:
        backend = PoweredBackend(MemoryBackend(self.world.network), power)

        def client(**options: Any) -> httpx.AsyncClient:
            made = make_client(network_backend=backend, **options)
            clients.append(made)
            return made

        wire = HttpMesos(
            stream=client(read_timeout_s=None, connections_max=2),
            calls=client(connections_max=1),
            operator_calls=client(connections_max=4),
        )
        mesos: Mesos = OverheardMesos(wire, self.checkers.link)
        if self.plant is not None:
            mesos = PlantedMesos(mesos, self.plant)
        chance = Chance(
            wall=self.wall,
            rng=random.Random(self.rng.getrandbits(64)),  # noqa: S311 - simulated chance
        )
        return Outside(
            mesos=mesos,
            leaders=FixedLeaders(masters=self.settings.master_urls, chance=chance.rng),
            sandbox=HttpSandbox(client=client()),
            gateway=HttpGateway(
                client=client(connections_max=4),
                base_url=f"http://{GATEWAY_NAME}:443",
                user=self.settings.scaleio_user,
                password=self.settings.scaleio_password.reveal,
                clock=trio.current_time,
                chance=chance.rng.random,
            ),
            store=self._store(store, power),
            notices=self.notices,
            chance=chance,
            installer=self._installer,
            web=self.web or _no_sockets,
            time_scale=self.time_scale,
        )

    def _store(self, store: Store, power: Power) -> Store:
        def confirmed(keys: Iterable[str]) -> None:
            self.checkers.shown.heard(keys, at=trio.current_time())

        return PoweredStore(self.through(store), power, self.dials, self._landed, confirmed)

    def _landed(self, changes: Mapping[str, bytes | None]) -> None:
        """The checkers hear of it from the store, not from those who asked for it."""
        for key, raw in changes.items():
            if raw is not None:
                self.checkers.secret_free(f"record {key}", raw.decode())
            if raw is not None and key.startswith(records.AGENT_PREFIX):
                record = records.decode(raw, AgentRecord, key=key)
                self.checkers.stored(record, at=trio.current_time())
            if key == records.FRAMEWORK_KEY:
                self.checkers.link.kept(_framework_id(raw))

    def _installer(self, service: Service) -> Assembly:
        service.board.described = self.layout.pools
        on = self.settings.limits == "on"
        service.board.limits = self.layout.limits if on else NO_LIMITS
        return Assembly(
            settings=self.settings,
            catalog=self.catalog,
            extras=self.extras,
            overrides=self.overrides,
            layout_file=self.layout,
            members=lambda: members(service.board),
            storage=lambda: service.board.gateway.storage,
            leader=lambda: service.session.base.partition("://")[2],
            own_url=lambda: OWN_URL,
            installation=lambda: service.installation,
        )

    # -- the host's side of the permit ------------------------------------------------------------

    async def _ask_permit(self, url: str) -> int:
        """GET through the real web application, in process; 0 while no scheduler runs."""
        service = self.service
        if service is None or not self._power.on:
            return 0
        app = self.application(service)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=OWN_URL) as client:
            try:
                answer = await client.get(url)
            except httpx.HTTPError:
                return 0
        return answer.status_code

    def application(self, service: Service) -> Any:
        return create_app(
            board=service.board,
            settings=self.settings,
            redactor=self.redactor,
            permits=service.permit,
            commands=self.command,
            orders=self.framework_order,
            rollout=self.rollout_order,
            removals=self.storage_order,
            book=service.order_book,
            now=trio.current_time,
            wall=self.wall,
            version=VERSION,
            stop=self._stop,
            time_scale=self.time_scale,
        )

    def command(self, name: str, host: str) -> tuple[int, str]:
        self.checkers.commanded(host)
        if name == "register":
            self.checkers.link.registers()
        if self.service is None:
            return 503, "no scheduler runs"
        return self.service.command(name, host)

    async def framework_order(self, wish: Wish | None) -> tuple[int, str]:
        if wish is None:
            self.checkers.link.stays()
        elif wish.teardown:
            self.checkers.link.registers()
        for host in self.world.hosts:
            self.checkers.commanded(host)
        if self.service is None:
            return 503, "no scheduler runs"
        return await self.service.framework_order(wish)

    async def rollout_order(self, word: str) -> tuple[int, str]:
        for host in self.world.hosts:
            self.checkers.commanded(host)
        if self.service is None:
            return 503, "no scheduler runs"
        return await self.service.rollout_order(word)

    async def storage_order(self, kind: str, object_id: str, word: str) -> tuple[int, str]:
        if self.service is None:
            return 503, "no scheduler runs"
        return await self.service.storage_order(kind, object_id, word)

    async def replies(self, paths: Iterable[str] | None = None) -> list[tuple[str, str]]:
        """What every readable endpoint says now, or these: for the checkers."""
        service = self.service
        if service is None:
            return []
        transport = httpx.ASGITransport(app=self.application(service))
        found: list[tuple[str, str]] = []
        async with httpx.AsyncClient(transport=transport, base_url=OWN_URL) as client:
            for path in READABLE if paths is None else paths:
                answer = await client.get(path)
                found.append((path, answer.text))
        return found

    async def compare_shown(self) -> None:
        """Page and list against the store, as far as a scheduler runs that shows anything."""
        if self._shown is None:
            return
        (_, page), (where, listed) = await self.replies(SHOWING_AGENTS)
        if self._shown is not None:
            self.checkers.book.now = trio.current_time()
            self.checkers.shown.listed(where, json.loads(listed)["agents"])
            self.checkers.shown.page(page)

    async def keep_comparing(self) -> None:
        """For as long as the run lasts."""
        while True:
            await trio.sleep(COMPARE_EVERY_S)
            await self.compare_shown()


COMPARE_EVERY_S: Final = 60.0  # virtual
SHOWING_AGENTS: Final = ("/ui/agents?limit=1000", "/v1/agents")
READABLE: Final = (
    "/", "/ui", "/version", "/api/state", "/healthz", "/readyz", "/metrics", "/v1/agents",
    "/v1/conditions", "/v1/rollout", "/v1/storage", "/v1/plan", "/v1/status", "/v1/capacity",
    "/v1/devices", "/v1/events", "/v1/offers", "/v1/settings", "/v1/why/rollout",
    "/v1/why/framework", "/debug/actors", "/debug/tasks", "/ui/agents", "/ui/devices",
    "/ui/rollout", "/ui/capacity", "/ui/health", "/ui/offers", "/ui/events", "/ui/settings",
    "/ui/debug",
)  # fmt: skip
VERSION: Final = "1.0.0"


def _framework_id(raw: bytes | None) -> str:
    if raw is None:
        return ""
    record = records.decode(raw, records.FrameworkRecord, key=records.FRAMEWORK_KEY)
    return record.framework_id


async def _no_sockets(_: Service, stop: trio.Event, task_status: trio.TaskStatus[str]) -> None:
    task_status.started(OWN_URL)
    await stop.wait()


def phases_of(service: Service) -> dict[str, tuple[str, str]]:
    """Host -> (phase, error) as the board shows them."""
    return {host: (shown.phase, shown.error) for host, shown in service.board.agents.items()}


def all_arrived(service: Service | None, expected: int) -> bool:
    if service is None or len(service.board.agents) < expected:
        return False
    return all(shown.phase in ("ready", "failed") for shown in service.board.agents.values())
