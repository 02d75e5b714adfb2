"""What an agent's attributes ask for, and what is said where they cannot be meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.layout import NAME_CHARACTERS_MAX, Layout, PoolWish, layout_of


def of(**attributes: str) -> Layout:
    """Keyword names with `_` for `-`; a leading `sds_` or `sdc_` stands for the whole prefix."""
    named = {f"scaleio-{key.replace('_', '-')}": value for key, value in attributes.items()}
    return layout_of(named, domain="default", pool="default")


def wish(domain: str, pool: str, *devices: str) -> PoolWish:
    return PoolWish(domain=domain, pool=pool, devices=devices)


def test_without_attributes_empty_disks_are_discovered_for_the_default_pool() -> None:
    found = layout_of({"rack": "r1"}, domain="pd", pool="sp")
    assert found == Layout(
        imperative=False,
        provides=(PoolWish(domain="pd", pool="sp"),),
        consumes=(wish("pd", "sp"),),
        reasons=("the flags",),
    )


def test_named_devices_go_to_the_named_pools() -> None:
    found = of(
        sds_domains="pd1", sds_pd1="ssd, hdd", sds_ssd="/dev/sdb,/dev/sdc", sds_hdd=" /dev/sdd "
    )
    assert found.imperative
    assert found.provides == (
        wish("pd1", "ssd", "/dev/sdb", "/dev/sdc"),
        wish("pd1", "hdd", "/dev/sdd"),
    )
    assert found.faults == ()


def test_blanks_empty_items_and_repetitions_in_lists_do_not_matter() -> None:
    found = of(sds_domains=" pd1,,", sds_pd1="p, p,", sds_p="/dev/b,, /dev/b ,/dev/c")
    assert found.provides == (wish("pd1", "p", "/dev/b", "/dev/c"),)
    assert found.faults == ()


def test_a_name_that_carries_the_prefix_already_is_used_without_it() -> None:
    found = of(sds_domains="scaleio-sds-pd1", sds_pd1="scaleio-sds-p", sds_p="/dev/b")
    assert found.provides == (wish("pd1", "p", "/dev/b"),)


def test_a_domain_and_a_pool_of_the_same_name_share_an_attribute() -> None:
    found = of(sds_domains="default", sds_default="default,/dev/sdb,/dev/sdc")
    assert found.provides == (wish("default", "default", "/dev/sdb", "/dev/sdc"),)


def test_the_spelling_with_the_domain_tells_equal_pool_names_apart() -> None:
    attributes = {
        "scaleio-sds-domains": "pd1",
        "scaleio-sds-pd1": "p",
        "scaleio-sds-p": "/dev/wrong",
        "scaleio-sds-pd1.p": "/dev/right",
    }
    found = layout_of(attributes, domain="default", pool="default")
    assert found.provides == (wish("pd1", "p", "/dev/right"),)


def test_an_agent_may_consume_from_another_domain_than_it_serves() -> None:
    found = of(sds_domains="pd1", sds_pd1="p", sds_p="/dev/b", sdc_domains="pd2", sdc_pd2="q")
    assert found.provides == (wish("pd1", "p", "/dev/b"),)
    assert found.consumes == (wish("pd2", "q"),)


def test_who_names_no_consumed_pool_consumes_the_first_provided() -> None:
    assert of(sds_domains="pd1", sds_pd1="p", sds_p="/dev/b").consumes == (wish("pd1", "p"),)


def test_an_agent_that_only_consumes_provides_nothing() -> None:
    found = of(sdc_domains="pd2", sdc_pd2="q")
    assert (found.imperative, found.provides) == (True, ())
    assert found.consumes == (wish("pd2", "q"),)


def test_an_empty_list_of_domains_means_provide_nothing() -> None:
    found = of(sds_domains="")
    assert (found.imperative, found.provides, found.faults) == (True, (), ())
    assert found.consumes == (wish("default", "default"),)


def test_a_fault_set_is_read() -> None:
    assert of(fault_set=" rack7 ").fault_set == "rack7"
    assert of().fault_set == ""


LONG = "p" * (NAME_CHARACTERS_MAX + 1)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"sds_domains": "pd1"}, ("scaleio-sds-domains", "scaleio-sds-pd1", "no pool")),
        ({"sdc_domains": "pd1"}, ("scaleio-sdc-domains", "scaleio-sdc-pd1", "no pool")),
        ({"sds_domains": "pd1", "sds_pd1": "p"}, ("scaleio-sds-p", "no device")),
        (
            {"sds_domains": "a,b", "sds_a": "p", "sds_b": "q", "sds_p": "/d", "sds_q": "/e"},
            ("2 protection domains", "a, b", "name one"),
        ),
        ({"sds_domains": "pd1", "sds_pd1": LONG, f"sds_{LONG}": "/d"}, (LONG, "31", "shorten")),
    ],
)
def test_what_is_wrong_is_said_with_the_attributes_name_and_a_cure(
    attributes: dict[str, str], words: tuple[str, ...]
) -> None:
    [fault] = of(**attributes).faults
    assert all(word in fault for word in words), fault


NAMES = st.text(alphabet="abp,/- .", max_size=12)


@given(
    st.dictionaries(
        st.sampled_from(
            ["sds-domains", "sdc-domains", "sds-a", "sds-b", "sds-p", "sds-a.p", "sdc-a", "x"]
        ).map(lambda key: f"scaleio-{key}"),
        NAMES,
    )
)
def test_any_attributes_give_a_layout_that_can_be_acted_on(attributes: dict[str, str]) -> None:
    """No exception; every wish has names, and nobody is left without a pool to consume from."""
    found = layout_of(attributes, domain="default", pool="default")
    assert found.consumes
    for one in (*found.provides, *found.consumes):
        assert one.domain
        assert one.pool
        assert "," not in one.domain + one.pool
    for one in found.provides:
        if found.imperative:
            assert one.devices is not None, "who named things wants nothing discovered"
            assert one.devices or found.faults
