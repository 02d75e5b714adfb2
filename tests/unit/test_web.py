from __future__ import annotations

import functools
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import attrs
import httpx
import pytest
import trio
from starlette.applications import Starlette

from actors.board import (
    ActorSnapshot,
    AgentSnapshot,
    Board,
    ClosingSnapshot,
    Condition,
    GatewaySnapshot,
    LinkSnapshot,
    RecentMessage,
    StepSnapshot,
)
from actors.journal import Journal
from actors.order_book import OrderBook
from domain.agent import Phase
from domain.closing import TORN_DOWN, Wish
from domain.facts import Disk, Facts
from domain.layout import Layout, PoolWish
from domain.storage import DeviceState, DomainState, PoolState, SdsState, StorageSnapshot
from settings import Redactor, Secret, Settings
from web.app import create_app
from web.guard import BODY_BYTES_MAX, known_host
from web.live import STREAMS_MAX
from web.original import STATES
from web.pages import VIEWS
from web.server import WebServerError, serve

PASSWORD = "S3cret<&>%s"
TOKEN = "token-0123456789abcdef"
EVIL = "<script>alert('x')</script>"
NOW, WALL = 1000.0, 1_700_000_000.0

SETTINGS = Settings(
    hostname="box.example",
    rest_address="127.0.0.1",
    scaleio_password=Secret(PASSWORD),
    scaleio_preconfig_primary="10.0.0.11",
    scaleio_preconfig_secondary="10.0.0.12",
    scaleio_preconfig_tiebreaker="10.0.0.13",
    rest_token=Secret(TOKEN),
)
STORAGE = StorageSnapshot(
    taken_at=990.0,
    api_version=(2, 0),
    system_id="5c0ffee",
    system_name="scaleio",
    mdm_normal=True,
    domains=(DomainState(id="d1", name="default"),),
    pools=(
        PoolState(id="p1", name="default", domain_id="d1", capacity_kb=1000, in_use_kb=850),
        PoolState(id="p2", name="100% full %s", domain_id="d1"),
    ),
    sds=(SdsState(id="s1", name="sds_10.0.0.22", domain_id="d1", addresses=("10.0.0.22",)),),
    devices=(DeviceState(id="v1", path="/dev/disk/by-id/x", sds_id="s1", pool_id="p1"),),
)
FACTS = Facts(
    machine_id="m", boot_id="b", os_id="ubuntu", os_version="14.04", kernel="4.2.0",
    disks=(Disk(path="/dev/sdb"),),
)  # fmt: skip


def some_agent(host: str = "agent1", phase: str = "ready") -> AgentSnapshot:
    return AgentSnapshot(
        host=host,
        agent_id=f"id-{host}",
        address="10.0.0.22",
        phase=phase,
        since=WALL - 60,
        last_contact=WALL - 5,
        layout=Layout(provides=(PoolWish(domain="default", pool="default"),)),
        facts=FACTS,
        plan=(StepSnapshot(name="sds", state="wanted", detail="50% done %d"),),
    )


def some_actor() -> ActorSnapshot:
    return ActorSnapshot(
        name="agent/agent1",
        kind="agent",
        phase="running",
        mailbox_depth=1,
        mailbox_peak=3,
        mailbox_size=64,
        handled=7,
        last_message="Status",
        last_message_age_s=1.0,
        restarts=0,
        last_error="",
        waiting_for="a message",
        recent=(RecentMessage(at=999.0, message=f"password={PASSWORD}"),),
    )


def full_board() -> Board:
    """Every place where a text from outside may stand holds the password and some HTML."""
    bad = f"{EVIL} {PASSWORD} 100%s {{}}"
    agent = attrs.evolve(
        some_agent("agent1", "failed"), reason=bad, error=bad, tail=bad, step=bad,
        devices=(("/dev/sdb", bad),), probe=bad,
        plan=(StepSnapshot(name="sds", state="failed", detail=bad),),
        layout=Layout(imperative=True, faults=(bad,), fault_set=bad),
    )  # fmt: skip
    actor = attrs.evolve(some_actor(), last_error=bad, phase="quarantined")
    return Board(
        agents={"agent1": agent, "agent2": some_agent("agent2")},
        link=LinkSnapshot(
            state="subscribed", master="http://10.0.0.21:5050", detail=bad, subscriptions=1
        ),
        gateway=GatewaySnapshot(storage=STORAGE, error=bad),
        conditions=(
            Condition(name="a-note", severity="info", subject="", text=bad, since=900.0),
            Condition(name="agent-failed", severity="critical", subject=EVIL, text=bad, since=1.0),
        ),
        actors={"agent/agent1": lambda: actor},
        store_kind="sqlite",
    )


