"""Subscriptions: the first, the next, the stolen, the refused; and calls that nobody takes."""

from __future__ import annotations

import json
from typing import Final

import trio

from tests.fidelity.framework import PATH
from tests.fidelity.side import OPERATOR, Side
from tests.fidelity.table import Needs, script
from tests.fidelity.wire import JSON_TYPES, MODERN, Json, legacy, modern, named

NO_STREAM: Final = "00000000-0000-0000-0000-000000000000"
SOMEBODY: Final = {"user": "root", "name": "somebody"}


@script("a first SUBSCRIBE: an id, and offers of all agents")
async def first_subscription(side: Side) -> None:
    it = await side.subscribe()
    await it.offer("agent0")
    await it.offer("agent1")
    await side.settle("subscribed")


@script("a first SUBSCRIBE without any capability")
async def legacy_subscription(side: Side) -> None:
    it = await side.subscribe(info=legacy())
    await it.offer("agent0")
    await it.offer("agent1")


@script("hanging up and subscribing again with the same id")
async def subscribing_again(side: Side) -> None:
    first = await side.subscribe("first")
    await first.start("t")
    await side.settle("a task runs")
    first.close()
    await side.settle("hung up")
    second = await side.subscribe("second", framework_id=first.framework_id)
    await second.offer("agent1")
    await second.reconcile()
    await second.state("t", "TASK_RUNNING")


@script("a second subscription with a live id takes over")
async def stolen_subscription(side: Side) -> None:
    first = await side.subscribe("first")
    await first.offer("agent0")
    await first.offer("agent1")
    await side.settle("the first")
    second = await side.subscribe("second", framework_id=first.framework_id)
    await first.over()
    await second.offer("agent0")
    await second.offer("agent1")
    await side.settle("the second")
    await first.call("REVIVE")


@script("SUBSCRIBE with ids that differ, or with one of the two only")
async def ids_that_differ(side: Side) -> None:
    it = await side.subscribe()
    own, other = named(it.framework_id), named("other")
    for title, outer, inner in (
        ("differing", other, own),
        ("only the outer", own, None),
        ("only the inner", None, own),
    ):
        info = modern() if inner is None else modern(id=inner)
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        if outer is not None:
            call["framework_id"] = outer
        await side.request(title, json.dumps(call))


@script("SUBSCRIBE with a framework id that no master ever gave")
async def own_framework_id(side: Side) -> None:
    it = await side.subscribe(framework_id="made-up-by-a-script")
    await it.offer("agent0")
    await it.call("TEARDOWN")
    await it.over()


@script("SUBSCRIBE that carries a stream id")
async def subscribe_with_stream_id(side: Side) -> None:
    await side.subscribe(headers={"Mesos-Stream-Id": NO_STREAM})


@script("calls with a wrong stream id, and without one")
async def wrong_stream_id(side: Side) -> None:
    it = await side.subscribe()
    call = json.dumps({"type": "REVIVE", "framework_id": named(it.framework_id)})
    for title, given in (("wrong", NO_STREAM), ("no UUID", "nonsense"), ("none", None)):
        status, text = await it.post(call, headers={"Mesos-Stream-Id": given})
        side.transcript.call("it", f"REVIVE with {title} stream id", status, text)
    await it.call("REVIVE")


@script("calls of frameworks that nobody knows, or that are not subscribed")
async def calls_from_outside(side: Side) -> None:
    unknown = json.dumps({"type": "REVIVE", "framework_id": named("nobody")})
    await side.request("an unknown framework", unknown)
    it = await side.subscribe()
    await side.settle("subscribed")
    it.close()
    await side.settle("hung up")
    for kind in ("REVIVE", "SUPPRESS", "TEARDOWN"):
        await it.call(kind)
    await it.call("UPDATE_FRAMEWORK", {"framework_info": modern(id=named(it.framework_id))})


