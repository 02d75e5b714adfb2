"""Kills of a writing process, in small (`make store-kills` makes more of them), and their judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store_churn import Changes, State, Tally, after, changes_of, churn

BEFORE: State = {"a": b"1", "b": b"1"}
UNDER_WAY: Changes = {"a": b"2", "b": None, "c": b"2"}


def judged(found: State) -> tuple[int, int, int]:
    tally = Tally()
    tally.judge(found, BEFORE, UNDER_WAY)
    assert tally.is_good == (found in (BEFORE, after(BEFORE, UNDER_WAY)))
    return tally.lost, tally.torn, tally.resurrected


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"a": b"1", "b": b"1"}, (0, 0, 0)),
        ({"a": b"2", "c": b"2"}, (0, 0, 0)),
        ({"a": b"2", "b": b"1"}, (0, 1, 0)),
        ({"a": b"2", "b": b"1", "c": b"2"}, (0, 1, 0)),
        ({"a": b"1"}, (0, 1, 0)),  # only the deletion has landed
        ({"a": b"0", "b": b"1"}, (1, 0, 0)),
        ({"b": b"1"}, (1, 0, 0)),
        ({}, (1, 1, 0)),
        ({"a": b"1", "b": b"1", "z": b"0"}, (0, 0, 1)),
        ({"a": b"2", "c": b"2", "z": b"0"}, (0, 0, 1)),
        ({"a": b"1", "b": b"1", "c": b"0"}, (0, 0, 1)),
    ],
)
def test_the_judge_sees_what_a_store_must_not_do(
    found: State, wanted: tuple[int, int, int]
) -> None:
    assert judged(found) == wanted


def test_a_write_that_landed_without_a_word_counts_as_made() -> None:
    tally = Tally()
    assert tally.judge(after(BEFORE, UNDER_WAY), BEFORE, UNDER_WAY)
    assert tally.unreported == 1
    assert not tally.judge(BEFORE, BEFORE, UNDER_WAY)


def test_writes_are_of_many_kinds_and_the_same_for_everybody() -> None:
    writes = [changes_of(1, number) for number in range(1, 200)]
    assert writes == [changes_of(1, number) for number in range(1, 200)]
    assert {len(changes) for changes in writes} == {1, 2, 3, 4, 5, 6}
    assert any(None in changes.values() for changes in writes)


def test_a_sqlite_store_is_whole_after_every_kill(tmp_path: Path) -> None:
    tally = churn(str(tmp_path / "store.sqlite"), writes=100, seed=3)
    assert tally.is_good, str(tally)
    assert tally.writes == 100
    assert tally.kills >= 1
