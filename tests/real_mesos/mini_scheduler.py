"""A minimal client of the v1 scheduler HTTP API (JSON), for tests that ask Mesos itself."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]
Wanted = Callable[[Json], bool]

TIMEOUT_S: Final = 15.0
NONE: Final[Mapping[str, str | None]] = MappingProxyType({})


def any_offer(_: Json) -> bool:
    return True


class Scheduler:
    """One subscription: a reader thread collects the events."""

    def __init__(
        self, url: str, info: Json, framework_id: str = "", *, acknowledge: bool = True
    ) -> None:
        self.url = url
        self.info = {"user": "root", "name": "check", **info}
        self.framework_id = framework_id
        self.acknowledge = acknowledge
        self.events: list[Json] = []
        self.ended = False
        self.outstanding: dict[str, Json] = {}
        self.changed = threading.Condition()
        if framework_id:
            self.info["id"] = {"value": framework_id}
        self._subscribe()

    def _connect(self) -> http.client.HTTPConnection:
        parts = urllib.parse.urlparse(self.url)
        assert parts.hostname is not None
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def _subscribe(self) -> None:
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info}}
        if self.framework_id:
            call["framework_id"] = {"value": self.framework_id}
        self._connection = self._connect()
        self._connection.request(
            "POST",
            "/api/v1/scheduler",
            json.dumps(call),
            {"Content-Type": "application/json", "Accept": "application/json"},
        )
        self._socket: socket.socket = self._connection.sock
        self._response = self._connection.getresponse()
        if self._response.status != 200:
            raise ValueError(f"{self._response.status} {self._response.read()!r}")
        self.stream_id = self._response.headers["Mesos-Stream-Id"]
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        event = self.wait(lambda e: e["type"] in ("SUBSCRIBED", "ERROR"))
        if event["type"] == "SUBSCRIBED":
            self.framework_id = event["subscribed"]["framework_id"]["value"]

    def _record(self) -> bytes | None:
        size = b""
        while not size.endswith(b"\n"):
            byte = self._response.read(1)
            if not byte:
                return None
            size += byte
        data = b""
        while len(data) < int(size):
            chunk = self._response.read(int(size) - len(data))
            if not chunk:
                return None
            data += chunk
        return data

    def _read(self) -> None:
        # Whatever breaks the stream is its end.
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while (data := self._record()) is not None:
                self._received(json.loads(data))
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _received(self, event: Json) -> None:
        with self.changed:
            self.events.append(event)
            for offer in event.get("offers", {}).get("offers", []):
                self.outstanding[offer["id"]["value"]] = offer
            if event["type"] == "RESCIND":
                self.outstanding.pop(event["rescind"]["offer_id"]["value"], None)
            self.changed.notify_all()
        if event["type"] == "UPDATE" and self.acknowledge:
            self.ack(event["update"]["status"])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._response.close()
        self._connection.close()

    # -- waiting --------------------------------------------------------------------------

    def wait(self, wanted: Wanted, *, start: int = 0, timeout_s: float = TIMEOUT_S) -> Json:
        """The first event from `start` on that is wanted. Raises TimeoutError."""
        end = time.perf_counter() + timeout_s
        with self.changed:
            position = start
            while True:
                while position < len(self.events):
                    if wanted(event := self.events[position]):
                        return event
                    position += 1
                left = end - time.perf_counter()
                if left <= 0:
                    got = ", ".join(event["type"] for event in self.events[start:])
                    raise TimeoutError(f"no such event; got {got}")
                self.changed.wait(left)

    def wait_type(self, kind: str, *, start: int = 0) -> Json:
        return self.wait(lambda event: event["type"] == kind, start=start)

    def wait_update(self, task: str = "", state: str = "", *, start: int = 0) -> Json:
        """The status of the first such update; empty means any."""

        def wanted(event: Json) -> bool:
            if event["type"] != "UPDATE":
                return False
            status = event["update"]["status"]
            return task in ("", status["task_id"]["value"]) and state in ("", status["state"])

        status: Json = self.wait(wanted, start=start)["update"]["status"]
        return status

    def wait_ended(self, timeout_s: float = TIMEOUT_S) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.ended, timeout_s)

    def mark(self) -> int:
        """For `start`: from the next event on."""
        return len(self.events)

    def of_type(self, kind: str, *, start: int = 0) -> list[Json]:
        return [event for event in self.events[start:] if event["type"] == kind]

    def states(self, task: str) -> list[str]:
        statuses = [event["update"]["status"] for event in self.of_type("UPDATE")]
        return [s["state"] for s in statuses if s["task_id"]["value"] == task]

    def take(self, accept: Wanted = any_offer) -> Json:
        """An offer that is still valid; waits for one if there is none."""
        found: list[Json] = []

        def some() -> bool:
            found[:] = [offer for offer in self.outstanding.values() if accept(offer)]
            return bool(found)

        with self.changed:
            if not self.changed.wait_for(some, TIMEOUT_S):
                raise TimeoutError("no such offer")
        return found[0]

    # -- calls ----------------------------------------------------------------------------

    def call(
        self, kind: str, body: Json | None = None, headers: Mapping[str, str | None] = NONE
    ) -> tuple[int, str]:
        call: Json = {"framework_id": {"value": self.framework_id}, "type": kind}
        if body is not None:
            call[kind.lower()] = body
            with self.changed:
                for used in body.get("offer_ids", []):
                    self.outstanding.pop(used["value"], None)
        return self.post(json.dumps(call), headers=headers)

    def post(
        self, data: str, *, method: str = "POST", headers: Mapping[str, str | None] = NONE
    ) -> tuple[int, str]:
        """Status and body. `headers` replace the usual ones; None leaves one out."""
        usual: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Mesos-Stream-Id": self.stream_id,
        }
        given = {name: value for name, value in {**usual, **headers}.items() if value is not None}
        connection = self._connect()
        connection.request(method, "/api/v1/scheduler", data, given)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        connection.close()
        return response.status, text

    def ack(self, status: Json) -> None:
        if status.get("uuid"):
            fields = ("agent_id", "task_id", "uuid")
            self.call("ACKNOWLEDGE", {name: status[name] for name in fields})

    def task(
        self,
        name: str,
        offer: Json,
        shell: str,
        *,
        cpus: float = 0.1,
        more: Json | None = None,
    ) -> Json:
        # Only frameworks with MULTI_ROLE see the allocation, and must repeat it.
        allocated = {key: offer[key] for key in ("allocation_info",) if key in offer}
        return {
            "name": name,
            "task_id": {"value": name},
            "agent_id": offer["agent_id"],
            "command": {"shell": True, "value": shell},
            "resources": [
                {"name": kind, "type": "SCALAR", "scalar": {"value": value}, **allocated}
                for kind, value in (("cpus", cpus), ("mem", 32))
            ],
            **(more or {}),
        }

    def accept(self, offer: Json, *operations: Json) -> tuple[int, str]:
        """The rest of the offer comes back at once."""
        body = {
            "offer_ids": [offer["id"]],
            "operations": list(operations),
            "filters": {"refuse_seconds": 0.0},
        }
        return self.call("ACCEPT", body)

    def launch(self, offer: Json, *tasks: Json) -> tuple[int, str]:
        return self.accept(offer, {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}})

    def run(
        self, name: str, shell: str, accept: Wanted = any_offer, more: Json | None = None
    ) -> Json:
        """Launch one task on a valid offer, which is returned."""
        offer = self.take(accept)
        status, text = self.launch(offer, self.task(name, offer, shell, more=more))
        assert status == 202, (status, text)
        return offer
