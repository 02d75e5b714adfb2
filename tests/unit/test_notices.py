"""Who is told what of the conditions: together, once, and when they are over."""

from __future__ import annotations

import math

import attrs
import pytest

from domain import notices, records
from domain.conditions import KINDS
from domain.notices import (
    ALERTMANAGER,
    WEBHOOK,
    Account,
    Message,
    Policy,
    Receiver,
    Scene,
    Standing,
)
from domain.told import STORED_BYTES_MAX, Ledger, Said, recorded

HOOK = Receiver(digest="d1", kind=WEBHOOK, shown="https://hooks.example")
ALERTS = Receiver(digest="d2", kind=ALERTMANAGER, shown="http://alerts.example:9093")
UNIX = 1e9  # the wall clock at 0 of the run's
FULL = Standing(
    name="capacity-high", severity="warning", subject="p1", text="82 % in use", since=UNIX
)
GONE = Standing(
    name="gateway-unreachable", severity="critical", subject="", text="refused", since=UNIX
)
LOST = Standing(name="agent-lost", severity="warning", subject="a1", text="lost", since=UNIX)
NOTE = Standing(name="rebuilding", severity="info", subject="p1", text="moves", since=UNIX)


@attrs.define
class Desk:
    """One receiver that takes everything, unless a test says otherwise."""

    receiver: Receiver = HOOK
    policy: Policy = attrs.field(factory=Policy)
    now: float = 100.0
    started: float = 0.0
    looked: bool = True
    storage_since: float | None = 0.0
    standing: tuple[Standing, ...] = ()
    heard: list[Message] = attrs.field(factory=list)
    account: Account = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.account = Account(receiver=self.receiver)

    def look(self) -> tuple[Message | None, float]:
        scene = Scene(
            now=self.now,
            unix=UNIX + self.now,
            standing=self.standing,
            started=self.started,
            looked=self.looked,
            storage_since=self.storage_since,
        )
        self.account, message, again = notices.look(self.account, scene, self.policy)
        return message, again

    def tell(self, *standing: Standing, after_s: float = 0.0) -> list[tuple[str, str, str]]:
        """These hold now; what the receiver hears until there is nothing left to tell."""
        self.standing = standing
        self.look()
        self.now += after_s
        told = []
        while (message := self.look()[0]) is not None:
            self.account = notices.intended(self.account, message)
            self.take(message)
            told += [(c.state, c.name, c.severity) for c in message.changes]
        return told

    def take(self, message: Message) -> None:
        self.heard.append(message)
        self.account = notices.delivered(self.account, message, now=self.now, unix=UNIX + self.now)

    def restart(self) -> None:
        self.account = notices.restored(self.receiver, self.account.ledger)
        self.started, self.looked, self.storage_since = self.now, False, None


def test_what_arises_together_is_told_together_and_once() -> None:
    desk = Desk()
    assert desk.tell(FULL) == []
    assert desk.tell(FULL, GONE, after_s=10.0) == [
        ("firing", "gateway-unreachable", "critical"),
        ("firing", "capacity-high", "warning"),
    ]
    assert len(desk.heard) == 1
    assert desk.tell(FULL, GONE, after_s=60.0) == []


def test_other_words_for_the_same_are_no_news() -> None:
    desk = Desk()
    desk.tell(FULL, after_s=10.0)
    assert desk.tell(attrs.evolve(FULL, text="83 % in use"), after_s=60.0) == []


def test_the_end_of_what_was_told_is_told_with_both_times() -> None:
    desk = Desk()
    desk.tell(FULL, after_s=10.0)
    assert desk.tell(after_s=10.0) == [("resolved", "capacity-high", "warning")]
    (change,) = desk.heard[-1].changes
    assert (change.since, change.ended) == (FULL.since, UNIX + desk.now)
    assert desk.tell(after_s=60.0) == []


def test_what_came_and_went_untold_is_not_told_at_all() -> None:
    desk = Desk()
    assert desk.tell(FULL) == []
    assert desk.tell(after_s=10.0) == []
    assert desk.heard == []


