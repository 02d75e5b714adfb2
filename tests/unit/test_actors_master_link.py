"""The subscription against a simulated master, byte for byte: found, kept, lost, found again."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.master_link import (
    BROKER_PATIENCE_S,
    EXIT_SUPERSEDED,
    PAUSE_CEILING_S,
    PAUSE_SLOW_S,
)
from actors.messages import CallResult, LinkDown, Send
from actors.supervision import EndOfServiceError
from protocol.mesos import calls, events
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.offered import Offers
from simulation.http_server import Cut, Reply, Request
from simulation.mesos_observed import CallReceived, StreamClosed
from tests.unit.master_line import STANDBY, Line, line, running
from tests.unit.sim_mesos import MASTER, legacy_info

# -- subscribing ----------------------------------------------------------------------------------


async def test_the_id_is_durable_before_anything_is_passed_on(autojump_clock: MockClock) -> None:
    async with line() as here:
        here.keep.takes_s = 7.0
        async with running(here):
            await trio.sleep(6.0)
            assert here.heard == []
            assert here.now.state != "subscribed"
            await here.subscribed()
            await here.until(lambda: bool(here.events(Offers)))
            [told] = here.events(events.Subscribed)
            assert isinstance(told.event, events.Subscribed)
            assert here.keep.stored == [told.event.framework_id] == [here.now.framework_id]
            assert (here.now.master, here.now.version) == (MASTER, "1.11")


@pytest.mark.parametrize("version", ["1.0.1", "1.2.0", "1.4.3", "1.11.0"])
async def test_masters_of_every_age_are_subscribed_to(
    version: str, autojump_clock: MockClock
) -> None:
    async with line(version=version) as here, running(here):
        await here.subscribed()
        await here.until(lambda: bool(here.events(Offers)))
        assert here.link.session.version == calls.parse_version(version)


async def test_a_known_id_is_used_again_and_not_stored_again(autojump_clock: MockClock) -> None:
    async with line(framework_id="F-known") as here, running(here):
        await here.subscribed()
        assert here.subscriptions()[0][0] == "F-known"
        assert here.keep.stored == []


async def test_a_standby_points_to_the_leader_and_is_followed_by_hand(
    autojump_clock: MockClock,
) -> None:
    async with line(masters=2, tried=(STANDBY,)) as here, running(here):
        await here.subscribed()
        assert here.now.master == MASTER
        assert here.now.subscriptions == 1


async def test_masters_that_point_at_each_other_are_given_up_for_a_while(
    autojump_clock: MockClock,
) -> None:
    async def circle(request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        if request.path == "/version":
            return Reply(body=b'{"version": "1.11.0"}')
        where = ("Location", "//circle.test:5050/master/api/v1/scheduler")
        return Reply(status=307, headers=(where,))

    async with line(tried=("http://circle.test:5050",)) as here:
        here.there.network.listen("circle.test", 5050, circle)
        async with running(here):
            await here.until(lambda: "circle" in here.now.detail)
            assert "redirected in a circle" in here.now.detail


# -- losing and finding again ---------------------------------------------------------------------


async def test_a_stream_that_breaks_is_taken_up_with_the_same_id(
    autojump_clock: MockClock,
) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.drop_stream(mid_record=True)
        await here.subscribed(2)
        [first, second] = here.subscriptions()
        assert first == (second[0], True)
        assert not second[1]
        assert here.keep.stored == [first[0]]
        generations = [one.generation for one in here.heard if isinstance(one, LinkDown)]
        assert generations == [1]
        later = [one.generation for one in here.events(events.Subscribed)]
        assert later == [1, 2]


async def test_five_silent_heartbeats_mean_a_dead_stream_and_one_does_not(
    autojump_clock: MockClock,
) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        await trio.sleep(100.0)
        assert here.now.subscriptions == 1, "heartbeats keep it alive"
        here.there.mesos.faults.mute_stream()
        muted_at = trio.current_time()
        await trio.sleep(55.0)
        assert here.now.state == "subscribed"
        await here.subscribed(2)
        assert trio.current_time() - muted_at < 75.0 + PAUSE_CEILING_S + 1.0
        assert len({framework_id for framework_id, _ in here.subscriptions()}) == 1
        assert any("silent for 75 s" in one.detail for one in here.shown)


async def test_a_master_failover_is_followed_with_the_same_id(autojump_clock: MockClock) -> None:
    async with line(masters=2, tried=(MASTER, STANDBY)) as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.master_failover()
        await here.subscribed(2)
        assert here.now.master == STANDBY
        assert len(set(here.keep.stored)) == 1


@pytest.mark.parametrize(
    ("reply", "words", "slow"),
    [
        (Reply(status=503, body=b"No leader elected"), "No leader elected", False),
        (Reply(status=404, body=b"404 Not Found."), "404", False),
        (Reply(status=401, body=b"401 Unauthorized."), "credentials", True),
        (Reply(status=400, body=b"Failed to find enum for 'X'"), "Failed to find enum", True),
        (Reply(status=307), "307", False),
        (Reply(body=b"<html>a portal</html>"), "broke the protocol", False),
        (Reply(body=b"5\nhello"), "broke the protocol", False),
        (Cut(), "does not answer", False),
    ],
)
async def test_each_refusal_is_retried_at_its_pace_and_its_cause_is_shown(
    reply: Reply | Cut, words: str, autojump_clock: MockClock, *, slow: bool
) -> None:
    asked: list[float] = []

    async def refuse(request: Request) -> Reply | Cut:
        await trio.lowlevel.checkpoint()
        if request.path == "/version":
            return Reply(body=b'{"version": "1.11.0"}')
        asked.append(trio.current_time())
        return reply

    async with line(framework_id="F-known") as here:
        front = here.there.mesos.fronts[0]
        here.there.network.listen("master1.test", 5050, refuse)
        async with running(here):
            await trio.sleep(400.0)
            assert any(words in one.detail for one in here.shown)
            pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
            ceiling = PAUSE_SLOW_S if slow else PAUSE_CEILING_S
            assert max(pauses) <= ceiling + 1.0
            assert min(pauses[5:]) >= ceiling / 2 - 0.1
            here.there.network.listen("master1.test", 5050, front.handle)
            await here.subscribed()
            assert here.now.detail == ""


async def test_a_program_that_is_no_master_is_named_as_such(autojump_clock: MockClock) -> None:
    async def web_page(request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(status=404, body=b"nginx")

    async with line(tried=("http://web.test:80",)) as here:
        here.there.network.listen("web.test", 80, web_page)
        async with running(here):
            await here.until(lambda: bool(here.now.detail))
            assert "is it a master?" in here.now.detail


async def test_garbage_in_the_middle_of_the_stream_starts_it_afresh(
    autojump_clock: MockClock,
) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.garbage_on_stream()
        await here.subscribed(2)
        assert any("broke the protocol" in one.detail for one in here.shown)


async def test_nobody_sends_on_a_stream_that_is_being_closed(autojump_clock: MockClock) -> None:
    at_the_close: list[str] = []
    async with line() as here:

        class Garbage:
            stream_id = "s1"

            async def chunks(self) -> AsyncGenerator[bytes, None]:
                try:
                    yield b"<html>\n"
                finally:
                    at_the_close.append(here.link.session.stream_id)

        with pytest.raises(RemoteMesosError):
            await here.link._hold(Garbage())
    assert at_the_close == [""]


# -- ends -----------------------------------------------------------------------------------------


async def test_another_scheduler_with_our_id_ends_this_one(autojump_clock: MockClock) -> None:
    async with line() as here:
        with pytest.RaisesGroup(EndOfServiceError) as ended:
            async with running(here):
                await here.subscribed()
                theirs = legacy_info(id={"value": here.now.framework_id}, role="scaleio")
                await here.there.subscribed(theirs, framework_id=here.now.framework_id)
                await trio.sleep(100.0)
        [error] = ended.value.exceptions
        assert isinstance(error, EndOfServiceError)
        assert error.status == EXIT_SUPERSEDED
        assert here.now.state == "superseded"
        assert len(here.subscriptions()) == 2, "ours, and theirs: we do not fight"


async def test_a_removed_id_waits_for_an_operator_and_says_so(autojump_clock: MockClock) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.remove_framework(here.now.framework_id)
        await here.until(lambda: here.now.state == "removed", within_s=600.0)
        count = len(here.subscriptions())
        await trio.sleep(10_000.0)
        assert len(here.subscriptions()) == count, "no new id by itself"
        assert "operator" in here.now.detail


# -- the broker -----------------------------------------------------------------------------------


async def test_a_broker_that_does_not_take_events_costs_the_stream_not_the_master(
    autojump_clock: MockClock,
) -> None:
    async with line(broker_room=1) as here, running(here):
        await here.subscribed()
        here.listening = False
        began = trio.current_time()
        await here.until(lambda: bool(here.there.observed(StreamClosed)))
        heartbeats_s = 3 * 15.0  # one is taken, one has room, one is in the way
        assert trio.current_time() - began <= heartbeats_s + BROKER_PATIENCE_S + 1.0
        await trio.sleep(BROKER_PATIENCE_S)
        here.listening = True
        await here.subscribed(2)
        assert any("overloaded" in one.detail for one in here.shown)


# -- the writer -----------------------------------------------------------------------------------

ACCEPT = calls.Accept(
    offer_ids=("O1",),
    task=calls.Task(
        task_id="t", name="t", agent_id="S1", command="true", environment={}, labels={}
    ),
    taken=(),
    refuse_s=5.0,
)


def received(here: Line, kind: str) -> list[CallReceived]:
    return [one for one in here.there.observed(CallReceived) if one.kind == kind]


def results(here: Line) -> list[tuple[str, str]]:
    return [(one.outcome, one.detail) for one in here.heard if isinstance(one, CallResult)]


async def test_calls_leave_in_order_on_the_present_stream(autojump_clock: MockClock) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        for call in (calls.Suppress(), calls.Revive(), ACCEPT, calls.Suppress()):
            await here.writer.mailbox.put(Send(call=call, generation=1))
        await here.until(lambda: len(received(here, "SUPPRESS")) == 2)
        kinds = [one.kind for one in here.there.observed(CallReceived)]
        assert kinds == [
            "SUBSCRIBE", "UPDATE_FRAMEWORK", "SUPPRESS", "REVIVE", "ACCEPT", "SUPPRESS",
        ]  # fmt: skip
        assert all(one.current for one in here.there.observed(CallReceived)[1:])
        assert results(here) == [("sent", "")]


async def test_a_call_of_an_old_subscription_never_leaves(autojump_clock: MockClock) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.drop_stream()
        await here.subscribed(2)
        await here.writer.mailbox.put(Send(call=ACCEPT, generation=1))
        await wait_all_tasks_blocked()
        assert results(here) == [("refused", "not subscribed")]
        assert received(here, "ACCEPT") == []


async def test_without_a_subscription_nothing_leaves(autojump_clock: MockClock) -> None:
    async with line() as here:
        await here.writer.mailbox.put(Send(call=ACCEPT))
        await wait_all_tasks_blocked()
        assert results(here) == [("refused", "not subscribed")]


async def test_an_acknowledgement_is_good_on_any_subscription(autojump_clock: MockClock) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.drop_stream()
        await here.subscribed(2)
        await here.writer.mailbox.put(Send(call=calls.Reconcile(tasks=())))
        await here.until(lambda: bool(received(here, "RECONCILE")))


async def test_a_call_that_was_cut_has_an_unknown_fate(autojump_clock: MockClock) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.there.mesos.faults.slow_next_calls(1, 1000.0)
        await here.writer.mailbox.put(Send(call=ACCEPT, generation=1))
        await here.until(lambda: bool(results(here)))
        assert results(here)[0][0] == "unknown"


async def test_a_master_that_refuses_connections_has_not_seen_the_call(
    autojump_clock: MockClock,
) -> None:
    async with line(framework_id="F-known") as here, running(here):
        await here.subscribed()
        here.there.network.down.add(("master1.test", 5050))
        await here.writer.mailbox.put(Send(call=ACCEPT, generation=1))
        await here.until(lambda: bool(results(here)))
        assert results(here)[0][0] == "refused"


async def test_a_call_that_the_master_does_not_know_us_by_starts_afresh(
    autojump_clock: MockClock,
) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        here.link.session.stream_id = "00000000-0000-0000-0000-000000000000"
        await here.writer.mailbox.put(Send(call=ACCEPT, generation=1))
        await here.subscribed(2)
        assert results(here)[0][0] == "refused"
        assert len({framework_id for framework_id, _ in here.subscriptions()}) == 1


async def test_a_call_that_is_merely_wrong_keeps_the_subscription_and_is_shown(
    autojump_clock: MockClock,
) -> None:
    async with line() as here, running(here):
        await here.subscribed()
        bad = calls.Acknowledge(agent_id="S1", task_id="t", uuid="c2hvcnQ=")
        await here.writer.mailbox.put(Send(call=bad))
        await trio.sleep(60.0)
        assert here.now.subscriptions == 1
        assert "Not a valid UUID" in here.writer.mailbox.vitals.last_error


async def test_a_crash_of_the_writer_gives_its_offers_back(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call in hand is lost, and the master would believe for ever that we hold its offers."""
    async with line(framework_id="F-known") as here, running(here):
        await here.subscribed()
        crashes = [RuntimeError("a bug")]
        encode = calls.encode_call

        def crashing(call: calls.Call, **more: Any) -> bytes:
            if crashes:
                raise crashes.pop()
            return encode(call, **more)

        monkeypatch.setattr(calls, "encode_call", crashing)
        decline = calls.Decline(offer_ids=("O1",), refuse_s=5.0)
        await here.writer.mailbox.put(Send(call=decline, generation=1))
        await here.subscribed(2)
        assert here.writer.mailbox.vitals.restarts == 1


