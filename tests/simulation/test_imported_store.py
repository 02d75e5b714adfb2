"""A site that ran the original goes on: its hosts are known, looked at, and left as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import trio

from adapters.store_sqlite import SqliteStore, run_inline
from domain import original_store, records
from domain.agent import AgentRecord
from simulation.world import Shape
from tests.simulation.stage import Stage, play

SAMPLE: Final = Path(__file__).parent.parent / "data" / "original_store" / "preconfigured.json"
LOOKING: Final = {"survey", "keeper", "probe", "claim"}
SEALED_ANEW: Final = {"rexray"}  # a new store seals the password with a key of its own


def imported(now: float) -> dict[str, bytes]:
    keys = original_store.below_root(json.loads(SAMPLE.read_text("utf-8")), role="scaleio")
    return original_store.as_records(original_store.read(keys), now=now, stored={})


async def put_in_place(stage: Stage) -> None:
    """As a first start on the original's ensemble does; nothing else is in the store."""
    store = await SqliteStore.open(stage.rehearsal.folder / "state.sqlite", run_sync=run_inline)
    old = dict.fromkeys(await store.load())
    new = imported(stage.rehearsal.wall())
    await store.write({**old, **new})
    await store.close()
    for key, raw in new.items():
        if key.startswith(records.AGENT_PREFIX):
            record = records.decode(raw, AgentRecord, key=key)
            stage.checkers.stored(record, at=trio.current_time())


def is_known_and_waits(stage: Stage, host: str) -> bool:
    shown = stage.shown(host)
    return shown.phase == "seen" and "known from the original framework" in shown.reason


def test_every_host_that_is_there_becomes_ready_whatever_the_original_had_left() -> None:
    """One that Mesos does not have any more stays known, waits, and holds nobody up."""

    async def story(stage: Stage) -> None:
        await put_in_place(stage)
        stage.raise_curtain()
        await stage.all_ready()
        assert is_known_and_waits(stage, "gone.sim")

    play(story, shape=Shape(agents=3, storage=3), curtain=False)


def test_what_is_installed_and_joined_already_is_left_as_it_is() -> None:
    async def story(stage: Stage) -> None:
        await stage.all_ready()
        stage.rehearsal.crash()
        await trio.sleep(0.5)  # before the next process starts
        await put_in_place(stage)
        before = len(stage.launches())
        await stage.until(lambda: stage.launches()[before:])
        await stage.until(lambda: all(stage.phase(host) == "ready" for host in stage.world.hosts))
        assert is_known_and_waits(stage, "gone.sim")
        later = {launch.step for launch in stage.launches()[before:]}
        assert "survey" in later
        assert later <= LOOKING | SEALED_ANEW, f"done twice: {later}"

    play(story, shape=Shape(agents=3, storage=3), extra=("-mesos.adopt",))
