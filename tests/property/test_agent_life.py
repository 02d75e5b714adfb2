"""An agent's life under any order of events: a stateful search for a broken promise.

The machine plays Mesos, the host, the gate, the Gateway, the operator, and crashes of our own
process, against the real `decide`. After every step the promises are checked; at the end the
world turns friendly, and the agent has to arrive.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from domain import effects, inbox
from domain.agent import AgentRecord, Phase, Signal, TaskState, advance
from domain.draft import Agent
from domain.facts import Facts
from domain.lifecycle import decide
from domain.plan import KEEPER, SURVEY, Plan, PlannedStep
from domain.rules import Moment, Rules

HOST = "a1.example.com"
STEPS = ("prerequisites", "sds", "sdc", "rexray", "isolator")
RULES = Rules(attempts_max=3, claim_delay_s=60.0)
LOST_STATES = ("TASK_LOST", "TASK_GONE", "TASK_DROPPED", "TASK_KILLED", "TASK_FAILED")


class AgentLife(RuleBasedStateMachine):
    @initialize(storage=st.booleans(), reboots=st.sets(st.sampled_from(STEPS), max_size=2))
    def begin(self, storage: bool, reboots: set[str]) -> None:
        self.now = 1000.0
        self.tokens = 0
        self.agent = Agent(record=AgentRecord(host=HOST, agent_id=""))
        self.ids = 0
        self.installed: set[str] = set()
        self.boot = 0
        self.storage = storage
        self.reboots = reboots
        self.devices_free = storage
        self.keeper_lives = False
        self.history: list[tuple[str, Phase]] = []
        self.task_ids: set[str] = set()
        self.commanded = False
        self.slot_asked = self.slot_held = False
        self.reboot_asked = False
        self.storage_asked: effects.AskStorage | None = None
        self.outputs: set[str] = set()
        self.running: set[str] = set()
        self.tell(inbox.Started())

    # -- the machinery ---------------------------------------------------------------------

    def tell(self, message: inbox.AgentInbox) -> None:
        before = self.agent.record
        self.tokens += 1
        moment = Moment(now=self.now, unix=self.now + 1e9, token=f"{self.tokens:08x}", jitter=0.5)
        self.agent, todo = decide(self.agent, message, moment=moment, rules=RULES)
        self.commanded = isinstance(message, inbox.Command)
        self._check_move(before, todo)
        for effect in todo:
            self._perform(effect)

    def _check_move(self, before: AgentRecord, todo: Iterable[effects.Effect]) -> None:
        after = self.agent.record
        if before.phase in (Phase.HELD, Phase.FAILED) and after.phase is not before.phase:
            assert self.commanded, f"{before.phase} moved to {after.phase} by itself"
        if before.task is not None and after.task is not None:
            same = before.task.task_id == after.task.task_id
            wished = effects.Withdraw(task_id=before.task.task_id)
            given_up = before.task.state is TaskState.WANTED and wished in todo
            assert same or given_up or before.task.task_id in after.ended, "a task was forgotten"

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Launch(task_id=task_id, step=step):
                assert task_id not in self.task_ids, "a task id was used again"
                self.task_ids.add(task_id)
                if step not in (SURVEY, KEEPER, "reboot", "probe"):
                    assert self.slot_held, f"{step} without a place of the rollout"
                if step in STEPS:
                    needed = [s for s in self._plan_steps() if STEPS.index(s) < STEPS.index(step)]
                    assert set(needed) <= self.installed, f"{step} before its predecessor"
                    assert step not in self.installed or self.agent.record.facts is None
                if step == "reboot":
                    assert self.agent.record.phase is Phase.REBOOTING
            case effects.AskSlot():
                self.slot_asked = True
            case effects.FreeSlot():
                self.slot_asked = self.slot_held = False
            case effects.AskReboot():
                self.reboot_asked = True
            case effects.FreeReboot():
                self.reboot_asked = False
            case effects.AskStorage():
                self.storage_asked = effect
            case effects.ReadOutput(task_id=task_id):
                self.outputs.add(task_id)
            case _:
                pass

    def _plan_steps(self) -> list[str]:
        return [s for s in STEPS if s != "sds" or self.storage]

    def facts(self) -> Facts:
        return Facts(
            machine_id="m1",
            boot_id=f"boot-{self.boot}",
            os_id="debian",
            os_version="12",
            kernel="6.1.0",
            sdc_guid="GUID" if "sdc" in self.installed else "",
        )

    def plan(self) -> Plan:
        steps = tuple(
            PlannedStep(
                name=s,
                state="satisfied" if s in self.installed else "wanted",
                reboot_blocks_join=s == "prerequisites",
            )
            for s in self._plan_steps()
        )
        free = ("/dev/disk/by-id/d1",) if self.devices_free else ()
        return Plan(
            steps=steps,
            provides_storage=self.storage,
            devices=free,
            device_pools=("default",) * len(free),
        )

    @property
    def task(self) -> effects.Launch | None:
        task = self.agent.record.task
        if task is None:
            return None
        return effects.Launch(task_id=task.task_id, step=task.step, agent_id=task.agent_id)

    def status(self, state: str, task: effects.Launch, **more: object) -> None:
        terminal = state not in ("TASK_RUNNING", "TASK_STARTING", "TASK_UNREACHABLE")
        fields: dict[str, object] = {"uuid": f"u{self.tokens}", **more}
        self.tell(
            inbox.Status(
                task_id=task.task_id,
                agent_id=task.agent_id,
                state=state,
                terminal=terminal,
                **fields,  # type: ignore[arg-type]  # drawn above
            )
        )

    # -- what may happen ---------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 10.0, 61.0, 400.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(inbox.Tick())

    @rule(new=st.booleans())
    def sighted(self, new: bool) -> None:
        if new or not self.ids:
            self.ids += 1
            self.running.clear()
            self.keeper_lives = False
        self.tell(
            inbox.Sighted(agent_id=f"S{self.ids}", address="10.0.0.1", port=5051, attributes={})
        )

    @rule()
    def agent_is_gone(self) -> None:
        self.tell(inbox.AgentGone(agent_id=self.agent.record.agent_id))

    @precondition(lambda self: self.task is not None)
    @rule(state=st.sampled_from(["TASK_STARTING", "TASK_RUNNING", "TASK_UNREACHABLE"]))
    def task_lives(self, state: str) -> None:
        assert self.task is not None
        self.status(state, self.task)

    @precondition(lambda self: self._in_flight())
    @rule(code=st.sampled_from([0, 0, 0, 0, 75, 65, 1, 78]))
    def task_ends(self, code: int) -> None:
        task = self.task
        assert task is not None
        self.host_does(task.step, code)
        if code == 0 and task.step in self.reboots:
            code = 20
        if code == 0:
            self.status("TASK_FINISHED", task, message="Command exited with status 0")
        else:
            self.status("TASK_FAILED", task, message=f"Command exited with status {code}")

    def _in_flight(self) -> bool:
        task = self.agent.record.task
        """A task that can still speak: those of a dead agent id never will."""
        ours = task is not None and task.agent_id == self.agent.record.agent_id
        return ours and task is not None and task.state is not TaskState.ENDED

    def host_does(self, step: str, code: int) -> None:
        if code == 0 and step in STEPS:
            self.installed.add(step)

    @precondition(lambda self: self._in_flight())
    @rule(state=st.sampled_from(LOST_STATES), happened=st.booleans())
    def task_is_lost(self, state: str, happened: bool) -> None:
        task = self.task
        assert task is not None
        if happened:
            self.host_does(task.step, 0)
        self.status(state, task, message="", reason="REASON_EXECUTOR_TERMINATED")

    @precondition(lambda self: self._in_flight())
    @rule()
    def want_was_never_sent(self) -> None:
        task = self.agent.record.task
        assert task is not None
        if task.state is TaskState.WANTED:
            self.tell(inbox.NeverSent(task_id=task.task_id, why="given back"))

    @precondition(lambda self: self._ended())
    @rule(readable=st.booleans())
    def output_is_read(self, readable: bool) -> None:
        task = self.agent.record.task
        assert task is not None
        fault = "" if readable else "the sandbox is closed"
        if task.step != SURVEY:
            self.tell(inbox.Output(task_id=task.task_id, stderr="disk full", fault=fault))
        elif readable and task.exit_code == 0:
            self.tell(inbox.Surveyed(task_id=task.task_id, facts=self.facts(), plan=self.plan()))
        else:
            self.tell(inbox.Surveyed(task_id=task.task_id, fault="unreadable"))

    def _ended(self) -> bool:
        task = self.agent.record.task
        return task is not None and task.state is TaskState.ENDED

    @precondition(lambda self: self.slot_asked)
    @rule()
    def slot_granted(self) -> None:
        self.slot_asked, self.slot_held = False, True
        self.tell(inbox.SlotGranted())

    @precondition(lambda self: self.reboot_asked)
    @rule()
    def reboot_granted(self) -> None:
        self.tell(inbox.RebootGranted(permit=f"p{self.tokens}"))

    @precondition(lambda self: self._armed())
    @rule()
    def host_reboots(self) -> None:
        self.boot += 1

    def _armed(self) -> bool:
        reboot = self.agent.record.reboot
        return reboot is not None and reboot.armed

    @precondition(lambda self: self.storage_asked is not None)
    @rule(outcome=st.sampled_from(["done", "done", "waiting", "refused", "skipped"]))
    def storage_answers(self, outcome: str) -> None:
        asked = self.storage_asked
        assert asked is not None
        self.storage_asked = None
        if outcome == "done" and asked.request == "join":
            self.devices_free = False
        self.tell(
            inbox.StorageAnswer(
                request=asked.request,
                outcome=outcome,
                sentence="because",
                sds_id="s1",
                volume_id="v1",
            )
        )

    @precondition(lambda self: self.agent.record.keeper is not None)
    @rule(state=st.sampled_from(["TASK_RUNNING", "TASK_KILLED", "TASK_LOST"]), well=st.booleans())
    def keeper_speaks(self, state: str, well: bool) -> None:
        keeper = self.agent.record.keeper
        assert keeper is not None
        self.keeper_lives = state == "TASK_RUNNING"
        launch = effects.Launch(task_id=keeper.task_id, step=KEEPER, agent_id=keeper.agent_id)
        self.status(state, launch, healthy=well)

    @rule(name=st.sampled_from(["hold", "resume", "retry"]))
    def operator_speaks(self, name: str) -> None:
        self.tell(inbox.Command(name=name))

    @rule()
    def health_doubts(self) -> None:
        self.tell(inbox.Doubted(why="its SDC is not connected"))

    @precondition(lambda self: self.agent.record.agent_id)
    @rule(state=st.sampled_from(["TASK_RUNNING", "TASK_FINISHED"]), number=st.integers(1, 30))
    def late_word_of_another_task(self, state: str, number: int) -> None:
        stranger = effects.Launch(
            task_id=f"{HOST}.sds.{number}.ffffffff",
            step="sds",
            agent_id=self.agent.record.agent_id,
        )
        self.status(state, stranger)

    @rule()
    def our_process_crashes(self) -> None:
        record = self.agent.record
        self.slot_held, self.slot_asked = record.slot, False
        self.reboot_asked, self.storage_asked = False, None
        plan = self.plan() if record.facts is not None else Plan()
        self.agent = Agent(record=record, plan=plan)
        self.tell(inbox.Started())

    # -- what must always hold -----------------------------------------------------------------

    @invariant()
    def failures_are_named(self) -> None:
        record = self.agent.record
        if record.phase is Phase.FAILED:
            assert record.error.startswith(HOST)
            assert "retry" in record.error, "the operator is told what to do"

    @invariant()
    def slots_are_what_the_gate_thinks(self) -> None:
        assert not self.agent.record.slot or self.slot_held

    @invariant()
    def a_granted_reboot_has_a_permit_and_a_wanted_one_has_none_armed(self) -> None:
        record = self.agent.record
        if record.reboot is not None and record.reboot.armed:
            assert record.reboot.permit
            assert record.phase in (Phase.REBOOTING, Phase.FAILED, Phase.HELD)

    @invariant()
    def ready_means_joined_with_a_healthy_keeper(self) -> None:
        record = self.agent.record
        if record.phase is Phase.READY and record.keeper is not None:
            assert record.joined

    def teardown(self) -> None:
        """The world turns friendly: within a bound the agent is ready, or has a named failure."""
        if not hasattr(self, "agent"):
            return
        for _ in range(400):
            record = self.agent.record
            if record.phase in {Phase.READY, Phase.FAILED} and not record.task:
                return
            self._friendly()
        raise AssertionError(f"stuck: {attrs.asdict(self.agent.record)}")

    def _friendly(self) -> None:
        record = self.agent.record
        if record.phase is Phase.HELD:
            self.tell(inbox.Command(name="resume"))
        elif record.phase is Phase.LOST or not record.agent_id:
            self.sighted(False)
        elif self._ended():
            self.output_is_read(True)
        elif self._in_flight():
            self.task_ends(0)
        elif self.storage_asked is not None:
            self.storage_answers("done")
        elif self.slot_asked:
            self.slot_granted()
        elif self.reboot_asked and record.phase is Phase.REBOOT_WANTED:
            self.reboot_granted()
        elif record.keeper is not None and not record.keeper.healthy:
            self.keeper_speaks("TASK_RUNNING", True)
        else:
            if self._armed():
                self.reboots.clear()
                self.boot += 1
            self.time_passes(61.0)


AgentLife.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestAgentLife = AgentLife.TestCase


def test_the_machine_uses_the_same_table_as_the_product() -> None:
    assert advance(Phase.READY, Signal.DOUBT) is Phase.SURVEYING
