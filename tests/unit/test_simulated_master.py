"""The simulated master answers as a recorded Mesos 1.11 did, byte for byte where that matters."""

from __future__ import annotations

import base64
import json

import pytest
import trio
from trio.testing import MockClock

from simulation.http_server import Reply, Request, StreamReply
from simulation.mesos_observed import CallReceived, StreamClosed, StreamOpened
from tests.unit.sim_mesos import (
    Json,
    Scheduler,
    World,
    capture,
    legacy_info,
    modern_info,
    recorded_events,
    shape,
    world,
)

PATH = "/api/v1/scheduler"
JSON_HEADERS = {"content-type": "application/json", "accept": "application/json"}
WRONG_STREAM = "00000000-0000-0000-0000-000000000000"
OTHER_SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "r", "name": "x"}}}


def http_cases(scheduler: Scheduler) -> dict[str, Request]:
    """The requests of the recording, for our framework."""
    framework_id = {"value": scheduler.framework_id}
    good = json.dumps({"type": "REVIVE", "framework_id": framework_id}).encode()
    bad_uuid = {
        "type": "ACKNOWLEDGE",
        "framework_id": framework_id,
        "acknowledge": {
            "agent_id": {"value": "a"},
            "task_id": {"value": "t"},
            "uuid": base64.b64encode(b"short").decode(),
        },
    }
    subscribe = json.dumps(OTHER_SUBSCRIBE).encode()
    ident = {"mesos-stream-id": scheduler.stream_id}
    every = {**JSON_HEADERS, **ident}

    def post(body: bytes, headers: dict[str, str], path: str = PATH) -> Request:
        return Request(method="POST", target=path, headers=headers, body=body)

    return {
        "a good call": post(good, every),
        "no Mesos-Stream-Id": post(good, JSON_HEADERS),
        "wrong Mesos-Stream-Id": post(good, {**JSON_HEADERS, "mesos-stream-id": WRONG_STREAM}),
        "body is not JSON": post(b"{", every),
        "body is JSON but no object": post(b"[]", every),
        "empty body": post(b"", every),
        "empty object": post(b"{}", every),
        "unknown type": post(b'{"type":"DANCE","framework_id":{"value":"x"}}', every),
        "unknown field": post(good[:-1] + b',"colour":"red"}', every),
        "field of the wrong type": post(good.replace(b'{"value"', b'{"value":7,"v"'), every),
        "no framework_id": post(b'{"type":"REVIVE"}', every),
        "unknown framework_id": post(b'{"type":"REVIVE","framework_id":{"value":"x"}}', every),
        "ACCEPT without accept": post(good.replace(b"REVIVE", b"ACCEPT"), every),
        "ACKNOWLEDGE with a uuid that is no UUID": post(json.dumps(bad_uuid).encode(), every),
        "SUBSCRIBE with a Mesos-Stream-Id": post(subscribe, every),
        "Content-Type text/plain": post(good, {**every, "content-type": "text/plain"}),
        "no Content-Type": post(good, {"accept": "application/json", **ident}),
        "Content-Type with charset": post(
            good, {**every, "content-type": "application/json; charset=utf-8"}
        ),
        "protobuf type, JSON body": post(good, {**every, "content-type": "application/x-protobuf"}),
        "Accept text/html on a call": post(good, {**every, "accept": "text/html"}),
        "Accept text/html on SUBSCRIBE": post(subscribe, {**JSON_HEADERS, "accept": "text/html"}),
        "GET": Request(method="GET", target=PATH, headers=JSON_HEADERS, body=b""),
        "unknown path": post(good, every, "/api/v2/scheduler"),
    }


