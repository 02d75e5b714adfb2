"""Who may ask what: tokens that rotate, roles, doors, rates, certificates, and slow callers."""

from __future__ import annotations

import base64
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import httpx
import pytest
import structlog
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from actors.board import Board
from flags.secret import Redactor, Secret, UnreadableError
from flags.tokens import LOOK_EVERY_S, Token, TokenFile, read_tokens
from settings import Settings, SettingsError, parse
from tests.unit.test_web import SETTINGS, TOKEN, WALL, app_of, client_of, get, some_agent
from web.access import ALL, HOSTS, LOOK, Access, Refusal
from web.guard import BODY_S
from web.rates import ADDRESSES_MAX, Rate
from web.server import serve
from web.tls import Certificate, CertificateError

ANN, BOB, VIEWER = "a" * 20, "b" * 20, "v" * 20
FOREVER = Rate(per_s=0.0, burst=0.0)


def tokens(*named: tuple[str, str]) -> tuple[Token, ...]:
    return tuple(Token(name, Secret(text)) for name, text in named)


def file_of(*named: tuple[str, str], path: str = "", now: float = 0.0) -> TokenFile:
    return TokenFile(path, "operator", tokens(*named), Redactor(), lambda: now)


def access(**fields: object) -> Access:
    made = Access(
        operators=file_of(("ann", ANN), ("bob", BOB)),
        viewers=None,
        looks=FOREVER,
        changes=FOREVER,
        failures=FOREVER,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def judged(
    by: Access, method: str, path: str = "/v1/agents", *, said: str = "", port: int = 1,
    now: float = 0.0, address: str = "10.0.0.1",
) -> str | int:  # fmt: skip
    headers = Headers({"authorization": said} if said else {})
    found = by.judge(method, path, headers, port=port, address=address, now=now)
    return found.status if isinstance(found, Refusal) else found


# --- tokens ----------------------------------------------------------------------


def test_each_operator_has_a_name_by_the_token() -> None:
    by = access()
    assert judged(by, "POST", said=f"Bearer {ANN}") == "ann"
    assert judged(by, "POST", said=f"bearer  {BOB}") == "bob"
    for wrong in ("", "Bearer", "Bearer x", f"Token {ANN}", f"Bearer {ANN}{BOB}"):
        assert judged(by, "POST", said=wrong) == 401


def test_a_browsers_own_password_gives_no_order() -> None:
    basic = "Basic " + base64.b64encode(f"ann:{ANN}".encode()).decode()
    assert judged(access(), "POST", said=basic) == 401


def test_viewers_look_and_operators_too_but_only_they_change() -> None:
    by = access(viewers=file_of(("carl", VIEWER)))
    basic = "Basic " + base64.b64encode(f"x:{VIEWER}".encode()).decode()
    assert judged(by, "GET") == 401
    assert judged(by, "GET", said=f"Bearer {VIEWER}") == "carl"
    assert judged(by, "GET", said=basic) == "carl"
    assert judged(by, "GET", said=f"Bearer {ANN}") == "ann"
    assert judged(by, "POST", said=f"Bearer {VIEWER}") == 401
    for path in ("/healthz", "/readyz", "/v1/permits/x", "/packages/y/z"):  # hosts have no token
        assert judged(by, "GET", path) == ""
    assert judged(by, "POST", "/healthz") == 401


def test_the_file_is_read_anew_when_it_changes_and_the_last_good_one_counts(
    tmp_path: Path,
) -> None:
    file, now = tmp_path / "tokens", [0.0]
    file.write_text(f"ann {ANN}\n", encoding="utf-8")
    first = read_tokens(str(file), default_name="operator")
    redactor = Redactor()
    known = TokenFile(str(file), "operator", first, redactor, lambda: now[0])
    assert known.who(ANN) == "ann"
    file.write_text(f"# two, for the change\nann {ANN}\n{BOB}\n", encoding="utf-8")
    assert known.who(BOB) == ""  # not looked at again within the second
    now[0] += LOOK_EVERY_S
    assert (known.who(ANN), known.who(BOB)) == ("ann", "operator")
    assert redactor(f"a line with {BOB}") == "a line with ***"
    file.write_text("short\n", encoding="utf-8")
    now[0] += LOOK_EVERY_S
    assert (known.who(BOB), known.fault) == (
        "operator", "line 1 holds a token of less than 16 characters",
    )  # fmt: skip
    file.write_text(f"{BOB}\n", encoding="utf-8")
    now[0] += LOOK_EVERY_S
    assert (known.who(ANN), known.who(BOB), known.fault) == ("", "operator", "")


@pytest.mark.parametrize("text", ["", "\n\n", "a b c" * 9, f"9name {ANN}", "é" * 20, "\x00" * 20])
def test_what_is_no_token_file_is_refused_without_telling_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableError) as told:
        read_tokens(str(file), default_name="operator")
    assert not text.strip() or text.strip() not in str(told.value)


