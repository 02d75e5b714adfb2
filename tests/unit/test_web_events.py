"""What happened, and who ordered what: kept in order, told once, resumed from an id."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import httpx
import pytest
import trio

from actors.board import Board, Condition, GatewaySnapshot, LinkSnapshot, RolloutSnapshot
from domain import records
from domain.agent import Run
from domain.audit import KEY_LASTS_S, ORDERS_KEPT, AuditRecord, Order, Silence, SilencesRecord
from domain.chronicle import KEPT, Chronicle
from tests.unit.test_web import (
    SETTINGS,
    TOKEN,
    WALL,
    Shelved,
    app_of,
    book_of,
    client_of,
    get,
    served,
    some_agent,
)  # fmt: skip
from web.live import ENTRIES_MAX

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def board_of(*agents: str) -> Board:
    board = Board(wall=lambda: WALL)
    for host in agents:
        board.post_agent(some_agent(host))
    return board


async def events_of(board: Board, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await get(board, f"/v1/events{query}")).json()["events"]
    return found


# --- what makes an entry --------------------------------------------------------------------------


async def test_each_change_that_people_ask_for_has_one_entry() -> None:
    board = board_of("a")
    board.post_agent(attrs.evolve(board.agents["a"], reason="only another word"))
    run = Run(step="sds", task_id="a.sds.1.x", began=WALL, ended=WALL + 12, exit_code=0)
    board.post_agent(attrs.evolve(board.agents["a"], runs=(attrs.evolve(run, outcome="held"),)))
    board.post_agent(attrs.evolve(board.agents["a"], phase="failed", error="a: no disk; mend it"))
    board.link = LinkSnapshot(state="subscribed", master="http://m:5050")
    board.touch()
    board.gateway = GatewaySnapshot(error="no answer")
    board.touch()
    full = Condition(name="capacity-high", severity="warning", subject="p", text="full", since=0)
    board.conditions = (full,)
    board.touch()
    board.conditions = ()
    board.touch()
    board.rollout = RolloutSnapshot(state="halted", why="a failed")
    board.touch()
    told = [(one["kind"], one["subject"], one["text"]) for one in await events_of(board)]
    assert told == [
        ("agent", "a", "ready"),
        ("step", "a", "step sds held after 12 s (exit status 0)"),
        ("agent", "a", "ready -> failed: a: no disk; mend it"),
        ("master", "http://m:5050", "disconnected -> subscribed"),
        ("gateway", "", "no answer"),
        ("condition", "p", "capacity-high begins: full"),
        ("condition", "p", "capacity-high is over: full"),
        ("rollout", "", "halted: a failed"),
    ]


async def test_what_the_store_had_is_no_news() -> None:
    board = Board(wall=lambda: WALL)
    board.post_agent(attrs.evolve(some_agent("a"), restored=True))
    board.post_agent(some_agent("a"))
    assert await events_of(board) == []


def test_ids_grow_over_restarts_and_a_storm_of_one_kind_pushes_no_other_out() -> None:
    first, second = Chronicle(), Chronicle()
    first.begin(WALL)
    last = [first.note("step", "a", str(n), at=WALL) for n in range(5)][-1]
    second.begin(WALL + 1)
    order = second.note("order", "a", "hold", at=WALL)
    assert order.id > last.id
    for number in range(KEPT["step"] + 10):
        second.note("step", "a", str(number), at=WALL)
    assert order in second.after(0)
    assert len(second.after(0, kinds=("step",))) == KEPT["step"]
    assert second.has_gap_after(order.id)
    assert not second.has_gap_after(second.last_id)


async def test_events_are_paged_by_id_and_chosen_by_kind_subject_and_text() -> None:
    board = board_of("a", "b", "c")
    every = await events_of(board)
    assert [one["subject"] for one in every] == ["a", "b", "c"]
    after = await events_of(board, f"?after={every[0]['id']}&limit=1")
    assert [one["subject"] for one in after] == ["b"]
    assert [one["subject"] for one in await events_of(board, "?subject=c")] == ["c"]
    assert await events_of(board, "?kind=order") == []
    assert await events_of(board, "?q=nothing-like-this") == []
    assert (await get(board, "/v1/events?kind=dance")).status_code == 400


# --- orders ---------------------------------------------------------------------------------------


async def order(board: Board, path: str, journal: Shelved | None = None, **sent: Any) -> Any:
    async with client_of(app_of(board, book=book_of(board, journal))) as client:
        return await client.post(path, headers={**BEARER, **sent.pop("headers", {})}, **sent)


async def test_an_order_is_stored_with_who_whence_and_why_before_it_is_done() -> None:
    board, journal, seen = board_of("a"), Shelved(), list[bytes | None]()

    def hold(name: str, host: str) -> tuple[int, str]:
        seen.append(journal.kept.get(records.AUDIT_KEY))
        return 202, f"{host} is held"

    app = app_of(board, book=book_of(board, journal), commands=hold)
    async with client_of(app) as client:
        reply = await client.post(
            "/v1/agents/a/hold", headers=BEARER, json={"reason": "its fan is loud"}
        )
    assert (reply.status_code, reply.json()) == (202, {"result": "a is held"})
    (before,) = records.decode(seen[0] or b"", AuditRecord, key="audit").orders
    assert (before.what, before.subject, before.who, before.source, before.reason) == (
        "hold", "a", "operator", "127.0.0.1", "its fan is loud",
    )  # fmt: skip
    assert before.status == 0
    (after,) = records.decode(journal.kept["audit"] or b"", AuditRecord, key="audit").orders
    assert (after.status, after.sentence) == (202, "a is held")
    (entry,) = await events_of(board, "?kind=order")
    assert (entry["by"], entry["from"], entry["outcome"]) == ("operator", "127.0.0.1", "202")
    assert entry["text"] == "hold (its fan is loud): a is held"


async def test_the_same_key_is_carried_out_once_and_answered_alike() -> None:
    board, done = board_of("a"), list[str]()

    def count(name: str, host: str) -> tuple[int, str]:
        done.append(name)
        return 202, f"told {len(done)}"

    async with client_of(app_of(board, commands=count)) as client:
        keyed = {**BEARER, "Idempotency-Key": "k-1"}
        first = await client.post("/v1/agents/a/retry", headers=keyed)
        again = await client.post("/v1/agents/a/retry", headers=keyed)
        other = await client.post("/v1/agents/a/hold", headers=keyed)
        fresh = await client.post("/v1/agents/a/retry", headers=BEARER)
        odd = await client.post(
            "/v1/agents/a/retry", headers={**BEARER, "Idempotency-Key": "two words"}
        )
    assert first.json() == again.json() == {"result": "told 1"}
    assert (other.status_code, fresh.json(), odd.status_code) == (422, {"result": "told 2"}, 400)
    assert done == ["retry", "retry"]


async def test_an_order_that_cannot_be_stored_is_not_done(autojump_clock: object) -> None:
    class Away(Shelved):
        async def save(self, _: object) -> None:
            await trio.sleep_forever()

    def never(name: str, host: str) -> tuple[int, str]:
        raise AssertionError

    board = board_of("a")
    book = book_of(board, Away())
    asked = Order(at=WALL, what="hold", subject="a", who="o", source="s", key="k", digest="d")

    async def act() -> tuple[int, str]:
        return never("hold", "a")

    status, sentence = await book.carry_out(asked, act)
    assert status == 503
    assert "nothing was done" in sentence
    assert (await book.carry_out(asked, act))[0] == 503


def test_an_audit_keeps_the_last_orders_and_a_key_for_a_day() -> None:
    audit = AuditRecord()
    for number in range(ORDERS_KEPT + 3):
        audit = audit.with_order(
            Order(at=float(number), what="hold", subject="a", who="o", source="", key=f"k{number}")
        )
    assert len(audit.orders) == ORDERS_KEPT
    assert audit.under_key("k0", 5.0) is None
    assert audit.under_key("k10", 11.0) is not None
    assert audit.under_key("k10", 10.0 + KEY_LASTS_S) is None


async def test_refused_attempts_are_told_and_not_stored() -> None:
    board, journal = board_of("a"), Shelved()
    async with client_of(app_of(board, book=book_of(board, journal))) as client:
        await client.post("/v1/agents/a/hold", headers={"Authorization": "Bearer wrong"})
    (entry,) = await events_of(board, "?kind=refused")
    assert (entry["subject"], entry["outcome"]) == ("POST /v1/agents/a/hold", "401")
    assert journal.kept == {}


# --- silences -------------------------------------------------------------------------------------


async def test_a_silence_is_stored_shown_and_ended() -> None:
    board, journal = Board(wall=lambda: WALL), Shelved()
    board.conditions = (
        Condition(name="capacity-high", severity="warning", subject="p", text="full", since=0.0),
    )
    path = "/v1/conditions/capacity-high"
    said = {"subject": "p", "for_s": 3600, "reason": "we know"}
    reply = await order(board, f"{path}/silence", journal, json=said)
    assert reply.status_code == 202
    kept = records.decode(journal.kept["silences"] or b"", SilencesRecord, key="silences")
    assert kept.silences == (
        Silence(
            name="capacity-high", subject="p", until=WALL + 3600, by="operator", reason="we know"
        ),
    )
    (shown,) = (await get(board, "/v1/conditions")).json()["conditions"]
    assert (shown["silenced_until"], shown["silenced_for"]) == (WALL + 3600, "we know")
    assert (await order(board, f"{path}/unsilence", journal, json={"subject": "p"})).is_success
    (shown,) = (await get(board, "/v1/conditions")).json()["conditions"]
    assert shown["silenced_until"] is None
    assert (await order(board, f"{path}/unsilence", json={"subject": "p"})).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/conditions/no-such-thing/silence", {}, 404),
        ("/v1/conditions/capacity-high/dance", {}, 404),
        ("/v1/conditions/capacity-high/silence", {"for_s": 0}, 400),
        ("/v1/conditions/capacity-high/silence", {"for_s": 31 * 86400}, 400),
        ("/v1/conditions/capacity-high/silence", {"for": 5}, 400),
        ("/v1/rollout/pause", {"reason": "x" * 501}, 400),
    ],
)
async def test_what_is_no_order_is_refused(path: str, body: dict[str, Any], status: int) -> None:
    assert (await order(board_of("a"), path, json=body)).status_code == status


# --- the stream -----------------------------------------------------------------------------------


async def next_event(lines: AsyncIterator[str]) -> tuple[str, str, Any]:
    """(event, id, data)."""
    told = {"id": "", "event": "", "data": "null"}
    while True:
        line = await anext(lines)
        if not line and told["event"]:
            return told["event"], told["id"], json.loads(told["data"])
        name, _, text = line.partition(": ")
        if name in told:
            told[name] = text


async def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice() -> None:
    board = board_of("a", "b")
    first = board.chronicle.after(0)[0].id
    async with served(board) as (url, stop), httpx.AsyncClient(base_url=url) as client:
        headers = {"Last-Event-ID": str(first)}
        async with client.stream("GET", "/events", headers=headers) as reply:
            lines = aiter(reply.aiter_lines())
            event, entry_id, data = await next_event(lines)
            assert (event, data["subject"]) == ("entry", "b")
            assert (await next_event(lines))[0] == "change"
            board.post_agent(some_agent("c"))
            event, later_id, data = await next_event(lines)
            assert (event, data["subject"]) == ("entry", "c")
            assert int(later_id) > int(entry_id)
            stop.set()
            assert [line async for line in lines]


async def test_who_was_away_for_too_long_is_told_of_the_gap() -> None:
    board = board_of("a")
    for number in range(KEPT["order"] + 1):
        board.chronicle.note("order", "a", str(number), at=WALL)
    async with (
        served(board) as (url, stop),
        httpx.AsyncClient(base_url=url) as client,
        client.stream("GET", "/events?after=0") as reply,
    ):
        lines = aiter(reply.aiter_lines())
        assert (await next_event(lines))[0] == "gap"
        found = [await next_event(lines) for _ in range(ENTRIES_MAX)]
        assert {event for event, _, _ in found} == {"entry"}
        stop.set()
        assert [line async for line in lines]


async def test_an_id_that_is_none_is_refused() -> None:
    assert (await get(Board(), "/events?after=soon")).status_code == 400


# --- what does not change is not sent again -------------------------------------------------------


async def test_an_etag_holds_while_only_ages_change_and_no_longer() -> None:
    board = board_of("a")
    async with client_of(app_of(board)) as client:
        first = await client.get("/v1/agents")
        tag = {"If-None-Match": first.headers["etag"]}
        same = await client.get("/v1/agents", headers=tag)
        board.gate_verdicts["a"] = "waits for the canary"  # nobody is woken for this
        other = await client.get("/v1/agents", headers=tag)
    assert (same.status_code, same.content) == (304, b"")
    assert other.status_code == 200
    assert "canary" in other.text


def test_settings_are_shown_with_their_source_and_without_secrets() -> None:
    settings = attrs.evolve(SETTINGS, sources={"rest.address": "-rest.address"})
    from web.lists import settings_list

    rows: Any = settings_list(settings)["settings"]
    shown = {row["flag"]: row for row in rows}
    assert shown["rest.address"]["source"] == "-rest.address"
    assert shown["rest.port"]["source"] == "default"
    assert shown["scaleio.password"]["value"] == "***"
