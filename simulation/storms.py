"""What goes wrong, and when: drawn from the seed, over a bounded time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import attrs
import trio

from simulation.world import World

PAUSES_S: Final = {"none": (0.0, 0.0), "some": (15.0, 60.0), "storm": (2.0, 12.0)}
PER_AGENT_S: Final = 12.0  # of trouble; 200 agents are troubled for 40 minutes
AT_LEAST_S: Final = 300.0


@attrs.define
class Storm:
    """`run` ends when the time of troubles is over. `crash` kills the scheduler."""

    world: World
    level: str
    rng: random.Random
    crash: Callable[[], None]
    injected: dict[str, int] = attrs.field(factory=dict)

    async def run(self) -> None:
        low, high = PAUSES_S[self.level]
        if not high:
            return
        until = trio.current_time() + AT_LEAST_S + PER_AGENT_S * len(self.world.hosts)
        while trio.current_time() < until:
            await trio.sleep(self.rng.uniform(low, high))
            host = self.rng.choice(sorted(self.world.hosts))
            self.inject(self.rng.choice(KINDS[self.level]), host)

    def inject(self, kind: str, host: str) -> None:
        """One fault now; some of them hit `host`, the others everybody."""
        self.injected[kind] = self.injected.get(kind, 0) + 1
        _FAULTS[kind](self, host)

    def reboot(self, host: str, *, new_id: bool) -> None:
        """Nothing where the host is down already."""
        if self.world.hosts[host].up:
            self.world.nursery.start_soon(self._reboot, host, new_id)

    async def _reboot(self, host: str, new_id: bool) -> None:  # noqa: FBT001 - for start_soon
        await self.world.reboot(host, new_id=new_id)


_FAULTS: Final[dict[str, Callable[[Storm, str], object]]] = {
    "dropped-stream": lambda storm, _: storm.world.mesos.faults.drop_stream(
        mid_record=storm.rng.random() < 0.5
    ),
    "duplicate-update": lambda storm, _: storm.world.mesos.faults.duplicate_next_updates(2),
    "gateway-401": lambda storm, _: storm.world.gateway.faults.unauthorised_next(2),
    "gateway-500": lambda storm, _: storm.world.gateway.faults.error_500_next(
        storm.rng.randint(1, 3)
    ),
    "late-update": lambda storm, _: storm.world.mesos.faults.delay_next_updates(
        1, storm.rng.uniform(1, 20)
    ),
    "rescind": lambda storm, host: storm.world.mesos.faults.rescind(host),
    "scheduler-crash": lambda storm, _: storm.crash(),
    "task-fails": lambda storm, host: storm.world.mesos.faults.task_fails_next(
        host, storm.rng.choice((1, 75))
    ),
    "task-lost": lambda storm, host: storm.world.mesos.faults.task_lost(host),
    "agent-restart": lambda storm, host: storm.world.mesos.faults.agent_restart(host, down_s=3.0),
    "master-failover": lambda storm, _: storm.world.mesos.faults.master_failover(),
    "reordered-update": lambda storm, _: storm.world.mesos.faults.reorder_next_updates(1),
    "reboot": lambda storm, host: storm.reboot(host, new_id=False),
    "reboot-new-id": lambda storm, host: storm.reboot(host, new_id=True),
}
_STORM_ONLY: Final = ("agent-restart", "master-failover", "reordered-update")
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "some": tuple(sorted(_FAULTS.keys() - set(_STORM_ONLY))),
    "storm": tuple(sorted(_FAULTS)),
}