async def test_an_order_is_kept_under_its_operators_name() -> None:
    board = Board(wall=lambda: WALL)
    board.post_agent(some_agent("a"))
    settings = attrs.evolve(SETTINGS, rest_tokens=tokens(("ann", ANN)))
    async with client_of(app_of(board, settings=settings)) as client:
        await client.post("/v1/agents/a/hold", headers={"Authorization": f"Bearer {ANN}"})
    assert [one.by for one in board.chronicle.after(0, kinds=("order",))] == ["ann"]


# --- doors and rates ----------------------------------------------------------------------


def test_a_door_serves_what_it_is_for_and_names_the_right_one() -> None:
    by = access(
        doors={80: frozenset({HOSTS}), 443: frozenset({HOSTS, LOOK}), 9: ALL},
        others={LOOK: "https, port 443", "change": "port 9"},
    )
    assert judged(by, "GET", "/v1/permits/x", port=80) == ""
    assert judged(by, "GET", port=80) == 403
    assert judged(by, "GET", port=443) == ""
    assert judged(by, "POST", said=f"Bearer {ANN}", port=443) == 403
    assert judged(by, "POST", said=f"Bearer {ANN}", port=9) == "ann"
    closed = by.judge("POST", "/", Headers({}), port=80, address="", now=0.0)
    assert isinstance(closed, Refusal)
    assert "port 9" in closed.sentence


def test_who_asks_too_often_waits_and_others_do_not() -> None:
    by = access(looks=Rate(per_s=2.0, burst=3.0))
    assert [judged(by, "GET") for _ in range(4)] == ["", "", "", 429]
    assert judged(by, "GET", address="10.0.0.2") == ""
    assert judged(by, "GET", now=0.5) == ""
    assert judged(by, "GET", "/healthz") == ""


def test_who_guesses_tokens_is_slowed_down() -> None:
    by = access(failures=Rate(per_s=1.0, burst=2.0))
    assert [judged(by, "POST", said="Bearer guess") for _ in range(3)] == [401, 401, 429]
    assert judged(by, "POST", said=f"Bearer {ANN}") == "ann"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5)), max_size=60))
def test_no_address_gets_more_than_its_rate(asks: list[tuple[str, float]]) -> None:
    rate, now, given_to = Rate(per_s=2.0, burst=4.0), 0.0, {"a": 0, "b": 0, "c": 0}
    for address, pause in asks:
        now += pause
        given_to[address] += rate.wait_s(address, now) == 0.0
    assert all(count <= 4 + 2 * now for count in given_to.values())


def test_the_memory_of_addresses_is_bounded() -> None:
    rate = Rate(per_s=1.0, burst=1.0)
    for number in range(ADDRESSES_MAX + 50):
        rate.wait_s(str(number), 0.0)
    assert len(rate._buckets) == ADDRESSES_MAX


async def test_a_refusal_for_haste_says_when_to_come_back() -> None:
    settings = attrs.evolve(SETTINGS, rest_rate=1)
    async with client_of(app_of(Board(), settings=settings)) as client:
        replies = [await client.get("/v1/status") for _ in range(6)]
    assert replies[-1].status_code == 429
    assert int(replies[-1].headers["retry-after"]) >= 1


# --- settings ----------------------------------------------------------------------

MDMS = [
    f"-scaleio.preconfig.{n}=10.0.0.{i}"
    for i, n in enumerate(("primary", "secondary", "tiebreaker"), 1)
]


