"""Conditions of the storage cluster: what each needs to begin, and what it says."""

from __future__ import annotations

import attrs
import pytest

from domain.conditions import Finding
from domain.health import AgentView, Scene, judge
from domain.outliers import BUSY_KBPS, SLOW_US, STAYS
from domain.storage import (
    AlertState,
    DeviceState,
    DomainState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
)
from domain.storage_health import FULL_SOON_S, FULL_SOON_TIMES, SAME, Limits, Outlook
from domain.trends import DAY_S, Trend, spoken, time_to, time_to_zero

DOMAIN = DomainState(id="d1", name="pd")
POOL = PoolState(id="p1", name="p", domain_id="d1", capacity_kb=1000 << 20, spare_kb=100 << 20)
SDSS = tuple(
    SdsState(id=f"s{n}", name=f"sds{n}", domain_id="d1", addresses=(f"10.0.0.{n}",), good=True)
    for n in range(1, 7)
)
DISKS = tuple(
    DeviceState(id=f"v{n}{disk}", path=f"/dev/{disk}", sds_id=f"s{n}", pool_id="p1", read_us=900)
    for n in range(1, 7)
    for disk in ("sdb", "sdc")
)
CLIENT = SdcState(id="c1", guid="GUID-1", address="10.0.0.1", connected=True)
WELL = StorageSnapshot(
    taken_at=0.0,
    api_version=(3, 6),
    system_id="s",
    mdm_normal=True,
    domains=(DOMAIN,),
    pools=(POOL,),
    sds=SDSS,
    devices=DISKS,
    sdcs=(CLIENT,),
)


def found(
    storage: StorageSnapshot,
    before: tuple[Finding, ...] = (),
    *,
    outlook: Outlook | None = None,
    agents: tuple[AgentView, ...] = (),
) -> tuple[Finding, ...]:
    outlooks = {"p1": outlook} if outlook else {}
    scene = Scene(storage=storage, outlooks=outlooks, agents=agents)
    return judge(scene, Limits(), [one.key for one in before])


