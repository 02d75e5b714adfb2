"""The gate: so many at once, reboots one unit at a time, and a permit only on a fresh look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.board import Board, GatewaySnapshot, LinkSnapshot
from actors.mailbox import Mailbox
from actors.messages import (
    AskPermit,
    AskReboot,
    AskSlot,
    FreeReboot,
    FreeSlot,
    GateInbox,
    PollerInbox,
    Refresh,
    SnapshotTaken,
)
from actors.rollout_gate import PERMIT_PATIENCE_S, RolloutGate
from domain import inbox
from domain.inbox import AgentInbox
from domain.rollout import Limits, Rebooting
from domain.storage import SdsState, StorageSnapshot
from tests.unit.actor_doubles import box, chance, drained

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
        await here.tell(AskSlot(host="a1"), AskSlot(host="a2"), AskSlot(host="a3"))
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
