"""Permissions that need the view of all: how many work at once, and who may reboot now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors.board import Board
from actors.clock import Chance
from actors.mailbox import Mailbox
from actors.messages import (
    AskPermit,
    AskReboot,
    AskRestart,
    AskSlot,
    FreeReboot,
    FreeRestart,
    FreeSlot,
    GateInbox,
    PollerInbox,
    Refresh,
    SnapshotTaken,
)
from domain import inbox, rollout
from domain.agent import AgentRecord
from domain.facts import Receipt
from domain.inbox import AgentInbox
from domain.plan import AGENT_RESTART
from domain.rollout import Rebooting

TICK_S: Final = 5.0
NEXT_MAX: Final = 32  # of each queue: their agents' offers are wanted again in a moment
FRESH_S: Final = 2.0  # a wish to reboot need not be followed by a snapshot of its own
PERMIT_PATIENCE_S: Final = 8.0  # a fresh snapshot is waited for; the host's curl waits 30 s

NOT_COMING: Final = frozenset({"failed", "held", "retired", "lost"})  # no reboot comes of these

log = structlog.get_logger()


@attrs.define
class RolloutGate:
    """Slots and reboots are rebuilt from the stored records before anything is granted."""

    mailbox: Mailbox[GateInbox]
    poller: Mailbox[PollerInbox]
    agents: Callable[[str], Mailbox[AgentInbox] | None]
    board: Board
    chance: Chance
    limits: rollout.Limits
    slots: set[str] = attrs.field(factory=set)
    slot_queue: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    rebooting: dict[str, Rebooting] = attrs.field(factory=dict)
    reboot_queue: OrderedDict[str, AskReboot] = attrs.field(factory=OrderedDict)
    restarting: set[str] = attrs.field(factory=set)
    restart_queue: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    undone: set[str] = attrs.field(factory=set)  # the host went back: nobody else begins
    kept: set[str] = attrs.field(factory=set)  # came back with the new settings
    missing: set[str] = attrs.field(factory=set)  # as stored, until the board shows its agent
    permits: list[tuple[AskPermit, float]] = attrs.field(factory=list)  # asked at

    def restore(self, record: AgentRecord) -> None:
        """What that agent held when the process ended."""
        if record.slot:
            self.slots.add(record.host)
        if record.restarting:
            self.restarting.add(record.host)
        if record.undone == "halt":
            self.undone.add(record.host)
        if record.missing:
            self.missing.add(record.host)
        facts = record.facts
        if facts is not None and Receipt(step=AGENT_RESTART, state="kept") in facts.receipts:
            self.kept.add(record.host)
        reboots = record.reboot is not None and bool(record.reboot.permit)
        permit = record.reboot.permit if record.reboot and reboots else record.disrupt
        if permit or record.rebooted:
            self.rebooting[record.host] = Rebooting(
                host=record.host,
                address=record.address,
                provides_storage=bool(record.sds_id),
                permit=permit,
                boots=reboots or not record.disrupt,
            )

    async def run(self) -> None:
        while True:
            message: GateInbox | None = None
            with trio.move_on_after(1.0 if self.permits else TICK_S):
                message = await self.mailbox.receive()
            if message is not None:
                self._handle(message)
            self._serve_restarts()
            self._serve_slots()
            self._serve_reboots()
            self._serve_permits()
            waiting = (*islice(self.restart_queue, NEXT_MAX), *islice(self.slot_queue, NEXT_MAX))
            self.board.next_in_line = frozenset(waiting)

    def _handle(self, message: GateInbox) -> None:
        match message:
            case AskSlot(host=host):
                self.slot_queue[host] = None
            case FreeSlot(host=host):
                self.slots.discard(host)
                self.slot_queue.pop(host, None)
            case AskReboot(host=host):
                self.reboot_queue[host] = message
                self.poller.offer(Refresh(newer_than=trio.current_time() - FRESH_S))
            case FreeReboot(host=host, keep=True):
                self.reboot_queue.pop(host, None)
                held = self.rebooting.get(host)
                if held is not None and held.boots:  # the place stays, its permit is dead
                    self.rebooting[host] = attrs.evolve(held, permit="")
            case FreeReboot(host=host):
                self.reboot_queue.pop(host, None)
                self.rebooting.pop(host, None)
            case AskRestart(host=host, begun=True):
                self.restarting.add(host)
            case AskRestart(host=host):
                self.restart_queue[host] = None
            case FreeRestart():
                self._restart_over(message)
            case AskPermit(permit=permit) if not self._holder(permit):
                message.answer(404, "no such permit: the reboot is not wanted any more")
            case AskPermit():
                self.permits.append((message, trio.current_time()))
                self.poller.offer(Refresh(newer_than=trio.current_time()))
            case SnapshotTaken():
                pass
            case _:
                assert_never(message)

    def _restart_over(self, message: FreeRestart) -> None:
        host = message.host
        self.restarting.discard(host)
        self.restart_queue.pop(host, None)
        self.board.gate_verdicts.pop(host, None)
        match message.outcome:
            case "undone":
                self.undone.add(host)
            case "forgiven":
                self.undone.discard(host)
            case "kept":
                self.undone.discard(host)
                self.kept.add(host)
            case _:
                pass

    def _serve_restarts(self) -> None:
        for host in list(self.restart_queue):
            why_not = rollout.may_restart(
                host,
                restarting=frozenset(self.restarting),
                undone=frozenset(self.undone),
                kept=len(self.kept),
                limits=self.limits,
                missing=self._missing(),
            )
            self.board.gate_verdicts[host] = why_not
            if why_not:
                continue
            target = self.agents(host)
            if target is not None and target.offer(inbox.RestartGranted()):
                self.restarting.add(host)
                del self.restart_queue[host]
                self.board.gate_verdicts.pop(host, None)
                log.info("turn to restart the Mesos agent", host=host)

    def _serve_slots(self) -> None:
        if self.board.gateway.storage is None:
            return  # nothing is begun on hosts whose storage cluster was never seen
        # Others wait for a host that holds a reboot or a turn: it goes first. With a reboot it goes
        # beyond the limit, too, since those in the places may wait for it.
        first = self.rebooting.keys() | self.restarting
        for host in sorted(self.slot_queue, key=lambda host: host not in first):
            held = host in self.slots or host in self.rebooting
            if not held and len(self.slots) >= self.limits.parallel:
                continue
            target = self.agents(host)
            if target is not None and target.offer(inbox.SlotGranted()):
                self.slots.add(host)
                del self.slot_queue[host]

    def _missing(self) -> frozenset[str]:
        self.missing -= self.board.agents.keys()
        shown = {host for host, agent in self.board.agents.items() if agent.missing}
        return frozenset(self.missing | shown)

    def _view(self) -> rollout.View:
        return rollout.View(
            now=trio.current_time(),
            subscribed=self.board.link.state == "subscribed",
            storage=self.board.gateway.storage,
            rebooting=self.rebooting,
            wanting=frozenset(self.reboot_queue)
            | {
                host
                for host, shown in self.board.agents.items()
                if shown.reboot_wanted and shown.phase not in NOT_COMING
            },
            phases={host: shown.phase for host, shown in self.board.agents.items()},
            missing=self._missing(),
        )

    def _serve_reboots(self) -> None:
        for host, ask in list(self.reboot_queue.items()):
            held = self.rebooting.get(host)
            # One that came back and needs another reboot holds its place without a permit.
            candidate = Rebooting(
                host=host,
                address=ask.address,
                provides_storage=ask.provides_storage,
                permit=held.permit if held is not None and held.boots is ask.boots else "",
                boots=ask.boots,
            )
            if not candidate.permit:
                candidate = attrs.evolve(candidate, permit=self.chance.secret_token())
            why_not = rollout.may_begin(candidate, self._view(), self.limits)
            self.board.gate_verdicts[host] = why_not
            if why_not:
                continue
            target = self.agents(host)
            granted = inbox.RebootGranted(permit=candidate.permit)
            if target is not None and target.offer(granted):
                self.rebooting[host] = candidate
                del self.reboot_queue[host]
                self.board.gate_verdicts.pop(host, None)
                log.info("reboot granted" if ask.boots else "SDS restart granted", host=host)

    def _holder(self, permit: str) -> Rebooting | None:
        return next((r for r in self.rebooting.values() if permit and r.permit == permit), None)

    def _serve_permits(self) -> None:
        """Answer an armed host: 200 only on a fresh snapshot with all conditions true."""
        open_asks: list[tuple[AskPermit, float]] = []
        for ask, asked_at in self.permits:
            holder = self._holder(ask.permit)
            if holder is None:
                ask.answer(404, "no such permit: the reboot is not wanted any more")
                continue
            if holder.host in self._missing():
                ask.answer(404, "the reboot is overdue: it is not permitted any more")
                continue
            why_not = rollout.may_go(holder, self._view(), self.limits, looked_after=asked_at)
            if not why_not:
                log.info("reboot permitted", host=holder.host)
                ask.answer(200, "reboot now")
            elif trio.current_time() >= asked_at + PERMIT_PATIENCE_S or not rollout.may_change_soon(
                why_not
            ):
                log.info("reboot denied", host=holder.host, reason=why_not)
                ask.answer(409, why_not)
            else:
                open_asks.append((ask, asked_at))
        self.permits = open_asks
