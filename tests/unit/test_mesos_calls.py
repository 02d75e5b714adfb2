"""What we send: bodies that the masters of each version take, read back by their rules."""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos import calls
from protocol.mesos.calls import FrameworkInfo, Taken, Task, Version
from protocol.mesos.resources import Resource, usable
from simulation import mesos_values
from simulation.mesos_parse import CallReader

VERSIONS: list[Version] = [(1, minor) for minor in range(12)]
INFO = FrameworkInfo(
    user="root",
    name="ScaleIO Framework",
    role="scaleio",
    hostname="s1.test",
    webui_url="http://s1.test:8080/",
    failover_timeout_s=604800.0,
)
OURS = attrs.evolve(INFO, framework_id="F-0001")
TASK = Task(
    task_id="a1.test.sds.1.0badcafe",
    name="scaleio sds a1.test",
    agent_id="S1",
    command="echo 'ä' \"$X\"\n",
    environment={"X": "1", "A": "2"},
    labels={"scaleio.step": "sds", "scaleio.host": "a1.test"},
    completion_s=600.0,
)
PIECE = Resource(name="cpus", amount_milli=4000, role="*", echo={"name": "cpus", "type": "SCALAR"})
UUID = b64encode(uuid.UUID(int=7, version=4).bytes).decode()
ALL_CALLS: list[calls.Call] = [
    calls.Accept(offer_ids=("O1", "O2"), task=TASK, taken=(Taken(PIECE, 100),), refuse_s=5.0),
    calls.Decline(offer_ids=("O1", "O2"), refuse_s=300.0),
    calls.Acknowledge(agent_id="S1", task_id="t", uuid=UUID),
    calls.Reconcile(tasks=(("t", "S1"),)),
    calls.Reconcile(tasks=()),
    calls.Kill(task_id="t", agent_id="S1"),
    calls.Suppress(),
    calls.Revive(),
]


def subscribed(info: FrameworkInfo, version: Version, *, suppressed: bool = False) -> Any:
    return json.loads(calls.subscribe(info, version, suppressed=suppressed))


def encoded(call: calls.Call, version: Version = (1, 11)) -> Any:
    return json.loads(calls.encode_call(call, framework_id="F", role="scaleio", version=version))


def task_info(task: Task, version: Version) -> Any:
    accept = calls.Accept(offer_ids=("O1",), task=task, taken=(Taken(PIECE, 100),), refuse_s=5.0)
    return encoded(accept, version)["accept"]["operations"][0]["launch"]["task_infos"][0]


# -- SUBSCRIBE ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("info", [INFO, OURS, attrs.evolve(OURS, principal="us")])
def test_every_master_takes_our_subscription(version: Version, info: FrameworkInfo) -> None:
    """Masters before 1.5 answer 400 to one capability that they do not know."""
    body = calls.subscribe(info, version, suppressed=True)
    read = CallReader(version).read(body)
    assert isinstance(read, mesos_values.Subscribe)
    assert read.info.roles == ("scaleio",)
    assert (read.info.user, read.info.name) == ("root", "ScaleIO Framework")
    assert (read.info.checkpoint, read.info.failover_timeout_s) == (True, 604800.0)
    assert read.info.principal == (info.principal or None)
    assert read.suppressed_roles == (("scaleio",) if version >= (1, 5) else ())


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((1, 0), {"TASK_KILLING_STATE", "GPU_RESOURCES"}),
        ((1, 1), {"TASK_KILLING_STATE", "GPU_RESOURCES", "PARTITION_AWARE"}),
        ((1, 2), {"TASK_KILLING_STATE", "GPU_RESOURCES", "PARTITION_AWARE"}),
        ((1, 3), {"TASK_KILLING_STATE", "GPU_RESOURCES", "PARTITION_AWARE", "MULTI_ROLE"}),
        *(
            (
                (1, minor),
                {
                    "TASK_KILLING_STATE",
                    "GPU_RESOURCES",
                    "PARTITION_AWARE",
                    "MULTI_ROLE",
                    "REGION_AWARE",
                },
            )
            for minor in range(4, 12)
        ),
    ],
)
def test_capabilities_are_those_that_the_masters_version_has(
    version: Version, expected: set[str]
) -> None:
    info = subscribed(INFO, version)["subscribe"]["framework_info"]
    assert {entry["type"] for entry in info["capabilities"]} == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_role_and_roles_are_never_mixed_and_roles_need_multi_role(version: Version) -> None:
    """`role` with MULTI_ROLE, or `roles` without it, is an ERROR event (recorded)."""
    info = subscribed(INFO, version)["subscribe"]["framework_info"]
    multi = {"type": "MULTI_ROLE"} in info["capabilities"]
    assert ("roles" in info, "role" in info) == (multi, not multi)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_id_stands_in_both_places_or_in_none(version: Version) -> None:
    """Only one of them, or two that differ, is answered 400."""
    first, again = subscribed(INFO, version), subscribed(OURS, version)
    assert "framework_id" not in first
    assert "id" not in first["subscribe"]["framework_info"]
    assert again["framework_id"] == {"value": "F-0001"}
    assert again["subscribe"]["framework_info"]["id"] == {"value": "F-0001"}


