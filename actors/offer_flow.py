"""How much Mesos offers us: filters, REVIVE, SUPPRESS, and why an agent is not offered. No awaits.

Each REVIVE makes the master offer all agents anew, and an offer that we hold is one that others
wait for (docs/app-framework-development-guide.md of Mesos).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Final

import attrs
import structlog

from actors.board import Board, OfferAnswer
from actors.messages import Want
from actors.want_book import OFFERLESS_S, WantBook, Wanted
from domain.offers import Matching, Need, blocked_by, why_not_offered
from domain.pace import Pace
from protocol.mesos import calls
from protocol.mesos.offered import Head

REFUSE_NEXT_S: Final = 2.0  # the next in line, and who is not known yet
REFUSE_SOON_S: Final = 5.0  # an agent at work wants an offer again shortly
REFUSE_LONG_S: Final = 300.0  # long enough not to spin, short enough to notice change
REFUSE_IDLE_S: Final = 3600.0  # where the master's list tells of changes; REVIVE ends it
# Phases with more tasks to come, whether the agent has a place of the rollout or not.
BUSY: Final = frozenset({"seen", "surveying", "joining", "activating"})
REVIVE_EVERY_S: Final = 30.0
REVIVE_BURST: Final = 3
REVIVE_GAP_S: Final = 7.0  # the offers that one brings are waited for
TOLD_S: Final = 600.0  # so long the word on the last offer stands, if nobody knows better
RENEW_EVERY_S: Final = 600.0
RENEW_CEILING_S: Final = 6 * 3600.0
SUPPRESS_AFTER_S: Final = 60.0  # of nothing wanted
NOTHING_WANTED: Final = "nothing is to be started there now"
REASONS_SHOWN: Final = 5

log = structlog.get_logger()


def answer_of(found: Matching, offers: int, unix: float) -> OfferAnswer:
    """What became of one event with so many offers. Costs by the wants, not by the offers."""
    unfit = Counter(found.verdicts.values())
    why = dict(unfit.most_common(REASONS_SHOWN))
    idle = offers - sum(len(one.offers) for one in found.matches) - unfit.total()
    if idle > 0:
        why[NOTHING_WANTED] = idle
    return OfferAnswer(
        at=unix,
        offers=offers,
        accepted=tuple(one.need.host for one in found.matches),
        why=why,
    )


@attrs.define
class OfferFlow:
    board: Board
    wants: WantBook
    role: str
    may_suppress: Callable[[], bool]  # new agents are found without offers
    set_suppressed: Callable[[bool], None]
    suppressed: bool = False
    idle_since: float = 0.0
    _revives: Pace = attrs.field(
        factory=lambda: Pace(every_s=REVIVE_EVERY_S, burst=REVIVE_BURST), init=False
    )
    _were_blocked: set[str] = attrs.field(factory=set, init=False)  # hosts, at the last look
    _revived_at: float = float("-inf")
    _renew_at: float = float("-inf")
    _renew_pause_s: float = RENEW_EVERY_S

    def need(self, want: Want) -> Need:
        return Need(
            host=want.host,
            agent_id=want.task.agent_id,
            task_id=want.task.task_id,
            amounts_milli={"cpus": want.cpus_milli, "mem": want.mem_milli},
            role=self.role,
        )

    def refuse_s(self, agent_id: str) -> float:
        """For how long; by how soon this agent will want another task.

        While a task runs, too: the offer may be of what it has just freed, before we know.
        """
        board = self.board
        shown = board.agents.get(board.hosts.get(agent_id, ""))
        if shown is None or shown.host in board.next_in_line:
            return REFUSE_NEXT_S
        if shown.task_id or shown.working or shown.phase in BUSY:
            return REFUSE_SOON_S
        return REFUSE_IDLE_S if self.may_suppress() else REFUSE_LONG_S

    def resting(self) -> AbstractSet[str]:
        """Agents at rest, and the same as before: where the master's list tells of any change."""
        return self.board.at_rest if self.may_suppress() else frozenset()

    def by_patience(self, offers: Iterable[Head]) -> dict[float, list[str]]:
        """Their ids by how long they are refused for."""
        found: dict[float, list[str]] = {}
        for offer in offers:
            found.setdefault(self.refuse_s(offer.agent_id.value), []).append(offer.id.value)
        return found

    def _blocked(self, wanted: Wanted) -> str:
        seen = self.board.seen.get(wanted.want.task.agent_id)
        return blocked_by(self.need(wanted.want), seen)

    def say_why_not(self, now: float) -> None:
        """What the master's list knows wins; what the last offer showed stands for a while."""
        for wanted in self.wants:
            host, why = wanted.want.host, self._blocked(wanted)
            was_blocked = host in self._were_blocked
            self._were_blocked.discard(host)
            if why:
                self._were_blocked.add(host)
                self.board.verdicts[host] = why
            elif was_blocked or wanted.judged_at is None or now - wanted.judged_at >= TOLD_S:
                seen = self.board.seen.get(wanted.want.task.agent_id)
                self.board.verdicts[host] = why_not_offered(self.need(wanted.want), seen)

    def call(self, now: float, *, busy: bool) -> calls.Revive | calls.Suppress | None:
        """What to tell the master now. `busy`: a task is on its way whose word is waited for."""
        if self.wants or busy:
            self.idle_since = now
        due = []
        for wanted in self.wants:
            if self._blocked(wanted):
                wanted.blocked(now)
            elif now >= wanted.ask_at:
                due.append(wanted)
        # Where no list shows new agents, only offers do.
        wrongly = self.suppressed and (bool(self.wants) or not self.may_suppress())
        if (due or wrongly) and now - self._revived_at >= REVIVE_GAP_S and self._revives.take(now):
            self._revived_at = now
            self._set(suppressed=False)
            for wanted in due:
                wanted.asked(now)
            return calls.Revive()
        idle = now - self.idle_since >= SUPPRESS_AFTER_S
        if idle and not self.suppressed and self.may_suppress():
            self._set(suppressed=True)
            return calls.Suppress()
        return None

    def _set(self, *, suppressed: bool) -> None:
        self.suppressed = suppressed
        self.set_suppressed(suppressed)

    def must_renew(self, now: float) -> bool:
        """True when the master may believe that we hold what we have answered.

        With another subscription it takes all of it back.
        """
        puzzling = [
            one.want.host
            for one in self.wants
            if one.asks and one.offerless_s(now) >= OFFERLESS_S and not self._blocked(one)
        ]
        if not puzzling:
            self._renew_pause_s = RENEW_EVERY_S
        if not puzzling or now < max(self._renew_at, self._revived_at + REVIVE_GAP_S):
            return False
        self._renew_at = now + self._renew_pause_s
        self._renew_pause_s = min(RENEW_CEILING_S, 2 * self._renew_pause_s)
        log.warning("no offer comes for a task: subscribing anew", hosts=puzzling[:10])
        return True
