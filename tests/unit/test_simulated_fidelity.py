"""The comparison with a real Mesos can fail, and nothing that was agreed on is lost unseen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simulation import mesos_json, mesos_subscriptions
from simulation.mesos import SimulatedMesos
from tests.fidelity import agreed
from tests.fidelity.playing import Played, Verdict, difference, simulated
from tests.fidelity.scripts import ALL
from tests.fidelity.transcript import Transcript

Change = Callable[[SimulatedMesos], object]


@pytest.mark.parametrize("name", ALL)
def test_the_simulation_still_says_what_a_real_mesos_said(name: str) -> None:
    played = simulated(ALL[name])
    assert played.error == ""
    assert agreed.digest(played.lines) == agreed.read()[name], "make fidelity shows what differs"


def test_there_is_an_agreement_on_every_script_and_on_nothing_else() -> None:
    assert sorted(agreed.read()) == sorted(ALL)


def _slower_pings(mesos: SimulatedMesos) -> None:
    mesos.registrar.ping_timeout_s = 1e6


def _never_allocates(mesos: SimulatedMesos) -> None:
    mesos.allocator.interval_s = 1e6


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("one_task", lambda mesos: mesos.faults.duplicate_next_updates(1)),
        ("one_task", lambda mesos: mesos.faults.lose_next_calls(1, "ACCEPT")),
        ("one_task", lambda mesos: mesos.faults.task_fails_next("agent0.test", 3)),
        ("one_task", lambda mesos: mesos.faults.reorder_next_updates(1)),
        ("first_subscription", lambda mesos: mesos.agents.pop("agent1.test")),
        ("agent_lost_with_offer", _slower_pings),
        ("decline_filters", _never_allocates),
    ],
)
def test_a_changed_simulation_differs(name: str, change: Change) -> None:
    assert _differs(name, simulated(ALL[name], change))


def test_a_rescind_that_is_not_sent_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesos_json, "rescind", lambda _: mesos_json.HEARTBEAT)
    assert _differs("agent_lost_with_offer", simulated(ALL["agent_lost_with_offer"]))


def test_another_word_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesos_subscriptions, "FAILED_OVER", "Framework fell over")
    played = simulated(ALL["stolen_subscription"])
    assert any("fell over" in line for line in played.lines)
    assert _differs("stolen_subscription", played)


@pytest.mark.parametrize("seed", range(5))
def test_what_mesos_leaves_to_chance_makes_no_difference(seed: int) -> None:
    def change(mesos: SimulatedMesos) -> None:
        mesos.rng.seed(seed)
        mesos.allocator.offers_per_event = seed % 2

    for name in ("subscribing_again", "maintenance_window", "agent_lost_and_back"):
        assert not _differs(name, simulated(ALL[name], change))


def _differs(name: str, played: Played) -> bool:
    """From what a real Mesos said."""
    return agreed.digest(played.lines) != agreed.read()[name]


def test_a_verdict_tells_what_differs() -> None:
    script = ALL["one_task"]
    ours = simulated(script, lambda mesos: mesos.faults.task_fails_next("agent0.test", 3))
    verdict = Verdict(script=script, simulated=ours, real=simulated(script))
    assert not verdict.agrees
    assert "TASK_FAILED" in verdict.difference()
    assert Verdict(script=script, simulated=ours, real=ours).agrees is not bool(ours.error)


def test_a_script_that_breaks_off_never_agrees() -> None:
    broken = Played(lines=("the same",), error="NotHeardError: nothing came")
    verdict = Verdict(script=ALL["one_task"], simulated=broken, real=broken)
    assert not verdict.agrees
    assert "nothing came" in verdict.difference()


def test_a_difference_names_both_sides() -> None:
    ours, theirs = Played(lines=("a", "c")), Played(lines=("a", "b"))
    assert difference(ours, theirs) == ["--- real", "+++ simulated", "@@ -1,2 +1,2 @@", " a",
                                        "-b", "+c"]  # fmt: skip
    assert difference(ours, ours) == []


def test_ids_are_named_and_times_left_out() -> None:
    transcript = Transcript()
    master = "38b4e652-e44d-47f2-b70d-9e260e271365"
    transcript.agent(f"{master}-S7", "agent0.test")
    status = {
        "task_id": {"value": "t"},
        "state": "TASK_GONE",
        "agent_id": {"value": f"{master}-S7"},
    }
    update = {"status": {**status, "timestamp": 1.5, "message": f"of {master}-S7, not {master}-S8"}}
    transcript.event("it", {"type": "UPDATE", "update": update})
    transcript.close("told")
    told = (
        '{"agent_id": {"value": "agent0"}, "message": "of agent0, not (some id)",'
        ' "state": "TASK_GONE", "task_id": {"value": "t"}, "timestamp": "<float>"}'
    )
    assert transcript.lines() == [
        "=== told",
        "--- it task t",
        told,
        "--- it the master's own",
        "TASK_GONE t",
    ]