async def refuse_permit(permit_id: str) -> tuple[int, str]:
    del permit_id
    await trio.lowlevel.checkpoint()
    return 403, "not now: data is degraded"


def accept(name: str, host: str) -> tuple[int, str]:
    return 202, f"{name} asked of {host}"


async def obey(wish: Wish | None) -> tuple[int, str]:
    await trio.lowlevel.checkpoint()
    return 202, f"heard: {wish}"


async def roll(word: str) -> tuple[int, str]:
    return (409, "nothing waits") if word == "start" else (202, f"told to {word}")


async def remove(kind: str, object_id: str, word: str) -> tuple[int, str]:
    return (202, f"{kind} {object_id} {word}") if kind == "sds" else (404, "no such kind")


class Shelved:
    """A journal that keeps what it is given, at once."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes | None] = {}

    async def save(self, changes: Mapping[str, bytes | None]) -> None:
        await trio.lowlevel.checkpoint()
        self.kept.update(changes)


def book_of(board: Board, journal: Shelved | None = None) -> OrderBook:
    return OrderBook(journal=cast("Journal", journal or Shelved()), board=board, wall=lambda: WALL)


def app_of(
    board: Board,
    *,
    settings: Settings = SETTINGS,
    permits: Callable[[str], Awaitable[tuple[int, str]]] = refuse_permit,
    commands: Callable[[str, str], tuple[int, str]] = accept,
    orders: Callable[[Wish | None], Awaitable[tuple[int, str]]] = obey,
    rollout: Callable[[str], Awaitable[tuple[int, str]]] = roll,
    removals: Callable[[str, str, str], Awaitable[tuple[int, str]]] = remove,
    stop: trio.Event | None = None,
    book: OrderBook | None = None,
) -> Starlette:
    return create_app(
        board=board,
        settings=settings,
        redactor=Redactor([settings.scaleio_password, settings.rest_token]),
        permits=permits,
        commands=commands,
        orders=orders,
        rollout=rollout,
        removals=removals,
        book=book_of(board) if book is None else book,
        now=lambda: NOW,
        wall=lambda: WALL,
        version="1.2.3",
        stop=trio.Event() if stop is None else stop,
    )


def client_of(app: Starlette, *, crashes: bool = True) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=crashes)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:35000")


async def get(board: Board, path: str, **headers: str) -> httpx.Response:
    async with client_of(app_of(board)) as client:
        return await client.get(path, headers=headers)


async def paths_of(board: Board) -> list[str]:
    """All paths that answer GET with an end, from the API's own description."""
    described = (await get(board, "/v1/openapi.json")).json()["paths"]
    fill = {
        "host": "agent1", "name": "agent/agent1", "permit_id": "x" * 32, "view": "agents",
        "step": "sds", "domain": "default", "pool": "default", "command": "hold",
    }  # fmt: skip
    gets = [path for path, methods in described.items() if "get" in methods and path != "/events"]
    views = [f"/ui/{view}" for view in VIEWS]
    more = ["/v1/openapi.json", "/nothing-here", "/v1/why/device/agent1?path=/dev/sdb"]
    return [path.format(**fill) for path in gets] + views + more


def is_a_problem(reply: httpx.Response) -> None:
    """RFC 9457, and our older member of the same meaning."""
    told = reply.json()
    assert reply.headers["content-type"] == "application/problem+json"
    assert sorted(told) == ["detail", "error", "status", "title", "type"]
    assert (told["status"], told["error"]) == (reply.status_code, told["detail"])


# --- what every reply keeps ---------------------------------------------------------------------


