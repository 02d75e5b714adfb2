"""Who we are to the master: kept in the store, found at the master, or won anew.

What is decided by what the master knows stands in `domain.identity`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio

from actors.master_session import Session
from actors.ports import Mesos
from domain.identity import Adopt, Register, Wait, identify
from protocol.mesos import operator
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.session import Remedy, Verdict, lost

ADOPT_AFTER_S: Final = 30.0  # who is only between two subscriptions comes back before that
LOOKED_S: Final = 120.0  # what was seen longer ago says nothing: nobody has looked meanwhile

log = structlog.get_logger()


@attrs.frozen
class Abandoned:
    """A framework of ours under which nobody was subscribed, at the first and the last look."""

    framework_id: str
    first: float = attrs.field(kw_only=True)
    last: float = attrs.field(kw_only=True)


@attrs.define
class Registration:
    mesos: Mesos
    session: Session
    store_id: Callable[[str], Awaitable[None]]  # returns when durable; "" forgets it
    adopt: bool = False
    _said: set[tuple[str, str]] = attrs.field(factory=set, init=False)
    _adoptable: Abandoned | None = attrs.field(default=None, init=False)

    async def find(self, base: str) -> Verdict | str | None:
        """None: go on and register. A framework of ours that the master keeps comes first.

        A new master knows a framework by the agents that run its tasks, once they are back: they
        are asked for first, since one may come back between two questions.
        """
        missing = await self._not_back(base)
        answer = await self.mesos.operator(base, operator.GET_FRAMEWORKS)
        if answer.status != 200:
            outcome = self.session.elsewhere(base, answer)
            if isinstance(outcome, str) or outcome.remedy is Remedy.PAUSE:
                return outcome
            if answer.status == 401 and self.session.info.principal:
                return outcome
            self._say("can't look for a framework of ours", outcome.sentence)
            return None
        known = operator.parse_frameworks(answer.body)
        verdict = identify(self.session.info, known, adopt=self.adopt)
        if not isinstance(verdict, Adopt):
            self._adoptable = None
        match verdict:
            case Wait(sentence):
                return lost(sentence, Remedy.PERSON)
            case Adopt(framework_id):
                return await self._adopt(framework_id)
            case Register() if missing:
                return lost(
                    f"the master has just taken over, and {missing} agents are not back yet: "
                    "they may know a framework of ours; they have ten minutes"
                )
            case Register():
                return None

    def _say(self, what: str, why: str) -> None:
        """Once."""
        if (what, why) not in self._said:
            log.warning(what, reason=why)
        self._said.add((what, why))

    async def _adopt(self, framework_id: str) -> Verdict | None:
        """Looked at again and again, and nobody there in between: nobody comes back as it."""
        now, seen = trio.current_time(), self._adoptable
        if seen is None or seen.framework_id != framework_id or now - seen.last > LOOKED_S:
            seen = Abandoned(framework_id, first=now, last=now)
        self._adoptable = attrs.evolve(seen, last=now)
        if now - seen.first < ADOPT_AFTER_S:
            return lost(f"framework {framework_id} is taken over if nobody comes back as it")
        log.warning("taking over our own framework", framework_id=framework_id)
        self.session.adopted = True
        await self.keep(framework_id)
        return None

    async def _not_back(self, base: str) -> int:
        """How many agents of the registry a new master still waits for, as far as it tells us."""
        answer = await self.mesos.operator(base, operator.GET_AGENTS)
        if answer.status != 200:
            if answer.status not in (301, 302, 307, 308, 404, 500, 503):
                self._say("can't ask which agents are not back", f"{answer.status}")
            return 0
        try:
            return len(operator.parse_agents(answer.body).recovered)
        except RemoteMesosError as error:
            self._say("the master's list of agents can't be read", str(error))
            return 0

    async def keep(self, framework_id: str) -> None:
        """Durable when it returns; "" forgets who we were."""
        if not framework_id:
            self.session.adopted = False
        await self.store_id(framework_id)
        self.session.info = attrs.evolve(self.session.info, framework_id=framework_id)
