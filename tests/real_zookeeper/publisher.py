"""Announces masters in ZooKeeper as Mesos' own contender does.

Each master has a session of its own and, in the folder of its -zk flag, an ephemeral node
`json.info_<10 digits>` with its MasterInfo as JSON. The lowest number leads. When a master dies
its session ends, and the next number leads.
"""

from __future__ import annotations

import ipaddress
import json
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from kazoo.client import KazooClient

LABEL: Final = "json.info_"
PATIENCE_S: Final = 30.0
SESSION_S: Final = 20.0  # no pause of the server takes so long; it must allow it


def master_info(address: str, *, hostname: str = "", version: str = "1.11.0") -> bytes:
    """The JSON of a v0 MasterInfo: names in order, no blanks, as Mesos writes it."""
    ip, _, port = address.rpartition(":")
    name = hostname or ip
    info = {
        "address": {"hostname": name, "ip": ip, "port": int(port)},
        "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "AGENT_DRAINING"}],
        "hostname": name,
        "id": f"00000000-0000-0000-0000-{int(port):012}",
        "ip": int.from_bytes(ipaddress.IPv4Address(ip).packed, "little"),
        "pid": f"master@{address}",
        "port": int(port),
        "version": version,
    }
    return json.dumps(info, separators=(",", ":")).encode()


class Publisher:
    """A context manager; `folder` need not exist. The server allows sessions of SESSION_S."""

    def __init__(self, server: str, folder: str = "/mesos") -> None:
        self._server = server
        self.folder = folder
        self._sessions: dict[str, KazooClient] = {}
        self._nodes: dict[str, str] = {}  # name of the node by name of the master

    def announce(self, name: str, address: str, *, hostname: str = "") -> None:
        self.write(name, LABEL, master_info(address, hostname=hostname))

    def write(self, name: str, label: str, data: bytes) -> None:
        """Any node of any content, by any label, which stays as long as its session."""
        assert name not in self._sessions
        client = _client(self._server)
        self._sessions[name] = client
        path = client.create(
            f"{self.folder}/{label}", data, ephemeral=True, sequence=True, makepath=True
        )
        self._nodes[name] = path.rpartition("/")[2]

    def withdraw(self, name: str) -> None:
        """As the death of a master, once its session has ended. The server must be there."""
        client = self._sessions.pop(name)
        try:
            client.retry(client.delete, f"{self.folder}/{self._nodes.pop(name)}")
        finally:
            _stop(client)

    @property
    def leader(self) -> str:
        """The master whose node has the lowest number."""
        ours = {node: name for name, node in self._nodes.items() if node.startswith(LABEL)}
        return ours[min(ours)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._sessions.values():
            _stop(client)


def _client(server: str) -> KazooClient:
    from kazoo.client import KazooClient  # missing on machines that cannot run this

    patience = {"max_tries": -1, "max_delay": 0.2}
    client = KazooClient(
        hosts=server,
        timeout=SESSION_S,
        connection_retry=dict(patience),
        command_retry={**patience, "deadline": PATIENCE_S},
    )
    client.start()
    return client


def _stop(client: KazooClient) -> None:
    client.stop()
    client.close()
