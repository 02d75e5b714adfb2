"""Conditions: when they begin, when they end, and that each says what it is about."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.conditions import Finding
from domain.health import MANY_AGENTS, AgentView, Scene, doubts, judge
from domain.storage import (
    DeviceState,
    DomainState,
    PoolState,
    SdcState,
    SdsState,
    StorageSnapshot,
)
from domain.storage_health import HYSTERESIS_PERCENT, Limits, used_percent

LIMITS = Limits()
GUID = "6A1D4C5E-0F3B-4C52-9C35-0A8B5F7C2D11"
STORAGE = StorageSnapshot(
    taken_at=0.0,
    api_version=(3, 6),
    system_id="s",
    mdm_normal=True,
    domains=(DomainState(id="d1", name="pd1"), DomainState(id="d2", name="pd2")),
)


def filled(percent: int, name: str = "p", domain: str = "d1") -> PoolState:
    """With a tenth of the raw capacity kept as spare, which does not count as room."""
    return PoolState(
        id=f"{domain}-{name}",
        name=name,
        domain_id=domain,
        capacity_kb=1000,
        spare_kb=100,
        in_use_kb=percent * 9,
    )


def found(storage: StorageSnapshot = STORAGE, **scene: object) -> dict[str, Finding]:
    findings = judge(Scene(storage=storage, **scene), LIMITS, ())  # type: ignore[arg-type]  # named
    assert len({f.name for f in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def standing(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(f.name, f.subject) for f in findings]


# -- thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (79, None),
        (80, ("capacity-high", "warning")),
        (89, ("capacity-high", "warning")),
        (90, ("capacity-critical", "critical")),
        (100, ("capacity-critical", "critical")),
    ],
)
def test_a_pool_is_called_full_from_80_and_90_percent_on(
    percent: int, expected: tuple[str, str] | None
) -> None:
    findings = judge(Scene(storage=attrs.evolve(STORAGE, pools=(filled(percent),))), LIMITS, ())
    assert [(f.name, f.severity) for f in findings] == ([expected] if expected else [])


def levels(*percents: int) -> list[str]:
    """The capacity condition after each reading in turn, "" for none."""
    names: list[str] = []
    before: list[tuple[str, str]] = []
    for percent in percents:
        scene = Scene(storage=attrs.evolve(STORAGE, pools=(filled(percent),)))
        findings = judge(scene, LIMITS, before)
        before = standing(findings)
        names.append(findings[0].name.removeprefix("capacity-") if findings else "")
    return names


def test_a_pool_around_its_limit_does_not_flap() -> None:
    assert levels(79, 80, 79, 80, 78, 77, 79, 76) == ["", *["high"] * 6, ""]
    assert levels(76, 79, 76, 79) == [""] * 4, "from below, the limit itself counts"
    assert levels(90, 89, 87, 86, 87) == ["critical"] * 3 + ["high"] * 2
    assert levels(95, 79, 77) == ["critical", "", ""], "what fell past both needs no second fall"


@given(st.lists(st.integers(0, 100), max_size=30))
def test_a_condition_ends_only_three_percent_below_where_it_begins(percents: list[int]) -> None:
    names = levels(*percents)
    for before, name, percent in zip(["", *names], names, percents, strict=False):
        if before == name:
            continue
        for level, limit in (("high", 80), ("critical", 90)):
            if name == level:
                assert percent >= limit or before == "critical"
            if before == level and name != "critical":
                assert percent < limit - HYSTERESIS_PERCENT


def test_an_empty_pool_without_devices_is_not_full() -> None:
    nothing = PoolState(id="p", name="p", domain_id="d1")
    assert used_percent(nothing) == 0
    assert not found(attrs.evolve(STORAGE, pools=(nothing,)))
    assert used_percent(attrs.evolve(filled(50), spare_kb=1000)) == 0


def test_pools_of_the_same_name_have_conditions_of_their_own() -> None:
    """Else one would keep the other's alarm standing."""
    both = attrs.evolve(STORAGE, pools=(filled(95), filled(95, domain="d2")))
    findings = judge(Scene(storage=both), LIMITS, ())
    assert standing(findings) == [("capacity-critical", "pd1/p"), ("capacity-critical", "pd2/p")]
    fallen = attrs.evolve(STORAGE, pools=(filled(95), filled(70, domain="d2")))
    again = judge(Scene(storage=fallen), LIMITS, standing(findings))
    assert standing(again) == [("capacity-critical", "pd1/p")]


