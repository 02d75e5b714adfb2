"""Who may reboot now: data first, one fault unit at a time, our own host last."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rollout import (
    SNAPSHOT_AGE_MAX_S,
    STALE,
    Limits,
    Rebooting,
    View,
    may_begin,
    may_change_soon,
    may_go,
    may_restart,
    pillar_waits,
)
from domain.storage import DomainState, PoolState, SdsState, StorageSnapshot

NOW = 1000.0


def host(number: int, *, storage: bool = True) -> Rebooting:
    return Rebooting(
        host=f"a{number}", address=f"10.0.0.{number}", provides_storage=storage, permit=f"p{number}"
    )


def sds(number: int, *, good: bool = True, domain: str = "d1", fault_set: str = "") -> SdsState:
    return SdsState(
        id=f"s{number}",
        name=f"sds_10.0.0.{number}",
        domain_id=domain,
        fault_set_id=fault_set,
        addresses=(f"10.0.0.{number}", f"192.168.0.{number}"),
        good=good,
        detail="Disconnected",
    )


STORAGE = StorageSnapshot(
    taken_at=NOW - 1.0,
    api_version=(3, 6),
    system_id="s",
    mdm_normal=True,
    domains=(DomainState(id="d1", name="pd"),),
    pools=(PoolState(id="p1", name="p", domain_id="d1", capacity_kb=100),),
    sds=(sds(1), sds(2), sds(3, domain="d2")),
)
VIEW = View(
    now=NOW,
    subscribed=True,
    storage=STORAGE,
    rebooting={},
    wanting=frozenset({"a1"}),
    phases={},
)
LIMITS = Limits(parallel=10, reboots=3)


def view(
    storage: StorageSnapshot | None = STORAGE,
    *,
    subscribed: bool = True,
    rebooting: tuple[Rebooting, ...] = (),
    wanting: frozenset[str] = VIEW.wanting,
) -> View:
    return attrs.evolve(
        VIEW,
        storage=storage,
        subscribed=subscribed,
        rebooting={one.host: one for one in rebooting},
        wanting=wanting,
    )


def pool(*, degraded_kb: int = 0, failed_kb: int = 0, moving: bool = False) -> StorageSnapshot:
    only = attrs.evolve(
        STORAGE.pools[0], degraded_kb=degraded_kb, failed_kb=failed_kb, moving=moving
    )
    return attrs.evolve(STORAGE, pools=(only,))


def test_where_all_is_well_the_host_may_reboot() -> None:
    assert may_go(host(1), VIEW, LIMITS) == ""
    assert may_begin(host(1), VIEW, LIMITS) == ""


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view(subscribed=False), "no subscription"),
        (view(None), STALE),
        (view(attrs.evolve(STORAGE, taken_at=NOW - SNAPSHOT_AGE_MAX_S - 0.1)), STALE),
        (view(attrs.evolve(STORAGE, mdm_normal=False, mdm_detail="2 of 3")), "2 of 3"),
        (view(pool(degraded_kb=1)), "degraded"),
        (view(pool(failed_kb=1)), "failed"),
        (view(pool(moving=True)), "rebuilt"),
        (view(attrs.evolve(STORAGE, sds=(sds(1), sds(2, good=False)))), "sds_10.0.0.2"),
        (view(rebooting=(host(2),)), "sds_10.0.0.2"),
    ],
)
def test_each_reason_against_it_is_named(seen: View, words: str) -> None:
    assert words in may_go(host(1), seen, LIMITS)


def test_only_a_stale_look_is_worth_waiting_for() -> None:
    assert may_change_soon(may_go(host(1), view(None), LIMITS))
    assert not may_change_soon(may_go(host(1), view(subscribed=False), LIMITS))
    assert not may_change_soon(may_go(host(1), view(pool(degraded_kb=1)), LIMITS))


def test_the_look_must_be_younger_than_the_question() -> None:
    asked_at = STORAGE.taken_at + 0.5
    assert may_go(host(1), VIEW, LIMITS, looked_after=asked_at) == STALE
    fresh = attrs.evolve(STORAGE, taken_at=asked_at)
    assert may_go(host(1), view(fresh), LIMITS, looked_after=asked_at) == ""


def test_what_is_down_in_another_protection_domain_does_not_matter() -> None:
    seen = view(attrs.evolve(STORAGE, sds=(sds(1), sds(3, domain="d2", good=False))))
    assert may_go(host(1), seen, LIMITS) == ""


def test_one_fault_set_may_be_down_together() -> None:
    together = (sds(1, fault_set="f"), sds(2, fault_set="f", good=False), sds(4, fault_set="g"))
    seen = view(attrs.evolve(STORAGE, sds=together), rebooting=(host(2),))
    assert may_go(host(1), seen, LIMITS) == ""
    assert "sds_10.0.0.4" in may_go(host(1), attrs.evolve(seen, rebooting={"a4": host(4)}), LIMITS)


def test_the_hosts_own_sds_may_be_unhealthy() -> None:
    """A reboot may be what it needs."""
    seen = view(attrs.evolve(STORAGE, sds=(sds(1, good=False), sds(2))))
    assert may_go(host(1), seen, LIMITS) == ""


def test_clients_are_limited_by_number_only() -> None:
    client = host(9, storage=False)
    seen = view(rebooting=(host(7, storage=False), host(8, storage=False)))
    assert may_begin(client, seen, attrs.evolve(LIMITS, reboots=3)) == ""
    why_not = may_begin(client, seen, attrs.evolve(LIMITS, reboots=2))
    assert "2 of 2" in why_not
    assert "a7, a8" in why_not


def test_nobody_is_prepared_beside_a_host_that_holds_data() -> None:
    """It would ask for its permit in vain until that one's data is whole again."""
    seen = view(rebooting=(host(3),))
    assert "a3" in may_begin(host(1), seen, LIMITS), "of another protection domain, too"
    assert "a3" in may_begin(host(9, storage=False), seen, LIMITS)


