"""What an operator may count on, told as stories of the whole product in a simulated cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from actors.ports import Store, StoreError
from commands.rehearsal import simulated_settings
from domain.agent import TaskState
from simulation.host import OsImage, SimulatedHost
from simulation.host_disks import GIB, SimulatedDisk
from simulation.mesos_observed import Acknowledged, StreamClosed, TaskChanged
from simulation.world import HostEvent, Shape, WorldEvent
from tests.simulation.stage import TOKEN, Stage, play

A: Final = "agent0.sim"
B: Final = "agent1.sim"
C: Final = "agent2.sim"
WORK: Final = ("prerequisites", "sds", "sdc", "rexray", "isolator", "agent-restart", "claim")
QUIET_S: Final = 600.0  # long enough for anything that would move by itself to do so


def everything_on(host: SimulatedHost) -> str:
    """The whole of a host that a step could change."""
    return repr(
        (
            host.packages, sorted(host.services), sorted(host.enabled), host.files, host.denied,
            host.module_loaded, host.mdm_ips, host.key, host.password, host.isolation,
            host.next_isolation, host.receipts, host.kernel, host.next_kernel, host.boot_id,
            host.disks,
        )
    )  # fmt: skip


def test_an_agent_added_later_is_onboarded_unasked() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        added = stage.world.add_host(2)
        await stage.all_ready()
        assert added.has_sdc

    play(story, shape=Shape(agents=2, storage=1))


def test_an_agent_of_an_unknown_platform_fails_by_name_and_alone() -> None:
    async def story(stage: Stage) -> None:
        odd = stage.world.hosts[C]
        odd.os = OsImage(os_id="haiku", version="5", family="deb", kernel="5.10.0")
        before = everything_on(odd)
        stage.raise_curtain()
        await stage.until(lambda: [stage.phase(h) for h in (A, B)] == ["ready"] * 2)
        await stage.until(lambda: stage.phase(C) == "failed", within_s=60.0)
        error = stage.shown(C).error
        assert "haiku" in error
        assert error.startswith(C)
        assert "\n" not in error
        assert everything_on(odd) == before
        assert stage.violations() == []

    play(story, shape=Shape(agents=3, storage=1), curtain=False)


def test_an_attribute_that_names_a_missing_device_fails_with_device_and_attribute() -> None:
    async def story(stage: Stage) -> None:
        stage.world.mesos.agents[A].attributes = {
            "scaleio-sds-domains": "default",
            "scaleio-sds-default": "fast",
            "scaleio-sds-fast": "/dev/sdz",
        }
        before = everything_on(stage.world.hosts[A])
        stage.raise_curtain()
        await stage.until(lambda: stage.phase(A) == "failed" and stage.phase(B) == "ready")
        error = stage.shown(A).error
        assert "/dev/sdz" in error
        assert "fast" in error
        assert "attribute" in error
        assert everything_on(stage.world.hosts[A]) == before

    play(story, shape=Shape(agents=2, storage=1), curtain=False)


def test_a_disk_that_may_hold_data_is_never_taken_and_the_page_says_why() -> None:
    full = (
        SimulatedDisk(name="sdb", serial="SIGNED", signature="ext4"),
        SimulatedDisk(name="sdc", serial="WRITTEN", zero=False),
        SimulatedDisk(name="sdd", serial="PARTED", partitions=1),
        SimulatedDisk(name="sde", serial="MOUNTED", mounted_at="/data"),
        SimulatedDisk(name="sdf", serial="REMOTE", transport="iscsi"),
        SimulatedDisk(name="sdg", serial="SMALL", size_bytes=8 * GIB),
    )
    empty = SimulatedDisk(name="sdh", serial="EMPTY")

    async def story(stage: Stage) -> None:
        host = stage.world.hosts[A]
        host.disks[1:] = [*full, empty]
        stage.raise_curtain()
        await stage.all_ready()
        state = stage.world.gateway.state
        sds = state.sds_at(host.address)
        assert sds is not None
        taken = [device.path for device in state.devices.values() if device.sds_id == sds.id]
        assert taken == ["/dev/disk/by-id/ata-EMPTY"]
        assert not any(disk.in_use for disk in full)
        verdicts = dict(stage.shown(A).devices)
        assert all(verdicts[disk.links[0]] for disk in full)

    play(story, shape=Shape(agents=1, storage=1), curtain=False)


def test_a_wrong_gateway_password_is_said_and_a_right_one_is_enough_to_go_on() -> None:
    async def story(stage: Stage) -> None:
        tokens, hosts = stage.world.gateway.tokens, stage.world.hosts
        right, tokens.password = tokens.password, "another"
        before = {name: everything_on(host) for name, host in hosts.items()}
        stage.raise_curtain()
        await stage.until(lambda: "gateway" in _conditions(stage), within_s=300.0)
        assert "password" in _conditions(stage)["gateway"]
        await stage.until(lambda: [stage.phase(h) for h in hosts] == ["installing"] * len(hosts))
        await stage.pass_time(QUIET_S)
        shown = (await stage.get("/v1/agents")).json()["agents"]
        assert all(one["reason"] for one in shown)
        assert {name: everything_on(host) for name, host in hosts.items()} == before
        tokens.password = right
        await stage.all_ready()
        await stage.until(lambda: "gateway" not in _conditions(stage), within_s=120.0)

    play(story, shape=Shape(agents=2, storage=1), curtain=False)


def _conditions(stage: Stage) -> dict[str, str]:
    """First word of a condition's name -> its text."""
    service = stage.rehearsal.service
    found = service.board.conditions if service is not None else ()
    return {condition.name.partition("-")[0]: condition.text for condition in found}