@pytest.mark.parametrize(
    ("version", "suppressed", "expected"),
    [
        ((1, 3), True, None),
        ((1, 4), True, ["scaleio"]),
        ((1, 4), False, []),
        ((1, 11), True, ["scaleio"]),
        ((1, 11), False, []),
    ],
)
def test_suppressed_roles_are_said_from_1_4_on(
    version: Version, expected: list[str] | None, *, suppressed: bool
) -> None:
    inner = subscribed(OURS, version, suppressed=suppressed)["subscribe"]
    assert inner.get("suppressed_roles") == expected


def test_no_principal_is_said_where_there_is_none() -> None:
    """An empty one that differs from the authenticated one is answered 400."""
    assert "principal" not in subscribed(INFO, (1, 11))["subscribe"]["framework_info"]


# -- other calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("call", ALL_CALLS, ids=lambda call: type(call).__name__)
def test_every_master_takes_every_call(call: calls.Call, version: Version) -> None:
    body = calls.encode_call(call, framework_id="F", role="scaleio", version=version)
    read = CallReader(version).read(body)
    assert type(read).__name__ == type(call).__name__
    assert read.framework_id == "F"


@pytest.mark.parametrize("call", [calls.Suppress(), calls.Revive()])
@pytest.mark.parametrize("version", VERSIONS)
def test_suppress_and_revive_speak_of_our_role_only(call: calls.Call, version: Version) -> None:
    """1.0 knows no body, 1.2 another field: there, no body means our only role."""
    body = encoded(call, version)
    inner = body.get(body["type"].lower())
    assert inner == ({"roles": ["scaleio"]} if version >= (1, 3) else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_time_limit_is_said_from_1_6_on(version: Version) -> None:
    limit = task_info(TASK, version).get("max_completion_time")
    assert limit == ({"nanoseconds": 600_000_000_000} if version >= (1, 6) else None)
    assert "max_completion_time" not in task_info(attrs.evolve(TASK, completion_s=None), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_health_check_is_a_command_and_says_so_where_the_field_exists(version: Version) -> None:
    keeper = attrs.evolve(TASK, completion_s=None, health=calls.HealthCheck(command="pidof sds"))
    check = task_info(keeper, version)["health_check"]
    assert check["command"] == {"shell": True, "value": "pidof sds"}
    assert check.get("type") == ("COMMAND" if version >= (1, 1) else None)
    assert check["timeout_seconds"] >= 5.0, "shorter ones flap"
    assert "health_check" not in task_info(TASK, version)


def test_a_task_says_where_it_runs_as_whom_and_what_it_may_read() -> None:
    info = task_info(TASK, (1, 11))
    assert info["task_id"] == {"value": TASK.task_id}
    assert info["agent_id"] == {"value": "S1"}
    assert info["command"] == {
        "shell": True,
        "value": TASK.command,
        "user": "root",
        "environment": {"variables": [{"name": "A", "value": "2"}, {"name": "X", "value": "1"}]},
    }
    assert info["kill_policy"] == {"grace_period": {"nanoseconds": 10_000_000_000}}
    assert "executor" not in info
    assert {"key": "scaleio.step", "value": "sds"} in info["labels"]["labels"]


def test_reconcile_for_everything_has_its_empty_object() -> None:
    """Without the object the call is answered 400."""
    assert encoded(calls.Reconcile(tasks=()))["reconcile"] == {"tasks": []}


def test_an_acknowledgement_returns_the_uuid_unchanged() -> None:
    assert encoded(calls.Acknowledge(agent_id="S1", task_id="t", uuid=UUID))["acknowledge"] == {
        "agent_id": {"value": "S1"},
        "task_id": {"value": "t"},
        "uuid": UUID,
    }


# -- whatever is offered --------------------------------------------------------------------------

wire_resources = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["cpus", "mem", "disk"]),
        "type": st.just("SCALAR"),
        "scalar": st.builds(lambda milli: {"value": milli / 1000}, st.integers(1, 10**8)),
    },
    optional={
        "role": st.sampled_from(["*", "scaleio"]),
        "reservations": st.just([{"type": "STATIC", "role": "scaleio", "principal": "p"}]),
        "provider_id": st.builds(lambda v: {"value": v}, st.text(max_size=5)),
        "brand_new": st.integers(),
        "allocation_info": st.just({"role": "scaleio"}),
    },
)