def test_a_host_that_did_not_come_back_halts_all_but_itself() -> None:
    seen = attrs.evolve(VIEW, missing=frozenset({"a2"}))
    assert "a2" in may_begin(host(1), seen, LIMITS)
    assert "a2" in may_go(host(3), seen, LIMITS)
    assert may_go(host(2), seen, LIMITS) == ""


@given(
    st.sampled_from(["a1", "a2", "a3"]),
    st.frozensets(st.sampled_from(["a1", "a2", "a3"])),
    st.integers(0, 5),
)
def test_no_agent_is_restarted_while_another_host_is_missing(
    candidate: str, missing: frozenset[str], kept: int
) -> None:
    why_not = may_restart(
        candidate,
        restarting=frozenset(),
        undone=frozenset(),
        kept=kept,
        limits=LIMITS,
        missing=missing,
    )
    assert bool(why_not) is bool(missing - {candidate})


def test_a_holder_does_not_count_against_itself() -> None:
    seen = view(rebooting=(host(1),))
    assert may_begin(host(1), seen, attrs.evolve(LIMITS, reboots=1)) == ""


OWN = Limits(reboots=3, own_addresses=frozenset({"10.0.0.1"}))


@pytest.mark.parametrize(
    ("wanting", "rebooting", "allowed"),
    [
        ({"a1"}, set(), True),
        ({"a1", "a3"}, set(), False),
        ({"a1"}, {"a3"}, False),
        (set(), {"a1"}, True),
    ],
)
def test_the_schedulers_own_host_is_rebooted_last(
    wanting: set[str], rebooting: set[str], *, allowed: bool
) -> None:
    under_way = tuple(host(int(name[1:])) for name in sorted(rebooting))
    seen = view(wanting=frozenset(wanting), rebooting=under_way)
    why_not = may_go(host(1), seen, OWN)
    assert (why_not == "") == allowed
    assert allowed or "last" in why_not
    assert may_go(host(3), seen, OWN) == "", "the others do not wait for it"


def test_the_schedulers_own_host_is_never_rebooted_while_its_state_is_bound_to_it() -> None:
    bound = attrs.evolve(OWN, own_may_reboot=False)
    assert "by hand" in may_go(host(1), VIEW, bound)
    assert may_go(host(2), VIEW, bound) == ""


# -- whatever the view ----------------------------------------------------------------------------

HOSTS = tuple(host(number) for number in range(1, 5))


@st.composite
def views(draw: st.DrawFn) -> View:
    units = [
        sds(
            number,
            good=draw(st.integers(0, 3)) > 0,
            domain=draw(st.sampled_from(["d1", "d2"])),
            fault_set=draw(st.sampled_from(["", "f", "g"])),
        )
        for number in draw(st.sets(st.integers(1, 5)))
    ]
    pools = [STORAGE] * 3 + [pool(degraded_kb=1), pool(failed_kb=2), pool(moving=True)]
    storage = attrs.evolve(
        draw(st.sampled_from(pools)),
        sds=tuple(units),
        mdm_normal=draw(st.integers(0, 4)) > 0,
        taken_at=draw(st.sampled_from([NOW - 30.0, NOW - 5.0, NOW - 1.0, NOW])),
    )
    under_way = draw(st.sets(st.sampled_from(HOSTS)))
    return attrs.evolve(
        VIEW,
        subscribed=draw(st.integers(0, 4)) > 0,
        storage=draw(st.sampled_from([storage, storage, storage, None])),
        rebooting={one.host: one for one in under_way},
        wanting=frozenset(draw(st.sets(st.sampled_from([one.host for one in HOSTS])))),
        missing=frozenset(draw(st.sets(st.sampled_from([one.host for one in HOSTS]), max_size=2))),
    )