# -- each trouble ---------------------------------------------------------------------------------

BAD_SDS = SdsState(id="s1", name="sds_10.0.0.1", domain_id="d1", detail="Disconnected")
BAD_DEVICE = DeviceState(
    id="v1", path="/dev/sdb", sds_id="s1", pool_id="p", good=False, detail="ReadError"
)
FAILED = AgentView(host="a1", phase="failed", error="a1: step sds failed 5 times: no; retry")


@pytest.mark.parametrize(
    ("scene", "name", "severity", "words"),
    [
        ({"link_down": True, "link_detail": "503"}, "master-unreachable", "critical", "503"),
        ({"link_down": True}, "master-unreachable", "critical", "looking for the leader"),
        (
            {"gateway_error": "refused"},
            "gateway-unreachable",
            "critical",
            "refused",
        ),
        ({"store_fault": "disk full"}, "store-failing", "critical", "disk full"),
        ({"store_bound_to_host": True}, "store-bound-to-host", "info", "-store.uri"),
        ({"agents": (FAILED,)}, "agent-failed", "warning", "step sds failed"),
        ({"agents": (AgentView(host="a1", phase="lost"),)}, "agent-lost", "warning", "a1"),
        (
            {"storage": attrs.evolve(STORAGE, mdm_normal=False, mdm_detail="2 of 3")},
            "mdm-not-normal",
            "critical",
            "2 of 3",
        ),
        (
            {"storage": attrs.evolve(STORAGE, pools=(attrs.evolve(filled(1), failed_kb=7),))},
            "data-failed",
            "critical",
            "7 KB",
        ),
        (
            {"storage": attrs.evolve(STORAGE, pools=(attrs.evolve(filled(1), degraded_kb=7),))},
            "data-degraded",
            "critical",
            "one copy",
        ),
        (
            {"storage": attrs.evolve(STORAGE, pools=(attrs.evolve(filled(1), moving=True),))},
            "rebuilding",
            "info",
            "rebuilt",
        ),
        (
            {"storage": attrs.evolve(STORAGE, sds=(BAD_SDS,))},
            "sds-unhealthy",
            "critical",
            "Disconnected",
        ),
        (
            {"storage": attrs.evolve(STORAGE, devices=(BAD_DEVICE,))},
            "device-error",
            "warning",
            "ReadError",
        ),
    ],
)
def test_each_trouble_has_its_condition_whose_text_names_its_subject(
    scene: dict[str, object], name: str, severity: str, words: str
) -> None:
    one = found(**{"storage": STORAGE, **scene})[name]  # type: ignore[arg-type]  # drawn above
    assert one.severity == severity
    assert words in one.text
    assert one.subject in one.text


def test_where_all_is_well_nothing_is_said() -> None:
    good = attrs.evolve(STORAGE, pools=(filled(50),), sds=(attrs.evolve(BAD_SDS, good=True),))
    assert not found(good, agents=(AgentView(host="a1", phase="ready"),))
    assert not judge(Scene(), LIMITS, ())


@pytest.mark.parametrize(
    ("phase", "is_told"), [("installing", True), ("held", False), ("failed", False)]
)
def test_an_agent_that_waits_for_long_is_named(phase: str, *, is_told: bool) -> None:
    """How long, the ledger knows: `waiting-long` is told after an hour."""
    why = "step sds asks to be tried later: the lock is held"
    waiting = AgentView(host="a1", phase=phase, later=why)
    told = [f for f in judge(Scene(agents=(waiting,)), LIMITS, ()) if f.name == "waiting-long"]
    assert bool(told) is is_told
    for one in told:
        assert (one.subject, one.severity) == ("a1", "warning")
        assert why in one.text


