"""The roster: who is there, under which name, who is gone, and who is back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.board import AgentSnapshot, Board
from actors.mailbox import Mailbox
from actors.messages import AgentLost, AgentOffered, AgentsListed, RosterInbox, StrangeTask
from actors.roster import LIST_MISSES_MAX, Roster
from adapters.http_client import make_client
from adapters.mesos_http import HttpMesos
from domain import inbox
from domain.inbox import AgentInbox
from protocol.mesos.events import Heartbeat, Update
from simulation.http_server import Cut, Reply, Request
from simulation.network import MemoryBackend, Network
from tests.unit.actor_doubles import box, drained
from tests.unit.sim_mesos import MASTER, world

POLL_S = 60.0


@attrs.define
class Operator:
    """The operator API of a master, which answers what the test says."""

    answer: Reply | Cut = attrs.field(factory=lambda: Reply(status=403, body=b"Forbidden"))
    asked: int = 0

    async def handle(self, request: Request) -> Reply | Cut:
        await trio.lowlevel.checkpoint()
        assert request.path == "/api/v1"
        assert json.loads(request.body) == {"type": "GET_AGENTS"}
        self.asked += 1
        return self.answer

    def lists(self, *agents: tuple[str, str, int], active: bool = True) -> None:
        listed = [
            {
                "agent_info": {"id": {"value": agent_id}, "hostname": hostname},
                "pid": f"slave(1)@10.0.0.1:{port}",
                "active": active,
            }
            for agent_id, hostname, port in agents
        ]
        self.answer = Reply(body=json.dumps({"get_agents": {"agents": listed}}).encode())


@attrs.define
class Hall:
    operator: Operator
    roster: Roster = attrs.field(init=False)
    agents: dict[str, Mailbox[AgentInbox]] = attrs.field(factory=dict)
    leader: str = MASTER

    def birth(self, host: str) -> Mailbox[AgentInbox]:
        return self.agents.setdefault(host, box(host))

    async def tell(self, *messages: RosterInbox) -> None:
        for message in messages:
            await self.roster.mailbox.put(message)
        await wait_all_tasks_blocked()

    async def offered(self, agent_id: str, hostname: str = "a1", port: int = 5051) -> None:
        await self.tell(
            AgentOffered(
                agent_id=agent_id, hostname=hostname, ip="10.0.0.1", port=port, attributes={}
            )
        )

    def heard(self, host: str) -> list[AgentInbox]:
        return drained(self.birth(host))

    def sighted(self, host: str) -> list[str]:
        """Agent ids of the sightings, and `-` for each word that it is gone."""
        return [one.agent_id if isinstance(one, inbox.Sighted) else "-" for one in self.heard(host)]


def over(client: httpx.AsyncClient) -> HttpMesos:
    return HttpMesos(stream=client, calls=client, operator_calls=client)


@asynccontextmanager
async def hall() -> AsyncIterator[Hall]:
    mailbox: Mailbox[RosterInbox] = box("roster", 1000)
    operator = Operator()
    async with trio.open_nursery() as nursery:
        network = Network(nursery)
        network.listen("master1.test", 5050, operator.handle)
        async with make_client(network_backend=MemoryBackend(network)) as client:
            made = Hall(operator)
            made.roster = Roster(
                mailbox=mailbox,
                mesos=over(client),
                leader=lambda: made.leader,
                birth=made.birth,
                board=Board(),
                poll_s=POLL_S,
            )
            async with trio.open_nursery() as actors:
                actors.start_soon(made.roster.run)
                await wait_all_tasks_blocked()
                yield made
                actors.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


# -- births ---------------------------------------------------------------------------------------


async def test_an_agent_that_is_offered_is_born_and_told_once(autojump_clock: MockClock) -> None:
    async with hall() as here:
        await here.offered("S1")
        await here.offered("S1")
        assert here.heard("a1") == [
            inbox.Sighted(agent_id="S1", address="10.0.0.1", port=5051, attributes={})
        ]


async def test_an_agent_that_offers_nothing_is_found_in_the_list(
    autojump_clock: MockClock,
) -> None:
    async with hall() as here:
        before = here.roster.listing_works
        here.operator.lists(("S1", "a1", 5051), ("S2", "a2", 5051))
        await trio.sleep(POLL_S + 1.0)
        assert (before, here.roster.listing_works) == (False, True)
        assert set(here.agents) == {"a1", "a2"}


async def test_a_real_list_is_read_from_the_simulated_master(autojump_clock: MockClock) -> None:
    async with world(agents=3) as there, hall() as here:
        here.roster.mesos = over(there.client)
        await trio.sleep(POLL_S + 1.0)
        assert set(here.agents) == {f"agent{n}.test" for n in range(3)}
        [seen] = here.heard("agent0.test")
        assert isinstance(seen, inbox.Sighted)
        assert (seen.address, seen.port) == ("10.1.0.1", 5051)
        assert dict(seen.attributes) == {"rack": "r0"}


async def test_two_agents_of_one_hostname_are_told_apart_by_their_port(
    autojump_clock: MockClock,
) -> None:
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051), ("S2", "a1", 5052))
        await trio.sleep(POLL_S + 1.0)
        assert here.sighted("a1") == ["S1"]
        assert here.sighted("a1:5052") == ["S2"]
        await here.offered("S2", "a1", 5052)
        assert here.sighted("a1") == []


async def test_an_agent_that_comes_back_with_a_new_id_keeps_its_name(
    autojump_clock: MockClock,
) -> None:
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051))
        await trio.sleep(POLL_S + 1.0)
        await here.tell(AgentLost(agent_id="S1"))
        here.operator.lists(("S9", "a1", 5051))
        await trio.sleep(POLL_S)
        assert here.sighted("a1") == ["S1", "-", "S9"]
        assert set(here.agents) == {"a1"}


async def test_an_agent_that_moved_to_another_port_keeps_its_name_once_it_was_lost(
    autojump_clock: MockClock,
) -> None:
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051))
        await trio.sleep(POLL_S + 1.0)
        await here.tell(AgentLost(agent_id="S1"))
        await here.offered("S9", "a1", 6051)
        assert set(here.agents) == {"a1"}


# -- losses ---------------------------------------------------------------------------------------


async def test_a_lost_agent_that_is_offered_again_is_told_again(autojump_clock: MockClock) -> None:
    async with hall() as here:
        await here.offered("S1")
        await here.tell(AgentLost(agent_id="S1"), AgentLost(agent_id="S1"))
        assert here.sighted("a1") == ["S1", "-"]
        await here.offered("S1")
        assert here.sighted("a1") == ["S1"]


@pytest.mark.parametrize(("phase", "lost_at"), [("lost", 0.0), ("draining", 5.0)])
async def test_an_agent_that_counts_as_lost_is_told_of_each_time_it_is_seen(
    phase: str, lost_at: float, autojump_clock: MockClock
) -> None:
    """Its loss may have come by an update, of which nobody here has heard."""
    async with hall() as here:
        await here.offered("S1")
        lost = AgentSnapshot(
            host="a1", agent_id="S1", address="", phase=phase, since=0.0, lost_at=lost_at
        )
        here.roster.board.post_agent(lost)
        await here.offered("S1")
        assert here.sighted("a1") == ["S1", "S1"]


async def test_agents_that_a_new_master_still_waits_for_are_not_missing(
    autojump_clock: MockClock,
) -> None:
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051))
        await trio.sleep(POLL_S + 1.0)
        recovered = AgentsListed(agents=(), recovered=frozenset({"S1"}))
        await here.tell(*[recovered] * (2 * LIST_MISSES_MAX))
        assert here.sighted("a1") == ["S1"]
        await here.tell(*[AgentsListed(agents=())] * LIST_MISSES_MAX)
        assert here.sighted("a1") == ["-"]


async def test_a_stranger_cannot_be_lost(autojump_clock: MockClock) -> None:
    async with hall() as here:
        await here.tell(AgentLost(agent_id="S77"))
        assert here.agents == {}


async def test_only_the_third_list_without_an_agent_means_that_it_is_gone(
    autojump_clock: MockClock,
) -> None:
    """A master that has just taken over lists few."""
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051), ("S2", "a2", 5051))
        await trio.sleep(POLL_S + 1.0)
        here.operator.lists(("S2", "a2", 5051))
        await trio.sleep(POLL_S * (LIST_MISSES_MAX - 1))
        assert here.sighted("a1") == ["S1"]
        await trio.sleep(POLL_S)
        assert here.sighted("a1") == ["-"]
        await trio.sleep(POLL_S * 5)
        assert here.sighted("a1") == [], "told once"
        here.operator.lists(("S1", "a1", 5051))
        await trio.sleep(POLL_S)
        assert here.sighted("a1") == ["S1"]


async def test_misses_that_are_not_in_a_row_do_not_count(autojump_clock: MockClock) -> None:
    async with hall() as here:
        for listed in ([("S1", "a1", 5051)], [], [], [("S1", "a1", 5051)], [], []):
            here.operator.lists(*listed)
            await trio.sleep(POLL_S)
        assert here.sighted("a1") == ["S1"]


async def test_a_deactivated_agent_counts_as_missing(autojump_clock: MockClock) -> None:
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051))
        await trio.sleep(POLL_S + 1.0)
        here.operator.lists(("S1", "a1", 5051), active=False)
        await trio.sleep(POLL_S * LIST_MISSES_MAX)
        assert here.sighted("a1") == ["S1", "-"]


@pytest.mark.parametrize(
    "answer",
    [
        Reply(status=403, body=b"Forbidden"),
        Reply(status=401),
        Reply(status=307, headers=(("Location", "//x:1"),)),
        Reply(body=b"<html>"),
        Cut(),
    ],
)
async def test_where_the_list_is_closed_nobody_is_missed_and_offers_do_alone(
    answer: Reply | Cut, autojump_clock: MockClock
) -> None:
    async with hall() as here:
        here.operator.lists(("S1", "a1", 5051))
        await trio.sleep(POLL_S + 1.0)
        here.operator.answer = answer
        await trio.sleep(POLL_S * 5)
        assert not here.roster.listing_works
        assert here.sighted("a1") == ["S1"]
        await here.offered("S2", "a2")
        assert here.sighted("a2") == ["S2"]


async def test_without_a_leader_nobody_is_asked(autojump_clock: MockClock) -> None:
    async with hall() as here:
        here.leader = ""
        await trio.sleep(POLL_S)
        count = here.operator.asked
        await trio.sleep(POLL_S * 2)
        assert here.operator.asked == count
        here.operator.lists(("S1", "a1", 5051))
        here.leader = MASTER
        await trio.sleep(1.5)
        assert here.sighted("a1") == ["S1"], "but soon after there is one"


# -- strangers ------------------------------------------------------------------------------------


async def test_a_task_of_ours_on_a_host_that_nobody_minds_gives_birth(
    autojump_clock: MockClock,
) -> None:
    async with hall() as here:
        update = Update(task_id="a7.sds.1.0badcafe", agent_id="S7", state="TASK_RUNNING", uuid="u")
        await here.tell(StrangeTask(host="a7", agent_id="S7", event=update))
        [status] = here.heard("a7")
        assert isinstance(status, inbox.Status)
        assert (status.task_id, status.uuid) == ("a7.sds.1.0badcafe", "u")


async def test_a_task_that_is_not_ours_gives_birth_to_nobody(autojump_clock: MockClock) -> None:
    async with hall() as here:
        update = Update(task_id="theirs", agent_id="S7", state="TASK_RUNNING")
        await here.tell(StrangeTask(host="", agent_id="S7", event=update))
        await here.tell(StrangeTask(host="a7", agent_id="S7", event=Heartbeat()))
        assert here.agents == {}


async def test_a_sighting_that_found_no_room_is_told_again(autojump_clock: MockClock) -> None:
    async with hall() as here:
        here.agents["a1"] = box("a1", 1)
        here.agents["a1"].offer(inbox.Tick())
        await here.offered("S1")
        assert here.heard("a1") == [inbox.Tick()]
        await here.offered("S1")
        assert here.sighted("a1") == ["S1"]