limits = st.builds(
    Limits,
    reboots=st.integers(1, 3),
    own_addresses=st.sets(st.sampled_from([one.address for one in HOSTS])).map(frozenset),
    own_may_reboot=st.booleans(),
)


@given(st.sampled_from(HOSTS), views(), limits, st.sampled_from([float("-inf"), NOW - 2.0]))
def test_a_yes_is_said_only_when_every_condition_holds(
    candidate: Rebooting, seen: View, rules: Limits, looked_after: float
) -> None:
    if may_go(candidate, seen, rules, looked_after=looked_after):
        return
    storage = seen.storage
    assert seen.subscribed
    assert not seen.missing - {candidate.host}
    assert storage is not None
    assert storage.taken_at >= max(looked_after, NOW - SNAPSHOT_AGE_MAX_S)
    assert storage.mdm_normal
    assert storage.data_is_whole
    others = [one for name, one in seen.rebooting.items() if name != candidate.host]
    mine = next((s for s in storage.sds if candidate.address in s.addresses), None)
    for unit in storage.sds:
        if mine is None or unit is mine or unit.domain_id != mine.domain_id:
            continue
        if mine.fault_set_id and unit.fault_set_id == mine.fault_set_id:
            continue
        assert unit.good
        assert not any(other.address in unit.addresses for other in others)
    if candidate.address in rules.own_addresses:
        assert rules.own_may_reboot
        assert not (seen.wanting | seen.rebooting.keys()) - {candidate.host}


@given(st.sampled_from(HOSTS), views(), limits)
def test_beginning_asks_for_all_that_going_does_and_for_room(
    candidate: Rebooting, seen: View, rules: Limits
) -> None:
    others = len(seen.rebooting.keys() - {candidate.host})
    if may_begin(candidate, seen, rules) == "":
        assert may_go(candidate, seen, rules) == ""
        assert others < rules.reboots
    elif others < rules.reboots:
        assert may_go(candidate, seen, rules)


# -- hosts that carry the cluster's control -----------------------------------------------------

MEMBERS = attrs.evolve(STORAGE, member_addresses=("10.0.0.1", "10.0.0.2"))
PILLARS = Limits(pillars=frozenset({"10.0.0.9"}))


def waits(address: str, away: dict[str, str], storage: StorageSnapshot | None = MEMBERS) -> str:
    return pillar_waits(address, away=away, storage=storage, now=NOW, limits=PILLARS)


def test_an_ordinary_host_does_not_wait_for_an_mdm() -> None:
    assert waits("10.0.0.5", {"a1": "10.0.0.1"}) == ""


def test_one_host_of_the_control_is_away_at_a_time() -> None:
    assert waits("10.0.0.2", {}) == ""
    assert waits("10.0.0.2", {"a7": "10.0.0.7"}) == ""
    assert "a1" in waits("10.0.0.2", {"a1": "10.0.0.1"})
    assert "a1" in waits("10.0.0.9", {"a1": "10.0.0.1"}), "a master waits for an MDM, too"
    assert "a9" in waits("10.0.0.1", {"a9": "10.0.0.9"})


def test_an_mdm_waits_for_a_fresh_look_at_a_normal_cluster() -> None:
    old = attrs.evolve(MEMBERS, taken_at=NOW - SNAPSHOT_AGE_MAX_S - 1.0)
    assert waits("10.0.0.1", {}, old) == STALE
    assert waits("10.0.0.9", {}, old) == "", "no MDM"
    unwell = attrs.evolve(MEMBERS, mdm_normal=False, mdm_detail="2 of 3")
    assert "2 of 3" in waits("10.0.0.1", {}, unwell)


# -- between the permit and the look that shows what followed --------------------------------------


def test_nobody_goes_while_one_that_was_let_go_may_be_on_its_way_down() -> None:
    gone = attrs.evolve(view(rebooting=(host(3),)), let_go=frozenset({"a3"}))
    assert "a3 was let go" in may_go(host(1), gone, LIMITS), "of another protection domain, too"
    assert may_go(host(3), gone, LIMITS) == "", "it is the same permission"


def test_a_host_without_an_sds_takes_no_data_along() -> None:
    gone = attrs.evolve(view(rebooting=(host(9, storage=False),)), let_go=frozenset({"a9"}))
    assert may_go(host(1), gone, LIMITS) == ""


def test_who_only_holds_a_place_is_not_gone_yet() -> None:
    assert may_go(host(1), view(rebooting=(host(3),)), LIMITS) == ""
