"""A rolling upgrade of a simulated cluster: the newer catalog, and steps that fail on the way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

import attrs
import trio

from commands.rehearsal import NEWER, Rehearsal, all_arrived, catalog_text
from install_steps.catalog import load_catalog
from simulation.host_packages import database_name
from simulation.mesos_observed import TaskLaunched
from simulation.world import HostEvent, World, WorldEvent

FAILS_PERCENT: Final = 3
STEPS: Final = frozenset({"sds", "sdc", "rexray"})
FAULT_SETS: Final = 5
SETTINGS: Final = ("-rollout.reboots=4", "-rollout.halt=3")
LOOK_S: Final = 1.0


@attrs.define
class Upgrade:
    """`newer`: component -> version. `fail_percent` of the step runs fail, by the seed."""

    world: World
    rehearsal: Rehearsal
    rng: random.Random
    newer: Mapping[str, str] = attrs.field(factory=lambda: dict(NEWER))
    fail_percent: int = FAILS_PERCENT
    failures: int = 0
    at_once_max: int = 0  # fault sets with an SDS away on our account
    _away: dict[str, str] = attrs.field(factory=dict)  # host -> fault unit
    _began: float = 0.0

    async def run(self, agents: int) -> None:
        """The scheduler is started again with the newer catalog, and works until all have it."""
        self._began = trio.current_time()
        self.world.listeners.append(self._saw)
        self.rehearsal.catalog = load_catalog(catalog_text(self.newer), "the newer catalog")
        for host in self.world.hosts.values():
            host.ended_well -= STEPS  # with the newer versions they are other steps
        before = self.rehearsal.incarnations
        self.rehearsal.crash()
        while self.rehearsal.incarnations == before:  # noqa: ASYNC110 - looks on from outside
            await trio.sleep(LOOK_S)
        while not (all_arrived(self.rehearsal.service, agents) and self._is_over()):  # noqa: ASYNC110
            await trio.sleep(LOOK_S)

    def report(self) -> dict[str, Any]:
        hosts = self.world.hosts
        return {
            "failures_injected": self.failures,
            "fault_sets": len(self.world.gateway.state.fault_sets),
            "fault_sets_at_once_max": self.at_once_max,
            "upgraded": sum(self._has_all(host) for host in hosts),
            "hours": round((trio.current_time() - self._began) / 3600, 2),
        }

    def _is_over(self) -> bool:
        service = self.rehearsal.service
        if service is None:
            return False
        shown = service.board.agents
        return all(
            host in shown and (shown[host].phase == "failed" or self._has_all(host))
            for host in self.world.hosts
        )

    def _has_all(self, name: str) -> bool:
        host = self.world.hosts[name]
        return all(
            host.packages.get(database_name(host, component), version).startswith(version)
            for component, version in self.newer.items()
        )

    def _saw(self, event: WorldEvent) -> None:
        match event:
            case TaskLaunched() if event.step in STEPS:
                if self.rng.randrange(100) < self.fail_percent:
                    self.failures += 1
                    # Of two failures one is a fault that no further try mends.
                    code = self.rng.choice((1, 78))
                    self.world.hosts[event.hostname].dials.fail_next[event.step] = code
            case HostEvent(kind="rebooting" | "sds-replaced"):
                self._away[event.host] = self._unit(event.host)
                units = {unit for unit in self._away.values() if unit}
                self.at_once_max = max(self.at_once_max, len(units))
            case HostEvent(kind="up" | "sds-back"):
                self._away.pop(event.host, None)
            case _:
                pass

    def _unit(self, host: str) -> str:
        sds = self.world.gateway.state.sds_at(self.world.hosts[host].address)
        return "" if sds is None else sds.unit
