"""The notifier: each receiver for itself, in its own time, and what it was told is stored."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import attrs
import trio
from trio.testing import MockClock

from actors.board import Board, Condition, GatewaySnapshot, NoticeSnapshot
from actors.journal import Journal
from actors.mailbox import Mailbox
from actors.messages import HealthInbox, JournalInbox, Look
from actors.notifier import STORE_PATIENCE_S, NoReceivers, Notifier
from actors.ports import NoticeAnswer, Notices, NoticeUnreachableError, StoreError
from domain import notices, records
from domain.notices import ALERTMANAGER, WEBHOOK, Framework, Message, Policy, Receiver
from domain.storage import StorageSnapshot
from domain.told import NoticesRecord
from tests.unit.actor_doubles import MemoryStore, box, chance, drained, rng

FIRST = Receiver(digest="d1", kind=WEBHOOK, shown="https://first.example")
OTHER = Receiver(digest="d2", kind=WEBHOOK, shown="https://other.example")
ALERTS = Receiver(digest="d3", kind=ALERTMANAGER, shown="http://alerts.example:9093")
STORAGE = StorageSnapshot(taken_at=0.0, api_version=(3, 6), system_id="s", mdm_normal=True)
SECRET = "pass-word-of-tests"
WAIT_S = 10.0

Reply = NoticeAnswer | NoticeUnreachableError
OK = NoticeAnswer(status=200)
DOWN = NoticeUnreachableError("no connection", sent=False)


@attrs.define
class FakeNotices:
    """Answers as told, 200 by default; `hangs` never answer before their own timeout."""

    receivers: tuple[Receiver, ...] = (FIRST,)
    replies: dict[str, list[Reply]] = attrs.field(factory=dict)
    always: dict[str, Reply] = attrs.field(factory=dict)
    takes_s: float = 0.0
    tried: list[tuple[float, str, Message]] = attrs.field(factory=list)
    heard: dict[str, list[Message]] = attrs.field(factory=dict)

    async def deliver(
        self, receiver: Receiver, message: Message, framework: Framework
    ) -> NoticeAnswer:
        assert framework.role == "scaleio"
        self.tried.append((trio.current_time(), receiver.digest, message))
        await trio.sleep(self.takes_s)
        queue = self.replies.get(receiver.digest)
        reply = queue.pop(0) if queue else self.always.get(receiver.digest, OK)
        if isinstance(reply, NoticeUnreachableError):
            raise reply
        if 200 <= reply.status < 300:
            self.heard.setdefault(receiver.digest, []).append(message)
        return reply

    def times(self, digest: str = "d1") -> list[float]:
        return [at for at, who, _ in self.tried if who == digest]

    def told(self, digest: str = "d1") -> list[list[tuple[str, str]]]:
        """Message by message: (state, name)."""
        return [
            [(change.state, change.name) for change in message.changes]
            for message in self.heard.get(digest, [])
        ]


@attrs.define
class Post:
    notifier: Notifier
    port: FakeNotices
    store: MemoryStore
    health: Mailbox[HealthInbox]

    @property
    def board(self) -> Board:
        return self.notifier.board

    def holds(self, *conditions: Condition) -> None:
        self.board.conditions = conditions
        self.board.touch()

    def stored(self) -> NoticesRecord:
        raw = self.store.records[records.NOTICES_KEY]
        return records.decode(raw, NoticesRecord, key=records.NOTICES_KEY)

    def shown(self, receiver: Receiver = FIRST) -> NoticeSnapshot:
        return {one.receiver: one for one in self.board.notices}[receiver.shown]


def condition(name: str = "agent-lost", severity: str = "warning", **more: str) -> Condition:
    return Condition(
        name=name,
        severity=severity,
        subject=more.get("subject", ""),
        text=more.get("text", "it is so"),
        since=trio.current_time(),
        cure=more.get("cure", ""),
    )


@asynccontextmanager
async def post(
    port: Notices | None = None,
    *,
    stored: NoticesRecord | None = None,
    store: MemoryStore | None = None,
    policy: Policy | None = None,
) -> AsyncIterator[Post]:
    port, store = port or FakeNotices(), store or MemoryStore()
    mailbox: Mailbox[Message] = box("notifier", 1)
    health: Mailbox[HealthInbox] = box("health", 4)
    journal_box: Mailbox[JournalInbox] = box("journal")
    journal = Journal(store=store, mailbox=journal_box, chance=rng())
    notifier = Notifier(
        mailbox=mailbox,
        port=port,
        health=health,
        board=Board(),
        journal=journal,
        chance=chance(),
        policy=policy or Policy(group_wait_s=WAIT_S),
        framework=lambda: Framework(name="ScaleIO Framework", role="scaleio"),
        redact=lambda text: text.replace(SECRET, "***"),
        stored=stored or NoticesRecord(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        nursery.start_soon(notifier.run)
        await trio.testing.wait_all_tasks_blocked()
        fake = port if isinstance(port, FakeNotices) else FakeNotices(receivers=())
        yield Post(notifier, fake, store, health)
        nursery.cancel_scope.cancel()


async def until(true: Callable[[], object], *, within_s: float = 3600.0) -> None:
    with trio.fail_after(within_s):
        while not true():  # noqa: ASYNC110 - virtual time, and any view of the whole
            await trio.sleep(0.5)


async def test_what_arises_together_is_one_message_and_its_end_another(
    autojump_clock: MockClock,
) -> None:
    async with post() as here:
        lost, full = condition(), condition("capacity-high")
        here.holds(lost)
        await trio.sleep(WAIT_S / 2)
        here.holds(lost, full)
        await trio.sleep(WAIT_S)
        assert here.port.told() == [[("firing", "agent-lost"), ("firing", "capacity-high")]]
        here.holds(full)
        await trio.sleep(WAIT_S + 1.0)
        assert here.port.told()[1:] == [[("resolved", "agent-lost")]]


async def test_a_message_says_what_to_do_and_holds_no_secret(autojump_clock: MockClock) -> None:
    async with post() as here:
        told = condition(text=f"refused {SECRET}", cure=f"not {SECRET}", subject="a1")
        here.holds(attrs.evolve(told, objects=("vol1", SECRET)))
        since = notices_unix(trio.current_time())
        await trio.sleep(WAIT_S + 1.0)
        [message] = here.port.heard["d1"]
        [change] = message.changes
        assert (change.text, change.cure) == ("refused ***", "not ***")
        assert change.objects == ("vol1", "***")
        assert math.isclose(change.since, since, abs_tol=0.01)
        assert SECRET.encode() not in here.store.records[records.NOTICES_KEY]


async def test_words_that_are_no_utf_8_are_told_all_the_same(autojump_clock: MockClock) -> None:
    async with post() as here:
        here.holds(condition(text="disk \udcff"))
        await trio.sleep(WAIT_S + 1.0)
        assert here.port.heard["d1"][0].changes[0].text == "disk ?"


def notices_unix(moment: float) -> float:
    return 1e9 + moment


async def test_with_no_receivers_nothing_is_done_and_nobody_is_woken(
    autojump_clock: MockClock,
) -> None:
    async with post(NoReceivers()) as here:
        revision = here.board.revision
        here.board.conditions = (condition(),)
        await trio.sleep(86400.0)
        assert here.board.revision == revision
        assert here.board.notices == ()
        assert here.store.batches == []
        assert here.notifier.mailbox.vitals.waiting_for.startswith("nothing")


async def test_while_nothing_changes_nothing_is_due(mock_clock: MockClock) -> None:
    """No tick: the only thing that can wake it is the board."""
    async with post(policy=Policy(group_wait_s=WAIT_S, repeat_s=0.0)) as here:
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        here.holds(condition(severity="critical"))
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline <= WAIT_S
        mock_clock.jump(WAIT_S + 1.0)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(0.5)  # the store's write is a sleep of nothing
        await trio.testing.wait_all_tasks_blocked()
        assert here.port.told() == [[("firing", "agent-lost")]]
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf


async def test_one_receiver_that_is_away_delays_no_other(autojump_clock: MockClock) -> None:
    port = FakeNotices(receivers=(FIRST, OTHER), always={"d1": DOWN})
    async with post(port) as here:
        here.holds(condition())
        await until(lambda: port.told("d2"), within_s=WAIT_S + 2.0)
        assert port.told("d1") == []
        assert here.shown().state == "retrying"
        assert here.shown().last_error == "no connection"
        assert here.shown(OTHER).state == "waiting"
        assert "first.example: no connection" in here.notifier.mailbox.vitals.waiting_for


async def test_tries_come_further_and_further_apart_and_recovery_is_one_message(
    autojump_clock: MockClock,
) -> None:
    port = FakeNotices(always={"d1": DOWN})
    async with post(port) as here:
        gone, stays = condition("agent-failed"), condition()
        here.holds(gone, stays)
        await trio.sleep(3600.0)
        pauses = [after - before for before, after in pairwise(port.times())]
        assert min(pauses) >= notices.RETRY_FIRST_S
        assert max(pauses) <= notices.RETRY_CEILING_S + 1.0
        assert pauses[-1] >= notices.RETRY_CEILING_S / 2
        assert here.shown().failed == len(port.tried)
        came_later = condition("step-failing", severity="critical")
        here.holds(stays, came_later)
        await trio.sleep(600.0)
        port.always.clear()
        await until(port.told)
        await trio.sleep(3600.0)
        assert port.told() == [[("firing", "step-failing"), ("firing", "agent-lost")]]
        assert here.shown().state == "waiting"
        assert here.shown().last_error == ""
        assert here.shown().sent == 1


async def test_tries_of_one_message_are_one_message(autojump_clock: MockClock) -> None:
    lost = NoticeUnreachableError("no answer in time", sent=True)
    port = FakeNotices(replies={"d1": [lost, NoticeAnswer(status=503), DOWN, lost]})
    async with post(port) as here:
        here.holds(condition())
        await until(port.told)
        assert len({message.key for _, _, message in port.tried}) == 1
        assert len({message.sequence for _, _, message in port.tried}) == 1
        assert len(port.tried) == 5


async def test_a_refusal_is_shown_and_tried_again_slowly(autojump_clock: MockClock) -> None:
    port = FakeNotices(always={"d1": NoticeAnswer(status=404, detail="no such channel")})
    async with post(port) as here:
        here.holds(condition())
        await trio.sleep(WAIT_S + 1.0 + 3 * notices.RETRY_CEILING_S)
        assert len(port.tried) == 4
        assert here.shown().state == "refused"
        assert here.shown().last_error == "answered 404: no such channel"


async def test_a_receiver_that_names_a_pause_gets_it(autojump_clock: MockClock) -> None:
    busy = NoticeAnswer(status=429, retry_after_s=120.0)
    port = FakeNotices(replies={"d1": [busy]})
    async with post(port) as here:
        here.holds(condition())
        await until(port.told)
        first, second = port.times()
        assert 120.0 <= second - first <= 121.0


async def test_an_alertmanager_is_told_every_minute_and_nothing_is_stored_for_it(
    autojump_clock: MockClock,
) -> None:
    port = FakeNotices(receivers=(ALERTS,))
    async with post(port) as here:
        here.holds(condition())
        await until(lambda: port.told("d3"))
        writes, revision = len(here.store.batches), here.board.revision
        await trio.sleep(600.0)
        gaps = [after - before for before, after in pairwise(port.times("d3"))]
        assert len(gaps) >= 9
        assert max(gaps) <= notices.REFRESH_S + 1.0
        assert len(here.store.batches) == writes
        assert here.board.revision == revision
        here.holds()
        await trio.sleep(WAIT_S + 1.0)
        assert port.told("d3")[-1] == [("resolved", "agent-lost")]
        count = len(port.tried)
        await trio.sleep(600.0)
        assert len(port.tried) == count, "what is over is not told again"


# -- the store ------------------------------------------------------------------------------------


async def test_it_is_stored_that_a_message_may_have_arrived_before_it_leaves(
    autojump_clock: MockClock,
) -> None:
    port = FakeNotices(takes_s=5.0)
    async with post(port) as here:
        here.holds(condition())
        await until(lambda: port.tried)
        [said] = here.stored().receivers["d1"].told
        assert (said.name, said.unsure) == ("agent-lost", "firing warning")
        await until(port.told)
        await trio.sleep(1.0)
        [said] = here.stored().receivers["d1"].told
        assert (said.name, said.unsure) == ("agent-lost", "")


async def test_a_store_that_is_away_keeps_nobody_from_being_told(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore(faults=[StoreError("the disk is full")] * 10_000)
    async with post(store=store) as here:
        here.holds(condition("store-failing", severity="critical"))
        await trio.sleep(WAIT_S + STORE_PATIENCE_S + 1.0)
        assert here.port.told() == [[("firing", "store-failing")]]
        assert here.notifier.journal.mailbox.vitals.peak <= 2, "it does not fill the journal"


async def test_a_new_process_goes_on_where_the_old_one_was(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with post(store=store) as here:
        here.holds(condition(), condition("agent-failed"))
        await trio.sleep(WAIT_S + 2.0)
        stored = here.stored()
    async with post(store=store, stored=stored) as here:
        here.holds(condition())
        await trio.sleep(notices.GRACE_S + 60.0)
        assert here.port.told() == [], "the monitor has not looked yet"
        asked = drained(here.health)  # as the monitor takes them: its vitals count them
        assert Look() in asked
        await trio.sleep(notices.LOOK_AGAIN_S + WAIT_S + 2.0)
        assert here.port.told() == [[("resolved", "agent-failed")]]


async def test_what_rests_on_the_gateway_is_not_over_because_nobody_has_looked_at_it(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore()
    async with post(store=store) as here:
        here.holds(condition("sds-unhealthy", severity="critical"))
        await trio.sleep(WAIT_S + 2.0)
        stored = here.stored()
    async with post(store=store, stored=stored, policy=Policy(repeat_s=0.0)) as here:
        here.health.vitals.handled = 1
        here.board.gateway = GatewaySnapshot(error="refused")
        here.holds(condition("gateway-unreachable", severity="critical"))
        await trio.sleep(3600.0)
        assert here.port.told() == [[("firing", "gateway-unreachable")]]
        here.board.gateway = GatewaySnapshot(storage=STORAGE)
        here.holds()
        await trio.sleep(notices.LOOKS_S + WAIT_S + 2.0)
        assert here.port.told()[1:] == [
            [("resolved", "gateway-unreachable")],
            [("resolved", "sds-unhealthy")],
        ]


async def test_a_crash_before_the_answer_is_stored_repeats_the_message_under_its_key(
    autojump_clock: MockClock,
) -> None:
    port = FakeNotices(takes_s=5.0)
    store = MemoryStore()
    async with post(port, store=store) as here:
        here.holds(condition(), condition("agent-failed"))
        await until(lambda: port.tried)
        stored = here.stored()  # and the process dies
    [(_, _, before)] = port.tried
    async with post(stored=stored) as here:
        here.holds(condition(), condition("agent-failed"), condition("step-failing"))
        await until(lambda: len(here.port.told()) == 2)
        first, second = here.port.heard["d1"]
        assert first.key == before.key
        assert [change.name for change in second.changes] == ["step-failing"]
        await trio.sleep(600.0)
        assert len(here.port.told()) == 2


async def test_an_end_is_immediate_while_a_message_is_on_its_way(
    autojump_clock: MockClock,
) -> None:
    """SIGTERM: nobody waits for a receiver."""
    port = FakeNotices(takes_s=9.0)
    async with post(port) as here:
        here.holds(condition())
        await until(lambda: port.tried)
        before = trio.current_time()
    assert trio.current_time() == before
