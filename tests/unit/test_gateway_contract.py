"""What HttpGateway promises, held against the simulated Gateway.

Every promise is kept twice: over the network in memory under a virtual clock, for each
release, and over real TLS sockets with a pinned certificate and the real clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import attrs
import pytest
import trio

import adapters.gateway_http
from domain.storage import StorageSnapshot
from protocol.gateway.errors import (
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnreachableError,
)
from simulation.gateway import DeviceSize, Refused
from simulation.http_server import Reply, Request
from tests.unit.gateway_world import (
    GUID,
    OTHER_GUID,
    PASSWORD,
    World,
    in_memory,
    promise,
    promise_in_memory,
)


@contextmanager
def refused(match: str) -> Iterator[None]:
    with pytest.raises(GatewayRefusedError, match=match):
        yield


# --- reading


@promise
async def test_a_snapshot_shows_the_whole_cluster(world: World) -> None:
    shown = await world.gateway.snapshot()

    assert shown.api_version == tuple(int(part) for part in world.simulated.api.split("."))
    assert (shown.system_id, shown.system_name) == (world.simulated.system_id, "scaleio")
    assert shown.mdm_normal, shown.mdm_detail
    assert shown.manager_addresses == ("10.0.0.9", "10.0.0.1", "10.0.0.2")
    assert set(shown.member_addresses) == {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"}
    [domain], [pool] = shown.domains, shown.pools
    assert (domain.name, domain.active, pool.name, pool.domain_id) == (
        "default",
        True,
        "default",
        domain.id,
    )
    assert pool.capacity_kb == 3 * 200 * 1024**2
    assert pool.spare_kb == pool.capacity_kb // 10
    assert pool.available_kb == 33 * 8 * 1024**2  # 270 GB net, in steps of 8
    assert [s.addresses for s in shown.sds] == [("10.0.1.1",), ("10.0.1.2",), ("10.0.1.3",)]
    assert all(s.good and s.detail == "Normal Joined Connected" for s in shown.sds)
    assert {(d.path, d.pool_id, d.good) for d in shown.devices} == {("/dev/sdb", pool.id, True)}
    sdc = shown.sdc_by_guid(GUID.lower())
    assert sdc is not None
    assert (sdc.address, sdc.connected, sdc.approved) == ("10.0.3.1", True, True)
    assert shown.data_is_whole
    assert shown.alerts == ()


@promise
async def test_lost_data_copies_are_seen_until_the_rebuild_has_ended(world: World) -> None:
    world.simulated.set_sds_connected("10.0.1.2", connected=False)
    away = await world.gateway.snapshot()
    lost = away.sds_at("10.0.1.2")
    assert lost is not None
    assert (lost.good, lost.detail) == (False, "Normal Joined Disconnected")
    assert away.pools[0].degraded_kb > 0
    assert not away.data_is_whole
    assert {a.kind for a in away.alerts} == {
        "SDS_DISCONNECTED",
        "STORAGE_POOL_HAS_DEGRADED_CAPACITY",
    }
    assert f"Sds {lost.id}" in {a.object for a in away.alerts}

    world.simulated.set_sds_connected("10.0.1.2", connected=True)
    rebuilding = await world.gateway.snapshot()
    assert rebuilding.sds_at("10.0.1.2") == attrs.evolve(
        lost, good=True, detail="Normal Joined Connected"
    )
    assert rebuilding.pools[0].moving
    assert not rebuilding.data_is_whole

    world.skip(world.simulated.rebuild_s)
    after = await world.gateway.snapshot()
    assert after.data_is_whole
    assert after.alerts == ()


@promise
async def test_a_lost_mdm_makes_the_cluster_not_normal(world: World) -> None:
    for lost in ("10.0.0.1", "10.0.0.3"):
        world.simulated.set_mdm_connected(lost, connected=False)
        shown = await world.gateway.snapshot()
        assert not shown.mdm_normal, shown.mdm_detail
        assert "10.0.0.3" not in shown.manager_addresses
        world.simulated.set_mdm_connected(lost, connected=True)
    assert (await world.gateway.snapshot()).mdm_normal


@promise
async def test_a_disconnected_sdc_is_listed_as_such(world: World) -> None:
    world.simulated.set_sdc_connected(GUID, connected=False)
    sdc = (await world.gateway.snapshot()).sdc_by_guid(GUID)
    assert sdc is not None
    assert not sdc.connected


@promise
async def test_a_failed_device_is_not_good(world: World) -> None:
    world.simulated.set_device_failed("10.0.1.1", "/dev/sdb", failed=True)
    shown = await world.gateway.snapshot()
    assert [d.good for d in shown.devices] == [False, True, True]


@promise
async def test_a_stale_gateway_shows_the_past(world: World) -> None:
    world.simulated.faults.stale = True
    world.simulated.set_sds_connected("10.0.1.1", connected=False)
    assert (await world.gateway.snapshot()).data_is_whole
    world.simulated.faults.stale = False
    assert not (await world.gateway.snapshot()).data_is_whole


# --- sessions


@promise
async def test_many_callers_at_once_need_one_login(world: World) -> None:
    await _at_once(world.gateway.snapshot, 8)
    assert world.simulated.tokens.logins == _logins_each(world)


@promise
async def test_after_a_gateway_restart_one_new_login_serves_all(world: World) -> None:
    await world.gateway.snapshot()
    world.simulated.restart()
    await _at_once(world.gateway.snapshot, 8)
    assert world.simulated.tokens.logins == 2 * _logins_each(world)


@promise
async def test_an_idle_session_is_renewed_before_it_ends(world: World) -> None:
    await world.gateway.snapshot()
    world.skip(481.0)  # 80 % of the ten minutes of an idle token
    await world.gateway.snapshot()
    assert world.simulated.tokens.logins == 2 * _logins_each(world)


@promise
async def test_one_refused_token_costs_one_login_and_one_repetition(world: World) -> None:
    await world.gateway.snapshot()
    world.simulated.faults.unauthorised_next(1)
    assert (await world.gateway.snapshot()).pools
    assert world.simulated.tokens.logins == 2 * _logins_each(world)


@promise
async def test_a_gateway_that_refuses_its_own_tokens_is_not_asked_for_ever(world: World) -> None:
    world.simulated.faults.unauthorised_next(1000)
    with pytest.raises(GatewayLoginError):
        await world.gateway.snapshot()
    assert world.simulated.tokens.logins == 2 * _logins_each(world)


@promise
async def test_a_wrong_password_is_tried_once_and_a_corrected_one_at_once(world: World) -> None:
    world.password[0] = "wrong"
    for _ in range(5):
        with pytest.raises(GatewayLoginError, match="check the user name and the password"):
            await world.gateway.snapshot()
    assert world.simulated.tokens.refused_logins == 1
    world.password[0] = PASSWORD
    assert (await world.gateway.snapshot()).pools


@promise
async def test_a_refused_password_is_tried_again_after_a_pause(world: World) -> None:
    """The Gateway's side may have been put right instead of ours."""
    world.simulated.tokens.password = "another"
    with pytest.raises(GatewayLoginError):
        await world.gateway.snapshot()
    world.simulated.tokens.password = PASSWORD
    world.skip(60.0)
    assert (await world.gateway.snapshot()).pools


