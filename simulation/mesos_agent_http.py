"""An agent's own HTTP: the sandbox files of its tasks, its flags, its version."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

import attrs
import trio

from simulation import mesos_json
from simulation.http_server import Cut, Reply, Request, StreamReply
from simulation.mesos_agent import SimulatedAgent

WORK_DIR: Final = "/var/lib/mesos"
READ_BYTES_MAX: Final = 65536  # the real agent reads at most 16 pages a call
JSON_TYPE: Final = ("Content-Type", "application/json")
TEXT_TYPE: Final = ("Content-Type", "text/plain; charset=utf-8")
_VIRTUAL: Final = re.compile(
    r"(?P<before>.*)/frameworks/(?P<framework>[^/]+)/executors/(?P<task>[^/]+)"
    r"/runs/(?P<run>[^/]+)/(?P<file>stdout|stderr)"
)


def json_reply(value: object) -> Reply:
    return Reply(headers=(JSON_TYPE,), body=mesos_json.encode(value))


def text_reply(status: int, words: str, *headers: tuple[str, str]) -> Reply:
    return Reply(status=status, headers=(*headers, TEXT_TYPE), body=words.encode())


@attrs.define(eq=False)
class AgentHttp:
    """`closed`: a dial; the agent answers 403 to reads of files and flags, as with ACLs."""

    agent: SimulatedAgent
    closed: bool = False

    async def handle(self, request: Request) -> Reply | StreamReply | Cut:
        await trio.lowlevel.checkpoint()
        if not self.agent.up:
            return Cut()
        return self.answer(request)

    def answer(self, request: Request) -> Reply:
        path = re.sub(r"^/slave(\(1\))?(?=/)", "", request.path)
        if request.method != "GET":
            received = "405 Method Not Allowed. Expecting one of { 'GET' }, but received"
            return text_reply(405, f"{received} '{request.method}'.", ("Allow", "GET"))
        match path:
            case "/version":
                return json_reply(mesos_json.version_body(self.agent.version))
            case "/flags":
                return text_reply(403, "") if self.closed else json_reply({"flags": self.flags()})
            case "/health":
                return Reply()
            case "/files/read":
                return self._read(parse_qs(request.query, keep_blank_values=True))
            case _:
                return text_reply(404, "404 Not Found.")

    def flags(self) -> dict[str, str]:
        host = self.agent.host
        return {
            "work_dir": WORK_DIR,
            "port": str(self.agent.address.port),
            "hostname": self.agent.address.shown,
            "isolation": ",".join(host.isolation),
            "launcher": host.launcher,
        }

    def _read(self, query: dict[str, list[str]]) -> Reply:
        if self.closed:
            return text_reply(403, "")
        path = query.get("path", [""])[0]
        if not path:
            return text_reply(400, "Expecting 'path=value' in query.\n")
        numbers = []
        for name in ("offset", "length"):
            word = query.get(name, ["-1"])[0]
            if not re.fullmatch(r"-?\d+", word):
                return text_reply(400, f"Failed to parse {name}: '{word}'.\n")
            numbers.append(int(word))
        data = self._file(path)
        if data is None:
            return text_reply(404, "File not found.\n")
        offset, length = numbers
        if offset < -1:
            return text_reply(400, f"Negative offset provided: {offset}.\n")
        if offset == -1:
            return json_reply({"data": "", "offset": len(data)})
        size = READ_BYTES_MAX if length < 0 else min(length, READ_BYTES_MAX)
        some = data[offset : offset + size].decode("utf-8", errors="replace")
        return json_reply({"data": some, "offset": offset})

    def _file(self, path: str) -> bytes | None:
        """Virtual paths since 1.5; with the whole work directory always, `latest` since 1.4."""
        found = _VIRTUAL.fullmatch(path)
        if found is None:
            return None
        box = self.agent.sandboxes.get((found["framework"], found["task"]))
        if box is None:
            return None
        version = self.agent.version_tuple
        work_dir = f"{WORK_DIR}/slaves/{self.agent.agent_id}"
        runs = {box.command.container.container_id, *(["latest"] if version >= (1, 4) else [])}
        places = {work_dir, *([""] if version >= (1, 5) else [])}
        if found["run"] not in runs or found["before"] not in places:
            return None
        text = box.file(found["file"])
        return None if text is None else text.encode()