async def test_a_known_password_stands_in_no_reply() -> None:
    board = full_board()
    paths = await paths_of(board)
    assert len(paths) > 20
    for path in paths:
        reply = await get(board, path)
        for written in (PASSWORD, json.dumps(PASSWORD)[1:-1], "S3cret"):
            assert written not in reply.text, path


async def test_every_reply_forbids_caching_sniffing_framing_and_foreign_content() -> None:
    board = full_board()
    for path in await paths_of(board):
        headers = (await get(board, path)).headers
        # What has an ETag is asked about each time; nothing else is kept at all.
        assert headers["cache-control"] == ("no-cache" if "etag" in headers else "no-store")
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_every_json_path_gives_json() -> None:
    board = full_board()
    for path in await paths_of(board):
        reply = await get(board, path)
        if reply.headers["content-type"] == "application/json":
            assert isinstance(reply.json(), dict), path


@pytest.mark.parametrize("path", ["/", "/ui"])
async def test_the_page_shows_what_is_wrong_and_escapes_it(path: str) -> None:
    page = (await get(full_board(), path)).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "*** 100%s {}" in page  # redacted, and neither % nor {} is a format
    for shown in ("agent1", "failed", "agent-failed", "85 %", "100% full %s", "10.0.0.11"):
        assert shown in page


@pytest.mark.parametrize("view", ["", *(f"/{view}" for view in VIEWS), "/agents/agent1"])
async def test_the_page_uses_nothing_from_elsewhere(view: str) -> None:
    page = (await get(full_board(), f"/ui{view}")).text
    loaded = re.findall(r"""(?:src|href|action)="([^"]*)\"""", page)
    assert loaded
    assert all(one.startswith(("/", "#", "data:,")) for one in loaded)
    assert " style=" not in page  # the policy forbids it
    assert not re.search(r" on[a-z]+=", page)


async def test_a_page_without_anything_yet_says_so() -> None:
    page = (await get(Board(), "/")).text
    for shown in ("disconnected", "not asked yet", "none yet"):
        assert shown in page


async def test_a_page_of_very_many_agents_stays_small_and_shows_the_bad_ones_first() -> None:
    board = Board(agents={f"h{n}": some_agent(f"h{n}") for n in range(600)})
    board.post_agent(some_agent("zz-broken", "failed"))
    page = (await get(board, "/ui/agents")).text
    assert page.count('<tr id="row-') == 100
    assert page.index(">zz-broken<") < page.index(">h0<") < page.index(">h2<") < page.index(">h10<")
    assert "1 to 100 of 601" in page
    second = re.search(r'href="([^"]*)" id="page-after"', page)
    assert second is not None
    assert ">h150<" in (await get(board, second[1].replace("&amp;", "&"))).text


async def test_the_state_of_a_table_is_in_its_address() -> None:
    board = Board(agents={f"h{n}": some_agent(f"h{n}") for n in range(30)})
    board.post_agent(some_agent("h7", "failed"))
    page = (await get(board, "/ui/agents?sort=host&desc=1&limit=10&offset=10&phase=ready")).text
    assert re.findall(r'id="row-(h\d+)"', page) == [f"h{n}" for n in range(19, 9, -1)]
    assert 'aria-sort="descending"' in page
    found = (await get(board, "/ui/agents?q=H7")).text
    assert re.findall(r'id="row-(h\d+)"', found) == ["h7"]


async def test_the_script_gets_only_the_part_that_changes() -> None:
    part = (await get(full_board(), "/ui", **{"X-Part": "main"})).text
    assert "<html" not in part
    assert '<section id="verdict"' in part


# --- the documents of /v1 -----------------------------------------------------------------------


async def test_agents_are_listed_with_phase_reason_and_age() -> None:
    board = Board(agents={"b": some_agent("b"), "a": some_agent("a", "held")})
    listed = (await get(board, "/v1/agents")).json()
    assert [line["host"] for line in listed["agents"]] == ["a", "b"]
    assert listed["agents"][0]["phase"] == "held"
    assert listed["agents"][0]["for_s"] == 60.0
    assert listed["agents"][0]["since"] == WALL - 60


