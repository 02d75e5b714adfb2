"""Stores of schedulers that have onboarded many agents: made from what the simulation stores.

A few agents are onboarded by the real scheduler in the simulated world; their records, under
other names, are what a store of ten thousand holds. The player (simulation.master_play) knows
those agents, and says that their keepers run.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Final

import attrs
import trio
from trio.testing import MockClock

from adapters.store_sqlite import SqliteStore, run_inline
from commands.rehearsal import catalog_text
from commands.simulate import Options, arrived, prepare, scratch
from domain import records
from domain.agent import AgentRecord, KeeperRef
from simulation.master_play import MASTER_ID
from simulation.seed import deterministic
from simulation.world import GATEWAY_NAME, Shape, build

TEMPLATES: Final = 4
ROLE: Final = "scaleio"


@attrs.frozen(kw_only=True)
class Templates:
    """Agents that the scheduler has brought to `ready`, and the key of its installation."""

    agents: tuple[AgentRecord, ...]
    installation: bytes


def templates() -> Templates:
    """Two agents without disks of ours, as the scheduler stores them in the end."""
    with scratch() as folder, deterministic(1):
        return trio.run(_onboard, folder, clock=MockClock(autojump_threshold=0))


async def _onboard(folder: Path) -> Templates:
    rng = random.Random(1)  # noqa: S311 - simulated chance
    options = Options(agents=TEMPLATES, seed=1, storage=2)
    async with trio.open_nursery() as nursery:
        shape = Shape(agents=TEMPLATES, storage=2)
        world = build(rng=rng, shape=shape, nursery=nursery)
        rehearsal, _ = prepare(world, options, folder, rng, "critical")
        rehearsal.started_again = True
        await nursery.start(world.mesos.run)
        over = trio.Event()

        async def run() -> None:
            await rehearsal.run()
            over.set()

        nursery.start_soon(run)
        await arrived(rehearsal, TEMPLATES)
        rehearsal.stop()
        await over.wait()
        nursery.cancel_scope.cancel(reason="everybody is ready")
    store = await SqliteStore.open(folder / "state.sqlite", run_sync=run_inline)
    stored = await store.load()
    await store.close()
    agents = [
        records.decode(raw, AgentRecord, key=key)
        for key, raw in sorted(stored.items())
        if key.startswith(records.AGENT_PREFIX)
    ]
    return Templates(
        agents=tuple(one for one in agents if not one.sds_id),
        installation=stored[records.INSTALLATION_KEY],
    )


def seed(path: Path, agents: int, made_from: Templates, now: float) -> None:
    """A store of `agents` agents, ready since `now` (unix), as the player names them."""
    changes: dict[str, bytes | None] = {
        records.FRAMEWORK_KEY: records.encode(
            records.FrameworkRecord(framework_id=f"{MASTER_ID}-0000", role=ROLE)
        ),
        records.INSTALLATION_KEY: made_from.installation,
    }
    for number in range(agents):
        record = _renamed(made_from.agents[number % len(made_from.agents)], number, now)
        changes[records.agent_key(record.host)] = records.encode(record)
    trio.run(_write, path, changes)


def _renamed(record: AgentRecord, number: int, now: float) -> AgentRecord:
    host = f"agent{number}.play"
    return attrs.evolve(
        record,
        host=host,
        agent_id=f"{MASTER_ID}-S{number}",
        address="127.0.0.1",
        port=5051,
        attributes=attributes(number),
        claimed={},
        surveyed=now,
        since=now,
        keeper=KeeperRef(
            task_id=f"{host}.keeper.9.{number:08x}",
            agent_id=f"{MASTER_ID}-S{number}",
            running=True,
            healthy=True,
        ),
    )


def attributes(number: int) -> dict[str, str]:
    """As the scheduler reads those of the player's agents."""
    return {
        "rack": f"r{number % 20}",
        "row": f"row{number % 5}",
        "zone": f"z{number % 3}",
        "os": "debian12",
        "kernel": "6.1.0-18-amd64",
        "scaleio-sds-pd": "default",
        "slots": str(number % 8),
    }


def copy(store: Path, to: Path) -> None:
    """A scheduler changes its store: each run has its own."""
    for suffix in ("-wal", "-shm"):
        to.with_name(to.name + suffix).unlink(missing_ok=True)
    shutil.copy(store, to)


def flags(folder: Path, store: Path, master: str) -> list[str]:
    """Those of the simulated world, for a scheduler on `store` and the player at `master`."""
    catalog, password = folder / "catalog.json", folder / "password"
    catalog.write_text(catalog_text())
    password.write_text(Shape().password)
    password.chmod(0o600)
    return [
        f"-uri={master}",
        "-hostname=scheduler.sim",
        "-user=root",
        f"-role={ROLE}",
        "-rest.address=127.0.0.1",
        "-rest.port=0",
        f"-store.uri={store}",
        "-store.type=sqlite",
        f"-catalog={catalog}",
        f"-scaleio.password-file={password}",
        "-kernel=install",
        "-scaleio.preconfig.primary=10.0.0.1",
        "-scaleio.preconfig.secondary=10.0.0.2",
        "-scaleio.preconfig.tiebreaker=10.0.0.3",
        f"-scaleio.preconfig.gateway={GATEWAY_NAME}",
        "-loglevel=warning",
    ]


async def _write(path: Path, changes: dict[str, bytes | None]) -> None:
    store = await SqliteStore.open(path, run_sync=run_inline)
    await store.write(changes)
    await store.close()
