"""The journal: nothing is confirmed before it is durable, and one write serves many."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.journal import BATCH_MAX, Journal
from actors.mailbox import Mailbox
from actors.messages import JournalInbox
from actors.ports import StoreConflictError, StoreError
from actors.supervision import supervise
from tests.unit.actor_doubles import MemoryStore, box, rng


def make(store: MemoryStore, size: int = 1024) -> Journal:
    mailbox: Mailbox[JournalInbox] = box("journal", size)
    return Journal(store=store, mailbox=mailbox, chance=rng())


async def saved(journal: Journal, key: str) -> None:
    """In virtual time: a save that is never confirmed fails, and does not hang."""
    with trio.fail_after(10_000.0):
        await journal.save({key: b"1"})


async def test_a_save_returns_when_its_record_is_durable(autojump_clock: MockClock) -> None:
    store = MemoryStore(write_s=3.0)
    journal = make(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        with trio.move_on_after(2.9) as soon:
            await saved(journal, "a")
        assert soon.cancelled_caught, "not before"
        await saved(journal, "b")
        assert store.records == {"a": b"1", "b": b"1"}
        nursery.cancel_scope.cancel()


async def test_what_waits_is_written_together_and_in_order(autojump_clock: MockClock) -> None:
    store = MemoryStore(write_s=1.0)
    journal = make(store)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as savers:
            savers.cancel_scope.deadline = 10_000.0
            savers.start_soon(journal.save, {"first": b"0"})
            await wait_all_tasks_blocked()
            nursery.start_soon(journal.run)
            await trio.sleep(0.5)
            for number in range(10):
                savers.start_soon(journal.save, {"same": b"%d" % number, f"k{number}": b"x"})
                await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert len(store.batches) == 2
    assert store.records["same"] == b"9", "the last word wins"
    assert len(store.records) == 12


async def test_a_batch_is_bounded(autojump_clock: MockClock) -> None:
    store = MemoryStore(write_s=1.0)
    journal = make(store)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as savers:
            savers.cancel_scope.deadline = 10_000.0
            for number in range(BATCH_MAX * 2 + 1):
                savers.start_soon(journal.save, {f"k{number}": b"x"})
            await wait_all_tasks_blocked()
            nursery.start_soon(journal.run)
        nursery.cancel_scope.cancel()
    assert [len(batch) for batch in store.batches] == [BATCH_MAX, BATCH_MAX, 1]


async def test_while_the_store_is_away_nothing_is_confirmed_and_nothing_lost(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore(faults=[StoreError("disk full") for _ in range(8)])
    journal = make(store)
    confirmed = trio.Event()

    async def save() -> None:
        await saved(journal, "a")
        confirmed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        nursery.start_soon(save)
        await trio.sleep(10.0)
        assert not confirmed.is_set()
        assert journal.fault == "disk full"
        with trio.fail_after(300.0):
            await confirmed.wait()
        assert store.records == {"a": b"1"}
        assert journal.fault == ""
        nursery.cancel_scope.cancel()


async def test_pauses_between_tries_grow_to_half_a_minute_at_most(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore(faults=[StoreError("away") for _ in range(60)])
    journal = make(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        with trio.fail_after(60 * 30.0 + 1.0):
            await journal.save({"a": b"1"})
        assert trio.current_time() > 50 * 15.0
        nursery.cancel_scope.cancel()


async def test_somebody_else_s_write_ends_us_and_is_not_retried(autojump_clock: MockClock) -> None:
    store = MemoryStore(faults=[StoreConflictError("the lock is lost")])
    journal = make(store)
    with pytest.RaisesGroup(StoreConflictError), trio.fail_after(10_000.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, journal.mailbox.vitals, journal.run)
            nursery.start_soon(saved, journal, "a")
    assert store.batches == []


async def test_a_crash_of_the_journal_loses_no_record(autojump_clock: MockClock) -> None:
    store = MemoryStore(faults=[RuntimeError("a bug")])
    journal = make(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, journal.mailbox.vitals, journal.run)
        await saved(journal, "a")
        assert journal.mailbox.vitals.restarts == 1
        nursery.cancel_scope.cancel()
    assert store.records == {"a": b"1"}
