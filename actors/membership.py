"""Every agent on the board, as the limits and the wanted state see it; in no order."""

from __future__ import annotations

from collections.abc import Iterator

from actors.board import AgentSnapshot, Board
from domain.limits import Member


def members(board: Board) -> Iterator[Member]:
    for agent in board.agents.values():
        yield Member(
            host=agent.host,
            address=agent.address,
            phase=agent.phase,
            layout=agent.layout,
            sdc_guid=agent.facts.sdc_guid if agent.facts is not None else "",
            provides=_provides(agent),
        )


def _provides(agent: AgentSnapshot) -> bool:
    """By its plan; before the first survey nobody knows, and it may."""
    return not agent.plan or any(step.name == "sds" for step in agent.plan)