@promise
async def test_close_ends_the_session_and_never_fails(world: World) -> None:
    await world.gateway.snapshot()
    await world.gateway.close()
    await world.gateway.close()
    await world.gateway.snapshot()
    assert world.simulated.tokens.logins == 2 * _logins_each(world)


@promise_in_memory
async def test_close_does_not_wait_for_a_silent_gateway(world: World) -> None:
    await world.gateway.snapshot()
    world.simulated.faults.timeout_next(9)
    started = trio.current_time()
    await world.gateway.close()
    assert trio.current_time() - started <= 3.0  # virtual seconds


@promise_in_memory
async def test_bearer_is_used_where_it_exists_and_basic_elsewhere(world: World) -> None:
    schemes: set[str] = set()

    def note(request: Request) -> None:
        if request.path == "/api/instances":
            schemes.add(request.headers["authorization"].partition(" ")[0])

    world.answer_instead.append(note)
    await world.gateway.snapshot()
    assert schemes == {"Bearer" if world.simulated.api == "4.5" else "Basic"}
    schemes.clear()
    world.simulated.bearer_offered = False
    world.simulated.restart()
    await world.gateway.snapshot()
    assert "Basic" in schemes


# --- creating


@promise
async def test_creating_twice_gives_the_same_objects(world: World) -> None:
    gateway = world.gateway

    async def create_all() -> tuple[str, str, str, str, str]:
        domain_id = await gateway.create_protection_domain("pd2")
        pool_id = await gateway.create_storage_pool(domain_id=domain_id, name="fast")
        fault_set_id = await gateway.create_fault_set(domain_id=domain_id, name="rack1")
        sds_id = await gateway.create_sds(
            domain_id=domain_id, name="sds_10.0.4.1", address="10.0.4.1", fault_set_id=fault_set_id
        )
        device_id = await gateway.add_device(
            sds_id=sds_id, pool_id=pool_id, path="/dev/disk/by-id/scsi-1", name="d1"
        )
        return domain_id, pool_id, fault_set_id, sds_id, device_id

    made = await create_all()
    assert await create_all() == made
    domain_id, pool_id, fault_set_id, sds_id, device_id = made
    shown = await gateway.snapshot()
    assert [d.id for d in shown.domains if d.name == "pd2"] == [domain_id]
    assert [p.id for p in shown.pools if p.name == "fast"] == [pool_id]
    sds = shown.sds_at("10.0.4.1")
    assert sds is not None
    assert (sds.id, sds.fault_set_id, sds.domain_id) == (sds_id, fault_set_id, domain_id)
    assert [d.id for d in shown.devices if d.sds_id == sds_id] == [device_id]
    assert world.forced() == [False]