def named(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [one.key for one in findings]


def test_where_all_is_well_nothing_is_found() -> None:
    assert found(WELL) == ()


# -- our own reboots are no alarm -----------------------------------------------------------------


def test_what_our_own_reboot_takes_away_is_told_but_is_no_alarm() -> None:
    lost = attrs.evolve(SDSS[0], good=False, detail="Normal Joined Disconnected")
    away = attrs.evolve(
        WELL,
        sds=(lost, *SDSS[1:]),
        pools=(attrs.evolve(POOL, degraded_kb=5),),
        sdcs=(attrs.evolve(CLIENT, connected=False),),
    )
    alone = {one.name: one.severity for one in found(away)}
    assert alone == {
        "sds-unhealthy": "critical",
        "data-degraded": "critical",
        "sdc-disconnected": "warning",
    }
    host = AgentView(host="a1", phase="rebooting", address="10.0.0.1", sdc_guid="GUID-1")
    ours = {one.name: one for one in found(away, agents=(host,))}
    assert {name: one.severity for name, one in ours.items()} == {
        "sds-unhealthy": "info",
        "data-degraded": "warning",
    }
    assert "on our account" in ours["sds-unhealthy"].text
    overdue = found(away, agents=(attrs.evolve(host, missing=True),))
    assert {one.name: one.severity for one in overdue}["sds-unhealthy"] == "critical"


def test_an_sds_in_maintenance_is_not_called_broken() -> None:
    resting = attrs.evolve(SDSS[0], good=False, in_maintenance=True)
    assert named(found(attrs.evolve(WELL, sds=(resting, *SDSS[1:])))) == [
        ("sds-in-maintenance", "sds1")
    ]


def test_an_inactive_domain_is_told() -> None:
    asleep = attrs.evolve(WELL, domains=(attrs.evolve(DOMAIN, active=False),))
    assert named(found(asleep)) == [("domain-inactive", "pd")]


# -- capacity -------------------------------------------------------------------------------------


def filled(percent: float) -> StorageSnapshot:
    return attrs.evolve(WELL, pools=(attrs.evolve(POOL, in_use_kb=int(percent * (9 << 20))),))


def test_a_full_pool_tells_when_it_will_be_full() -> None:
    [one] = found(filled(85), outlook=Outlook(full_in_s=5 * DAY_S))
    assert one.name == "capacity-high"
    assert "full in about 5 days" in one.text
    assert one.cure


def test_a_pool_that_fills_fast_is_told_before_it_is_full() -> None:
    [one] = found(filled(30), outlook=Outlook(full_in_s=FULL_SOON_S - 1))
    assert one.key == ("filling-fast", "p")
    longer = Outlook(full_in_s=FULL_SOON_S * FULL_SOON_TIMES - 1)
    assert found(filled(30), outlook=longer) == ()
    assert named(found(filled(30), (one,), outlook=longer)) == [one.key], "it stays until then"
    assert found(filled(30), (one,), outlook=Outlook(full_in_s=2 * FULL_SOON_S)) == ()


@pytest.mark.parametrize(("percent", "is_told"), [(200, False), (201, True)])
def test_thin_volumes_may_grow_to_twice_what_there_is(percent: int, *, is_told: bool) -> None:
    grown = attrs.evolve(POOL, provisioned_kb=percent * (9 << 20))
    names = [one.name for one in found(attrs.evolve(WELL, pools=(grown,)))]
    assert names == (["thin-overallocated"] if is_told else [])


def test_a_rebuild_tells_what_is_left_and_how_long_it_takes() -> None:
    moving = attrs.evolve(WELL, pools=(attrs.evolve(POOL, moving=True, moving_kb=40 << 20),))
    [one] = found(moving, outlook=Outlook(moved_in_s=1500.0))
    assert "40 GB to go, about 25 minutes" in one.text


# -- outliers -------------------------------------------------------------------------------------


def with_latency(latencies: dict[str, int]) -> StorageSnapshot:
    devices = tuple(attrs.evolve(d, write_us=latencies.get(d.id, 1100)) for d in DISKS)
    return attrs.evolve(WELL, devices=devices)


def test_a_device_far_slower_than_its_peers_is_named_until_it_is_clearly_faster() -> None:
    assert found(with_latency({"v1sdb": SLOW_US - 1})) == ()
    slow = found(with_latency({"v1sdb": SLOW_US}))
    assert named(slow) == [("device-slow", "/dev/sdb of sds1")]
    assert "20 ms" in slow[0].text
    better = with_latency({"v1sdb": int(SLOW_US * STAYS) + 1})
    assert found(better) == ()
    assert named(found(better, slow)) == named(slow)


def test_where_most_devices_of_an_sds_are_slow_it_is_the_sds() -> None:
    [one] = found(with_latency({"v1sdb": 90_000, "v1sdc": 50_000}))
    assert one.key == ("sds-slow", "sds1")
    assert one.objects == ("/dev/sdb", "/dev/sdc")
    assert "90 ms" in one.text


def test_nobody_is_slow_where_all_are_or_where_there_are_too_few_to_tell() -> None:
    assert found(with_latency({d.id: 90_000 for d in DISKS})) == ()
    few = attrs.evolve(with_latency({"v1sdb": 90_000}), devices=DISKS[:1] + DISKS[2:5])
    assert found(few) == ()


def test_an_sds_with_far_more_traffic_than_its_peers_is_told() -> None:
    usual = [attrs.evolve(sds, read_kbps=20 << 10) for sds in SDSS]
    busy = attrs.evolve(usual[0], write_kbps=80 << 10)
    assert BUSY_KBPS < 100 << 10
    [one] = found(attrs.evolve(WELL, sds=(busy, *usual[1:])))
    assert (one.key, one.severity) == (("sds-traffic", "sds1"), "info")
    assert found(attrs.evolve(WELL, sds=tuple(usual))) == ()


# -- the Gateway's own alerts ---------------------------------------------------------------------


def alert(kind: str, object_id: str = "", severity: str = "ALERT_MEDIUM") -> AlertState:
    return AlertState(
        id=kind, kind=kind, severity=severity, object=f"Thing {object_id}", object_id=object_id
    )


@pytest.mark.parametrize("kind", sorted(SAME))
def test_an_alert_of_what_we_see_ourselves_is_not_repeated_and_else_is_shown(kind: str) -> None:
    broken = attrs.evolve(
        WELL,
        mdm_normal=False,
        domains=(attrs.evolve(DOMAIN, active=False),),
        pools=(attrs.evolve(POOL, degraded_kb=1, failed_kb=1, in_use_kb=890 << 20),),
        sds=(attrs.evolve(SDSS[0], good=False), *SDSS[1:]),
        devices=(attrs.evolve(DISKS[0], good=False), *DISKS[1:]),
        sdcs=(attrs.evolve(CLIENT, connected=False),),
    )
    about = {
        "SDS_DISCONNECTED": "s1",
        "SDC_DISCONNECTED": "c1",
        "DEVICE_FAILED": "v1sdb",
        "PD_INACTIVE": "d1",
        "MDM_NOT_CLUSTERED": "s",
    }.get(kind, "p1")
    told = attrs.evolve(broken, alerts=(alert(kind, about),))
    assert named(found(told)) == named(found(broken))
    alone = found(attrs.evolve(WELL, alerts=(alert(kind, about),)))
    assert [one.name for one in alone] == ["gateway-alert"]
    assert kind in alone[0].subject


def test_unknown_alerts_are_shown_with_their_object_and_severity() -> None:
    told = attrs.evolve(WELL, alerts=(alert("SOMETHING_NEW", "s2", "ALERT_HIGH"),))
    [one] = found(told)
    assert one.key == ("gateway-alert", "SOMETHING_NEW sds2")
    assert one.severity == "critical"
    [odd] = found(attrs.evolve(WELL, alerts=(alert("SOMETHING_NEW", "?", "ALERT_ODD"),)))
    assert odd.severity == "warning"


def test_a_licence_has_a_condition_of_its_own() -> None:
    told = attrs.evolve(WELL, alerts=(alert("LICENSE_ABOUT_TO_EXPIRE"),))
    assert [one.name for one in found(told)] == ["licence"]


# -- trends ---------------------------------------------------------------------------------------


def line(*amounts: float, every_s: float = 300.0) -> Trend:
    trend = Trend(every_s=every_s)
    for n, amount in enumerate(amounts):
        trend = trend.after(n * every_s, amount)
    return trend


def test_a_straight_line_tells_when_it_arrives() -> None:
    assert time_to(line(0, 3, 6, 9), 10.0, span_min_s=900.0) == pytest.approx(1000.0)
    assert time_to_zero(line(90, 60, 30), 30.0, span_min_s=60.0) == pytest.approx(300.0)


def test_what_stands_still_or_goes_back_arrives_never() -> None:
    assert time_to(line(5, 5, 5, 5), 10.0, span_min_s=0.0) is None
    assert time_to(line(5, 4, 3), 10.0, span_min_s=0.0) is None
    assert time_to_zero(line(5, 6, 7), 7.0, span_min_s=0.0) is None


def test_two_readings_or_a_short_while_are_no_trend() -> None:
    assert time_to(line(0, 3), 10.0, span_min_s=0.0) is None
    assert time_to(line(0, 3, 6), 10.0, span_min_s=3600.0) is None
    crowded = Trend(every_s=300.0).after(0.0, 1.0).after(10.0, 2.0)
    assert len(crowded.readings) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20.0, "less than a minute"),
        (61.0, "about 1 minute"),
        (7300.0, "about 2 hours"),
        (5.4 * DAY_S, "about 5 days"),
    ],
)
def test_an_estimate_is_spoken_roughly(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
