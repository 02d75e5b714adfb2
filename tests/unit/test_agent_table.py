"""The table of an agent's life: every pair is decided, and nothing moves what must stand still."""

from __future__ import annotations

import pytest

from domain.agent import NEXT, Phase, Signal, advance, parse_task_id

PAIRS = [(phase, signal) for phase in Phase for signal in Signal]


@pytest.mark.parametrize(("phase", "signal"), PAIRS)
def test_every_pair_of_phase_and_signal_is_decided(phase: Phase, signal: Signal) -> None:
    """A pair with no entry changes nothing; none raises."""
    assert advance(phase, signal) is NEXT[phase].get(signal, phase)


def test_every_phase_has_a_row() -> None:
    assert set(NEXT) == set(Phase)


def test_every_signal_does_something_somewhere() -> None:
    used = {signal for row in NEXT.values() for signal in row}
    assert used == set(Signal)


def test_every_phase_can_be_reached_from_seen() -> None:
    reached, frontier = {Phase.SEEN}, [Phase.SEEN]
    while frontier:
        for target in NEXT[frontier.pop()].values():
            if target not in reached:
                reached.add(target)
                frontier.append(target)
    assert reached == set(Phase)


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.FAILED, Phase.RETIRED])
def test_only_an_operator_moves_a_held_failed_or_retired_agent(phase: Phase) -> None:
    operator = {Signal.RESUME, Signal.RETRY, Signal.HOLD, Signal.DRAIN}
    assert set(NEXT[phase]) <= operator


def test_a_reboot_under_way_is_not_left_by_anything_that_mesos_says() -> None:
    moving = {s for s in Signal if advance(Phase.REBOOTING, s) is not Phase.REBOOTING}
    assert moving == {Signal.BACK, Signal.DENIED, Signal.BROKEN, Signal.OVERDUE}


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [
        ("a1.example.com.sds.3.0badcafe", ("a1.example.com", "sds")),
        ("a1:5052.agent-restart.12.0badcafe", ("a1:5052", "agent-restart")),
        ("somebody-elses-task", None),
        ("a.b.c.d", None),
        (".sds.1.0badcafe", None),
    ],
)
def test_a_task_id_tells_host_and_step(task_id: str, expected: tuple[str, str] | None) -> None:
    assert parse_task_id(task_id) == expected
