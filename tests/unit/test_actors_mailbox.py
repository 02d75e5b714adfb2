"""Mailboxes are bounded and show themselves; a crash costs one message, never the queue."""

from __future__ import annotations

import itertools

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.board import REPR_CHARACTERS_MAX
from actors.mailbox import RECENT_KEPT, Mailbox, Vitals
from actors.ports import StoreConflictError
from actors.supervision import CRASHES_MAX, ActorGaveUpError, EndOfServiceError, supervise
from tests.unit.actor_doubles import box, drained

# -- mailboxes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 1_000_000])
def test_a_mailbox_without_a_bound_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        Mailbox[str](Vitals(name="a", kind="a"), size)


async def test_a_full_mailbox_refuses_and_keeps_what_it_has() -> None:
    mailbox: Mailbox[int] = box("a", 2)
    assert [mailbox.offer(number) for number in range(3)] == [True, True, False]
    assert drained(mailbox) == [0, 1]
    await mailbox.put(3)
    assert mailbox.depth == 1


async def test_depth_and_peak_tell_the_most_that_ever_waited() -> None:
    mailbox: Mailbox[int] = box("a", 5)
    for number in range(4):
        mailbox.offer(number)
    await mailbox.receive()
    await mailbox.receive()
    mailbox.offer(9)
    shown = mailbox.snapshot()
    assert (shown.mailbox_depth, shown.mailbox_peak, shown.mailbox_size) == (3, 4, 5)


async def test_who_may_wait_waits_for_room(autojump_clock: MockClock) -> None:
    mailbox: Mailbox[int] = box("a", 1)
    mailbox.offer(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.put, 2)
        await wait_all_tasks_blocked()
        assert mailbox.depth == 1
        assert await mailbox.receive() == 1
    assert await mailbox.receive() == 2


async def test_a_mailbox_shows_what_its_actor_does(autojump_clock: MockClock) -> None:
    mailbox: Mailbox[str] = box("a")
    shown = mailbox.snapshot()
    assert (shown.handled, shown.last_message, shown.last_message_age_s) == (0, "", None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        assert mailbox.snapshot().waiting_for == "a message"
        mailbox.offer("x" * 2 * REPR_CHARACTERS_MAX)
    await trio.sleep(5.0)
    shown = mailbox.snapshot()
    assert (shown.handled, shown.last_message, shown.waiting_for) == (1, "str", "")
    assert shown.last_message_age_s == pytest.approx(5.0)
    assert len(shown.recent[0].text) == REPR_CHARACTERS_MAX


async def test_only_the_last_messages_are_remembered() -> None:
    mailbox: Mailbox[int] = box("a", 100)
    for number in range(RECENT_KEPT + 5):
        await mailbox.put(number)
    drained(mailbox)
    recent = mailbox.snapshot().recent
    assert [one.text for one in recent] == [str(n) for n in range(5, RECENT_KEPT + 5)]


# -- supervision ----------------------------------------------------------------------------------


async def test_a_crash_costs_the_message_in_hand_and_not_the_queue(
    autojump_clock: MockClock,
) -> None:
    mailbox: Mailbox[int] = box("a")
    handled: list[int] = []

    async def run() -> None:
        while len(handled) < 3:
            message = await mailbox.receive()
            if message == 2:
                raise RuntimeError("no twos")
            handled.append(message)

    for number in (1, 2, 3, 4):
        mailbox.offer(number)
    await supervise(mailbox.vitals, run)
    assert handled == [1, 3, 4]
    assert mailbox.vitals.restarts == 1
    assert mailbox.vitals.last_error.startswith("RuntimeError: no twos at run:")
    assert mailbox.vitals.phase == "stopped"


async def test_pauses_between_crashes_grow(autojump_clock: MockClock) -> None:
    began: list[float] = []

    async def run() -> None:
        began.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise RuntimeError

    with pytest.raises(ActorGaveUpError, match="a keeps crashing"):
        await supervise(Vitals(name="a", kind="a"), run)
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert pauses == pytest.approx([2.0, 4.0, 8.0, 16.0, 32.0])
    assert len(began) == CRASHES_MAX + 1


async def test_an_agent_that_keeps_crashing_is_quarantined_and_shown(
    autojump_clock: MockClock,
) -> None:
    vitals = Vitals(name="agent/a1", kind="agent")

    async def run() -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("again")

    await supervise(vitals, run, quarantine=True)
    assert vitals.phase == "quarantined"
    assert "again" in vitals.last_error


async def test_crashes_that_lie_far_apart_are_forgiven(autojump_clock: MockClock) -> None:
    vitals = Vitals(name="a", kind="a")

    async def run() -> None:
        await trio.sleep(150.0)
        if vitals.restarts < 4 * CRASHES_MAX:
            raise RuntimeError

    await supervise(vitals, run)
    assert vitals.restarts == 4 * CRASHES_MAX


@pytest.mark.parametrize(
    "end", [EndOfServiceError("superseded", 4), StoreConflictError("somebody else wrote")]
)
async def test_an_end_of_service_is_no_crash(end: Exception) -> None:
    vitals = Vitals(name="a", kind="a")
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        await trio.lowlevel.checkpoint()
        raise end

    with pytest.raises(type(end)):
        await supervise(vitals, run)
    assert (runs, vitals.restarts, vitals.phase) == (1, 0, "stopped")


async def test_cancelling_is_no_crash_either(autojump_clock: MockClock) -> None:
    vitals = Vitals(name="a", kind="a")
    with trio.move_on_after(1.0):
        await supervise(vitals, trio.sleep_forever)
    assert vitals.restarts == 0
