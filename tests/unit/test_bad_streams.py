"""Streams that no master should send, through the real link: one line, and subscribed anew.

The bytes go through HTTP as they would on a socket. A bad stream begins well, with SUBSCRIBED;
after it the true (simulated) master answers again.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import attrs
import pytest
import structlog
import trio
from trio.testing import MockClock

from actors import master_link
from protocol.mesos import events
from protocol.mesos.offered import Offers
from protocol.mesos.recordio import RECORD_BYTES_MAX, RecordReader, encode_record
from simulation.http_server import Cut, Reply, Request, StreamReply
from tests.unit.master_line import Line, line, running
from tests.unit.sim_mesos import Json

KNOWN = "F-known"
SILENT = b""  # in place of a chunk: nothing more, for ever
BREAK = b"BREAK"  # in place of a chunk: the connection is cut
CHUNK = 65536


def record(**event: object) -> bytes:
    return encode_record(json.dumps(event).encode())


SUBSCRIBED = record(
    type="SUBSCRIBED",
    subscribed={"framework_id": {"value": KNOWN}, "heartbeat_interval_seconds": 15.0},
)
HEARTBEAT = record(type="HEARTBEAT")
UPDATE = record(type="UPDATE", update={"status": {"task_id": {"value": "t"}}})


def offers(**fields: object) -> bytes:
    offer: Json = {"id": {"value": "O"}, "agent_id": {"value": "S"}, "hostname": "h", **fields}
    return record(type="OFFERS", offers={"offers": [offer]})


@attrs.define
class Chunks:
    """What is sent, `every_s` seconds apart; no generator, which nobody would close."""

    parts: Iterator[bytes]
    every_s: float = 0.0
    sent_bytes: int = 0

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes | None:
        await trio.sleep(self.every_s)
        part = next(self.parts, None)
        if part is None:
            raise StopAsyncIteration
        if part is SILENT:
            await trio.sleep_forever()
        self.sent_bytes += len(part)
        return None if part is BREAK else part


@attrs.define
class BadMaster:
    """Holds bad streams ready, one per SUBSCRIBE; then it is the true master."""

    here: Line
    streams: list[Chunks]
    subscribes_at: list[float] = attrs.field(factory=list)

    async def handle(self, request: Request) -> Reply | StreamReply | Cut:
        if request.path == "/api/v1/scheduler" and b'"SUBSCRIBE"' in request.body:
            self.subscribes_at.append(trio.current_time())
            if self.streams:
                return StreamReply(
                    chunks=self.streams.pop(0),
                    headers=(("Mesos-Stream-Id", "bad"), ("Content-Type", "application/json")),
                )
        return await self.here.there.mesos.fronts[0].handle(request)


class CountingReader(RecordReader):
    """A RecordReader that remembers the most it has held."""

    held_bytes_max = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        yield from super().feed(chunk)
        type(self).held_bytes_max = max(self.held_bytes_max, self.held_bytes)


async def told(here: Line, *streams: Chunks, within_s: float = 300.0) -> BadMaster:
    """Lets the link have those streams, one after the other, and then the true master."""
    master = BadMaster(here, list(streams))
    here.there.network.listen("master1.test", 5050, master.handle)
    async with running(here):
        await here.until(lambda: not master.streams, within_s=within_s)
        await here.until(
            lambda: len(master.subscribes_at) > len(streams) and here.now.state == "subscribed",
            within_s=within_s,
        )
        await here.until(lambda: bool(here.events(Offers)), within_s=within_s)
    return master


DEEP = b"[" * 500_000
BROKEN = [
    ("a length of 10^18", [b"1000000000000000000\n", b"x" * 100, SILENT], "record length"),
    ("300 MB in one record", [b"314572800\n", b"x" * CHUNK, SILENT], "record length b'314572800'"),
    ("a negative length", [b"-5\nhello", SILENT], "record length b'-5'"),
    ("a length without end", [b"1" * 30, SILENT], "record header"),
    ("a web page", [b"<html>\n<body>It works!</body></html>", SILENT], "record length b'<html>'"),
    ("invalid UTF-8", [encode_record(b'{"type":"HEARTBEAT\xff"}'), SILENT], "no JSON"),
    ("a lone surrogate", [encode_record(b'{"type":"\\ud800"}'), SILENT], "no JSON"),
    ("a null byte", [encode_record(b"\x00"), SILENT], "no JSON"),
    ("an empty record", [encode_record(b""), SILENT], "no JSON"),
    ("half a value", [encode_record(b'{"type":"HEART'), SILENT], "no JSON"),
    ("depth", [encode_record(DEEP), SILENT], "no JSON"),
    ("infinity", [encode_record(b'{"type":"HEARTBEAT","x":1e999}'), SILENT], "no JSON"),
    ("a list", [encode_record(b"[]"), SILENT], "no JSON object"),
    ("no type", [encode_record(b'{"type":{}}'), SILENT], "without a type"),
    ("an update without a state", [UPDATE, SILENT], "malformed UPDATE event: 'state' is missing"),
    ("offers in the wrong shape", [record(type="OFFERS", offers=7), SILENT], "malformed OFFERS"),
    ("an agent without an id", [offers(agent_id={}), SILENT], "missing required field `value`"),
    ("an agent with an empty id", [offers(agent_id={"value": ""}), SILENT], "length >= 1"),
    ("half a record and the end", [HEARTBEAT[:7]], "the master closed the stream"),
    ("half a record and a cut", [HEARTBEAT[:7], BREAK], "does not answer"),
    ("half a record and silence", [HEARTBEAT[:7], SILENT], "was silent for 75 s"),
    ("a header and silence", [b"200000000\n", b"x" * CHUNK, SILENT], "was silent for 75 s"),
    ("half a header and silence", [b"20", SILENT], "was silent for 75 s"),
]


@pytest.mark.parametrize(("parts", "words"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
async def test_a_broken_stream_is_one_line_and_a_new_subscription(
    parts: list[bytes], words: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master_link, "RecordReader", CountingReader)
    CountingReader.held_bytes_max = 0
    with structlog.testing.capture_logs() as logs:
        async with line(framework_id=KNOWN) as here:
            master = await told(here, Chunks(iter([SUBSCRIBED, HEARTBEAT, *parts])))
    [sentence] = [one["reason"] for one in logs if one["event"] == "not subscribed"]
    assert words in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300
    assert not [one for one in logs if one["log_level"] in ("error", "critical")]
    assert not here.link.writer.vitals.restarts, "no actor has crashed"
    assert CountingReader.held_bytes_max <= len(DEEP) + 1000
    first, second = master.subscribes_at
    silent_s = 75.0 if "silent" in words else 0.0
    assert second - first <= silent_s + 2.0, "the first pause is at most a second"


@pytest.mark.parametrize("parts", [c[1] for c in BROKEN], ids=[c[0] for c in BROKEN])
async def test_a_stream_that_is_broken_from_the_start_is_treated_the_same(
    parts: list[bytes], autojump_clock: MockClock
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with line(framework_id=KNOWN) as here:
            await told(here, Chunks(iter(parts)))
    assert len([one for one in logs if one["event"] == "not subscribed"]) == 1
    assert here.now.subscriptions == 1


async def test_what_is_announced_too_large_is_not_even_read(autojump_clock: MockClock) -> None:
    """300 MB in one record, sent as fast as we take it: it is left at its header."""
    size = 300 * 1024 * 1024
    assert size > RECORD_BYTES_MAX
    flood = Chunks(
        itertools.chain([SUBSCRIBED, b"%d\n" % size], (b"x" * CHUNK for _ in range(4800)))
    )
    async with line(framework_id=KNOWN) as here:
        await told(here, flood)
    assert flood.sent_bytes < 20 * CHUNK


async def test_a_large_record_is_no_bad_one(autojump_clock: MockClock) -> None:
    """12 MB, as the first OFFERS of 10,000 agents is; in pieces, with others around it."""
    padding = "x" * 12_000_000
    large = record(type="BREW_COFFEE", padding=padding)
    pieces = (large[at : at + CHUNK] for at in range(0, len(large), CHUNK))
    async with line(framework_id=KNOWN) as here:
        await told(here, Chunks(itertools.chain([SUBSCRIBED], pieces, [HEARTBEAT, BREAK])))
        assert [one.event for one in here.events(events.Unknown)] == [
            events.Unknown(kind="BREW_COFFEE")
        ]


async def test_an_event_from_the_future_disturbs_nothing(autojump_clock: MockClock) -> None:
    future = record(type="AGENT_LEVITATED", agent_levitated={"height": 1e300, "deep": [[[{}]]]})
    blank = b"\r\n"
    with structlog.testing.capture_logs() as logs:
        async with line(framework_id=KNOWN) as here:
            sent = [SUBSCRIBED, blank, future, blank, HEARTBEAT, BREAK]
            await told(here, Chunks(iter(sent)))
            unknown = here.events(events.Unknown)
            beats = [one for one in here.events(events.Heartbeat) if one.generation == 1]
    assert [one.event for one in unknown] == [events.Unknown(kind="AGENT_LEVITATED")]
    assert len(beats) == 1, "what follows is read"
    [sentence] = [one["reason"] for one in logs if one["event"] == "not subscribed"]
    assert "does not answer" in sentence, "the cut at the end, and nothing before it"


async def test_bytes_that_never_become_a_record_are_silence(autojump_clock: MockClock) -> None:
    """A byte each half minute would keep a stream alive for ever."""

    drip = Chunks(itertools.chain([SUBSCRIBED], itertools.repeat(b"\n")), every_s=30.0)
    async with line(framework_id=KNOWN) as here:
        master = await told(here, drip)
    first, second = master.subscribes_at
    assert second - first < 30.0 + 75.0 + 2.0


async def test_one_bad_stream_after_the_other_is_retried_ever_more_slowly(
    autojump_clock: MockClock,
) -> None:
    """A master that is broken for good costs one line and one attempt per pause."""
    with structlog.testing.capture_logs() as logs:
        async with line(framework_id=KNOWN) as here:
            bad = [Chunks(iter([SUBSCRIBED, b"-1\n", SILENT])) for _ in range(8)]
            master = await told(here, *bad, within_s=600.0)
    assert len([one for one in logs if one["event"] == "not subscribed"]) == 8
    pauses = [later - earlier for earlier, later in itertools.pairwise(master.subscribes_at)]
    assert pauses[0] <= 1.1
    assert min(pauses[5:]) >= 7.0
    assert max(pauses) <= 16.0
