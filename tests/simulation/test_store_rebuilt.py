"""The store is lost with its file: the same framework goes on, and no host is begun anew."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
import trio

from adapters.store_choice import SqliteChoice, open_store
from adapters.store_sqlite import StoreDamagedError, run_inline
from simulation.world import Shape
from tests.simulation.stage import Stage, play

LOOKING: Final = {"survey", "keeper", "probe", "claim"}
SEALED_ANEW: Final = {"rexray"}  # a new store seals the password with a key of its own


def damage(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(b"\xff" * 4096 + data[4096:])


async def opened(path: Path, *, rebuild: bool) -> None:
    choice = SqliteChoice(path=path, reason="test", default_path=False)
    store = await open_store(choice, role="scaleio", rebuild=rebuild, run_sync=run_inline)
    await store.close()


def test_rebuilt_from_mesos_and_the_gateway_every_agent_is_ready_again() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        path = stage.rehearsal.folder / "state.sqlite"
        framework_id = stage.service.session.info.framework_id
        stage.rehearsal.crash()
        await trio.sleep(0.5)  # before the next process starts
        damage(path)
        with pytest.raises(StoreDamagedError):
            await opened(path, rebuild=False)
        await opened(path, rebuild=True)
        before = len(stage.launches())
        await stage.until(lambda: stage.launches()[before:])
        await stage.until(lambda: all(stage.phase(host) == "ready" for host in stage.world.hosts))
        later = {launch.step for launch in stage.launches()[before:]}
        assert later <= LOOKING | SEALED_ANEW, f"done twice: {later}"
        assert stage.service.session.info.framework_id == framework_id
        assert path.with_name("state.sqlite.damaged").exists()

    play(story, shape=Shape(agents=3, storage=3), extra=("-store.rebuild",))