@script("calls that are no calls")
async def malformed_calls(side: Side) -> None:
    it = await side.subscribe()
    own = named(it.framework_id)
    headers = {**JSON_TYPES, "Mesos-Stream-Id": it.stream_id}
    bodies = {
        "no JSON": "{",
        "half of JSON": '{"type": "REVIVE", ',
        "words": "revive me",
        "a word within": '{"type": REVIVE, "more": 1}',
        "words behind": '{"type": "REVIVE"} and more',
        "two lines": '{"type":\n REVIVE}',
        "an empty body": "",
        "a list": "[]",
        "a string": '"REVIVE"',
        "an empty object": "{}",
        "no type": json.dumps({"framework_id": own}),
        "a type that is a number": json.dumps({"type": 7, "framework_id": own}),
        "an unknown type": json.dumps({"type": "DANCE", "framework_id": own}),
        "no framework id": json.dumps({"type": "REVIVE"}),
        "an id that is a string": json.dumps({"type": "REVIVE", "framework_id": "bare"}),
        "an id that is a number": json.dumps({"type": "REVIVE", "framework_id": {"value": 7}}),
        "an unknown field": json.dumps({"type": "REVIVE", "framework_id": own, "colour": "red"}),
        "a null": json.dumps({"type": "REVIVE", "framework_id": own, "revive": None}),
        "SUBSCRIBE without a body": json.dumps({"type": "SUBSCRIBE"}),
        "SUBSCRIBE of nobody": json.dumps({"type": "SUBSCRIBE", "subscribe": {}}),
        "SUBSCRIBE of somebody": json.dumps(
            {"type": "SUBSCRIBE", "framework_id": {}, "subscribe": {"framework_info": {}}}
        ),
    }
    for title, body in bodies.items():
        await side.request(title, body, headers=headers)


@script("calls whose own part is missing or wrong")
async def malformed_bodies(side: Side) -> None:
    it = await side.subscribe()
    for kind in (
        "ACCEPT",
        "DECLINE",
        "ACCEPT_INVERSE_OFFERS",
        "DECLINE_INVERSE_OFFERS",
        "KILL",
        "SHUTDOWN",
        "ACKNOWLEDGE",
        "ACKNOWLEDGE_OPERATION_STATUS",
        "RECONCILE",
        "RECONCILE_OPERATIONS",
        "MESSAGE",
        "REQUEST",
        "UPDATE_FRAMEWORK",
    ):
        await it.call(kind)
    await it.call("RECONCILE", {})
    await it.call("DECLINE", {"offer_ids": "O1"})
    await it.call("DECLINE", {"offer_ids": ["O1"]})
    await it.call("REVIVE", {"roles": "*"})
    await it.call("KILL", {})
    await it.call("KILL", {"task_id": {}})
    await it.call("SHUTDOWN", {})
    await it.call("ACKNOWLEDGE", {})
    await it.call("MESSAGE", {})
    await it.call("RECONCILE", {"tasks": [{}, {"task_id": named("t")}, {"agent_id": {}}]})
    await it.call("RECONCILE_OPERATIONS", {"operations": [{}]})
    await it.call("ACKNOWLEDGE_OPERATION_STATUS", {})
    await it.call("UPDATE_FRAMEWORK", {})
    await it.call("UPDATE_FRAMEWORK", {"framework_info": {"name": "n"}})
    await it.call("ACCEPT", {"offer_ids": [{}]})
    bare = {"type": "LAUNCH", "launch": {"task_infos": [{"resources": [{"scalar": {}}]}]}}
    await it.call("ACCEPT", {"operations": [bare]})
    await it.call("ACCEPT", {"operations": [{"type": "RESERVE"}, {}]})
    acknowledge = {"agent_id": named("a"), "task_id": named("t")}
    for uuid in ("c2hvcnQ=", "not base64!", "AAAAAAAAAAAAAAAAAAAAAA=="):
        await it.call("ACKNOWLEDGE", {**acknowledge, "uuid": uuid})


@script("wrong methods, paths and media types")
async def wrong_http(side: Side) -> None:
    it = await side.subscribe()
    call = json.dumps({"type": "REVIVE", "framework_id": named(it.framework_id)})
    stream = {"Mesos-Stream-Id": it.stream_id}
    accepts = {"Accept": "application/json"}
    for kind in ("text/plain", "application/json; charset=utf-8", "application/x-protobuf"):
        headers = {**accepts, **stream, "Content-Type": kind}
        await side.request(f"Content-Type {kind}", call, headers=headers)
    await side.request("no Content-Type", call, headers={**accepts, **stream})
    html = {"Content-Type": "application/json", "Accept": "text/html"}
    await side.request("a call that accepts HTML", call, headers={**html, **stream})
    subscribe = {"type": "SUBSCRIBE", "subscribe": {"framework_info": SOMEBODY}}
    await side.request("a SUBSCRIBE that accepts HTML", json.dumps(subscribe), headers=html)
    await side.request("GET", "", method="GET")
    await side.request("an unknown path", call, path="/api/v2/scheduler")


@script("a framework that is torn down is never let in again")
async def completed_framework(side: Side) -> None:
    first = await side.subscribe("first")
    await first.start("t")
    await side.settle("a task runs")
    await first.call("TEARDOWN")
    await first.over()
    await side.settle("torn down")
    again = await side.subscribe("again", framework_id=first.framework_id)
    await again.over()
    await first.call("REVIVE")


