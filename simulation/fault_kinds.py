"""Every way to go wrong by its name: what a storm draws from, and what a script names."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from simulation.process_dials import ProcessDials
from simulation.world import World


class Trouble(Protocol):
    """Where faults happen."""

    @property
    def world(self) -> World: ...

    @property
    def process(self) -> ProcessDials: ...


@attrs.frozen
class Size:
    """How much of a fault: drawn between two numbers, or one of several."""

    low: float = 0.0
    high: float = 0.0
    among: tuple[float, ...] = ()

    def draw(self, rng: random.Random) -> float:
        if self.among:
            return rng.choice(self.among)
        return round(rng.uniform(self.low, self.high), 1)

    @property
    def usual(self) -> float:
        return self.among[0] if self.among else round((self.low + self.high) / 2, 1)


Act = Callable[[Trouble, str, float], object]  # where, a host's name, the size


@attrs.frozen(kw_only=True)
class Kind:
    """`size` is None where there is nothing to choose. `hits` one host, or everybody at once."""

    says: str
    act: Act
    hits_host: bool = False
    size: Size | None = None


def _for_a_while(
    trouble: Trouble, seconds: float, target: object, name: str, value: object
) -> None:
    """A dial is turned, and back; nothing where it is turned already."""
    before = getattr(target, name)
    if before == value:
        return
    setattr(target, name, value)
    trouble.world.mesos.timers.later(seconds, lambda: setattr(target, name, before))


def _dial(name: str, value: object) -> Act:
    return lambda trouble, host, seconds: _for_a_while(
        trouble, seconds, trouble.world.hosts[host].dials, name, value
    )


def _reboot(*, new_id: bool) -> Act:
    """Nothing where the host is down already."""

    async def reboot(trouble: Trouble, host: str) -> None:
        await trouble.world.reboot(host, new_id=new_id)

    def act(trouble: Trouble, host: str, _: float) -> None:
        if trouble.world.hosts[host].up:
            trouble.world.nursery.start_soon(reboot, trouble, host)

    return act


def _agent_away(trouble: Trouble, host: str, seconds: float) -> None:
    trouble.world.mesos.faults.agent_restart(host, down_s=seconds)


def _agent_leaves(trouble: Trouble, host: str, seconds: float) -> None:
    if trouble.world.mesos.agents[host].up:
        trouble.world.mesos.faults.agent_leaves(host, for_s=seconds)


def _partition(trouble: Trouble, host: str, seconds: float) -> None:
    if trouble.world.mesos.agents[host].up:
        trouble.world.mesos.faults.partition(host, for_s=seconds)


def _sds_away(trouble: Trouble, host: str, seconds: float) -> None:
    """The SDS of that host, or a stranger's where it has none; its data is rebuilt afterwards."""
    world = trouble.world
    addresses = {sds.ips[0][0] for sds in world.gateway.state.sds.values()}
    address = world.hosts[host].address
    address = address if address in addresses else min(addresses, default="")

    def back() -> None:
        found = world.host_at(address)
        if found is None or (found.up and "sds" in found.services):
            world.gateway.set_sds_connected(address, connected=True)

    world.gateway.set_sds_connected(address, connected=False)
    world.mesos.timers.later(seconds, back)


def _mdm_away(trouble: Trouble, _: str, seconds: float) -> None:
    """The last member: a tie-breaker. The cluster is not normal meanwhile."""
    gateway = trouble.world.gateway
    address = gateway.state.mdms[-1].ip
    gateway.set_mdm_connected(address, connected=False)
    trouble.world.mesos.timers.later(
        seconds, lambda: gateway.set_mdm_connected(address, connected=True)
    )


def _clock_jump(trouble: Trouble, _: str, seconds: float) -> None:
    trouble.process.clock_off_s += seconds


def _host_clock(trouble: Trouble, host: str, seconds: float) -> None:
    trouble.world.mesos.agents[host].clock_off_s += seconds


JUMPS_S: Final = (600.0, -600.0, 60.0, -60.0, 3600.0, -3600.0, 7200.0, -7200.0)
DRIFTS_S: Final = (30.0, -30.0, 300.0, -300.0, 3600.0, -3600.0)

