"""What HttpGateway promises, held against the simulated Gateway.

Every promise is kept twice: over the network in memory under a virtual clock, for each
release, and over real TLS sockets with a pinned certificate and the real clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

import adapters.gateway_reader
from actors.ports import Gateway
from domain.storage import StorageSnapshot
from protocol.gateway.errors import (
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnreachableError,
)
from simulation.http_server import Reply, Request
from tests.unit.gateway_world import (
    GUID,
    PASSWORD,
    World,
    in_memory,
    promise,
    promise_in_memory,
)

# --- reading


@promise
async def test_a_snapshot_shows_the_whole_cluster(world: World) -> None:
    port: Gateway = world.gateway  # the type checker's half of the contract
    shown = await port.snapshot()

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
        lost, good=True, disconnected=False, detail="Normal Joined Connected"
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
async def test_a_session_in_use_is_kept(world: World) -> None:
    world.simulated.tokens.bearer_life_s = 3600.0
    for _ in range(4):
        await world.gateway.snapshot()
        world.skip(300.0)
    assert world.simulated.tokens.logins == _logins_each(world)


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


@pytest.mark.parametrize("wrong", [("pool_statistics",), ("pool_statistics", "pool_essentials")])
def test_an_unknown_statistics_property_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, ...]
) -> None:
    for names in wrong:
        monkeypatch.setattr(adapters.gateway_reader, names, lambda _: ("numOfScsiInitiators",))
    shown: list[StorageSnapshot] = []

    async def story(world: World) -> None:
        world.simulated.set_device_failed("10.0.1.1", "/dev/sdb", failed=True)
        shown.append(await world.gateway.snapshot())
        refused_at = len(world.seen)
        shown.append(await world.gateway.snapshot())
        asked = [call for call in world.seen[refused_at:] if "Statistics" in call]
        assert "POST /api/instances/querySelectedStatistics" not in asked
        by_each_pool = [call for call in asked if "relationships/Statistics" in call]
        assert len(by_each_pool) == (1 if len(wrong) == 2 else 0)

    in_memory(story, api="3.6")
    for one in shown:
        assert one.pools[0].capacity_kb == 3 * 200 * 1024**2
        assert not one.devices[0].good


@pytest.mark.parametrize("wrong", ["sds_statistics", "device_statistics"])
def test_statistics_that_nothing_depends_on_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(adapters.gateway_reader, wrong, lambda _: ("numOfScsiInitiators",))

    async def story(world: World) -> None:
        first = await world.gateway.snapshot()
        assert first.data_is_whole
        assert first.pools[0].capacity_kb
        world.seen.clear()
        again = await world.gateway.snapshot()
        assert again.pools == first.pools
        kind = "Sds" if wrong == "sds_statistics" else "Device"
        assert not [call for call in world.seen if f"types/{kind}" in call]

    in_memory(story, api="3.6")


@promise_in_memory
async def test_a_look_costs_few_calls_at_any_size(world: World) -> None:
    before = await world.gateway.snapshot()
    domain, pool = before.domains[0].id, before.pools[0].id
    for n in range(20, 60):
        sds = await world.gateway.create_sds(
            domain_id=domain, name=f"sds{n}", addresses=[(f"10.0.1.{n}", "all")]
        )
        await world.gateway.add_device(sds_id=sds, pool_id=pool, path="/dev/sdb", name="")
    world.seen.clear()
    assert len((await world.gateway.snapshot()).sds) == 43
    assert len(world.seen) == (5 if world.simulated.api == "2.0" else 4), world.seen


@promise_in_memory
async def test_latencies_of_devices_are_read_each_minute_and_kept_meanwhile(world: World) -> None:
    first = await world.gateway.snapshot()
    assert [d.read_us for d in first.devices] == [0, 0, 0]
    world.skip(61.0)
    world.seen.clear()
    again = await world.gateway.snapshot()
    assert again.devices == first.devices
    more = 6 if world.simulated.api == "2.0" else 4
    assert len(world.seen) == more, world.seen


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
