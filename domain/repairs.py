"""An SDS that is down on a host that Mesos can reach: looked at and started again, within limits.

Each repair is a survey, and what it finds missing is done by its step, as in any installation. One
that does not help is not repeated for ever: after a few in a day people have to look.
"""

from __future__ import annotations

from typing import Final

from domain.draft import Draft
from domain.inbox import Doubted

REPAIRS_MAX: Final = 5
WINDOW_S: Final = 86400.0


def recent(repairs: tuple[float, ...], unix: float) -> tuple[float, ...]:
    """Those of the last day; `repairs` are unix seconds, oldest first."""
    return tuple(at for at in repairs if 0.0 <= unix - at < WINDOW_S)


def are_spent(repairs: tuple[float, ...], unix: float) -> bool:
    return len(recent(repairs, unix)) >= REPAIRS_MAX


def doubted(draft: Draft, message: Doubted) -> None:
    """Look again, unless that was tried often enough for the same SDS."""
    if draft.record.task is not None:
        return
    if message.repair:
        known = recent(draft.record.repairs, draft.moment.unix)
        if len(known) >= REPAIRS_MAX:
            return
        draft.change(repairs=(*known, draft.moment.unix))
    draft.doubt(message.why)
