"""The operator API: questions as masters take them, answers as they are recorded."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from protocol.mesos import operator
from protocol.mesos.errors import LocalMesosError, RemoteMesosError
from protocol.mesos.operator import (
    AgentList,
    AgentSeen,
    MaintenanceWindow,
    TaskSeen,
    parse_agents,
    parse_frameworks,
    parse_maintenance,
    parse_tasks,
    parse_version_answer,
    parse_version_call,
)
from tests.unit.sim_mesos import Json, capture


def recorded(name: str) -> str:
    status, answer = capture(name)["answer"]
    assert status == 200
    return json.dumps(answer)


def one_agent(**fields: object) -> AgentSeen:
    info = fields.pop("agent_info", {"id": {"value": "S1"}, "hostname": "a1"})
    body = {"get_agents": {"agents": [{"agent_info": info, **fields}]}}
    [agent] = parse_agents(json.dumps(body)).agents
    return agent


# -- questions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["GET_VERSION", "GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_MAINTENANCE_SCHEDULE"],
)
def test_questions_have_a_type_and_nothing_else(kind: str) -> None:
    assert json.loads(getattr(operator, kind)) == {"type": kind}


@pytest.mark.parametrize(
    ("grace_s", "mark_gone", "expected"),
    [
        (None, False, {}),
        (30.0, False, {"max_grace_period": {"seconds": 30}}),
        (1.5, True, {"max_grace_period": {"seconds": 1, "nanos": 500_000_000}, "mark_gone": True}),
        (0, False, {"max_grace_period": {"seconds": 0}}),
    ],
)
def test_a_drain_says_how_long_tasks_may_take(
    grace_s: float | None, expected: Json, *, mark_gone: bool
) -> None:
    body = json.loads(operator.drain_agent("S1", grace_s, mark_gone=mark_gone))
    assert body == {
        "type": "DRAIN_AGENT",
        "drain_agent": {"agent_id": {"value": "S1"}, **expected},
    }


@pytest.mark.parametrize("grace_s", [-1.0, float("inf"), float("nan")])
def test_a_grace_that_is_no_time_is_our_own_fault(grace_s: float) -> None:
    with pytest.raises(LocalMesosError):
        operator.drain_agent("S1", grace_s)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (operator.deactivate_agent("S1"), "DEACTIVATE_AGENT"),
        (operator.reactivate_agent("S1"), "REACTIVATE_AGENT"),
    ],
)
def test_an_agent_is_taken_out_of_offers_and_put_back(body: bytes, kind: str) -> None:
    assert json.loads(body) == {"type": kind, kind.lower(): {"agent_id": {"value": "S1"}}}


# -- agents ---------------------------------------------------------------------------------------


def test_recorded_agents_are_listed_with_address_amounts_and_abilities() -> None:
    found = parse_agents(recorded("operator_get_agents"))
    assert [agent.hostname for agent in found.agents] == ["agent1.test", "agent0.test"]
    assert found.recovered == frozenset()
    for agent in found.agents:
        assert (agent.active, agent.deactivated, agent.draining) == (True, False, False)
        assert agent.version == "1.11.0"
        assert agent.ip == "127.0.0.1"
        assert agent.port > 1024
        assert agent.attributes == {"rack": f"r{agent.hostname[5]}"}
        assert agent.total_milli == {"cpus": 4000, "mem": 4_096_000, "disk": 8_192_000}
        assert (agent.allocated_milli, agent.offered_milli, agent.reserved_milli) == ({}, {}, {})
        assert {"MULTI_ROLE", "AGENT_DRAINING"} < agent.capabilities
        assert agent.registered_s is not None
        assert agent.reregistered_s is not None
        assert 1.7e9 < agent.registered_s < agent.reregistered_s < 2e9


@pytest.mark.parametrize(
    ("flags", "active", "deactivated", "draining"),
    [
        ({}, True, False, False),
        ({"active": True, "deactivated": False}, True, False, False),
        ({"active": False}, False, False, False),
        ({"active": False, "deactivated": True}, True, True, False),
        (
            {"active": False, "deactivated": True, "drain_info": {"state": "DRAINING"}},
            True,
            True,
            True,
        ),
        ({"active": False, "drain_info": {"state": "DRAINED", "config": {}}}, True, False, True),
    ],
)
def test_an_agent_that_an_operator_set_aside_is_not_missing(
    flags: Json, *, active: bool, deactivated: bool, draining: bool
) -> None:
    agent = one_agent(**flags)
    assert (agent.active, agent.deactivated, agent.draining) == (active, deactivated, draining)


def test_agents_that_are_not_back_after_a_failover_are_named() -> None:
    back = {"agent_info": {"id": {"value": "S1"}, "hostname": "a1"}}
    away = [{"id": {"value": name}, "hostname": "h"} for name in ("S2", "S3")]
    body = {"get_agents": {"agents": [back], "recovered_agents": away}}
    found = parse_agents(json.dumps(body))
    assert [agent.agent_id for agent in found.agents] == ["S1"]
    assert found.recovered == {"S2", "S3"}
    assert parse_agents('{"get_agents": {}}') == AgentList(())


def test_amounts_tell_what_is_reserved_and_for_whom() -> None:
    def cpus(value: float, **more: object) -> Json:
        return {"name": "cpus", "type": "SCALAR", "scalar": {"value": value}, **more}

    agent = one_agent(
        total_resources=[cpus(3, role="*"), cpus(1, role="a"), {"name": "odd"}],
        allocated_resources=[cpus(0.1, role="*"), cpus(0.2, role="a")],
        offered_resources=[cpus(2.9, role="*")],
    )
    assert agent.total_milli == {"cpus": 4000}
    assert agent.reserved_milli == {"a": {"cpus": 1000}}
    assert agent.allocated_milli == {"cpus": 300}
    assert agent.offered_milli == {"cpus": 2900}


@pytest.mark.parametrize(
    ("pid", "port", "expected"),
    [
        ("slave(1)@10.0.0.1:5052", None, ("10.0.0.1", 5052)),
        ("slave(1)@[::1]:5052", None, ("::1", 5052)),
        (None, 5055, ("", 5055)),
        (None, None, ("", 5051)),
        ("nonsense", 5055, ("", 5055)),
        ("slave(1)@10.0.0.1:99999", 5055, ("10.0.0.1", 5055)),
        ("slave(1)@10.0.0.1:", None, ("10.0.0.1", 5051)),
        ("slave(1)@10.0.0.1:٣", None, ("10.0.0.1", 5051)),
    ],
)
def test_where_an_agent_listens_is_in_its_pid(
    pid: str | None, port: int | None, expected: tuple[str, int]
) -> None:
    info = {"id": {"value": "S1"}, "hostname": "a1", "port": port}
    agent = one_agent(agent_info=info, pid=pid)
    assert (agent.ip, agent.port) == expected


def test_the_region_is_told_where_there_is_one() -> None:
    domain = {"fault_domain": {"region": {"name": "r1"}, "zone": {"name": "z1"}}}
    info = {"id": {"value": "S1"}, "hostname": "a1", "domain": domain}
    assert one_agent(agent_info=info).region == "r1"
    assert one_agent().region == ""


# -- frameworks, tasks, maintenance ---------------------------------------------------------------


def test_recorded_frameworks_are_told_with_their_fate() -> None:
    found = parse_frameworks(recorded("operator_get_frameworks"))
    assert found
    assert all(one.completed and not one.active and not one.connected for one in found)
    named = {one.name: one for one in found}
    assert named["legacy"].roles == ("*",)
    assert len({one.framework_id for one in found}) == len(found)
    assert all(one.registered_s and 1.7e9 < one.registered_s < 2e9 for one in found)


def test_frameworks_that_are_there_come_before_those_that_were() -> None:
    def framework(name: str, **more: object) -> Json:
        info = {"id": {"value": name}, "user": "root", "name": "n", **more}
        return {"framework_info": info, "active": True, "connected": False, "recovered": True}

    body = {
        "get_frameworks": {
            "frameworks": [framework("F1", roles=["a", "b"], principal="p")],
            "completed_frameworks": [framework("F2", role="c")],
        }
    }
    first, second = parse_frameworks(json.dumps(body))
    assert (first.framework_id, first.roles, first.principal) == ("F1", ("a", "b"), "p")
    assert (first.active, first.connected, first.recovered) == (True, False, True)
    assert (first.completed, second.completed) == (False, True)
    assert (second.roles, second.registered_s) == (("c",), None)


def test_recorded_tasks_that_have_ended_are_not_listed() -> None:
    assert parse_tasks(recorded("operator_get_tasks")) == ()


def test_tasks_on_unreachable_agents_are_marked() -> None:
    ended = capture("operator_get_tasks")["answer"][1]["get_tasks"]["completed_tasks"]
    body = {"get_tasks": {"tasks": ended[:1], "unreachable_tasks": ended[1:]}}
    first, second = parse_tasks(json.dumps(body))
    assert first == TaskSeen(
        task_id="finishes",
        agent_id=ended[0]["agent_id"]["value"],
        framework_id=ended[0]["framework_id"]["value"],
        state="TASK_FINISHED",
        unreachable=False,
    )
    assert (second.task_id, second.unreachable) == ("fails", True)


def test_a_posted_schedule_is_told_by_machine() -> None:
    schedule = capture("inverse_offers")["schedule"]
    schedule["windows"][0]["machine_ids"].append({"ip": "10.0.0.9"})
    schedule["windows"].append(
        {"machine_ids": [{"hostname": "b"}], "unavailability": {"start": {"nanoseconds": 0}}}
    )
    body = {"type": "GET_MAINTENANCE_SCHEDULE", "get_maintenance_schedule": {"schedule": schedule}}
    first, second, third = parse_maintenance(json.dumps(body))
    assert (first.hostname, first.ip, first.for_s) == ("agent1.test", "127.0.0.1", 60.0)
    assert 1.7e9 < first.from_s < 2e9
    assert (second.hostname, second.ip, second.from_s) == ("", "10.0.0.9", first.from_s)
    assert third == MaintenanceWindow(hostname="b", ip="", from_s=0.0, for_s=None)


def test_no_schedule_is_no_window() -> None:
    schedules: list[Json] = [{}, {"schedule": {}}, {"schedule": {"windows": []}}]
    for schedule in schedules:
        assert parse_maintenance(json.dumps({"get_maintenance_schedule": schedule})) == ()


def test_the_version_is_told_by_endpoint_and_by_call() -> None:
    body = {"type": "GET_VERSION", "get_version": {"version_info": {"version": "1.11.0"}}}
    assert parse_version_call(json.dumps(body)) == "1.11.0"
    assert parse_version_answer('{"version": "1.11.0"}') == "1.11.0"


# -- what is no answer ----------------------------------------------------------------------------

PARSERS: list[tuple[Callable[[str], object], str]] = [
    (parse_agents, "GET_AGENTS"),
    (parse_frameworks, "GET_FRAMEWORKS"),
    (parse_tasks, "GET_TASKS"),
    (parse_maintenance, "GET_MAINTENANCE_SCHEDULE"),
    (parse_version_call, "GET_VERSION"),
]
HOSTILE = [
    "",
    "<html>\n<p>",
    "[]",
    "null",
    "7",
    "{}",
    "[" * 5000,
    '{"a": 1e999}',
    "\ud800",
    '"\xff"',
]


@pytest.mark.parametrize(("parse", "kind"), PARSERS)
@pytest.mark.parametrize("body", HOSTILE)
def test_what_is_no_answer_is_named_in_one_line(
    parse: Callable[[str], object], kind: str, body: str
) -> None:
    with pytest.raises(RemoteMesosError, match=kind) as raised:
        parse(body)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(("parse", "kind"), PARSERS)
@pytest.mark.parametrize("inner", [[], 7, "x", True, None])
def test_an_answer_of_the_wrong_shape_is_named(
    parse: Callable[[str], object], kind: str, inner: object
) -> None:
    with pytest.raises(RemoteMesosError, match=kind):
        parse(json.dumps({"type": kind, kind.lower(): inner}))


@pytest.mark.parametrize(
    "fields",
    [
        {"active": 1},
        {"version": 1},
        {"registered_time": {"nanoseconds": "1"}},
        {"registered_time": {"nanoseconds": 2**63}},
        {"registered_time": {"nanoseconds": True}},
        {"registered_time": 7},
        {"total_resources": {}},
        {"total_resources": [7]},
        {"capabilities": [{"type": 7}]},
        {"agent_info": {"id": {"value": ""}, "hostname": "a"}},
        {"agent_info": {"id": "S1", "hostname": "a"}},
        {"agent_info": {"id": {"value": "S1"}}},
        {"agent_info": {"id": {"value": "S1"}, "hostname": "a", "port": 70000}},
        {"agent_info": {"id": {"value": "S1"}, "hostname": "a", "port": True}},
    ],
)
def test_an_agent_whose_fields_do_not_fit_is_a_named_fault(fields: Json) -> None:
    with pytest.raises(RemoteMesosError, match="malformed answer to GET_AGENTS: '"):
        one_agent(**fields)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '{"version": 1}'])
def test_a_version_that_is_none_is_a_named_fault(body: str) -> None:
    with pytest.raises(RemoteMesosError, match="version"):
        parse_version_answer(body)