async def test_agents_can_be_picked_by_phase_and_an_unknown_phase_is_named() -> None:
    board = Board(agents={"b": some_agent("b"), "a": some_agent("a", "held")})
    listed = (await get(board, "/v1/agents?phase=ready")).json()
    assert [line["host"] for line in listed["agents"]] == ["b"]
    reply = await get(board, "/v1/agents?phase=up")
    assert reply.status_code == 400
    assert reply.json()["detail"].startswith("phase: some of seen,")


async def test_one_agent_is_shown_whole() -> None:
    shown = (await get(full_board(), "/v1/agents/agent1")).json()
    assert shown["facts"]["disks"][0]["path"] == "/dev/sdb"
    assert shown["plan"][0]["state"] == "failed"
    assert shown["devices"][0]["path"] == "/dev/sdb"
    assert shown["tail"] == f"{EVIL} *** 100%s {{}}"


async def test_the_removal_of_all_is_shown_per_agent_with_what_is_left() -> None:
    board = Board()
    board.agents = {h: some_agent(h, p) for h, p in (("b", "ready"), ("a", "retired"))}
    shown = (await get(board, "/v1/framework/uninstall")).json()
    assert [(one["host"], one["phase"]) for one in shown["agents"]] == [
        ("a", "retired"),
        ("b", "ready"),
    ]
    assert shown["left"] == 1
    assert shown["agents"][1] == (await get(board, "/v1/agents/b/uninstall")).json()
    assert (await get(Board(), "/v1/framework/uninstall")).json() == {
        "agents": [], "left": 0, "order": None,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/agents/ghost", "/debug/actors/ghost", "/no/where", "/v1/"])
async def test_what_is_not_there_is_refused_in_one_line_of_json(path: str) -> None:
    reply = await get(full_board(), path)
    assert reply.status_code == 404
    assert reply.text.count("\n") == 1
    is_a_problem(reply)


async def test_a_wrong_method_is_refused_with_the_right_ones() -> None:
    async with client_of(app_of(Board())) as client:
        reply = await client.delete("/v1/agents")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
    assert reply.json()["detail"] == "DELETE is not allowed here, only GET, HEAD"


async def test_conditions_come_worst_first() -> None:
    listed = (await get(full_board(), "/v1/conditions")).json()["conditions"]
    assert [one["severity"] for one in listed] == ["critical", "info"]
    assert listed[0]["subject"] == EVIL


async def test_storage_is_the_last_good_look_with_its_age_and_todays_error() -> None:
    shown = (await get(full_board(), "/v1/storage")).json()
    assert shown["snapshot"]["age_s"] == 10.0
    assert shown["snapshot"]["pools"][1]["used_percent"] == 85.0
    assert shown["error"]
    assert (await get(Board(), "/v1/storage")).json()["snapshot"] is None


async def test_the_plan_names_every_step_of_every_agent() -> None:
    shown = (await get(full_board(), "/v1/plan")).json()
    assert shown["mode"] == "run"
    assert [(one["host"], one["steps"][0]["name"]) for one in shown["agents"]] == [
        ("agent1", "sds"),
        ("agent2", "sds"),
    ]
    assert shown["agents"][1]["steps"][0]["detail"] == "50% done %d"


async def test_status_counts_agents_in_every_phase() -> None:
    shown = (await get(full_board(), "/v1/status")).json()
    assert set(shown["phases"]) == {phase.value for phase in Phase}
    assert (shown["phases"]["failed"], shown["phases"]["ready"], shown["agents"]) == (1, 1, 2)
    assert shown["conditions"] == {"critical": 1, "warning": 0, "info": 1}


async def test_the_api_describes_each_of_its_paths_and_its_security() -> None:
    described = (await get(Board(), "/v1/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    command = described["paths"]["/v1/agents/{host}/{command}"]["post"]
    assert command["security"] == [{"token": []}]
    for methods in described["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["responses"]


async def test_an_object_of_the_storage_cluster_is_removed_with_the_token_only() -> None:
    path = "/v1/storage/sds/1234/remove"
    async with client_of(app_of(Board())) as client:
        assert (await client.post(path)).status_code in {401, 403}
        headers = {"Authorization": f"Bearer {TOKEN}"}
        told = await client.post(path, headers=headers)
        assert (told.status_code, told.json()["result"]) == (202, "sds 1234 remove")
        kept = await client.post("/v1/storage/sds/1234/keep", headers=headers)
        assert kept.json()["result"] == "sds 1234 keep"
        odd = await client.post("/v1/storage/sds/1234/burn", headers=headers)
        assert odd.status_code == 404
        assert "remove, keep" in odd.text
        unknown = await client.post("/v1/storage/disk/1/remove", headers=headers)
        assert unknown.status_code == 404


# --- health, metrics, introspection -------------------------------------------------------------


async def test_healthz_stays_200_without_master_and_gateway_and_says_why_it_is_degraded() -> None:
    board = Board(gateway=GatewaySnapshot(error="connection refused"))
    reply = await get(board, "/healthz")
    assert reply.status_code == 200
    assert reply.json() == {
        "status": "degraded",
        "reasons": ["master: disconnected", "gateway: connection refused"],
    }


async def test_readyz_waits_for_the_first_subscription_and_the_first_look_at_the_gateway() -> None:
    board = Board()
    assert (await get(board, "/readyz")).status_code == 503
    board.link = LinkSnapshot(state="subscribed", subscriptions=1)
    reply = await get(board, "/readyz")
    assert reply.status_code == 503
    assert reply.json()["reasons"] == ["the Gateway has not been read yet"]
    board.gateway = GatewaySnapshot(storage=STORAGE)
    assert (await get(board, "/readyz")).json() == {"status": "ready", "reasons": []}
    board.link = LinkSnapshot(state="disconnected", subscriptions=1)
    assert (await get(board, "/readyz")).status_code == 200


async def test_metrics_have_labels_of_closed_lists_only() -> None:
    app = app_of(full_board())
    async with client_of(app) as client:
        await client.get("/v1/agents/agent1")
        await client.get("/nothing")
        text = (await client.get("/metrics")).text
    assert 'scaleio_agents{phase="failed"} 1.0' in text
    assert 'scaleio_capacity_bytes{kind="used"} 870400.0' in text
    assert 'scaleio_master_link{state="subscribed"} 1.0' in text
    assert 'scaleio_http_requests_total{endpoint="agent",status="2xx"} 1.0' in text
    assert 'scaleio_http_requests_total{endpoint="none",status="4xx"} 1.0' in text
    assert "agent1" not in text
    assert "full %s" not in text


async def test_actors_are_shown_with_their_last_messages() -> None:
    listed = (await get(full_board(), "/debug/actors")).json()["actors"]
    assert listed[0]["name"] == "agent/agent1"
    assert "recent" not in listed[0]
    shown = (await get(full_board(), "/debug/actors/agent/agent1")).json()
    assert shown["recent"] == [{"age_s": 1.0, "kind": "str", "text": "'password=***'"}]


async def test_tasks_are_shown_as_text_and_as_json() -> None:
    text = (await get(Board(), "/debug/tasks")).text
    assert "test_tasks_are_shown_as_text_and_as_json" in text
    tasks = (await get(Board(), "/debug/tasks", accept="application/json")).json()["tasks"]
    assert any("test_tasks_are_shown" in task["name"] for task in tasks)


# --- the original's paths -----------------------------------------------------------------------


async def test_version_is_the_originals() -> None:
    assert (await get(Board(), "/version")).json() == {"versionint": 1, "versionstr": "1.2.3"}


async def test_api_state_has_the_originals_fields_and_never_the_password() -> None:
    board = Board(agents={"agent2": some_agent("agent2")}, gateway=GatewaySnapshot(storage=STORAGE))
    reply = (await get(board, "/api/state")).json()
    assert set(reply) == {
        "scheduleraddress", "loglevel", "debug", "experimental", "ScaleIO", "Rexray", "Isolator",
    }  # fmt: skip
    scaleio = reply["ScaleIO"]
    assert set(scaleio) == {
        "configured", "clusterid", "clustername", "lbgateway", "protectiondomain", "storagepool",
        "adminpassword", "apiversion", "fakeuseddata", "capacitydata", "useddata",
        "atleastoneimperative", "Nodes", "Preconfig", "Ubuntu14", "Rhel7",
    }  # fmt: skip
    assert scaleio["adminpassword"] == "***"
    assert (scaleio["capacitydata"], scaleio["useddata"]) == (1000, 850)
    assert scaleio["Preconfig"]["preconfigprimdm"] == "10.0.0.11"
    assert scaleio["Nodes"] == [
        {
            "name": "id-agent2",
            "taskid": "",
            "executorid": "executor-scaleio-agent2",
            "offerid": "",
            "ipaddress": "10.0.0.22",
            "hostname": "agent2",
            "persona": 4,
            "state": 1024,
            "lastcontact": int(WALL) - 5,
            "imperative": False,
            "advertised": False,
            "ProvidesDomains": {
                "default": {
                    "name": "default",
                    "Pools": {"default": {"name": "default", "devices": ["/dev/disk/by-id/x"]}},
                }
            },
            "ConsumesDomains": {},
        }
    ]


def test_every_phase_has_one_of_the_originals_numbers_and_only_ready_is_1024() -> None:
    assert set(STATES) == set(Phase)
    assert [phase for phase, number in STATES.items() if number >= 1024] == [
        Phase.READY,
        Phase.FAILED,
    ]


# --- permits and commands -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "sentence"), [(200, "granted"), (403, "not now"), (404, "no such permit"), (503, "")]
)
async def test_a_permit_is_answered_as_the_gate_decides(status: int, sentence: str) -> None:
    asked: list[str] = []

    async def permits(permit_id: str) -> tuple[int, str]:
        asked.append(permit_id)
        await trio.lowlevel.checkpoint()
        return status, sentence

    async with client_of(app_of(Board(), permits=permits)) as client:
        reply = await client.get("/v1/permits/0123456789abcdef")
    assert (reply.status_code, reply.text, asked) == (status, f"{sentence}\n", ["0123456789abcdef"])


@pytest.mark.parametrize(
    ("method", "permit_id", "status"),
    [("HEAD", "0123456789abcdef", 405), ("POST", "0123456789abcdef", 401), ("GET", "a%20b", 404)],
)
async def test_nothing_but_a_proper_get_reaches_the_gate(
    method: str, permit_id: str, status: int
) -> None:
    async def permits(permit_id: str) -> tuple[int, str]:
        await trio.lowlevel.checkpoint()
        raise AssertionError(permit_id)

    async with client_of(app_of(Board(), permits=permits)) as client:
        reply = await client.request(method, f"/v1/permits/{permit_id}")
    assert reply.status_code == status


@pytest.mark.parametrize("command", ["hold", "resume", "retry"])
async def test_a_command_with_the_token_reaches_its_agent(command: str) -> None:
    board = Board(agents={"agent1": some_agent()})
    async with client_of(app_of(board)) as client:
        reply = await client.post(
            f"/v1/agents/agent1/{command}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
    assert (reply.status_code, reply.json()) == (202, {"result": f"{command} asked of agent1"})


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
async def test_a_command_without_the_right_token_is_refused(authorization: str) -> None:
    def commands(name: str, host: str) -> tuple[int, str]:
        raise AssertionError(name, host)

    board = Board(agents={"agent1": some_agent()})
    async with client_of(app_of(board, commands=commands)) as client:
        reply = await client.post(
            "/v1/agents/agent1/hold", headers={"Authorization": authorization}
        )
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")


async def test_without_a_configured_token_every_change_is_refused_with_the_way_out() -> None:
    settings = attrs.evolve(SETTINGS, rest_token=Secret(""))
    board = Board(agents={"agent1": some_agent()})
    async with client_of(app_of(board, settings=settings)) as client:
        reply = await client.post("/v1/agents/agent1/hold", headers={"Authorization": "Bearer "})
    assert reply.status_code == 403
    assert "-rest.token-file" in reply.json()["error"]


async def test_a_refused_command_is_an_error_and_unknown_ones_are_not_asked() -> None:
    board = Board(agents={"agent1": some_agent()})
    app = app_of(board, commands=lambda name, host: (503, f"{name} {host}: its mailbox is full"))
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with client_of(app) as client:
        full = await client.post("/v1/agents/agent1/hold", headers=bearer)
        ghost = await client.post("/v1/agents/ghost/hold", headers=bearer)
        dance = await client.post("/v1/agents/agent1/dance", headers=bearer)
    assert (full.status_code, ghost.status_code, dance.status_code) == (503, 404, 404)
    assert full.json()["detail"] == "hold agent1: its mailbox is full"


ORDER = "/v1/framework/uninstall"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def ordered(content: bytes, path: str = ORDER, **headers: str) -> httpx.Response:
    async with client_of(app_of(Board())) as client:
        return await client.post(path, content=content, headers=headers or BEARER)


@pytest.mark.parametrize(
    ("content", "wish"),
    [
        (b"", Wish()),
        (b"{}", Wish()),
        (b'{"teardown": true, "confirm": "F1"}', Wish(teardown=True, confirm="F1")),
    ],
)
async def test_the_order_to_remove_the_framework_is_passed_on(content: bytes, wish: Wish) -> None:
    reply = await ordered(content)
    assert (reply.status_code, reply.json()) == (202, {"result": f"heard: {wish}"})


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"teardown": true, "force": true}', 400),
        (b'{"teardown": "yes"}', 400),
        (b'{"confirm": 7}', 400),
        (b"[]", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 4000, 400),
        (b" " * 4097, 413),
    ],
)
async def test_an_order_that_is_none_is_refused_in_one_line(content: bytes, status: int) -> None:
    reply = await ordered(content)
    assert reply.status_code == status
    is_a_problem(reply)


@pytest.mark.parametrize("path", [ORDER, "/v1/framework/resume"])
async def test_an_order_needs_the_token_before_it_is_read(path: str) -> None:
    reply = await ordered(b"{", path, Authorization="Bearer wrong")
    assert reply.status_code == 401


async def test_the_order_is_called_off_without_a_body() -> None:
    reply = await ordered(b"", "/v1/framework/resume")
    assert (reply.status_code, reply.json()) == (202, {"result": "heard: None"})


async def test_a_framework_that_was_torn_down_is_healthy_and_says_what_to_do() -> None:
    board = Board(gateway=GatewaySnapshot(storage=STORAGE))
    board.closing = ClosingSnapshot(stage="torn-down", teardown=True, framework_id="F1")
    assert (await get(board, "/healthz")).json() == {"status": "ok", "reasons": []}
    ready = await get(board, "/readyz")
    assert (ready.status_code, ready.json()["reasons"]) == (503, [TORN_DOWN])
    shown = (await get(board, "/v1/status")).json()["closing"]
    assert shown == {
        "stage": "torn-down", "teardown": True, "framework_id": "F1", "text": TORN_DOWN,
    }  # fmt: skip


# --- the guard ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3:35000", "[::1]:35000", "localhost:1", "BOX.example:80", "box", "box."],
)
async def test_addresses_localhost_and_our_names_are_served(host: str) -> None:
    assert (await get(Board(), "/version", host=host)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "box.example.evil", "", "10.0.0", "[::1", "a b"])
