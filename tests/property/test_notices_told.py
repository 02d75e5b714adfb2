"""Whatever happens to conditions, receivers and our process: in the end each receiver knows.

The receiver knows a repeated message by its key, as the documents ask of it.
"""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import notices
from domain.notices import ALERTMANAGER, WEBHOOK, Account, Message, Policy, Receiver, Scene
from domain.told import Key, Ledger

KEYS: tuple[Key, ...] = (
    ("agent-lost", "a1"),
    ("agent-lost", "a2"),
    ("sds-unhealthy", "s1"),
    ("gateway-unreachable", ""),
)
SETTLED_S = 1500.0  # a pause of 300 s, a start of 60, the Gateway's 40 + 30, twice the group's 10
POLICY = Policy(repeat_s=3600.0)


@attrs.define
class Process:
    """One receiver's account through the lives of our process, and what holds meanwhile."""

    kind: str
    surely: bool  # what is not answered was not taken
    now: float = 0.0
    standing: dict[Key, notices.Standing] = attrs.field(factory=dict)
    found_at: dict[Key, float] = attrs.field(factory=dict)  # the monitor sees it from then on
    started: float = 0.0
    stored: Ledger = attrs.field(factory=Ledger)
    mode: str = "taken"
    rests_until: float = -math.inf
    failures: int = 0
    account: Account = attrs.field(init=False)
    knows: dict[Key, str] = attrs.field(factory=dict)  # the receiver: severity by condition
    keys: set[str] = attrs.field(factory=set)
    messages: int = 0

    def __attrs_post_init__(self) -> None:
        self.account = notices.restored(Receiver(digest="d", kind=self.kind, shown="r"), Ledger())

    # -- what happens -----------------------------------------------------------------------------

    def rise(self, key: Key, severity: str) -> None:
        old = self.standing.get(key)
        since = 1e9 + self.now if old is None else old.since
        self.standing[key] = notices.Standing(
            name=key[0], subject=key[1], severity=severity, text="so", since=since
        )

    def end(self, key: Key) -> None:
        self.standing.pop(key, None)

    def restart(self) -> None:
        """The monitor finds all again within 40 s, and counts from then."""
        self.account = notices.restored(self.account.receiver, self.stored)
        self.started, self.rests_until, self.failures = self.now, -math.inf, 0
        self.found_at = {key: self.now + 10.0 * at for at, key in enumerate(KEYS, 1)}
        for key, one in self.standing.items():
            self.standing[key] = attrs.evolve(one, since=1e9 + self.found_at[key])

    def settle(self) -> None:
        """Nothing changes any more, and the receiver takes all: it knows what holds."""
        self.mode = "taken"
        self.go_on(SETTLED_S)
        severe = {k: one.severity for k, one in self.standing.items() if one.severity != "info"}
        assert self.knows == severe

    def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self.account, message, again = notices.look(self.account, self.scene(), POLICY)
            if message is not None and self.now >= self.rests_until:
                self.send(message)
                continue
            assert again > self.now or message is not None, "it would be looked at for ever"
            at = again if message is None else self.rests_until
            at = min([max(at, self.now + 0.01), end, *self.found_later()])
            self.now = at
            if at >= end:
                return

    def found_later(self) -> list[float]:
        return [at for at in self.found_at.values() if at > self.now]

    def scene(self) -> Scene:
        return Scene(
            now=self.now,
            unix=1e9 + self.now,
            standing=tuple(
                one for k, one in self.standing.items() if self.found_at.get(k, 0.0) <= self.now
            ),
            started=self.started,
            looked=not self.found_later(),
            storage_since=None if self.found_later() else max(self.started, 0.0),
        )

    # -- a message --------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        before = self.account
        self.account = notices.intended(before, message)
        self.stored = self.account.ledger
        if self.mode in {"taken", "heard"} or (self.mode == "crash" and not self.surely):
            self.hear(message)
        if self.mode == "crash":
            self.mode = "taken"
            self.restart()
        elif self.mode == "taken":
            self.account = notices.delivered(
                self.account, message, now=self.now, unix=1e9 + self.now
            )
            self.stored, self.failures = self.account.ledger, 0
        else:
            self.failures += 1
            outcome = "not-taken" if self.mode == "refused" else "unknown"
            if self.mode == "refused":
                self.account = notices.not_taken(self.account, before)
                self.stored = self.account.ledger
            self.rests_until = self.now + notices.pause_s(outcome, self.failures, 0.5, None)

    def hear(self, message: Message) -> None:
        """As a receiver that keeps to the documents."""
        self.messages += 1
        if self.kind == WEBHOOK and message.key in self.keys:
            assert not self.surely, "no message was repeated that was answered"
            return
        self.keys.add(message.key)
        for change in message.changes:
            known, one = self.knows.get(change.key), self.standing.get(change.key)
            holds = one is not None and one.severity != "info"
            assert holds == (change.state != "resolved"), "what is told is true"
            if self.surely and change.state == "firing":
                assert known != change.severity, "told twice"
            if self.surely and change.state in {"resolved", "reminder"}:
                assert known == change.severity, "of what was never told"
            if change.state == "resolved":
                self.knows.pop(change.key, None)
            else:
                self.knows[change.key] = change.severity


