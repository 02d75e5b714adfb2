"""What pure functions say, sentence by sentence and body by body: for operators and for peers.

`python -m tests.unit.sentence_book` writes tests/data/sentences, where a change is read as a
difference; a test holds what is said against that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs

from domain import closing, devices, estimate, health, offers, stages, storage_health
from domain.closing import ClosingRecord, Stage, Wish
from domain.storage import PoolState, SdcState, SdsState, StorageSnapshot
from protocol.gateway import health as gateway_health
from protocol.gateway import requests
from protocol.gateway.errors import GatewayError
from protocol.gateway.shapes import AlertShape, DeviceShape, SdsShape
from protocol.mesos import calls, fields, operator, session
from protocol.mesos.errors import MesosError
from tests.unit.changes import changed
from tests.unit.test_devices import EMPTY, FAULTS

FOLDER: Final = Path(__file__).resolve().parent.parent / "data" / "sentences"
Lines = Iterator[str]
BOOK: Final[dict[str, Callable[[], Lines]]] = {}


def told(make: Callable[[], Lines]) -> Callable[[], Lines]:
    BOOK[make.__name__.replace("_", "-")] = make
    return make


def said(ask: Callable[..., Any], *given: Any, **named: Any) -> str:
    """The call with its arguments, and its answer or what it raises."""
    words = [repr(one) for one in given] + [f"{name}={one!r}" for name, one in named.items()]
    try:
        answer = repr(ask(*given, **named))
    except (GatewayError, MesosError, ValueError) as error:
        answer = f"raises {type(error).__name__}({error!s})"
    return f"{ask.__name__}({', '.join(words)})\n    {answer}"


# -- the end of the framework ----------------------------------------------------------------------


@told
def the_end_of_the_framework() -> Lines:
    standing = [None] + [
        ClosingRecord(stage=stage, teardown=True, framework_id="F1") for stage in Stage
    ]
    wishes = [
        Wish(teardown=teardown, confirm=confirm)
        for teardown, confirm in itertools.product((False, True), ("", "F1", "F2"))
    ]
    for record, wish, known in itertools.product(standing, wishes, ("", "F1")):
        yield said(closing.order, record, wish, framework_id=known)
    for record in standing:
        yield said(closing.call_off, record)
        if record is not None:
            yield said(closing.begin_anew, record)
            yield said(closing.why_no_resume, record)
            for known in ("", "F1", "F2"):
                yield said(closing.waits_for, record, [], framework_id=known)


# -- disks -----------------------------------------------------------------------------------------


@told
def disks() -> Lines:
    lab = devices.DeviceRules(allow_loop=True)
    named = (EMPTY.by_id,)
    lifted = devices.DeviceRules(overwrite=(EMPTY.by_id,))
    for change, _ in [({}, ""), *FAULTS]:
        disk = changed(EMPTY, change)
        for settings, paths in itertools.product(
            (devices.DeviceRules(), lab, lifted), (None, (), named)
        ):
            verdict = devices.judge(disk, wish_paths=paths, settings=settings)
            how = "lab" if settings is lab else "overwritten" if settings is lifted else "plain"
            yield f"{change} {how} {paths}\n    {verdict!r}"


# -- storage cluster and health --------------------------------------------------------------------


@told
def conditions() -> Lines:
    pool = PoolState(id="p", name="pool", domain_id="d", capacity_kb=1000, spare_kb=100)
    whole = StorageSnapshot(
        taken_at=0.0, api_version=(2, 5), system_id="1", mdm_normal=True, pools=(pool,),
        sds=(SdsState(id="s1", name="sds_1", domain_id="d", addresses=("10.0.0.1",), good=True),),
        sdcs=(SdcState(id="c1", guid="ABC", address="10.0.0.1", connected=True),),
    )  # fmt: skip
    storages = [
        whole,
        attrs.evolve(whole, mdm_normal=False, mdm_detail="Degraded 2 of 3"),
        attrs.evolve(whole, pools=(attrs.evolve(pool, degraded_kb=5),)),
        attrs.evolve(whole, pools=(attrs.evolve(pool, failed_kb=5),)),
        attrs.evolve(whole, pools=(attrs.evolve(pool, moving=True),)),
        attrs.evolve(whole, pools=(attrs.evolve(pool, in_use_kb=720),)),
        attrs.evolve(whole, pools=(attrs.evolve(pool, in_use_kb=719),)),
        attrs.evolve(whole, pools=(attrs.evolve(pool, in_use_kb=810),)),
        attrs.evolve(whole, pools=(attrs.evolve(pool, in_use_kb=10_000, spare_kb=1000),)),
        attrs.evolve(whole, sds=(attrs.evolve(whole.sds[0], good=False, detail="Decoupled"),)),
        attrs.evolve(whole, sdcs=(attrs.evolve(whole.sdcs[0], connected=False),)),
        attrs.evolve(whole, sds=(), sdcs=()),
    ]
    ready = health.AgentView(host="a1", phase="ready", address="10.0.0.1", sdc_guid="ABC")
    plain = health.Scene(storage=whole, agents=(ready,))
    scenes = [attrs.evolve(plain, storage=storage) for storage in storages]
    scenes += [
        attrs.evolve(plain, framework_removed=True, link_detail="an operator must decide"),
        attrs.evolve(plain, framework_removed=True, link_down=True, link_detail="so"),
        attrs.evolve(plain, link_down=True),
        attrs.evolve(plain, link_down=True, link_detail="refused"),
        attrs.evolve(plain, gateway_error="timed out"),
        attrs.evolve(plain, store_fault="disk is full"),
        attrs.evolve(plain, store_bound_to_host=True),
        attrs.evolve(plain, storage=None),
        attrs.evolve(plain, gateway_error="no", gateway_fault="login"),
        attrs.evolve(plain, gateway_skew_s=-61.0),
        attrs.evolve(plain, certificate_left_s=86400.0 * 29),
        attrs.evolve(plain, certificate_left_s=-1.0),
        attrs.evolve(plain, outlooks={"p": storage_health.Outlook(full_in_s=80_000.0)}),
    ]
    views = [
        attrs.evolve(ready, phase="failed", error="a1: step sds failed 5 times: no room"),
        attrs.evolve(ready, phase="lost"),
        attrs.evolve(ready, missing=True),
        attrs.evolve(ready, phase="installing", later="sds: locked"),
        attrs.evolve(ready, phase="rebooting"),
        attrs.evolve(ready, skew_s=400.0),
        attrs.evolve(ready, sdc_guid=""),
    ]
    scenes += [attrs.evolve(plain, agents=(view,)) for view in views]
    many = tuple(
        attrs.evolve(views[0], host=f"a{n}", error=f"a{n}: step sds failed") for n in range(4)
    )
    scenes.append(attrs.evolve(plain, agents=many))
    for scene in scenes:
        yield f"{scene!r}"
        for finding in health.judge(scene, storage_health.Limits(), ()):
            yield f"    {finding!r}"
        if scene.storage is not None:
            yield f"    doubts {dict(health.doubts(scene.storage, scene.agents))!r}"


@told
def gateway_states() -> Lines:
    for state, member, mdm in itertools.product(
        ("Normal", "normal", None),
        ("Joined", "Decoupled", None),
        ("Connected", "Disconnected", None),
    ):
        sds = SdsShape(id="1", sds_state=state, membership_state=member, mdm_connection_state=mdm)
        whole, words = gateway_health.sds_is_good(sds), gateway_health.sds_detail(sds)
        yield f"{state} {member} {mdm}: {whole} {words}"
    for state, error in itertools.product(
        ("Normal", "normal", "Offline", None), ("None", "Error", None)
    ):
        device = DeviceShape(id="1", device_state=state, error_state=error)
        good, detail = gateway_health.device_is_good(device), gateway_health.device_detail(device)
        yield f"{state} {error}: {good} {detail}"
    alert = AlertShape(id="1")
    yield f"{alert!r}: {gateway_health.alert_object(alert)!r}"


@told
def gateway_requests() -> Lines:
    makers: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
        (requests.login, ("admin", "secret"), {}),
        (requests.logout, ("Basic x",), {}),
        (requests.version, ("Basic x",), {}),
        (requests.bearer_login, ("admin", "secret"), {}),
        (requests.bearer_logout, ("refresh", "Bearer x"), {}),
        (requests.instances_tree, (), {}),
        (requests.mdm_cluster, (), {}),
        (requests.volume_id_by_name, ("v",), {}),
        (requests.create_protection_domain, ("pd",), {}),
        (requests.create_fault_set, (), {"domain_id": "d", "name": "fs"}),
        (
            requests.create_sds,
            (),
            {"domain_id": "d", "name": "s", "addresses": [("10.0.0.1", "all")]},
        ),
        (
            requests.create_sds,
            (),
            {
                "domain_id": "d",
                "name": "s",
                "addresses": [("10.0.0.1", "sdcOnly"), ("10.9.0.1", "sdsOnly")],
                "fault_set_id": "f",
            },
        ),
        (requests.create_device, (), {"sds_id": "s", "pool_id": "p", "path": "/dev/x", "name": ""}),
        (
            requests.create_device,
            (),
            {"sds_id": "s", "pool_id": "p", "path": "/dev/x", "name": "n"},
        ),
        (requests.approve_sdc, (), {"system_id": "1", "guid": "G", "address": "10.0.0.1"}),
        (requests.map_volume, (), {"volume_id": "v", "sdc_id": "c"}),
        (requests.unmap_volume, (), {"volume_id": "v", "sdc_id": "c"}),
        (requests.remove_volume, ("v",), {}),
        (requests.remove_sds, ("s",), {}),
        (requests.remove_sdc, ("c",), {}),
        (requests.remove_device, ("d",), {}),
        (requests.remove_storage_pool, ("p",), {}),
        (requests.remove_protection_domain, ("d",), {}),
        (requests.name_sdc, (), {"sdc_id": "c", "name": "a1"}),
        (requests.set_capacity_thresholds, (), {"pool_id": "p", "high": 70, "critical": 85}),
        (requests.add_sds_address, (), {"sds_id": "s", "address": "10.9.0.1", "role": "all"}),
        (requests.set_sds_address_role, (), {"sds_id": "s", "address": "10.9.0.1", "role": "all"}),
        (requests.sds_maintenance, (), {"sds_id": "s", "verb": "enter"}),
        (requests.statistics_of_all, ("Sds", ["p"]), {}),
        (requests.joint_statistics, ({"Sds": ["p"], "Device": ["q"]},), {}),
        (requests.related, ("Sds", "s", "Device"), {}),
        (requests.one, ("Sds", "s"), {}),
        (requests.selected_statistics, ("Sds", ["a"], ["p"]), {}),
    ]
    makers += [(requests.listing, (of,), {}) for of in ("System", "Sds", "Volume")]
    pools = {"domain_id": "d", "name": "p", "media_type": "HDD"}
    makers += [
        (requests.create_storage_pool, (), {**pools, "api": api}) for api in ((2, 0), (3, 5))
    ]
    sizes = [1, 7, 8, 9, 16, 17]
    makers += [
        (requests.create_volume, (), {"pool_id": "p", "name": "v", "size_gb": size})
        for size in sizes
    ]
    for make, given, named in makers:
        yield said(make, *given, **named)
        asked = make(*given, **named)
        yield f"    {asked.body!r} {asked.authorization!r} {asked.call}"
        yield f"    {requests.headers(asked, version=(2, 5), authorization='Basic y')!r}"
        yield f"    {requests.headers(asked, version=None, authorization=None)!r}"
    for name in ("", "a b", "ä", "x" * 31, "x" * 32, "tab\t"):
        yield said(requests.checked_name, name)
        try:
            requests.checked_name(name)
        except GatewayError as error:
            yield f"    {vars(error)!r}"


# -- Mesos -----------------------------------------------------------------------------------------


@told
def mesos_refusals() -> Lines:
    errors = (
        "Framework failed over", "Framework has been removed", "Authorization failure: no",
        "The checkpoint flag changed", "Invalid failover_timeout", "Not authorized to use role x",
        "role is bad", "Role is bad", "something  else\n entirely", "",
    )  # fmt: skip
    for message, ours in itertools.product(errors, (False, True)):
        yield said(session.judge_error, message, by_ourselves=ours)
    bodies = (
        "",
        "Failed to find enum for X",
        "does not match principal",
        "404 page not found",
        "<p>",
    )
    for status, body in itertools.product(
        (200, 202, 301, 400, 401, 403, 404, 405, 406, 415, 418, 429, 500, 501, 502, 503), bodies
    ):
        yield said(session.judge_answer, status, body)
    yield said(session.judge_answer, 401, "no", principal="me")
    calls_said = ("", "stream ID", "Mesos-Stream-Id", "Framework cannot be found", "other")
    statuses = (200, 202, 203, 299, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405, 408,
                429, 500, 501, 502, 503, 504)  # fmt: skip
    for status, body, expected in itertools.product(statuses, calls_said, (202, 200)):
        fate = session.judge_call(status, body, expected=expected)
        yield f"{status} {body!r} for {expected}: {fate.value}"
    for location in (
        "//10.0.0.1:5050/x", "http://10.0.0.1:5050", "https://m:5050/api", "m:5050", "", "//",
        "//m",
        "http://m:99999", "//[::1]:5050", "//ü:5050", f"//{'m' * 300}:5050", "//a b:1", "ftp://m:1",
    ):  # fmt: skip
        for scheme in ("http", "https"):
            yield said(session.redirect_base, location, scheme=scheme)


@told
def mesos_calls() -> Lines:
    made: list[calls.Call] = [
        calls.Decline(offer_ids=("o1", "o2"), refuse_s=5.0),
        calls.AcceptInverseOffers(inverse_offer_ids=("i",), refuse_s=1.5),
        calls.DeclineInverseOffers(inverse_offer_ids=("i",), refuse_s=0.0),
        calls.Acknowledge(agent_id="S", task_id="t", uuid="u"),
        calls.Reconcile(tasks=()),
        calls.Reconcile(tasks=(("t", "S"), ("t2", ""))),
        calls.Kill(task_id="t", agent_id="S"),
        calls.Kill(task_id="t", agent_id="S", grace_s=2.5),
        calls.Shutdown(executor_id="e", agent_id="S"),
        calls.Suppress(),
        calls.Revive(),
        calls.Teardown(),
    ]
    for call, version in itertools.product(made, ((1, 0, 0), (1, 4, 0), (1, 11, 0))):
        yield f"{call!r} for {version}"
        yield said(calls.encode_call, call, framework_id="F", role="r", version=version)


@told
def mesos_fields() -> Lines:
    values: tuple[Any, ...] = (
        None, "", "x", "x" * 200, 0, 1, -1, 1.5, 65535, 65536, True, [], ["a"], [1], [{}], {},
        {"value": "v"}, {"value": 1}, {"nanoseconds": 1_500_000_000}, {"nanoseconds": "x"}, 1e400,
    )  # fmt: skip
    asks: tuple[Callable[..., Any], ...] = (
        fields.inner, fields.required, fields.objects, fields.text, fields.texts, fields.identifier,
        fields.port, fields.seconds, fields.kinds,
    )  # fmt: skip
    for ask in asks:
        yield said(ask, {}, "field")
        for value in values:
            yield said(ask, {"field": value}, "field")
    for value in values:
        yield said(fields.text, {"field": value}, "field", "otherwise")
        yield said(fields.identifier, {"field": value}, "field", "otherwise")
        yield said(fields.number, {"field": value}, "field", 2.0)
        yield said(fields.flag, {"field": value}, "field", default=True)
        yield said(fields.finite, value)
    for body in (b"", b"{", b"[]", b"1", b"{}", b"\xff", "{}", "x" * 200, b'{"a": 1, "a": 2}'):
        yield said(fields.parse_object, body, "answer to GET_AGENTS")
    yield said(fields.text, {}, "field", "otherwise")
    yield said(fields.shown, "a\nb\x00" + "c" * 500)


@told
def mesos_operator() -> Lines:
    yield said(operator.drain_agent, "S", None)
    yield said(operator.drain_agent, "S", 2.5, mark_gone=True)
    yield said(operator.deactivate_agent, "S")
    yield said(operator.reactivate_agent, "S")
    for ask in (
        operator.parse_agents, operator.parse_frameworks, operator.parse_tasks,
        operator.parse_maintenance, operator.parse_version_call, operator.parse_version_answer,
    ):  # fmt: skip
        for body in ("", "{}", '{"type": "X"}', '{"version": "1.11.0"}', "[]"):
            yield said(ask, body)


@told
def why_an_agent_waits_for_offers() -> Lines:
    need = offers.Need(
        host="a1", agent_id="S", task_id="t", role="r",
        amounts_milli={"cpus": 1000, "mem": 64000, "gpus": 1000},
    )  # fmt: skip
    full = operator.AgentSeen(
        agent_id="S", hostname="a1", ip="10.0.0.1", port=5051, attributes={}, active=True,
        total_milli={"cpus": 4000, "mem": 4096000, "gpus": 2000},
    )  # fmt: skip
    for seen in (
        None,
        full,
        attrs.evolve(full, draining=True),
        attrs.evolve(full, deactivated=True),
        attrs.evolve(full, active=False),
        attrs.evolve(full, offered_milli={"cpus": 1000}),
        attrs.evolve(full, allocated_milli={"cpus": 3500, "mem": 4096000}),
        attrs.evolve(full, reserved_milli={"web": {"cpus": 3500}, "r": {"mem": 4096000}}),
        attrs.evolve(full, reserved_milli={"web": {"cpus": 2000}, "db": {"cpus": 1500}}),
        attrs.evolve(full, total_milli={}),
    ):
        yield f"{seen!r}"
        yield f"    {offers.blocked_by(need, seen)!r}"
        yield f"    {offers.why_not_offered(need, seen)!r}"
    yield repr(offers.match([need], [], now_s=0.0))


# -- rollout ---------------------------------------------------------------------------------------


@told
def estimates() -> Lines:
    for to_do, places, reboots, at_once in itertools.product(
        (0, 1, 7), (1, 3), (0, 1, 5), (0, 1, 2)
    ):
        work = estimate.Work(to_do=to_do, places=places, reboots=reboots, reboots_at_once=at_once)
        yield said(estimate.estimate, work)
        yield said(estimate.estimate, attrs.evolve(work, waits="the rollout is paused"))
        measured = attrs.evolve(work, work_s=(80.0, 90.0), reboot_s=(5399.0,), done=8, rebooted=4)
        yield said(estimate.estimate, measured)
    for seconds in (0.0, 89.4, 89.9, 90.0, 91.0, 5369.0, 5370.0, 5400.0, 7200.0, 11400.0):
        work = estimate.Work(to_do=1, places=1, reboots=0, reboots_at_once=1, work_s=(seconds,))
        yield said(estimate.estimate, work)


@told
def few_names() -> Lines:
    for count in range(9):
        yield said(stages.named, [f"a{n}" for n in range(count)])
        yield said(closing.names, [f"a{n}" for n in range(count)])


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, make in BOOK.items():
        (FOLDER / f"{name}.txt").write_text("\n".join(make()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
