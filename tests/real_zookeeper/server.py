"""Runs Debian's Apache ZooKeeper on a loopback port, without root and without its service.

with ZooKeeper(folder) as zookeeper:
    zookeeper.uri                # zk://127.0.0.1:PORT
    zookeeper.kill()             # SIGKILL; the data stay
    zookeeper.start()            # again on the same port; returns when it serves
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

JAVA: Final = "java"
JARS: Final = (  # the first names the others that it needs in its manifest; the last is for the log
    Path("/usr/share/java/zookeeper.jar"),
    Path("/usr/share/java/slf4j-simple.jar"),
)
MAIN_CLASS: Final = "org.apache.zookeeper.server.ZooKeeperServerMain"
TICK_MS: Final = 200  # sessions may then be as short as 400 ms
SESSION_MAX_S: Final = 20 * TICK_MS / 1000  # ZooKeeper's own rule

_CONFIGURATION: Final = """\
tickTime={tick}
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
maxSessionTimeout={session_max}
admin.enableServer=false
4lw.commands.whitelist=ruok,srvr
"""


def missing_needs() -> list[str]:
    """What this machine lacks to run ZooKeeper: sentences for people; empty when it can."""
    missing = []
    if shutil.which(JAVA) is None:
        missing.append("Java is missing: apt-get install default-jre-headless")
    if not all(jar.exists() for jar in JARS):
        missing.append("ZooKeeper is missing: apt-get install libzookeeper-java")
    try:
        import kazoo
    except ImportError:
        missing.append("The Python library kazoo is missing: pip install 'scaleio-framework[zk]'")
    else:
        assert kazoo.__name__ == "kazoo"
    return missing


class ZooKeeper:
    """One server. Data, configuration and log are in `folder`; the port stays the same.

    No session outlives its client by more than `session_max_s`, whatever the client wishes.
    """

    def __init__(self, folder: Path, *, session_max_s: float = SESSION_MAX_S) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._configuration = folder / "zoo.cfg"
        self._configuration.write_text(
            _CONFIGURATION.format(
                tick=TICK_MS,
                data=folder / "data",
                port=self.port,
                session_max=round(session_max_s * 1000),
            )
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        return f"zk://{self.address}"

    def start(self) -> None:
        """Start it (again) and wait until it serves."""
        if self._process is not None:
            raise RuntimeError("ZooKeeper is running")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    JAVA,
                    "-Xmx128m",
                    "-XX:+UseSerialGC",
                    "-Dzookeeper.jmx.log4j.disable=true",
                    "-cp",
                    ":".join(map(str, JARS)),
                    MAIN_CLASS,
                    str(self._configuration),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Until the server says that it is well. Raises TimeoutError with the log's end."""
        end = time.perf_counter() + timeout_s
        while self._says(b"ruok") != b"imok":
            ended = self._process is None or self._process.poll() is not None
            if ended or time.perf_counter() > end:
                raise TimeoutError(f"ZooKeeper is not ready: {self._log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as the init system does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block the server answers nobody, and its connections stay open."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)  # nothing, if it was killed meanwhile

    def nodes(self, path: str) -> dict[str, bytes]:
        """The content of that node and of all below it, but for those that go meanwhile."""
        # Missing on machines that cannot run this.
        from kazoo.client import KazooClient
        from kazoo.exceptions import NoNodeError

        found: dict[str, bytes] = {}
        client = KazooClient(hosts=self.address)
        client.start()
        try:
            left = [path]
            while left:
                node = left.pop()
                with contextlib.suppress(NoNodeError):
                    found[node], _ = client.get(node)
                    left += [f"{node}/{child}" for child in client.get_children(node)]
        finally:
            client.stop()
            client.close()
        return found

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _says(self, command: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2.0) as connection:
                connection.sendall(command)
                return connection.recv(100)
        except OSError:
            return b""

    def _log_tail(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-10:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
