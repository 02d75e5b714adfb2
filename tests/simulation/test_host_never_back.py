"""A host that does not come back from our reboot, in the whole product: it halts the reboots."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.world import HostEvent, Shape, WorldEvent
from tests.simulation.stage import TOKEN, Stage, play

NEVER_S = 1e7
LATE_S = 3000.0
HALTED_S = 1800.0


def down(events: list[WorldEvent]) -> list[str]:
    """Hosts that went down on our account, in order."""
    return [e.host for e in events if isinstance(e, HostEvent) and e.kind == "rebooting"]


async def one_goes_missing(stage: Stage, takes_s: float) -> str:
    for host in stage.world.hosts.values():
        host.dials.reboot_takes_s = takes_s
    await stage.until(lambda: down(stage.events))
    (first,) = down(stage.events)
    for host in stage.world.hosts.values():
        host.dials.reboot_takes_s = 0.0
    await stage.until(lambda: stage.phase(first) == "lost")
    return first


def conditions(stage: Stage) -> dict[str, str]:
    return {one.name: one.subject for one in stage.service.board.conditions}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_host_that_never_comes_back_halts_the_others_until_it_is_held(
    seed: int, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)

    async def story(stage: Stage) -> None:
        first = await one_goes_missing(stage, NEVER_S)
        await stage.pass_time(HALTED_S)
        assert down(stage.events) == [first]
        assert conditions(stage)["reboot-overdue"] == first
        assert (await stage.command("hold", first)).status_code == 202
        others = set(stage.world.hosts) - {first}
        await stage.until(lambda: others == {h for h in others if stage.phase(h) == "ready"})
        assert len(set(down(stage.events))) > 1, "the others went on"
        assert "reboot-overdue" not in conditions(stage)

    play(story, seed=seed, shape=Shape(agents=3, storage=0), extra=[f"-rest.token-file={token}"])


def test_a_host_that_comes_back_late_is_taken_up_and_the_others_follow() -> None:
    async def story(stage: Stage) -> None:
        first = await one_goes_missing(stage, LATE_S)
        assert down(stage.events) == [first]
        await stage.all_ready(within_s=4 * 3600.0)
        assert not stage.shown(first).missing

    play(story, seed=3, shape=Shape(agents=3))
