"""A small recording scheduler, and hosts with scripted steps, for tests of the simulated Mesos."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
import trio

from adapters.http_client import make_client
from simulation.mesos import SimulatedMesos
from simulation.mesos_observed import MesosEvent
from simulation.mesos_resources import Bundle
from simulation.mesos_values import Address
from simulation.network import MemoryBackend, Network

Json = dict[str, Any]
Observed = TypeVar("Observed", bound=MesosEvent)

CAPTURES = Path(__file__).parent.parent / "data" / "mesos"
MODERN = ["PARTITION_AWARE", "TASK_KILLING_STATE", "MULTI_ROLE", "RESERVATION_REFINEMENT"]
MASTER = "http://master1.test:5050"
VOLATILE = ("timestamp", "uuid", "container_status", "agent_id", "unreachable_time")


def as_recorded(number: int) -> Bundle:
    """The resources of the recorded agents."""
    ports = (31000 + 100 * number, 31099 + 100 * number)
    return Bundle.of(cpus=4, mem=4096, disk=8192, ports=(ports,))


def capture(name: str) -> Json:
    found: Json = json.loads((CAPTURES / f"{name}.json").read_text())
    return found


def shape(value: Any) -> Any:
    """The same structure with the names of types in place of values; order does not count."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def plain(status: Json) -> Json:
    """A status without what differs from run to run; what was there is still seen."""
    return {name: "*" if name in VOLATILE else value for name, value in status.items()}


def recorded_events(name: str) -> list[Json]:
    return [entry["event"] for entry in capture(name)["events"]]


def recorded_statuses(name: str, task_id: str = "") -> list[Json]:
    found = [event["update"]["status"] for event in recorded_events(name) if "update" in event]
    return [one for one in found if task_id in {"", one["task_id"]["value"]}]


def modern_info(**more: Any) -> Json:
    capabilities = [{"type": word} for word in MODERN]
    info = {"user": "root", "name": "capture", "roles": ["*"], "capabilities": capabilities}
    return {**info, "failover_timeout": 120.0, "checkpoint": True, **more}


def legacy_info(**more: Any) -> Json:
    return {"user": "root", "name": "legacy", "failover_timeout": 120.0, **more}


@attrs.frozen(kw_only=True)
class Outcome:
    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""


@attrs.define(eq=False)
class Run:
    host: FakeHost
    step: str
    duration_s: float
    outcome: Outcome

    def finish(self) -> Outcome:
        self.host.log.append(f"finish {self.step}")
        return self.outcome

    def abort(self) -> None:
        self.host.log.append(f"abort {self.step}")


@attrs.define(eq=False)
class FakeHost:
    """Steps are named by label; `steps` maps them to (duration, outcome)."""

    hostname: str
    address: str
    steps: dict[str, tuple[float, Outcome]] = attrs.field(factory=dict)
    well: bool = True
    log: list[str] = attrs.field(factory=list)
    isolation: tuple[str, ...] = ("posix/cpu", "posix/mem")
    launcher: str = "posix"

    def begin(self, step: str, environment: Mapping[str, str]) -> Run:
        self.log.append(f"begin {step} {dict(environment)}")
        duration_s, outcome = self.steps.get(step, (1.0, Outcome()))
        return Run(self, step, duration_s, outcome)

    def health(self, environment: Mapping[str, str]) -> bool:
        return self.well and "SICK" not in environment


class StreamEndedError(Exception):
    """The stream is over."""