@promise
async def test_a_pool_name_may_stand_in_two_domains(world: World) -> None:
    domain_id = await world.gateway.create_protection_domain("pd2")
    _, seeded, _ = await world.pool_and_sds()
    made = await world.gateway.create_storage_pool(domain_id=domain_id, name="default")
    assert made != seeded


@promise
async def test_what_is_taken_by_something_else_is_refused_with_its_name(world: World) -> None:
    gateway = world.gateway
    domain_id, pool_id, sds_id = await world.pool_and_sds()
    other_domain = await gateway.create_protection_domain("pd2")
    other_pool = await gateway.create_storage_pool(domain_id=domain_id, name="slow")
    fault_set = await gateway.create_fault_set(domain_id=domain_id, name="rack1")

    with refused("sds_10.0.1.1.*10.0.1.1, not at 10.0.9.9"):
        await gateway.create_sds(domain_id=domain_id, name="sds_10.0.1.1", address="10.0.9.9")
    with refused("10.0.1.1 already serves as SDS 'sds_10.0.1.1' in protection domain"):
        await gateway.create_sds(domain_id=other_domain, name="x", address="10.0.1.1")
    with refused("is in fault set .none."):
        await gateway.create_sds(
            domain_id=domain_id, name="x", address="10.0.1.1", fault_set_id=fault_set
        )
    with refused("another protection domain"):
        await gateway.create_fault_set(domain_id=other_domain, name="rack1")
    with refused("/dev/sdb is already in storage pool"):
        await gateway.add_device(sds_id=sds_id, pool_id=other_pool, path="/dev/sdb", name="")
    await gateway.create_volume(pool_id=pool_id, name="v", size_gb=8)
    with refused("'v' exists with another pool or size"):
        await gateway.create_volume(pool_id=pool_id, name="v", size_gb=16)


@promise
async def test_an_sds_that_is_there_under_another_name_is_adopted(world: World) -> None:
    domain_id, _, sds_id = await world.pool_and_sds()
    made = await world.gateway.create_sds(domain_id=domain_id, name="sds_by_us", address="10.0.1.1")
    assert made == sds_id


@promise
async def test_the_worlds_word_on_a_device_reaches_the_caller(world: World) -> None:
    _, pool_id, sds_id = await world.pool_and_sds()
    world.simulated.on_device_added = lambda _ip, path: (
        Refused(71, f"Cannot open {path}") if path == "/dev/none" else DeviceSize(50 * 1024**2)
    )
    with refused("Cannot open /dev/none .error code 71"):
        await world.gateway.add_device(sds_id=sds_id, pool_id=pool_id, path="/dev/none", name="")
    with refused("size of device /dev/small is out of range"):
        await world.gateway.add_device(sds_id=sds_id, pool_id=pool_id, path="/dev/small", name="")