@script("a framework that stays away for longer than its failover_timeout")
async def failover_too_late(side: Side) -> None:
    first = await side.subscribe("first", modern(failover_timeout=0.5))
    await first.start("t")
    await side.settle("a task runs")
    first.close()
    await side.settle("hung up, and time is over")
    again = await side.subscribe("again", framework_id=first.framework_id)
    await again.over()


@script("frameworks that are refused")
async def refused_frameworks(side: Side) -> None:
    capabilities = [{"type": word} for word in MODERN]
    for title, info, suppressed in (
        ("role and roles", modern(role="a", roles=["b"]), []),
        ("role with MULTI_ROLE", {**SOMEBODY, "role": "a", "capabilities": capabilities}, []),
        ("roles without MULTI_ROLE", legacy(roles=["a"]), []),
        ("a role with a slash before", modern(roles=["/a"]), []),
        ("a role with a slash behind", modern(roles=["a/"]), []),
        ("a role with a space", modern(roles=["a b"]), []),
        ("a role that is a dot", modern(roles=["."]), []),
        ("a role with two slashes", modern(roles=["a//b"]), []),
        ("a role with a star", modern(roles=["a/*"]), []),
        ("a role that goes up", modern(roles=["a/.."]), []),
        ("a single role with a slash", legacy(role="a/"), []),
        ("a role with a dash before", modern(roles=["-a"]), []),
        ("an empty role", modern(roles=[""]), []),
        ("the same role twice", modern(roles=["a", "a"]), []),
        ("a failover_timeout without end", modern(failover_timeout=1e30), []),
        ("a suppressed role of others", modern(roles=["a"]), ["zzz"]),
    ):
        refused = await side.subscribe(title, info, suppressed_roles=suppressed)
        await refused.over()


@script("frameworks that look odd and are let in")
async def odd_frameworks(side: Side) -> None:
    for title, info in (
        ("a negative failover_timeout", legacy(failover_timeout=-1.0)),
        ("an empty user", legacy(user="")),
        ("a webui_url that is no URL", legacy(webui_url="nonsense")),
        ("an unknown capability", legacy(capabilities=[{"type": "TIME_TRAVEL"}])),
    ):
        it = await side.subscribe(title, info, suppressed_roles=["*"])
        await side.settle(title)
        await it.call("TEARDOWN")
        await it.over()


@script("a re-subscription changes some of what the framework is, and not all", alone=True)
async def changed_at_resubscription(side: Side) -> None:
    first = await side.subscribe("first", modern(roles=["alpha"]))
    await first.offer("agent0")
    await side.settle("the first")
    first.close()
    await side.settle("hung up")
    changed = modern(roles=["beta"], user="daemon", checkpoint=False, name="renamed")
    second = await side.subscribe("second", changed, framework_id=first.framework_id)
    await second.offer("agent0")
    await side.settle("the second")
    await side.operator("GET_FRAMEWORKS")
    third = await side.subscribe(
        "third", {**changed, "principal": "p"}, framework_id=first.framework_id
    )
    await third.over()


SECURED: Final = Needs(agents=1, credentials=(("fw", "pw"),))


@script("masters that ask for credentials", needs=SECURED)
async def credentials(side: Side) -> None:
    subscribe = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": modern()}})
    stranger = modern(principal="somebody")
    other = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": stranger}})
    good = {"Authorization": "Basic Znc6cHc="}
    bad = {"wrong": "Basic Znc6eA==", "another kind": "Bearer x", "not base64": "Basic !"}
    for path in (PATH, OPERATOR):
        answer = await side.request(f"none at {path}", subscribe, path=path)
        side.transcript.note(answer.headers.get("WWW-Authenticate", ""))
        for title, word in bad.items():
            headers = {**JSON_TYPES, "Authorization": word}
            await side.request(title, subscribe, headers=headers, path=path)
    await side.request("another principal", other, headers={**JSON_TYPES, **good})
    it = await side.subscribe(info=modern(principal="fw"), headers=good)
    await it.offer("agent0")
    await it.call("REVIVE")


@script("a heartbeat every fifteen seconds", slow=True)
async def heartbeat(side: Side) -> None:
    it = await side.subscribe(suppressed_roles=["*"])

    def beats() -> int:
        return sum(event["type"] == "HEARTBEAT" for event in it.events)

    await it.until(lambda: beats() >= 1)
    began = trio.current_time()
    await it.until(lambda: beats() >= 2)
    side.transcript.note(f"fifteen seconds: {14.0 <= trio.current_time() - began < 17.0}")