@attrs.define(eq=False)
class Scheduler:
    """Subscribes, records every event with its time, and acknowledges if told to."""

    client: httpx.AsyncClient
    info: Json
    framework_id: str = ""
    acknowledge: bool = True
    suppressed: list[str] = attrs.field(factory=list)
    base: str = MASTER
    stream_id: str = ""
    events: list[tuple[float, Json]] = attrs.field(factory=list)
    ended: str = ""
    garbage: bytes = b""
    _news: trio.Event = attrs.field(factory=trio.Event)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        info = dict(self.info)
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if self.suppressed:
            call["subscribe"]["suppressed_roles"] = self.suppressed
        if self.framework_id:
            call["framework_id"] = info["id"] = {"value": self.framework_id}
        url = f"{self.base}/api/v1/scheduler"
        async with trio.open_nursery() as nursery:
            with self._scope:
                async with self.client.stream("POST", url, json=call) as answer:
                    assert answer.status_code == 200
                    self.stream_id = answer.headers.get("Mesos-Stream-Id", "")
                    nursery.start_soon(self._acknowledge_all)
                    task_status.started()
                    await self._read(answer)
            self.ended = self.ended or "closed by us"
            self._tell()
            nursery.cancel_scope.cancel()

    async def _read(self, answer: httpx.Response) -> None:
        held = b""
        try:
            async for part in answer.aiter_raw():
                held = self._records(held + part)
            self.ended = "ended"
        except httpx.HTTPError as error:
            self.ended = f"broke: {type(error).__name__}"
        self.ended += f" with {len(held)} bytes of a record" if held else ""

    def _records(self, held: bytes) -> bytes:
        while (end := held.find(b"\n")) >= 0:
            if not held[:end].isdigit():
                self.garbage += held
                return b""
            size = int(held[:end])
            if len(held) < end + 1 + size:
                break
            event = json.loads(held[end + 1 : end + 1 + size])
            held = held[end + 1 + size :]
            self.events.append((trio.current_time(), event))
            if event["type"] == "SUBSCRIBED":
                self.framework_id = event["subscribed"]["framework_id"]["value"]
            self._tell()
        return held

    async def _acknowledge_all(self) -> None:
        """Apart from the reader, which must never wait for anything but the stream."""
        seen = 0
        while True:
            while seen < len(self.events):
                status = self.events[seen][1].get("update", {}).get("status", {})
                seen += 1
                if self.acknowledge and "uuid" in status:
                    await self.ack(status)
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def close(self) -> None:
        self._scope.cancel()

    async def wait(self, wanted: Callable[[Json], bool], *, start: int = 0) -> Json:
        """The first event from `start` on that is wanted."""
        seen = start
        with trio.fail_after(5000):
            while True:
                while seen < len(self.events):
                    if wanted(self.events[seen][1]):
                        return self.events[seen][1]
                    seen += 1
                if self.ended:
                    raise StreamEndedError(self.ended)
                await self._news.wait()

    async def wait_type(self, kind: str, *, start: int = 0) -> Json:
        return await self.wait(lambda event: event["type"] == kind, start=start)

    async def wait_state(self, task_id: str, state: str, *, start: int = 0) -> Json:
        def wanted(event: Json) -> bool:
            status = event.get("update", {}).get("status", {})
            return bool(status.get("task_id") == {"value": task_id} and status["state"] == state)

        found: Json = (await self.wait(wanted, start=start))["update"]["status"]
        return found

    async def wait_ended(self) -> str:
        with trio.fail_after(5000):
            while not self.ended:
                await self._news.wait()
        return self.ended

    async def offer(self, hostname: str = "", *, start: int = 0) -> Json:
        """The first offer (of that host)."""
        await self.wait(
            lambda event: any(hostname in {"", one["hostname"]} for one in _offers(event)),
            start=start,
        )
        found = [
            one
            for _, event in self.events[start:]
            for one in _offers(event)
            if hostname in {"", one["hostname"]}
        ]
        return found[0]

    def of_type(self, kind: str, *, start: int = 0) -> list[Json]:
        return [event for _, event in self.events[start:] if event["type"] == kind]

    def statuses(self, task_id: str = "", *, start: int = 0) -> list[Json]:
        found = [event["update"]["status"] for event in self.of_type("UPDATE", start=start)]
        return [one for one in found if task_id in {"", one["task_id"]["value"]}]

    def times(self, kind: str) -> list[float]:
        return [at for at, event in self.events if event["type"] == kind]

    # ---- calls

    async def call(self, kind: str, body: Json | None = None) -> tuple[int, str]:
        call: Json = {"type": kind, "framework_id": {"value": self.framework_id}}
        if body is not None:
            call[kind.lower()] = body
        answer = await self.client.post(
            f"{self.base}/api/v1/scheduler",
            json=call,
            headers={"Mesos-Stream-Id": self.stream_id},
        )
        return answer.status_code, answer.text

    async def ack(self, status: Json) -> tuple[int, str]:
        body = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
        return await self.call("ACKNOWLEDGE", body)

    async def launch(self, offer: Json, *tasks: Json, refuse_s: float = 0.0) -> tuple[int, str]:
        operation = {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}
        body = {"offer_ids": [offer["id"]], "operations": [operation]}
        return await self.call("ACCEPT", {**body, "filters": {"refuse_seconds": refuse_s}})

    async def decline(self, *offers: Json, refuse_s: float = 0.0) -> tuple[int, str]:
        body: Json = {"offer_ids": [offer["id"] for offer in offers]}
        return await self.call("DECLINE", {**body, "filters": {"refuse_seconds": refuse_s}})

    async def run_task(self, task_id: str, hostname: str = "", **more: Any) -> Json:
        """Launch a task on the first offer, and see it running."""
        offer = await self.offer(hostname)
        assert await self.launch(offer, task_info(task_id, offer, **more)) == (202, "")
        return await self.wait_state(task_id, "TASK_RUNNING")