def test_a_master_that_talks_nonsense_for_a_while_is_outlived() -> None:
    async def story(stage: Stage) -> None:
        faults = stage.world.mesos.faults
        faults.garbage_next(3)
        stage.raise_curtain()
        await stage.until(lambda: stage.launches("prerequisites"))
        faults.garbage_on_stream()
        await stage.until(lambda: any(isinstance(e, StreamClosed) for e in stage.events))
        faults.garbage_next(2)
        await stage.all_ready()

    play(story, shape=Shape(agents=2, storage=1), curtain=False)


def test_observe_mode_shows_the_plan_and_changes_nothing_until_it_is_over() -> None:
    async def story(stage: Stage) -> None:
        hosts = stage.world.hosts
        before = {name: everything_on(host) for name, host in hosts.items()}
        cluster = repr(stage.world.gateway.state)
        await stage.until(lambda: [stage.phase(h) for h in hosts] == ["held"] * len(hosts))
        await stage.pass_time(QUIET_S)
        assert {name: everything_on(host) for name, host in hosts.items()} == before
        assert repr(stage.world.gateway.state) == cluster
        assert {launch.step for launch in stage.launches()} == {"survey"}
        plan = (await stage.get("/v1/plan")).json()
        assert plan["mode"] == "observe"
        steps = {one["host"]: [s["name"] for s in one["steps"]] for one in plan["agents"]}
        assert "sds" in steps[A]
        assert "sds" not in steps[C]
        assert all("sdc" in names for names in steps.values())

        stage.rehearsal.settings = simulated_settings(stage.world.shape.password)
        stage.rehearsal.crash()  # the operator restarts it with -mode=run
        for host in hosts:
            stage.checkers.commanded(host)
        await stage.all_ready()

    play(story, shape=Shape(agents=3, storage=1), extra=["-mode=observe"])


def test_a_held_agent_stands_still_until_it_is_resumed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: stage.launches("sds", "sdc"))
        assert (await stage.command("hold", B)).status_code == 202
        await stage.until(lambda: stage.phase(B) == "held" and stage.phase(A) == "ready")
        begun = len(stage.launches())
        await stage.pass_time(QUIET_S)
        assert [one.hostname for one in stage.launches()[begun:] if one.hostname == B] == []
        assert stage.phase(B) == "held"
        assert (await stage.command("resume", B)).status_code == 202
        await stage.all_ready()

    play(story, shape=Shape(agents=2, storage=1), extra=[_token(tmp_path)])


