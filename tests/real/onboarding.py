"""The stage for the main job on a real Mesos: cluster, simulated Gateway, one scheduler."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.real import evidence
from tests.real_mesos import Cluster, get_json
from tests.real_mesos.cluster import Flags
from tests.scheduler_process import (
    MDMS,
    PASSWORD,
    Json,
    Scheduler,
    catalog_json,
    free_ports,
    gateway,
)
from tests.steps_inert_twin import STEPS_DIR


class Stage:
    """A cluster of `agents` running agents and `spare` ones that are started later, a Gateway,
    and the flags of a scheduler for them. As a context manager; the scheduler is not started.

    `-uri` names the first master; with several, `more` names what the test is about."""

    def __init__(
        self,
        folder: Path,
        *,
        agents: int,
        spare: int = 0,
        masters: int = 1,
        agent_flags: Sequence[Flags] | None = None,
        more: Sequence[str] = (),
    ) -> None:
        """`more`: flags of the scheduler; the last one of a name wins."""
        self.folder = folder
        self.more = tuple(more)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "catalog.json").write_text(catalog_json())
        (folder / "password").write_text(f"{PASSWORD}\n")
        count = agents + spare
        ports = free_ports(count + masters + 1)
        self.cluster = Cluster(
            folder / "mesos",
            agents=count,
            masters=masters,
            port=ports,
            agent_flags=agent_flags,
            own_addresses=True,
        )
        names = [f"agent{number}" for number in range(agents, count)]
        self._spare = {name: self.cluster.flags.pop(name) for name in names}
        self._port = ports + count + masters
        self._agents = count
        self._stack = contextlib.ExitStack()

    @property
    def hosts(self) -> list[str]:
        return [f"{name}.test" for name in self.cluster.flags if name.startswith("agent")]

    def add_agent(self) -> str:
        """Start the next spare one; its host name."""
        name = next(iter(self._spare))
        self.cluster.flags[name] = self._spare.pop(name)
        self.cluster.start(name)
        return f"{name}.test"

    def flags(self, gateway_url: str) -> tuple[str, ...]:
        return (
            f"-uri={self.cluster.addresses['master0']}",
            f"-scaleio.password-file={self.folder / 'password'}",
            *MDMS,
            f"-scaleio.preconfig.gateway={gateway_url}",
            f"-steps.dir={STEPS_DIR}",
            f"-catalog={self.folder / 'catalog.json'}",
            "-store.type=sqlite",
            f"-store.uri={self.folder / 'state.sqlite'}",
            "-devices.claim-delay=2",
            "-mesos.poll-agents=5",
            "-gateway.poll=2",
            "-executor.cpu.non=0.1",
            "-executor.mem.non=32",
            "-log.format=text",
            "-loglevel=debug",
            *self.more,
        )

    def frameworks(self) -> list[Json]:
        """All of our name that the master has ever had, as far as it remembers."""
        state = get_json(f"{self.cluster.url}/state")
        known: list[Json] = [*state["frameworks"], *state["completed_frameworks"]]
        return [one for one in known if one["name"] == "ScaleIO Framework"]

    def in_flight(self) -> list[str]:
        """Tasks of steps that the master has launched, and that have not ended."""
        tasks = [task for framework in self.frameworks() for task in framework["tasks"]]
        return [task["id"] for task in tasks if ".keeper." not in task["id"]]

    def wait_at_work(self, steps: int = 0) -> list[str]:
        """Until so many steps are done, and others are in flight: these; where all is done before
        that, a spare agent joins."""

        def progress() -> list[str]:
            flying = self.in_flight()
            if evidence.steps_done(self.cluster) >= steps and flying:
                return flying
            if self._spare and self.scheduler.phases() == dict.fromkeys(self.hosts, "ready"):
                self.add_agent()
            return []

        return self.scheduler.wait(f"{steps} steps done, and one in flight", progress) or []

    def __enter__(self) -> Self:
        with self._stack as opened:
            opened.enter_context(self.cluster)
            url = opened.enter_context(gateway(self.folder / "password", self._agents))
            self.scheduler = Scheduler(
                flags=self.flags(url), port=self._port, log=self.folder / "log"
            )
            self._stack = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.scheduler.process is not None:
            self.scheduler.kill()
        self._stack.close()
