"""Agents are taken out of use, in the whole product: their data is elsewhere before they go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio

from actors.ports import Store
from domain import records
from domain.closing import ClosingRecord
from simulation.mesos_observed import CallReceived
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


# -- the framework -----------------------------------------------------------------------------


def calls(stage: Stage) -> list[str]:
    return [event.kind for event in stage.events if isinstance(event, CallReceived)]


def order_of(stage: Stage) -> str:
    shown = stage.service.board.closing
    return shown.stage if shown is not None else ""


def framework_id(stage: Stage) -> str:
    return stage.service.board.link.framework_id


async def order_the_end(stage: Stage) -> None:
    given = {"teardown": True, "confirm": framework_id(stage)}
    answer = await stage.order("uninstall", given)
    assert answer.status_code == 202, answer.text


async def nothing_more_happens(stage: Stage, *, frameworks: int = 1) -> None:
    """Neither a call nor a launch, nor after a crash: the framework stays what it is."""
    before = (len(calls(stage)), len(stage.launches()))
    await stage.pass_time(120.0)
    stage.rehearsal.crash()
    await stage.pass_time(120.0)
    await stage.until(lambda: order_of(stage) == "torn-down")
    assert (len(calls(stage)), len(stage.launches())) == before
    state = stage.world.mesos.state
    assert len(state.frameworks) + len(state.completed) == frameworks


def test_the_framework_goes_when_all_agents_have(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        await order_the_end(stage)
        refused = await stage.command("resume", A)
        assert refused.status_code == 409
        assert "POST /v1/framework/resume" in refused.json()["error"]
        await stage.until(lambda: order_of(stage) == "torn-down")
        assert all(is_as_before(stage, host) for host in stage.world.hosts)
        assert calls(stage).count("TEARDOWN") == 1
        assert calls(stage)[-1] == "TEARDOWN"
        health = (await stage.get("/healthz")).json()
        assert not any("master" in reason for reason in health["reasons"])
        assert "delete this scheduler's app" in (await stage.get("/v1/status")).text
        assert (await stage.get("/readyz")).status_code == 503
        await nothing_more_happens(stage)
        assert stage.violations() == []

    play(story, shape=Shape(agents=3, storage=2), extra=token)


def test_without_teardown_only_the_agents_go_and_the_order_can_be_called_off(
    token: tuple[str, ...],
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        assert (await stage.order("uninstall")).status_code == 202
        await stage.until(lambda: all(stage.phase(host) == "retired" for host in stage.world.hosts))
        await stage.pass_time(100.0)
        told = (await stage.get("/v1/framework/uninstall")).json()
        assert (told["left"], told["order"]["stage"]) == (0, "ordered")
        assert "stays registered" in told["order"]["text"]
        assert "TEARDOWN" not in calls(stage)
        assert (await stage.command("resume", A)).status_code == 409
        assert (await stage.order("resume")).status_code == 202
        assert (await stage.get("/v1/framework/uninstall")).json()["order"] is None
        for disk in stage.world.hosts[A].disks:
            disk.zero = True
        assert (await stage.command("resume", A)).status_code == 202
        await stage.until(lambda: stage.phase(A) == "ready")

    play(story, shape=Shape(agents=2, storage=1), extra=token)


def test_after_the_end_an_operator_can_begin_anew(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        await order_the_end(stage)
        await stage.until(lambda: order_of(stage) == "torn-down")
        (before,) = stage.world.mesos.state.completed
        stage.rehearsal.crash()
        await stage.pass_time(60.0)
        await stage.until(lambda: order_of(stage) == "torn-down")
        assert (await stage.order("register")).status_code == 202
        await stage.until(lambda: framework_id(stage) not in ("", before))
        assert (await stage.get("/v1/framework/uninstall")).json()["order"] is None

    play(story, shape=Shape(agents=2, storage=1), extra=token)


def test_an_agent_that_cannot_be_reached_keeps_the_framework(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        stage.world.mesos.faults.agent_down(B)
        await stage.until(lambda: stage.phase(B) == "lost")
        await order_the_end(stage)
        await stage.until(lambda: stage.phase(A) == "retired")
        await stage.pass_time(200.0)
        told = (await stage.get("/v1/framework/uninstall")).json()["order"]["text"]
        assert "1 agent is not retired yet" in told
        assert B in told
        assert "TEARDOWN" not in calls(stage)
        stage.world.mesos.faults.agent_up(B)
        await stage.until(lambda: order_of(stage) == "torn-down")
        assert calls(stage)[-1] == "TEARDOWN"

    play(story, shape=Shape(agents=2, storage=1), extra=token)


@attrs.define
class Dying:
    """The power goes before, or after, the order reaches that stage in the store."""

    inner: Store
    at: str
    landed: bool
    crash: Callable[[], None]
    fired: list[str]
    kind: str = "simulated"

    async def load(self) -> Mapping[str, bytes]:
        return await self.inner.load()

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        raw = changes.get(records.CLOSING_KEY)
        hit = False
        if raw is not None and not self.fired:
            known = records.decode(raw, ClosingRecord, key=records.CLOSING_KEY)
            hit = known.stage.value == self.at
        if hit:
            self.fired.append(self.at)
        if hit and not self.landed:
            self.crash()
            await trio.sleep_forever()  # a dead process hears nothing of its write
        await self.inner.write(changes)
        if hit and self.landed:
            self.crash()

    async def close(self) -> None:
        await self.inner.close()


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("at", ["tearing", "torn-down"])
def test_a_crash_at_each_stage_of_the_end_goes_on(
    at: str, token: tuple[str, ...], *, landed: bool
) -> None:
    fired: list[str] = []

    async def story(stage: Stage) -> None:
        stage.rehearsal.through = lambda store: Dying(
            store, at, landed, stage.rehearsal.crash, fired
        )
        stage.raise_curtain()
        await stage.all_ready()
        before = stage.rehearsal.crashes  # its own host is rebooted on the way
        await order_the_end(stage)
        await stage.until(lambda: fired and order_of(stage) == "torn-down")
        assert stage.rehearsal.crashes == before + 1
        assert calls(stage).count("TEARDOWN") == 1
        assert len(stage.world.mesos.state.completed) == 1
        assert not stage.world.mesos.state.frameworks
        await nothing_more_happens(stage)
        assert stage.violations() == []

    play(story, shape=Shape(agents=2, storage=1), extra=token, curtain=False)


@pytest.mark.parametrize("seed", range(2))
def test_crashes_at_any_moment_of_the_end_change_nothing_of_it(
    seed: int, token: tuple[str, ...]
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        await order_the_end(stage)
        for _ in range(8):
            await stage.pass_time(stage.world.rng.uniform(1.0, 40.0))
            stage.rehearsal.crash()
        await stage.until(lambda: order_of(stage) == "torn-down")
        await nothing_more_happens(stage)
        assert all(is_as_before(stage, host) for host in stage.world.hosts)
        assert stage.violations() == []

    play(story, seed=seed, shape=Shape(agents=2, storage=1), extra=token)


def power_fails(stage: Stage, name: str, *, for_s: float) -> None:
    stage.world.hosts[name].dials.reboot_takes_s = for_s
    stage.world.nursery.start_soon(stage.world.reboot, name)


def test_a_host_that_is_gone_for_good_is_retired_once_its_data_is_elsewhere(
    token: tuple[str, ...],
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        gateway, host = stage.world.gateway, stage.world.hosts[A]
        gateway.absorb_s = 600.0
        refused = await stage.command("retire", A)
        assert refused.status_code == 409
        assert "uninstall it" in refused.json()["error"]
        stage.world.mesos.faults.agent_down(A)
        await stage.until(lambda: stage.phase(A) == "lost")
        await stage.command("retire", A)
        await stage.until(lambda: "the host is not gone" in stage.shown(A).reason)
        power_fails(stage, A, for_s=1e6)
        await stage.until(lambda: "data is degraded" in stage.shown(A).reason)
        assert gateway.state.sds_at(host.address) is not None
        before = len(stage.launches())
        await stage.until(lambda: stage.phase(A) == "retired")
        assert gateway.state.sds_at(host.address) is None
        assert gateway.state.sdc_by_guid(host.sdc_guid) is None
        assert len(stage.launches()) == before
        assert stage.violations() == []

    play(story, shape=Shape(agents=5, storage=5), extra=token)


def test_one_that_comes_back_before_it_is_retired_is_taken_up_again(token: tuple[str, ...]) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        power_fails(stage, A, for_s=1000.0)
        await stage.until(lambda: stage.phase(A) == "lost")
        assert (await stage.command("retire", A)).status_code == 202
        await stage.until(lambda: "data is degraded" in stage.shown(A).reason)
        await stage.until(lambda: stage.phase(A) == "ready")
        assert stage.world.gateway.state.sds_at(stage.world.hosts[A].address) is not None
        assert stage.violations() == []

    play(story, shape=Shape(agents=5, storage=5), extra=token)


def test_policy_retires_a_host_that_stays_away_and_takes_it_up_when_it_returns(
    token: tuple[str, ...],
) -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        gateway, host = stage.world.gateway, stage.world.hosts[A]
        gateway.absorb_s = 600.0
        power_fails(stage, A, for_s=5000.0)
        await stage.until(lambda: stage.phase(A) == "lost")
        await stage.pass_time(1000.0)
        assert stage.phase(A) == "lost"
        stage.rehearsal.crash()  # how long it is away is not forgotten
        await stage.until(lambda: stage.phase(A) == "retired")
        assert gateway.state.sds_at(host.address) is None
        for disk in host.disks:  # an operator wipes them, or they would not be taken again
            disk.zero = True
        await stage.until(lambda: stage.phase(A) == "ready", within_s=7200.0)
        assert gateway.state.sds_at(host.address) is not None
        assert stage.violations() == []

    extra = (*token, "-agents.retire-after=1800")
    play(story, shape=Shape(agents=5, storage=5), extra=extra)
