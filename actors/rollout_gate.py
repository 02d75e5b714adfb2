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
from actors.journal import Journal
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
    RolloutOrder,
    SnapshotTaken,
    TellMesos,
    Told,
)
from actors.rollout_tempo import Tempo
from domain import inbox, records, rollout, stages
from domain.agent import AgentRecord, Phase
from domain.facts import Receipt
from domain.inbox import AgentInbox
from domain.plan import AGENT_RESTART, SURVEY
from domain.rollout import Rebooting
from domain.stages import Course, RolloutRecord, Stages, Standing

TICK_S: Final = 5.0
TOGETHER_MAX: Final = 256  # messages that one look at all agents may answer
NEXT_MAX: Final = 32  # of each queue: their agents' offers are wanted again in a moment
FRESH_S: Final = 2.0  # a wish to reboot need not be followed by a snapshot of its own
PERMIT_PATIENCE_S: Final = 8.0  # a fresh snapshot is waited for; the host's curl waits 30 s

NOT_COMING: Final = frozenset({"failed", "held", "retired", "lost"})  # no reboot comes of these
TO_ALL: Final = {"abort": "abort", "resume": "take-up"}  # what each agent is told

STILL: Final = frozenset({Phase.FAILED, Phase.HELD, Phase.LOST, Phase.DRAINING, Phase.RETIRED})

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
    herald: Mailbox[TellMesos] | None = None  # None: Mesos is told nothing
    journal: Journal | None = None  # None: the operator's words last as long as the process
    stages: Stages = attrs.field(factory=lambda: Stages(canary=0, share=0, halt=0))
    word: RolloutRecord = attrs.field(factory=RolloutRecord)
    slots: set[str] = attrs.field(factory=set)
    slot_queue: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    rebooting: dict[str, Rebooting] = attrs.field(factory=dict)
    reboot_queue: OrderedDict[str, AskReboot] = attrs.field(factory=OrderedDict)
    let_go: set[str] = attrs.field(factory=set)  # told 200; also those of whom nobody knows now
    restarting: set[str] = attrs.field(factory=set)
    restart_queue: OrderedDict[str, None] = attrs.field(factory=OrderedDict)
    undone: set[str] = attrs.field(factory=set)  # the host went back: nobody else begins
    kept: set[str] = attrs.field(factory=set)  # came back with the new settings
    missing: set[str] = attrs.field(factory=set)  # as stored, until the board shows its agent
    told: dict[str, bool] = attrs.field(factory=dict)  # permit -> Mesos has answered
    permits: list[tuple[AskPermit, float]] = attrs.field(factory=list)  # asked at
    _stored: dict[str, str] = attrs.field(factory=dict)  # host -> phase, until the board shows it
    _orders: list[RolloutOrder] = attrs.field(factory=list)
    tempo: Tempo = attrs.field(factory=Tempo)
    _durable: RolloutRecord = attrs.field(factory=RolloutRecord)  # of `word`

    def restore(self, record: AgentRecord) -> None:
        """What that agent held when the process ended."""
        self._stored[record.host] = record.phase.value if record.phase in STILL else "seen"
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
            self.let_go.add(record.host)
            self.rebooting[record.host] = Rebooting(
                host=record.host,
                address=record.address,
                provides_storage=bool(record.sds_id),
                permit=permit,
                boots=reboots or not record.disrupt,
            )

    def restore_word(self, word: RolloutRecord) -> None:
        """The operator's last word; call it when every agent is restored."""
        failed = frozenset(h for h, phase in self._stored.items() if phase == "failed")
        self._durable = word
        self.word = stages.taken_up(word, self.stages.plan, failed)

    async def run(self) -> None:
        while True:
            message: GateInbox | None = None
            with trio.move_on_after(1.0 if self.permits else TICK_S):
                message = await self.mailbox.receive()
            for _ in range(TOGETHER_MAX):
                if message is None:
                    break
                self._handle(message)
                message = self.mailbox.receive_now()
            else:
                if message is not None:
                    self._handle(message)
            course = self._course()
            await self._obey(course)
            now = stages.standing(course, self.stages, self.word)
            self._show(course, now)
            self._serve_restarts(now)
            self._serve_slots(course, now)
            self._serve_reboots(now)
            self._serve_permits(now)
            waiting = (*islice(self.restart_queue, NEXT_MAX), *islice(self.slot_queue, NEXT_MAX))
            self.board.next_in_line = frozenset(waiting)

    def _handle(self, message: GateInbox) -> None:
        match message:
            case AskSlot(host=host):
                self.slot_queue[host] = None
            case FreeSlot(host=host):
                self.slots.discard(host)
                self.slot_queue.pop(host, None)
                self.board.gate_verdicts.pop(host, None)
                shown = self.board.agents.get(host)
                self.tempo.work_ends(host, shown.phase if shown else "", trio.current_time())
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
                gone = self.rebooting.pop(host, None)
                self.let_go.discard(host)
                self.told.pop(gone.permit if gone is not None else "", None)
                self.tempo.reboot_ends(host, trio.current_time())
            case AskRestart(host=host, begun=True):
                self.restarting.add(host)
            case AskRestart(host=host):
                self.restart_queue[host] = None
                self.poller.offer(Refresh(newer_than=trio.current_time() - FRESH_S))
            case FreeRestart():
                self._restart_over(message)
            case AskPermit(permit=permit) if not self._holder(permit):
                message.answer(404, "no such permit: the reboot is not wanted any more")
            case AskPermit():
                self.permits.append((message, trio.current_time()))
                self.poller.offer(Refresh(newer_than=trio.current_time()))
            case SnapshotTaken() | Told() | RolloutOrder():
                self._hear(message)
            case _:
                assert_never(message)

    def _hear(self, message: SnapshotTaken | Told | RolloutOrder) -> None:
        match message:
            case Told(permit=permit) if permit in self.told:
                self.told[permit] = True
            case RolloutOrder():
                self._orders.append(message)
            case _:
                pass

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

    def _serve_restarts(self, now: Standing) -> None:
        for host in list(self.restart_queue):
            why_not = now.halted or rollout.may_restart(
                host,
                restarting=frozenset(self.restarting),
                undone=frozenset(self.undone),
                kept=len(self.kept),
                limits=self.limits,
                missing=self._missing(),
            )
            why_not = why_not or self._pillar_waits(host)
            self.board.gate_verdicts[host] = why_not
            if why_not:
                continue
            target = self.agents(host)
            if target is not None and target.offer(inbox.RestartGranted()):
                self.restarting.add(host)
                del self.restart_queue[host]
                self.board.gate_verdicts.pop(host, None)
                log.info("turn to restart the Mesos agent", host=host)

    def _pillar_waits(self, host: str) -> str:
        away = self.restarting | self.rebooting.keys() | self._missing()
        away |= {a.host for a in self.board.agents.values() if a.lost_at and a.phase != "retired"}
        shown = self.board.agents.get(host)
        return rollout.pillar_waits(
            shown.address if shown is not None else "",
            away={h: self._address(h) for h in away if h != host},
            storage=self.board.gateway.storage,
            now=trio.current_time(),
            limits=self.limits,
        )

    def _address(self, host: str) -> str:
        shown, held = self.board.agents.get(host), self.rebooting.get(host)
        return shown.address if shown is not None else held.address if held is not None else ""

    def _serve_slots(self, course: Course, now: Standing) -> None:
        if self.board.gateway.storage is None:
            return  # nothing is begun on hosts whose storage cluster was never seen
        # Others wait for a host that holds a reboot or a turn: it goes first. With a reboot it goes
        # beyond the limit, too, since those in the places may wait for it.
        first = self.rebooting.keys() | self.restarting
        for host in sorted(self.slot_queue, key=lambda host: host not in first):
            held = host in self.slots or host in self.rebooting
            if not held and len(self.slots) >= self.limits.parallel:
                continue
            if why_not := stages.may_begin_work(host, course, self.stages, now):
                self.board.gate_verdicts[host] = why_not
                continue
            target = self.agents(host)
            if target is not None and target.offer(inbox.SlotGranted()):
                self.slots.add(host)
                del self.slot_queue[host]
                self.board.gate_verdicts.pop(host, None)
                self.tempo.work_begins(host, trio.current_time())
                course = attrs.evolve(course, begun=course.begun | {host})

    # -- the stages of a rollout, and the operator's word --------------------------------------

    def _course(self) -> Course:
        shown = {host: a for host, a in self.board.agents.items() if not a.restored}
        for host in self._stored.keys() & shown.keys():
            del self._stored[host]
        waiting = self.reboot_queue.keys() | self.restart_queue.keys()
        going = self.rebooting.keys() | self.restarting | self.slots
        return Course(
            phases={
                **dict.fromkeys(self.slot_queue, "installing"),
                **self._stored,
                **{host: agent.phase for host, agent in shown.items()},
            },
            begun=frozenset(waiting | going),
            failed=frozenset(
                host
                for host, agent in shown.items()
                if agent.phase == "failed"
                and any(n for s, n in agent.attempts.items() if s != SURVEY)
            ),
        )

    async def _obey(self, course: Course) -> None:
        """An operator's word is stored before it is answered, and before anything follows it."""
        word = stages.still_forgiven(course, self.word)
        orders, self._orders = self._orders, []
        answers = []
        for order in orders:
            word, status, sentence = stages.obey(order.word, course, self.stages, word)
            answers.append((order, status, sentence))
        if word != self._durable and self.journal is not None:
            await self.journal.save({records.ROLLOUT_KEY: records.encode(word)})
        self.word = self._durable = word
        for order, status, sentence in answers:
            if status < 400 and order.word in TO_ALL:
                self._tell_all(TO_ALL[order.word])
            order.answer(status, sentence)

    def _tell_all(self, name: str) -> None:
        """Agents that are busy hear of it by their own mailbox, or are told again."""
        for host in self.board.agents:
            target = self.agents(host)
            if target is not None and not target.offer(inbox.Command(name=name)):
                log.warning("an agent's mailbox is full", host=host, command=name)

    def _show(self, course: Course, now: Standing) -> None:
        reboots = len(self.reboot_queue.keys() | self.rebooting.keys())
        shown = self.tempo.shown(course, now, self.word, self.limits, reboots)
        if shown != self.board.rollout:
            self.board.rollout = shown
            self.board.touch()

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
            let_go=frozenset(self.let_go),
        )

    def _serve_reboots(self, now: Standing) -> None:
        view = self._view()
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
            why_not = (
                self._halted(host, now)
                or rollout.may_begin(candidate, view, self.limits)
                or self._pillar_waits(host)
            )
            self.board.gate_verdicts[host] = why_not
            if why_not:
                continue
            target = self.agents(host)
            granted = inbox.RebootGranted(permit=candidate.permit)
            if target is not None and target.offer(granted):
                self.rebooting[host] = candidate
                del self.reboot_queue[host]
                view = self._view()
                self.tempo.reboot_begins(host, trio.current_time(), boots=ask.boots)
                self.board.gate_verdicts.pop(host, None)
                log.info("reboot granted" if ask.boots else "SDS restart granted", host=host)

    def _holder(self, permit: str) -> Rebooting | None:
        return next((r for r in self.rebooting.values() if permit and r.permit == permit), None)

    def _halted(self, host: str, now: Standing) -> str:
        """An agent that the operator has removed waits for the storage only."""
        shown = self.board.agents.get(host)
        return "" if shown is not None and shown.phase == "draining" else now.halted

    def _telling(self, holder: Rebooting) -> str:
        """Mesos is told once, when nothing else stands in the way."""
        if self.herald is None or not holder.boots or self.told.get(holder.permit):
            return ""
        shown = self.board.agents.get(holder.host)
        if holder.permit not in self.told and shown is not None:
            told = TellMesos(host=holder.host, agent_id=shown.agent_id, permit=holder.permit)
            if self.herald.offer(told):
                self.told[holder.permit] = False
        return rollout.TELLING

    def _serve_permits(self, now: Standing) -> None:
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
            why_not = self._halted(holder.host, now) or rollout.may_go(
                holder, self._view(), self.limits, looked_after=asked_at
            )
            why_not = why_not or self._telling(holder)
            if not why_not:
                log.info("reboot permitted", host=holder.host)
                self.let_go.add(holder.host)
                ask.answer(200, "reboot now")
            elif trio.current_time() >= asked_at + PERMIT_PATIENCE_S or not rollout.may_change_soon(
                why_not
            ):
                log.info("reboot denied", host=holder.host, reason=why_not)
                ask.answer(409, why_not)
            else:
                open_asks.append((ask, asked_at))
        self.permits = open_asks
