"""Who the offers are of: each agent that is new, changed or back is told to the roster, once."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board
from actors.mailbox import Mailbox
from actors.messages import AgentLost, AgentOffered, RosterInbox
from domain.agent import Phase
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.offered import Sketch

AT_ONCE: Final = 128  # agents, before others get their turn: the first event may show thousands
LOST: Final = Phase.LOST.value

log = structlog.get_logger()


@attrs.define
class Introductions:
    """Nearly every offer is of an agent that the roster knows: it costs a look at two tables."""

    board: Board
    roster: Mailbox[RosterInbox]
    told: dict[str, int] = attrs.field(factory=dict)  # agent id -> how it looked

    def afresh(self) -> None:
        """Another master may tell of other agents under the ids that we know."""
        self.told.clear()

    def lost(self, agent_id: str) -> None:
        self.told.pop(agent_id, None)  # so that its return is told again
        self.roster.offer(AgentLost(agent_id=agent_id))

    async def of(self, offers: Iterable[Sketch], *, known: AbstractSet[str] = frozenset()) -> None:
        """`known`: ids of agents of which nothing new is expected."""
        agents, hosts, told, made = self.board.agents, self.board.hosts, self.told, 0
        for offer in [one for one in offers if one.agent_id.value not in known]:
            agent_id, looks = offer.agent_id.value, offer.looks()
            if told.get(agent_id) == looks:
                shown = agents.get(hosts.get(agent_id, ""))
                if shown is not None and not shown.lost_at and shown.phase != LOST:
                    continue
            self._introduce(offer, looks)
            made += 1
            if made % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _introduce(self, offer: Sketch, looks: int) -> None:
        try:
            where = offer.where()
        except RemoteMesosError as error:
            log.warning("an offer is not understood", reason=str(error))
            return
        seen = AgentOffered(
            agent_id=offer.agent_id.value,
            hostname=offer.hostname,
            ip=where.ip,
            port=where.port,
            attributes=where.attributes,
        )
        if self.roster.offer(seen):
            self.told[offer.agent_id.value] = looks