async def test_nothing_is_sent_after_the_stream_has_ended(autojump_clock: MockClock) -> None:
    """Before the session is declared lost there is a moment without a stream id."""
    async with line(framework_id="F-known") as here, running(here):
        await here.subscribed()
        here.link.session.stream_id = ""
        await here.writer.mailbox.put(Send(call=ACCEPT, generation=1))
        await here.until(lambda: bool(results(here)))
        assert results(here) == [("refused", "not subscribed")]
        assert received(here, "ACCEPT") == []


async def test_a_proxy_that_gives_up_on_a_call_leaves_its_fate_open(
    autojump_clock: MockClock,
) -> None:
    async with line(framework_id="F-known") as here:
        front = here.there.mesos.fronts[0]

        async def proxy(request: Request) -> Any:
            if b"ACCEPT" in request.body:
                return Reply(status=504, body=b"Gateway Time-out")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, proxy)
        async with running(here):
            await here.subscribed()
            await here.writer.mailbox.put(Send(call=ACCEPT, generation=1))
            await here.subscribed(2)
            assert results(here)[0][0] == "unknown"


async def test_the_version_is_asked_for_without_the_secret(autojump_clock: MockClock) -> None:
    """Who answers there need not be a master."""
    given: dict[str, str] = {}

    class Secretive:
        def headers(self) -> dict[str, str]:
            return {"Authorization": "Basic c2VjcmV0"}

        async def renew(self) -> bool:
            await trio.lowlevel.checkpoint()
            return False

    async with line(credentials=Secretive()) as here:
        front = here.there.mesos.fronts[0]

        async def noting(request: Request) -> Any:
            given[request.path] = request.headers.get("authorization", "")
            return await front.handle(request)

        here.there.network.listen("master1.test", 5050, noting)
        async with running(here):
            await here.subscribed()
    assert given.pop("/version") == ""
    assert set(given.values()) == {"Basic c2VjcmV0"}
    assert len(given) == 2


async def test_one_wrong_address_does_not_slow_down_the_others(autojump_clock: MockClock) -> None:
    async def web_page(request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        return Reply(status=400 if request.body else 200, body=b'{"version": "1.11.0"}')

    async with line(tried=("http://web.test:80", MASTER), framework_id="F") as here:
        here.there.network.listen("web.test", 80, web_page)
        async with running(here):
            await here.subscribed()
            assert trio.current_time() < 5.0
