"""Whatever befalls agents and Gateway: in the end the storage cluster is what is wanted, and rests.

The real resolver of attributes, the real rules for disks, the real poller and the real client over
HTTP, against the simulated Gateway. Agents come, go, fail, and change their attributes; the
Gateway refuses tokens, fails, cuts its answers off. Then all is well again, and it must converge.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from actors.board import AgentSnapshot, Board
from actors.gateway_poller import GatewayPoller
from actors.mailbox import Mailbox
from actors.messages import GateInbox, HealthInbox, PollerInbox, StorageRequest
from actors.supervision import supervise
from adapters.gateway_http import HttpGateway
from adapters.http_client import make_client
from domain.devices import DeviceRules, candidates
from domain.facts import Disk, Facts
from domain.inbox import AgentInbox, StorageAnswer
from domain.joining import JoinSpec
from domain.layout import Layout, layout_of
from domain.limits import NO_LIMITS, Member
from domain.wanted import resolve
from simulation.gateway import APIS, Api, SimulatedGateway
from simulation.http_server import Reply, Request, StreamReply
from simulation.network import MemoryBackend, Network
from tests.unit.actor_doubles import box

PASSWORD: Final = "Correct-Horse-9"
GB: Final = 1 << 30
HOSTS: Final = 5
POLL_S: Final = 5.0
CALLS_PER_LOOK: Final = {"2.0": 6, "2.5": 4, "3.6": 4, "4.5": 4}
READS: Final = ("querySelectedStatistics", "queryMdmCluster", "queryIdByKey", "/rest/auth/login")

# A disk of each host: empty, or of a kind that must never be taken unless it is named.
KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "empty": {},
    "data": {"zero": False},
    "signed": {"signature": "ext4"},
    "mounted": {"mounted": True},
    "system": {"system": True},
    "small": {"size_bytes": 20 * GB},
}


@attrs.define
class Host:
    number: int
    disks: tuple[str, ...]  # kinds
    attributes: dict[str, str]

    @property
    def name(self) -> str:
        return f"a{self.number}"

    @property
    def address(self) -> str:
        return f"10.0.4.{self.number}"

    @property
    def facts(self) -> Facts:
        disks = []
        for n, kind in enumerate(self.disks):
            shape: dict[str, Any] = {"size_bytes": 200 * GB, "zero": True, **KINDS[kind]}
            by_id = f"/dev/disk/by-id/scsi-{self.name}-{n}"
            disks.append(
                Disk(path=f"/dev/sd{n}", by_id=by_id, transport="sas", exclusive=True, **shape)
            )
        return Facts(
            machine_id=self.name,
            boot_id="b",
            os_id="ubuntu",
            os_version="14.04",
            kernel="k",
            disks=tuple(disks),
        )

    @property
    def layout(self) -> Layout:
        return layout_of(self.attributes, domain="pd", pool="p")

    @property
    def spec(self) -> JoinSpec:
        layout = self.layout
        taken = {
            v.path: v.wish.pool
            for v in candidates(self.facts, layout, DeviceRules())
            if v.verdict.take and v.wish is not None
        }
        return JoinSpec(
            host=self.name,
            address=self.address,
            domain=layout.provides[0].domain if taken else "",
            pools=tuple(dict.fromkeys(w.pool for w in layout.provides)) if taken else (),
            fault_set=layout.fault_set,
            devices=taken,
        )


@attrs.define
class Site:
    gateway: SimulatedGateway
    poller: GatewayPoller
    boxes: dict[str, Mailbox[AgentInbox]]
    hosts: dict[int, Host] = attrs.field(factory=dict)
    changes: list[str] = attrs.field(factory=list)  # calls that change something
    calls: int = 0

    def show(self, host: Host, phase: str) -> JoinSpec:
        spec = host.spec
        self.poller.board.post_agent(
            AgentSnapshot(
                host=host.name,
                agent_id="S",
                address=host.address,
                phase=phase,
                since=0.0,
                claimed=spec.devices,
                claimed_at=1.0,
                layout=host.layout,
            )
        )
        return spec

    async def ask(self, host: Host, request: str, phase: str) -> StorageAnswer | None:
        spec = self.show(host, phase)
        mailbox = self.boxes.setdefault(host.name, box(host.name))
        while mailbox.receive_now() is not None:
            pass
        message = StorageRequest(
            request=request, spec=spec, asked_at=trio.current_time(), claimed_at=1.0
        )
        await self.poller.mailbox.put(message)
        with trio.move_on_after(200.0):
            while True:
                answer = await mailbox.receive()
                if isinstance(answer, StorageAnswer) and answer.request == request:
                    return answer
        return None

    async def settle(self, host: Host) -> StorageAnswer:
        """Ask as its agent does, until there is more to say than to wait."""
        for _ in range(60):
            answer = await self.ask(host, "join", "joining")
            if answer is not None and answer.outcome != "waiting":
                return answer
            await trio.sleep(10.0)
        raise AssertionError(f"{host.name} does not come to an end")


# -- what may happen ------------------------------------------------------------------------------

hosts = st.builds(
    Host,
    number=st.integers(1, HOSTS),
    disks=st.lists(st.sampled_from(sorted(KINDS)), max_size=3).map(tuple),
    attributes=st.fixed_dictionaries(
        {}, optional={"scaleio-faultset": st.sampled_from(["r1", "r2"])}
    ),
)
events = st.one_of(
    st.tuples(st.just("comes"), hosts),
    st.tuples(st.just("leaves"), st.integers(1, HOSTS)),
    st.tuples(st.just("fails"), st.integers(1, HOSTS)),
    st.tuples(st.just("heals"), st.integers(1, HOSTS)),
    st.tuples(st.just("disk"), st.integers(1, HOSTS)),
    st.tuples(st.just("pool"), st.tuples(st.integers(1, HOSTS), st.sampled_from(["p", "q"]))),
    st.tuples(st.just("unauthorised"), st.integers(1, 3)),
    st.tuples(st.just("error"), st.sampled_from([0, 32, 69])),
    st.tuples(st.just("cut"), st.integers(1, 2)),
    st.tuples(st.just("restart"), st.none()),
)


async def befall(site: Site, kind: str, what: Any) -> None:
    gateway = site.gateway
    match kind:
        case "comes" if what.number not in site.hosts:
            site.hosts[what.number] = what
            await site.ask(what, "join", "joining")
        case "leaves" if what in site.hosts:
            host = site.hosts.pop(what)
            for _ in range(40):
                answer = await site.ask(host, "leave", "draining")
                if answer is not None and answer.outcome == "done":
                    break
                gateway.set_sds_connected(host.address, connected=True)
                await trio.sleep(30.0)
            site.poller.board.agents.pop(host.name)
        case "fails" if what in site.hosts:
            gateway.set_sds_connected(site.hosts[what].address, connected=False)
        case "heals" if what in site.hosts:
            gateway.set_sds_connected(site.hosts[what].address, connected=True)
        case "disk" if what in site.hosts:
            site.hosts[what].disks += ("empty",)
            await site.ask(site.hosts[what], "join", "joining")
        case "pool" if what[0] in site.hosts:
            _move_to(site.hosts[what[0]], what[1])
            await site.ask(site.hosts[what[0]], "join", "joining")
        case "unauthorised":
            gateway.faults.unauthorised_next(what)
        case "error":
            gateway.faults.error_500_next(1, code=what)
        case "cut":
            gateway.faults.cut_next(what)
        case "restart":
            gateway.restart()
        case _:
            await trio.lowlevel.checkpoint()


def _move_to(host: Host, pool: str) -> None:
    """Its attributes name the pool of its empty disks; what is in a pool stays there."""
    named = ",".join(
        f"/dev/disk/by-id/scsi-{host.name}-{n}"
        for n, kind in enumerate(host.disks)
        if kind == "empty"
    )
    if named:
        host.attributes |= {
            "scaleio-sds-domains": "pd",
            "scaleio-sds-pd": pool,
            f"scaleio-sds-{pool}": named,
        }


# -- the promises ---------------------------------------------------------------------------------


def played(api: Api, story: Callable[[Site], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            network = Network(nursery)
            async with make_client(network_backend=MemoryBackend(network)) as client:
                site = _site(api, HttpGateway(
                    client=client,
                    base_url="http://gateway",
                    user="admin",
                    password=lambda: PASSWORD,
                    clock=trio.current_time,
                ))  # fmt: skip

                async def answer(request: Request) -> Reply | StreamReply | Any:
                    site.calls += 1
                    if request.method == "POST" and not request.path.endswith(READS):
                        site.changes.append(request.path)
                    return await site.gateway.handler(request)

                network.listen("gateway", 80, answer)
                nursery.start_soon(supervise, site.poller.mailbox.vitals, site.poller.run)
                await story(site)
            nursery.cancel_scope.cancel()

    with capture_logs():
        trio.run(main, clock=MockClock(autojump_threshold=0))


def _site(api: Api, adapter: HttpGateway) -> Site:
    rng = random.Random(3)  # noqa: S311 - the same in each run
    gateway = SimulatedGateway(
        api=api,
        user="admin",
        password=PASSWORD,
        clock=trio.current_time,
        rng=rng,
        rebuild_s=20.0,
        evacuate_s=20.0,
    )
    boxes: dict[str, Mailbox[AgentInbox]] = {}
    polls: Mailbox[PollerInbox] = box("gateway-poller")
    gate: Mailbox[GateInbox] = box("gate", 100_000)
    health: Mailbox[HealthInbox] = box("health", 4)
    poller = GatewayPoller(
        mailbox=polls,
        gateway=adapter,
        gate=gate,
        health=health,
        agents=boxes.get,
        board=Board(),
        chance=rng,
        poll_s=POLL_S,
    )
    return Site(gateway, poller, boxes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(APIS), st.lists(events, max_size=14))
def test_it_converges_to_the_wanted_state_and_then_rests(
    api: Api, course: list[tuple[str, Any]]
) -> None:
    async def story(site: Site) -> None:
        for kind, what in course:
            await befall(site, kind, what)
        await trio.sleep(120.0)
        for host in site.hosts.values():
            site.gateway.set_sds_connected(host.address, connected=True)
        await trio.sleep(120.0)
        for host in site.hosts.values():
            await site.settle(host)
        _is_as_wanted(site)
        await _rests(site)

    played(api, story)


def _is_as_wanted(site: Site) -> None:
    state = site.gateway.state
    members = [
        Member(
            host=host.name,
            address=host.address,
            phase="ready",
            layout=host.layout,
            provides=bool(host.spec.devices),
        )
        for host in site.hosts.values()
    ]
    wanted = resolve(members, None, NO_LIMITS, {})
    domains = {d.id: d.name for d in state.domains.values()}
    there = {(domains[s.domain_id], s.ips[0][0]) for s in state.sds.values()}
    assert there == {(d.name, sds.address) for d in wanted.domains for sds in d.sds}
    names = {(domains[p.domain_id], p.name) for p in state.pools.values()}
    assert names >= {(d.name, pool.name) for d in wanted.domains for pool in d.pools}
    for host in site.hosts.values():
        _has_its_disks(site, host)


def _has_its_disks(site: Site, host: Host) -> None:
    """Every disk that may be taken is in a pool, and none that may not."""
    allowed = {
        f"/dev/disk/by-id/scsi-{host.name}-{n}"
        for n, kind in enumerate(host.disks)
        if kind == "empty"
    }
    there = set(site.gateway.devices_of(host.address))
    assert there <= allowed, "a disk of a refused kind was added"
    assert set(host.spec.devices) <= there


async def _rests(site: Site) -> None:
    """Converged: nobody's question changes anything, and a look costs what it has to."""
    site.changes.clear()
    for host in site.hosts.values():
        answer = await site.ask(host, "join", "joining")
        assert answer is not None
        assert answer.outcome == "done", answer.sentence
    assert site.changes == []
    looked, site.calls = site.poller.board.gateway.storage, 0
    await trio.sleep(POLL_S * 1.2)
    again = site.poller.board.gateway.storage
    assert looked is not None
    assert again is not None
    assert again.taken_at > looked.taken_at
    assert site.calls <= 2 * CALLS_PER_LOOK[site.gateway.api] + 3  # a login may fall due
    assert site.changes == []


def test_a_look_at_a_converged_cluster_costs_what_is_stated() -> None:
    for api in APIS:
        found: list[int] = []

        async def story(site: Site, found: list[int] = found) -> None:
            for number in range(1, 4):
                host = Host(number, ("empty", "data"), {})
                site.hosts[number] = host
                await site.settle(host)
            before = site.poller.board.gateway.storage
            site.calls = 0
            while site.poller.board.gateway.storage is before:
                await site.poller.board.wait_change()
            found.append(site.calls)
            assert site.changes[-1].endswith("Device/instances")

        played(api, story)
        assert found[0] in {CALLS_PER_LOOK[api], CALLS_PER_LOOK[api] - 1}, (api, found)
