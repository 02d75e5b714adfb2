"""HTTP with masters and agents, over a network in memory: what is sent, and what silence means."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from urllib.parse import parse_qs

import attrs
import pytest
import trio
from trio.testing import MockClock

from actors.ports import MesosAnswer, MesosUnreachableError, SandboxError
from adapters import sandbox_http
from adapters.http_client import make_client
from adapters.mesos_http import CALL_TIMEOUT_S, STREAM_ANSWER_S, HttpMesos
from adapters.sandbox_http import OUTPUT_BYTES_MAX, PAGE_BYTES, HttpSandbox
from simulation.http_server import Cut, Handler, Reply, Request, StreamReply
from simulation.network import MemoryBackend, Network

MASTER = "http://master.test:5050"
AGENT = "http://10.0.0.1:5051"
PATH = "/api/v1/scheduler"


@attrs.define
class Wire:
    network: Network
    mesos: HttpMesos
    sandbox: HttpSandbox
    seen: list[Request] = attrs.field(factory=list)

    def master(self, answer: Callable[[Request], Reply | StreamReply | Cut]) -> None:
        self.network.listen("master.test", 5050, self.noting(answer))

    def agent(self, answer: Callable[[Request], Reply | StreamReply | Cut]) -> None:
        self.network.listen("10.0.0.1", 5051, self.noting(answer))

    def noting(self, answer: Callable[[Request], Reply | StreamReply | Cut]) -> Handler:
        async def handle(request: Request) -> Reply | StreamReply | Cut:
            await trio.lowlevel.checkpoint()
            self.seen.append(request)
            return answer(request)

        return handle

    async def read(self, name: str = "stdout") -> str:
        return await self.sandbox.read(
            agent_url=AGENT, framework_id="F", task_id="a1.sds.1.0badcafe", name=name
        )


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    async with trio.open_nursery() as nursery:
        network = Network(nursery)
        backend = MemoryBackend(network)
        async with (
            make_client(network_backend=backend, read_timeout_s=None) as stream,
            make_client(network_backend=backend, connections_max=1) as one,
            make_client(network_backend=backend) as other,
        ):
            mesos = HttpMesos(stream=stream, calls=one, operator_calls=other)
            yield Wire(network, mesos, HttpSandbox(client=other))
        nursery.cancel_scope.cancel()


async def silent(request: Request) -> Reply:
    await trio.sleep(10_000.0)
    return Reply()


# -- the stream -----------------------------------------------------------------------------------


@attrs.define
class Body:
    """Chunks a second apart; after the last one the stream ends, is cut, or goes on for ever."""

    parts: list[bytes | None]
    endless: bool = False
    left: trio.Event = attrs.field(factory=trio.Event)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes | None:
        try:
            await trio.sleep(1.0)
        except trio.Cancelled:
            self.left.set()
            raise
        if not self.parts:
            if not self.endless:
                raise StopAsyncIteration
            return b"x"
        return self.parts.pop(0)


async def test_a_stream_gives_its_bytes_as_they_come(autojump_clock: MockClock) -> None:
    async with wire() as here:
        head = (("Mesos-Stream-Id", "id-1"),)
        here.master(lambda _: StreamReply(chunks=Body([b"5\nhel", b"lo"]), headers=head))
        async with here.mesos.subscribe(MASTER, PATH, b"{}") as opened:
            assert not isinstance(opened, MesosAnswer)
            assert opened.stream_id == "id-1"
            assert [part async for part in opened.chunks()] == [b"5\nhel", b"lo"]
        [request] = here.seen
        assert request.headers["content-type"] == "application/json", "exactly, or 415"
        assert request.headers["accept"] == "application/json"
        assert request.headers["accept-encoding"] == "identity"
        assert "mesos-stream-id" not in request.headers, "or 400"


async def test_a_stream_that_is_left_early_is_closed_behind_us(autojump_clock: MockClock) -> None:
    async with wire() as here:
        body = Body([], endless=True)
        here.master(lambda _: StreamReply(chunks=body))
        async with here.mesos.subscribe(MASTER, PATH, b"{}") as opened:
            assert not isinstance(opened, MesosAnswer)
            async with aclosing(opened.chunks()) as chunks:
                assert await anext(chunks) == b"x"
        with trio.fail_after(5.0):
            await body.left.wait()


async def test_a_cut_stream_is_an_error_with_a_sentence(autojump_clock: MockClock) -> None:
    async with wire() as here:
        here.master(lambda _: StreamReply(chunks=Body([b"5\nhel", None])))
        async with here.mesos.subscribe(MASTER, PATH, b"{}") as opened:
            assert not isinstance(opened, MesosAnswer)
            with pytest.raises(MesosUnreachableError, match="closed"):
                assert [part async for part in opened.chunks()]


async def test_another_answer_than_200_comes_whole_and_redirects_are_not_followed(
    autojump_clock: MockClock,
) -> None:
    async with wire() as here:
        where = (("Location", "//other.test:5050/x"),)
        here.master(lambda _: Reply(status=307, headers=where, body=b"elsewhere"))
        async with here.mesos.subscribe(MASTER, PATH, b"{}") as opened:
            assert isinstance(opened, MesosAnswer)
            assert (opened.status, opened.body) == (307, "elsewhere")
            assert opened.headers["location"] == "//other.test:5050/x"
        assert len(here.seen) == 1


async def test_a_master_that_says_nothing_to_subscribe_is_given_up(
    autojump_clock: MockClock,
) -> None:
    async with wire() as here:
        here.network.listen("master.test", 5050, silent)
        began = trio.current_time()
        with pytest.raises(MesosUnreachableError):
            async with here.mesos.subscribe(MASTER, PATH, b"{}"):
                pass
        assert trio.current_time() - began == pytest.approx(STREAM_ANSWER_S)


# -- calls ----------------------------------------------------------------------------------------


async def test_a_call_carries_its_stream_id(autojump_clock: MockClock) -> None:
    async with wire() as here:
        here.master(lambda _: Reply(status=202))
        answer = await here.mesos.call(MASTER, PATH, b'{"type":"REVIVE"}', "id-1")
        assert (answer.status, answer.body) == (202, "")
        [request] = here.seen
        assert request.headers["mesos-stream-id"] == "id-1"
        assert request.headers["content-type"] == "application/json"
        assert request.body == b'{"type":"REVIVE"}'


async def test_calls_share_one_connection_so_that_they_stay_in_order(
    autojump_clock: MockClock,
) -> None:
    async with wire() as here:
        busy = [0, 0]

        async def slow(request: Request) -> Reply:
            busy[0] += 1
            busy[1] = max(busy)
            await trio.sleep(1.0)
            busy[0] -= 1
            return Reply(status=202)

        here.network.listen("master.test", 5050, slow)
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(here.mesos.call, MASTER, PATH, b"%d" % number, "id")
        assert busy == [0, 1]


@pytest.mark.parametrize("base", ["http://nobody.test:5050", "ftp://master.test:1", "nonsense"])
async def test_who_could_not_be_reached_has_not_seen_the_call(
    base: str, autojump_clock: MockClock
) -> None:
    async with wire() as here:
        with pytest.raises(MesosUnreachableError) as failed:
            await here.mesos.call(base, PATH, b"{}", "id")
        assert str(failed.value)
        if base.startswith("http:"):
            assert not failed.value.sent


async def test_who_was_reached_and_said_nothing_may_have_seen_the_call(
    autojump_clock: MockClock,
) -> None:
    async with wire() as here:
        here.master(lambda _: Cut())
        with pytest.raises(MesosUnreachableError) as failed:
            await here.mesos.call(MASTER, PATH, b"{}", "id")
        assert failed.value.sent
        here.network.listen("master.test", 5050, silent)
        began = trio.current_time()
        with pytest.raises(MesosUnreachableError) as failed:
            await here.mesos.call(MASTER, PATH, b"{}", "id")
        assert failed.value.sent
        assert trio.current_time() - began <= CALL_TIMEOUT_S + 1.0


async def test_a_large_answer_of_the_operator_api_is_unpacked(autojump_clock: MockClock) -> None:
    async with wire() as here:
        packed = gzip.compress(b'{"type": "GET_AGENTS"}' + b" " * 100_000)
        here.master(lambda _: Reply(headers=(("Content-Encoding", "gzip"),), body=packed))
        answer = await here.mesos.operator(MASTER, b"{}")
        assert json.loads(answer.body) == {"type": "GET_AGENTS"}
        assert here.seen[0].path == "/api/v1"
        assert "gzip" in here.seen[0].headers["accept-encoding"]


async def test_text_that_is_no_utf_8_does_no_harm(autojump_clock: MockClock) -> None:
    async with wire() as here:
        here.master(lambda _: Reply(status=503, body=b"\xff\xfe no leader"))
        answer = await here.mesos.get(MASTER, "/version")
        assert answer.status == 503
        assert "no leader" in answer.body


# -- sandboxes ------------------------------------------------------------------------------------


def files(**contents: bytes) -> Callable[[Request], Reply]:
    """`/files/read` of an agent."""

    def answer(request: Request) -> Reply:
        query = parse_qs(request.query)
        whole = contents.get(query["path"][0].rpartition("/")[2])
        if whole is None:
            return Reply(status=404, body=b"No such file or directory.\n")
        offset, length = int(query["offset"][0]), int(query["length"][0])
        part = whole[offset : offset + min(length, PAGE_BYTES)].decode()
        return Reply(body=json.dumps({"data": part, "offset": offset}).encode())

    return answer


async def test_a_file_is_read_in_pages_up_to_its_end(autojump_clock: MockClock) -> None:
    async with wire() as here:
        long = ("0123456789" * (PAGE_BYTES // 4)).encode()
        here.agent(files(stdout=long, stderr="grün\n".encode()))
        assert await here.read() == long.decode()
        assert await here.read("stderr") == "grün\n"
        first = here.seen[0]
        assert first.path == "/files/read"
        [path] = parse_qs(first.query)["path"]
        assert path == "/frameworks/F/executors/a1.sds.1.0badcafe/runs/latest/stdout"


async def test_an_empty_file_is_empty(autojump_clock: MockClock) -> None:
    async with wire() as here:
        here.agent(files(stdout=b""))
        assert await here.read() == ""


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=404, body=b"No such file or directory.\n"), "404 No such file"),
        (Reply(status=403, body=b"Forbidden"), "403 Forbidden"),
        (Reply(status=401), "401"),
        (Reply(body=b"<html>"), "no page"),
        (Reply(body=b'{"data": 7}'), "no page"),
        (Reply(body=b'"text"'), "no page"),
        (Cut(), "can't be reached"),
    ],
)
async def test_what_cannot_be_read_is_said_with_the_agents_address(
    reply: Reply | Cut, words: str, autojump_clock: MockClock
) -> None:
    async with wire() as here:
        here.agent(lambda _: reply)
        with pytest.raises(SandboxError) as failed:
            await here.read()
        assert words in str(failed.value)
        assert AGENT in str(failed.value)


async def test_a_closed_port_says_what_to_open(autojump_clock: MockClock) -> None:
    async with wire() as here:
        with pytest.raises(SandboxError, match="open it to the scheduler's host"):
            await here.read()


async def test_a_connection_that_died_in_between_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    async with wire() as here:
        good, cuts = files(stdout=b"hello"), [Cut(), Cut()]

        def answer(request: Request) -> Reply | Cut:
            return cuts.pop() if cuts else good(request)

        here.agent(answer)
        assert await here.read() == "hello"


async def test_an_endless_output_is_given_up_at_a_bound(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_http, "OUTPUT_BYTES_MAX", 3 * PAGE_BYTES)
    page = json.dumps({"data": "x" * PAGE_BYTES, "offset": 0}).encode()
    async with wire() as here:
        here.agent(lambda _: Reply(body=page))
        with pytest.raises(SandboxError, match="longer than"):
            await here.read()
        assert len(here.seen) == 3
    assert OUTPUT_BYTES_MAX >= 1024 * 1024, "a survey of many disks has room"
