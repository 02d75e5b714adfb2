"""One side of the comparison, as scripts use it: a cluster, subscriptions, operators' calls."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import attrs
import httpx
import trio

from tests.fidelity.framework import PATH, WAIT_S, Framework
from tests.fidelity.transcript import Transcript
from tests.fidelity.wire import JSON_TYPES, Json, modern

OPERATOR: Final = "/api/v1"
QUIET_MAX_S: Final = 8.0
POLL_S: Final = 0.02
Answer = TypeVar("Answer")


async def poll(ask: Callable[[], Awaitable[Answer]], good: Callable[[Answer], bool]) -> Answer:
    """Ask again and again: a cluster tells nobody when it is ready."""
    with trio.fail_after(WAIT_S):
        while True:
            answer = await ask()
            if good(answer):
                return answer
            await trio.sleep(POLL_S)


class Ground(Protocol):
    """The cluster under a side. Agents are agent0, agent1, ...; each is up at the start."""

    @property
    def master(self) -> str:
        """Where the leading master is: http://HOST:PORT."""

    @property
    def masters(self) -> tuple[str, ...]:
        """All masters, the first leader first."""

    @property
    def now_s(self) -> float:
        """Seconds since the epoch, as this cluster's masters see them."""

    @property
    def quiet_s(self) -> float:
        """After how much silence nothing more is expected."""

    async def agent_down(self, name: str) -> None:
        """SIGKILL; executors live on."""

    async def agent_up(self, name: str, *, new_id: bool = False) -> None:
        """Start it again, as itself or with its identity wiped."""

    async def agent_leaves(self, name: str) -> None:
        """SIGUSR1: it unregisters, ends its executors, exits."""

    async def agent_silent(self, name: str) -> None:
        """It answers nothing and says nothing, and no connection breaks; executors go on."""

    async def agent_heard(self, name: str) -> None:
        """The end of that."""

    async def executor_dies(self, framework_id: str, task_id: str) -> None:
        """SIGKILL to the executor of a task, not to the agent."""

    async def master_down(self) -> None:
        """SIGKILL; nobody leads."""

    async def master_up(self) -> None:
        """Another one leads; where there is one master only, it is started again."""

    def address(self, name: str) -> str:
        """An agent's IP address."""


@attrs.define(eq=False, kw_only=True)
class Side:
    ground: Ground
    client: httpx.AsyncClient
    nursery: trio.Nursery
    credentials: tuple[tuple[str, str], ...] = ()
    transcript: Transcript = attrs.field(factory=Transcript)
    frameworks: list[Framework] = attrs.field(factory=list)

    @property
    def master(self) -> str:
        return self.ground.master

    # ---- subscriptions

    async def subscribe(
        self,
        label: str = "it",
        info: Json | None = None,
        *,
        framework_id: str = "",
        acknowledge: bool = True,
        headers: Mapping[str, str] | None = None,
        **subscribe: Any,
    ) -> Framework:
        """Subscribe; the first event has come, or the refusal."""
        framework = Framework(
            self,
            label,
            modern() if info is None else info,
            framework_id=framework_id,
            acknowledge=acknowledge,
        )
        self.frameworks.append(framework)
        status = await self.nursery.start(framework.run, subscribe, headers or {})
        if status == 200:
            await framework.until(lambda: bool(framework.events))
        return framework

    async def settle(self, title: str) -> None:
        """Until nothing more comes; then a phase of the transcript ends."""
        with trio.move_on_after(QUIET_MAX_S):
            before = -1
            while before != self.transcript.heard:
                before = self.transcript.heard
                await trio.sleep(self.ground.quiet_s)
        self.transcript.close(title)

    # ---- operators

    async def operator(
        self, kind: str, body: Json | None = None, *, recorded: bool = True
    ) -> tuple[int, Any]:
        call: Json = {"type": kind}
        if body is not None:
            call[kind.lower()] = body
        answer = await self.client.post(
            self.master + OPERATOR,
            content=json.dumps(call),
            headers=JSON_TYPES,
            auth=self.credentials[0] if self.credentials else httpx.USE_CLIENT_DEFAULT,
        )
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        found = answer.json() if is_json else answer.text
        if recorded:
            self.transcript.answer(kind, answer.status_code, found)
        return answer.status_code, found

    async def agents(self) -> dict[str, Json]:
        """GET_AGENTS by name; a master that has just been elected is waited for."""
        _, found = await poll(
            lambda: self.operator("GET_AGENTS", recorded=False), lambda answer: answer[0] == 200
        )
        agents = {
            one["agent_info"]["hostname"].partition(".")[0]: one
            for one in found["get_agents"]["agents"]
        }
        for name, agent in agents.items():
            self.transcript.agent(agent["agent_info"]["id"]["value"], name)
        return agents

    async def agent_id(self, name: str) -> str:
        found = await self.agents()
        return str(found[name]["agent_info"]["id"]["value"])

    async def master_up(self) -> None:
        """A master leads again, and has recovered."""
        await self.ground.master_up()
        await self.agents()

    async def until_active(self, name: str, *, active: bool = True) -> None:
        """Until the master lists an agent so, or not as active any more."""
        await poll(self.agents, lambda found: found.get(name, {}).get("active", False) == active)

    def machine(self, name: str) -> dict[str, str]:
        """As a maintenance schedule names it."""
        return {"hostname": f"{name}.test", "ip": self.ground.address(name)}

    def now_ns(self) -> int:
        return round(self.ground.now_s * 1e9)

    # ---- plain requests

    async def request(
        self,
        title: str,
        content: str,
        *,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        path: str = PATH,
        master: str = "",
    ) -> httpx.Response:
        """One request, recorded under a title; `headers` are all there are."""
        given = JSON_TYPES if headers is None else headers
        where = (master or self.master) + path
        answer = await self.client.request(method, where, content=content, headers=given)
        self.transcript.call("request", title, answer.status_code, answer.text)
        return answer