@promise
async def test_names_that_do_not_fit_are_refused_before_anything_is_sent(world: World) -> None:
    domain_id, pool_id, sds_id = await world.pool_and_sds()
    calls = world.simulated.calls
    long = "n" * 32
    with refused("has 32 characters, ScaleIO takes at most 31"):
        await world.gateway.create_protection_domain(long)
    with refused("at most 31"):
        await world.gateway.create_storage_pool(domain_id=domain_id, name=long)
    with refused("at most 31"):
        await world.gateway.create_fault_set(domain_id=domain_id, name=long)
    with refused("at most 31"):
        await world.gateway.create_sds(domain_id=domain_id, name=long, address="10.0.4.1")
    with refused("at most 31"):
        await world.gateway.add_device(sds_id=sds_id, pool_id=pool_id, path="/dev/x", name=long)
    with refused("at most 31"):
        await world.gateway.create_volume(pool_id=pool_id, name=long, size_gb=8)
    with refused("no blanks"):
        await world.gateway.create_volume(pool_id=pool_id, name="a b", size_gb=8)
    assert world.simulated.calls == calls


# --- volumes and SDCs


@promise
async def test_the_life_of_a_volume_can_be_repeated_at_every_step(world: World) -> None:
    gateway = world.gateway
    _, pool_id, _ = await world.pool_and_sds()
    sdc = (await gateway.snapshot()).sdc_by_guid(GUID)
    assert sdc is not None
    assert await gateway.find_volume("probe") is None
    volume_id = await gateway.create_volume(pool_id=pool_id, name="probe", size_gb=3)
    assert await gateway.create_volume(pool_id=pool_id, name="probe", size_gb=3) == volume_id
    assert await gateway.find_volume("probe") == volume_id
    for _ in range(2):
        await gateway.map_volume(volume_id=volume_id, sdc_id=sdc.id)
        assert world.simulated.mapped_volumes(GUID) == [(world.simulated.system_id, volume_id)]
    with refused("mapped to at least one SDC"):
        await gateway.remove_volume(volume_id)
    for _ in range(2):
        await gateway.unmap_volume(volume_id=volume_id, sdc_id=sdc.id)
        assert world.simulated.mapped_volumes(GUID) == []
    for _ in range(2):
        await gateway.remove_volume(volume_id)
    await gateway.unmap_volume(volume_id=volume_id, sdc_id=sdc.id)
    assert await gateway.find_volume("probe") is None
    kinds = [kind for kind, _ in world.events]
    assert kinds == ["volume-created", "volume-mapped", "volume-unmapped", "volume-removed"]


@promise
async def test_a_volume_in_use_elsewhere_is_not_mapped_a_second_time(world: World) -> None:
    _, pool_id, _ = await world.pool_and_sds()
    world.simulated.register_sdc(OTHER_GUID, "10.0.3.2")
    shown = await world.gateway.snapshot()
    first, second = shown.sdc_by_guid(GUID), shown.sdc_by_guid(OTHER_GUID)
    assert first is not None
    assert second is not None
    volume_id = await world.gateway.create_volume(pool_id=pool_id, name="v", size_gb=8)
    await world.gateway.map_volume(volume_id=volume_id, sdc_id=first.id)
    with refused("mapped to another SDC"):
        await world.gateway.map_volume(volume_id=volume_id, sdc_id=second.id)


@promise
async def test_an_sdc_is_approved_where_approval_is_asked_for(world: World) -> None:
    world.simulated.state.restricted_sdc = "Guid"
    world.simulated.register_sdc(OTHER_GUID, "10.0.3.2")
    shown = await world.gateway.snapshot()
    assert shown.restricted_sdc == "Guid"
    waiting = shown.sdc_by_guid(OTHER_GUID)
    assert waiting is not None
    assert not waiting.approved
    for _ in range(2):
        await world.gateway.approve_sdc(guid=OTHER_GUID.lower(), address="10.0.3.2")
    approved = (await world.gateway.snapshot()).sdc_by_guid(OTHER_GUID)
    assert approved == attrs.evolve(waiting, approved=True)


# --- failures


