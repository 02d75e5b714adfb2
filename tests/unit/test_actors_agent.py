"""An agent's actor: what it decides is stored before it is done, and silence is not waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import messages
from actors.agent import REPOST_S, SANDBOX_PATIENCE_S, AgentActor, Links
from actors.board import Board
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.messages import JournalInbox
from actors.ports import SandboxError, StoreError
from actors.supervision import supervise
from domain import inbox, records
from domain.agent import AgentRecord, Phase
from domain.draft import Agent
from domain.facts import Facts
from domain.inbox import AgentInbox
from domain.job import Job, StepFaultError
from domain.joining import JoinSpec
from domain.layout import Layout
from domain.plan import Plan, PlannedStep
from domain.rules import Rules
from domain.stages import Stages
from protocol.mesos import calls
from tests.unit.actor_doubles import MemoryStore, box, chance, drained, rng

HOST = "a1"
SECRET = "hunter2"


@attrs.define
class Script:
    """The steps of a small plan, and the sandbox they write to."""

    steps: tuple[str, ...] = ("sds",)
    missing: str = ""
    readable: bool = True
    answers_in_s: float = 0.1
    stdout: str = "survey"
    stderr: str = ""
    asked_for: list[str] = attrs.field(factory=list)
    planned_with: list[AgentRecord] = attrs.field(factory=list)

    async def read(self, *, agent_url: str, framework_id: str, task_id: str, name: str) -> str:
        self.asked_for.append(f"{agent_url} {framework_id} {task_id.split('.')[1]} {name}")
        await trio.sleep(self.answers_in_s)
        if not self.readable:
            raise SandboxError(f"{agent_url}/files/read answered 403")
        return self.stderr if name == "stderr" else self.stdout

    def parse(self, stdout: str) -> Facts:
        if stdout != "survey":
            raise StepFaultError(f"no survey: {stdout!r}")
        return Facts(machine_id="m1", boot_id="b1", os_id="debian", os_version="12", kernel="6.1")

    def plan(self, record: AgentRecord, facts: Facts) -> Plan:
        self.planned_with.append(record)
        why = f"missing on {record.host} with {facts.kernel}"
        return Plan(
            steps=tuple(PlannedStep(name=name, state="wanted", sentence=why) for name in self.steps)
        )

    def stages(self) -> Stages:
        return Stages()

    def layout(self, record: AgentRecord) -> Layout:
        return Layout(fault_set=f"rack of {record.host}")

    def job(self, record: AgentRecord, step: str) -> Job:
        if self.missing:
            raise StepFaultError(self.missing)
        return Job(
            user="root",
            command=f"{step} on {record.host}",
            environment={},
            cpus_milli=100,
            mem_milli=64_000,
            completion_s=600.0,
        )

    def join_spec(self, record: AgentRecord) -> JoinSpec:
        return JoinSpec(host=record.host, address=record.address, domain="")

    def probe_pool(self, record: AgentRecord) -> str:
        return f"pool of {record.host}"


@attrs.define
class Stage:
    actor: AgentActor
    store: MemoryStore
    script: Script

    @property
    def links(self) -> Links:
        return self.actor.links

    async def tell(self, *told: AgentInbox) -> None:
        for message in told:
            await self.actor.mailbox.put(message)
        await wait_all_tasks_blocked()

    async def sighted(self) -> None:
        await self.tell(inbox.Sighted(agent_id="S1", address="10.0.0.1", port=5051, attributes={}))

    def wants(self) -> list[messages.Want]:
        return [one for one in drained(self.links.broker) if isinstance(one, messages.Want)]

    def record(self) -> AgentRecord:
        """As stored."""
        key = records.agent_key(HOST)
        return records.decode(self.store.records[key], AgentRecord, key=key)

    async def status(self, state: str, *, uuid: str = "u", message: str = "") -> None:
        task = self.actor.agent.record.task
        assert task is not None
        terminal = state in {"TASK_FINISHED", "TASK_FAILED"}
        await self.tell(
            inbox.Status(
                task_id=task.task_id,
                agent_id="S1",
                state=state,
                terminal=terminal,
                uuid=uuid,
                message=message,
            )
        )

    def acks(self) -> list[str]:
        sent = [one.call for one in drained(self.links.writer)]
        return [call.uuid for call in sent if isinstance(call, calls.Acknowledge)]

    async def ends(self, code: int) -> None:
        state = "TASK_FAILED" if code else "TASK_FINISHED"
        await self.status(state, message=f"Command exited with status {code}")
        await trio.sleep(SANDBOX_PATIENCE_S + 1.0)


@asynccontextmanager
async def stage(
    script: Script | None = None,
    store: MemoryStore | None = None,
    agent: Agent | None = None,
    stored: AgentRecord | None = None,
) -> AsyncIterator[Stage]:
    store, script = store or MemoryStore(), script or Script()
    journal_box: Mailbox[JournalInbox] = box("journal", 1024)
    journal = Journal(store=store, mailbox=journal_box, chance=rng())
    mailbox: Mailbox[AgentInbox] = box(HOST)
    links = Links(
        journal=journal,
        broker=box("broker", 100),
        writer=box("writer", 100),
        gate=box("gate", 100),
        poller=box("poller", 100),
        board=Board(),
        sandbox=script,
        installer=script,
        chance=chance(),
        rules=Rules(attempts_max=2),
        framework_id=lambda: "F",
        agent_scheme=lambda: "http",
        redact=lambda text: text.replace(SECRET, "***"),
    )
    begun = agent or Agent(record=AgentRecord(host=HOST, agent_id=""))
    actor = AgentActor(mailbox=mailbox, links=links, agent=begun, stored=stored)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, journal_box.vitals, journal.run)
        nursery.start_soon(supervise, mailbox.vitals, actor.run)
        await wait_all_tasks_blocked()
        yield Stage(actor, store, script)
        nursery.cancel_scope.cancel()


async def test_a_task_is_stored_before_it_is_wanted(autojump_clock: MockClock) -> None:
    async with stage(store=MemoryStore(write_s=5.0)) as here:
        await trio.sleep(6.0)
        await here.sighted()
        assert here.wants() == []
        await trio.sleep(6.0)
        [want] = here.wants()
        stored = here.record().task
        assert stored is not None
        assert stored.task_id == want.task.task_id
        assert want.task.labels == {
            "scaleio.host": HOST,
            "scaleio.step": "survey",
            "scaleio.plan": "onboard",
        }


async def test_while_the_store_is_away_nothing_is_launched_and_nothing_acknowledged(
    autojump_clock: MockClock,
) -> None:
    async with stage() as here:
        await here.sighted()
        assert len(here.wants()) == 1
        here.store.faults = [StoreError("disk full") for _ in range(1000)]
        await here.status("TASK_RUNNING")
        await trio.sleep(300.0)
        assert here.acks() == []
        here.store.faults.clear()
        await trio.sleep(60.0)
        assert here.acks() == ["u"]


async def test_what_is_shown_is_what_is_stored(autojump_clock: MockClock) -> None:
    async with stage() as here:
        await here.sighted()
        shown, stored = here.links.board.agents[HOST], here.record()
        assert stored.task is not None
        assert (shown.phase, shown.task_id) == (stored.phase.value, stored.task.task_id)
        assert (shown.agent_id, shown.step) == ("S1", "survey")


async def test_a_restored_agent_is_shown_while_the_store_is_slow(
    autojump_clock: MockClock,
) -> None:
    record = AgentRecord(host=HOST, agent_id="S1", phase=Phase.SURVEYING, since=5.0)
    slow = MemoryStore(write_s=30.0)
    async with stage(store=slow, agent=Agent(record=record), stored=record) as here:
        shown = here.links.board.agents[HOST]
        assert (shown.phase, shown.since, shown.restored) == ("surveying", 5.0, True)
        await trio.sleep(31.0)
        assert not here.links.board.agents[HOST].restored


async def test_a_want_is_posted_again_until_it_is_heard_of(autojump_clock: MockClock) -> None:
    async with stage() as here:
        await here.sighted()
        first = here.wants()
        await trio.sleep(REPOST_S * 2 + 1.0)
        assert here.wants() == first * 2
        await here.status("TASK_RUNNING")
        await trio.sleep(REPOST_S * 5)
        assert here.wants() == []


async def test_a_step_that_lacks_something_is_not_sent_and_says_what(
    autojump_clock: MockClock,
) -> None:
    async with stage(Script(missing="no password: set -scaleio.password-file")) as here:
        await here.sighted()
        assert here.wants() == []
        assert here.record().reason == "no password: set -scaleio.password-file"
        here.script.missing = ""
        await trio.sleep(60.0)
        assert len(here.wants()) == 1


async def test_a_survey_becomes_facts_and_a_plan(autojump_clock: MockClock) -> None:
    async with stage() as here:
        await here.sighted()
        await here.ends(0)
        facts = here.record().facts
        assert facts is not None
        assert facts.machine_id == "m1"
        assert [step.name for step in here.links.board.agents[HOST].plan] == ["sds"]
        assert here.script.asked_for == ["http://10.0.0.1:5051 F survey stdout"]
        assert messages.AskSlot(host=HOST) in drained(here.links.gate)


async def test_a_survey_judges_claimed_disks_that_are_in_no_pool_anew(
    autojump_clock: MockClock,
) -> None:
    async with stage() as here:
        await here.sighted()
        record = attrs.evolve(here.actor.agent.record, claimed={"/dev/disk/by-id/d": "p"})
        here.actor.agent = attrs.evolve(here.actor.agent, record=record)
        await here.ends(0)
        assert here.script.planned_with[-1].claimed == {}
        assert here.record().claimed == {}


async def test_a_join_says_when_it_was_asked_and_of_which_claim_and_the_claim_is_shown(
    autojump_clock: MockClock,
) -> None:
    async with stage() as here:
        await here.sighted()
        await trio.sleep(5.0)
        claimed, now = {"/dev/disk/by-id/d": "p"}, here.links.chance.wall()
        record = attrs.evolve(
            here.actor.agent.record,
            phase=Phase.JOINING,
            task=None,
            slot=True,
            surveyed=now,
            claimed=claimed,
            claimed_at=now - 1.0,
        )
        here.actor.agent = attrs.evolve(here.actor.agent, record=record)
        await here.tell(inbox.Tick())
        asked = here.links.poller.receive_now()
        assert isinstance(asked, messages.StorageRequest)
        assert asked.asked_at == trio.current_time()
        shown = here.links.board.agents[HOST]
        assert (
            (shown.claimed, shown.claimed_at) == (claimed, asked.claimed_at) == (claimed, now - 1)
        )


async def test_a_survey_that_fails_is_told_in_its_own_words(autojump_clock: MockClock) -> None:
    stderr = "13:44:35 subscribed\nsurvey: process 1 is no init system\n13:44:36 done\n"
    async with stage(Script(stderr=stderr)) as here:
        await here.sighted()
        await here.ends(78)
        assert "cannot be surveyed: process 1 is no init system;" in here.record().error


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Script(readable=False), "answered 403"),
        (Script(stdout="garbage"), "no survey: 'garbage'"),
        (Script(answers_in_s=10_000.0), "did not answer in 30 s"),
    ],
)
async def test_a_survey_that_cannot_be_read_says_why(
    script: Script, words: str, autojump_clock: MockClock
) -> None:
    async with stage(script) as here:
        await here.sighted()
        await here.ends(0)
        assert words in here.record().error


async def test_no_secret_of_an_output_is_stored_or_shown(autojump_clock: MockClock) -> None:
    script = Script(stderr=f"login with {SECRET} failed\n")
    async with stage(script) as here:
        await here.sighted()
        await here.ends(0)
        await here.tell(inbox.SlotGranted())
        await here.ends(1)
        assert "login with *** failed" in here.record().tail
        assert all(SECRET.encode() not in value for value in here.store.records.values())
        assert SECRET not in repr(here.links.board.agents)


async def test_a_crash_goes_on_from_what_is_stored(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = [RuntimeError("a bug")]

    def job(self: Script, record: AgentRecord, step: str) -> Job:
        if crashes:
            raise crashes.pop()
        return real(self, record, step)

    real = Script.job
    monkeypatch.setattr(Script, "job", job)
    async with stage() as here:
        await here.sighted()
        assert here.actor.mailbox.vitals.restarts == 1
        stored = here.record().task
        await trio.sleep(REPOST_S + 5.0)
        [want] = here.wants()
        assert stored is not None
        assert want.task.task_id == stored.task_id, "the same task, not a second one"


async def test_a_restored_agent_asks_about_its_task_and_knows_its_plan(
    autojump_clock: MockClock,
) -> None:
    async with stage() as first:
        await first.sighted()
        await first.ends(0)
        await first.tell(inbox.SlotGranted())
        await first.status("TASK_RUNNING")
        record = first.record()
    assert (record.phase, record.slot) == (Phase.INSTALLING, True)
    async with stage(agent=Agent(record=record)) as here:
        [track] = drained(here.links.broker)
        assert isinstance(track, messages.TrackTask)
        assert record.task is not None
        assert track.task_id == record.task.task_id
        assert [step.name for step in here.links.board.agents[HOST].plan] == ["sds"]