async def test_other_host_names_are_refused(host: str) -> None:
    reply = await get(Board(), "/version", host=host)
    assert reply.status_code == 421
    assert "-rest.address" in reply.json()["error"]


def test_no_host_header_crashes_the_check() -> None:
    for host in ("[", "]", ":", "::", "[::1]", "999.1.1.1", "\x00", "é", "1:2:3"):
        assert isinstance(known_host(host, ()), bool)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": str(BODY_BYTES_MAX)}, 401),  # no token
        ({"content-length": str(BODY_BYTES_MAX + 1)}, 413),
        ({"content-length": "9" * 400}, 413),
        ({"content-length": "-1"}, 413),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
async def test_bodies_are_bounded(headers: dict[str, str], status: int) -> None:
    async with client_of(app_of(Board())) as client:
        reply = await client.post("/version", headers=headers)
    assert reply.status_code == status


async def test_a_bug_of_ours_is_one_line_without_its_details() -> None:
    def broken() -> ActorSnapshot:
        raise RuntimeError("inner detail")

    app = app_of(Board(actors={"x": broken}))
    async with client_of(app, crashes=False) as client:
        reply = await client.get("/debug/actors")
    assert reply.status_code == 500
    assert "inner detail" not in reply.text
    assert "log" in reply.json()["error"]