def test_another_severity_is_told_and_one_below_the_least_is_the_end() -> None:
    desk = Desk()
    desk.tell(FULL, after_s=10.0)
    worse, better = attrs.evolve(FULL, severity="critical"), attrs.evolve(FULL, severity="info")
    assert desk.tell(worse, after_s=10.0) == [("firing", "capacity-high", "critical")]
    (change,) = desk.heard[-1].changes
    assert change.was == "warning"
    assert desk.tell(better, after_s=10.0) == [("resolved", "capacity-high", "critical")]


def test_only_what_is_severe_enough_is_told() -> None:
    assert Desk().tell(NOTE, after_s=60.0) == []
    info = Desk(policy=Policy(min_severity="info"))
    assert info.tell(NOTE, after_s=60.0) == [("firing", "rebuilding", "info")]
    critical = Desk(policy=Policy(min_severity="critical"))
    assert critical.tell(FULL, GONE, after_s=60.0) == [
        ("firing", "gateway-unreachable", "critical")
    ]


def test_a_standing_critical_is_brought_to_mind_again_and_a_warning_is_not() -> None:
    desk = Desk(policy=Policy(repeat_s=3600.0))
    desk.tell(GONE, FULL, after_s=10.0)
    _, again = desk.look()
    assert again == desk.now + 3600.0
    assert desk.tell(GONE, FULL, after_s=3599.0) == []
    assert desk.tell(GONE, FULL, after_s=1.0) == [("reminder", "gateway-unreachable", "critical")]
    never = Desk(policy=Policy(repeat_s=0.0))
    never.tell(GONE, after_s=10.0)
    assert never.look() == (None, math.inf)


def test_reminders_do_not_take_news_along_before_their_time() -> None:
    desk = Desk(policy=Policy(repeat_s=3600.0))
    desk.tell(GONE, after_s=10.0)
    desk.now += 3600.0
    assert desk.tell(GONE, FULL) == [("reminder", "gateway-unreachable", "critical")]
    assert desk.tell(GONE, FULL, after_s=10.0) == [("firing", "capacity-high", "warning")]


def test_an_alertmanager_hears_every_minute_of_all_that_stands() -> None:
    desk = Desk(receiver=ALERTS)
    desk.tell(FULL, after_s=10.0)
    before = desk.account.ledger
    assert desk.tell(FULL, after_s=59.0) == []
    assert desk.tell(FULL, after_s=1.0) == [("reminder", "capacity-high", "warning")]
    assert desk.account.ledger == before, "nothing is stored for that"
    desk.restart()
    assert desk.tell(FULL) == [("reminder", "capacity-high", "warning")]


def test_a_message_is_bounded_and_the_rest_comes_at_once() -> None:
    desk = Desk()
    many = [attrs.evolve(LOST, subject=f"a{number:03}") for number in range(250)]
    told = desk.tell(*many, after_s=10.0)
    assert [len(message.changes) for message in desk.heard] == [100, 100, 50]
    assert len(told) == 250
    assert [message.sequence for message in desk.heard] == [1, 2, 3]


def test_long_texts_make_more_messages_not_larger_ones() -> None:
    desk = Desk()
    long = [attrs.evolve(LOST, subject=f"a{n}", text="x" * 60_000) for n in range(10)]
    desk.tell(*long, after_s=10.0)
    assert len(desk.heard) == 3
    desk = Desk()
    huge = attrs.evolve(LOST, text="x" * 2 * notices.MESSAGE_BYTES_MAX)
    assert len(desk.tell(huge, after_s=10.0)) == 1, "one that is too large goes alone"


# -- what is not taken ----------------------------------------------------------------------------


def test_a_message_that_is_not_taken_is_the_same_when_tried_again() -> None:
    desk = Desk()
    desk.tell(FULL)
    desk.now += 10.0
    message, _ = desk.look()
    assert message is not None
    before = desk.account
    desk.account = notices.not_taken(notices.intended(before, message), before)
    desk.now += 300.0
    assert desk.look()[0] == message
    desk.standing = ()
    assert desk.look()[0] is None, "it was never told"


