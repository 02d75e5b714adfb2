"""A site in which one host is left in peace, and the others are not.

The first host is onboarded alone: it shows how long each step takes, and what files a host has in
the end. Then the others are let in, and are disturbed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs

from tests.lab import evidence
from tests.lab.host import Host
from tests.lab.interrupts import Cut, Cutter, Moment, Stopwatch
from tests.lab.interrupts_causes import Cause, PackageServer, live_through
from tests.lab.interrupts_files import (
    Snapshot,
    Yardstick,
    key_faults,
    package_faults,
    snapshot,
)
from tests.lab.site import HostPlan, Site
from tests.scheduler_process import wait_for

READY_S: Final = 600.0
SETTLED_S: Final = 60.0  # until what watches the agent has gone
Photo = tuple[str, str, Mapping[str, bytes]]  # host, when, its files


@attrs.define(kw_only=True)
class Trial:
    site: Site
    server: PackageServer
    peaceful: Host
    troubled: list[Host]
    yardstick: Yardstick
    usual: Mapping[str, float]
    photos: list[Photo] = attrs.field(factory=list)
    cuts: list[Cut] = attrs.field(factory=list)
    missed: list[Moment] = attrs.field(factory=list)
    lived_through: list[str] = attrs.field(factory=list)
    _over: threading.Event = attrs.field(factory=threading.Event)

    def let_in(self) -> None:
        """The agents of the others start."""
        for host in self.troubled:
            host.run("systemctl", "start", "mesos-slave.service")

    def cutter(self, host: Host, moments: Sequence[Moment], *, power: bool) -> Cutter:
        return Cutter(
            host=host,
            moments=list(moments),
            usual=self.usual,
            photograph=lambda when: self.photos.append((host.name, when, snapshot(host))),
            power=power,
            over=self._over,
        )

    def run(
        self, cutters: Sequence[Cutter], causes: Sequence[tuple[Host, Sequence[Cause]]] = ()
    ) -> None:
        """Let the others in, disturb them, and wait until they are ready in spite of it."""
        for host, ones in causes:
            for cause in ones:
                if not cause.after:
                    cause.begin(host)
        with ThreadPoolExecutor(len(cutters) + len(causes) + 1) as pool:
            cutting = [pool.submit(cutter.run) for cutter in cutters]
            living = [pool.submit(self._live_through, host, ones) for host, ones in causes]
            self.let_in()
            try:
                for one in living:
                    one.result()
                self.wait_ready()
            except BaseException:
                print(json.dumps(self.site.scheduler.agents(), indent=1))
                raise
            finally:
                self._over.set()
            for each in cutting:
                each.result()
        for cutter in cutters:
            self.cuts += cutter.made
            self.missed += cutter.missed

    def wait_ready(self) -> None:
        """Nobody has helped: a host that has failed stays so."""
        names = [self.peaceful.name, *(host.name for host in self.troubled)]

        def all_ready() -> bool:
            self.nobody_failed()
            return self.site.scheduler.phases() == dict.fromkeys(names, "ready")

        self.site.scheduler.wait("all ready", all_ready, READY_S)

    def nobody_failed(self) -> None:
        agents = self.site.scheduler.agents()
        failed = [agent["error"] for agent in agents.values() if agent["phase"] == "failed"]
        assert not failed, failed

    def _live_through(self, host: Host, causes: Sequence[Cause]) -> None:
        for cause in causes:
            spoilt = live_through(host, cause, self.nobody_failed)
            said = ", ".join(f"{run.status} {run.reason}" for run in spoilt)
            print(f"{host.name}: {cause.name} spoilt {cause.step}: {said}", flush=True)
            self.lived_through.append(cause.name)

    def faults(self) -> list[str]:
        """What was half written at a cut, and in what the others differ from the peaceful one."""
        found = [
            f"{host}, {when}: {fault}"
            for host, when, files in self.photos
            for fault in self.yardstick.half_written(files)
        ]
        for host in self.troubled:
            found += [f"{host.name}: {fault}" for fault in self._faults_of(host)]
        print(*found, sep="\n", flush=True)  # pytest shows the first of them only
        return found

    def _faults_of(self, host: Host) -> list[str]:
        with contextlib.suppress(TimeoutError):  # what differs then is told below
            wait_for("it is settled", lambda: not self._differs(host), SETTLED_S)
        found = [*self._differs(host), *key_faults(host), *package_faults(host, self.peaceful)]
        return found + twice_at_once(host)

    def _differs(self, host: Host) -> list[str]:
        return self.yardstick.differs(snapshot(host))


def twice_at_once(host: Host) -> list[str]:
    """Steps that overlap, and tasks that ran twice. `step_runs` itself refuses crossed ends."""
    runs = evidence.step_runs(host)
    found = [
        f"{one.step} and {two.step} overlap"
        for one, two in itertools.pairwise(runs)
        if one.ended > two.began
    ]
    counts = Counter(run.task_id for run in runs)
    return found + [f"task {task} ran {count} times" for task, count in counts.items() if count > 1]


@contextlib.contextmanager
def trial(folder: Path, troubled: Sequence[HostPlan], more: Sequence[str] = ()) -> Iterator[Trial]:
    with Site(folder, [HostPlan(), *troubled], more=more) as site:
        peaceful, *others = site.hosts.values()
        for host in others:
            host.run("systemctl", "stop", "mesos-slave.service")
        server = PackageServer(folder / "packages")
        catalog = folder / "catalog.json"
        catalog.write_text(catalog.read_text().replace(site.files.url, server.url))
        with server.running():
            before: Snapshot = {}
            for host in site.hosts.values():
                before |= snapshot(host)
            usual = _onboard_alone(site, peaceful)
            yardstick = Yardstick(before=before, after=_settled(peaceful))
            print(f"usual times: { {step: round(s, 2) for step, s in usual.items()} }", flush=True)
            yield Trial(
                site=site,
                server=server,
                peaceful=peaceful,
                troubled=others,
                yardstick=yardstick,
                usual=usual,
            )


def _onboard_alone(site: Site, host: Host) -> dict[str, float]:
    """Step -> how long it took."""
    watch = Stopwatch(host)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch.run)
        try:
            site.scheduler.start()
            site.scheduler.wait(
                f"{host.name} is ready",
                lambda: site.scheduler.phases().get(host.name) == "ready",
                READY_S,
            )
        finally:
            watch.over.set()
        watching.result()
    return watch.usual


def _settled(host: Host) -> Mapping[str, bytes]:
    """Its files when the watch over its Mesos agent is over."""
    unit = ("systemctl", "is-active", "--quiet", "scaleio-framework-agent-restart.service")
    wait_for("nobody watches", lambda: host.run(*unit, check=False).returncode != 0, SETTLED_S)
    return snapshot(host)
