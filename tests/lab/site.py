"""A whole lab: a real Mesos master, booted hosts with a real agent each, the storage side, the
package server, and a scheduler's flags for them. Starts all of it, ends all of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs

from tests.lab import packages, tree, tree_rpm, tree_sysv
from tests.lab.host import DiskPlan, Host, remove_folder
from tests.lab.packages import DEB, RPM
from tests.lab.storage_client import Storage
from tests.lab.tree_sysv import SYSTEMD, SYSVINIT, UPSTART
from tests.real_mesos import Cluster, get_json
from tests.real_mesos.mini_scheduler import Scheduler as MesosClient
from tests.scheduler_process import PASSWORD, Scheduler, free_ports, wait_for

Json = dict[str, Any]

NETWORKS: Final = range(20, 200)  # 127.0.N.x; each lab takes one of its own
LOCK_PORT: Final = 5049
REPOSITORY_PORT: Final = 5048
AGENT_PORT: Final = 5051
FILES: Final = "files"  # flags in /etc/mesos-slave, read by an init wrapper
UNIT: Final = "unit"  # flags on the command line of the unit
SYSTEM: Final = "scaleio"
EVACUATE_S: Final = 4.0  # for the storage cluster to move an SDS's data to the others

_WRAPPER: Final = """#!/bin/sh
# Stands in for the start script of Mesos' usual packages: one flag a file.
set -eu
set --
for file in /etc/mesos-slave/*; do
    set -- "$@" "--${{file##*/}}=$(cat "$file")"
done
exec {agent} "$@"
"""
_UNIT: Final = """[Unit]
Description=Mesos agent
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart={start}
Restart=always
RestartSec=1
KillMode=process

[Install]
WantedBy=multi-user.target
"""


_AGENT_AT_BOOT: Final = {
    SYSTEMD: "systemctl enable --now --quiet mesos-slave.service",
    SYSVINIT: "update-rc.d mesos-slave defaults && service mesos-slave start",
    UPSTART: "initctl status mesos-slave | grep -q start/running || initctl start mesos-slave",
}


@attrs.frozen(kw_only=True)
class HostPlan:
    """`family`: DEB or RPM. `style`: where the agent's flags are kept. `flags`: more of them,
    without the dashes. `files`: path in the host -> text, there before the first boot. `init`: one
    of tree_sysv.INITS; those without systemd are Debian's."""

    family: str = DEB
    init: str = SYSTEMD
    disks: Sequence[DiskPlan] = (DiskPlan(),)
    style: str = FILES
    flags: dict[str, str] = attrs.field(factory=dict)
    files: dict[str, str] = attrs.field(factory=dict)