async def test_single_requests_are_answered_with_the_recorded_status_and_text(
    autojump_clock: MockClock,
) -> None:
    recorded = {case["case"]: case for case in capture("http_answers")["cases"]}
    async with world() as here:
        scheduler = await here.subscribed()
        cases = http_cases(scheduler)
        assert set(recorded) - set(cases) == {"two calls on one connection"}
        for name, request in cases.items():
            answer = here.mesos.fronts[0].answer(request)
            assert isinstance(answer, Reply)
            want = recorded[name]["body"]
            want = want.replace("6efe906a-88e1-421b-948c-2f4d1fae1fc6-0021", scheduler.framework_id)
            got = (name, answer.status, answer.body.decode())
            assert got == (name, int(recorded[name]["status_line"].split()[1]), want)
            headers = dict(answer.headers)
            for header in ("Content-Type", "Allow"):
                assert headers.get(header) == recorded[name]["headers"].get(header), name


async def test_a_subscription_opens_with_the_recorded_events(autojump_clock: MockClock) -> None:
    for name, info in (("task_updates", modern_info()), ("agent_restart_no_checkpoint", None)):
        async with world() as here:
            scheduler = await here.subscribed(info or legacy_info())
            await scheduler.wait_type("OFFERS")
            first = [event for _, event in scheduler.events][:3]
            assert [event["type"] for event in first] == ["SUBSCRIBED", "HEARTBEAT", "OFFERS"]
            recorded = recorded_events(name)
            ours = first[2]["offers"]["offers"][0]
            theirs = next(e for e in recorded if e["type"] == "OFFERS")["offers"]["offers"][0]
            assert shape(ours) == shape(theirs)
            opening = next((e for e in recorded if e["type"] == "SUBSCRIBED"), first[0])
            assert shape(first[0]) == shape(opening)