# --- on a real socket ---------------------------------------------------------------------------


@asynccontextmanager
async def served(board: Board) -> AsyncIterator[tuple[str, trio.Event]]:
    stop = trio.Event()
    app = app_of(board, stop=stop)
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(
            functools.partial(serve, app, host="127.0.0.1", port=0, stop=stop)
        )
        try:
            yield url, stop
        finally:
            stop.set()


async def next_change(lines: AsyncIterator[str]) -> dict[str, object]:
    event = ""
    async for line in lines:
        event = line.removeprefix("event: ") if line.startswith("event: ") else event
        if line.startswith("data: ") and event == "change":
            parsed: dict[str, object] = json.loads(line.removeprefix("data: "))
            return parsed
    raise AssertionError("the stream has ended")


async def test_the_event_stream_tells_of_a_change_and_ends_cleanly_on_stop() -> None:
    board = Board()
    async with (
        served(board) as (url, stop),
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/events") as reply,
    ):
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = aiter(reply.aiter_lines())
        assert (await next_change(lines))["revision"] == 0
        board.post_agent(some_agent())
        assert (await next_change(lines))["revision"] == 1
        stop.set()
        rest = [line async for line in lines]
    assert all(not line.startswith("data: ") for line in rest)


async def first_bytes(url: str, request: bytes) -> tuple[trio.SocketStream, bytes]:
    host, port = url.removeprefix("http://").split(":")
    stream = await trio.open_tcp_stream(host, int(port))
    await stream.send_all(request)
    return stream, await stream.receive_some(12)


