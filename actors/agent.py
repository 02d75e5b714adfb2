"""One Mesos agent's actor: receive, decide, journal, perform. All choices are in `domain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, assert_never

import attrs
import structlog
import trio

from actors import messages
from actors.board import AgentSnapshot, Board, StepSnapshot
from actors.clock import Chance
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.ports import Sandbox, SandboxError
from domain import effects, inbox, records
from domain.agent import AgentRecord, KeeperRef, Phase, Run, TaskRef, TaskState
from domain.draft import Agent
from domain.facts import Facts
from domain.inbox import AgentInbox
from domain.job import Job, StepFaultError, last_word
from domain.joining import JoinSpec
from domain.layout import Layout
from domain.lifecycle import decide
from domain.plan import KEEPER, SURVEY, Plan, PlannedStep
from domain.rules import Rules
from domain.stages import Stages
from protocol.mesos import calls

SANDBOX_PATIENCE_S: Final = 30.0
REPOST_S: Final = 60.0  # a want is posted again, in case the broker lost it

log = structlog.get_logger()


class Installer(Protocol):
    """What `install_steps` knows, put together with the operator's settings."""

    def parse(self, stdout: str) -> Facts:
        """Raises StepFaultError."""

    def plan(self, record: AgentRecord, facts: Facts) -> Plan: ...

    def layout(self, record: AgentRecord) -> Layout: ...

    def job(self, record: AgentRecord, step: str) -> Job:
        """Raises StepFaultError where something is missing that the step needs."""

    def join_spec(self, record: AgentRecord) -> JoinSpec: ...

    def probe_pool(self, record: AgentRecord) -> str: ...

    def stages(self) -> Stages:
        """How a rollout goes, and what tells one from the next."""


@attrs.define
class Links:
    """The other actors that an agent speaks to, and the ports it uses."""

    journal: Journal
    broker: Mailbox[messages.BrokerInbox]
    writer: Mailbox[messages.WriterInbox]
    gate: Mailbox[messages.GateInbox]
    poller: Mailbox[messages.PollerInbox]
    board: Board
    sandbox: Sandbox
    installer: Installer
    chance: Chance
    rules: Rules
    framework_id: Callable[[], str]
    agent_scheme: Callable[[], str]  # http or https, as the masters
    redact: Callable[[str], str]
    on_stored: Callable[[AgentRecord], None] = lambda _: None


