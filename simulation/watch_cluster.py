"""What the storage cluster is asked for, and hosts that others depend on: promises 18 and 19."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from simulation.mesos_observed import TaskLaunched
from simulation.promises import MEMBERS, NO_FORCE, Book
from simulation.world import GatewayAsked, HostEvent, World, WorldEvent

KNOWN_AFTER_S: Final = 30.0  # a restart is decided on polls; a reboot on a look of its own


@attrs.define
class ClusterWatch:
    book: Book
    world: World
    _away_since: dict[tuple[str, str], float] = attrs.field(factory=dict)

    def saw(self, event: WorldEvent) -> None:
        self._look(event.at)
        match event:
            case GatewayAsked():
                text = f"{event.path} was sent with {', '.join(event.forced)}"
                self.book.check(NO_FORCE, not event.forced, text)
            case HostEvent(kind="rebooting"):
                self._goes(event.host, event.at, "is rebooted")
            case TaskLaunched(step="agent-restart"):
                self._goes(event.hostname, event.at - KNOWN_AFTER_S, "has its agent restarted")
            case _:
                pass

    def _look(self, now: float) -> None:
        for kind, address, there in members(self.world):
            if there:
                self._away_since.pop((kind, address), None)
            else:
                self._away_since.setdefault((kind, address), now)

    def _goes(self, host: str, known_until: float, what: str) -> None:
        """`known_until`: who is away since then is known to be away."""
        address = self.world.hosts[host].address
        kinds = {kind for kind, of, _ in members(self.world) if of == address}
        away = [
            f"{kind} {of}"
            for (kind, of), since in self._away_since.items()
            if kind in kinds and of != address and since <= known_until
        ]
        text = f"{host} {what}, a member like {', '.join(away)}, which is down"
        self.book.check(MEMBERS, not away, text)


def members(world: World) -> Iterator[tuple[str, str, bool]]:
    """Kind, address and presence of every member of an ensemble."""
    for mdm in world.gateway.state.mdms:
        yield "MDM", mdm.ip, mdm.good
    for front in world.mesos.fronts:
        yield "Mesos master", front.address.ip, front.status != "down"
