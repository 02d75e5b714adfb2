"""Tells Mesos before a host reboots (-mesos.before-reboot), and takes it back afterwards.

The debt is stored before the call, and paid on every start: an agent that we have deactivated
never stays so because a process died.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import structlog
import trio

from actors.board import Board
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.messages import GateInbox, TellMesos, Told
from actors.ports import CredentialsError, Mesos, MesosUnreachableError
from domain import debts, records
from domain.debts import Debt, DebtsRecord
from protocol.mesos import operator

TICK_S: Final = 5.0
PAUSE_CEILING_S: Final = 60.0  # so long, at most, is a host back and without tasks
DONE: Final = range(200, 300)
UNDONE: Final = range(400, 500)  # the master has not done it, and will not

log = structlog.get_logger()


@attrs.frozen
class Rest:
    """Of a debt that could not be paid; `until`: monotonic seconds."""

    until: float
    pause_s: float


@attrs.define
class BeforeReboot:
    """`leader`: base URL of the leading master, "" while there is none."""

    mailbox: Mailbox[TellMesos]
    gate: Mailbox[GateInbox]
    mesos: Mesos
    journal: Journal
    board: Board
    leader: Callable[[], str]
    listing: Callable[[str], Awaitable[operator.AgentList | None]]
    wall: Callable[[], float]
    owed: DebtsRecord = attrs.field(factory=DebtsRecord)
    _rests: dict[str, Rest] = attrs.field(factory=dict)  # by agent id: one does not delay others

    async def run(self) -> None:
        self._show()
        while True:
            message: TellMesos | None = None
            with trio.move_on_after(TICK_S):
                message = await self.mailbox.receive()
            if message is not None:
                refusal = await self._tell(message)
                self.gate.offer(Told(permit=message.permit, refusal=refusal))
            await self._pay()

    async def _tell(self, message: TellMesos) -> str:
        """Empty if the agent is deactivated; else why the host goes without."""
        base = self.leader()
        listed = await self.listing(base) if base else None
        if listed is None:
            return self._without(message, "the master does not list its agents to us")
        seen = {agent.agent_id: agent for agent in listed.agents}.get(message.agent_id)
        if why := debts.may_deactivate(seen):
            return self._without(message, why)
        self._rests.pop(message.agent_id, None)  # of a debt that is over
        owed = debts.owe(self.owed, agent_id=message.agent_id, host=message.host, now=self.wall())
        await self._store(owed)
        status, why = await self._call(base, operator.deactivate_agent(message.agent_id))
        if status in UNDONE:
            await self._store(debts.settled(self.owed, message.agent_id))
        if status in DONE:
            log.info("deactivated before its reboot", host=message.host)
            return ""
        return self._without(message, why)

    def _without(self, message: TellMesos, why: str) -> str:
        log.warning("Mesos could not be told before the reboot", host=message.host, reason=why)
        return why

    async def _pay(self) -> None:
        """What is due, if the master can be asked; what fails rests longer and longer."""
        base, now = self.leader(), trio.current_time()
        due = [debt for debt in debts.due(self.owed, self.wall()) if not self._rests_at(debt, now)]
        if not due or not base:
            return
        listed = await self.listing(base)
        seen = {agent.agent_id: agent for agent in listed.agents} if listed is not None else {}
        for debt in due:
            paid = listed is not None and await self._pay_one(base, debt, seen.get(debt.agent_id))
            rest = self._rests.pop(debt.agent_id, None)
            if not paid:
                pause_s = min(PAUSE_CEILING_S, rest.pause_s * 2) if rest else TICK_S
                self._rests[debt.agent_id] = Rest(trio.current_time() + pause_s, pause_s)

    def _rests_at(self, debt: Debt, now: float) -> bool:
        rest = self._rests.get(debt.agent_id)
        return rest is not None and now < rest.until

    async def _pay_one(self, base: str, debt: Debt, seen: operator.AgentSeen | None) -> bool:
        match debts.payment(debt, seen, self.wall()):
            case "wait":
                return False
            case "reactivate":
                status, why = await self._call(base, operator.reactivate_agent(debt.agent_id))
                if status not in DONE:
                    log.warning("an agent is not reactivated yet", host=debt.host, reason=why)
                    return False
                log.info("reactivated after its reboot", host=debt.host)
            case _:
                pass
        await self._store(debts.settled(self.owed, debt.agent_id))
        return True

    async def _call(self, base: str, body: bytes) -> tuple[int, str]:
        """HTTP status, 0 if nobody knows whether it was done; and a sentence."""
        try:
            answer = await self.mesos.operator(base, body)
            if answer.status == 401 and await self.mesos.renew_credentials():
                answer = await self.mesos.operator(base, body)
        except MesosUnreachableError as error:
            return 0, str(error)
        except CredentialsError as error:
            return 401, str(error)
        return answer.status, f"the master answered {answer.status}: {answer.body[:200]}"

    async def _store(self, owed: DebtsRecord) -> None:
        await self.journal.save({records.DEBTS_KEY: records.encode(owed)})
        self.owed = owed
        self._show()

    def _show(self) -> None:
        self.board.deactivated = tuple(debt.host for debt in self.owed.deactivated)
        self.board.touch()
