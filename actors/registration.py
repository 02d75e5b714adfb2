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

log = structlog.get_logger()


@attrs.define
class Registration:
    mesos: Mesos
    session: Session
    store_id: Callable[[str], Awaitable[None]]  # returns when durable; "" forgets it
    adopt: bool = False
    _blind: bool = attrs.field(default=False, init=False)
    _adoptable: dict[str, float] = attrs.field(factory=dict, init=False)  # id -> first seen

    async def find(self, base: str) -> Verdict | str | None:
        """None: go on and register. A framework of ours that the master keeps comes first."""
        answer = await self.mesos.operator(base, operator.GET_FRAMEWORKS)
        if answer.status != 200:
            outcome = self.session.elsewhere(base, answer)
            if isinstance(outcome, str) or outcome.remedy is Remedy.PAUSE:
                return outcome
            if answer.status == 401 and self.session.info.principal:
                return outcome
            if not self._blind:
                log.warning("can't look for a framework of ours", answer=outcome.sentence)
            self._blind = True
            return None
        known = operator.parse_frameworks(answer.body)
        match identify(self.session.info, known, adopt=self.adopt):
            case Wait(sentence):
                return lost(sentence, Remedy.PERSON)
            case Adopt(framework_id):
                return await self._adopt(framework_id)
            case Register():
                return await self._not_all_back(base)

    async def _adopt(self, framework_id: str) -> Verdict | None:
        """Seen twice, and nobody there in between: nobody comes back as it."""
        now = trio.current_time()
        self._adoptable = {framework_id: self._adoptable.get(framework_id, now)}
        if now - self._adoptable[framework_id] < ADOPT_AFTER_S:
            return lost(f"framework {framework_id} is taken over if nobody comes back as it")
        log.warning("taking over our own framework", framework_id=framework_id)
        self.session.adopted = True
        await self.keep(framework_id)
        return None

    async def _not_all_back(self, base: str) -> Verdict | None:
        """A new master knows a framework by the agents that run its tasks, once they are back."""
        answer = await self.mesos.operator(base, operator.GET_AGENTS)
        if answer.status != 200:
            return None
        try:
            missing = operator.parse_agents(answer.body).recovered
        except RemoteMesosError as error:
            log.warning("the master's list of agents can't be read", error=str(error))
            return None
        if not missing:
            return None
        return lost(
            f"the master has just taken over, and {len(missing)} agents are not back yet: they "
            "may know a framework of ours; they have ten minutes"
        )

    async def keep(self, framework_id: str) -> None:
        await self.store_id(framework_id)
        self.session.info = attrs.evolve(self.session.info, framework_id=framework_id)
