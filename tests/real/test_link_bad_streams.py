"""Event streams that no master should send: one line each, little memory, and then a real one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest

from protocol.mesos.recordio import RECORD_BYTES_MAX
from tests.garbage_server import Answer, GarbageServer, Write, http_answer
from tests.real.onboarding import Stage
from tests.scheduler_process import Scheduler

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Mesos-Stream-Id: a-bad-one\r\n\r\n"
)
BEAT_S: Final = 1.0
BLOCK: Final = b"a" * 1024 * 1024
FRAMEWORK_ID: Final = "a-master-of-straw-0000"


def record(body: bytes) -> bytes:
    return b"%d\n%b" % (len(body), body)


SUBSCRIBED: Final = record(
    json.dumps(
        {
            "type": "SUBSCRIBED",
            "subscribed": {
                "framework_id": {"value": FRAMEWORK_ID},
                "heartbeat_interval_seconds": BEAT_S,
                "master_info": {"id": "straw", "version": "1.11.0"},
            },
        }
    ).encode()
)
HEARTBEAT: Final = record(b'{"type":"HEARTBEAT"}')


@attrs.frozen(kw_only=True)
class Bad:
    """What follows SUBSCRIBED: `sent`, `blocks` of one MiB, `after`, and perhaps nothing more."""

    name: str
    said: str  # within the reason that is logged
    sent: bytes
    blocks: int = 0
    after: bytes = b""
    silent: bool = False


BEYOND: Final = 300 * len(BLOCK)  # more than any record may have
OPENING: Final = b'{"type":"HEARTBEAT","padding":"'
LARGEST_BLOCKS: Final = RECORD_BYTES_MAX // len(BLOCK) - 1
LARGEST: Final = OPENING.ljust(RECORD_BYTES_MAX - LARGEST_BLOCKS * len(BLOCK) - 2, b"a")
LENGTHS: Final = (
    Bad(
        name="an event from the future, then a length of 10^18",
        said="record length b'1000000000000000000'",
        sent=record(b'{"type":"BRAND_NEW","brand_new":[{}]}') + b"1000000000000000000\n",
    ),
    Bad(name="a negative length", said="record length b'-5'", sent=b"-5\nhello"),
    Bad(
        name="half a record, then silence",
        said=f"silent for {5 * BEAT_S:g} s",
        sent=b'40\n{"type":"HEART',
        silent=True,
    ),
    Bad(name="no header at all", said="record header", sent=b"", blocks=1),
)
CONTENTS: Final = (
    Bad(name="no UTF-8", said="no JSON", sent=record(b'{"type":"HEART\xff\xfeBEAT"}')),
    Bad(
        name="another shape of JSON",
        said="malformed OFFERS event",
        sent=record(b'{"type":"OFFERS","offers":{"offers":[1,["id"]]}}'),
    ),
    Bad(
        name="300 MB, claimed and sent",
        said=f"record length b'{BEYOND}'",
        sent=b"%d\n" % BEYOND,
        blocks=BEYOND // len(BLOCK),
    ),
)
LARGE: Final = (
    Bad(
        name="the largest record that is taken, and garbage after it",
        said="record length b'-1'",
        sent=b"%d\n" % RECORD_BYTES_MAX + LARGEST,
        blocks=LARGEST_BLOCKS,
        after=b'"}-1\n',
    ),
)
GROUPS: Final = {"lengths": LENGTHS, "contents": CONTENTS, "large": LARGE}
# The largest record is held once as it comes, once whole, and once more as text while it is read.
GROWTH_MB_MAX: Final = {"lengths": 32.0, "contents": 32.0, "large": 4.0 * RECORD_BYTES_MAX / 1e6}


@attrs.define
class MasterOfStraw:
    """Subscribes whoever asks, and then sends them the next bad thing; a good stream at last."""

    bad: Sequence[Bad]
    subscriptions: int = 0
    closing: threading.Event = attrs.field(factory=threading.Event)

    def scheduler_call(self, body: bytes, write: Write) -> None:
        kind = json.loads(body)["type"]
        if kind != "SUBSCRIBE":
            status = "200 OK" if kind == "UPDATE_FRAMEWORK" else "202 Accepted"
            write(http_answer(b"", status=status))
            return
        number, self.subscriptions = self.subscriptions, self.subscriptions + 1
        write(HEAD + SUBSCRIBED)
        if number < len(self.bad):
            self._misbehave(self.bad[number], write)
        while number >= len(self.bad) and not self.closing.wait(BEAT_S / 2):
            write(HEARTBEAT)

    def _misbehave(self, bad: Bad, write: Write) -> None:
        write(bad.sent)
        for _ in range(bad.blocks):
            write(BLOCK)
        write(bad.after)
        if bad.silent:
            self.closing.wait(60)

    def operator_call(self, body: bytes, write: Write) -> None:
        kind = json.loads(body)["type"]
        write(http_answer(json.dumps({"type": kind, kind.lower(): {}}).encode()))

    def answers(self) -> dict[str, Answer]:
        return {
            "/version": http_answer(b'{"version":"1.11.0"}'),
            "/api/v1/scheduler": self.scheduler_call,
            "/api/v1": self.operator_call,
            "*": http_answer(b"", status="404 Not Found"),
        }


def peak_mb(scheduler: Scheduler) -> float:
    status = Path(f"/proc/{scheduler.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def troubles(scheduler: Scheduler) -> list[str]:
    """What was logged about the subscription, and any traceback."""
    lines = scheduler.text().splitlines()
    return [line for line in lines if "not subscribed" in line or "Traceback" in line]


@pytest.mark.parametrize("group", GROUPS)
def test_a_bad_stream_costs_one_line_and_little_memory(tmp_path: Path, group: str) -> None:
    bad = GROUPS[group]
    with Stage(tmp_path, agents=1) as stage:
        scheduler, cluster = stage.scheduler, stage.cluster
        cluster.kill("master0")
        straw = MasterOfStraw(bad)
        port = int(cluster.addresses["master0"].rpartition(":")[2])
        with GarbageServer(straw.answers(), port=port):
            scheduler.start()
            scheduler.wait("its first subscription", lambda: straw.subscriptions)
            before = peak_mb(scheduler)
            scheduler.wait("a good stream", lambda: straw.subscriptions > len(bad))
            scheduler.wait_subscribed()
            said, after = troubles(scheduler), peak_mb(scheduler)
            straw.closing.set()
        print(f"{group}: streams={len(bad)} VmHWM {before:.0f} -> {after:.0f} MB")
        assert straw.subscriptions == len(bad) + 1
        assert len(said) == len(bad), said
        for one, line in zip(bad, said, strict=True):
            assert one.said in line, one.name
        assert after - before < GROWTH_MB_MAX[group]
        cluster.start("master0")
        cluster.wait_ready()
        scheduler.wait("the real master knows us", lambda: subscribed_to(stage))


def subscribed_to(stage: Stage) -> bool:
    """The real master holds a subscription under the id that the other one gave."""
    return any(one["id"] == FRAMEWORK_ID and one["active"] for one in stage.frameworks())
