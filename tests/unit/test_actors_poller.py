"""The poller against a simulated Gateway: fresh looks, commands one by one, an answer for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.board import AgentSnapshot, Board
from actors.gateway_poller import RETRY_CEILING_S, GatewayPoller
from actors.mailbox import Mailbox
from actors.messages import GateInbox, PollerInbox, Refresh, SnapshotTaken, StorageRequest
from actors.supervision import supervise
from domain.inbox import AgentInbox, StorageAnswer
from domain.joining import JoinSpec, probe_name
from domain.progress import STORAGE_PATIENCE_S
from simulation.gateway import Api
from simulation.http_server import Reply
from tests.unit.actor_doubles import box, drained, rng
from tests.unit.gateway_world import GUID, World, in_memory

POLL_S = 5.0
HOST = "a9"
CLIENT = JoinSpec(host=HOST, address="10.0.3.1", domain="", sdc_guid=GUID)
SERVER = JoinSpec(
    host=HOST,
    address="10.0.1.99",
    domain="new-domain",
    pools=("new-pool",),
    devices={"/dev/sdb": "new-pool"},
)
CLAIMED_AT = 1e9
JOINING = AgentSnapshot(
    host=HOST,
    agent_id="S1",
    address=SERVER.address,
    phase="joining",
    since=0.0,
    claimed=SERVER.devices,
    claimed_at=CLAIMED_AT,
)


@attrs.define
class Counter:
    world: World
    poller: GatewayPoller
    agent: Mailbox[AgentInbox]

    @property
    def board(self) -> Board:
        return self.poller.board

    def shows(self, shown: AgentSnapshot) -> None:
        self.board.post_agent(shown)

    async def put(
        self,
        request: str,
        spec: JoinSpec,
        *,
        age_s: float = 0.0,
        probe_pool: str = "",
        volume_id: str = "",
    ) -> None:
        message = StorageRequest(
            request=request,
            spec=spec,
            asked_at=trio.current_time() - age_s,
            claimed_at=CLAIMED_AT,
            probe_pool=probe_pool,
            volume_id=volume_id,
        )
        await self.poller.mailbox.put(message)

    async def ask(
        self, request: str, spec: JoinSpec, *, probe_pool: str = "", volume_id: str = ""
    ) -> StorageAnswer:
        await self.put(request, spec, probe_pool=probe_pool, volume_id=volume_id)
        with trio.fail_after(300.0):
            answer = await self.agent.receive()
        assert isinstance(answer, StorageAnswer)
        assert answer.request == request
        return answer

    async def joins(self, spec: JoinSpec) -> StorageAnswer:
        """Ask as an agent does, until there is more to say than to wait."""
        answer = await self.ask("join", spec)
        while answer.outcome == "waiting":
            await trio.sleep(10.0)
            answer = await self.ask("join", spec)
        return answer


@asynccontextmanager
async def counter(world: World) -> AsyncIterator[Counter]:
    mailbox: Mailbox[PollerInbox] = box("gateway-poller")
    gate: Mailbox[GateInbox] = box("gate", 1000)
    agent: Mailbox[AgentInbox] = box(HOST)
    poller = GatewayPoller(
        mailbox=mailbox,
        gateway=world.gateway,
        gate=gate,
        health=box("health", 4),
        agents={HOST: agent}.get,
        board=Board(),
        chance=rng(),
        poll_s=POLL_S,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise, mailbox.vitals, poller.run)
        await wait_all_tasks_blocked()
        yield Counter(world, poller, agent)
        nursery.cancel_scope.cancel()


def taken_at(here: Counter) -> float:
    storage = here.board.gateway.storage
    assert storage is not None
    return storage.taken_at


def test_snapshots_come_by_themselves_and_the_gate_is_told() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            first = taken_at(here)
            await trio.sleep(POLL_S * 3 + 0.1)
            assert taken_at(here) - first == pytest.approx(POLL_S * 3, abs=0.5)
            told = drained(here.poller.gate)
            assert len(told) == 4
            assert set(map(type, told)) == {SnapshotTaken}

    in_memory(story, api="3.6")


def test_a_wish_for_a_fresh_look_is_met_at_once_and_a_fresh_one_serves_twice() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            await trio.sleep(3.0)
            wished_at = trio.current_time()
            await here.poller.mailbox.put(Refresh(newer_than=wished_at))
            await wait_all_tasks_blocked()
            looked_at = taken_at(here)
            assert looked_at >= wished_at
            await trio.sleep(1.0)
            await here.poller.mailbox.put(Refresh(newer_than=wished_at))
            await wait_all_tasks_blocked()
            assert taken_at(here) == looked_at
            assert len(drained(here.poller.gate)) == 4, "the gate hears of each"

    in_memory(story, api="3.6")


def test_while_the_gateway_is_away_the_last_look_stays_with_its_age_and_the_reason_is_shown() -> (
    None
):
    async def story(world: World) -> None:
        async with counter(world) as here:
            last = taken_at(here)
            world.answer_instead.append(lambda _: Reply(status=502, body=b"<html>"))
            await trio.sleep(600.0)
            assert here.board.gateway.error
            assert taken_at(here) == last
            count = len(world.seen)
            await trio.sleep(RETRY_CEILING_S * 10)
            assert len(world.seen) - count <= 60, "it backs off"
            world.answer_instead.clear()
            await trio.sleep(RETRY_CEILING_S + 1.0)
            assert here.board.gateway.error == ""
            assert taken_at(here) > last

    in_memory(story, api="3.6")


def test_joining_makes_what_is_missing_once() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            here.shows(JOINING)
            answer = await here.joins(SERVER)
            assert answer.outcome == "done"
            made = [line for line in world.seen if line.endswith(("/Sds/instances",))]
            again = await here.ask("join", SERVER)
            assert (again.outcome, again.sds_id) == ("done", answer.sds_id)
            assert made == [line for line in world.seen if line.endswith(("/Sds/instances",))]
            assert world.forced() == [False]

    in_memory(story, api="3.6")


@pytest.mark.parametrize("api", ["2.0", "4.5"])
def test_what_cannot_be_done_has_an_answer_with_the_reason(api: Api) -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            waits = await here.ask("join", attrs.evolve(CLIENT, sdc_guid="0" * 36))
            assert waits.outcome == "waiting"
            assert "does not list" in waits.sentence
            skipped = await here.ask("probe-map", CLIENT, probe_pool="no-such-pool")
            assert skipped.outcome == "skipped"
            assert "no-such-pool" in skipped.sentence
            world.answer_instead.append(lambda _: Reply(status=502))
            await trio.sleep(3.0)
            away = await here.ask("join", CLIENT)
            assert away.outcome == "waiting"
            assert away.sentence == here.board.gateway.error

    in_memory(story, api=api)


def test_a_probe_volume_is_made_found_again_and_removed() -> None:
    async def story(world: World) -> None:
        shown = await world.gateway.snapshot()
        pool = shown.pools[0].name
        async with counter(world) as here:
            first = await here.ask("probe-map", CLIENT, probe_pool=pool)
            assert (first.outcome, bool(first.volume_id)) == ("done", True)
            again = await here.ask("probe-map", CLIENT, probe_pool=pool)
            assert again.volume_id == first.volume_id, "a crash in between leaves no second one"
            clean = await here.ask("probe-clean", CLIENT, volume_id=first.volume_id)
            assert clean.outcome == "done"
            assert await world.gateway.find_volume(probe_name(HOST)) is None
            gone = await here.ask("probe-clean", CLIENT, volume_id=first.volume_id)
            assert gone.outcome == "done", "what is gone is gone"

    in_memory(story, api="3.6")


def test_probe_names_fit_and_do_not_collide() -> None:
    names = {probe_name(f"very-long-host-name-of-a-datacenter-{n}.example.com") for n in range(99)}
    assert len(names) == 99
    assert all(len(name) <= 31 for name in names)


def test_a_request_of_an_agent_that_is_gone_does_no_harm() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            nobody = attrs.evolve(CLIENT, host="nobody")
            await here.put("join", nobody)
            assert (await here.ask("join", CLIENT)).request == "join"
            assert here.poller.mailbox.vitals.restarts == 0

    in_memory(story, api="3.6")


# -- disks that are no longer meant ---------------------------------------------------------------


def added(world: World) -> list[str]:
    return [line for line in world.seen if line.endswith("/Device/instances")]


def test_a_request_that_nobody_waits_for_any_more_is_dropped() -> None:
    """It was put anew meanwhile: a Gateway that hangs must not be worked off from old wishes."""

    async def story(world: World) -> None:
        async with counter(world) as here:
            here.shows(JOINING)
            await here.put("join", SERVER, age_s=STORAGE_PATIENCE_S + 1.0)
            await trio.sleep(30.0)
            assert added(world) == []
            assert drained(here.agent) == []
            assert (await here.joins(SERVER)).outcome == "done"
            assert len(added(world)) == 1

    in_memory(story, api="3.6")


@pytest.mark.parametrize(
    "instead",
    [
        attrs.evolve(JOINING, phase="held"),
        attrs.evolve(JOINING, phase="surveying"),
        attrs.evolve(JOINING, claimed={}),
        attrs.evolve(JOINING, claimed={"/dev/sdc": "new-pool"}),
        attrs.evolve(JOINING, claimed={"/dev/sdb": "another-pool"}),
        attrs.evolve(JOINING, claimed_at=CLAIMED_AT + 60.0),
    ],
    ids=["held", "surveying", "no claim", "another disk", "another pool", "claimed anew"],
)
def test_no_disk_is_given_away_for_an_agent_that_has_left_its_claim(instead: AgentSnapshot) -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            here.shows(instead)
            for _ in range(6):
                answer = await here.ask("join", SERVER)
                assert answer.outcome == "waiting"
                await trio.sleep(10.0)
            assert added(world) == []
            here.shows(JOINING)
            assert (await here.joins(SERVER)).outcome == "done", "it was the disk that was missing"

    in_memory(story, api="3.6")


def test_no_disk_is_given_away_for_an_agent_that_nobody_shows() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            for _ in range(6):
                assert (await here.ask("join", SERVER)).outcome == "waiting"
                await trio.sleep(10.0)
            assert added(world) == []

    in_memory(story, api="3.6")


def test_the_end_of_an_old_claim_is_not_the_end_of_a_new_one() -> None:
    async def story(world: World) -> None:
        async with counter(world) as here:
            here.shows(JOINING)
            assert (await here.joins(SERVER)).outcome == "done"
            here.shows(attrs.evolve(JOINING, claimed_at=CLAIMED_AT + 60.0))
            answer = await here.ask("join", SERVER)
            assert (answer.outcome, "anew" in answer.sentence) == ("waiting", True)

    in_memory(story, api="3.6")


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("wwn-0x5000c500", "refused"), ("nvme-eui.0025385b", "refused"), ("virtio-vol1", "done")],
)
def test_a_disk_that_two_hosts_see_is_given_away_once(name: str, outcome: str) -> None:
    async def story(world: World) -> None:
        path = f"/dev/disk/by-id/{name}"
        spec = attrs.evolve(SERVER, devices={path: "new-pool"})
        async with counter(world) as here:
            here.shows(attrs.evolve(JOINING, claimed=spec.devices))
            assert (await here.joins(spec)).outcome == "done"
            other = attrs.evolve(spec, address="10.0.1.98")
            answer = await here.joins(other)
            assert answer.outcome == outcome
            assert len(added(world)) == (1 if outcome == "refused" else 2)
            assert ("sds_10.0.1.99 already" in answer.sentence) is (outcome == "refused")

    in_memory(story, api="3.6")