@attrs.define
class AgentActor:
    """`agent` survives a crash of `run`; the record in it is never ahead of the store."""

    mailbox: Mailbox[AgentInbox]
    links: Links
    agent: Agent
    stored: AgentRecord | None
    last_contact: float = 0.0
    _begun: bool = attrs.field(default=False, init=False)
    _background: trio.Nursery | None = attrs.field(default=None, init=False)

    async def run(self) -> None:
        """Receive for ever; `Started` comes first, and again after a crash."""
        async with trio.open_nursery() as nursery:
            self._background = nursery
            if self.agent.record.facts is not None and not self._begun:
                plan = self.links.installer.plan(self.agent.record, self.agent.record.facts)
                self.agent = attrs.evolve(self.agent, plan=plan)
            if self.stored is not None and not self._begun:
                self._show(restored=True)  # a store that is slow now keeps nobody from looking
            self._begun = True
            await self._take(inbox.Started())
            while True:
                await self._take(await self._next())

    async def _next(self) -> AgentInbox:
        """The next message, or a Tick when the agent asked to be woken."""
        wake_at = self.agent.wake_at
        if self._unsent():
            repost_at = trio.current_time() + REPOST_S
            wake_at = repost_at if wake_at is None else min(wake_at, repost_at)
        if wake_at is None:
            return await self.mailbox.receive()
        with trio.move_on_at(wake_at):
            return await self.mailbox.receive()
        await self._repost()
        return inbox.Tick()

    def _plan_anew(self) -> None:
        """It may have waited for long, or was planned before the storage cluster was seen."""
        record = self.agent.record
        if record.facts is not None and record.phase is Phase.INSTALLING and not record.done:
            plan = self.links.installer.plan(record, record.facts)
            self.agent = attrs.evolve(self.agent, plan=plan)

    async def _take(self, message: AgentInbox) -> None:
        if isinstance(message, inbox.Output):
            message = self._read_survey(message)
        if isinstance(message, inbox.Status | inbox.Sighted):
            self.last_contact = self.links.chance.wall()
        if isinstance(message, inbox.SlotGranted):
            self._plan_anew()
        agent, todo = decide(
            self.agent, message, moment=self.links.chance.moment(), rules=self.links.rules
        )
        if agent.record != self.stored:
            key = records.agent_key(agent.record.host)
            await self.links.journal.save({key: records.encode(agent.record)})
            self.stored = agent.record
            self.links.on_stored(agent.record)
        changed = agent.record.phase is not self.agent.record.phase
        if agent.record.runs is not self.agent.record.runs:
            self._tell_of(agent.record.runs[-1:])
        self.agent = agent
        self._show()
        if changed:
            log.info(
                "agent",
                host=agent.record.host,
                phase=agent.record.phase.value,
                reason=agent.record.reason,
                error=agent.record.error,
            )
        for effect in todo:
            await self._perform(effect)

    def _tell_of(self, runs: tuple[Run, ...]) -> None:
        """The last line of a task: its id stands in the first one, too, beside the offers."""
        for run in runs:
            log.info(
                "step is over",
                host=self.agent.record.host,
                step=run.step,
                task_id=run.task_id,
                outcome=run.outcome,
                exit_code=run.exit_code,
                took_s=round(run.ended - run.began, 3) if run.began else None,
            )

    def _read_survey(self, message: inbox.Output) -> AgentInbox:
        """A survey's text becomes facts and a plan; other steps' output stays as it is."""
        task = self.agent.record.task
        redact = self.links.redact
        if task is None or task.task_id != message.task_id or task.step != SURVEY:
            return attrs.evolve(
                message, stdout=redact(message.stdout), stderr=redact(message.stderr)
            )
        if message.fault or task.exit_code != 0:
            why = message.fault or redact(last_word(message.stderr, SURVEY) or task.message)
            return inbox.Surveyed(task_id=message.task_id, fault=why)
        try:
            facts = self.links.installer.parse(message.stdout)
        except StepFaultError as fault:
            return inbox.Surveyed(task_id=message.task_id, fault=str(fault))
        # What was claimed, and is in no pool, is judged anew.
        record = attrs.evolve(self.agent.record, claimed={})
        plan = self.links.installer.plan(record, facts)
        return inbox.Surveyed(task_id=message.task_id, facts=facts, plan=plan)

    # -- effects -------------------------------------------------------------------------------

    async def _perform(self, effect: effects.Effect) -> None:
        host, links = self.agent.record.host, self.links
        match effect:
            case effects.Launch():
                await self._post(effect.task_id, effect.step, effect.agent_id)
            case effects.Withdraw():
                await self._broker(
                    messages.GiveBack(host=host, task_id=effect.task_id, dead=effect.dead)
                )
            case effects.Track():
                await self._broker(
                    messages.TrackTask(host=host, task_id=effect.task_id, agent_id=effect.agent_id)
                )
            case effects.Acknowledge():
                call = calls.Acknowledge(
                    agent_id=effect.agent_id, task_id=effect.task_id, uuid=effect.uuid
                )
                await links.writer.put(messages.Send(call=call))
            case effects.Kill():
                await self._broker(
                    messages.KillTask(task_id=effect.task_id, agent_id=effect.agent_id)
                )
            case effects.ReadOutput():
                self._in_background(effect)
            case effects.AskSlot():
                links.gate.offer(messages.AskSlot(host=host))
            case effects.FreeSlot():
                links.gate.offer(messages.FreeSlot(host=host))
            case effects.AskReboot():
                ask = messages.AskReboot(
                    host=host,
                    address=self.agent.record.address,
                    provides_storage=effect.provides_storage,
                    boots=effect.boots,
                )
                links.gate.offer(ask)
            case effects.FreeReboot(keep=keep):
                links.gate.offer(messages.FreeReboot(host=host, keep=keep))
            case effects.AskRestart(begun=begun):
                links.gate.offer(messages.AskRestart(host=host, begun=begun))
            case effects.FreeRestart(outcome=outcome):
                links.gate.offer(messages.FreeRestart(host=host, outcome=outcome))
            case effects.AskStorage():
                self._ask_storage(effect)
            case _:
                assert_never(effect)

    async def _broker(self, message: messages.BrokerInbox) -> None:
        """Waits for room: the broker waits for no agent. Ten thousand may begin at once."""
        await self.links.broker.put(message)

    def _unsent(self) -> TaskRef | KeeperRef | None:
        """What is wanted and not heard of: the broker knows whether it is on its way."""
        task, keeper = self.agent.record.task, self.agent.record.keeper
        if task is not None and task.state is TaskState.WANTED:
            return task
        if task is None and keeper is not None and not keeper.running:
            return keeper
        return None

    async def _repost(self) -> None:
        wanted = self._unsent()
        if wanted is not None:
            step = wanted.step if isinstance(wanted, TaskRef) else KEEPER
            await self._post(wanted.task_id, step, wanted.agent_id)

    async def _post(self, task_id: str, step: str, agent_id: str) -> None:
        record, installer = self.agent.record, self.links.installer
        try:
            job = installer.job(record, step)
        except StepFaultError as fault:
            self.mailbox.offer(inbox.NeverSent(task_id=task_id, why=str(fault)))
            return
        task = calls.Task(
            task_id=task_id,
            name=f"scaleio {step} {record.host}",
            agent_id=agent_id,
            command=job.command,
            environment=job.environment,
            user=job.user,
            labels={
                "scaleio.host": record.host,
                "scaleio.step": step,
                "scaleio.plan": "onboard",
            },
            completion_s=job.completion_s,
            health=job.health,
        )
        await self._broker(
            messages.Want(
                host=record.host,
                task=task,
                cpus_milli=job.cpus_milli,
                mem_milli=job.mem_milli,
            )
        )

    def _ask_storage(self, effect: effects.AskStorage) -> None:
        record, installer = self.agent.record, self.links.installer
        request = messages.StorageRequest(
            request=effect.request,
            spec=installer.join_spec(record),
            asked_at=trio.current_time(),
            claimed_at=record.claimed_at,
            probe_pool=installer.probe_pool(record),
            volume_id=effect.volume_id,
        )
        if not self.links.poller.offer(request):
            log.info("the Gateway's queue is full; asked again later", host=record.host)

    def _in_background(self, effect: effects.ReadOutput) -> None:
        if self._background is not None:
            self._background.start_soon(self._read_output, effect)

    async def _read_output(self, effect: effects.ReadOutput) -> None:
        record = self.agent.record
        texts = {"stdout": "", "stderr": ""}
        fault = ""
        where = {
            "agent_url": f"{self.links.agent_scheme()}://{_bracketed(record.address)}:{record.port}",
            "framework_id": self.links.framework_id(),
            "task_id": effect.task_id,
        }
        try:
            with trio.fail_after(SANDBOX_PATIENCE_S):
                for name in ("stdout", "stderr") if effect.with_stderr else ("stdout",):
                    texts[name] = await self.links.sandbox.read(**where, name=name)
        except SandboxError as error:
            fault = str(error)
        except trio.TooSlowError:
            fault = f"the agent's HTTP API did not answer in {SANDBOX_PATIENCE_S:g} s"
        output = inbox.Output(task_id=effect.task_id, fault=fault, **texts)
        if not self.mailbox.offer(output):
            log.warning("an agent's mailbox is full", host=record.host)

    # -- what is shown ---------------------------------------------------------------------------

    def _show(self, *, restored: bool = False) -> None:
        agent = self.agent
        record, task, keeper = agent.record, agent.record.task, agent.record.keeper
        self.links.board.post_agent(
            AgentSnapshot(
                host=record.host,
                agent_id=record.agent_id,
                address=record.address,
                phase=record.phase.value,
                since=record.since,
                step=task.step if task else "",
                task_id=task.task_id if task else "",
                keeper_id=keeper.task_id if keeper else "",
                keeper_healthy=keeper is not None and keeper.healthy,
                reason=record.reason,
                error=record.error,
                tail=record.tail,
                attempts=record.attempts,
                plan=tuple(_shown(step, record) for step in agent.plan.steps),
                probe=record.probe,
                claimed=record.claimed,
                claimed_at=record.claimed_at,
                reboot_wanted=record.reboot is not None,
                missing=record.missing,
                later=record.later,
                reboots_avoided=record.reboots_avoided,
                working=record.slot,
                last_contact=self.last_contact,
                devices=agent.plan.verdicts,
                layout=self.links.installer.layout(record),
                overrides=agent.plan.overrides,
                facts=record.facts,
                surveyed=record.surveyed,
                repairs=record.repairs,
                lost_at=record.lost_at,
                runs=record.runs,
                began=task.began if task else 0.0,
                held_by=record.held_by,
                removal=record.removal.stage if record.removal else "",
                restored=restored,
            )
        )


def _shown(step: PlannedStep, record: AgentRecord) -> StepSnapshot:
    state = step.state
    if record.task is not None and record.task.step == step.name:
        state = "running"
    elif step.name in record.done:
        state = "satisfied"
    return StepSnapshot(name=step.name, state=state, detail=step.sentence)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