@attrs.frozen
class Step:
    """What holds from now on (as far as it changes), how the receiver is, and for how long."""

    changes: dict[Key, str]  # "": it is over
    mode: str
    restart: bool
    lasts_s: float

    def play(self, process: Process) -> None:
        for key, severity in self.changes.items():
            if severity:
                process.rise(key, severity)
            else:
                process.end(key)
        process.mode = self.mode
        if self.restart:
            process.restart()
        process.go_on(self.lasts_s)


def courses(*modes: str) -> st.SearchStrategy[list[Step]]:
    step = st.builds(
        Step,
        st.dictionaries(
            st.sampled_from(KEYS), st.sampled_from(("", "", "info", "warning", "critical"))
        ),
        st.sampled_from(modes),
        st.sampled_from((False, False, True)),
        st.sampled_from((1.0, 9.0, 11.0, 25.0, 45.0, 100.0, 400.0, SETTLED_S, 4000.0)),
    )
    return st.lists(step, min_size=4, max_size=12)


SURE = courses("taken", "taken", "refused")
UNSURE = courses("taken", "refused", "heard", "lost", "crash")


def play(kind: str, steps: list[Step], *, surely: bool) -> Process:
    process = Process(kind=kind, surely=surely)
    for step in steps:
        step.play(process)
        if step.mode == "taken" and step.lasts_s >= SETTLED_S:
            process.settle()
    process.settle()
    return process


@pytest.mark.parametrize("kind", [WEBHOOK, ALERTMANAGER])
def test_each_rise_and_each_end_that_lasted_is_told_exactly_once(kind: str) -> None:
    """As long as every answer tells whether the message was taken."""

    @settings(max_examples=150)
    @given(SURE)
    def whatever(steps: list[Step]) -> None:
        play(kind, steps, surely=True)

    whatever()


@pytest.mark.parametrize("kind", [WEBHOOK, ALERTMANAGER])
def test_lost_answers_and_crashes_leave_no_receiver_in_error(kind: str) -> None:
    @settings(max_examples=250)
    @given(UNSURE)
    def whatever(steps: list[Step]) -> None:
        play(kind, steps, surely=False)

    whatever()


def test_after_the_last_word_nothing_is_said_to_a_webhook_but_reminders() -> None:
    @settings(max_examples=50)
    @given(UNSURE)
    def whatever(steps: list[Step]) -> None:
        process = play(WEBHOOK, steps, surely=False)
        for key in KEYS:
            process.end(key)
        process.settle()
        before = process.messages
        process.go_on(86400.0)
        assert process.messages == before

    whatever()
