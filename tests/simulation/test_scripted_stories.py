"""Bad evenings in the words of simulation/scripts.py: faults and orders, and what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from simulation.mesos_observed import TaskLaunched
from simulation.scripts import Act, Expect, Send
from simulation.scripts import play as play_acts
from simulation.world import HostEvent, Shape
from tests.simulation.stage import Stage, play

A: Final = "agent0.sim"
B: Final = "agent1.sim"
C: Final = "agent2.sim"
THREE: Final = Shape(agents=3, storage=3)


def script(acts: Callable[[Stage], list[Act]], shape: Shape = THREE) -> None:
    """Play the acts; in the end all agents are ready, and no promise was broken."""

    async def story(stage: Stage) -> None:
        await play_acts(stage, *acts(stage))
        await stage.all_ready()

    play(story, shape=shape)


def at_work(stage: Stage, step: str, host: str = A) -> Expect:
    return Expect(
        f"step {step} is launched on {host}",
        lambda: any(one.hostname == host for one in stage.launches(step)),
    )


def ready(stage: Stage, *hosts: str) -> Expect:
    return Expect(
        f"{', '.join(hosts)} ready", lambda: all(stage.phase(host) == "ready" for host in hosts)
    )


def shown(stage: Stage, condition: str, *, within_s: float = 300.0) -> Expect:
    return Expect(
        f"condition {condition} is shown",
        lambda: any(one.name.startswith(condition) for one in stage.service.board.conditions),
        within_s,
    )


def rebooted(stage: Stage) -> list[str]:
    """Hosts that went down on our account, in order."""
    happened = [one for one in stage.events if isinstance(one, HostEvent)]
    return [one.host for one in happened if one.kind == "rebooting"]


def test_the_master_and_then_the_scheduler_die_under_an_installation() -> None:
    script(
        lambda stage: [
            at_work(stage, "sds"),
            Send("master-failover"),
            Send("store-unheard"),
            Expect("another scheduler has come", lambda: stage.rehearsal.incarnations == 2),
            Send("stream-cut"),
            Send("lost-ack", size=2),
            ready(stage, A, B, C),
        ]
    )


def test_no_host_reboots_while_a_member_of_the_mdm_cluster_is_away() -> None:
    async def story(stage: Stage) -> None:
        await play_acts(
            stage,
            Send("mdm-away", size=1500),
            Expect(
                "all want their reboot",
                lambda: all(stage.phase(host) == "reboot_wanted" for host in (A, B, C)),
                within_s=1400.0,
            ),
        )
        assert rebooted(stage) == []
        await play_acts(stage, ready(stage, A, B, C))
        assert set(rebooted(stage)) == {A, B, C}
        await stage.all_ready()

    play(story, shape=THREE)


def test_the_clock_goes_back_two_hours_while_disks_wait_for_their_second_look() -> None:
    script(
        lambda stage: [
            Expect("A has candidates", lambda: A in stage.phases() and stage.record(A).candidates),
            Send("clock-jump", size=-7200),
            Expect("its disks are taken", lambda: stage.launches("claim"), within_s=1800.0),
            ready(stage, A, B, C),
        ]
    )


def test_a_held_agent_sits_out_its_reboots_and_goes_on_when_it_is_told_to() -> None:
    def launched_since(stage: Stage, mark: int) -> list[TaskLaunched]:
        fresh = stage.events[mark:]
        return [e for e in fresh if isinstance(e, TaskLaunched) and e.hostname == B]

    async def story(stage: Stage) -> None:
        await play_acts(
            stage,
            at_work(stage, "sdc", B),
            Send("hold", B),
            Expect("B is held", lambda: stage.phase(B) == "held"),
            Expect("its task is over", lambda: not stage.record(B).task),
        )
        mark = len(stage.events)
        await play_acts(
            stage,
            Send("reboot", B),
            Send("scheduler-crash"),
            ready(stage, A, C),
            Expect("B is held still", lambda: stage.phase(B) == "held"),
        )
        assert launched_since(stage, mark) == []
        await play_acts(stage, Send("resume", B), ready(stage, B))
        await stage.all_ready()

    play(story, shape=THREE)


def test_what_was_expected_and_did_not_come_is_told_with_what_was_there() -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(AssertionError, match=r"not within 5 s: pigs fly; instead .*agent0.sim"):
            await play_acts(
                stage,
                Expect("it is seen", stage.phases),
                Expect("pigs fly", lambda: False, within_s=5),
            )
        with pytest.raises(AssertionError, match=r"resume agent9.sim was answered 404"):
            await play_acts(stage, Send("resume", "agent9.sim"))

    play(story)