def test_what_may_have_arrived_is_told_again_under_the_same_key_and_its_end_too() -> None:
    desk = Desk()
    desk.tell(FULL)
    desk.now += 10.0
    message, _ = desk.look()
    assert message is not None
    desk.account = notices.intended(desk.account, message)
    desk.now += 300.0
    assert desk.look()[0] == message
    desk.standing = ()
    desk.now += 10.0
    ended, _ = desk.look()
    assert ended is not None
    assert [change.state for change in ended.changes] == ["resolved"]
    assert ended.key != message.key


def test_an_end_that_may_have_arrived_is_taken_back_when_the_condition_returns() -> None:
    desk = Desk()
    desk.tell(FULL, after_s=10.0)
    desk.standing = ()
    desk.look()
    desk.now += 10.0
    message, _ = desk.look()
    assert message is not None
    desk.account = notices.intended(desk.account, message)
    assert desk.tell(FULL, after_s=10.0) == [("firing", "capacity-high", "warning")]


def test_the_same_condition_a_second_time_has_another_key() -> None:
    desk = Desk()
    desk.tell(FULL, after_s=10.0)
    desk.tell(after_s=10.0)
    desk.tell(attrs.evolve(FULL, since=UNIX + desk.now), after_s=10.0)
    worse = attrs.evolve(FULL, severity="critical")
    desk.tell(worse, after_s=10.0)
    desk.tell(FULL, after_s=10.0)
    desk.tell(worse, after_s=10.0)
    keys = [message.key for message in desk.heard]
    assert len(set(keys)) == len(keys) == 6


# -- a new process --------------------------------------------------------------------------------


def test_what_stands_is_not_told_again_by_a_new_process() -> None:
    desk = Desk()
    desk.tell(FULL, after_s=10.0)
    desk.restart()
    later = attrs.evolve(FULL, since=UNIX + desk.now)  # the monitor counts from its own start
    assert desk.tell(later, after_s=600.0) == []
    assert desk.tell(after_s=10.0) == [("resolved", "capacity-high", "warning")]
    assert desk.heard[-1].changes[0].since == FULL.since


def test_the_end_of_a_stored_condition_waits_until_somebody_has_looked() -> None:
    desk = Desk()
    desk.tell(LOST, after_s=10.0)
    desk.restart()
    assert desk.tell(after_s=3600.0) == [], "nobody has judged anything yet"
    desk.looked = True
    desk.started = desk.now
    assert desk.tell(after_s=notices.GRACE_S - 1.0) == []
    assert desk.tell(after_s=1.0 + desk.policy.group_wait_s) == []
    assert desk.tell(after_s=desk.policy.group_wait_s) == [("resolved", "agent-lost", "warning")]


@pytest.mark.parametrize("name", ["capacity-high", "gateway-unreachable", "of-a-later-release"])
def test_the_end_of_what_rests_on_the_gateway_waits_for_a_good_look_at_it(name: str) -> None:
    desk = Desk()
    one = attrs.evolve(FULL, name=name)
    desk.tell(one, after_s=10.0)
    desk.restart()
    desk.looked = True
    assert desk.tell(after_s=86400.0) == []
    desk.storage_since = desk.now
    found_again_s = notices.LOOKS_S + (KINDS[name].raise_s if name in KINDS else 0.0)
    assert desk.tell(after_s=found_again_s - 1.0) == []
    assert desk.tell(after_s=1.0) == []
    assert desk.tell(after_s=desk.policy.group_wait_s) == [("resolved", name, "warning")]


def test_a_condition_that_takes_an_hour_to_be_found_again_is_not_over_before() -> None:
    desk = Desk()
    slow = attrs.evolve(LOST, name="waiting-long")
    desk.tell(slow, after_s=10.0)
    desk.restart()
    desk.looked = True
    assert desk.tell(after_s=3600.0) == []
    assert desk.tell(slow, after_s=60.0) == []
    assert desk.tell(after_s=10.0) == [("resolved", "waiting-long", "warning")]


