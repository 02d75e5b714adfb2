"""Births of agent actors: from offers, from the operator API, from the store, from stray tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors.board import Board
from actors.mailbox import Mailbox
from actors.messages import (
    AgentLost,
    AgentOffered,
    AgentsListed,
    RosterInbox,
    StrangeTask,
)
from actors.ports import CredentialsError, Mesos, MesosUnreachableError
from domain import inbox
from domain.agent import AgentRecord, Phase
from domain.inbox import AgentInbox, status_of
from protocol.mesos import operator
from protocol.mesos.agent_list import AgentListReader
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.events import Update

LIST_MISSES_MAX: Final = 3  # lists in a row without an agent before it counts as gone

log = structlog.get_logger()


@attrs.define
class Roster:
    """`birth` makes (or finds) the actor of a host and gives its mailbox."""

    mailbox: Mailbox[RosterInbox]
    mesos: Mesos
    leader: Callable[[], str]  # base of the leader while subscribed, else ""
    birth: Callable[[str], Mailbox[AgentInbox]]
    board: Board
    poll_s: float
    hosts: dict[str, str] = attrs.field(factory=dict)  # agent id -> HOST KEY
    seen: dict[str, inbox.Sighted] = attrs.field(factory=dict)  # host -> last told
    ports: dict[str, tuple[str, int]] = attrs.field(factory=dict)  # host -> where it listens
    listing_works: bool = False
    _reader: AgentListReader = attrs.field(factory=AgentListReader, init=False)
    _missing: dict[str, int] = attrs.field(factory=dict)
    _said: str = ""

    def remember(self, record: AgentRecord) -> None:
        """What the store knows: names stay as they were, and who is gone is found missing."""
        if record.agent_id:
            self.hosts[record.agent_id] = record.host
            self.ports[record.host] = (record.address, record.port)
            self.seen[record.host] = inbox.Sighted(
                agent_id=record.agent_id,
                address=record.address,
                port=record.port,
                attributes=dict(record.attributes),
            )

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._poll)
            while True:
                self._handle(await self.mailbox.receive())

    async def _poll(self) -> None:
        """Agents that offer nothing are invisible in offers: the list shows every one."""
        while True:
            base = self.leader()
            if base:
                listed = await self.listing(base)
                self.listing_works = listed is not None
                if listed is not None:
                    told = AgentsListed(agents=listed.agents, recovered=listed.recovered)
                    self.mailbox.offer(told)
                else:
                    self.board.seen = {}  # what was true once explains nothing now
            await trio.sleep(self.poll_s if base else 1.0)

    async def listing(self, base: str) -> operator.AgentList | None:
        """None where the operator API is closed to us or away; offers then do alone."""
        try:
            answer = await self.mesos.operator(base, operator.GET_AGENTS)
            if answer.status == 401 and await self.mesos.renew_credentials():
                answer = await self.mesos.operator(base, operator.GET_AGENTS)
            if answer.status == 200:
                self._said = ""
                return await self._read(answer.body)
            self._say(f"GET_AGENTS was answered {answer.status}")
        except (MesosUnreachableError, RemoteMesosError, CredentialsError) as error:
            self._say(str(error))
        return None

    async def _read(self, body: str) -> operator.AgentList | None:
        for found in self._reader.read(body):
            if found is not None:
                return found
            await trio.lowlevel.checkpoint()
        return None

    def _say(self, why: str) -> None:
        """Once: offers do alone, but agents that offer nothing stay unknown."""
        if why != self._said:
            log.warning("the master does not list its agents to us", reason=why)
        self._said = why

    def _handle(self, message: RosterInbox) -> None:
        match message:
            case AgentOffered():
                self._sight(
                    message.agent_id,
                    message.hostname,
                    message.ip,
                    message.port,
                    dict(message.attributes),
                )
            case AgentsListed():
                self._listed(message)
            case AgentLost():
                self._lost(message.agent_id)
            case StrangeTask():
                self._strange(message)
            case _:
                assert_never(message)

    def _sight(
        self, agent_id: str, hostname: str, ip: str, port: int, attributes: dict[str, str]
    ) -> None:
        host = self._host_key(agent_id, hostname, ip, port)
        sighted = inbox.Sighted(agent_id=agent_id, address=ip, port=port, attributes=attributes)
        self.ports[host] = (ip, port)
        if self.seen.get(host) == sighted and not self._is_lost(host):
            return
        if self.birth(host).offer(sighted):
            self.seen[host] = sighted

    def _host_key(self, agent_id: str, hostname: str, ip: str, port: int) -> str:
        """The hostname; with the port where two agents announce the same name."""
        known = self.hosts.get(agent_id)
        if known is not None:
            return known
        host = hostname
        other = self.ports.get(hostname)
        if other is not None and other != (ip, port) and self._alive(hostname):
            host = f"{hostname}:{port}"
        self.hosts[agent_id] = host
        return host

    def _alive(self, host: str) -> bool:
        """True unless the agent under that name is known to be missing."""
        last = self.seen.get(host)
        return last is not None and self._missing.get(last.agent_id, 0) == 0

    def _listed(self, message: AgentsListed) -> None:
        agents, before = message.agents, self.board.seen
        self.board.seen = {agent.agent_id: agent for agent in agents}
        now_there = {agent.agent_id for agent in agents if agent.active}
        for agent_id in now_there:
            self._missing[agent_id] = 0
        for agent_id in list(self.hosts):
            # A new master waits for the agents of its registry: they are not missing yet.
            if agent_id not in now_there and agent_id not in message.recovered:
                self._missing[agent_id] = self._missing.get(agent_id, 0) + 1
                if self._missing[agent_id] == LIST_MISSES_MAX:
                    self._lost(agent_id)
        for agent in agents:
            if agent.active and not (before.get(agent.agent_id) is agent and self._has(agent)):
                self._sight(agent.agent_id, agent.hostname, agent.ip, agent.port, agent.attributes)

    def _has(self, agent: operator.AgentSeen) -> bool:
        """True while it is where it was when it was last told of."""
        host = self.hosts.get(agent.agent_id, "")
        last = self.seen.get(host)
        return last is not None and last.agent_id == agent.agent_id and not self._is_lost(host)

    def _is_lost(self, host: str) -> bool:
        shown = self.board.agents.get(host)
        return shown is not None and (shown.phase == Phase.LOST.value or shown.lost_at > 0)

    def _lost(self, agent_id: str) -> None:
        host = self.hosts.get(agent_id)
        if host is None:
            return
        self._missing[agent_id] = max(1, self._missing.get(agent_id, 0))
        last = self.seen.get(host)
        if last is not None and last.agent_id == agent_id:
            del self.seen[host]  # so that its return is told again
            self.birth(host).offer(inbox.AgentGone(agent_id=agent_id))

    def _strange(self, message: StrangeTask) -> None:
        """A task of ours on a host that nobody minds: its actor is born, and adopts it."""
        if message.host and isinstance(message.event, Update):
            self.birth(message.host).offer(status_of(message.event))
        elif isinstance(message.event, Update):
            log.warning("a task that is not ours", task=message.event.task_id)