def test_a_failed_agent_stands_still_until_it_is_retried(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        host = stage.world.hosts[A]
        host.dials.dvdcli_hidden = True
        stage.raise_curtain()
        await stage.until(lambda: stage.phase(A) == "failed")
        assert "dvdcli" in stage.shown(A).error
        begun = len(stage.launches())
        host.dials.dvdcli_hidden = False  # mended, but nobody has told
        await stage.pass_time(QUIET_S)
        assert len(stage.launches()) == begun
        assert (await stage.command("retry", A)).status_code == 202
        await stage.all_ready()

    play(story, extra=[_token(tmp_path)], curtain=False)


def test_commands_need_the_operators_token(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.until(lambda: stage.phase(A))
        answer = await stage.command("hold", A, token="a-token-of-somebody-else")
        assert answer.status_code == 401
        await stage.all_ready()

    play(story, extra=[_token(tmp_path)])


def test_after_one_agent_that_went_back_no_other_is_restarted_until_it_is_mended(
    tmp_path: Path,
) -> None:
    """Its isolation keeps the Mesos agent from starting: the host itself undoes it."""

    async def story(stage: Stage) -> None:
        hosts = stage.world.hosts
        for host in hosts.values():
            host.dials.agent_restart_breaks = True  # whichever is the first
        stage.raise_curtain()
        await stage.until(lambda: "failed" in {stage.phase(host) for host in hosts})
        first = next(host for host in hosts if stage.phase(host) == "failed")
        for host in hosts.values():
            host.dials.agent_restart_breaks = False
        await stage.pass_time(QUIET_S)
        others = [host for host in hosts if host != first]
        assert [stage.phase(host) for host in others] == ["installing"] * 2
        assert {launch.hostname for launch in stage.launches("isolator", "agent-restart")} == {
            first
        }
        board = stage.service.board
        assert all(first in board.why_waiting(stage.shown(host)) for host in others)
        assert (await stage.command("retry", first)).status_code == 202
        await stage.all_ready()

    play(story, shape=Shape(agents=3, storage=1), extra=[_token(tmp_path)], curtain=False)


def _token(folder: Path) -> str:
    file = folder / "token"
    file.write_text(TOKEN, encoding="utf-8")
    file.chmod(0o600)
    return f"-rest.token-file={file}"


@attrs.define
class Peak:
    """The most hosts that were in a state at once."""

    now: set[str] = attrs.field(factory=set)
    most: int = 0

    def set(self, host: str, *, there: bool) -> None:
        (self.now.add if there else self.now.discard)(host)
        self.most = max(self.most, len(self.now))


def test_no_more_agents_are_worked_on_at_once_than_the_rollout_allows() -> None:
    """But for the one that a reboot has interrupted: others wait for it, so it goes on at once."""
    peak, interrupted = Peak(), set()

    def saw(event: WorldEvent) -> None:
        if isinstance(event, HostEvent) and event.kind == "rebooting":
            interrupted.add(event.host)
        if isinstance(event, TaskChanged) and event.step in WORK:
            there = event.running and event.hostname not in interrupted
            peak.set(event.hostname, there=there)

    async def story(stage: Stage) -> None:
        stage.world.listeners.append(saw)
        stage.raise_curtain()
        await stage.all_ready()

    play(story, shape=Shape(agents=5, storage=2), extra=["-rollout.parallel=2"], curtain=False)
    assert peak.most == 2


def test_one_host_reboots_after_the_other() -> None:
    peak, reboots = Peak(), []

    def saw(event: WorldEvent) -> None:
        if isinstance(event, HostEvent):
            peak.set(event.host, there=event.kind != "up")
            reboots.extend([event.host] * (event.kind == "rebooting"))

    async def story(stage: Stage) -> None:
        for host in stage.world.hosts.values():
            host.dials.fail_next["rexray"] = 20  # it holds after a reboot
        stage.world.listeners.append(saw)
        stage.raise_curtain()
        await stage.all_ready()

    play(story, shape=Shape(agents=4, storage=4), curtain=False)
    assert peak.most == 1
    assert set(reboots) == {"agent0.sim", "agent1.sim", "agent2.sim", "agent3.sim"}


@attrs.define
class Moody:
    """A store that takes nothing while it is `away`."""

    inner: Store
    away: bool = False
    kind: str = "simulated"

    async def load(self) -> Mapping[str, bytes]:
        return await self.inner.load()

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        if self.away:
            raise StoreError("the disk is full: free some space")
        await self.inner.write(changes)

    async def close(self) -> None:
        await self.inner.close()


def test_without_its_store_it_waits_and_keeps_the_stream() -> None:
    moody: list[Moody] = []

    def through(store: Store) -> Store:
        moody.append(Moody(store))
        return moody[-1]

    async def story(stage: Stage) -> None:
        stage.rehearsal.through = through
        for host in stage.world.hosts.values():
            host.dials.slow = 10.0  # both at once are under way for a while
        stage.raise_curtain()
        await stage.until(lambda: len(stage.phases()) == 2 and _all_run(stage, "survey"))
        moody[-1].away = True
        begun = len(stage.events)
        await stage.pass_time(QUIET_S)
        meanwhile = stage.events[begun:]
        assert [e for e in meanwhile if isinstance(e, TaskChanged) and not e.running] != []
        assert [e for e in meanwhile if isinstance(e, Acknowledged | StreamClosed)] == []
        assert [e for e in stage.launches() if e in meanwhile] == []
        assert "the disk is full" in _conditions(stage)["store"]
        assert stage.rehearsal.incarnations == 1
        moody[-1].away = False
        for host in stage.world.hosts.values():
            host.dials.slow = 1.0
        await stage.all_ready()

    play(story, shape=Shape(agents=2, storage=0), curtain=False)


def _all_run(stage: Stage, step: str) -> bool:
    """Every host's record says that this step runs on it."""
    tasks = [stage.record(host).task for host in stage.world.hosts]
    return all(t is not None and (t.step, t.state) == (step, TaskState.RUNNING) for t in tasks)


def test_without_a_catalog_every_agent_waits_and_says_what_is_missing() -> None:
    async def story(stage: Stage) -> None:
        hosts = stage.world.hosts
        before = {name: everything_on(host) for name, host in hosts.items()}
        catalog, stage.rehearsal.catalog = stage.rehearsal.catalog, None
        stage.raise_curtain()
        await stage.until(lambda: len(stage.phases()) == 2 and _all_wait(stage), within_s=300.0)
        await stage.pass_time(QUIET_S)
        assert _all_wait(stage)
        assert {name: everything_on(host) for name, host in hosts.items()} == before
        assert {launch.step for launch in stage.launches()} == {"survey"}
        stage.rehearsal.catalog = catalog
        stage.rehearsal.crash()  # the operator names one, and restarts it
        await stage.all_ready()

    play(story, shape=Shape(agents=2, storage=1), curtain=False)


def _all_wait(stage: Stage) -> bool:
    shown = stage.service.board.agents.values()
    return all(one.phase == "installing" and "-catalog" in one.reason for one in shown)
