"""The simulated Gateway's tokens, and what the simulated world does to it and hears from it."""

from __future__ import annotations

import pytest
import trio

from simulation.gateway import Refused
from simulation.gateway_capacity import KB_PER_GB
from simulation.http_server import Request, StreamReply
from tests.unit.gateway_client import GUID, basic, ids, make

# --- tokens


def test_tokens_live_side_by_side_and_a_logout_ends_its_own() -> None:
    client = make()
    first, second = client.log_in(), client.log_in()
    assert first != second
    assert client.ask("GET", "/api/logout", authorization=basic("any", second))[0] == 200
    assert client.ask("GET", "/api/instances", authorization=basic("any", second))[0] == 401
    assert client.ask("GET", "/api/instances", authorization=basic("any", first))[0] == 200


def test_a_token_ends_after_ten_idle_minutes_and_after_eight_hours() -> None:
    client = make()
    client.now[0] = 601.0
    assert client.ask("GET", "/api/instances")[0] == 401
    client.log_in()
    for _ in range(48):
        assert client.ask("GET", "/api/instances")[0] == 200
        client.now[0] += 599.0
    client.now[0] = 601.0 + 8 * 3600
    status, value = client.ask("GET", "/api/instances")
    assert (status, value) == (
        401,
        {"message": "Unauthorized", "httpStatusCode": 401, "errorCode": 0},
    )


def test_a_wrong_password_gets_no_token() -> None:
    client = make()
    assert client.ask("GET", "/api/login", authorization=basic("admin", "no"))[0] == 401
    assert client.ask("GET", "/api/login", authorization="Basic %%%")[0] == 401
    assert client.ask("GET", "/api/instances", authorization="Bearer x")[0] == 401


@pytest.mark.parametrize(("needs_login", "status"), [(False, 200), (True, 401)])
def test_the_version_may_or_may_not_need_a_login(*, needs_login: bool, status: int) -> None:
    client = make(version_needs_login=needs_login)
    asked = client.ask("GET", "/api/version", authorization=basic("", "nothing"))
    assert asked[0] == status
    assert client.get("/api/version") == "2.5"


def test_bearer_tokens_of_4_x_announce_their_life() -> None:
    client = make("4.5")
    login = {"username": "admin", "password": "pw"}
    made = client.post("/rest/auth/login", login)
    bearer = f"Bearer {made['access_token']}"
    assert client.ask("GET", "/api/instances", authorization=bearer)[0] == 200
    client.now[0] = made["expires_in"]
    assert client.ask("GET", "/api/instances", authorization=bearer)[0] == 401
    body = {"refresh_token": made["refresh_token"]}
    assert client.ask("POST", "/rest/auth/logout", body)[0] == 204


# --- the world


def test_the_listeners_hear_every_change_with_its_facts() -> None:
    client = make()
    client.events.clear()
    sds = ids(client, "Sds")[0]
    pool = ids(client, "StoragePool")[0]
    for path, more in [("/dev/sdc", {}), ("/dev/sdd", {"forceDeviceTakeover": "FALSE"})]:
        body = {"sdsId": sds, "storagePoolId": pool, "deviceCurrentPathname": path, **more}
        client.post("/api/types/Device/instances", body)
    heard = [(k, f["sds_ip"], f["path"], f["forced"]) for k, f in client.events]
    assert heard == [
        ("device-added", "10.0.1.1", "/dev/sdc", False),
        ("device-added", "10.0.1.1", "/dev/sdd", True),
    ]
    assert client.simulated.devices_of("10.0.1.1") == ("/dev/sdb", "/dev/sdc", "/dev/sdd")


def test_the_worlds_refusal_of_a_device_leaves_no_trace() -> None:
    client = make()
    client.simulated.on_device_added = lambda _ip, _path: Refused(71, "no such device")
    body = {
        "sdsId": ids(client, "Sds")[0],
        "storagePoolId": ids(client, "StoragePool")[0],
        "deviceCurrentPathname": "/dev/sdx",
    }
    assert client.code("/api/types/Device/instances", body) == (500, 71)
    assert client.simulated.devices_of("10.0.1.1") == ("/dev/sdb",)


