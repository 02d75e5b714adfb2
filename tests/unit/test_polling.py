"""How often the Gateway is asked: by what goes on, and never more than it bears."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.polling import CEILING_S, JITTER, LOAD_SHARE, QUIET_AFTER_S, is_at_rest, pause_s
from domain.storage import DeviceState, PoolState, SdsState, StorageSnapshot

POOL = PoolState(id="p", name="p", domain_id="d")
SDS = SdsState(id="s", name="s", domain_id="d", good=True)
DISK = DeviceState(id="v", path="/dev/sdb", sds_id="s", pool_id="p")
WELL = StorageSnapshot(
    taken_at=0.0,
    api_version=(3, 6),
    system_id="s",
    mdm_normal=True,
    pools=(POOL,),
    sds=(SDS,),
    devices=(DISK,),
)


def middle(storage: StorageSnapshot, *, took_s: float = 0.1, quiet_s: float = 0.0) -> float:
    return pause_s(storage, poll_s=10.0, took_s=took_s, quiet_s=quiet_s, chance=0.5)


def test_the_operators_pause_is_kept_and_stretched_where_nothing_happens() -> None:
    assert middle(WELL) == pytest.approx(10.0)
    assert middle(WELL, quiet_s=QUIET_AFTER_S) == pytest.approx(30.0)
    slow = pause_s(WELL, poll_s=300.0, took_s=0.1, quiet_s=QUIET_AFTER_S, chance=0.5)
    assert slow == pytest.approx(300.0), "who asks for rare looks gets no rarer ones"


@pytest.mark.parametrize(
    "troubled",
    [
        attrs.evolve(WELL, mdm_normal=False),
        attrs.evolve(WELL, pools=(attrs.evolve(POOL, degraded_kb=1),)),
        attrs.evolve(WELL, pools=(attrs.evolve(POOL, failed_kb=1),)),
        attrs.evolve(WELL, pools=(attrs.evolve(POOL, moving=True),)),
        attrs.evolve(WELL, sds=(attrs.evolve(SDS, good=False),)),
        attrs.evolve(WELL, devices=(attrs.evolve(DISK, good=False),)),
    ],
)
def test_looks_come_faster_while_the_cluster_is_not_at_rest(troubled: StorageSnapshot) -> None:
    assert not is_at_rest(troubled)
    assert middle(troubled, quiet_s=QUIET_AFTER_S) == pytest.approx(5.0)


def test_a_slow_gateway_is_asked_less_whatever_goes_on() -> None:
    troubled = attrs.evolve(WELL, mdm_normal=False)
    assert middle(troubled, took_s=12.0) == pytest.approx(120.0)


@given(st.floats(0.1, 3600.0), st.floats(0.0, 60.0), st.floats(0.0, 1e6), st.floats(0.0, 1.0))
def test_a_pause_is_never_short_enough_to_burden_and_never_without_end(
    poll_s: float, took_s: float, quiet_s: float, chance: float
) -> None:
    pause = pause_s(WELL, poll_s=poll_s, took_s=took_s, quiet_s=quiet_s, chance=chance)
    assert pause >= took_s / LOAD_SHARE * (1 - JITTER) * 0.999
    assert pause <= max(poll_s, CEILING_S, took_s / LOAD_SHARE) * (1 + JITTER) * 1.001