KINDS: Final[dict[str, Kind]] = {
    "agent-away": Kind(
        says="a Mesos agent's process is down for some minutes", hits_host=True,
        size=Size(60, 400), act=_agent_away,
    ),
    "agent-leaves": Kind(
        says="a Mesos agent unregisters, and comes back without its tasks", hits_host=True,
        size=Size(5, 120), act=_agent_leaves,
    ),
    "agent-partition": Kind(
        says="no message passes between master and agent", hits_host=True,
        size=Size(20, 300), act=_partition,
    ),
    "agent-restart": Kind(
        says="a Mesos agent's process is killed and started again", hits_host=True,
        act=lambda at, host, _: at.world.mesos.faults.agent_restart(host, down_s=3.0),
    ),
    "clock-jump": Kind(
        says="the scheduler's wall clock jumps, forward or back", size=Size(among=JUMPS_S),
        act=_clock_jump,
    ),
    "disk-full": Kind(
        says="the folder for our state is full on a host", hits_host=True, size=Size(30, 300),
        act=_dial("full", "state"),
    ),
    "downloads-fail": Kind(
        says="nothing can be fetched on a host", hits_host=True, size=Size(30, 300),
        act=_dial("download_fails", value=True),
    ),
    "duplicate-update": Kind(
        says="the next two updates come twice",
        act=lambda at, _, __: at.world.mesos.faults.duplicate_next_updates(2),
    ),
    "gateway-401": Kind(
        says="the Gateway does not know our token any more, twice",
        act=lambda at, _, __: at.world.gateway.faults.unauthorised_next(2),
    ),
    "gateway-500": Kind(
        says="the Gateway's next answers are errors", size=Size(among=(1, 2, 3)),
        act=lambda at, _, count: at.world.gateway.faults.error_500_next(int(count)),
    ),
    "gateway-page": Kind(
        says="a web page answers in the Gateway's place", size=Size(20, 200),
        act=lambda at, _, s: _for_a_while(at, s, at.world.gateway.faults, "html_404", value=True),
    ),
    "gateway-restart": Kind(
        says="the Gateway's process is new, and knows nobody",
        act=lambda at, _, __: at.world.gateway.restart(),
    ),
    "gateway-stale": Kind(
        says="the Gateway shows the cluster as it was when this began", size=Size(20, 180),
        act=lambda at, _, s: _for_a_while(at, s, at.world.gateway.faults, "stale", value=True),
    ),
    "gateway-timeout": Kind(
        says="the Gateway does not answer the next calls", size=Size(among=(1, 2, 3)),
        act=lambda at, _, count: at.world.gateway.faults.timeout_next(int(count)),
    ),
    "host-clock": Kind(
        says="a host's clock goes wrong, and stays so", hits_host=True,
        size=Size(among=DRIFTS_S), act=_host_clock,
    ),
    "host-locked": Kind(
        says="somebody else holds the lock of our steps on a host", hits_host=True,
        size=Size(20, 120), act=_dial("lock_held", value=True),
    ),
    "late-update": Kind(
        says="the next update comes late", size=Size(1, 20),
        act=lambda at, _, s: at.world.mesos.faults.delay_next_updates(1, s),
    ),
    "lost-ack": Kind(
        says="the next acknowledgements get lost", size=Size(among=(1, 2)),
        act=lambda at, _, count: at.world.mesos.faults.lose_next_calls(int(count), "ACKNOWLEDGE"),
    ),
    "lost-call": Kind(
        says="the next call is answered 202 and forgotten",
        act=lambda at, _, __: at.world.mesos.faults.lose_next_calls(1),
    ),
    "master-busy": Kind(
        says="the leading master answers 503, and keeps its streams", size=Size(5, 60),
        act=lambda at, _, s: at.world.mesos.faults.busy(s),
    ),
    "master-failover": Kind(
        says="the leading master dies, another one takes its place",
        act=lambda at, _, __: at.world.mesos.faults.master_failover(),
    ),
    "mdm-away": Kind(
        says="a member of the MDM cluster is away", size=Size(20, 300), act=_mdm_away
    ),
    "reboot": Kind(
        says="a host reboots", hits_host=True, act=_reboot(new_id=False)
    ),
    "reboot-new-id": Kind(
        says="a host reboots, and registers as a new agent", hits_host=True,
        act=_reboot(new_id=True),
    ),
    "reordered-update": Kind(
        says="the next update comes after the one behind it",
        act=lambda at, _, __: at.world.mesos.faults.reorder_next_updates(1),
    ),
    "replayed-update": Kind(
        says="old updates come once more", size=Size(among=(1, 2, 3)),
        act=lambda at, _, count: at.world.mesos.faults.replay_next_updates(int(count)),
    ),
    "rescind": Kind(
        says="all offers of a host are taken back", hits_host=True,
        act=lambda at, host, _: at.world.mesos.faults.rescind(host),
    ),
    "scheduler-crash": Kind(
        says="the scheduler's process dies, and is started again",
        act=lambda at, _, __: at.process.crash(),
    ),
    "sds-away": Kind(
        says="an SDS is not connected for a while, its data degraded and then rebuilt",
        hits_host=True, size=Size(20, 200), act=_sds_away,
    ),
    "slow-call": Kind(
        says="the next two calls to the master take long", size=Size(2, 90),
        act=lambda at, _, s: at.world.mesos.faults.slow_next_calls(2, s),
    ),
    "store-slow": Kind(
        says="the next two writes to the store land late, and are confirmed later",
        size=Size(1, 60), act=lambda at, _, s: at.process.slow_writes(2, s),
    ),
    "store-unheard": Kind(
        says="the next write to the store lands, and the scheduler dies before it hears of it",
        act=lambda at, _, __: at.process.unheard_writes(1),
    ),
    "store-unsure": Kind(
        says="the next write to the store lands, and is said to have failed",
        act=lambda at, _, __: at.process.unsure_writes(1),
    ),
    "stream-cut": Kind(
        says="the event stream breaks in the middle of a record",
        act=lambda at, _, __: at.world.mesos.faults.drop_stream(mid_record=True),
    ),
    "stream-ends": Kind(
        says="the event stream ends between two records",
        act=lambda at, _, __: at.world.mesos.faults.drop_stream(),
    ),
    "stream-garbage": Kind(
        says="the event stream carries bytes that are no record",
        act=lambda at, _, __: at.world.mesos.faults.garbage_on_stream(),
    ),
    "stream-mute": Kind(
        says="the event stream falls silent, heartbeats included",
        act=lambda at, _, __: at.world.mesos.faults.mute_stream(),
    ),
    "task-fails": Kind(
        says="the next task of a host fails with that exit code", hits_host=True,
        size=Size(among=(1, 75)),
        act=lambda at, host, code: at.world.mesos.faults.task_fails_next(host, int(code)),
    ),
    "task-lost": Kind(
        says="the running tasks of a host die", hits_host=True,
        act=lambda at, host, _: at.world.mesos.faults.task_lost(host),
    ),
}  # fmt: skip
