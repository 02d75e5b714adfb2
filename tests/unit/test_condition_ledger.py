"""When a condition is told and when it is over: late enough not to flicker, never later."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.conditions import KINDS, Ledger, finding

NAME = "device-slow"
RAISE_S, CLEAR_S = KINDS[NAME].raise_s, KINDS[NAME].clear_s
ONE = finding(NAME, "d", "device d is slow")


def told(ledger: Ledger) -> bool:
    return bool(ledger.standing())


def test_a_kind_has_its_meaning_and_its_cure() -> None:
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.severity in {"info", "warning", "critical"}
        assert kind.meaning
        assert kind.cure
        assert min(kind.raise_s, kind.clear_s) >= 0.0


def test_a_condition_is_told_after_its_delay_with_the_time_of_its_beginning() -> None:
    ledger = Ledger().after([ONE], 1000.0)
    assert not told(ledger)
    assert ledger.due() == 1000.0 + RAISE_S
    assert not told(ledger.after([ONE], 999.0 + RAISE_S))
    ledger = ledger.after([ONE], 1000.0 + RAISE_S)
    [entry] = ledger.standing()
    assert entry.since == 1000.0
    assert ledger.due() is None


def test_what_passes_before_its_delay_is_never_told() -> None:
    ledger = Ledger().after([ONE], 0.0).after([], RAISE_S / 2)
    assert ledger.due() is None
    again = ledger.after([ONE], RAISE_S)
    assert not told(again), "two short ones are not a long one"
    assert again.due() == 2 * RAISE_S


def test_a_condition_is_over_when_its_cause_has_been_gone_for_long_enough() -> None:
    ledger = Ledger().after([ONE], 0.0).after([ONE], RAISE_S)
    gone = ledger.after([], 500.0)
    assert told(gone)
    assert gone.due() == 500.0 + CLEAR_S
    back = gone.after([ONE], 500.0 + CLEAR_S - 1.0)
    assert [e.since for e in back.standing()] == [0.0], "the same one goes on"
    assert not told(gone.after([], 500.0 + CLEAR_S))


def test_a_kind_without_a_delay_is_told_at_once_with_its_last_words() -> None:
    first = Ledger().after([finding("data-failed", "p", "7 KB")], 5.0)
    [entry] = first.after([finding("data-failed", "p", "9 KB")], 6.0).standing()
    assert (entry.finding.text, entry.since) == ("9 KB", 5.0)


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=80),
)
def test_none_flaps_more_than_its_delays_allow_and_none_is_late(
    name: str, looks: list[tuple[int, bool]]
) -> None:
    """Driven as the monitor drives it: looks at any moment, and one whenever something is due."""
    kind, one = KINDS[name], finding(name, "x", "text")
    ledger, now, is_there = Ledger(), 0.0, False
    there_since: float | None = None
    gone_since = 0.0
    changes: list[float] = []
    for pause, becomes in looks:
        until = now + pause
        while (due := ledger.due()) is not None and due < until:
            now = due
            before, ledger = told(ledger), ledger.after([one] if is_there else [], now)
            changes += [now] * (before is not told(ledger))
        now = until
        if becomes and not is_there:
            there_since = now
        if is_there and not becomes:
            gone_since, there_since = now, None
        is_there = becomes
        before, ledger = told(ledger), ledger.after([one] if is_there else [], now)
        changes += [now] * (before is not told(ledger))
        if there_since is not None and now - there_since >= kind.raise_s:
            assert told(ledger)
        if there_since is None and now - gone_since >= kind.clear_s:
            assert not told(ledger)
    begins, ends = changes[::2], changes[1::2]
    least = kind.raise_s + kind.clear_s
    assert all(later - earlier >= least for earlier, later in pairwise(begins))
    assert all(later - earlier >= least for earlier, later in pairwise(ends))


@pytest.mark.parametrize("many", [0, 1, 50])
def test_every_cause_has_an_entry_of_its_own(many: int) -> None:
    found = [finding("data-failed", f"p{n:02}", "x") for n in range(many)]
    ledger = Ledger().after(reversed(found), 0.0)
    assert [e.finding.subject for e in ledger.standing()] == [f.subject for f in found]
    assert ledger.keys() == {f.key for f in found}
