"""The gate: so many at once, reboots one unit at a time, and a permit only on a fresh look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.board import AgentSnapshot, Board, GatewaySnapshot, LinkSnapshot
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.messages import (
    AskPermit,
    AskReboot,
    AskRestart,
    AskSlot,
    FreeReboot,
    FreeSlot,
    GateInbox,
    PollerInbox,
    Refresh,
    RolloutOrder,
    SnapshotTaken,
    Told,
)
from actors.rollout_gate import PERMIT_PATIENCE_S, RolloutGate
from domain import inbox, records
from domain.agent import AgentRecord, Phase
from domain.inbox import AgentInbox
from domain.rollout import Limits, Rebooting
from domain.stages import RolloutRecord, Stages
from domain.storage import SdsState, StorageSnapshot
from tests.unit.actor_doubles import MemoryStore, box, chance, drained

HOSTS = ("a1", "a2", "a3")
LONG_AGO = StorageSnapshot(taken_at=-1000.0, api_version=(2, 5), system_id="s")


def address(host: str) -> str:
    return f"10.0.0.{host[1:]}"


@attrs.define
class Gatehouse:
    """`looks`: whether the poller answers a wish for a fresh look, and what it then sees."""

    gate: RolloutGate
    agents: dict[str, Mailbox[AgentInbox]]
    storage: StorageSnapshot
    looks: bool = True
    answers: list[tuple[float, int, str]] = attrs.field(factory=list)

    async def tell(self, *messages: GateInbox) -> None:
        for message in messages:
            await self.gate.mailbox.put(message)
        await wait_all_tasks_blocked()

    def heard(self, host: str) -> list[AgentInbox]:
        return drained(self.agents[host])

    def granted(self, host: str) -> str:
        """The permit, if the reboot was granted."""
        found = [one for one in self.heard(host) if isinstance(one, inbox.RebootGranted)]
        return found[0].permit if found else ""

    async def ask_reboot(self, host: str) -> str:
        await self.tell(AskReboot(host=host, address=address(host), provides_storage=True))
        return self.granted(host)

    async def ask_permit(self, permit: str) -> None:
        def answer(status: int, sentence: str) -> None:
            self.answers.append((trio.current_time(), status, sentence))

        await self.tell(AskPermit(permit=permit, answer=answer))

    async def poll(self) -> None:
        """The poller: a new snapshot for each wish."""
        while True:
            message = await self.gate.poller.receive()
            assert isinstance(message, Refresh)
            if self.looks:
                self.look()

    def look(self) -> None:
        taken = attrs.evolve(self.storage, taken_at=trio.current_time())
        self.gate.board.gateway = GatewaySnapshot(storage=taken)
        self.gate.mailbox.offer(SnapshotTaken())


def snapshot() -> StorageSnapshot:
    units = tuple(
        SdsState(id=host, name=f"sds_{host}", domain_id="d1", addresses=(address(host),), good=True)
        for host in HOSTS
    )
    return StorageSnapshot(
        taken_at=0.0, api_version=(3, 6), system_id="s", mdm_normal=True, sds=units
    )


@asynccontextmanager
async def gatehouse(
    limits: Limits | None = None, *, rebooting: dict[str, Rebooting] | None = None
) -> AsyncIterator[Gatehouse]:
    mailbox: Mailbox[GateInbox] = box("gate")
    poller: Mailbox[PollerInbox] = box("poller")
    agents: dict[str, Mailbox[AgentInbox]] = {host: box(host, 4) for host in HOSTS}
    gate = RolloutGate(
        mailbox=mailbox,
        poller=poller,
        agents=agents.get,
        board=Board(
            link=LinkSnapshot(state="subscribed"),
            gateway=GatewaySnapshot(storage=LONG_AGO),
        ),
        chance=chance(),
        limits=limits or Limits(parallel=1),
        rebooting=rebooting or {},
    )
    made = Gatehouse(gate, agents, snapshot())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.run)
        nursery.start_soon(made.poll)
        yield made
        nursery.cancel_scope.cancel()


# -- places ---------------------------------------------------------------------------------------


async def test_no_more_work_than_there_are_places(autojump_clock: MockClock) -> None:
    async with gatehouse(Limits(parallel=2)) as here:
        await here.tell(*(AskSlot(host=host) for host in HOSTS))
        assert [len(here.heard(host)) for host in HOSTS] == [1, 1, 0]
        await here.tell(FreeSlot(host="a1"))
        assert here.heard("a3") == [inbox.SlotGranted()]


async def test_who_asks_again_has_one_place_and_is_told_again(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        await here.tell(AskSlot(host="a1"))
        await here.tell(AskSlot(host="a1"))
        assert here.gate.slots == {"a1"}
        assert len(here.heard("a1")) == 2, "its answer may have been lost"
        await here.tell(AskSlot(host="a2"))
        assert here.heard("a2") == []


async def test_who_goes_to_rest_leaves_the_queue(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        await here.tell(AskSlot(host="a1"), AskSlot(host="a2"), FreeSlot(host="a2"))
        await here.tell(FreeSlot(host="a1"))
        assert here.heard("a2") == []
        assert here.gate.slots == set()


async def test_a_host_that_holds_a_reboot_goes_before_the_others(
    autojump_clock: MockClock,
) -> None:
    """They wait for it to be whole again; it must never wait for them."""
    held = Rebooting(host="a3", address=address("a3"), provides_storage=True, permit="p")
    async with gatehouse(rebooting={"a3": held}) as here:
        await here.tell(AskSlot(host="a1"))
        await here.tell(AskSlot(host="a2"))
        await here.tell(AskSlot(host="a3"))
        assert here.heard("a1") == [inbox.SlotGranted()]
        assert here.heard("a2") == []
        assert here.heard("a3") == [inbox.SlotGranted()], "beyond the limit"


async def test_a_place_is_not_taken_by_a_host_that_cannot_hear_of_it(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse() as here:
        while here.agents["a1"].offer(inbox.Tick()):
            pass
        await here.tell(AskSlot(host="a1"), AskSlot(host="a9"), AskSlot(host="a2"))
        assert here.heard("a2") == [inbox.SlotGranted()]
        assert here.gate.slots == {"a2"}


# -- reboots --------------------------------------------------------------------------------------


async def test_a_reboot_is_granted_on_a_fresh_look_with_a_permit_of_its_own(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse() as here:
        permit = await here.ask_reboot("a1")
        assert len(permit) == 32
        assert here.gate.rebooting["a1"].permit == permit
        await here.tell(FreeReboot(host="a1"))
        assert await here.ask_reboot("a2") not in {"", permit}


async def test_a_reboot_waits_while_another_unit_of_the_domain_is_down(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse(Limits(reboots=2)) as here:
        assert await here.ask_reboot("a1")
        assert await here.ask_reboot("a2") == ""
        assert "sds_a1" in here.gate.board.gate_verdicts["a2"]
        await here.tell(FreeReboot(host="a1"))
        assert here.granted("a2")
        assert "a2" not in here.gate.board.gate_verdicts


async def test_who_asks_twice_keeps_its_permit(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        permit = await here.ask_reboot("a1")
        assert await here.ask_reboot("a1") == permit


async def test_no_reboot_is_granted_without_a_look(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        here.looks = False
        assert await here.ask_reboot("a1") == ""
        await trio.sleep(60.0)
        assert here.granted("a1") == ""
        here.look()
        await wait_all_tasks_blocked()
        assert here.granted("a1")


async def test_no_reboot_is_granted_without_a_subscription(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        here.gate.board.link = LinkSnapshot(state="disconnected")
        assert await here.ask_reboot("a1") == ""


# -- permits --------------------------------------------------------------------------------------


async def test_an_armed_host_is_permitted_on_a_look_that_is_younger_than_its_question(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse() as here:
        permit = await here.ask_reboot("a1")
        await trio.sleep(5.0)
        asked_at = trio.current_time()
        await here.ask_permit(permit)
        [(at, status, _)] = here.answers
        assert (at, status) == (asked_at, 200)
        assert here.gate.board.gateway.storage is not None
        assert here.gate.board.gateway.storage.taken_at >= asked_at


async def test_an_unknown_permit_is_404(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        permit = await here.ask_reboot("a1")
        await here.ask_permit("guessed")
        await here.tell(FreeReboot(host="a1"))
        await here.ask_permit(permit)
        assert [status for _, status, _ in here.answers] == [404, 404]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mdm_normal": False, "mdm_detail": "2 of 3"}, "2 of 3"),
        ({"sds": (*snapshot().sds[:2], attrs.evolve(snapshot().sds[2], good=False))}, "sds_a3"),
    ],
)
async def test_what_went_wrong_since_the_grant_denies_the_permit_at_once(
    change: dict[str, object], words: str, autojump_clock: MockClock
) -> None:
    async with gatehouse() as here:
        permit = await here.ask_reboot("a1")
        await trio.sleep(1.0)
        here.storage = attrs.evolve(here.storage, **change)  # type: ignore[arg-type]  # drawn above
        asked_at = trio.current_time()
        await here.ask_permit(permit)
        [(at, status, sentence)] = here.answers
        assert (at, status) == (asked_at, 409)
        assert words in sentence


async def test_a_fresh_look_is_waited_for_but_not_for_long(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        permit = await here.ask_reboot("a1")
        here.looks = False
        await trio.sleep(1.0)
        await here.ask_permit(permit)
        assert here.answers == []
        await trio.sleep(3.0)
        here.look()
        await wait_all_tasks_blocked()
        assert [status for _, status, _ in here.answers] == [200]
        await trio.sleep(1.0)
        asked_at = trio.current_time()
        await here.ask_permit(permit)
        await trio.sleep(PERMIT_PATIENCE_S + 1.5)
        at, status, sentence = here.answers[-1]
        assert status == 409
        assert "too old" in sentence
        assert at - asked_at <= PERMIT_PATIENCE_S + 1.0, "the host's own patience is 30 s"


async def test_permissions_survive_a_restart_of_the_process(autojump_clock: MockClock) -> None:
    """Rebuilt from the records, before anything is granted."""
    held = Rebooting(host="a1", address=address("a1"), provides_storage=True, permit="stored")
    async with gatehouse(rebooting={"a1": held}) as here:
        assert await here.ask_reboot("a2") == ""
        await here.ask_permit("stored")
        assert [status for _, status, _ in here.answers] == [200]


async def test_a_host_that_is_back_but_not_whole_has_no_permit_to_be_guessed(
    autojump_clock: MockClock,
) -> None:
    """Its place is kept without a permit: an empty one must not open the door."""
    held = Rebooting(host="a1", address=address("a1"), provides_storage=True, permit="")
    async with gatehouse(rebooting={"a1": held}) as here:
        await here.ask_permit("")
        assert [status for _, status, _ in here.answers] == [404]


async def test_no_work_is_begun_before_the_storage_cluster_was_seen(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse() as here:
        here.gate.board.gateway = GatewaySnapshot(error="the password is refused")
        await here.tell(AskSlot(host="a1"))
        assert here.heard("a1") == []
        here.gate.board.gateway = GatewaySnapshot(storage=LONG_AGO)
        await here.tell(SnapshotTaken())
        assert here.heard("a1") == [inbox.SlotGranted()]


# -- stages and words --------------------------------------------------------------------------


STAGED = Stages(canary=1, share=0, halt=20, parallel=1, plan="p1")


class Answers:
    """What operators were told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def order(self, word: str) -> RolloutOrder:
        return RolloutOrder(word=word, answer=lambda status, text: self.told.append((status, text)))


