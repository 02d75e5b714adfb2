"""Agents are taken out of use, in the whole product: their data is elsewhere before they go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from simulation.world import Shape
from tests.simulation.stage import TOKEN, Stage, play

A: Final = "agent0.sim"
B: Final = "agent1.sim"
DISTRIBUTION: Final = {"ca-certificates", "curl", "libaio1", "numactl", "openssl"}


@pytest.fixture
def token(tmp_path: Path) -> tuple[str, ...]:
    file = tmp_path / "token"
    file.write_text(TOKEN, encoding="utf-8")
    return (f"-rest.token-file={file}",)


def watch(stage: Stage) -> list[str]:
    """Moments in which data had fewer copies than it should have."""
    seen: list[str] = []

    def heard(kind: str, facts: Mapping[str, object]) -> None:
        if kind == "degraded":
            seen.append(str(facts["pool"]))

    stage.world.gateway.listeners.append(heard)
    return seen


def is_as_before(stage: Stage, name: str) -> bool:
    host = stage.world.hosts[name]
    return (
        set(host.packages) <= DISTRIBUTION
        and not host.services
        and not host.files
        and not host.receipts
        and host.isolation == ("posix/cpu", "posix/mem")
        and host.key is None
    )


def test_one_agent_goes_and_comes_back(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        gateway, host = stage.world.gateway, stage.world.hosts[A]
        degraded = watch(stage)
        assert (await stage.command("uninstall", A)).status_code == 202
        await stage.until(lambda: stage.phase(A) == "retired")
        assert is_as_before(stage, A)
        assert gateway.state.sds_at(host.address) is None
        assert gateway.state.sdc_by_guid(host.sdc_guid) is None
        assert degraded == []
        launches = len(stage.launches())
        await stage.pass_time(3600.0)
        assert (stage.phase(A), len(stage.launches())) == ("retired", launches)
        for disk in host.disks:  # an operator wipes them, or they would not be taken again
            disk.zero = True
        assert (await stage.command("resume", A)).status_code == 202
        await stage.until(lambda: stage.phase(A) == "ready")
        assert gateway.state.sds_at(host.address) is not None

    play(story, shape=Shape(agents=4, storage=4), extra=token)


def test_its_data_needs_room_on_the_others(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        gateway = stage.world.gateway
        pool = next(p for p in gateway.state.pools.values() if p.name == "default")
        limit_kb = gateway.state.pool_figures(pool).limit_kb
        gateway.fill("default", limit_kb * 85 // 100)
        await stage.command("uninstall", A)
        await stage.until(lambda: "has no room on the other" in stage.shown(A).reason)
        await stage.pass_time(1000.0)
        assert gateway.state.sds_at(stage.world.hosts[A].address) is not None
        plan = (await stage.get(f"/v1/agents/{A}/uninstall")).json()
        assert "has no room" in plan["waits_for"]
        gateway.fill("default", limit_kb // 4)
        await stage.until(lambda: stage.phase(A) == "retired")

    play(story, shape=Shape(agents=4, storage=4), extra=token)


def test_volumes_of_applications_are_waited_for_and_the_order_can_be_called_off(
    token: tuple[str, ...],
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        gateway, host = stage.world.gateway, stage.world.hosts[A]
        mapped = _volume_on(stage, host.sdc_guid)
        await stage.command("uninstall", A)
        await stage.until(lambda: "volumes are mapped to its SDC (mysql)" in stage.shown(A).reason)
        await stage.command("resume", A)
        await stage.until(lambda: stage.phase(A) == "ready")
        assert gateway.mapped_volumes(host.sdc_guid) == [(gateway.system_id, mapped)]

    play(story, shape=Shape(agents=4, storage=4), extra=token)


def _volume_on(stage: Stage, guid: str) -> str:
    """An operator's volume, mapped to that host."""
    mdm, state = stage.world.gateway._mdm, stage.world.gateway.state
    pool = next(p for p in state.pools.values() if p.name == "default")
    volume_id = mdm.create_volume(
        {"storagePoolId": pool.id, "name": "mysql", "volumeSizeInGb": "8"}
    )
    sdc = state.sdc_by_guid(guid)
    assert sdc is not None
    mdm.map_volume(state.volumes[volume_id], {"sdcId": sdc.id})
    return volume_id


def test_all_go_one_fault_unit_at_a_time(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        degraded, leaving = watch(stage), []
        gateway = stage.world.gateway

        def heard(kind: str, facts: Mapping[str, object]) -> None:
            del facts
            if kind == "sds-leaving":
                leaving.append(sum(s.leaves_at is not None for s in gateway.state.sds.values()))

        gateway.listeners.append(heard)
        for host in stage.world.hosts:
            await stage.command("uninstall", host)
        await stage.until(lambda: all(stage.phase(host) == "retired" for host in stage.world.hosts))
        assert leaving == [1] * 4
        assert degraded == []
        assert all(is_as_before(stage, host) for host in stage.world.hosts)
        assert stage.violations() == []

    play(story, shape=Shape(agents=5, storage=4), extra=token)


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_any_moment_changes_nothing_of_the_outcome(
    seed: int, token: tuple[str, ...]
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        await stage.command("uninstall", A)
        await stage.command("uninstall", B)
        chance = stage.world.rng
        for _ in range(6):
            await stage.pass_time(chance.uniform(1.0, 60.0))
            stage.rehearsal.crash()
        await stage.until(lambda: stage.phase(A) == stage.phase(B) == "retired")
        assert is_as_before(stage, A)
        assert is_as_before(stage, B)
        assert stage.violations() == []

    play(story, seed=seed, shape=Shape(agents=5, storage=5), extra=token)
