"""An agent's place in the storage cluster: the next missing thing, in order, and no other."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import joining
from domain.joining import (
    AddDevice,
    AddSdsAddress,
    ApproveSdc,
    CreateDomain,
    CreatePool,
    CreateSds,
    Joined,
    JoinSpec,
    NameSdc,
    PoolSpec,
    Refuse,
    SdsAddress,
    SetSdsRole,
    SetThresholds,
    Wait,
    device_name,
    next_act,
)
from domain.storage import (
    DeviceState,
    DomainState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
)

GUID = "6A1D4C5E-0F3B-4C52-9C35-0A8B5F7C2D11"
SPEC = JoinSpec(
    host="a1",
    address="10.0.0.1",
    domain="pd",
    pools=("p", "q"),
    fault_set="rack1",
    devices={"/dev/disk/by-id/one": "p", "/dev/disk/by-id/two": "q"},
    sdc_guid=GUID,
)
EMPTY = StorageSnapshot(taken_at=0.0, api_version=(3, 6), system_id="s", mdm_normal=True)
WITH_POOLS = attrs.evolve(
    EMPTY,
    domains=(DomainState(id="d1", name="pd"),),
    pools=(
        PoolState(id="p1", name="p", domain_id="d1"),
        PoolState(id="q1", name="q", domain_id="d1"),
        PoolState(id="p2", name="p", domain_id="d2"),
    ),
)
SDS = SdsState(
    id="s1",
    name="sds_10.0.0.1",
    domain_id="d1",
    addresses=("10.0.0.1",),
    good=True,
    detail="Normal",
)
WITH_SDS = attrs.evolve(WITH_POOLS, sds=(SDS,))
DEVICES = tuple(
    DeviceState(id=f"v{pool}", path=path, sds_id="s1", pool_id=f"{pool}1")
    for path, pool in SPEC.devices.items()
)
SERVING = attrs.evolve(WITH_SDS, devices=DEVICES)
WHOLE = attrs.evolve(SERVING, sdcs=(SdcState(id="c1", guid=GUID, connected=True),))


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (EMPTY, CreateDomain("pd")),
        (attrs.evolve(WITH_POOLS, pools=()), CreatePool("d1", "p")),
        (attrs.evolve(WITH_POOLS, pools=WITH_POOLS.pools[:1]), CreatePool("d1", "q")),
        (attrs.evolve(WITH_POOLS, pools=WITH_POOLS.pools[1:]), CreatePool("d1", "p")),
        (WITH_POOLS, CreateSds("d1", "sds_10.0.0.1", (SdsAddress(ip="10.0.0.1"),), "rack1")),
        (
            WITH_SDS,
            AddDevice("s1", "p1", "/dev/disk/by-id/one", device_name("a1", "/dev/disk/by-id/one")),
        ),
        (
            attrs.evolve(WITH_SDS, devices=DEVICES[:1]),
            AddDevice("s1", "q1", "/dev/disk/by-id/two", device_name("a1", "/dev/disk/by-id/two")),
        ),
        (WHOLE, Joined("s1")),
    ],
)
def test_the_first_thing_that_is_missing_is_next(
    storage: StorageSnapshot, expected: joining.Act
) -> None:
    assert next_act(storage, SPEC) == expected


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (attrs.evolve(WITH_SDS, sds=(attrs.evolve(SDS, good=False, detail="Joining"),)), "Joining"),
        (
            attrs.evolve(
                WITH_SDS, devices=(attrs.evolve(DEVICES[0], good=False, detail="testing"),)
            ),
            "testing",
        ),
        (SERVING, "MDM_IP"),
        (attrs.evolve(SERVING, sdcs=(SdcState(id="c1", guid=GUID),)), "not connected"),
    ],
)
def test_what_takes_its_time_is_waited_for_with_a_reason(
    storage: StorageSnapshot, words: str
) -> None:
    act = next_act(storage, SPEC)
    assert isinstance(act, Wait)
    assert words in act.sentence


@pytest.mark.parametrize(
    ("storage", "spec", "words"),
    [
        (
            attrs.evolve(WITH_POOLS, domains=(DomainState(id="d1", name="pd", active=False),)),
            SPEC,
            ("pd", "inactive", "activate"),
        ),
        (
            attrs.evolve(WITH_SDS, sds=(attrs.evolve(SDS, domain_id="d2"),)),
            SPEC,
            ("sds_10.0.0.1", "can't be moved", "pd"),
        ),
        (
            WITH_SDS,
            attrs.evolve(SPEC, devices={"/dev/sdb": "gone"}),
            ("/dev/sdb", "gone", "name the pool again"),
        ),
    ],
)
def test_what_only_an_operator_can_mend_is_refused_with_what_to_do(
    storage: StorageSnapshot, spec: JoinSpec, words: tuple[str, ...]
) -> None:
    act = next_act(storage, spec)
    assert isinstance(act, Refuse)
    assert all(word in act.sentence for word in words), act.sentence


def test_an_agent_without_devices_creates_nothing() -> None:
    client = attrs.evolve(SPEC, devices={})
    assert isinstance(next_act(EMPTY, client), Wait)
    assert next_act(attrs.evolve(EMPTY, sdcs=WHOLE.sdcs), client) == Joined("")
    assert next_act(EMPTY, attrs.evolve(client, sdc_guid="")) == Joined("")


@pytest.mark.parametrize("restriction", ["Guid", "ApprovedIp"])
def test_a_client_is_approved_where_the_system_asks_for_it(restriction: str) -> None:
    sdc = SdcState(id="c1", guid=GUID, approved=False)
    storage = attrs.evolve(SERVING, sdcs=(sdc,), restricted_sdc=restriction)
    assert next_act(storage, SPEC) == ApproveSdc(GUID, "10.0.0.1")
    assert isinstance(next_act(attrs.evolve(storage, restricted_sdc="None"), SPEC), Wait)


def test_a_guid_in_lower_case_is_the_same_client() -> None:
    assert next_act(WHOLE, attrs.evolve(SPEC, sdc_guid=GUID.lower())) == Joined("s1")


def test_device_names_fit_and_differ_between_hosts_and_between_long_ids() -> None:
    """Names are unique in a cluster, and 31 characters long at most."""
    model = "/dev/disk/by-id/ata-Samsung_SSD_860_EVO_500GB_"
    names = {
        device_name(host, path)
        for host in ("a1", "a2")
        for path in ("/dev/sdb", f"{model}S3Z1NB0K123456A", f"{model}S3Z1NB0K123456B")
    }
    assert len(names) == 6
    assert all(len(name) <= 31 and " " not in name for name in names)


# -- any cluster ----------------------------------------------------------------------------------

DOMAINS = ("pd", "other")
POOLS = ("p", "q")
ADDRESSES = ("10.0.0.1", "10.0.0.2")
PATHS = ("/dev/sdb", "/dev/sdc", "/dev/sdd")


@st.composite
def clusters(draw: st.DrawFn) -> StorageSnapshot:
    domains = [
        DomainState(id=f"d-{name}", name=name, active=draw(st.booleans()))
        for name in draw(st.sets(st.sampled_from(DOMAINS)))
    ]
    ids = sorted(d.id for d in domains)
    pools = [
        PoolState(id=f"{domain}-{name}", name=name, domain_id=domain)
        for domain in ids
        for name in draw(st.sets(st.sampled_from(POOLS)))
    ]
    sds = [
        SdsState(
            id=f"s-{address}",
            name=f"s {address}",
            domain_id=draw(st.sampled_from(ids)),
            addresses=(address,),
            good=draw(st.booleans()),
        )
        for address in (draw(st.sets(st.sampled_from(ADDRESSES))) if ids else ())
    ]
    devices = [
        DeviceState(
            id=f"{one.id}{path}", path=path, sds_id=one.id, pool_id="x", good=draw(st.booleans())
        )
        for one in sds
        for path in draw(st.sets(st.sampled_from(PATHS)))
    ]
    sdcs = [
        SdcState(id="c", guid=GUID, approved=draw(st.booleans()), connected=draw(st.booleans()))
        for _ in range(draw(st.integers(0, 1)))
    ]
    return attrs.evolve(
        EMPTY,
        domains=tuple(domains),
        pools=tuple(pools),
        sds=tuple(sds),
        devices=tuple(devices),
        sdcs=tuple(sdcs),
        restricted_sdc=draw(st.sampled_from(["None", "Guid"])),
    )


specs = st.builds(
    JoinSpec,
    host=st.just("a1"),
    address=st.sampled_from(ADDRESSES),
    domain=st.sampled_from(["pd", ""]),
    pools=st.lists(st.sampled_from(POOLS), unique=True).map(tuple),
    fault_set=st.sampled_from(["", "rack1"]),
    devices=st.dictionaries(st.sampled_from(PATHS), st.sampled_from(POOLS)),
    pool_specs=st.lists(
        st.builds(
            PoolSpec,
            name=st.sampled_from(POOLS),
            spare_percent=st.sampled_from([0, 34]),
            capacity_high=st.sampled_from([0, 70]),
            capacity_critical=st.sampled_from([0, 85]),
        ),
        max_size=2,
    ).map(tuple),
    addresses=st.lists(
        st.builds(
            SdsAddress,
            ip=st.sampled_from([*ADDRESSES, "10.9.0.1"]),
            role=st.sampled_from(["all", "sdsOnly"]),
        ),
        max_size=3,
        unique_by=lambda one: one.ip,
    ).map(tuple),
    sdc_name=st.sampled_from(["", "client-1"]),
    sdc_guid=st.sampled_from(["", GUID]),
)


def carried_out(storage: StorageSnapshot, act: joining.Act, spec: JoinSpec) -> StorageSnapshot:
    """The cluster after `act`, which must not make what exists."""
    match act:
        case CreateDomain(name=name):
            assert all(d.name != name for d in storage.domains)
            made = DomainState(id=f"d-{name}", name=name)
            return attrs.evolve(storage, domains=(*storage.domains, made))
        case CreatePool(domain_id=domain_id, name=name):
            assert all((p.domain_id, p.name) != (domain_id, name) for p in storage.pools)
            pool = PoolState(id=f"{domain_id}-{name}", name=name, domain_id=domain_id)
            return attrs.evolve(storage, pools=(*storage.pools, pool))
        case SetThresholds(pool_id=pool_id, high=high, critical=critical):
            changed = [
                attrs.evolve(p, high_percent=high, critical_percent=critical)
                if p.id == pool_id
                else p
                for p in storage.pools
            ]
            assert tuple(changed) != storage.pools
            return attrs.evolve(storage, pools=tuple(changed))
        case CreateSds(domain_id=domain_id, name=name, addresses=addresses):
            roles = {one.ip: one.role for one in addresses}
            assert storage.sds_at(spec.address) is None, "an address has one SDS in one domain"
            assert spec.address in roles
            sds = SdsState(
                id=name,
                name=name,
                domain_id=domain_id,
                addresses=tuple(roles),
                roles=roles,
                good=True,
            )
            return attrs.evolve(storage, sds=(*storage.sds, sds))
        case AddSdsAddress(address=ip, role=role) | SetSdsRole(address=ip, role=role):
            mine = storage.sds_at(spec.address)
            assert mine is not None
            assert mine.id == act.sds_id
            assert (ip in mine.roles) is isinstance(act, SetSdsRole)
            assert mine.roles.get(ip) != role
            roles = {**mine.roles, ip: role}
            grown = attrs.evolve(mine, roles=roles, addresses=tuple(roles))
            others = tuple(s for s in storage.sds if s.id != mine.id)
            return attrs.evolve(storage, sds=(*others, grown))
        case NameSdc(sdc_id=sdc_id, name=name):
            assert all(s.name != name for s in storage.sdcs)
            named = (attrs.evolve(s, name=name) if s.id == sdc_id else s for s in storage.sdcs)
            return attrs.evolve(storage, sdcs=tuple(named))
        case AddDevice(sds_id=sds_id, pool_id=pool_id, path=path):
            assert all((d.sds_id, d.path) != (sds_id, path) for d in storage.devices)
            mine = storage.sds_at(spec.address)
            assert mine is not None
            assert mine.id == sds_id
            pool = next(p for p in storage.pools if p.id == pool_id)
            assert (pool.name, pool.domain_id) == (spec.devices[path], mine.domain_id)
            device = DeviceState(id=f"{sds_id}{path}", path=path, sds_id=sds_id, pool_id=pool_id)
            return attrs.evolve(storage, devices=(*storage.devices, device))
        case ApproveSdc(guid=guid):
            assert not all(s.approved for s in storage.sdcs)
            approved = (attrs.evolve(s, approved=s.guid == guid) for s in storage.sdcs)
            return attrs.evolve(storage, sdcs=tuple(approved))
        case other:
            raise AssertionError(other)


@given(clusters(), specs)
def test_from_any_cluster_a_bounded_number_of_acts_leads_to_an_answer(
    storage: StorageSnapshot, spec: JoinSpec
) -> None:
    """Never makes what exists, never touches another address, never moves an SDS."""
    before = storage
    for _ in range(len(DOMAINS) + 2 * len(POOLS) + len(PATHS) + 8):
        act = next_act(storage, spec)
        if isinstance(act, Joined | Wait | Refuse):
            break
        storage = carried_out(storage, act, spec)
    else:
        raise AssertionError("it does not come to an end")
    assert {(s.id, s.domain_id) for s in before.sds} <= {(s.id, s.domain_id) for s in storage.sds}
    touched = [s for s in before.sds if s not in storage.sds]
    assert all(spec.address in s.addresses for s in touched)
    assert set(before.devices) <= set(storage.devices)
    if isinstance(act, Joined) and spec.domain and spec.devices:
        mine = storage.sds_at(spec.address)
        assert mine is not None
        assert mine.good
        there = {d.path for d in storage.devices if d.sds_id == mine.id and d.good}
        assert set(spec.devices) <= there
        assert all(mine.roles[one.ip] == one.role for one in spec.addresses)
    if isinstance(act, Joined) and spec.sdc_guid:
        sdc = storage.sdc_by_guid(spec.sdc_guid)
        assert sdc is not None
        assert sdc.connected
        assert spec.sdc_name in {"", sdc.name}
    if isinstance(act, Wait | Refuse):
        assert act.sentence


# -- what a layout may ask for besides ------------------------------------------------------------

DESCRIBED = attrs.evolve(
    SPEC,
    pool_specs=(
        PoolSpec(
            name="p",
            media_type="SSD",
            spare_percent=34,
            capacity_high=70,
            capacity_critical=85,
        ),
    ),
)


def test_a_pool_is_made_as_it_is_described_and_kept_at_its_thresholds() -> None:
    assert next_act(attrs.evolve(WITH_POOLS, pools=()), DESCRIBED) == CreatePool(
        "d1", "p", "SSD", 34
    )

    def at(high: int, critical: int) -> StorageSnapshot:
        pool = attrs.evolve(WITH_POOLS.pools[0], high_percent=high, critical_percent=critical)
        return attrs.evolve(WHOLE, pools=(pool, *WHOLE.pools[1:]))

    assert next_act(at(80, 90), DESCRIBED) == SetThresholds("p1", 70, 85)
    assert next_act(at(70, 85), DESCRIBED) == Joined("s1")
    assert next_act(at(0, 0), DESCRIBED) == Joined("s1"), "a release that does not show them"
    assert next_act(at(80, 90), SPEC) == Joined("s1"), "nobody asked"


def test_the_addresses_of_an_sds_get_their_roles_and_hold_the_hosts_own() -> None:
    two = attrs.evolve(
        SPEC,
        addresses=(
            SdsAddress(ip="10.0.0.1", role="sdcOnly"),
            SdsAddress(ip="10.9.0.1", role="sdsOnly"),
        ),
    )
    made = next_act(WITH_POOLS, two)
    assert isinstance(made, CreateSds)
    assert made.addresses == two.addresses
    one = attrs.evolve(SDS, roles={"10.0.0.1": "all"})
    assert next_act(attrs.evolve(WHOLE, sds=(one,)), two) == AddSdsAddress(
        "s1", "10.9.0.1", "sdsOnly"
    ), "it is reached by the other SDSs all the while"
    half = attrs.evolve(SDS, roles={"10.0.0.1": "all", "10.9.0.1": "sdsOnly"})
    assert next_act(attrs.evolve(WHOLE, sds=(half,)), two) == SetSdsRole(
        "s1", "10.0.0.1", "sdcOnly"
    )
    refused = next_act(WHOLE, attrs.evolve(SPEC, addresses=(SdsAddress(ip="10.9.0.1"),)))
    assert isinstance(refused, Refuse)
    assert "leave out 10.0.0.1" in refused.sentence


def test_a_client_is_named_once_it_is_there_unless_the_name_is_taken() -> None:
    named = attrs.evolve(SPEC, sdc_name="a1")
    assert next_act(WHOLE, named) == NameSdc("c1", "a1")
    other = SdcState(id="c2", guid="F" * 36, name="a1", connected=True)
    refused = next_act(attrs.evolve(WHOLE, sdcs=(*WHOLE.sdcs, other)), named)
    assert isinstance(refused, Refuse)
    assert "called a1 already" in refused.sentence
    done = attrs.evolve(WHOLE.sdcs[0], name="a1")
    assert next_act(attrs.evolve(WHOLE, sdcs=(done,)), named) == Joined("s1")


def test_a_devices_test_is_passed_on() -> None:
    act = next_act(WITH_SDS, attrs.evolve(SPEC, device_test="testOnly"))
    assert isinstance(act, AddDevice)
    assert act.test_mode == "testOnly"