def settings_of(*more: str) -> Settings:
    return parse([*MDMS, *more], {"SCALEIO_SCALEIO_PASSWORD": "p" * 12})


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["-rest.tls-port=443"], "-rest.tls-cert-file"),
        (["-rest.tls-cert-file={cert}"], "give both"),
        (["-rest.tls-cert-file={cert}", "-rest.tls-key-file={cert}"], "-rest.tls-port"),
        (["-rest.changes-port=36000"], "-rest.token-file"),
        (["-rest.changes-port=35000", "-rest.token-file={cert}"], "must differ"),
        (["-rest.viewer-token-file={cert}"], "-rest.viewer-token-file"),
    ],
)
def test_doors_that_cannot_be_are_refused_in_one_line(
    tmp_path: Path, flags: list[str], named: str
) -> None:
    cert = tmp_path / "cert"
    cert.write_text(f"{ANN}\n" if "viewer" not in flags[0] else "short\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=named):
        settings_of(*(flag.format(cert=cert) for flag in flags))


# --- TLS ----------------------------------------------------------------------


def written(folder: Path, name: str, ca: trustme.CA) -> tuple[Path, Path]:
    made = ca.issue_cert(name, "127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made.cert_chain_pems[0].write_to_path(cert)
    made.private_key_pem.write_to_path(key)
    return cert, key


@asynccontextmanager
async def secured(certificate: Certificate) -> AsyncIterator[str]:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        app = app_of(Board(), stop=stop)
        start = functools.partial(
            serve, app, host="127.0.0.1", port=0, stop=stop, certificate=certificate
        )
        url: str = await nursery.start(start)
        try:
            yield url
        finally:
            stop.set()


async def serial(url: str, trusted: ssl.SSLContext) -> int:
    host, port = url.removeprefix("https://").split(":")
    stream = await trio.open_ssl_over_tcp_stream(host, int(port), ssl_context=trusted)
    await stream.do_handshake()
    shown = stream.getpeercert()
    with trio.move_on_after(1):
        await stream.aclose()
    return int(str(shown["serialNumber"]), 16)


async def test_a_new_certificate_is_taken_up_and_open_connections_live_on(tmp_path: Path) -> None:
    ca = trustme.CA()
    trusted = ssl.create_default_context()
    ca.configure_trust(trusted)
    certificate = Certificate(*written(tmp_path, "scheduler.example", ca))
    async with (
        secured(certificate) as url,
        httpx.AsyncClient(base_url=url, verify=trusted) as client,
    ):
        assert (await client.get("/healthz")).status_code == 200
        first = await serial(url, trusted)
        assert not certificate.look()
        written(tmp_path, "scheduler.example", ca)
        assert certificate.look()
        assert await serial(url, trusted) != first
        assert (await client.get("/healthz")).status_code == 200


async def test_a_certificate_that_is_none_is_told_and_the_old_one_stays(tmp_path: Path) -> None:
    ca = trustme.CA()
    trusted = ssl.create_default_context()
    ca.configure_trust(trusted)
    cert, key = written(tmp_path, "scheduler.example", ca)
    certificate = Certificate(cert, key)
    async with secured(certificate) as url:
        first = await serial(url, trusted)
        cert.write_text("half of a", encoding="utf-8")
        with structlog.testing.capture_logs() as logs:
            assert not certificate.look()
        assert [one["event"] for one in logs] == ["the new certificate is not taken up"]
        assert await serial(url, trusted) == first
    with pytest.raises(CertificateError, match=r"-rest\.tls-cert-file"):
        Certificate(cert, key)


# --- slow callers ----------------------------------------------------------------------


async def test_who_sends_too_slowly_is_dropped(autojump_clock: object) -> None:
    """Headers promise a body that never comes."""
    app, sent = app_of(Board()), list[dict[str, object]]()

    async def receive() -> dict[str, object]:
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    headers = [
        (b"host", b"127.0.0.1"), (b"content-length", b"10"),
        (b"authorization", f"Bearer {TOKEN}".encode()),
    ]  # fmt: skip
    scope = {
        "type": "http", "method": "POST", "path": "/v1/rollout/pause", "raw_path": b"",
        "query_string": b"", "headers": headers, "client": ("10.0.0.1", 5), "server": ("x", 1),
        "scheme": "http", "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    began = trio.current_time()
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 408
    assert trio.current_time() - began == BODY_S


async def test_looking_needs_no_token_where_none_is_set() -> None:
    assert (await get(Board(), "/v1/status")).status_code == 200
