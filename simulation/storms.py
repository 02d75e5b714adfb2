"""What goes wrong, and when: drawn from the seed, over a bounded time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import attrs
import trio

from simulation.world import World

PAUSES_S: Final = {"none": (0.0, 0.0), "some": (15.0, 60.0), "storm": (2.0, 12.0)}
_SOME: Final = (
    "dropped-stream", "duplicate-update", "gateway-401", "gateway-500", "late-update", "rescind",
    "scheduler-crash", "task-fails", "task-lost",
)  # fmt: skip
_REBOOTS: Final = ("reboot", "reboot-new-id")
KINDS: Final = {
    "none": (),
    "some": (*_SOME, *_REBOOTS),
    "storm": (
        *sorted((*_SOME, "agent-restart", "master-failover", "reordered-update")), *_REBOOTS,
    ),
}  # fmt: skip
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
            self._one()

    def _one(self) -> None:
        host = self.rng.choice(sorted(self.world.hosts))
        self.inject(self.rng.choice(KINDS[self.level]), host)

    def inject(self, kind: str, host: str) -> None:
        """One fault now; some of them hit `host`, the others all."""
        faults, gateway = self.world.mesos.faults, self.world.gateway.faults
        self.injected[kind] = self.injected.get(kind, 0) + 1
        match kind:
            case "task-fails":
                faults.task_fails_next(host, self.rng.choice((1, 75)))
            case "task-lost":
                faults.task_lost(host)
            case "duplicate-update":
                faults.duplicate_next_updates(2)
            case "late-update":
                faults.delay_next_updates(1, self.rng.uniform(1, 20))
            case "reordered-update":
                faults.reorder_next_updates(1)
            case "dropped-stream":
                faults.drop_stream(mid_record=self.rng.random() < 0.5)
            case "rescind":
                faults.rescind(host)
            case "scheduler-crash":
                self.crash()
            case "gateway-401":
                gateway.unauthorised_next(2)
            case "gateway-500":
                gateway.error_500_next(self.rng.randint(1, 3))
            case "master-failover":
                faults.master_failover()
            case "agent-restart":
                faults.agent_restart(host, down_s=3.0)
            case "reboot" | "reboot-new-id" if self.world.hosts[host].up:
                self.world.nursery.start_soon(self._reboot, host, kind == "reboot-new-id")
            case "reboot" | "reboot-new-id":
                pass  # it is down already
            case _:
                raise ValueError(f"there is no fault {kind}: see KINDS")

    async def _reboot(self, host: str, new_id: bool) -> None:  # noqa: FBT001 - for start_soon
        await self.world.reboot(host, new_id=new_id)