async def test_streams_are_bounded_and_a_reader_that_leaves_gives_its_place_back() -> None:
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with served(Board()) as (url, _):
        readers = []
        for _ in range(STREAMS_MAX):
            reader, head = await first_bytes(url, request)
            assert head == b"HTTP/1.1 200"
            readers.append(reader)
        one_more, head = await first_bytes(url, request)
        assert head == b"HTTP/1.1 503"
        await one_more.aclose()
        await readers.pop().aclose()
        with trio.fail_after(60):
            while head != b"HTTP/1.1 200":
                one_more, head = await first_bytes(url, request)
                readers.append(one_more)
        for reader in readers:
            await reader.aclose()


async def test_head_is_answered_without_a_body_and_without_a_stream() -> None:
    async with served(full_board()) as (url, _), httpx.AsyncClient(base_url=url) as client:
        for path in ("/", "/v1/status", "/events", "/metrics", "/nothing"):
            reply = await client.head(path)
            assert reply.status_code == (404 if path == "/nothing" else 200)
            assert reply.content == b""


async def test_a_busy_port_is_one_clear_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        app = app_of(Board())
        with pytest.raises(WebServerError, match=f"port {port}: Address already in use"):
            await serve(app, host="127.0.0.1", port=port, stop=trio.Event())


