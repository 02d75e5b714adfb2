"""The draft of one decision: an agent's record while it is being changed, and its effects.

Lives only inside one call of `lifecycle.decide`; what comes out is frozen again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from domain import effects
from domain.agent import (
    AT_REST,
    NEXT,
    AgentRecord,
    KeeperRef,
    Phase,
    Reboot,
    Signal,
    TaskRef,
    TaskState,
)
from domain.facts import Facts
from domain.plan import CLAIM, ISOLATOR, KEEPER, REBOOT, SURVEY, Plan
from domain.rules import Moment, Rules

PAUSE_FIRST_S: Final = 5.0
PAUSE_CEILING_S: Final = 300.0
ENDED_REMEMBERED: Final = 4  # a task's late updates come within its last three states
REBOOT_PATIENCE_S: Final = 900.0  # firmware, file system checks, and Mesos' own registration
AVOIDED_REMEMBERED: Final = 20
# A restart that its host may still be in ends by the host's word, or by the operator's hold.
_KEEPS_TURN: Final[Mapping[Phase, frozenset[str]]] = {
    Phase.READY: frozenset({"armed"}),
    Phase.FAILED: frozenset({"armed"}),
    Phase.LOST: frozenset({"begun", "armed"}),
    Phase.HELD: frozenset(),
    Phase.RETIRED: frozenset(),
}


@attrs.frozen(kw_only=True)
class Agent:
    """An agent between two messages: what is stored, and what may be forgotten."""

    record: AgentRecord
    plan: Plan = attrs.field(factory=Plan)  # made from record.facts
    asked: Mapping[str, float] = attrs.field(factory=dict)  # open question -> when it is asked anew
    not_before: float = 0.0  # no new act earlier
    lost_in_row: int = 0
    ignored: int = 0  # signals that the table has no entry for
    told_gone: bool = False  # by Mesos, in the life of this process
    wake_at: float | None = None


class Draft:
    """Mutable on purpose, and private to one decision."""

    def __init__(self, agent: Agent, moment: Moment, rules: Rules) -> None:
        self.record = agent.record
        self.plan = agent.plan
        self.asked = dict(agent.asked)
        self.not_before = agent.not_before
        self.lost_in_row = agent.lost_in_row
        self.ignored = agent.ignored
        self.told_gone = agent.told_gone
        self.moment = moment
        self.rules = rules
        self._effects: list[effects.Effect] = []

    def result(self) -> tuple[Agent, tuple[effects.Effect, ...]]:
        wakes = [t for t in self.asked.values() if t > self.moment.now]
        if self.not_before > self.moment.now:
            wakes.append(self.not_before)
        if self.record.phase is Phase.REBOOTING:
            left_s = self.record.since + REBOOT_PATIENCE_S - self.moment.unix
            wakes.append(self.moment.now + min(max(left_s, 10.0), REBOOT_PATIENCE_S))
        if (retire_in_s := self.retires_in_s()) is not None:
            wakes.append(self.moment.now + max(1.0, retire_in_s))
        agent = Agent(
            record=self.record,
            plan=self.plan,
            asked=self.asked,
            not_before=self.not_before,
            lost_in_row=self.lost_in_row,
            ignored=self.ignored,
            told_gone=self.told_gone,
            wake_at=min(wakes, default=None),
        )
        return agent, tuple(self._effects)

    # -- small changes ------------------------------------------------------------------

    def asks(self, question: str, patience_s: float) -> bool:
        """True if it is to be put now: it was not, or its answer is overdue."""
        if self.moment.now < self.asked.get(question, float("-inf")):
            return False
        self.asked[question] = self.moment.now + patience_s
        return True

    def do(self, effect: effects.Effect) -> None:
        self._effects.append(effect)

    def change(self, **fields: Any) -> None:
        self.record = attrs.evolve(self.record, **fields)

    def change_task(self, **fields: Any) -> None:
        if self.record.task is not None:
            self.change(task=attrs.evolve(self.record.task, **fields))

    def signal(self, signal: Signal, reason: str = "") -> bool:
        """Move by the table; False (and counted) where it has no entry."""
        before = self.record.phase
        target = NEXT[before].get(signal)
        if target is None:
            self.ignored += 1
            return False
        if reason or target is not before:
            self.change(reason=reason)
        if target is not before:
            self.change(phase=target, since=self.moment.unix)
            self._entered(target)
        return True

    def _entered(self, phase: Phase) -> None:
        if phase in AT_REST:
            self.asked.clear()
            if self.record.slot:
                self.change(slot=False)
            self.do(effects.FreeSlot())
        if phase is Phase.REBOOT_WANTED:
            # It may wait for long; who holds a reboot gets a place at once when it is back.
            self.give_slot_back()
            if self.record.restarting == "granted":
                self.end_turn()
        sent = self.record.task is not None and self.record.task.state is not TaskState.WANTED
        if phase in AT_REST and phase is not Phase.LOST and not sent:
            self.end_disruption()  # a task that was sent may take the SDS down at any moment
        if phase in AT_REST and self.record.restarting not in _KEEPS_TURN[phase]:
            # Also when we know of none: a grant may have been lost in a crash.
            self.end_turn()
        if phase is Phase.DRAINING:
            self.give_slot_back()
            if self.record.restarting == "granted":
                self.end_turn()
        if phase in (Phase.HELD, Phase.LOST, Phase.SURVEYING, Phase.DRAINING):
            self._withdraw_unsent()
            self._give_back_unarmed()
        if phase is Phase.READY:
            self.end_wait()
            self.change(error="", tail="", attempts={})
            self.avoid_reboot(self.record.spared)

    def give_slot_back(self) -> None:
        if self.record.slot:
            self.change(slot=False)
            self.do(effects.FreeSlot())

    def end_turn(self, outcome: str = "") -> None:
        """The turn to restart the Mesos agent is over, or was not needed."""
        self.asked.pop("restart", None)
        self.change(restarting="")
        self.do(effects.FreeRestart(outcome=outcome))

    def _withdraw_unsent(self) -> None:
        task, keeper = self.record.task, self.record.keeper
        if task is not None and task.state is TaskState.WANTED:
            self.do(effects.Withdraw(task_id=task.task_id))
        if keeper is not None and not keeper.running:
            self.do(effects.Withdraw(task_id=keeper.task_id))

    def _give_back_unarmed(self) -> None:
        """A wanted or granted reboot that no host unit is armed for is asked for anew."""
        reboot = self.record.reboot
        if reboot is not None and not reboot.armed:
            self.change(reboot=attrs.evolve(reboot, permit=""))
            self.asked.pop("reboot", None)
            self.free_place()

    # -- the world -----------------------------------------------------------------------

    def gone(self, reason: str) -> None:
        self.signal(Signal.GONE, reason)
        self.told_gone = True
        self.change(lost_at=self.record.lost_at or self.moment.unix)

    def retires_in_s(self) -> float | None:
        """Until policy retires an agent that stays away; None: it does not."""
        record, after_s = self.record, self.rules.retire_after_s
        away = after_s and record.phase is Phase.LOST and record.lost_at and self.told_gone
        kept = record.removal is not None or record.held_by or self.rules.mode == "observe"
        return None if kept or not away else record.lost_at + after_s - self.moment.unix

    def doubt(self, why: str) -> None:
        self.signal(Signal.DOUBT, why)

    def back_from_the_lost(self) -> None:
        """The agent itself has spoken. One that is taken for gone is heard of by its sighting."""
        if self.record.removal is None or not self.record.removal.gone:
            self.change(lost_at=0.0)
            self.told_gone = False
        if self.record.phase is Phase.LOST:
            self.signal(Signal.RETURNED, "the agent is back")
            self.track_again()

    def track_again(self) -> None:
        task = self.record.task
        if task is not None and task.state is TaskState.RUNNING:
            self.do(effects.Track(task_id=task.task_id, agent_id=task.agent_id))

    # -- tasks -----------------------------------------------------------------------------

    def launch(self, step: str) -> None:
        """Record the intent and post the want, in that order."""
        number = self.record.launches + 1
        task_id = f"{self.record.host}.{step}.{number}.{self.moment.token}"
        attempts = {**self.record.attempts, step: self.record.attempts.get(step, 0) + 1}
        self.change(launches=number)
        if step == ISOLATOR and self.record.facts is not None and not self.record.isolation_before:
            self.change(isolation_before=self.record.facts.isolation)
        if step == KEEPER:
            keeper = KeeperRef(task_id=task_id, agent_id=self.record.agent_id)
            self.change(keeper=keeper, attempts=attempts)
        else:
            # The plan may be another one when a claim ends: what it looks at is written down.
            claims = self.plan.claims() if step == CLAIM else {}
            task = TaskRef(task_id=task_id, step=step, agent_id=self.record.agent_id, claims=claims)
            self.change(task=task, attempts=attempts)
        self.do(effects.Launch(task_id=task_id, step=step, agent_id=self.record.agent_id))

    def end_task(self) -> None:
        task = self.record.task
        self.asked.pop("last-word", None)
        if task is not None:
            self.change(task=None)
            self.remember_ended(task.task_id)
        if self.record.phase in (Phase.HELD, Phase.FAILED):
            self.end_disruption()

    def doubt_boot(self) -> None:
        """A reboot step of unknown fate may have armed the host: look before arming it again."""
        task = self.record.task
        if task is not None and task.step == REBOOT:
            self.change(surveyed=0.0)

    def drop_task(self) -> None:
        """The task is dead or never was: nobody shall reconcile it any more."""
        task = self.record.task
        self.asked.pop("output", None)
        if task is not None:
            self.do(effects.Withdraw(task_id=task.task_id, dead=True))
            self.end_task()

    def remember_ended(self, task_id: str) -> None:
        self.change(ended=(*self.record.ended, task_id)[-ENDED_REMEMBERED:])

    def uncount(self, step: str) -> None:
        """The last launch of `step` was not its fault."""
        attempts = dict(self.record.attempts)
        if attempts.get(step, 0) > 0:
            attempts[step] -= 1
            self.change(attempts=attempts)

    def lose_one(self) -> None:
        self.lost_in_row += 1

    def pause(self, *, at_least: float = 0.0) -> None:
        """Exponential, with jitter; `go_on` starts nothing new before it is over."""
        doubled = PAUSE_FIRST_S * 2.0 ** min(max(self.lost_in_row - 1, 0), 8)
        ceiling = min(PAUSE_CEILING_S, doubled)
        wait = max(at_least, ceiling * (0.5 + self.moment.jitter / 2))
        self.not_before = max(self.not_before, self.moment.now + wait)

    # -- failures --------------------------------------------------------------------------

    def fail(self, what: str, cure: str) -> None:
        if not self.at_work():
            return
        self.change(error=f"{self.record.host}: {what}; {cure}")
        self._give_back_unarmed()
        self.signal(Signal.BROKEN, what)

    def at_work(self) -> bool:
        """True in the phases that a failure can end."""
        return Signal.BROKEN in NEXT[self.record.phase]

    def failed_attempt(self, step: str, why: str) -> None:
        if not self.at_work():
            return  # a task that outlived its time: what is said of the agent stays true
        count = self.record.attempts.get(step, 0)
        self.change(error=f"{self.record.host}: step {step} failed: {why}; it is tried again")
        if count >= self.rules.attempts_max:
            self.fail(
                f"step {step} failed {count} times: {why}",
                "read the tail of its output, mend the cause, then retry the agent",
            )
            return
        doubled = PAUSE_FIRST_S * 2.0 ** min(count, 8)
        wait = min(PAUSE_CEILING_S, doubled) * (0.5 + self.moment.jitter / 2)
        self.not_before = max(self.not_before, self.moment.now + wait)
        self.look_after(step)

    def look_after(self, step: str) -> None:
        """Nobody knows how far a step got that did not end well: look before the next try."""
        if step not in (SURVEY, REBOOT):
            self.doubt(f"step {step} did not end well: looking again")

    def blocked(self, sentence: str) -> None:
        """Nothing can go on until the operator gives what is missing: make room for others."""
        if self.record.reason != sentence:
            self.change(reason=sentence)
        self.give_slot_back()
        self.end_disruption()
        if self.record.restarting == "granted":
            self.end_turn()

    def end_wait(self) -> None:
        self.lost_in_row = 0
        self.change(later="", later_since=0.0)

    # -- facts -----------------------------------------------------------------------------

    def take_facts(self, facts: Facts, plan: Plan) -> None:
        """What a survey saw replaces what we believed."""
        old = self.record.facts
        if old is not None and old.machine_id != facts.machine_id:
            # Another machine answers to this name: nothing we knew holds for it.
            self.end_disruption()
            self.change(candidates={}, probe="", sds_id="", attempts={}, undone="")
            self.change(isolation_before=(), missing=False, spared="", reboots_avoided=())
            self.change(later="", later_since=0.0)
            self.drop_reboot()
            self.end_turn("forgiven")
        self.plan = plan
        first_seen = self.record.candidates
        wanted = {step.name for step in plan.steps if step.state == "wanted"}
        self.change(
            facts=facts,
            surveyed=self.moment.unix,
            done=(),
            claimed={},  # what is in a pool is the Gateway's to say; the rest is looked at anew
            joined=False,
            restart=False,
            candidates={d: first_seen.get(d, self.moment.unix) for d in plan.devices},
            attempts={
                step: count
                for step, count in self.record.attempts.items()
                if step in wanted or step in ("claim", "probe", "reboot", KEEPER)
            },
        )

    def same_boot(self) -> bool:
        facts, reboot = self.record.facts, self.record.reboot
        return facts is not None and reboot is not None and facts.boot_id == reboot.boot_id

    # -- reboots ---------------------------------------------------------------------------

    def drop_reboot(self) -> None:
        """It came about without us, or the machine is another: our place is for others."""
        if self.record.reboot is not None:
            self.change(reboot=None)
            self.free_place()

    def want_reboot(self, reason: str, *, before_join: bool) -> None:
        """One reboot serves all who want one in this boot."""
        facts, wanted = self.record.facts, self.record.reboot
        if facts is None:
            return
        if wanted is None:
            wanted = Reboot(boot_id=facts.boot_id, reason=reason, before_join=before_join)
        elif reason not in wanted.reason.split("; "):
            self.avoid_reboot(f"{reason}, as something else did already: one serves both")
            joined = f"{wanted.reason}; {reason}"
            before_join = before_join or wanted.before_join
            wanted = attrs.evolve(wanted, reason=joined, before_join=before_join)
        self.change(reboot=wanted, spared="")

    def avoid_reboot(self, why: str) -> None:
        if why:
            avoided = (*self.record.reboots_avoided, why)[-AVOIDED_REMEMBERED:]
            self.change(reboots_avoided=avoided, spared="")

    def permit(self, permit: str) -> None:
        if self.record.reboot is not None:
            self.change(reboot=attrs.evolve(self.record.reboot, permit=permit))

    def armed(self) -> None:
        if self.record.reboot is not None:
            self.change(
                reboot=attrs.evolve(self.record.reboot, armed=True),
                reason="the host asks for its permit, then reboots",
            )
        self.not_before = self.moment.now + 30.0

    def deny_reboot(self, why: str) -> None:
        self.take_back_reboot(why)
        self.failed_attempt("reboot", why)

    def take_back_reboot(self, why: str) -> None:
        if self.record.reboot is not None:
            self.change(reboot=attrs.evolve(self.record.reboot, permit="", armed=False))
        self.free_place()
        self.signal(Signal.DENIED, why)

    def free_place(self) -> None:
        """The place stays while its storage may be down."""
        self.do(effects.FreeReboot(keep=self.record.rebooted or bool(self.record.disrupt)))

    def end_disruption(self) -> None:
        if self.record.disrupt:
            self.change(disrupt="")
            self.free_place()

    def whole_again(self) -> None:
        if self.record.rebooted or self.record.disrupt or self.record.missing:
            self.change(rebooted=False, missing=False, disrupt="")
            self.do(effects.FreeReboot())