def shown(here: Gatehouse, **phases: str) -> None:
    for host, phase in phases.items():
        here.gate.board.post_agent(
            AgentSnapshot(
                host=host,
                agent_id=host,
                address=address(host),
                phase=phase,
                since=0.0,
                attempts={"sds": 5} if phase == "failed" else {},
            )
        )


async def test_the_canary_goes_alone_and_the_others_are_told_why(autojump_clock: MockClock) -> None:
    async with gatehouse(Limits(parallel=3)) as here:
        here.gate.stages = STAGED
        shown(here, a1="installing", a2="installing", a3="installing")
        await here.tell(*(AskSlot(host=host) for host in HOSTS))
        assert [len(here.heard(host)) for host in HOSTS] == [1, 0, 0]
        assert "canary" in here.gate.board.gate_verdicts["a2"]
        assert here.gate.board.rollout.stage == "canary"
        shown(here, a1="ready")
        await here.tell(FreeSlot(host="a1"))
        assert [len(here.heard(host)) for host in HOSTS] == [0, 1, 1]
        assert here.gate.board.gate_verdicts == {}
        assert "measured on 1" in here.gate.board.rollout.estimate


async def test_a_pause_holds_places_reboots_and_permits_until_the_resume(
    autojump_clock: MockClock,
) -> None:
    said = Answers()
    async with gatehouse(Limits(parallel=3)) as here:
        permit = await here.ask_reboot("a1")
        await here.tell(said.order("pause"))
        await here.tell(AskSlot(host="a2"))
        assert here.heard("a2") == []
        assert "paused" in here.gate.board.gate_verdicts["a2"]
        assert await here.ask_reboot("a3") == ""
        await here.ask_permit(permit)
        assert (here.answers[0][1], "paused" in here.answers[0][2]) == (409, True)
        await here.tell(said.order("resume"))
        assert inbox.SlotGranted() in here.heard("a2")
        assert [status for status, _ in said.told] == [202, 202]


