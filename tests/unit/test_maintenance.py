"""Operators' maintenance windows are obeyed, and answered by what the storage can bear."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.maintenance import MARGIN_S, SNAPSHOT_AGE_MAX_S, closed, may_be_down, when
from domain.storage import PoolState, SdsState, StorageSnapshot

NOW_S = 1_000_000.0
HERE, THERE = "10.0.0.1", "10.0.0.2"


def sds(address: str, *, good: bool = True, fault_set_id: str = "") -> SdsState:
    return SdsState(
        id=f"id-{address}",
        name=f"sds_{address}",
        domain_id="d",
        addresses=(address,),
        good=good,
        fault_set_id=fault_set_id,
    )


WHOLE = StorageSnapshot(
    taken_at=100.0,
    api_version=(2, 5),
    system_id="s",
    mdm_normal=True,
    member_addresses=(HERE,),
    pools=(PoolState(id="p", name="p", domain_id="d"),),
    sds=(sds(HERE), sds(THERE)),
)


def answer(storage: StorageSnapshot | None, *, address: str = HERE, step: str = "") -> str:
    return may_be_down(address=address, step=step, storage=storage, now=110.0)


# -- beginning something --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("from_s", "for_s", "shut"),
    [
        (None, None, False),
        (NOW_S + MARGIN_S + 1.0, 60.0, False),
        (NOW_S + MARGIN_S - 1.0, 60.0, True),
        (NOW_S - 60.0, 120.0, True),
        (NOW_S - 60.0, None, True),
        (NOW_S - 120.0, 60.0, False),
    ],
)
def test_nothing_is_begun_from_shortly_before_a_window_to_its_end(
    from_s: float | None, for_s: float | None, *, shut: bool
) -> None:
    assert bool(closed(from_s, for_s, NOW_S)) == shut


@given(st.floats(0, 1e300), st.none() | st.floats(0, 1e300), st.floats(0, 1e12))
def test_any_window_can_be_told(from_s: float, for_s: float | None, now_s: float) -> None:
    assert "min" in when(from_s, for_s, now_s) or "under way" in when(from_s, for_s, now_s)


def test_a_window_is_told_in_minutes() -> None:
    assert when(NOW_S + 720.0, 3600.0, NOW_S) == "begins in 12 min, ends in 72 min"
    assert when(NOW_S - 720.0, None, NOW_S) == "under way, without an end"


# -- answers to inverse offers --------------------------------------------------------------------


def test_a_host_may_go_when_everything_is_whole() -> None:
    assert answer(WHOLE) == ""


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (None, "not known"),
        (attrs.evolve(WHOLE, taken_at=110.0 - SNAPSHOT_AGE_MAX_S - 1.0), "not known"),
        (attrs.evolve(WHOLE, mdm_normal=False, mdm_detail="2 of 3"), "it is an MDM"),
        (
            attrs.evolve(WHOLE, pools=(PoolState(id="p", name="p", domain_id="d", degraded_kb=1),)),
            "degraded",
        ),
        (attrs.evolve(WHOLE, sds=(sds(HERE), sds(THERE, good=False))), f"sds_{THERE}"),
    ],
)
def test_a_host_stays_while_its_data_or_mdm_is_needed(
    storage: StorageSnapshot | None, words: str
) -> None:
    assert words in answer(storage)


def test_a_host_without_data_may_go_whatever_the_data_is() -> None:
    degraded = attrs.evolve(
        WHOLE, pools=(PoolState(id="p", name="p", domain_id="d", degraded_kb=1),)
    )
    assert answer(degraded, address="10.0.0.9") == ""


def test_two_hosts_of_one_fault_set_may_go_together() -> None:
    pair = attrs.evolve(
        WHOLE, sds=(sds(HERE, fault_set_id="f"), sds(THERE, good=False, fault_set_id="f"))
    )
    assert answer(pair) == ""


def test_a_running_step_is_waited_for() -> None:
    assert "sdc" in answer(WHOLE, step="sdc")
