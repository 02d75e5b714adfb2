"""A real Mesos as a ground: processes on the loopback interface, in real time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import attrs
import trio

from tests.fidelity.dials import AGENT_FLAGS, MASTER_FLAGS
from tests.fidelity.table import Needs
from tests.real_mesos import Cluster

QUIET_S: Final = 0.8  # four passes of the allocator
Result = TypeVar("Result")


async def _aside(work: Callable[[], Result]) -> Result:
    """In a thread: the cluster's own methods wait."""
    return await trio.to_thread.run_sync(work)


@attrs.define(eq=False, kw_only=True)
class RealGround:
    """`harmed`: agents or masters were taken down, so that no other script gets this cluster."""

    cluster: Cluster
    needs: Needs
    harmed: bool = False
    quiet_s: float = QUIET_S

    @property
    def master(self) -> str:
        return self.cluster.url

    @property
    def masters(self) -> tuple[str, ...]:
        names = [name for name in self.cluster.flags if name.startswith("master")]
        return tuple(self.cluster.endpoint(name) for name in names)

    @property
    def now_s(self) -> float:
        return self.cluster.now_s()

    def address(self, name: str) -> str:
        return self.cluster.addresses[name].partition(":")[0]

    async def agent_down(self, name: str) -> None:
        self.harmed = True
        await _aside(partial(self.cluster.kill, name))

    async def agent_up(self, name: str, *, new_id: bool = False) -> None:
        if new_id:
            self.cluster.forget_identity(name)
        await _aside(partial(self.cluster.start, name))

    async def agent_leaves(self, name: str) -> None:
        self.harmed = True
        await _aside(partial(self.cluster.kill, name, signal.SIGUSR1))

    async def agent_silent(self, name: str) -> None:
        self.harmed = True
        os.kill(self.cluster.processes[name].pid, signal.SIGSTOP)
        await trio.lowlevel.checkpoint()

    async def agent_heard(self, name: str) -> None:
        os.kill(self.cluster.processes[name].pid, signal.SIGCONT)
        await trio.lowlevel.checkpoint()

    async def executor_dies(self, framework_id: str, task_id: str) -> None:
        for pid in await _aside(partial(self.cluster.executors, framework_id, task_id)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def master_down(self) -> None:
        self.harmed = True
        await _aside(partial(self.cluster.kill, self.cluster.leader))
        await _aside(self.cluster.depose)

    async def master_up(self) -> None:
        names = [name for name in self.cluster.flags if name.startswith("master")]
        old = self.cluster.leader
        new = names[(names.index(old) + 1) % len(names)]
        if new == old:
            await _aside(partial(self.cluster.start, old))
        self.cluster.elect(new)
        await _aside(self.cluster.wait_leading)


def _flags(folder: Path, needs: Needs) -> dict[str, str]:
    if not needs.credentials:
        return dict(MASTER_FLAGS)
    known = [{"principal": name, "secret": secret} for name, secret in needs.credentials]
    path = folder / "credentials.json"
    path.write_text(json.dumps({"credentials": known}))
    return {
        **MASTER_FLAGS,
        "authenticate_http_frameworks": "true",
        "http_framework_authenticators": "basic",
        "authenticate_http_readwrite": "true",
        "credentials": f"file://{path}",
    }


def _agent_flags(needs: Needs) -> dict[str, str]:
    own = {"attributes": needs.attributes, "resources": needs.resources}
    return {**AGENT_FLAGS, **{name: value for name, value in own.items() if value}}


@asynccontextmanager
async def real_ground(needs: Needs) -> AsyncIterator[RealGround]:
    with tempfile.TemporaryDirectory(prefix="fidelity-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        cluster = Cluster(
            folder / "work",
            agents=needs.agents,
            masters=needs.masters,
            master_flags=_flags(folder, needs),
            agent_flags=_agent_flags(needs),
            own_addresses=True,
        )
        try:
            await _aside(cluster.up)
            yield RealGround(cluster=cluster, needs=needs)
        finally:
            with trio.CancelScope(shield=True):  # bounded: `down` kills after three seconds
                await _aside(cluster.down)