class Site:
    """As a context manager: everything runs but the scheduler, which is `scheduler`.

    `more`: flags of the scheduler; the last one of a name wins. `catalog`: without it the
    scheduler is given none. `kernels`: those that the SDC has a module for, by default the
    machine's own.
    """

    def __init__(
        self,
        folder: Path,
        plans: Sequence[HostPlan],
        *,
        more: Sequence[str] = (),
        catalog: bool = True,
        kernels: Sequence[str] = (),
    ) -> None:
        os.environ.setdefault("REAL_MESOS_PYTHON", "/usr/bin/python3")  # it is in the hosts too
        self.folder = folder
        self._lock, self.network = _own_network()
        self.mdms = (f"{self.network}.251", f"{self.network}.252")
        self.more = tuple(more)
        self.has_catalog = catalog
        self.kernels = tuple(kernels) or (os.uname().release,)
        folder.mkdir(parents=True, exist_ok=True)
        self.volumes = folder / "volumes"
        self.volumes.mkdir()
        (folder / "password").write_text(f"{PASSWORD}\n")
        (folder / "password").chmod(0o600)
        self._port = free_ports(3)
        self.cluster = Cluster(folder / "mesos", agents=0, port=self._port)
        self.families = tuple(sorted({plan.family for plan in plans} or {DEB}))
        self.hosts = {
            f"h{number}.lab": self._host(f"h{number}", 2 + number, plan)
            for number, plan in enumerate(plans)
        }
        self._stack = contextlib.ExitStack()

    # -- hosts --------------------------------------------------------------------------------

    def _host(self, name: str, last: int, plan: HostPlan) -> Host:
        address = f"{self.network}.{last}"
        return Host(
            name=f"{name}.lab",
            address=address,
            folder=self.folder / "hosts" / name,
            tree=_tree(plan),
            init=plan.init,
            disks=plan.disks,
            binds=(
                f"{self.cluster.runtime}",
                f"{self.cluster.work_dir}",
                f"{self.volumes}",
            ),
            files={
                "/etc/scaleio-lab.conf": f"ADDRESS={address}\nVOLUMES={self.volumes}\n",
                "/etc/hosts": f"127.0.0.1 localhost\n{address} {name}.lab {name}\n",
                **self._agent_files(f"{name}.lab", address, plan),
                **self._repository_files(plan),
                **plan.files,
            },
        )

    def _repository_files(self, plan: HostPlan) -> dict[str, str]:
        """Debian's hosts know the archive that their tree came from."""
        if plan.family != RPM:
            return {}
        url = f"http://{self.repository_address}/"
        return {tree_rpm.REPOSITORY: tree_rpm.repository_file(url)}

    @property
    def repository_address(self) -> str:
        return f"{self.network}.250:{REPOSITORY_PORT}"

    def _agent_files(self, hostname: str, address: str, plan: HostPlan) -> dict[str, str]:
        flags = {
            "ip": address,
            "port": str(AGENT_PORT),
            "hostname": hostname,
            "master": self.cluster.addresses["master0"],
            "leader_file": str(self.cluster.leader_file),
            "work_dir": "/var/lib/mesos",
            "runtime_dir": "/run/mesos",
            "fetcher_cache_dir": "/var/lib/mesos-fetch",
            "appc_store_dir": "/var/lib/mesos-appc",
            "docker_store_dir": "/var/lib/mesos-docker",
            "launcher_dir": str(self.cluster.runtime),
            "launcher": "linux",
            "cgroups_hierarchy": "/mesos-cgroup",
            "cgroups_root": f"{hostname}",
            "systemd_enable_support": "false",
            "switch_user": "true",
            "http_command_executor": "true",
            "registration_backoff_factor": "100ms",
            "resources": "cpus:4;mem:4096;disk:8192;ports:[31000-31099]",
            **plan.flags,
        }
        program = f"{self.cluster.runtime}/mesos-agent"
        files: dict[str, str] = {}
        if plan.style == FILES:
            start = "/usr/bin/mesos-init-wrapper slave"
            files = {f"/etc/mesos-slave/{name}": f"{value}\n" for name, value in flags.items()}
            files["/usr/bin/mesos-init-wrapper"] = _WRAPPER.format(agent=program)
        else:
            words = [program, *(f"'--{name}={value}'" for name, value in flags.items())]
            start = " ".join(words)
        if plan.init != SYSTEMD:
            return {**files, **tree_sysv.agent_files(plan.init, start)}
        unit = "/etc/systemd/system/mesos-slave.service"
        return {**files, unit: _UNIT.format(start=start)}

    def boot(self, *names: str) -> None:
        """Power on these hosts (all of them by default), their agents too."""
        hosts = [self.hosts[name] for name in names or self.hosts]
        for host in hosts:
            host.start()
        for host in hosts:
            host.wait_booted()
            host.sh(_AGENT_AT_BOOT[host.init])

    def agent_url(self, name: str) -> str:
        return f"http://{self.hosts[name].address}:{AGENT_PORT}"

    def registered(self) -> set[str]:
        """Host names of the agents that are registered and active now."""
        try:
            state = get_json(f"{self.cluster.url}/slaves")
        except OSError:
            return set()
        return {agent["hostname"] for agent in state["slaves"] if agent["active"]}

    def wait_registered(self, *names: str) -> None:
        wanted = set(names or self.hosts)
        wait_for(f"{wanted} are registered", lambda: wanted <= self.registered())

    # -- what Mesos has of us ------------------------------------------------------------------

    def framework_ids(self) -> list[str]:
        """All that the master has ever given to the product."""
        return [framework["id"] for framework in self._frameworks()]

    def tasks(self) -> tuple[list[str], list[str]]:
        """Ids of the product's tasks in flight, and of those that are over; keepers aside."""
        found: tuple[list[str], list[str]] = ([], [])
        for framework in self._frameworks():
            for place, kind in enumerate(("tasks", "completed_tasks")):
                ids = [task["id"] for task in framework[kind]]
                found[place].extend(one for one in ids if ".keeper." not in one)
        return found

    def _frameworks(self) -> list[Json]:
        state = get_json(f"{self.cluster.url}/state")
        known = [*state["frameworks"], *state["completed_frameworks"]]
        return [one for one in known if one["name"] == "ScaleIO Framework"]

    # -- the scheduler ------------------------------------------------------------------------

    def flags(self) -> tuple[str, ...]:
        """The original's own command line first, then what it lacked, then a lab's haste."""
        catalog = (f"-catalog={self.folder / 'catalog.json'}",) if self.has_catalog else ()
        return (
            "-loglevel=debug",
            f"-uri={self.cluster.addresses['master0']}",
            f"-scaleio.clustername={SYSTEM}",
            "-scaleio.protectiondomain=default",
            "-scaleio.storagepool=default",
            f"-scaleio.preconfig.primary={self.mdms[0]}",
            f"-scaleio.preconfig.secondary={self.mdms[1]}",
            f"-scaleio.preconfig.tiebreaker={self.network}.253",
            f"-scaleio.preconfig.gateway={self.storage.url}",
            *catalog,
            f"-scaleio.password-file={self.folder / 'password'}",
            "-store.type=sqlite",
            f"-store.uri={self.folder / 'state.sqlite'}",
            "-devices.allow-loop",
            "-devices.claim-delay=2",
            "-mesos.poll-agents=5",
            "-gateway.poll=2",
            "-log.format=text",
            *self.more,
        )

    @contextlib.contextmanager
    def application(self, name: str = "application") -> Iterator[MesosClient]:
        """Another framework, as Marathon is one."""
        client = MesosClient(self.cluster.url, {"name": name, "checkpoint": True})
        try:
            yield client
        finally:
            client.close()

    # -- all of it ----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with self._stack as opened:
            opened.callback(self._lock.close)
            opened.enter_context(self.cluster)
            opened.callback(self._hosts_down)
            self.storage = opened.enter_context(
                Storage(
                    self.folder / "storage",
                    mdms=self.mdms,
                    password_file=self.folder / "password",
                    volumes=self.volumes,
                    more=("--evacuate-s", f"{EVACUATE_S}"),
                )
            )
            if self.has_catalog:
                built = packages.build(
                    self.folder / "packages",
                    kernels=self.kernels,
                    families=self.families,
                )
                self.files = opened.enter_context(packages.serve(self.folder / "packages"))
                catalog = packages.catalog(built, self.files.url)
                (self.folder / "catalog.json").write_text(catalog)
            if RPM in self.families:
                self.repository = opened.enter_context(
                    packages.serve(tree_rpm.prepare().repository, self.repository_address)
                )
            self.boot()
            self.wait_registered()
            self.scheduler = Scheduler(
                flags=self.flags(), port=self._port + 2, log=self.folder / "scheduler.log"
            )
            self._stack = opened.pop_all()
        return self

    def _hosts_down(self) -> None:
        for host in self.hosts.values():
            host.stop()
            remove_folder(host.folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._count()
        finally:
            if self.scheduler.process is not None:
                self.scheduler.kill()
            self._stack.close()

    def _count(self) -> None:
        """For `make lab`: how many hosts there were, and how many of them are ready in the end."""
        if (counts := os.environ.get("LAB_COUNTS")) is None:
            return
        phases = {}
        if self.scheduler.process is not None:
            with contextlib.suppress(OSError):  # it was just killed
                phases = self.scheduler.phases()
        told = {"hosts": len(self.hosts), "ready": list(phases.values()).count("ready")}
        with Path(counts).open("a") as file:
            file.write(f"{json.dumps(told)}\n")


def _own_network() -> tuple[socket.socket, str]:
    """Hosts share the machine's network, so labs that run at the same time must not meet."""
    for number in NETWORKS:
        lock = socket.socket()
        with contextlib.suppress(OSError):  # another lab has it
            lock.bind((f"127.0.{number}.250", LOCK_PORT))
            return lock, f"127.0.{number}"
        lock.close()
    raise RuntimeError(f"no network is free among 127.0.{NETWORKS.start}-{NETWORKS.stop}.x")


def _tree(plan: HostPlan) -> Path:
    if plan.init != SYSTEMD:
        return tree_sysv.prepare()
    return tree_rpm.prepare().root if plan.family == RPM else tree.prepare()