@promise
async def test_an_error_500_is_a_refusal_only_with_a_code(world: World) -> None:
    await world.gateway.snapshot()
    world.simulated.faults.error_500_next(1)
    with pytest.raises(GatewayUnreachableError, match="HTTP 500"):
        await world.gateway.snapshot()
    world.simulated.faults.error_500_next(1, code=68)
    with pytest.raises(GatewayRefusedError) as busy:
        await world.gateway.create_protection_domain("pd2")
    assert busy.value.passing


@promise
async def test_an_ingress_without_a_gateway_behind_it_is_recognised(world: World) -> None:
    world.simulated.faults.html_404 = True
    with pytest.raises(GatewayProtocolError, match="404"):
        await world.gateway.snapshot()
    world.simulated.faults.html_404 = False
    assert (await world.gateway.snapshot()).pools


@promise
async def test_silence_ends_at_the_deadline(world: World) -> None:
    gateway = attrs.evolve(world.gateway, deadline_s=0.2)
    world.simulated.faults.timeout_next(1)
    with pytest.raises(GatewayUnreachableError, match=r"did not answer within 0\.2 s"):
        await gateway.snapshot()
    assert (await world.gateway.snapshot()).pools


@promise_in_memory
async def test_releases_without_the_tree_are_read_list_by_list(world: World) -> None:
    with_tree = await world.gateway.snapshot()
    world.answer_instead.append(
        lambda request: Reply(status=404) if request.path == "/api/instances" else None
    )
    by_lists = await world.gateway.snapshot()
    assert attrs.evolve(by_lists, taken_at=0.0) == attrs.evolve(with_tree, taken_at=0.0)
    world.seen.clear()
    await world.gateway.snapshot()
    assert "GET /api/instances" not in world.seen


def test_an_unknown_statistics_property_costs_one_more_request_per_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        adapters.gateway_http, "pool_statistics", lambda _api: ("numOfScsiInitiators",)
    )
    shown: list[StorageSnapshot] = []

    async def story(world: World) -> None:
        shown.append(await world.gateway.snapshot())
        world.seen.clear()
        await world.gateway.snapshot()
        assert not [call for call in world.seen if "querySelectedStatistics" in call]

    in_memory(story, api="3.6")
    assert shown[0].pools[0].capacity_kb == 3 * 200 * 1024**2


def test_statistics_that_leave_out_the_datas_health_are_not_taken_for_good() -> None:
    async def story(world: World) -> None:
        world.answer_instead.append(
            lambda request: (
                Reply(headers=(("Content-Type", "application/json"),), body=b"{}")
                if "Statistics" in request.path
                else None
            )
        )
        with pytest.raises(GatewayProtocolError, match="does not say whether the data of pool"):
            await world.gateway.snapshot()

    in_memory(story, api="2.5")


def test_the_tie_breaker_is_left_out_even_where_the_query_is_missing() -> None:
    async def story(world: World) -> None:
        world.answer_instead.append(
            lambda request: Reply(status=404) if "queryMdmCluster" in request.path else None
        )
        shown = await world.gateway.snapshot()
        assert shown.manager_addresses == ("10.0.0.1", "10.0.0.2")
        assert shown.mdm_normal

    in_memory(story, api="2.0")


def test_nobody_listening_is_an_unreachable_gateway() -> None:
    async def story(world: World) -> None:
        gateway = attrs.evolve(world.gateway, base_url="http://elsewhere")
        with pytest.raises(GatewayUnreachableError, match="cannot be reached"):
            await gateway.snapshot()

    in_memory(story, api="2.0")


@pytest.mark.parametrize("url", ["gateway", "ftp://gateway", "https://admin:pw@gateway", ""])
def test_an_address_that_is_no_plain_url_is_refused(url: str) -> None:
    async def story(world: World) -> None:
        await trio.lowlevel.checkpoint()
        with pytest.raises(ValueError, match="https://host"):
            attrs.evolve(world.gateway, base_url=url)

    in_memory(story, api="2.0")


@promise_in_memory
async def test_the_address_may_end_in_api(world: World) -> None:
    gateway = attrs.evolve(world.gateway, base_url="http://gateway/api/")
    assert (await gateway.snapshot()).pools


async def _at_once(call: Callable[[], Awaitable[object]], times: int) -> None:
    async def one() -> None:
        await call()

    async with trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(one)


def _logins_each(world: World) -> int:
    """4.x logs in twice: for the version, and for the bearer token."""
    return 2 if world.simulated.api == "4.5" else 1
