"""Calls and the versions of masters: who takes what, and what is refused before it is sent."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from protocol.mesos import calls
from protocol.mesos.calls import Reserve, Taken, Unreserve, Version
from protocol.mesos.errors import LocalMesosError
from protocol.mesos.events import decode_event
from protocol.mesos.offered import Offers
from protocol.mesos.recordio import RecordReader
from protocol.mesos.resources import Resource, usable
from simulation import mesos_values
from simulation.mesos_parse import CallReader
from tests.unit.sim_mesos import CAPTURES
from tests.unit.test_mesos_calls import INFO, OURS, PIECE, TASK, VERSIONS, encoded, task_info

NOT_TIMES = [float("nan"), float("inf"), float("-inf"), -1.0]
NEWER: list[tuple[calls.Call, Version, str]] = [
    (
        calls.AcceptInverseOffers(inverse_offer_ids=("I1",), refuse_s=3600),
        (1, 0),
        "AnswerInverseOffers",
    ),
    (
        calls.DeclineInverseOffers(inverse_offer_ids=("I1",), refuse_s=3600),
        (1, 0),
        "AnswerInverseOffers",
    ),
    (calls.Shutdown(executor_id="e", agent_id="S1"), (1, 0), "Shutdown"),
    (calls.Teardown(), (1, 0), "Teardown"),
    (calls.Kill(task_id="t", agent_id="S1", grace_s=5), (1, 0), "Kill"),
    (calls.UpdateFramework(info=OURS, suppressed=True), (1, 9), "UpdateFramework"),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("call", "since", "read_as"), NEWER)
def test_a_call_goes_to_masters_that_know_it_and_to_no_others(
    call: calls.Call, since: Version, read_as: str, version: Version
) -> None:
    def body() -> bytes:
        return calls.encode_call(call, framework_id="F-0001", role="scaleio", version=version)

    if version < since:
        with pytest.raises(LocalMesosError, match=r"needs Mesos 1\.9"):
            body()
        return
    assert type(CallReader(version).read(body())).__name__ == read_as


def test_inverse_offers_are_answered_with_a_filter() -> None:
    """Without a long one the question comes again every few seconds."""
    for call in (
        calls.AcceptInverseOffers(inverse_offer_ids=("I1", "I2"), refuse_s=3600.0),
        calls.DeclineInverseOffers(inverse_offer_ids=("I1", "I2"), refuse_s=3600.0),
    ):
        body = encoded(call)
        assert body[body["type"].lower()] == {
            "inverse_offer_ids": [{"value": "I1"}, {"value": "I2"}],
            "filters": {"refuse_seconds": 3600.0},
        }


def test_a_kill_tells_its_grace_only_where_one_is_given() -> None:
    plain = calls.Kill(task_id="t", agent_id="S1")
    assert "kill_policy" not in encoded(plain)["kill"]
    for version in VERSIONS:
        sent = encoded(attrs.evolve(plain, grace_s=2.5), version)["kill"]["kill_policy"]
        assert sent == {"grace_period": {"nanoseconds": 2_500_000_000}}


def test_a_teardown_has_no_body_and_a_shutdown_names_executor_and_agent() -> None:
    assert encoded(calls.Teardown()) == {"type": "TEARDOWN", "framework_id": {"value": "F"}}
    shutdown = encoded(calls.Shutdown(executor_id="e", agent_id="S1"))["shutdown"]
    assert shutdown == {"executor_id": {"value": "e"}, "agent_id": {"value": "S1"}}


# -- who we are -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_least_that_we_ask_for_is_known_to_every_master(version: Version) -> None:
    """For a master that answers 400 to a word although its version should know it."""
    body = calls.subscribe(OURS, version, suppressed=False, minimal=True)
    info = json.loads(body)["subscribe"]["framework_info"]
    assert [entry["type"] for entry in info["capabilities"]] == [
        "TASK_KILLING_STATE",
        "GPU_RESOURCES",
    ]
    assert info["role"] == "scaleio"
    assert "roles" not in info, "`roles` without MULTI_ROLE is an ERROR event"
    assert calls.capabilities(version, minimal=True) == calls.capabilities((1, 0))
    for reader in ((1, 0), version):
        read = CallReader(reader).read(body)
        assert isinstance(read, mesos_values.Subscribe)
        assert read.info.roles == ("scaleio",)


@pytest.mark.parametrize("minimal", [False, True])
def test_an_update_of_the_framework_tells_all_that_the_subscription_told(*, minimal: bool) -> None:
    """What is left out is cleared (and an id that differs is answered 400)."""
    call = calls.UpdateFramework(info=INFO, suppressed=True, minimal=minimal)
    sent = json.loads(
        calls.encode_call(call, framework_id="F-0001", role="scaleio", version=(1, 11))
    )
    told = json.loads(calls.subscribe(OURS, (1, 11), suppressed=True, minimal=minimal))
    assert sent["update_framework"] == told["subscribe"]
    assert sent["framework_id"] == told["framework_id"]


def test_an_update_under_another_id_is_our_own_fault() -> None:
    with pytest.raises(LocalMesosError):
        encoded(calls.UpdateFramework(info=OURS, suppressed=False))


# -- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NOT_TIMES)
@pytest.mark.parametrize(
    "make",
    [
        lambda s: calls.Decline(offer_ids=("O",), refuse_s=s),
        lambda s: calls.AcceptInverseOffers(inverse_offer_ids=("I",), refuse_s=s),
        lambda s: calls.Kill(task_id="t", agent_id="S", grace_s=s),
        lambda s: calls.Operate(offer_ids=("O",), operations=(), refuse_s=s),
        lambda s: calls.Accept(
            offer_ids=("O",), task=attrs.evolve(TASK, completion_s=s), taken=(), refuse_s=5
        ),
        lambda s: calls.Accept(
            offer_ids=("O",),
            task=attrs.evolve(TASK, health=calls.HealthCheck(command="true", interval_s=s)),
            taken=(),
            refuse_s=5,
        ),
        lambda s: calls.UpdateFramework(
            info=attrs.evolve(INFO, failover_timeout_s=s), suppressed=False
        ),
    ],
)
def test_what_is_no_time_is_never_sent(make: Any, value: float) -> None:
    """JSON has no word for it: it would leave as `null`, and mean 'the default'."""
    with pytest.raises(LocalMesosError):
        encoded(make(value))


def test_a_filter_is_no_longer_than_masters_take_it() -> None:
    for refuse_s in (31536001.0, 1e300):
        body = encoded(calls.Decline(offer_ids=("O",), refuse_s=refuse_s))
        assert body["decline"]["filters"] == {"refuse_seconds": 31536000.0}
    with pytest.raises(LocalMesosError):
        task_info(attrs.evolve(TASK, completion_s=1e300), (1, 11))


# -- reservations ---------------------------------------------------------------------------------

PLAIN = Resource(
    name="disk", amount_milli=8_192_000, role="*",
    echo={"name": "disk", "type": "SCALAR", "role": "*"},
)  # fmt: skip
REFINED = attrs.evolve(PLAIN, echo={"name": "disk", "type": "SCALAR"})


def operation(one: calls.Operation, version: Version = (1, 11)) -> Any:
    call = calls.Operate(offer_ids=("O1",), operations=(one,), refuse_s=5.0)
    body = encoded(call, version)
    assert body["type"] == "ACCEPT"
    assert body["accept"]["offer_ids"] == [{"value": "O1"}]
    [sent] = body["accept"]["operations"]
    return sent


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("principal", ["", "us"])
def test_an_unrefined_resource_is_reserved_by_role_and_reservation(
    version: Version, principal: str
) -> None:
    sent = operation(Reserve(taken=(Taken(PLAIN, 64_000),), principal=principal), version)
    [resource] = sent["reserve"]["resources"]
    assert sent["type"] == "RESERVE"
    assert resource == {
        "name": "disk",
        "type": "SCALAR",
        "scalar": {"value": 64.0},
        "role": "scaleio",
        "reservation": {"principal": "us"} if principal else {},
    }


def test_a_refined_resource_is_reserved_as_a_recorded_master_shows_it() -> None:
    """`operations` holds an offer of 64 MiB that were reserved by RESERVE."""
    shown = [
        entry
        for record in RecordReader().feed((CAPTURES / "operations.recordio.bin").read_bytes())
        for offer in json.loads(record).get("offers", {}).get("offers", ())
        for entry in offer["resources"]
        if entry.get("reservations") and "disk" not in entry
    ]
    call = calls.Operate(
        offer_ids=("O1",),
        operations=(Reserve(taken=(Taken(REFINED, 64_000),), principal="tester"),),
        refuse_s=5.0,
    )
    body = calls.encode_call(call, framework_id="F", role="eng", version=(1, 11))
    [sent] = json.loads(body)["accept"]["operations"][0]["reserve"]["resources"]
    assert [{k: v for k, v in entry.items() if k != "allocation_info"} for entry in shown] == [sent]


def test_a_recorded_reservation_of_our_role_is_used_and_given_up_in_its_form() -> None:
    reserved = [
        resource
        for record in RecordReader().feed((CAPTURES / "operations.recordio.bin").read_bytes())
        if isinstance(event := decode_event(record), Offers)
        for offer in event.sketches()
        for resource in offer.whole("eng").resources
        if resource.role == "eng"
    ]
    [resource] = reserved
    assert (resource.name, resource.amount_milli) == ("disk", 64_000)
    call = calls.Operate(
        offer_ids=("O1",), operations=(Unreserve(taken=(Taken(resource, 64_000),)),), refuse_s=5.0
    )
    body = calls.encode_call(call, framework_id="F", role="eng", version=(1, 11))
    assert json.loads(body)["accept"]["operations"] == [
        {
            "type": "UNRESERVE",
            "unreserve": {
                "resources": [
                    {
                        "name": "disk",
                        "type": "SCALAR",
                        "scalar": {"value": 64.0},
                        "reservations": [{"type": "DYNAMIC", "role": "eng", "principal": "tester"}],
                    }
                ]
            },
        }
    ]


def test_what_was_reserved_without_refinement_is_given_up_the_same_way() -> None:
    raw = {
        "name": "disk", "type": "SCALAR", "scalar": {"value": 64.0}, "role": "scaleio",
        "reservation": {"principal": "us"},
    }  # fmt: skip
    [resource] = usable([raw], role="scaleio")
    sent = operation(Unreserve(taken=(Taken(resource, 64_000),)), (1, 0))
    assert sent == {"type": "UNRESERVE", "unreserve": {"resources": [raw]}}


STATIC = attrs.evolve(PLAIN, role="scaleio", echo={"name": "disk", "role": "scaleio"})
STATIC_REFINED = attrs.evolve(
    PLAIN, role="scaleio", echo={"reservations": [{"type": "STATIC", "role": "scaleio"}]}
)


@pytest.mark.parametrize(
    ("one", "version"),
    [
        (Reserve(taken=(Taken(STATIC, 1),)), (1, 11)),
        (Unreserve(taken=(Taken(STATIC, 1),)), (1, 11)),
        (Unreserve(taken=(Taken(STATIC_REFINED, 1),)), (1, 11)),
        (Unreserve(taken=(Taken(PLAIN, 1),)), (1, 11)),
        (Unreserve(taken=(Taken(STATIC_REFINED, 1),)), (1, 3)),
    ],
)
def test_a_reservation_that_cannot_be_is_our_own_fault(
    one: calls.Operation, version: Version
) -> None:
    with pytest.raises(LocalMesosError):
        operation(one, version)


def test_a_master_that_has_no_refinement_is_told_of_roles() -> None:
    bare = attrs.evolve(PIECE, echo={"name": "cpus", "type": "SCALAR"})
    old = operation(Reserve(taken=(Taken(bare, 100),)), (1, 3))["reserve"]["resources"]
    new = operation(Reserve(taken=(Taken(bare, 100),)), (1, 4))["reserve"]["resources"]
    assert (old[0]["role"], "reservations" in old[0]) == ("scaleio", False)
    assert ("role" in new[0], new[0]["reservations"]) == (
        False,
        [{"type": "DYNAMIC", "role": "scaleio"}],
    )
