"""One subscription of a script: it records what comes, and acknowledges unless told otherwise."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx
import trio

from tests.fidelity.programs import LABEL, PROGRAMS
from tests.fidelity.wire import (
    JSON_TYPES,
    Json,
    Records,
    allocated,
    launch,
    named,
    offers_in,
    scalar,
    status_in,
)

if TYPE_CHECKING:
    from tests.fidelity.side import Side

PATH: Final = "/api/v1/scheduler"
WAIT_S: Final = 20.0  # no event that a script waits for takes longer, on either side


class NotHeardError(Exception):
    """An event that a script waits for did not come."""


@attrs.define(eq=False)
class Framework:
    side: Side
    label: str
    info: Json
    framework_id: str = ""
    acknowledge: bool = True
    stream_id: str = ""
    events: list[Json] = attrs.field(factory=list)
    ended: bool = False
    outstanding: dict[str, Json] = attrs.field(factory=dict)
    _news: trio.Event = attrs.field(factory=trio.Event)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    # ---- the stream

    def _subscribe_call(self, subscribe: Json) -> Json:
        info = dict(self.info)
        call: Json = {"type": "SUBSCRIBE"}
        if self.framework_id:
            call["framework_id"] = info["id"] = named(self.framework_id)
        return {**call, "subscribe": {"framework_info": info, **subscribe}}

    async def run(
        self,
        subscribe: Json,
        headers: Mapping[str, str],
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Read the stream until it ends or `close`; a refusal is a call like any other."""
        body = json.dumps(self._subscribe_call(subscribe))
        given = {**JSON_TYPES, **headers}
        with self._scope:
            async with self.side.client.stream(
                "POST", self.side.master + PATH, content=body, headers=given
            ) as answer:
                self.stream_id = answer.headers.get("Mesos-Stream-Id", "")
                if answer.status_code != 200:
                    await answer.aread()
                    self.side.transcript.call(
                        self.label, "SUBSCRIBE", answer.status_code, answer.text
                    )
                    self.ended = True
                    task_status.started(answer.status_code)
                    return
                task_status.started(200)
                await self._read(answer)
            self.side.transcript.event(self.label, {"type": "(the stream has ended)"})
            self.ended = True
        self._tell()

    async def _read(self, answer: httpx.Response) -> None:
        records = Records()
        try:
            async for part in answer.aiter_raw():
                for event in records.feed(part):
                    await self._received(event)
        except httpx.HTTPError:
            return  # broken or ended: frameworks can't tell a killed master from either

    async def _received(self, event: Json) -> None:
        self.side.transcript.event(self.label, event)
        self.events.append(event)
        if event["type"] == "SUBSCRIBED":
            self.framework_id = event["subscribed"]["framework_id"]["value"]
        for offer in offers_in(event):
            self.outstanding[offer["id"]["value"]] = offer
        if event["type"] == "RESCIND":
            self.outstanding.pop(event["rescind"]["offer_id"]["value"], None)
        self._tell()
        if self.acknowledge and "uuid" in status_in(event):
            self.side.nursery.start_soon(self.ack, status_in(event))

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def close(self) -> None:
        """Hang up."""
        self._scope.cancel(reason="the script hangs up")
        self.ended = True

    # ---- waiting

    async def until(self, wanted: Callable[[], bool]) -> None:
        with trio.move_on_after(WAIT_S):
            while not wanted():
                await self._news.wait()
            return
        got = [event["type"] for event in self.events[-12:]]
        raise NotHeardError(f"{self.label} did not hear it; at last it heard {got}")

    def mark(self) -> int:
        """For `start`: from the next event on."""
        return len(self.events)

    async def event(self, wanted: Callable[[Json], bool], *, start: int = 0) -> Json:
        await self.until(lambda: any(wanted(event) for event in self.events[start:]))
        return next(event for event in self.events[start:] if wanted(event))

    async def of_type(self, kind: str, *, start: int = 0) -> Json:
        return await self.event(lambda event: event["type"] == kind, start=start)

    async def state(self, task_id: str, state: str, *, start: int = 0) -> Json:
        """The first status of that task and state."""

        def wanted(event: Json) -> bool:
            status = status_in(event)
            return bool(status.get("task_id") == named(task_id) and status["state"] == state)

        return status_in(await self.event(wanted, start=start))

    async def over(self) -> None:
        await self.until(lambda: self.ended)

    async def offer(self, host: str = "agent0", role: str = "") -> Json:
        """A valid offer of that host (and role)."""
        await self.until(lambda: bool(self._offers(host, role)))
        return self._offers(host, role)[0]

    async def offers(self, host: str, count: int) -> list[Json]:
        await self.until(lambda: len(self._offers(host, "")) >= count)
        return self._offers(host, "")

    def _offers(self, host: str, role: str) -> list[Json]:
        return [
            offer
            for offer in self.outstanding.values()
            if offer["hostname"] == f"{host}.test"
            and role in {"", offer.get("allocation_info", {}).get("role")}
        ]

    # ---- calls

    async def call(self, kind: str, body: Json | None = None, **more: Any) -> int:
        """Send it and record the answer."""
        call: Json = {"type": kind, "framework_id": named(self.framework_id), **more}
        if body is not None:
            call[kind.lower()] = body
        status, text = await self.post(json.dumps(call))
        self.side.transcript.call(self.label, kind, status, text)
        return status

    async def post(
        self, body: str, *, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, str]:
        """Status and text. `headers` replace the usual ones; None leaves one out."""
        usual: dict[str, str | None] = {**JSON_TYPES, "Mesos-Stream-Id": self.stream_id}
        given = {**usual, **(headers or {})}
        answer = await self.side.client.post(
            self.side.master + PATH,
            content=body,
            headers={name: value for name, value in given.items() if value is not None},
        )
        return answer.status_code, answer.text

    async def ack(self, status: Json) -> None:
        """Not recorded, as it is sent at any moment; and lost where no master is."""
        body = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
        call = {"type": "ACKNOWLEDGE", "framework_id": named(self.framework_id)}
        with contextlib.suppress(httpx.HTTPError):
            await self.post(json.dumps({**call, "acknowledge": body}))

    def task(
        self,
        task_id: str,
        offer: Json,
        program: str = "runs",
        *,
        cpus: float = 0.5,
        role: Json | None = None,
        **more: Any,
    ) -> Json:
        kind = allocated(offer) if role is None else role
        return {
            "name": task_id,
            "task_id": named(task_id),
            "agent_id": offer["agent_id"],
            "command": {"shell": True, "value": PROGRAMS[program].command},
            "labels": {"labels": [{"key": LABEL, "value": program}]},
            "resources": [scalar("cpus", cpus, **kind), scalar("mem", 32.0, **kind)],
            **more,
        }

    async def accept(self, offer: Json, *operations: Json, refuse_s: float = 0.0) -> int:
        return await self.accept_all([offer], *operations, refuse_s=refuse_s)

    async def accept_all(
        self, offers: Sequence[Json], *operations: Json, refuse_s: float = 0.0
    ) -> int:
        self._spend(offers)
        body = {"offer_ids": [offer["id"] for offer in offers], "operations": list(operations)}
        return await self.call("ACCEPT", {**body, "filters": {"refuse_seconds": refuse_s}})

    def _spend(self, offers: Iterable[Json]) -> None:
        for offer in offers:
            self.outstanding.pop(offer["id"]["value"], None)

    async def launch(self, offer: Json, *tasks: Json, refuse_s: float = 3600.0) -> int:
        """The rest of the offer stays away for an hour, unless told otherwise."""
        return await self.accept(offer, launch(*tasks), refuse_s=refuse_s)

    async def start(
        self, task_id: str, host: str = "agent0", *, refuse_s: float = 3600.0, **more: Any
    ) -> Json:
        """A running task; the status."""
        offer = await self.offer(host)
        await self.launch(offer, self.task(task_id, offer, **more), refuse_s=refuse_s)
        return await self.state(task_id, "TASK_RUNNING")

    async def decline(self, *offers: Json, refuse_s: float = 3600.0) -> int:
        self._spend(offers)
        ids = [offer["id"] for offer in offers]
        return await self.call(
            "DECLINE", {"offer_ids": ids, "filters": {"refuse_seconds": refuse_s}}
        )

    async def hold_nothing(self) -> None:
        """Decline what is outstanding, for an hour."""
        if self.outstanding:
            await self.decline(*self.outstanding.values())

    async def kill(self, task_id: str, agent_id: Json | None = None, **more: Any) -> int:
        where = {} if agent_id is None else {"agent_id": agent_id}
        return await self.call("KILL", {"task_id": named(task_id), **where, **more})

    async def reconcile(self, *tasks: tuple[str, str]) -> int:
        """Pairs of task id and agent id ("" to leave it out); none: implicitly."""
        return await self.call("RECONCILE", {"tasks": [_pair(*task) for task in tasks]})


def _pair(task_id: str, agent_id: str) -> Json:
    where = {"agent_id": named(agent_id)} if agent_id else {}
    return {"task_id": named(task_id), **where}
