"""Every promise has a checker that can fail: a course that breaks it is flagged, a good one not."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, Literal, cast

import attrs
import pytest
import trio

from actors.board import AgentSnapshot, Board
from actors.mailbox import Mailbox, Vitals
from domain import records
from domain.agent import AgentRecord, Phase, Reboot, TaskRef, TaskState
from simulation import promises as names
from simulation import watch_pace
from simulation.checkers import DEAF_S, Checkers
from simulation.gateway_fields import force_keys
from simulation.gateway_model import Sds
from simulation.mesos_master import MasterFront
from simulation.mesos_observed import (
    Acknowledged,
    CallReceived,
    FaultInjected,
    OfferAnswered,
    OfferMade,
    OfferRescinded,
    StreamOpened,
    TaskChanged,
    TaskLaunched,
    UpdateSent,
)
from simulation.mesos_resources import Bundle
from simulation.mesos_values import Address
from simulation.watch_cluster import KNOWN_AFTER_S
from simulation.watch_shown import BOUND_MAX, LOOK_EVERY_S
from simulation.world import DeviceTaken, GatewayAsked, HostEvent, Shape, World, build
from web.views import Times, agent_line

A: Final = "agent0.sim"
B: Final = "agent1.sim"  # the scheduler's own host
OWN: Final = "10.1.0.2"
SECRET: Final = "Sim-Pass-7"
USUAL: Final = Bundle.of(cpus=4, mem=4096)


@attrs.define
class Scene:
    """A world of three storage hosts, and its checkers; events are fed by hand."""

    world: World
    checkers: Checkers
    at: float = 100.0

    def offer(self, number: int, *, at: float | None = None) -> None:
        self.checkers.saw(
            OfferMade(
                at=self.at if at is None else at,
                offer_id=f"O{number}",
                framework_id="F",
                agent_id="S0",
                hostname=A,
                role="scaleio",
                resources=USUAL,
            )
        )

    def answer(self, number: int, *, at: float | None = None) -> None:
        self.checkers.saw(
            OfferAnswered(
                at=self.at if at is None else at,
                offer_id=f"O{number}",
                framework_id="F",
                by="DECLINE",
                outstanding=True,
                refuse_s=5.0,
            )
        )

    def launch(
        self,
        step: str,
        *,
        taken: Bundle = USUAL,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.checkers.saw(
            TaskLaunched(
                at=self.at,
                task_id=f"{A}.{step}.1.00000000",
                framework_id="F",
                agent_id="S0",
                hostname=A,
                step=step,
                environment=environment or {},
                labels={},
                resources=taken,
                offer_ids=("O0",),
                offered=USUAL,
            )
        )

    def task(self, step: str, number: int, *, running: bool) -> None:
        self.checkers.saw(
            TaskChanged(
                at=self.at,
                task_id=f"{A}.{step}.{number}.00000000",
                framework_id="F",
                agent_id="S0",
                hostname=A,
                step=step,
                state="TASK_RUNNING" if running else "TASK_FINISHED",
                running=running,
            )
        )

    def update(self, state: str) -> None:
        self.checkers.saw(
            UpdateSent(
                at=self.at,
                framework_id="F",
                task_id=f"{A}.survey.1.00000000",
                agent_id="S0",
                state=state,
                reason="",
                uuid=f"uuid of {state}",
                again=False,
            )
        )

    def acknowledge(self, state: str) -> None:
        self.checkers.saw(
            Acknowledged(
                at=self.at,
                framework_id="F",
                task_id=f"{A}.survey.1.00000000",
                agent_id="S0",
                uuid=f"uuid of {state}",
                known=True,
                duplicate=False,
            )
        )

    def host(self, host: str, kind: Literal["rebooting", "down", "up"]) -> None:
        self.checkers.saw(HostEvent(at=self.at, kind=kind, host=host))

    def device(self, data: str) -> None:
        self.checkers.saw(DeviceTaken(at=self.at, host=A, path="/dev/sdb", data=data))

    def store(self, host: str = A, **fields: Any) -> None:
        empty = AgentRecord(host=host, agent_id="S0")
        self.checkers.stored(attrs.evolve(empty, **fields))

    def end(self, **changed: tuple[str, str]) -> None:
        """The run is over; `agent0=("failed", "why")` and the like, the others are ready."""
        phases = {host: changed.get(host.partition(".")[0], READY) for host in self.world.hosts}
        self.checkers.finish({host: seen for host, seen in phases.items() if seen[0]})

    def listed(self, *, deactivated: bool) -> None:
        """The master knows one agent."""
        known = SimpleNamespace(deactivated=deactivated)
        self.world.mesos.state.agents["S0"] = cast("Any", known)

    def has_step(self, step: str) -> None:
        """The truth on host A: the step was carried out, and its effect is there."""
        host = self.world.hosts[A]
        host.ended_well.add(step)
        match step:
            case "prerequisites":
                host.make_key()
                host.next_kernel = host.kernel
            case "sds":
                host.services.add("sds")
            case other:
                raise ValueError(other)

    def sds_on(self, *hosts: str) -> None:
        """The storage cluster has an SDS on each of them."""
        state = self.world.gateway.state
        domain_id = next(iter(state.domains))
        for host in hosts:
            address = self.world.hosts[host].address
            name = f"sds_{address}"
            state.sds[name] = Sds(id=name, name=name, domain_id=domain_id, ips=[(address, "all")])

    # -- the wire, the Gateway, and what is shown ------------------------------------------------

    def subscribe(self, framework_id: str) -> None:
        self._called("SUBSCRIBE", framework_id, "")

    def call(self, stream_id: str) -> None:
        """A call leaves, and arrives."""
        self.checkers.link.call_leaves(stream_id)
        self._called("RECONCILE", "F", stream_id)

    def _called(self, kind: str, framework_id: str, stream_id: str) -> None:
        self.checkers.saw(
            CallReceived(
                at=self.at,
                kind=kind,
                framework_id=framework_id,
                stream_id=stream_id,
                current=True,
                status=202,
            )
        )

    def open_stream(self, stream_id: str) -> None:
        self.checkers.saw(
            StreamOpened(at=self.at, framework_id="F", stream_id=stream_id, fresh=False)
        )

    def ask_gateway(self, body: str) -> None:
        path = "/api/types/Device/instances"
        self.checkers.saw(
            GatewayAsked(at=self.at, path=path, forced=force_keys(body.encode("utf-8")))
        )

    def mdms_on_agents(self) -> None:
        for mdm, host in zip(self.world.gateway.state.mdms, self.world.hosts.values(), strict=True):
            mdm.ip = host.address

    def passes(self, seconds: float) -> None:
        self.at += seconds
        self.checkers.saw(HostEvent(at=self.at, kind="up", host=A))

    def show(self, **fields: Any) -> None:
        """A record is stored, and the board shows it so, but for these fields."""
        record = AgentRecord(host=A, agent_id="S0", phase=Phase.SURVEYING, reason="it is slow")
        self.checkers.stored(record, at=self.at)
        self.checkers.shown.heard([records.agent_key(A)], at=self.at)
        shown = attrs.evolve(_shown(record), **fields)
        board = Board(agents={A: shown})
        self.checkers.shown.look = lambda: board


def _shown(record: AgentRecord) -> AgentSnapshot:
    return AgentSnapshot(
        host=record.host,
        agent_id=record.agent_id,
        address=record.address,
        phase=record.phase.value,
        since=record.since,
        reason=record.reason,
    )


READY: Final = ("ready", "")
GONE: Final = ("", "")
Play = Callable[[Scene], None]


def two_tasks_at_once(scene: Scene) -> None:
    scene.task("survey", 1, running=True)
    scene.task("sds", 2, running=True)


def one_task_after_the_other(scene: Scene) -> None:
    scene.task("keeper", 9, running=True)  # is no step
    scene.task("survey", 1, running=True)
    scene.task("survey", 1, running=False)
    scene.task("sds", 2, running=True)


def a_step_before_its_predecessor(scene: Scene) -> None:
    scene.launch("sds")


def a_step_after_its_predecessor(scene: Scene) -> None:
    scene.has_step("prerequisites")
    scene.launch("sds")


def an_offer_forgotten(scene: Scene) -> None:
    scene.offer(1)
    scene.offer(2, at=scene.at + 10.5)


def an_offer_answered_twice(scene: Scene) -> None:
    scene.offer(1)
    scene.answer(1)
    scene.answer(1)


def offers_answered_or_taken_back(scene: Scene) -> None:
    scene.offer(1)
    scene.answer(1, at=scene.at + 9.0)
    scene.offer(2, at=scene.at + 9.0)
    scene.checkers.saw(OfferRescinded(at=scene.at + 18.0, offer_id="O2", framework_id="F"))
    scene.offer(3, at=scene.at + 60.0)


def offers_of_a_time_when_nothing_arrives(scene: Scene) -> None:
    scene.offer(1)
    scene.checkers.saw(FaultInjected(at=scene.at + 1.0, fault="mute_stream", target=""))
    scene.offer(2, at=scene.at + 2.0)
    scene.offer(3, at=scene.at + 1.0 + DEAF_S)
    scene.answer(3, at=scene.at + 2.0 + DEAF_S)


def more_than_was_offered(scene: Scene) -> None:
    scene.launch("survey", taken=Bundle.of(cpus=4.001, mem=4096))


def all_that_was_offered(scene: Scene) -> None:
    scene.launch("survey", taken=USUAL)


def two_fault_units_down(scene: Scene) -> None:
    scene.sds_on(A, "agent2.sim")
    scene.host(A, "rebooting")
    scene.host("agent2.sim", "rebooting")


def one_fault_unit_after_the_other(scene: Scene) -> None:
    scene.sds_on(A, "agent2.sim")
    scene.host(A, "rebooting")
    scene.host(A, "up")
    scene.host("agent2.sim", "rebooting")


def a_reboot_while_data_is_degraded(scene: Scene) -> None:
    scene.world.gateway.set_sds_connected("10.0.1.1", connected=False)
    scene.host(A, "rebooting")


def a_reboot_while_an_mdm_is_away(scene: Scene) -> None:
    scene.world.gateway.state.mdms[1].good = False
    scene.host(A, "rebooting")


def a_reboot_of_a_sound_cluster(scene: Scene) -> None:
    scene.host(A, "rebooting")


def a_device_with_data(scene: Scene) -> None:
    scene.device("ext4")


def an_empty_device(scene: Scene) -> None:
    scene.device("")


def _survey_ended(scene: Scene, state: TaskState) -> None:
    task = TaskRef(task_id=f"{A}.survey.1.00000000", step="survey", agent_id="S0", state=state)
    scene.update("TASK_FINISHED")
    scene.store(task=task)


def acknowledged_before_it_was_stored(scene: Scene) -> None:
    _survey_ended(scene, TaskState.RUNNING)
    scene.acknowledge("TASK_FINISHED")


def acknowledged_too_often(scene: Scene) -> None:
    _survey_ended(scene, TaskState.ENDED)
    scene.acknowledge("TASK_FINISHED")
    scene.acknowledge("TASK_FINISHED")


def acknowledged_when_stored(scene: Scene) -> None:
    _survey_ended(scene, TaskState.ENDED)
    scene.acknowledge("TASK_FINISHED")


def an_old_word_acknowledged_late(scene: Scene) -> None:
    """The record knows more than that already."""
    scene.update("TASK_RUNNING")
    _survey_ended(scene, TaskState.ENDED)
    scene.acknowledge("TASK_RUNNING")


def a_step_done_again(scene: Scene) -> None:
    scene.has_step("prerequisites")
    scene.launch("prerequisites")


def a_step_again_that_had_failed(scene: Scene) -> None:
    scene.has_step("prerequisites")
    scene.world.hosts[A].ended_well.clear()  # its task told another story
    scene.launch("prerequisites")


def an_agent_without_an_end(scene: Scene) -> None:
    scene.end(agent0=("installing", ""))


def a_failure_without_a_name(scene: Scene) -> None:
    scene.end(agent0=("failed", ""))


def a_named_failure(scene: Scene) -> None:
    scene.end(agent0=("failed", "agent0.sim: a disk is broken; replace it, then retry"))


def a_secret_in_a_task(scene: Scene) -> None:
    scene.launch("survey", environment={"LOGIN": f"admin:{SECRET}"})


def a_secret_in_a_record(scene: Scene) -> None:
    scene.store(reason=f"the password {SECRET} was refused")


def a_secret_on_a_page(scene: Scene) -> None:
    scene.checkers.secret_free("the reply to GET /", f"<p>{SECRET}</p>")


def nothing_secret(scene: Scene) -> None:
    scene.launch("survey", environment={"LOGIN": "admin"})
    scene.store(reason="the password was refused")


def a_held_agent_that_moves(scene: Scene) -> None:
    scene.store(phase=Phase.HELD)
    scene.store(phase=Phase.SURVEYING)


def a_failed_agent_that_moves_twice_for_one_word(scene: Scene) -> None:
    scene.store(phase=Phase.FAILED)
    scene.checkers.commanded(A)
    scene.store(phase=Phase.SURVEYING)
    scene.store(phase=Phase.FAILED)
    scene.store(phase=Phase.SURVEYING)


def a_held_agent_that_is_told_to_move(scene: Scene) -> None:
    scene.store(phase=Phase.HELD)
    scene.store(phase=Phase.HELD, reason="still held")
    scene.checkers.commanded(A)
    scene.store(phase=Phase.SURVEYING)


def _wants_to_reboot(scene: Scene, host: str) -> None:
    scene.store(host, phase=Phase.REBOOT_WANTED, reboot=Reboot(boot_id="b", reason="kernel"))


def the_own_host_first(scene: Scene) -> None:
    _wants_to_reboot(scene, A)
    scene.host(B, "rebooting")


def the_own_host_last(scene: Scene) -> None:
    scene.store("agent2.sim", phase=Phase.FAILED, reboot=Reboot(boot_id="b", reason="kernel"))
    _wants_to_reboot(scene, A)
    scene.host(A, "rebooting")
    scene.host(A, "up")
    scene.store(A, phase=Phase.READY)
    scene.host(B, "rebooting")


def _mailbox(scene: Scene, size: int, *, held: int) -> None:
    box: Mailbox[int] = Mailbox(Vitals(name="roster", kind="roster", peak=held), 8)
    seen = attrs.evolve(box.snapshot(), mailbox_size=size)
    board = Board(actors={"roster": lambda: seen})
    scene.checkers.shown.look = lambda: board
    scene.passes(LOOK_EVERY_S)


def a_mailbox_beyond_its_bound(scene: Scene) -> None:
    _mailbox(scene, 8, held=9)


def a_mailbox_without_a_bound(scene: Scene) -> None:
    _mailbox(scene, BOUND_MAX + 1, held=3)


def a_full_mailbox(scene: Scene) -> None:
    _mailbox(scene, 8, held=8)


def another_framework_subscribes(scene: Scene) -> None:
    scene.subscribe("")
    scene.checkers.link.kept("F")
    scene.subscribe("G")


def another_framework_is_stored(scene: Scene) -> None:
    scene.checkers.link.kept("F")
    scene.checkers.link.kept("")


def one_word_for_two_new_ids(scene: Scene) -> None:
    scene.checkers.link.kept("F")
    scene.checkers.link.registers()
    scene.checkers.link.kept("G")
    scene.checkers.link.kept("H")


def a_framework_that_an_operator_lets_register(scene: Scene) -> None:
    scene.subscribe("")
    scene.checkers.link.kept("F")
    scene.subscribe("F")
    scene.checkers.link.registers()
    scene.checkers.link.kept("")
    scene.subscribe("")
    scene.checkers.link.kept("G")
    scene.subscribe("G")


def a_call_on_a_stream_that_is_over(scene: Scene) -> None:
    scene.open_stream("one")
    scene.checkers.link.stream_over("one")
    scene.call("one")


def a_call_on_an_invented_stream(scene: Scene) -> None:
    scene.open_stream("one")
    scene.call("two")


def a_call_under_way_when_its_stream_ends(scene: Scene) -> None:
    scene.open_stream("one")
    scene.checkers.link.call_leaves("one")
    scene.checkers.link.stream_over("one")
    scene.open_stream("two")
    scene._called("RECONCILE", "F", "one")


def a_step_in_a_hot_loop(scene: Scene) -> None:
    for _ in range(watch_pace.LAUNCHES + 1):
        scene.launch("survey")


def calls_in_a_hot_loop(scene: Scene) -> None:
    scene.open_stream("one")
    for _ in range(watch_pace.CALLS + watch_pace.CALLS_PER_AGENT * 3 + 20):
        scene.call("one")


def questions_in_a_hot_loop(scene: Scene) -> None:
    for _ in range(watch_pace.ASKED + watch_pace.ASKED_PER_AGENT * 3 + 1):
        scene.ask_gateway("{}")


def many_launches_in_many_hours_and_some_for_trouble(scene: Scene) -> None:
    for _ in range(5):
        for _ in range(watch_pace.LAUNCHES):
            scene.launch("survey")
        scene.passes(watch_pace.HOUR_S)
    for _ in range(watch_pace.LAUNCHES):
        scene.launch("survey")
    scene.checkers.saw(FaultInjected(at=scene.at, fault="agent_down", target=A))
    scene.launch("survey")


def a_device_taken_by_force(scene: Scene) -> None:
    scene.ask_gateway('{"deviceCurrentPathname": "/dev/sdb", "forceDeviceTakeover": "TRUE"}')


def a_listed_device_cleaned_by_force(scene: Scene) -> None:
    scene.ask_gateway('{"name": "sds_1", "deviceInfoList": [{"info": {"forceClean": false}}]}')


def a_device_that_is_asked_for(scene: Scene) -> None:
    scene.ask_gateway('{"deviceCurrentPathname": "/dev/disk/by-id/force-of-nature"}')


def a_member_beside_a_member_that_is_down(scene: Scene) -> None:
    scene.mdms_on_agents()
    scene.world.gateway.state.mdms[1].good = False
    scene.launch("agent-restart")  # now nobody can know
    assert scene.checkers.violations == []
    scene.passes(KNOWN_AFTER_S)
    scene.launch("agent-restart")


def a_master_beside_a_master_that_is_down(scene: Scene) -> None:
    one, other = (
        MasterFront(Address(ip=ip, port=5050, hostname=""), scene.world.mesos.master)
        for ip in (scene.world.hosts[A].address, "10.0.0.9")
    )
    scene.world.mesos.fronts = (one, other)
    other.status = "down"
    scene.host(A, "rebooting")


def a_member_alone_and_others_beside_it(scene: Scene) -> None:
    scene.mdms_on_agents()
    scene.host(A, "rebooting")
    scene.host(A, "up")
    scene.world.gateway.state.mdms[1].good = False
    scene.world.gateway.state.mdms[0].ip = "10.0.0.1"  # A is no member any more
    scene.passes(KNOWN_AFTER_S)
    scene.launch("agent-restart")


def a_board_that_is_not_the_store(scene: Scene) -> None:
    scene.show(phase="ready")
    scene.passes(LOOK_EVERY_S)


def a_board_without_the_error(scene: Scene) -> None:
    scene.show(reason="")
    scene.passes(LOOK_EVERY_S)


def a_list_that_is_not_the_store(scene: Scene) -> None:
    scene.show()
    scene.passes(LOOK_EVERY_S)
    scene.checkers.shown.listed("GET /v1/agents", [{**_line(), "phase": "ready"}])


def a_page_that_is_not_the_store(scene: Scene) -> None:
    scene.show()
    scene.passes(LOOK_EVERY_S)
    scene.checkers.shown.page(_page("ready"))


def a_page_that_shows_nobody(scene: Scene) -> None:
    scene.show()
    scene.checkers.shown.page("<h2>Agents</h2>")


def what_is_shown_is_stored(scene: Scene) -> None:
    scene.show()
    scene.passes(LOOK_EVERY_S)
    scene.checkers.shown.listed("GET /v1/agents", [_line()])
    scene.checkers.shown.page(_page("surveying"))
    scene.store(A, phase=Phase.FAILED, error="the disk is full")  # nobody has heard of it yet
    scene.checkers.shown.have_a_look()


def an_agent_left_deactivated(scene: Scene) -> None:
    scene.listed(deactivated=True)
    scene.end()


def an_agent_that_is_offered_again(scene: Scene) -> None:
    scene.listed(deactivated=False)
    scene.end()


def _line() -> dict[str, object]:
    record = AgentRecord(host=A, agent_id="S0", phase=Phase.SURVEYING, reason="it is slow")
    times = Times(now=lambda: 0.0, wall=lambda: 0.0)
    return agent_line(_shown(record), times, "it is slow; no offer fits")


def _page(phase: str) -> str:
    return f'<tr id="row-{A}" data-host="{A}" data-phase="{phase}"><th>{A}</th></tr>'


COURSES: Final[dict[str, tuple[tuple[Play, ...], Play]]] = {
    names.ONE_TASK: ((two_tasks_at_once,), one_task_after_the_other),
    names.ORDER: ((a_step_before_its_predecessor,), a_step_after_its_predecessor),
    names.ANSWERED: (
        (an_offer_forgotten, an_offer_answered_twice),
        offers_answered_or_taken_back,
    ),
    names.WITHIN: ((more_than_was_offered,), all_that_was_offered),
    names.FAULT_UNIT: ((two_fault_units_down,), one_fault_unit_after_the_other),
    names.HEALTHY: (
        (a_reboot_while_data_is_degraded, a_reboot_while_an_mdm_is_away),
        a_reboot_of_a_sound_cluster,
    ),
    names.NO_DATA: ((a_device_with_data,), an_empty_device),
    names.ACKNOWLEDGED: (
        (acknowledged_before_it_was_stored, acknowledged_too_often),
        acknowledged_when_stored,
    ),
    names.NOT_TWICE: ((a_step_done_again,), a_step_again_that_had_failed),
    names.ARRIVES: ((an_agent_without_an_end, a_failure_without_a_name), a_named_failure),
    names.NO_SECRET: (
        (a_secret_in_a_task, a_secret_in_a_record, a_secret_on_a_page),
        nothing_secret,
    ),
    names.STANDS_STILL: (
        (a_held_agent_that_moves, a_failed_agent_that_moves_twice_for_one_word),
        a_held_agent_that_is_told_to_move,
    ),
    names.OWN_HOST_LAST: ((the_own_host_first,), the_own_host_last),
    names.MAILBOXES: (
        (a_mailbox_beyond_its_bound, a_mailbox_without_a_bound),
        a_full_mailbox,
    ),
    names.IDENTITY: (
        (another_framework_subscribes, another_framework_is_stored, one_word_for_two_new_ids),
        a_framework_that_an_operator_lets_register,
    ),
    names.LIVE_STREAM: (
        (a_call_on_a_stream_that_is_over, a_call_on_an_invented_stream),
        a_call_under_way_when_its_stream_ends,
    ),
    names.PACE: (
        (a_step_in_a_hot_loop, calls_in_a_hot_loop, questions_in_a_hot_loop),
        many_launches_in_many_hours_and_some_for_trouble,
    ),
    names.NO_FORCE: (
        (a_device_taken_by_force, a_listed_device_cleaned_by_force),
        a_device_that_is_asked_for,
    ),
    names.MEMBERS: (
        (a_member_beside_a_member_that_is_down, a_master_beside_a_master_that_is_down),
        a_member_alone_and_others_beside_it,
    ),
    names.SHOWN: (
        (
            a_board_that_is_not_the_store,
            a_board_without_the_error,
            a_list_that_is_not_the_store,
            a_page_that_is_not_the_store,
            a_page_that_shows_nobody,
        ),
        what_is_shown_is_stored,
    ),
    names.DEBTS: ((an_agent_left_deactivated,), an_agent_that_is_offered_again),
}
WRONG: Final = [(name, play) for name, (wrong, _) in COURSES.items() for play in wrong]
RIGHT: Final = [
    *((name, right) for name, (_, right) in COURSES.items()),
    (names.ANSWERED, offers_of_a_time_when_nothing_arrives),
    (names.ACKNOWLEDGED, an_old_word_acknowledged_late),
]


@pytest.fixture
def scene(nursery: trio.Nursery) -> Scene:
    shape = Shape(agents=3, storage=3, password=SECRET)
    rng = random.Random(1)  # noqa: S311 - simulated chance
    world = build(rng=rng, shape=shape, nursery=nursery)
    return Scene(world, Checkers(world, secrets=(SECRET,), own_address=OWN))


def _title(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


def test_every_promise_is_put_to_both_tests() -> None:
    assert set(COURSES) == set(names.ALL)


@pytest.mark.parametrize(("invariant", "play"), WRONG, ids=_title)
async def test_a_broken_promise_is_named(scene: Scene, invariant: str, play: Play) -> None:
    play(scene)
    assert {violation.invariant for violation in scene.checkers.violations} == {invariant}
    assert all(violation.text for violation in scene.checkers.violations)


@pytest.mark.parametrize(("invariant", "play"), RIGHT, ids=_title)
async def test_a_kept_promise_is_counted(scene: Scene, invariant: str, play: Play) -> None:
    play(scene)
    assert scene.checkers.violations == []
    assert scene.checkers.counts[invariant] > 0


async def test_an_agent_that_nobody_knows_any_more_is_forgotten(scene: Scene) -> None:
    scene.end(agent0=GONE)
    broken = {violation.invariant for violation in scene.checkers.violations}
    assert broken == {names.ARRIVES, names.NOT_TWICE, names.STANDS_STILL}


async def test_a_long_list_of_broken_promises_is_cut(scene: Scene) -> None:
    for _ in range(names.VIOLATIONS_KEPT + 5):
        scene.device("ext4")
    assert len(scene.checkers.violations) == names.VIOLATIONS_KEPT
    assert scene.checkers.counts[names.NO_DATA] == names.VIOLATIONS_KEPT + 5