def test_after_a_crash_the_message_in_hand_comes_first_and_under_its_key() -> None:
    desk = Desk()
    desk.tell(FULL, GONE)
    desk.now += 10.0
    message, _ = desk.look()
    assert message is not None
    desk.account = notices.intended(desk.account, message)
    desk.restart()
    desk.now += 5.0
    assert desk.tell(attrs.evolve(GONE, since=UNIX + desk.now), LOST, after_s=40.0) == []
    desk.storage_since = desk.now
    full = attrs.evolve(FULL, since=UNIX + desk.now)
    assert desk.tell(full, LOST, GONE) == [
        ("firing", "gateway-unreachable", "critical"),
        ("firing", "capacity-high", "warning"),
    ]
    assert desk.heard[-1].key == message.key
    assert desk.heard[-1].sequence == message.sequence
    assert desk.tell(full, LOST, GONE, after_s=10.0) == [("firing", "agent-lost", "warning")]


def test_the_message_in_hand_holds_back_no_other_for_long() -> None:
    """The Gateway may stay away after the crash: that itself has to be told."""
    desk = Desk()
    desk.tell(FULL)
    desk.now += 10.0
    message, _ = desk.look()
    assert message is not None
    desk.account = notices.intended(desk.account, message)
    desk.restart()
    assert desk.tell(GONE, after_s=notices.CRASHED_S - 1.0) == []
    assert desk.tell(GONE, after_s=1.0) == []
    assert desk.tell(GONE, after_s=10.0) == [("firing", "gateway-unreachable", "critical")]
    desk.looked, desk.storage_since = True, desk.now
    assert desk.tell(GONE, FULL, after_s=10.0) == [("firing", "capacity-high", "warning")]


def test_a_reminder_is_counted_from_the_last_one_also_by_a_new_process() -> None:
    desk = Desk(policy=Policy(repeat_s=3600.0))
    desk.tell(GONE, after_s=10.0)
    desk.now += 1800.0
    desk.restart()
    assert desk.tell(GONE, after_s=1799.0) == []
    assert desk.tell(GONE, after_s=1.0) == [("reminder", "gateway-unreachable", "critical")]


def test_the_record_keeps_within_its_bound_and_the_worst_conditions() -> None:
    told = [Said(name="agent-lost", severity="warning", subject=f"a{n}") for n in range(20_000)]
    told += [Said(name="device-error", severity="critical", subject=f"d{n}") for n in range(10)]
    record = recorded({f"d{n}": Ledger(told=tuple(told)) for n in range(8)})
    assert len(records.encode(record)) < 1.1 * STORED_BYTES_MAX
    for ledger in record.receivers.values():
        assert {said.severity for said in ledger.told} == {"critical", "warning"}


# -- the answer, and the next try -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "taken"), (204, "taken"), (301, "refused"), (307, "refused"), (400, "refused"),
        (401, "refused"), (404, "refused"), (408, "not-taken"), (429, "not-taken"),
        (500, "not-taken"), (503, "not-taken"), (502, "unknown"), (504, "unknown"),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, outcome: str) -> None:
    assert notices.outcome_of(status) == outcome


def test_pauses_grow_to_a_bound_and_keep_to_what_the_receiver_asks_for() -> None:
    pauses = [notices.pause_s("not-taken", failures, 1.0, None) for failures in range(1, 9)]
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert notices.pause_s("unknown", 4, 0.0, None) == 20.0
    assert notices.pause_s("not-taken", 1, 0.5, 30.0) == 30.0
    assert notices.pause_s("not-taken", 1, 0.5, 0.0) == 5.0
    assert notices.pause_s("not-taken", 1, 0.5, 1e9) == 300.0
    assert notices.pause_s("refused", 1, 0.0, None) == 300.0, "never in a hot loop"
