"""`simulate-master --play`: a master whose only work is to offer, as fast as it is answered.

A still cluster: so many agents, every task that is asked about runs, no filter is kept. What it
plays are records made beforehand, in the shapes that real masters send (tests/data/mesos): plain
agents, agents in fault domains, agents with reservations, and many ranges of ports. `GET /play`
tells what became of the offers, timed here, so that clients of any make are measured alike.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import attrs
import msgspec
import trio

from protocol.mesos.recordio import encode_record
from simulation.http_server import Reply, Request, StreamReply

MASTER_ID: Final = "b0a4a3c2-5f6e-4d21-9c64-8f5f0f1e7d11"
STREAM_ID: Final = "6f2d6d3f-0b1c-4b0e-8a6e-0d4a4c6c2b5e"
HEARTBEAT_S: Final = 15.0
REVIVED_S: Final = 0.5  # a REVIVE is answered with the next pass of the allocator
UPDATES_MAX: Final = 100_000  # of tasks that are asked about; what is left is asked again
WINDOW: Final = 2  # events on their way: the next is there when one is answered
EVENTS_KEPT: Final = 6  # made beforehand; their ids come again when they are long answered
JSON_TYPE: Final = (("Content-Type", "application/json"),)


@attrs.define(eq=False)
class Player:
    """`play_s`: for so long offers are played without pause; 0: never.

    `rest_s`: before that, after the first event, which is not counted: who starts has other work.
    """

    agents: int
    per_event: int
    play_s: float
    address: str
    version: str
    rest_s: float = 0.0
    clock: Callable[[], float] = time.perf_counter
    events: list[tuple[bytes, frozenset[str]]] = attrs.field(factory=list)
    waiting: dict[str, int] = attrs.field(factory=dict)  # offer id -> its event
    due: dict[int, int] = attrs.field(factory=dict)  # event -> offers not answered
    sent: dict[int, float] = attrs.field(factory=dict)  # event -> when its last byte left
    answered: dict[int, float] = attrs.field(factory=dict)
    accepted_s: list[float] = attrs.field(factory=list)
    taken: set[str] = attrs.field(factory=set)  # agents with a task of this run
    calls: dict[str, int] = attrs.field(factory=dict)
    framework_id: str = f"{MASTER_ID}-0000"
    role: str = "scaleio"
    number: int = 0
    began: float = 0.0  # to play without pause
    _beat_at: float = 0.0
    _rested: float | None = None
    _out: trio.MemorySendChannel[bytes] | None = None
    _room: trio.Event = attrs.field(factory=trio.Event)
    _revive: trio.Event = attrs.field(factory=trio.Event)

    # -- what is played -------------------------------------------------------------------------

    def prepare(self) -> None:
        """Encode the events, each with offer ids of its own, in turn over all agents."""
        self.events = []
        made = 0
        for _ in range(EVENTS_KEPT):
            offers = []
            for _ in range(self.per_event):
                offers.append(self.offer(made, made % self.agents))
                made += 1
            self.events.append(_event(offers))

    def offer(self, number: int, agent: int) -> dict[str, Any]:
        """An offer of that agent, in one of four shapes."""
        name = f"agent{agent}.play"
        found: dict[str, Any] = {
            "id": {"value": f"{MASTER_ID}-O{number}"},
            "framework_id": {"value": self.framework_id},
            "agent_id": {"value": f"{MASTER_ID}-S{agent}"},
            "hostname": name,
            "url": {
                "scheme": "http",
                "address": {"hostname": name, "ip": self.address, "port": 5051},
                "path": "/slave(1)",
            },
            "resources": list(_resources(agent, self.role)),
            "attributes": _attributes(agent),
            "allocation_info": {"role": self.role},
        }
        if agent % 4:
            found["domain"] = _domain(agent)
        return found

    # -- the one stream ---------------------------------------------------------------------------

    def _subscribed(self) -> bytes:
        info = {"id": MASTER_ID, "hostname": self.address, "version": self.version}
        return _record(
            "SUBSCRIBED",
            {
                "framework_id": {"value": self.framework_id},
                "heartbeat_interval_seconds": HEARTBEAT_S,
                "master_info": info,
            },
        )

    async def stream(self) -> AsyncIterator[bytes | None]:
        """What one subscriber gets, until it leaves."""
        out, into = trio.open_memory_channel[bytes](UPDATES_MAX)
        self._out = out
        self.waiting.clear()
        self.due.clear()
        self._beat_at, self._rested = self.clock() + HEARTBEAT_S, None
        yield self._subscribed()
        yield self._next()
        while True:
            self._note_sent()
            record = _at_once(into) or await self._record()
            if record is not None:
                yield record

    def _note_sent(self) -> None:
        if self.number not in self.sent:  # it may be answered already
            now = self.clock()
            self.sent[self.number] = min(now, self.answered.get(self.number, now))

    async def _record(self) -> bytes | None:
        """The next one; None now and then, so that updates get through."""
        if self._rested is None and not self.due:
            self._rested = self.clock() + self.rest_s
        playing = self._rested is not None and 0 <= self.clock() - self._rested < self.play_s
        if playing and not self.began:
            self.began = self.clock()
        if playing and len(self.due) < WINDOW:
            return self._next()
        if self._revive.is_set() and not playing:
            self._revive = trio.Event()
            await trio.sleep(REVIVED_S)
            return self._next()
        self._room = trio.Event()
        with trio.move_on_after(0.05):
            await self._room.wait()
        if self.clock() < self._beat_at:
            return None
        self._beat_at = self.clock() + HEARTBEAT_S
        return _record("HEARTBEAT", None)

    def _next(self) -> bytes:
        self.number += 1
        record, ids = self.events[self.number % len(self.events)]
        if self.taken:
            kept = [one for one in range(self.agents) if f"{MASTER_ID}-S{one}" not in self.taken]
            base = (self.number + EVENTS_KEPT) * self.agents * 10
            record, ids = _event([self.offer(base + one, one) for one in kept[: self.per_event]])
        self.waiting.update(dict.fromkeys(ids, self.number))
        if ids:
            self.due[self.number] = len(ids)
        return record

    # -- calls ------------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Reply | StreamReply:
        now = self.clock()
        if request.method == "GET":
            told = self.figures() if request.path == "/play" else {"version": self.version}
            return Reply(headers=JSON_TYPE, body=msgspec.json.encode(told))
        call = msgspec.json.decode(request.body)
        kind = call["type"]
        self.calls[kind] = self.calls.get(kind, 0) + 1
        if request.path == "/api/v1":
            return self._operator(kind)
        if kind == "SUBSCRIBE":
            return self._subscribe(call)
        body = call.get(kind.lower(), {})
        match kind:
            case "DECLINE":
                self._answer(body["offer_ids"], now)
            case "ACCEPT":
                self._accept(body, now)
            case "RECONCILE":
                self._reconcile(body.get("tasks", ()))
            case "REVIVE":
                self._revive.set()
        return Reply(status=202)

    def _subscribe(self, call: dict[str, Any]) -> StreamReply:
        info = call["subscribe"]["framework_info"]
        known = call.get("framework_id") or info.get("id")
        roles = info.get("roles") or [info.get("role", "*")]
        self.framework_id = known["value"] if known else self.framework_id
        if roles[0] != self.role:
            self.role = roles[0]
            self.prepare()
        headers = (*JSON_TYPE, ("Mesos-Stream-Id", STREAM_ID))
        return StreamReply(headers=headers, chunks=self.stream())

    def _answer(self, listed: list[dict[str, str]], now: float) -> list[int]:
        """Count them as answered; gives the events they were of."""
        found = []
        for one in listed:
            event = self.waiting.pop(one["value"], None)
            if event is None:
                continue
            found.append(event)
            self.due[event] -= 1
            if not self.due[event]:
                del self.due[event]
                self.answered[event] = now
                self._room.set()
        return found

    def _accept(self, body: dict[str, Any], now: float) -> None:
        events = self._answer(body["offer_ids"], now)
        for operation in body.get("operations", ()):
            for task in operation.get("launch", {}).get("task_infos", ()):
                self.taken.add(task["agent_id"]["value"])
        for event in events[:1]:
            self.accepted_s.append(now - self.sent.get(event, now))

    def _reconcile(self, tasks: list[dict[str, Any]]) -> None:
        """Every one of them runs, and is well."""
        for task in tasks:
            status = {
                "task_id": task["task_id"],
                "agent_id": task.get("agent_id", {"value": f"{MASTER_ID}-S0"}),
                "state": "TASK_RUNNING",
                "source": "SOURCE_MASTER",
                "reason": "REASON_RECONCILIATION",
                "healthy": True,
            }
            if self._out is not None and self._out.statistics().current_buffer_used < UPDATES_MAX:
                self._out.send_nowait(_record("UPDATE", {"status": status}))
        self._room.set()

    def _operator(self, kind: str) -> Reply:
        if kind != "GET_AGENTS":
            return Reply(status=403)
        agents = [self._agent(number) for number in range(self.agents)]
        body = msgspec.json.encode({"type": kind, "get_agents": {"agents": agents}})
        return Reply(headers=JSON_TYPE, body=body)

    def _agent(self, number: int) -> dict[str, Any]:
        return {
            "agent_info": {
                "hostname": f"agent{number}.play",
                "port": 5051,
                "attributes": _attributes(number),
                "id": {"value": f"{MASTER_ID}-S{number}"},
                **({"domain": _domain(number)} if number % 4 else {}),
            },
            "active": True,
            "version": self.version,
            "pid": f"slave(1)@{self.address}:5051",
            "registered_time": {"nanoseconds": 1795334697347334912},
            "total_resources": list(_resources(number, "")),
        }

    # -- what came of it ---------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """Seconds from an event's last byte to its last answer; offers a second after the first."""
        ended = sorted(self.answered)
        first = ended[0] if ended else 0
        later = [one for one in ended if one != first and one in self.sent]
        took = sorted(self.answered[one] - self.sent[one] for one in later)
        spent = self.answered[later[-1]] - self.began if later else 0.0
        return {
            "agents": self.agents,
            "offers_per_event": self.per_event,
            "events": len(ended),
            "first_s": self.answered[first] - self.sent[first] if first in self.sent else None,
            "offers_per_s": len(later) * self.per_event / spent if spent else 0.0,
            "p50_s": _share(took, 0.5),
            "p99_s": _share(took, 0.99),
            "accepted": len(self.accepted_s),
            "accept_p50_s": _share(sorted(self.accepted_s), 0.5),
            "accept_p99_s": _share(sorted(self.accepted_s), 0.99),
            "waiting": len(self.waiting),
            "calls": self.calls,
        }