def test_a_lost_sds_degrades_its_pool_until_the_rebuild_has_ended() -> None:
    client = make()
    client.events.clear()
    client.simulated.set_sds_connected("10.0.1.1", connected=False)
    client.simulated.set_sds_connected("10.0.1.1", connected=True)
    client.now[0] = client.simulated.rebuild_s - 1
    client.simulated.settle()
    assert [k for k, _ in client.events] == [
        "sds-disconnected",
        "degraded",
        "sds-connected",
        "rebuild-started",
    ]
    client.now[0] += 1
    client.simulated.settle()
    assert [k for k, _ in client.events][4:] == ["healthy"]


def test_two_lost_fault_units_mean_failed_capacity() -> None:
    client = make()
    pool = ids(client, "StoragePool")[0]
    for address in ("10.0.1.1", "10.0.1.2"):
        client.simulated.set_sds_connected(address, connected=False)
    stats = client.get(f"/api/instances/StoragePool::{pool}/relationships/Statistics")
    assert stats["failedCapacityInKb"] > 0
    kinds = {a["alertType"] for a in client.get("/api/types/Alert/instances")}
    assert "STORAGE_POOL_HAS_FAILED_CAPACITY" in kinds


def test_an_alert_keeps_its_id_while_it_stands_and_is_absent_when_cleared() -> None:
    client = make()
    pool_kb = 3 * 200 * KB_PER_GB
    client.simulated.fill("default", pool_kb * 75 // 100)
    [high] = client.get("/api/types/Alert/instances")
    assert high["alertType"] == "CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD"
    assert high["startTime"] == "2026-11-22T08:00:00.000Z"
    client.now[0] = 60.0
    assert client.get("/api/types/Alert/instances")[0]["id"] == high["id"]
    client.simulated.fill("default", pool_kb * 85 // 100)
    [critical] = client.get("/api/types/Alert/instances")
    assert critical["alertType"] == "CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD"
    client.simulated.fill("default", 0)
    assert client.get("/api/types/Alert/instances") == []


def test_an_sdc_that_restarts_is_the_same_sdc() -> None:
    client = make()
    first = client.simulated.register_sdc(GUID.lower(), "10.0.3.1")
    client.simulated.set_sdc_connected(GUID, connected=False)
    assert client.simulated.register_sdc(GUID, "10.0.3.2") == first
    view = client.get(f"/api/instances/Sdc::{first}")
    assert (view["sdcGuid"], view["sdcIp"], view["mdmConnectionState"]) == (
        GUID,
        "10.0.3.2",
        "Connected",
    )


def test_an_sdc_may_be_approved_before_it_comes() -> None:
    client = make()
    system = client.simulated.system_id
    client.post(
        f"/api/instances/System::{system}/action/setRestrictedSdcMode",
        {"restrictedSdcMode": "Guid"},
    )
    body = {"sdcGuid": GUID, "sdcIp": "10.0.3.1"}
    promised = client.post(f"/api/instances/System::{system}/action/approveSdc", body)["id"]
    assert client.simulated.register_sdc(GUID, "10.0.3.1") == promised
    assert client.get(f"/api/instances/Sdc::{promised}")["sdcApproved"] is True


def test_a_timeout_answers_nothing() -> None:
    client = make()
    client.simulated.faults.timeout_next(1)
    request = Request(method="GET", target="/api/version", headers={}, body=b"")
    assert isinstance(trio.run(client.simulated.handler, request), StreamReply)


def test_the_password_shows_in_no_representation() -> None:
    client = make()
    assert "'pw'" not in f"{client.simulated!r} {client.simulated.tokens!r}"
    assert client.token not in f"{client.simulated!r} {client.simulated.tokens!r}"
