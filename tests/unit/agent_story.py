"""One agent between Mesos, its host, the gate and the Gateway: a script for tests of `decide`."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domain import effects, inbox
from domain.agent import AgentRecord, Phase, TaskState
from domain.draft import Agent
from domain.facts import Facts
from domain.lifecycle import decide
from domain.plan import Plan, PlannedStep
from domain.rules import Moment, Rules

HOST = "a1.test"
STEPS = ("prerequisites", "sds", "sdc")
DISK = "/dev/disk/by-id/d1"
UNIX = 1_000_000_000.0
TERMINAL = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST",
            "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR")  # fmt: skip


@attrs.define
class Story:
    """Tell messages, and look at what followed. `host_*` is what a survey would see."""

    rules: Rules = attrs.field(factory=Rules)
    steps: tuple[str, ...] = STEPS
    codes: dict[str, int] = attrs.field(factory=dict)  # step -> exit code where it is not 0
    now: float = 1000.0
    agent: Agent = attrs.field(factory=lambda: Agent(record=AgentRecord(host=HOST, agent_id="")))
    todo: tuple[effects.Effect, ...] = ()  # of the last message
    log: list[effects.Effect] = attrs.field(factory=list)
    installed: set[str] = attrs.field(factory=set)
    disrupts: tuple[str, ...] = ()  # steps that restart a running SDS
    blocked: str = ""
    fault: str = ""
    disks: tuple[str, ...] = ()
    boot: int = 0
    machine: str = "m1"
    _tokens: int = 0

    # -- what is seen ------------------------------------------------------------------------

    @property
    def record(self) -> AgentRecord:
        return self.agent.record

    @property
    def phase(self) -> Phase:
        return self.record.phase

    def at(self, phase: Phase) -> bool:
        return self.phase is phase

    @property
    def running(self) -> str:
        """The step of the task in flight, "" for none."""
        return self.record.task.step if self.record.task is not None else ""

    @property
    def unix(self) -> float:
        return UNIX + self.now

    def launched(self) -> list[str]:
        return [one.step for one in self.log if isinstance(one, effects.Launch)]

    def did(self, kind: type[effects.Effect]) -> bool:
        return any(isinstance(one, kind) for one in self.todo)

    # -- what is told ------------------------------------------------------------------------

    def tell(self, message: inbox.AgentInbox) -> None:
        self._tokens += 1
        moment = Moment(now=self.now, unix=self.unix, token=f"{self._tokens:08x}", jitter=1.0)
        self.agent, self.todo = decide(self.agent, message, moment=moment, rules=self.rules)
        self.log += self.todo

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.tell(inbox.Tick())

    def sighted(self, agent_id: str = "S1", **attributes: str) -> None:
        self.tell(
            inbox.Sighted(agent_id=agent_id, address="10.0.0.1", port=5051, attributes=attributes)
        )

    def status(
        self,
        state: str,
        *,
        task_id: str = "",
        agent_id: str = "",
        message: str = "",
        reason: str = "",
        uuid: str = "",
        healthy: bool | None = None,
    ) -> None:
        """Of the task in flight, if no other is named."""
        task = self.record.task
        self.tell(
            inbox.Status(
                task_id=task_id or (task.task_id if task else ""),
                agent_id=agent_id or self.record.agent_id,
                state=state,
                terminal=state in TERMINAL,
                uuid=uuid,
                message=message,
                reason=reason,
                healthy=healthy,
            )
        )

    def ends(self, code: int, *, stderr: str = "", fault: str = "") -> None:
        """The task in flight exits with `code`, and its output is read."""
        task = self.record.task
        assert task is not None
        if code in (0, 20, 21):
            self.installed.add(task.step)
        state = "TASK_FINISHED" if code == 0 else "TASK_FAILED"
        self.status(state, message=f"Command exited with status {code}", uuid="u")
        self.output(stderr=stderr, fault=fault)

    def output(self, *, stderr: str = "", fault: str = "") -> None:
        task = self.record.task
        assert task is not None
        assert task.state is TaskState.ENDED
        if task.step != "survey":
            self.tell(inbox.Output(task_id=task.task_id, stderr=stderr, fault=fault))
        elif task.exit_code == 0 and not fault:
            facts, plan = self.facts(), self.plan()
            self.tell(inbox.Surveyed(task_id=task.task_id, facts=facts, plan=plan))
        else:
            self.tell(inbox.Surveyed(task_id=task.task_id, fault=fault or stderr))

    def facts(self) -> Facts:
        return Facts(
            machine_id=self.machine,
            boot_id=f"boot-{self.boot}",
            os_id="debian",
            os_version="12",
            kernel="6.1.0",
            sdc_guid="GUID",
        )

    def plan(self) -> Plan:
        steps = [
            PlannedStep(
                name=name,
                state="satisfied" if name in self.installed else "wanted",
                restarts_agent=name == "isolator",
                disrupts=name in self.disrupts,
            )
            for name in self.steps
        ]
        if self.blocked:
            steps.append(PlannedStep(name="rexray", state="blocked", sentence=self.blocked))
        return Plan(
            steps=tuple(steps),
            fault=self.fault,
            provides_storage=bool(self.disks),
            devices=self.disks,
            device_pools=("default",) * len(self.disks),
            verdicts=tuple((disk, "empty: provably empty") for disk in self.disks),
        )

    # -- a friendly world --------------------------------------------------------------------

    def until(self, wanted: Callable[[Story], bool]) -> None:
        """Let the world answer everything as it should, until that holds."""
        if not self.record.agent_id:
            self.sighted()
        for _ in range(200):
            if wanted(self):
                return
            self._answer()
        raise AssertionError(f"never: {self.record}")

    def until_running(self, step: str) -> None:
        self.until(lambda story: story.running == step)
        self.status("TASK_RUNNING", uuid="u")

    def until_phase(self, phase: Phase) -> None:
        self.until(lambda story: story.phase is phase)

    def _answer(self) -> None:
        record, asked = self.record, self.agent.asked
        if record.task is not None and record.task.state is TaskState.ENDED:
            self.output()
        elif record.task is not None:
            self.ends(self.codes.get(record.task.step, 0))
        elif "slot" in asked:
            self.tell(inbox.SlotGranted())
        elif "restart" in asked:
            self.tell(inbox.RestartGranted())
        elif "storage" in asked:
            self.storage("done")
        elif "reboot" in asked:
            self.tell(inbox.RebootGranted(permit="p1"))
        elif record.keeper is not None and not record.keeper.healthy:
            self.keeper("TASK_RUNNING", healthy=True)
        else:
            if record.reboot is not None and record.reboot.armed:
                self.boot += 1
                self.codes.clear()
            self.later(61.0)

    def storage(self, outcome: str, sentence: str = "") -> None:
        """The Gateway's answer to what was asked last."""
        ask = [one for one in self.log if isinstance(one, effects.AskStorage)][-1]
        if ask.request == "join" and outcome == "done":
            self.disks = ()
        self.tell(
            inbox.StorageAnswer(
                request=ask.request,
                outcome=outcome,
                sentence=sentence,
                sds_id="s1",
                volume_id="v1",
            )
        )

    def keeper(self, state: str, *, healthy: bool | None = None, uuid: str = "u") -> None:
        keeper = self.record.keeper
        assert keeper is not None
        self.status(
            state,
            task_id=keeper.task_id,
            agent_id=keeper.agent_id,
            healthy=healthy,
            uuid=uuid,
        )

    def process_restarts(self) -> None:
        """All that is not stored is forgotten."""
        plan = self.plan() if self.record.facts is not None else Plan()
        self.agent = Agent(record=self.record, plan=plan)
        self.tell(inbox.Started())
