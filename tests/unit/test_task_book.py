"""What the master is asked about tasks: all after each subscription, in batches, patiently."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from actors.task_book import (
    BATCH_TASKS,
    KILL_EVERY_S,
    RECONCILE_ALL_S,
    RECONCILE_CEILING_S,
    TaskBook,
)
from protocol.mesos import calls, events
from tests.unit.actor_doubles import rng


def said(task_id: str, state: str) -> events.Update:
    return events.Update(task_id=task_id, agent_id="S1", state=state)


def over(book: TaskBook, begin: float, seconds: int) -> list[tuple[float, calls.Call]]:
    """Looked at once a second."""
    return [(begin + s, call) for s in range(seconds) for call in book.due(begin + s)]


def explicit(found: list[tuple[float, calls.Call]]) -> list[tuple[float, int]]:
    return [(at, count) for at, count in reconciled(found) if count]


def reconciled(found: list[tuple[float, calls.Call]]) -> list[tuple[float, int]]:
    """When, and of how many tasks; 0: of all that the master knows."""
    return [(at, len(call.tasks)) for at, call in found if isinstance(call, calls.Reconcile)]


def test_a_subscription_asks_about_every_task_and_then_for_strangers() -> None:
    book = TaskBook(rng())
    book.track("t1", "a1", "S1", 0.0)
    book.track("t2", "a2", "S2", 0.0)
    book.subscribed(10.0)
    [first] = book.due(10.0)
    assert first == calls.Reconcile(tasks=(("t1", "S1"), ("t2", "S2")))
    assert book.due(11.0) == []
    book.heard(said("t1", "TASK_RUNNING"))
    found = over(book, 12.0, 30)
    assert explicit(found)[0][1] == 1, "silence is asked again"
    assert (15.0, 0) in reconciled(found)
    book.heard(said("t2", "TASK_RUNNING"))
    late = reconciled(over(book, 50.0, 800))
    assert [count for _, count in late] == [0, 0, 0], "agents come back one by one"


def test_silence_is_asked_about_ever_more_slowly_and_never_given_up() -> None:
    """An agent that has not come back to a new master is answered nothing."""
    book = TaskBook(rng())
    book.track("t1", "a1", "S1", 0.0)
    book.heard(said("t1", "TASK_RUNNING"))
    book.subscribed(0.0)
    times = [at for at, _ in explicit(over(book, 0.0, 600))]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[0] >= 6.0
    assert gaps == sorted(gaps) or max(gaps) <= RECONCILE_CEILING_S + 1.0
    assert min(gaps[4:]) >= RECONCILE_CEILING_S * 0.75 - 1.0
    assert times[-1] > 500.0
    assert "t1" in book.tracked


def test_ten_thousand_tasks_are_asked_about_in_batches_one_a_second() -> None:
    book = TaskBook(rng())
    for number in range(2 * BATCH_TASKS + 1):
        book.track(f"t{number:05}", "a", "S", 0.0)
    book.subscribed(0.0)
    assert reconciled(over(book, 0.0, 4)) == [(0.0, BATCH_TASKS), (1.0, BATCH_TASKS), (2.0, 1)]


def test_everything_is_asked_again_now_and_then() -> None:
    book = TaskBook(rng())
    book.track("t1", "a1", "S1", 0.0)
    book.heard(said("t1", "TASK_RUNNING"))
    book.subscribed(0.0)
    book.due(0.0)
    book.heard(said("t1", "TASK_RUNNING"))
    assert explicit(over(book, 1.0, int(RECONCILE_ALL_S * 0.8))) == []
    again = reconciled(over(book, RECONCILE_ALL_S * 0.85, int(RECONCILE_ALL_S * 0.3)))
    assert {count for _, count in again} == {0, 1}


def test_a_kill_is_repeated_until_the_task_is_over() -> None:
    book = TaskBook(rng())
    book.kill("t1", "S1", 0.0)
    book.kill("t1", "S1", 1.0)
    kills = [at for at, call in over(book, 0.0, 100) if isinstance(call, calls.Kill)]
    assert kills == [0.0, KILL_EVERY_S, 2 * KILL_EVERY_S, 3 * KILL_EVERY_S]
    book.heard(said("t1", "TASK_KILLING"))
    book.heard(said("t1", "TASK_UNREACHABLE"))
    assert any(isinstance(call, calls.Kill) for _, call in over(book, 100.0, 60))
    book.heard(said("t1", "TASK_KILLED"))
    assert not any(isinstance(call, calls.Kill) for _, call in over(book, 200.0, 100))


def test_what_the_master_does_not_know_is_not_killed_again() -> None:
    """Its answer to a kill is the same each time: a loop."""
    book = TaskBook(rng())
    book.kill("t1", "S1", 0.0)
    book.due(0.0)
    book.heard(said("t1", "TASK_UNKNOWN"))
    assert not any(isinstance(call, calls.Kill) for _, call in over(book, 1.0, 300))


@given(st.lists(st.tuples(st.sampled_from("tasu"), st.integers(0, 5)), max_size=40))
def test_who_is_tracked_and_unheard_is_asked_about_within_two_minutes(
    script: list[tuple[str, int]],
) -> None:
    book, now = TaskBook(rng()), 0.0
    book.subscribed(now)
    for kind, number in script:
        task_id = f"t{number}"
        match kind:
            case "t":
                book.track(task_id, "a", "S", now)
            case "a":
                book.ask_about(task_id, now)
            case "s":
                book.subscribed(now)
            case _:
                book.heard(said(task_id, "TASK_RUNNING"))
        now += 1.0
        book.due(now)
    unheard = set(book.unheard)
    asked = {
        task_id
        for _, call in over(book, now + 1.0, 130)
        if isinstance(call, calls.Reconcile)
        for task_id, _ in call.tasks
    }
    assert unheard <= asked
    assert unheard <= book.tracked.keys()
