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
            await self._one()

    async def _one(self) -> None:
        faults, gateway = self.world.mesos.faults, self.world.gateway.faults
        host = self.rng.choice(sorted(self.world.hosts))
        kinds: dict[str, Callable[[], object]] = {
            "task-fails": lambda: faults.task_fails_next(host, self.rng.choice((1, 75))),
            "task-lost": lambda: faults.task_lost(host),
            "duplicate-update": lambda: faults.duplicate_next_updates(2),
            "late-update": lambda: faults.delay_next_updates(1, self.rng.uniform(1, 20)),
            "dropped-stream": lambda: faults.drop_stream(mid_record=self.rng.random() < 0.5),
            "rescind": lambda: faults.rescind(host),
            "scheduler-crash": self.crash,
            "gateway-401": lambda: gateway.unauthorised_next(2),
            "gateway-500": lambda: gateway.error_500_next(self.rng.randint(1, 3)),
        }
        if self.level == "storm":
            kinds["master-failover"] = lambda: faults.master_failover()
            kinds["agent-restart"] = lambda: faults.agent_restart(host, down_s=3.0)
            kinds["reordered-update"] = lambda: faults.reorder_next_updates(1)
        kind = self.rng.choice([*sorted(kinds), "reboot", "reboot-new-id"])
        self.injected[kind] = self.injected.get(kind, 0) + 1
        if kind in kinds:
            kinds[kind]()
        elif self.world.hosts[host].up:
            self.world.nursery.start_soon(self._reboot, host, kind == "reboot-new-id")

    async def _reboot(self, host: str, new_id: bool) -> None:  # noqa: FBT001 - for start_soon
        await self.world.reboot(host, new_id=new_id)
