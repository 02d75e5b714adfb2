"""What the web asks of the house: each question goes to the one actor that can answer it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from actors import messages, questions
from actors.board import AgentSnapshot, Board
from actors.closing import FrameworkCloser
from actors.household import Household
from actors.mailbox import Mailbox
from actors.master_link import MasterLink
from actors.rollout_gate import RolloutGate
from domain import inbox, reboots, words
from domain.closing import Wish

PATIENCE_S: Final = 20.0  # an answer comes when it is stored


class FrontDesk:
    """The part of the service that others may call; who owns it brings the actors."""

    board: Board
    closer: FrameworkCloser
    closer_box: Mailbox[messages.CloserInbox]
    gate: RolloutGate
    gate_box: Mailbox[messages.GateInbox]
    household: Household
    link: MasterLink
    poller_box: Mailbox[messages.PollerInbox]

    async def permit(self, permit: str) -> tuple[int, str]:
        """May the host that holds this permit reboot now? 200 only if all conditions hold."""
        return await self._ask_gate(lambda a: messages.AskPermit(permit=permit, answer=a))

    async def framework_order(self, wish: Wish | None) -> tuple[int, str]:
        """Remove the framework, or call that off (None); answered when it is stored."""

        def message(answer: questions.Answer) -> messages.CloserInbox:
            if wish is None:
                return messages.CallOff(answer=answer)
            return messages.CloseFramework(wish=wish, answer=answer)

        return await questions.ask(
            self.closer_box,
            message,
            who="the closer of the framework",
            patience_s=PATIENCE_S,
        )

    async def rollout_order(self, word: str) -> tuple[int, str]:
        """pause, resume, abort or start; answered when it is stored."""
        return await self._ask_gate(lambda a: messages.RolloutOrder(word=word, answer=a))

    async def storage_order(self, kind: str, object_id: str, word: str) -> tuple[int, str]:
        """An operator's word about an object of the storage cluster; answered when stored."""
        return await questions.ask(
            self.poller_box,
            lambda a: messages.StorageOrder(
                kind=kind, id=object_id, word=word, answer=a, asked_at=trio.current_time()
            ),
            who="the gateway poller",
            patience_s=messages.ORDER_PATIENCE_S,
        )

    async def _ask_gate(
        self, message: Callable[[questions.Answer], messages.GateInbox]
    ) -> tuple[int, str]:
        return await questions.ask(
            self.gate_box, message, who="the rollout gate", patience_s=PATIENCE_S
        )

    def command(self, name: str, host: str) -> tuple[int, str]:
        """One agent's, refused with 503 if its mailbox is full; register is the framework's."""
        if name == "register":
            return self.closer.register() or self.link.register_anew()
        refusal = self.closer.refusal(name)
        if refusal:
            return 409, refusal
        mailbox, shown = self.household.mailbox_of(host), self.board.agents.get(host)
        if mailbox is None or shown is None:
            return 404, f"no agent {host}"
        if name == "reboot" and (why_not := self._why_no_reboot(shown)):
            return 409, why_not
        told = words.foretold(
            name, host=host, phase=shown.phase, step=shown.step, removal_stage=shown.removal
        )
        if not mailbox.offer(inbox.Command(name=name)):
            return 503, f"agent {host} is busy: try again"
        return 202, told

    def _why_no_reboot(self, shown: AgentSnapshot) -> str:
        if self.gate.limits.reboots < 1:
            return "reboots are switched off (-rollout.reboots, -debug or -mode=observe)"
        if shown.facts is None:
            return f"nothing is known of {shown.host} yet: wait for its first survey"
        if shown.removal or not reboots.is_ordered_in(shown.phase):
            return f"{shown.host} is {shown.phase}: only an agent that works is rebooted"
        return ""