async def test_a_heartbeat_comes_every_fifteen_seconds(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await here.subscribed()
        began = trio.current_time()
        await trio.sleep(47)
        beats = [at - began for at in scheduler.times("HEARTBEAT")]
        assert beats == pytest.approx([0, 15, 30, 45])
        entries = capture("heartbeats")["events"]
        recorded = [
            entry["seconds_after_subscribed"]
            for entry in entries
            if entry["event"]["type"] == "HEARTBEAT"
        ]
        assert beats[: len(recorded)] == pytest.approx(recorded, abs=0.01)


async def _events_of_a_subscription(here: World, call: Json) -> list[Json]:
    """What a SUBSCRIBE is told, until the stream ends or five seconds have passed."""
    events: list[Json] = []
    with trio.move_on_after(5):
        async with here.client.stream("POST", f"http://master1.test:5050{PATH}", json=call) as it:
            assert it.status_code == 200
            async for part in it.aiter_raw():
                events += [json.loads(line) for line in part.split(b"\n")[1:] if line]
    return events


async def test_questionable_frameworks_are_refused_or_taken_as_recorded(
    autojump_clock: MockClock,
) -> None:
    for case in capture("bad_frameworks")["cases"]:
        async with world(agents=0) as here:
            if "request" in case:
                request = Request(
                    method="POST",
                    target=PATH,
                    headers=JSON_HEADERS,
                    body=json.dumps(case["request"]).encode(),
                )
                answer = here.mesos.fronts[0].answer(request)
                assert isinstance(answer, Reply)
                assert (answer.status, answer.body.decode()) == (400, case["body"])
                continue
            subscribe = {"framework_info": case["framework_info"], **case["subscribe"]}
            call: Json = {"type": "SUBSCRIBE", "subscribe": subscribe}
            if "id" in case["framework_info"]:
                call["framework_id"] = case["framework_info"]["id"]
            events = await _events_of_a_subscription(here, call)
            assert shape(events) == shape(case["events"]), case["case"]
            errors = [event for event in case["events"] if event["type"] == "ERROR"]
            assert [event for event in events if event["type"] == "ERROR"] == errors


async def test_a_second_subscription_throws_the_first_one_out(autojump_clock: MockClock) -> None:
    async with world() as here:
        first = await here.subscribed()
        await first.wait_type("OFFERS")
        second = await here.subscribed(framework_id=first.framework_id)
        assert await first.wait_ended() == "ended"
        assert first.events[-1][1] == recorded_events("failover_old_stream")[-1]
        assert second.events[0][1]["subscribed"]["framework_id"]["value"] == first.framework_id
        status, text = await first.call("REVIVE")
        recorded = capture("failover_old_stream_id")["answer"]
        assert status == recorded[0]
        assert text.startswith(f"The stream ID '{first.stream_id}' included in this request didn't")
        assert not here.mesos.state.frameworks[first.framework_id].offers
        assert [event.why for event in here.observed(StreamClosed)] == ["Framework failed over"]


async def test_another_principal_may_not_take_over(autojump_clock: MockClock) -> None:
    async with world() as here:
        first = await here.subscribed()
        call = capture("failover_changed_info")["request"]
        call["framework_id"] = {"value": first.framework_id}
        call["subscribe"]["framework_info"]["id"] = {"value": first.framework_id}
        assert await _events_of_a_subscription(here, call) == recorded_events(
            "failover_changed_info"
        )


async def test_a_removed_framework_id_is_refused_for_good(autojump_clock: MockClock) -> None:
    async with world() as here:
        torn_down = await here.subscribed()
        assert await torn_down.call("TEARDOWN") == (202, "")
        assert await torn_down.wait_ended() == "ended"
        late = await here.subscribed(modern_info(failover_timeout=1.0))
        late.close()
        await trio.sleep(2)
        for dead, name in (
            (torn_down, "resubscribe_after_teardown"),
            (late, "failover_too_late"),
        ):
            again = await here.subscribed(framework_id=dead.framework_id)
            await again.wait_ended()
            assert [event for _, event in again.events] == recorded_events(name)


async def test_a_framework_that_comes_back_in_time_is_the_same(autojump_clock: MockClock) -> None:
    async with world() as here:
        first = await here.subscribed()
        first.close()
        await first.wait_ended()
        await trio.sleep(100)
        second = await here.subscribed(framework_id=first.framework_id)
        await second.wait_type("OFFERS")
        opened = here.observed(StreamOpened)
        assert [event.fresh for event in opened] == [True, False]
        assert {event.framework_id for event in opened} == {first.framework_id}
        await trio.sleep(200)
        assert not second.ended


async def test_a_reader_that_stops_taking_chunks_is_noticed_at_a_heartbeat(
    autojump_clock: MockClock,
) -> None:
    async with world() as here:
        body = json.dumps(OTHER_SUBSCRIBE).encode()
        request = Request(method="POST", target=PATH, headers=JSON_HEADERS, body=body)
        reply = here.mesos.fronts[0].answer(request)
        assert isinstance(reply, StreamReply)
        assert b"SUBSCRIBED" in (await anext(reply.chunks) or b"")
        await trio.sleep(16)
        assert [event.why for event in here.observed(StreamClosed)] == ["the reader hung up"]


async def test_calls_without_a_subscription_are_forbidden(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await here.subscribed()
        scheduler.close()
        await scheduler.wait_ended()
        await trio.sleep(1)
        assert await scheduler.call("REVIVE") == (403, "Framework is not subscribed")
        last = here.observed(CallReceived)[-1]
        assert (last.kind, last.current, last.status) == ("REVIVE", False, 403)


async def test_masters_that_do_not_lead_redirect_as_recorded(autojump_clock: MockClock) -> None:
    recorded = {case["case"]: case for case in capture("redirects")["cases"]}
    async with world(masters=2) as here:
        leader, standby = here.mesos.fronts
        for name, method, path in (
            ("SUBSCRIBE to a master that does not lead", "POST", PATH),
            ("operator call to a master that does not lead", "POST", "/api/v1"),
            ("GET /master/redirect of a master that does not lead", "GET", "/master/redirect"),
        ):
            request = Request(method=method, target=path, headers={}, body=b"nonsense")
            answer = standby.answer(request)
            assert isinstance(answer, Reply)
            want = recorded[name]["headers"]["Location"].replace(
                "localhost:58629", "master1.test:5050"
            )
            assert (answer.status, answer.body) == (307, b"")
            assert dict(answer.headers) == {"Location": want}
        version = Request(method="GET", target="/version", headers={}, body=b"")
        answers = [front.answer(version) for front in (leader, standby)]
        assert answers[0] == answers[1]
        here.mesos.faults.master_failover(down_s=5.0, recover_s=1.0)
        request = Request(method="POST", target=PATH, headers={}, body=b"")
        answer = standby.answer(request)
        assert isinstance(answer, Reply)
        want = recorded["SUBSCRIBE while there is no leader"]["body"]
        assert (answer.status, answer.body.decode()) == (503, want)


async def test_credentials_are_asked_for_before_anything_else(autojump_clock: MockClock) -> None:
    recorded = {case["case"]: case for case in capture("authentication")["cases"]}
    async with world() as here:
        here.mesos.master.credentials = {"fw": "secret"}
        front = here.mesos.fronts[0]

        def ask(secret: str, principal: str) -> Reply | StreamReply:
            told = base64.b64encode(f"fw:{secret}".encode()).decode()
            info = legacy_info(principal=principal)
            call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
            headers = {**JSON_HEADERS, "authorization": f"Basic {told}"}
            body = json.dumps(call).encode()
            answer = front.answer(Request(method="POST", target=PATH, headers=headers, body=body))
            assert isinstance(answer, Reply | StreamReply)
            return answer

        wrong, other = ask("guess", "fw"), ask("secret", "somebody")
        for answer, name in (
            (wrong, "wrong secret"),
            (other, "good credentials, another principal in FrameworkInfo"),
        ):
            assert isinstance(answer, Reply)
            assert answer.body.decode() == recorded[name]["body"]
        assert (
            dict(wrong.headers)["WWW-Authenticate"]
            == (recorded["wrong secret"]["headers"]["WWW-Authenticate"])
        )
        assert ask("secret", "fw").status == 200


async def test_old_masters_refuse_what_they_do_not_know(autojump_clock: MockClock) -> None:
    async with world(agents=0, version="1.0.4") as here:
        call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": modern_info()}}
        answer = await here.client.post(f"http://master1.test:5050{PATH}", json=call)
        assert answer.status_code == 400
        assert "Failed to find enum" in answer.text
        scheduler = await here.subscribed(legacy_info())
        assert "master_info" not in scheduler.events[0][1]["subscribed"]


async def test_the_operator_api_lists_agents_in_the_recorded_form(
    autojump_clock: MockClock,
) -> None:
    recorded = capture("operator_get_agents")["answer"][1]
    async with world() as here:
        answer = await here.client.post(
            "http://master1.test:5050/api/v1", json={"type": "GET_AGENTS"}
        )
        ours, theirs = answer.json(), recorded
        for agent in theirs["get_agents"]["agents"]:
            del agent["reregistered_time"]  # the recorded ones had been restarted
        assert shape(ours) == shape(theirs)
        assert {one["agent_info"]["hostname"] for one in ours["get_agents"]["agents"]} == {
            "agent0.test",
            "agent1.test",
        }
        await here.subscribed()
        await trio.sleep(1)
        answer = await here.client.post(
            "http://master1.test:5050/api/v1", json={"type": "GET_AGENTS"}
        )
        offered = answer.json()["get_agents"]["agents"][0]["offered_resources"]
        assert {one["name"] for one in offered} == {"cpus", "mem", "disk", "ports"}


async def test_the_operator_api_lists_frameworks(autojump_clock: MockClock) -> None:
    async with world() as here:
        scheduler = await here.subscribed()
        answer = await here.client.post(
            "http://master1.test:5050/api/v1", json={"type": "GET_FRAMEWORKS"}
        )
        listed = answer.json()["get_frameworks"]["frameworks"]
        assert [one["framework_info"]["id"]["value"] for one in listed] == [scheduler.framework_id]
        assert listed[0]["active"] is True
        unknown = await here.client.post(
            "http://master1.test:5050/api/v1", json={"type": "GET_MORE_MONEY"}
        )
        assert unknown.status_code == 400
