"""The master that only offers: what it plays is read by the product, and what it counts is so."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
from trio.testing import MockClock

from protocol.mesos import calls, events
from protocol.mesos.offered import Offers
from protocol.mesos.operator import GET_AGENTS, parse_agents
from protocol.mesos.recordio import RecordReader
from simulation.http_server import Reply, Request, StreamReply
from simulation.master_play import Player

AGENTS = 8


def player(play_s: float = 60.0) -> Player:
    made = Player(agents=AGENTS, per_event=4, play_s=play_s, address="127.0.0.1", version="1.11.0")
    made.prepare()
    return made


def asked(body: bytes, path: str = "/api/v1/scheduler", method: str = "POST") -> Request:
    return Request(method=method, target=path, headers={}, body=body)


@asynccontextmanager
async def subscribed(there: Player) -> AsyncIterator[AsyncIterator[bytes | None]]:
    info = {"user": "root", "name": "t", "roles": ["scaleio"], "id": {"value": "F"}}
    body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
    reply = await there.handle(asked(msgspec.json.encode(body)))
    assert isinstance(reply, StreamReply)
    assert isinstance(reply.chunks, AsyncGenerator)
    async with aclosing(reply.chunks) as chunks:
        yield chunks


async def next_event(chunks: AsyncIterator[bytes | None]) -> events.Event:
    chunk = await anext(chunks)
    assert chunk is not None
    [record] = RecordReader().feed(chunk)
    return events.decode_event(record)


async def decline(there: Player, offers: Offers) -> None:
    ids = tuple(one.id.value for one in offers.heads)
    call = calls.Decline(offer_ids=ids, refuse_s=5.0)
    body = calls.encode_call(call, framework_id="F", role="scaleio", version=(1, 11))
    reply = await there.handle(asked(body))
    assert isinstance(reply, Reply)
    assert reply.status == 202


async def told(there: Player) -> dict[str, Any]:
    reply = await there.handle(asked(b"", "/play", "GET"))
    assert isinstance(reply, Reply)
    found: dict[str, Any] = json.loads(reply.body)
    return found


async def test_events_come_one_after_the_other_and_every_answer_counts_once(
    autojump_clock: MockClock,
) -> None:
    there = player()
    async with subscribed(there) as chunks:
        assert await next_event(chunks) == events.Subscribed(
            framework_id="F",
            heartbeat_s=15.0,
            master_id=there.offer(0, 0)["id"]["value"].rpartition("-O")[0],
            master_version="1.11.0",
        )
        seen: set[str] = set()
        found: dict[str, Any] = {}
        for number in range(1, 4):
            offers = await next_event(chunks)
            assert isinstance(offers, Offers)
            seen |= {one.id.value for one in offers.heads}
            await decline(there, offers)
            await decline(there, offers)
            found = await told(there)
            assert (found["events"], found["waiting"]) == (number, 0)
        assert len(seen) == 12, "no id comes twice"
        assert found["offers_per_s"] > 0


async def test_offers_and_list_tell_the_same_of_the_agents(autojump_clock: MockClock) -> None:
    there = player()
    async with subscribed(there) as chunks:
        await next_event(chunks)
        offers = await next_event(chunks)
        assert isinstance(offers, Offers)
        reply = await there.handle(asked(GET_AGENTS, "/api/v1"))
        assert isinstance(reply, Reply)
        listed = {one.agent_id: one for one in parse_agents(reply.body).agents}
        assert len(listed) == AGENTS
        for sketch in offers.sketches():
            agent, whole = listed[sketch.agent_id.value], sketch.whole("scaleio")
            assert (whole.hostname, whole.ip, whole.port) == (agent.hostname, agent.ip, agent.port)
            assert whole.attributes == agent.attributes
            amounts = {one.name for one in whole.resources}
            assert amounts == {"cpus", "mem", "disk"}


async def test_after_the_first_event_it_rests_until_it_is_revived(
    autojump_clock: MockClock,
) -> None:
    there = player(0.0)
    async with subscribed(there) as chunks:
        await next_event(chunks)
        offers = await next_event(chunks)
        assert isinstance(offers, Offers)
        await decline(there, offers)
        await there.handle(asked(b'{"type": "REVIVE"}'))
        assert isinstance(await next_event(chunks), Offers)


async def test_tasks_that_are_asked_about_run(autojump_clock: MockClock) -> None:
    there = player(0.0)
    async with subscribed(there) as chunks:
        await next_event(chunks)
        await next_event(chunks)
        body = {
            "type": "RECONCILE",
            "reconcile": {"tasks": [{"task_id": {"value": "T"}, "agent_id": {"value": "S"}}]},
        }
        await there.handle(asked(msgspec.json.encode(body)))
        update = await next_event(chunks)
        assert isinstance(update, events.Update)
        assert (update.task_id, update.agent_id, update.state) == ("T", "S", "TASK_RUNNING")
