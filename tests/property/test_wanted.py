"""The wanted state: nobody's wish is lost, the order of agents is nothing, limits are kept."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.layout import layout_of
from domain.limits import NO_LIMITS, Limits, Member, why_over, why_too_many_devices
from domain.storage import (
    DomainState,
    FaultSetState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
)
from domain.wanted import resolve

DOMAINS = ["pd1", "pd2"]
EMPTY = StorageSnapshot(taken_at=0.0, api_version=(3, 6), system_id="s", mdm_normal=True)


def member(number: int, domain: str, pool: str, fault_set: str, *, provides: bool) -> Member:
    attributes = {"scaleio-faultset": fault_set} if fault_set else {}
    return Member(
        host=f"a{number:03}",
        address=f"10.0.0.{number}",
        phase="installing",
        layout=layout_of(attributes, domain=domain, pool=pool),
        sdc_guid=f"GUID-{number}",
        provides=provides,
    )


@st.composite
def sites(draw: st.DrawFn) -> list[Member]:
    return [
        member(
            number,
            draw(st.sampled_from(DOMAINS)),
            draw(st.sampled_from(["p", "q"])),
            draw(st.sampled_from(["", "r1", "r2"])),
            provides=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


def cluster_of(there: list[Member]) -> StorageSnapshot:
    """A storage cluster that has those agents, and the domains and pools that they want."""
    domains = tuple(DomainState(id=name, name=name) for name in DOMAINS)
    pools = tuple(PoolState(id=f"{d}{p}", name=p, domain_id=d) for d in DOMAINS for p in ("p", "q"))
    return attrs.evolve(
        EMPTY,
        domains=domains,
        pools=pools,
        sds=tuple(
            SdsState(
                id=one.host,
                name=f"sds_{one.address}",
                domain_id=one.domain,
                addresses=(one.address,),
                good=True,
            )
            for one in there
            if one.domain
        ),
        sdcs=tuple(SdcState(id=one.host, guid=one.sdc_guid, connected=True) for one in there),
    )


small = st.builds(
    Limits, sds=st.integers(0, 9), sds_per_domain=st.integers(0, 5), sdc=st.integers(0, 12)
)


@given(sites(), st.randoms(use_true_random=False))
def test_the_order_of_agents_is_nothing(site: list[Member], rng: random.Random) -> None:
    shuffled = list(site)
    rng.shuffle(shuffled)
    storage = cluster_of(site[::2])
    assert resolve(site, storage, Limits(), {}) == resolve(shuffled, storage, Limits(), {})


@given(sites())
def test_every_wish_is_in_the_wanted_state(site: list[Member]) -> None:
    wanted = resolve(site, None, Limits(), {})
    there = {
        (domain.name, sds.host, sds.fault_set, sds.pools)
        for domain in wanted.domains
        for sds in domain.sds
    }
    assert there == {
        (m.domain, m.host, m.layout.fault_set, tuple(w.pool for w in m.layout.provides))
        for m in site
        if m.domain
    }
    assert set(wanted.clients) == {m.host for m in site}
    for domain in wanted.domains:
        assert all(sds.reasons for sds in domain.sds), "each says who asked"
        pools = {pool for sds in domain.sds for pool in sds.pools}
        assert pools == {pool.name for pool in domain.pools}


@given(sites(), sites(), small)
def test_who_is_let_through_never_exceeds_a_limit(
    there: list[Member], coming: list[Member], limits: Limits
) -> None:
    """All that are let through join, in whatever order: the sums stay within the limits."""
    taken = {one.host for one in there}
    coming = [one for one in coming if one.host not in taken]
    storage = cluster_of(there)
    everyone = [*there, *coming]
    let = [one for one in coming if not why_over(one, everyone, storage, limits)]
    for one in there:
        assert why_over(one, everyone, storage, limits) == "", "who is in stays in"
    after = cluster_of([*there, *let])
    grown = {s.domain_id for s in after.sds if s.id in {one.host for one in let}}
    if limits.sds and any(one.domain for one in let):
        assert len(after.sds) <= max(limits.sds, len(storage.sds))
    for domain in grown:
        count = sum(s.domain_id == domain for s in after.sds)
        before = sum(s.domain_id == domain for s in storage.sds)
        if limits.sds_per_domain:
            assert count <= max(limits.sds_per_domain, before)
    if limits.sdc and let:
        assert len(after.sdcs) <= max(limits.sdc, len(storage.sdcs))


@given(sites(), small)
def test_those_who_wait_are_told_with_the_limit_and_the_others_go_on(
    coming: list[Member], limits: Limits
) -> None:
    storage = cluster_of([])
    for one in coming:
        why = why_over(one, coming, storage, limits)
        assert ("at most" in why and "-limits=off" in why) if why else True
    assert not [one for one in coming if why_over(one, coming, storage, NO_LIMITS)]
    if coming:
        wanted = resolve(coming, storage, limits, {})
        waits = [one for one in coming if why_over(one, coming, storage, limits)]
        told = {host for c in wanted.conflicts if c.kind == "limit" for host in c.hosts}
        assert told == {one.host for one in waits}


@given(sites())
def test_adding_an_agent_changes_nobody_elses_objects(site: list[Member]) -> None:
    if not site:
        return
    before = resolve(site[:-1], None, NO_LIMITS, {})
    after = resolve(site, None, NO_LIMITS, {})
    known = {sds for domain in before.domains for sds in domain.sds}
    assert known <= {sds for domain in after.domains for sds in domain.sds}


# -- what stands against it -----------------------------------------------------------------------


def kinds(*site: Member, storage: StorageSnapshot | None = None) -> list[str]:
    return sorted({c.kind for c in resolve(site, storage, Limits(), {}).conflicts})


def three(domain: str = "pd1", fault_set: str = "") -> list[Member]:
    return [member(n, domain, "p", fault_set, provides=True) for n in (1, 2, 3)]


def test_three_nodes_are_enough_and_two_or_one_rack_are_not() -> None:
    assert kinds(*three()) == []
    assert kinds(*three()[:2]) == ["few-fault-units"]
    assert kinds(*three(fault_set="r1")) == ["few-fault-units"]
    [one] = resolve(three()[:2], None, Limits(), {}).conflicts
    assert not one.blocking, "nodes come one by one"


def test_a_fault_set_in_two_domains_is_a_conflict() -> None:
    other = attrs.evolve(three("pd2", "r1")[0], host="b", address="10.1.0.1")
    site = [*three("pd1", "r1"), other]
    assert "fault-set" in kinds(*site)
    there = attrs.evolve(
        EMPTY,
        domains=(DomainState(id="d2", name="pd2"),),
        fault_sets=(FaultSetState(id="f", name="r1", domain_id="d2"),),
    )
    assert "fault-set" in kinds(*three("pd1", "r1"), storage=there)


def test_an_sds_of_another_domain_and_a_small_pool_are_told() -> None:
    site = three()
    moved = attrs.evolve(
        cluster_of(site),
        sds=(SdsState(id="x", name="x", domain_id="pd2", addresses=("10.0.0.1",)),),
    )
    assert "other-domain" in kinds(*site, storage=moved)
    pool = attrs.evolve(cluster_of(site).pools[0], capacity_kb=200 << 20)
    assert "small-pool" in kinds(*site, storage=attrs.evolve(cluster_of(site), pools=(pool,)))


@pytest.mark.parametrize(
    ("count", "terabytes", "words"),
    [(64, 10, ""), (65, 10, "65 devices"), (3, 65, "65 TB")],
)
def test_an_sds_holds_so_many_devices_and_so_much(count: int, terabytes: int, words: str) -> None:
    why = why_too_many_devices(count, terabytes * 10**12, Limits())
    assert words in why
    assert bool(why) is bool(words)