def test_equal_paths_on_two_hosts_are_two_conditions() -> None:
    devices = (BAD_DEVICE, attrs.evolve(BAD_DEVICE, id="v2", sds_id="s2"))
    findings = judge(Scene(storage=attrs.evolve(STORAGE, devices=devices)), LIMITS, ())
    assert len(set(standing(findings))) == 2


def test_a_step_that_fails_on_many_agents_is_one_condition_more() -> None:
    def failed(count: int, step: str = "sds") -> tuple[AgentView, ...]:
        return tuple(
            AgentView(host=f"a{n}", phase="failed", error=f"a{n}: step {step} failed 5 times: x")
            for n in range(count)
        )

    few = judge(Scene(agents=failed(MANY_AGENTS - 1)), LIMITS, ())
    many = judge(Scene(agents=failed(MANY_AGENTS)), LIMITS, ())
    assert not [f for f in few if f.name == "step-failing"]
    [one] = [f for f in many if f.name == "step-failing"]
    assert (one.subject, one.severity) == ("sds", "critical")
    assert f"{MANY_AGENTS} agents" in one.text
    assert "a0, a1, a2" in one.text
    mixed = judge(Scene(agents=failed(2) + failed(2, "sdc")), LIMITS, ())
    assert not [f for f in mixed if f.name == "step-failing"]


# -- doubts ---------------------------------------------------------------------------------------

SDC = SdcState(id="c1", guid=GUID, connected=True)
READY = AgentView(host="a1", phase="ready", address="10.0.0.1", sdc_guid=GUID)
GOOD_SDS = attrs.evolve(BAD_SDS, good=True, addresses=("10.0.0.1",))
SOUND = attrs.evolve(STORAGE, sds=(GOOD_SDS,), sdcs=(SDC,))


def test_a_ready_agent_that_the_storage_sees_is_not_doubted() -> None:
    assert doubts(SOUND, [READY]) == {}
    assert doubts(attrs.evolve(SOUND, sds=()), [READY]) == {}, "it may be a client only"
    assert doubts(attrs.evolve(SOUND, sdcs=()), [attrs.evolve(READY, sdc_guid="")]) == {}


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (attrs.evolve(SOUND, sds=(attrs.evolve(GOOD_SDS, good=False),)), "sds_10.0.0.1"),
        (attrs.evolve(SOUND, sdcs=()), "SDC"),
        (attrs.evolve(SOUND, sdcs=(attrs.evolve(SDC, connected=False),)), "not connected"),
    ],
)
def test_a_ready_agent_whose_parts_are_missing_is_doubted(
    storage: StorageSnapshot, words: str
) -> None:
    doubt = doubts(storage, [READY])["a1"]
    assert words in doubt.why
    assert doubt.repair is ("sds" in words), "only an SDS is repaired within limits"


def test_an_sds_in_maintenance_is_left_alone() -> None:
    resting = attrs.evolve(GOOD_SDS, good=False, in_maintenance=True)
    assert doubts(attrs.evolve(SOUND, sds=(resting,)), [READY]) == {}


def test_an_sds_that_no_repair_helps_is_told_while_it_is_down() -> None:
    spent = attrs.evolve(READY, repairs_spent=True)
    down = attrs.evolve(SOUND, sds=(attrs.evolve(GOOD_SDS, good=False),))
    names = [f.name for f in judge(Scene(storage=down, agents=(spent,)), LIMITS, ())]
    assert "repair-exhausted" in names
    assert not judge(Scene(storage=SOUND, agents=(spent,)), LIMITS, ())


@pytest.mark.parametrize("phase", ["installing", "rebooting", "held", "failed", "lost"])
def test_only_ready_agents_are_doubted(phase: str) -> None:
    gone = attrs.evolve(SOUND, sds=(), sdcs=())
    assert doubts(gone, [attrs.evolve(READY, phase=phase)]) == {}
