"""Masters and agents as operating-system processes of their own, on the loopback interface."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.real_mesos.library import prepare

Json = dict[str, Any]
Flags = Mapping[str, object]

LOOPBACK: Final = "127.0.0.1"
POLL_S: Final = 0.02


def get_json(url: str, timeout_s: float = 2.0) -> Json:
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        decoded: Json = json.load(response)
    return decoded


class Cluster:
    """Masters `master0`.. and agents `agent0`.., each a process of its own.

    Flags are those of mesos-master and mesos-agent, without the dashes, for instance
    master_flags={"agent_ping_timeout": "1secs"}; agent_flags may also be a sequence with one
    mapping per agent. With own_addresses agent N listens on 127.0.0.(N+2), so that no two
    share an address, as on real hosts.
    """

    def __init__(
        self,
        work_dir: str | os.PathLike[str],
        agents: int = 1,
        masters: int = 1,
        port: int = 0,
        master_flags: Flags | None = None,
        agent_flags: Flags | Sequence[Flags] | None = None,
        *,
        own_addresses: bool = False,
    ) -> None:
        self.runtime = prepare()
        self.work_dir = Path(work_dir).resolve()
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.leader_file = self.work_dir / "leader"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.addresses: dict[str, str] = {}  # HOST:PORT of each process
        self.flags: dict[str, dict[str, object]] = {}
        self.leader = "master0"
        self._terms = 0

        names = [f"master{i}" for i in range(masters)] + [f"agent{i}" for i in range(agents)]
        for offset, name in enumerate(names):
            host = LOOPBACK
            if own_addresses and name.startswith("agent"):
                host = f"127.0.0.{offset - masters + 2}"
            self.addresses[name] = f"{host}:{port + offset if port else free_port(host)}"
        for i in range(masters):
            self.flags[f"master{i}"] = self._master_flags(i, masters) | dict(master_flags or {})
        for i in range(agents):
            own = agent_flags[i] if isinstance(agent_flags, Sequence) else agent_flags or {}
            self.flags[f"agent{i}"] = self._agent_flags(i) | dict(own)

    def _master_flags(self, number: int, masters: int) -> dict[str, object]:
        name = f"master{number}"
        host, _, port = self.addresses[name].partition(":")
        flags: dict[str, object] = {
            "ip": host,
            "port": port,
            "hostname": host,
            "work_dir": self.work_dir / name,
            "leader_file": self.leader_file,
            "quorum": masters // 2 + 1,
        }
        others = [self.addresses[f"master{i}"] for i in range(masters) if i != number]
        return flags | ({"log_peers": ",".join(others)} if others else {})

    def _agent_flags(self, number: int) -> dict[str, object]:
        name = f"agent{number}"
        host, _, port = self.addresses[name].partition(":")
        folder = self.work_dir / name
        first = 31000 + 100 * number
        return {
            "ip": host,
            "port": port,
            "hostname": f"agent{number}.test",
            "master": self.addresses["master0"],
            "leader_file": self.leader_file,
            "work_dir": folder / "work",
            "runtime_dir": folder / "run",
            "fetcher_cache_dir": folder / "fetch",
            "appc_store_dir": folder / "appc",
            "docker_store_dir": folder / "docker",
            "launcher_dir": self.runtime,
            "launcher": "posix",
            "isolation": "posix/cpu,posix/mem",
            "systemd_enable_support": "false",
            "switch_user": "true" if os.geteuid() == 0 else "false",
            "http_command_executor": "true",
            "registration_backoff_factor": "100ms",
            "resources": f"cpus:4;mem:4096;disk:8192;ports:[{first}-{first + 99}]",
            "attributes": f"rack:r{number}",
        }

    # -- where things are -----------------------------------------------------------------

    @property
    def url(self) -> str:
        """Of the leading master."""
        return self.endpoint(self.leader)

    def endpoint(self, name: str) -> str:
        return f"http://{self.addresses[name]}"

    def pids(self) -> dict[str, int]:
        return {name: p.pid for name, p in self.processes.items() if p.poll() is None}

    def tail(self, name: str, lines: int = 5) -> str:
        text = (self.work_dir / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def describe(self) -> Json:
        return {
            "url": self.url,
            "leader": self.leader,
            "pids": self.pids(),
            "endpoints": {name: self.endpoint(name) for name in self.flags},
            "work_dir": str(self.work_dir),
        }

    # -- one process ----------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Start one process (again), with the same address, folder and identity."""
        if name in self.processes and self.processes[name].poll() is None:
            raise RuntimeError(f"{name} is running")
        program = "mesos-master" if name.startswith("master") else "mesos-agent"
        arguments = [str(self.runtime / program)]
        arguments += [f"--{key}={value}" for key, value in self.flags[name].items()]
        with (self.work_dir / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=_environment(),
                start_new_session=True,
                cwd=self.work_dir,
            )
        if name == self.leader and self._terms:
            self.elect(name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(number)
            process.wait()

    def elect(self, name: str | None) -> None:
        """Name the leading master (None: nobody leads); a replaced leader exits, as for real."""
        self._terms += 1
        text = ""
        if name is not None:
            self.leader = name
            text = f"{self.addresses[name]} {self._terms}\n"
        partial = self.leader_file.with_suffix(".new")
        partial.write_text(text)
        partial.rename(self.leader_file)

    def restart_master(self) -> None:
        """Kill the leader, start it again, and wait until all running agents are back."""
        self.kill(self.leader)
        self.start(self.leader)
        self.wait_ready()

    def forget_identity(self, name: str) -> None:
        """What `rm meta/slaves/latest` does to a stopped agent: it comes back with a new id."""
        (self.work_dir / name / "work" / "meta" / "slaves" / "latest").unlink()

    def executors(self, framework_id: str, executor_id: str) -> list[int]:
        """Processes of one executor, without its tasks."""
        marks = {
            b"MESOS_FRAMEWORK_ID=" + framework_id.encode(),
            b"MESOS_EXECUTOR_ID=" + executor_id.encode(),
        }
        return [
            pid
            for pid, variables in self._sandboxed()
            if marks <= variables and b"mesos-executor" in _command_line(pid)
        ]

    def now_s(self) -> float:
        """Seconds since the epoch, by the clock that masters read."""
        return time.time_ns() / 1e9

    def depose(self) -> None:
        """Nobody leads, and all running masters know that."""
        self.elect(None)
        running = [name for name in self.pids() if name.startswith("master")]
        end = time.perf_counter() + 10.0
        while not all(self._leaderless(name) for name in running):
            if time.perf_counter() > end:
                raise TimeoutError("a master does not notice that nobody leads")
            time.sleep(POLL_S)

    def _leaderless(self, name: str) -> bool:
        try:
            get_json(self.endpoint(name) + "/state")
        except urllib.error.HTTPError as error:
            return error.code == 503
        except OSError:
            pass  # it was redirected to the dead leader
        return False

    # -- the whole ------------------------------------------------------------------------

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Until the leader leads and all running agents are registered with it."""
        self.wait_leading(
            timeout_s, agents=sum(1 for name in self.pids() if name.startswith("agent"))
        )

    def wait_leading(self, timeout_s: float = 30.0, *, agents: int = 0) -> None:
        """Until the leader leads, with at least so many agents."""
        end = time.perf_counter() + timeout_s
        while not self._is_ready(agents):
            if time.perf_counter() > end or self.leader not in self.pids():
                raise TimeoutError(
                    f"{self.leader} is not ready with {agents} agents: {self.tail(self.leader)}"
                )
            time.sleep(POLL_S)

    def _is_ready(self, agents: int) -> bool:
        try:
            state = get_json(self.url + "/state")
        except OSError:
            return False
        here = state["pid"] == f"master@{self.addresses[self.leader]}"  # and no redirect
        return here and bool(state.get("elected_time")) and state["activated_slaves"] >= agents

    def up(self) -> Self:
        self._initialize_logs()
        followers = [n for n in self.flags if n.startswith("master") and n != self.leader]
        for name in followers:
            self.start(name)
        for name in followers:
            self._wait_log(name)
        self.elect(self.leader)
        for name in self.flags:
            if name not in followers:
                self.start(name)
        self.wait_ready()
        return self

    def _wait_log(self, name: str, timeout_s: float = 30.0) -> None:
        """Until its replicated log votes: a leader that asks before gets no answer, ever."""
        end = time.perf_counter() + timeout_s
        while not self._votes(name):
            if time.perf_counter() > end:
                raise TimeoutError(f"{name} has no replicated log: {self.tail(name)}")
            time.sleep(POLL_S)

    def _votes(self, name: str) -> bool:
        try:
            metrics = get_json(self.endpoint(name) + "/metrics/snapshot")
        except OSError:
            return False
        return bool(metrics.get("registrar/log/recovered"))

    def _initialize_logs(self) -> None:
        """What `mesos-log initialize` does; without it the first election takes 10 to 20 s."""
        masters = [name for name in self.flags if name.startswith("master")]
        if len(masters) == 1:
            return
        starting = []
        for name in masters:
            path = self.work_dir / name / "replicated_log"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                command = [str(self.runtime / "mesos_shim"), "log_initialize", f"--path={path}"]
                quiet = subprocess.DEVNULL
                starting.append(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet))
        if any(process.wait() != 0 for process in starting):
            raise RuntimeError("cannot initialize a replicated log")

    def down(self) -> None:
        """End all processes of this cluster, the executors and tasks included."""
        for name, process in self.processes.items():
            if process.poll() is None:
                # An agent takes SIGUSR1 as: leave the cluster and end the executors.
                process.send_signal(signal.SIGUSR1 if name.startswith("agent") else signal.SIGTERM)
        end = time.perf_counter() + 3
        while time.perf_counter() < end and self.pids():
            time.sleep(POLL_S)
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        for pid in self.containers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def containers(self) -> list[int]:
        """Processes of executors and tasks of this cluster, known by their sandbox."""
        return [pid for pid, _ in self._sandboxed()]

    def _sandboxed(self) -> list[tuple[int, frozenset[bytes]]]:
        """The same, with their environment."""
        mark = b"MESOS_DIRECTORY=" + os.fsencode(self.work_dir) + b"/"
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended, or is not ours to read
                    variables = frozenset((entry / "environ").read_bytes().split(b"\0"))
                    if any(variable.startswith(mark) for variable in variables):
                        found.append((int(entry.name), variables))
        return found

    def __enter__(self) -> Self:
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()


def free_port(host: str = LOOPBACK) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):  # it has ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _environment() -> dict[str, str]:
    """Ours, without what Mesos would read as flags."""
    prefixes = ("MESOS_", "LIBPROCESS_", "GLOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