@given(
    st.lists(st.tuples(wire_resources, st.floats(0.001, 1.0)), min_size=1, max_size=5),
    st.text(max_size=50),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.sampled_from(VERSIONS),
)
def test_a_launch_is_json_and_echoes_what_was_offered_with_only_the_quantity_changed(
    offered: list[tuple[dict[str, Any], float]],
    command: str,
    environment: dict[str, str],
    version: Version,
) -> None:
    raw = [entry for entry, _ in offered]
    pieces = usable(raw, role="scaleio")
    assert len(pieces) == len(raw)
    taken = tuple(Taken(piece, max(1, piece.amount_milli // 3)) for piece in pieces)
    task = attrs.evolve(TASK, command=command, environment=environment, labels=environment)
    accept = calls.Accept(offer_ids=("O1",), task=task, taken=taken, refuse_s=5.0)
    body = calls.encode_call(accept, framework_id="F", role="scaleio", version=version)
    [sent] = json.loads(body)["accept"]["operations"][0]["launch"]["task_infos"]
    assert sent["command"]["value"] == command
    said = [{k: v for k, v in entry.items() if k != "scalar"} for entry in sent["resources"]]
    heard = [
        {k: v for k, v in entry.items() if k not in ("scalar", "allocation_info")} for entry in raw
    ]
    assert sorted(said, key=repr) == sorted(heard, key=repr)
    for one, entry in zip(taken, sent["resources"], strict=True):
        assert round(entry["scalar"]["value"] * 1000) == one.amount_milli
    assert isinstance(CallReader(version).read(body), mesos_values.Accept)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.11.0", (1, 11)),
        ("1.12.0-dev", (1, 12)),
        ("1.0.1", (1, 0)),
        (" 1.4 ", (1, 4)),
        ("", (1, 0)),
        ("unknown", (1, 0)),
        ("10.2.3", (10, 2)),
    ],
)
def test_a_version_that_cannot_be_read_is_taken_for_the_oldest(
    text: str, expected: Version
) -> None:
    assert calls.parse_version(text) == expected


def test_a_decline_of_the_largest_chunk_stays_below_what_proxies_take() -> None:
    ids = tuple(f"{'0' * 36}-O{n:09d}" for n in range(calls.DECLINE_IDS_MAX))
    body = calls.encode_call(
        calls.Decline(offer_ids=ids, refuse_s=5.0), framework_id="F", role="r", version=(1, 11)
    )
    assert len(body) < 1_000_000