def _at_once(into: trio.MemoryReceiveChannel[bytes]) -> bytes | None:
    try:
        return into.receive_nowait()
    except trio.WouldBlock:
        return None


def _share(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _event(offers: list[dict[str, Any]]) -> tuple[bytes, frozenset[str]]:
    ids = frozenset(offer["id"]["value"] for offer in offers)
    return _record("OFFERS", {"offers": offers}), ids


def _record(kind: str, body: object) -> bytes:
    event = {"type": kind} if body is None else {"type": kind, kind.lower(): body}
    return encode_record(msgspec.json.encode(event))


def _attributes(agent: int) -> list[dict[str, Any]]:
    texts = {
        "rack": f"r{agent % 20}",
        "row": f"row{agent % 5}",
        "zone": f"z{agent % 3}",
        "os": "debian12",
        "kernel": "6.1.0-18-amd64",
        "scaleio-sds-pd": "default",
    }
    found: list[dict[str, Any]] = [
        {"name": name, "type": "TEXT", "text": {"value": value}} for name, value in texts.items()
    ]
    found.append({"name": "slots", "type": "SCALAR", "scalar": {"value": float(agent % 8)}})
    return found


def _domain(agent: int) -> dict[str, Any]:
    region, zone = {"name": "here"}, {"name": f"z{agent % 3}"}
    return {"fault_domain": {"region": region, "zone": zone}}


def _resources(agent: int, role: str) -> Iterator[dict[str, Any]]:
    """Of an offer to `role`; of the agent itself where that is empty."""
    extra: dict[str, Any] = {"allocation_info": {"role": role}} if role else {}
    spans = 1 if agent % 4 == 3 else 6
    ranges = [{"begin": 31000 + 100 * one, "end": 31080 + 100 * one} for one in range(spans)]
    yield {"name": "ports", "type": "RANGES", "ranges": {"range": ranges}, **extra}
    for name, amount in (("cpus", 7.5), ("mem", 30720.0), ("disk", 102400.0)):
        yield {"name": name, "type": "SCALAR", "scalar": {"value": amount}, **extra}
    if agent % 2:
        yield {
            "name": "mem",
            "type": "SCALAR",
            "scalar": {"value": 1024.0},
            "reservations": [{"type": "STATIC", "role": role or "scaleio"}],
            **extra,
        }
