"""The product as its user runs it: its processes on loopback, and waiting for what they bring.

Whatever is waited for is asked again and again, up to a bound; nothing sleeps in place of a
condition.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from tests.steps_inert_twin import INERT_KERNEL, inert_guid

Json = dict[str, Any]
T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parent.parent
LOOPBACK: Final = "127.0.0.1"
PASSWORD: Final = "Quite-Another-Tree-9"
MDMS: Final = (
    "-scaleio.preconfig.primary=10.0.0.1",
    "-scaleio.preconfig.secondary=10.0.0.2",
    "-scaleio.preconfig.tiebreaker=10.0.0.3",
)
PATIENCE_S: Final = 120.0  # for any one thing that is waited for, on a busy machine
PHASE_PATIENCE_S: Final = 300.0  # for many such things: a dozen tasks a host, in turns
GRACE_S: Final = 10.0  # what Marathon gives a process to end before it kills it
LOOK_AGAIN_S: Final = 0.1
FIRST_PORT, LAST_PORT = 20000, 30000  # below those that the kernel gives to clients


def wait_for(what: str, look: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
    """The first true answer of `look`. Raises TimeoutError, with the last other answer."""
    end = time.perf_counter() + timeout_s
    while not (answer := look()):
        if time.perf_counter() > end:
            raise TimeoutError(f"{what}: not in {timeout_s:g} s; last: {answer!r}")
        time.sleep(LOOK_AGAIN_S)
    return answer


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row.

    Their owners are killed and come back. A port that the kernel may give to any client in
    between (as bind to port 0 does) would now and then be taken.
    """
    first = FIRST_PORT + 64 * (os.getpid() % 128)
    while first + count < LAST_PORT:
        taken = [port for port in range(first, first + count) if not _is_free(port)]
        if not taken:
            return first
        first = taken[-1] + 1
    raise RuntimeError(f"no {count} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def catalog_json() -> str:
    """Packages for the pretended Debian of the inert steps."""
    versions = {"sds": "2.0-1", "sdc": "2.0-1", "rexray": "0.11.4", "dvdcli": "0.1.0"}
    packages: list[Json] = [
        {
            "component": component,
            "version": version,
            "platforms": [{"os_id": "debian"}],
            "url": f"https://packages.example.invalid/{component}.deb",
            "sha256": "1" * 64,
            "size_bytes": 10,
        }
        | ({"kernels": [INERT_KERNEL]} if component == "sdc" else {})
        for component, version in versions.items()
    ]
    return json.dumps({"version": 1, "packages": packages})


# -- processes -------------------------------------------------------------------------------------


@contextlib.contextmanager
def gateway(password_file: Path, agents: int) -> Iterator[str]:
    """`simulate-gateway` with TLS, and the SDC that each agent will have; gives its URL."""
    command = [sys.executable, "cli.py", "simulate-gateway", "--listen", f"{LOOPBACK}:0"]
    command += ["--user", "admin", "--password-file", str(password_file), "--api", "2.5"]
    command += [f"--sdc={inert_guid(f'agent{i}.test')}@127.0.0.{i + 2}" for i in range(agents)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield next(word for word in line.split() if "://" in word).rstrip(".,")
        finally:
            process.terminate()


@attrs.define
class Scheduler:
    """One scheduler process after another, with the same settings, port and log file."""

    flags: Sequence[str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *more: str) -> None:
        assert self.process is None, "it runs already"
        command = [sys.executable, "cli.py", *self.flags]
        command += [f"-rest.address={LOOPBACK}", f"-rest.port={self.port}", *more]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        self.starts += 1

    def kill(self) -> None:
        """As a crash of the host does it: no last word, no cleaning up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As Marathon does it; the exit status. Raises TimeoutExpired when it takes too long."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(number)
        try:
            return process.wait(GRACE_S)
        finally:
            process.kill()  # nothing, if it has ended
            process.wait()

    def read(self, path: str) -> bytes:
        """What it answers, whatever the status. Raises OSError while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}{path}", timeout=5) as reply:
                content: bytes = reply.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                content = refusal.read()
        except http.client.HTTPException as error:  # it was killed in the middle
            raise ConnectionError(str(error)) from error
        return content

    def get(self, path: str) -> Json:
        """Raises OSError, too, while it answers that it waits for its store."""
        decoded: Json = json.loads(self.read(path))
        if str(decoded.get("error", "")).startswith("not yet"):
            raise ConnectionError(decoded["error"])
        return decoded

    def wait(self, what: str, look: Callable[[], T], timeout_s: float = PATIENCE_S) -> T | None:
        """`wait_for`, where the process may not listen yet; it must not end meanwhile."""

        def guarded() -> T | None:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"{what}: the scheduler has ended: {self.tail()}")
            try:
                return look()
            except OSError:
                return None

        try:
            return wait_for(what, guarded, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None

    def agents(self) -> dict[str, Json]:
        return {agent["host"]: agent for agent in self.get("/v1/agents")["agents"]}

    def phases(self) -> dict[str, str]:
        return {host: agent["phase"] for host, agent in self.agents().items()}

    def wait_phase(
        self, phase: str, hosts: Sequence[str], timeout_s: float = PHASE_PATIENCE_S
    ) -> None:
        """Until exactly these agents are known, and all of them are in that phase."""

        def settled() -> bool:
            return self.phases() == dict.fromkeys(hosts, phase)

        try:
            self.wait(f"all {phase}", settled, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{json.dumps(self.agents(), indent=1)}") from None

    def wait_subscribed(self) -> None:
        def subscribed() -> bool:
            master: Json = self.get("/v1/status")["master"]
            return bool(master["state"] == "subscribed")

        self.wait("subscribed", subscribed)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.text().splitlines()[-lines:])
