"""Matching offers to needs, whatever is offered and wanted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.offers import Matching, Need, match
from protocol.mesos.calls import Taken
from protocol.mesos.offered import Offer
from protocol.mesos.resources import Resource, milli, usable, wire

AGENTS = ("S0", "S1", "S2")


@st.composite
def resources(draw: st.DrawFn) -> tuple[Resource, ...]:
    found = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cpus", "mem", "disk"]),
                st.floats(min_value=0.001, max_value=64, allow_nan=False),
                st.sampled_from(["*", "scaleio", "other"]),
            ),
            max_size=6,
        )
    )
    raw = [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}, "role": role}
        for name, value, role in found
    ]
    return usable(raw, role="scaleio")


@st.composite
def offers(draw: st.DrawFn) -> list[Offer]:
    agents = draw(st.lists(st.sampled_from(AGENTS), max_size=8))
    return [
        Offer(
            offer_id=f"O{number}",
            agent_id=agent,
            hostname=agent,
            ip="10.0.0.1",
            port=5051,
            role=draw(st.sampled_from(["scaleio", "scaleio", "second"])),
            resources=draw(resources()),
            attributes={},
        )
        for number, agent in enumerate(agents)
    ]


amounts = st.fixed_dictionaries(
    {"cpus": st.integers(min_value=1, max_value=8000), "mem": st.integers(1, 64000)}
)
needs = st.dictionaries(st.sampled_from(AGENTS), amounts, max_size=3).map(
    lambda wanted: [
        Need(host=agent, agent_id=agent, task_id=f"{agent}.t", amounts_milli=amount)
        for agent, amount in wanted.items()
    ]
)


@given(needs, offers())
def test_every_offer_is_used_once_or_left_over(wanted: list[Need], there: list[Offer]) -> None:
    found = match(wanted, there)
    used = [o.offer_id for m in found.matches for o in m.offers]
    left = [o.offer_id for o in found.left]
    assert sorted(used + left) == sorted(o.offer_id for o in there)


@given(needs, offers())
def test_a_match_takes_exactly_what_is_needed_and_never_more_than_offered(
    wanted: list[Need], there: list[Offer]
) -> None:
    for one in match(wanted, there).matches:
        assert len({(o.agent_id, o.role) for o in one.offers}) == 1
        assert one.offers[0].agent_id == one.need.agent_id
        for name, amount in one.need.amounts_milli.items():
            assert sum(t.amount_milli for t in one.taken if t.resource.name == name) == amount
        for taken in one.taken:
            assert 0 < taken.amount_milli <= taken.resource.amount_milli
        pieces = [id(t.resource) for t in one.taken]
        assert len(pieces) == len(set(pieces))


@given(needs, offers())
def test_a_need_is_met_or_has_a_reason(wanted: list[Need], there: list[Offer]) -> None:
    found = match(wanted, there)
    met = {m.need.host for m in found.matches}
    assert met | set(found.verdicts) == {n.host for n in wanted}
    assert not met & set(found.verdicts)
    assert all(found.verdicts.values())


@given(needs, offers())
def test_no_offer_of_a_match_is_needless(wanted: list[Need], there: list[Offer]) -> None:
    for one in match(wanted, there).matches:
        for spare in one.offers:
            rest = [o for o in one.offers if o is not spare]
            if rest:
                again: Matching = match([one.need], rest)
                assert not again.matches


@given(needs, offers())
def test_an_offer_that_holds_a_need_alone_is_found(wanted: list[Need], there: list[Offer]) -> None:
    found = match(wanted, there)
    for need in wanted:
        alone = [o for o in there if o.agent_id == need.agent_id and _holds(o, need)]
        if alone:
            assert any(m.need is need and len(m.offers) == 1 for m in found.matches)


def _holds(offer: Offer, need: Need) -> bool:
    return all(
        sum(r.amount_milli for r in offer.resources if r.name == name) >= amount
        for name, amount in need.amounts_milli.items()
    )


@given(st.integers(min_value=1, max_value=10**9))
def test_milli_units_survive_the_wire(amount: int) -> None:
    """0.1 + 0.2 is 0.3 here: what we name is what the master counts."""
    piece = Resource(name="cpus", amount_milli=amount, role="*", echo={"name": "cpus"})
    sent = wire(piece, Taken(piece, amount).amount_milli)
    scalar = sent["scalar"]
    assert isinstance(scalar, dict)
    assert milli(scalar["value"]) == amount