def _offers(event: Json) -> list[Json]:
    found: list[Json] = event.get("offers", {}).get("offers", [])
    return found


def task_info(
    task_id: str, offer: Json, *, cpus: float = 0.1, step: str = "step", **more: Any
) -> Json:
    role = {"allocation_info": offer["allocation_info"]} if "allocation_info" in offer else {}
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "command": {"shell": True, "value": "true"},
        "labels": {"labels": [{"key": "scaleio.step", "value": step}]},
        "resources": [
            {"name": name, "type": "SCALAR", "scalar": {"value": amount}, **role}
            for name, amount in (("cpus", cpus), ("mem", 32.0))
        ],
        **more,
    }


@attrs.define(eq=False)
class World:
    """A network with one simulated Mesos, and what was observed of it."""

    nursery: trio.Nursery
    network: Network
    mesos: SimulatedMesos
    client: httpx.AsyncClient
    hosts: dict[str, FakeHost]
    seen: list[MesosEvent]

    def scheduler(self, info: Json | None = None, **more: Any) -> Scheduler:
        return Scheduler(self.client, modern_info() if info is None else info, **more)

    async def subscribed(self, info: Json | None = None, **more: Any) -> Scheduler:
        scheduler = self.scheduler(info, **more)
        await self.nursery.start(scheduler.run)
        await scheduler.wait(lambda event: event["type"] in {"SUBSCRIBED", "ERROR"})
        return scheduler

    def observed(self, kind: type[Observed]) -> list[Observed]:
        return [event for event in self.seen if isinstance(event, kind)]


@asynccontextmanager
async def world(
    agents: int = 2,
    *,
    seed: int = 7,
    version: str = "1.11.0",
    masters: int = 1,
    resources: Bundle | None = None,
) -> AsyncIterator[World]:
    """Agents agent0.test, agent1.test, ..., registered."""
    seen: list[MesosEvent] = []
    addresses = tuple(
        Address(ip=f"10.0.0.{one + 1}", port=5050, hostname=f"master{one + 1}.test")
        for one in range(masters)
    )
    async with trio.open_nursery() as nursery:
        network = Network(nursery)
        mesos = SimulatedMesos(
            rng=random.Random(seed),  # noqa: S311 - the simulation's chance, replayable
            network=network,
            version=version,
            masters=addresses,
        )
        mesos.listeners.append(seen.append)
        hosts = {}
        for number in range(agents):
            host = FakeHost(f"agent{number}.test", f"10.1.{number // 200}.{number % 200 + 1}")
            hosts[host.hostname] = host
            mesos.add_agent(
                host,
                attributes={"rack": f"r{number}"},
                resources=as_recorded(number) if resources is None else resources,
            )
        await nursery.start(mesos.run)
        client = make_client(network_backend=MemoryBackend(network), read_timeout_s=None)
        client.headers["Connection"] = "close"  # a pooled one may have been cut by a fault
        async with client, trio.open_nursery() as users:
            await trio.sleep(2)
            yield World(users, network, mesos, client, hosts, seen)
            users.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