async def test_an_abort_reaches_every_agent_and_a_resume_takes_them_up(
    autojump_clock: MockClock,
) -> None:
    said = Answers()
    async with gatehouse() as here:
        shown(here, a1="installing", a2="ready")
        await here.tell(said.order("abort"))
        assert here.heard("a1") == here.heard("a2") == [inbox.Command(name="abort")]
        await here.tell(said.order("resume"))
        assert here.heard("a1") == [inbox.Command(name="take-up")]


async def test_a_word_is_stored_before_it_is_answered(autojump_clock: MockClock) -> None:
    said, store = Answers(), MemoryStore()
    async with gatehouse() as here, trio.open_nursery() as nursery:
        journal = Journal(store=store, mailbox=box("journal"), chance=chance().rng)
        here.gate.journal = journal
        await here.tell(said.order("pause"))
        assert said.told == [], "the journal does not run yet"
        nursery.start_soon(journal.run)
        await wait_all_tasks_blocked()
        assert [status for status, _ in said.told] == [202]
        stored = store.records[records.ROLLOUT_KEY]
        assert records.decode(stored, RolloutRecord, key="rollout").paused == "pause"
        nursery.cancel_scope.cancel()


async def test_what_the_store_kept_of_the_rollout_goes_on(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        here.gate.stages = STAGED
        here.gate.restore_word(RolloutRecord(plan="p1", paused="pause"))
        await here.tell(AskSlot(host="a1"))
        assert here.heard("a1") == []
        assert here.gate.board.rollout.state == "paused"


async def test_a_failed_canary_halts_until_the_operator_resumes(autojump_clock: MockClock) -> None:
    said = Answers()
    async with gatehouse(Limits(parallel=3)) as here:
        here.gate.stages = STAGED
        shown(here, a1="failed", a2="installing", a3="installing")
        await here.tell(AskSlot(host="a2"))
        assert here.heard("a2") == []
        assert here.gate.board.rollout.state == "halted"
        await here.tell(said.order("resume"))
        assert inbox.SlotGranted() in here.heard("a2")
        assert here.gate.word.forgiven == ("a1",)


async def test_an_mdms_mesos_agent_waits_while_the_mdm_cluster_is_not_normal(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse(Limits(parallel=3)) as here:
        here.storage = attrs.evolve(
            here.storage, member_addresses=(address("a1"),), mdm_normal=False, mdm_detail="2 of 3"
        )
        shown(here, a1="installing", a2="installing")
        here.look()
        await here.tell(AskRestart(host="a1"))
        assert here.heard("a1") == []
        assert "2 of 3" in here.gate.board.gate_verdicts["a1"]
        here.storage = attrs.evolve(here.storage, mdm_normal=True)
        here.look()
        await wait_all_tasks_blocked()
        assert here.heard("a1") == [inbox.RestartGranted()]


async def test_mesos_is_told_before_the_host_is_let_go(autojump_clock: MockClock) -> None:
    async with gatehouse() as here:
        here.gate.herald = box("herald")
        shown(here, a1="rebooting")
        permit = await here.ask_reboot("a1")
        await here.ask_permit(permit)
        assert here.answers == []
        assert [one.host for one in drained(here.gate.herald)] == ["a1"]
        await here.tell(Told(permit=permit, refusal="the master answered 403"))
        assert [status for _, status, _ in here.answers] == [200], "with or without Mesos"


async def test_a_master_that_does_not_answer_in_time_denies_the_permit(
    autojump_clock: MockClock,
) -> None:
    async with gatehouse() as here:
        here.gate.herald = box("herald")
        shown(here, a1="rebooting")
        await here.ask_permit(await here.ask_reboot("a1"))
        await trio.sleep(PERMIT_PATIENCE_S + 2.0)
        ((_, status, sentence),) = here.answers
        assert (status, "Mesos" in sentence) == (409, True)


async def test_an_agent_that_has_decided_nothing_yet_has_not_passed_a_stage(
    autojump_clock: MockClock,
) -> None:
    """With another catalog it may have something to do: it says so in a moment."""
    async with gatehouse(Limits(parallel=3)) as here:
        here.gate.stages = STAGED
        here.gate.restore(AgentRecord(host="a1", agent_id="a1", phase=Phase.READY))
        shown(here, a1="ready", a2="installing", a3="installing")
        here.gate.board.post_agent(attrs.evolve(here.gate.board.agents["a1"], restored=True))
        await here.tell(AskSlot(host="a2"), AskSlot(host="a3"))
        assert here.gate.board.rollout.stage == "canary"
        assert [len(here.heard(host)) for host in ("a2", "a3")] == [1, 0]