async def test_an_impossible_address_is_one_clear_line() -> None:
    with pytest.raises(WebServerError, match=r"-rest\.address"):
        await serve(app_of(Board()), host="198.51.100.7", port=0, stop=trio.Event())


async def test_oversized_headers_are_refused() -> None:
    async with served(Board()) as (url, _), httpx.AsyncClient(base_url=url) as client:
        reply = await client.get("/version", headers={"x-long": "x" * 40_000})
        assert reply.status_code == 431


async def test_a_reader_that_stalls_does_not_keep_the_process_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hypercorn's sends are shielded from cancellation: only the kernel can cut them off."""
    monkeypatch.setattr("web.server.STALLED_MS", 500)
    board = Board(agents={"a": attrs.evolve(some_agent("a"), reason="x" * 30_000_000)})
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with trio.fail_after(60):
            async with served(board) as (url, _):
                host, port = url.removeprefix("http://").split(":")
                reader.connect((host, int(port)))
                reader.sendall(b"GET /v1/agents HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert await trio.to_thread.run_sync(reader.recv, 12) == b"HTTP/1.1 200"


async def test_the_documentation_names_every_path() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
    for path in (await get(Board(), "/v1/openapi.json")).json()["paths"]:
        assert f"`{path}`" in page, path
    for phase, number in STATES.items():
        assert f"| {phase.value} | {number} |" in page
