"""Offers answered a second, decline-all: ours, pymesos, and the floor below both, in turn.

Each run is a fresh `simulate-master --play` and a fresh client; the master counts. The floor is
the decoding of the very same bytes in one process that does nothing else: ids typed and the rest
kept raw (msgspec), or all of it into Python objects (json.loads).
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from benchmarks import peers, stores
from benchmarks.processes import REST_S, BenchmarkError, master, running, spread, usage
from simulation.master_play import Player

SIZES: Final = (1_000, 10_000)
RUNS: Final = 3
PLAY_S: Final = 5.0
PEER_PLAY_S: Final = {1_000: 5.0, 10_000: 15.0}  # there an event takes it seconds
DECODES: Final = {1_000: 200, 10_000: 20}


class _Id(msgspec.Struct, gc=False):
    value: str


class _Offer(msgspec.Struct, gc=False):
    id: _Id
    agent_id: _Id
    hostname: str
    resources: msgspec.Raw


class _Offers(msgspec.Struct, gc=False):
    offers: list[_Offer]


class _Event(msgspec.Struct, gc=False):
    type: str
    offers: _Offers


def run(folder: Path, made: stores.Templates) -> dict[str, Any]:
    """Offers a second of each, and their ratios."""
    try:
        peer: str | None = peers.python()
    except peers.PeerMissingError as error:
        print(f"bench: {error}", file=sys.stderr)
        peer = None
    return {str(size): _pairs(folder, made, size, peer) for size in SIZES}


def _pairs(folder: Path, made: stores.Templates, size: int, peer: str | None) -> dict[str, Any]:
    store = folder / f"ready-{size}.sqlite"
    stores.seed(store, size, made, time.time())  # noqa: TID251 - a benchmark's clock
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "pymesos": []}
    floors: dict[str, list[float]] = {"bare_decode": [], "json_loads": []}
    body = record_of(size)
    bare = msgspec.json.Decoder(_Event)
    for _ in range(RUNS):
        found["ours"].append(ours(folder, store, size))
        if peer is not None:
            found["pymesos"].append(_pymesos(folder, peer, size))
        floors["bare_decode"].append(_rate(lambda: bare.decode(body), size))
        floors["json_loads"].append(_rate(lambda: json.loads(body), size))
    rates = {name: [one["offers_per_s"] for one in runs] for name, runs in found.items() if runs}
    rates |= floors
    return {
        "event_bytes": len(body),
        "offers_per_s": {name: spread(values, 0) for name, values in rates.items()},
        "first_event_s": {
            name: spread([one["first_s"] for one in runs]) for name, runs in found.items() if runs
        },
        "p99_s": spread([one["p99_s"] for one in found["ours"]]),
        "peak_rss_mb": spread([one["peak_rss_mb"] for one in found["ours"]], 1),
        "ratios": {
            name: round(median(rates["ours"]) / median(values), 3)
            for name, values in rates.items()
            if name != "ours"
        },
    }


def record_of(size: int) -> bytes:
    """The JSON of one event, as the master plays it."""
    player = Player(agents=size, per_event=size, play_s=0, address="127.0.0.1", version="1.11.0")
    player.prepare()
    return player.events[0][0].partition(b"\n")[2]


def _rate(decode: Callable[[], object], size: int) -> float:
    spent = []
    for _ in range(DECODES[size]):
        began = time.perf_counter()
        decode()
        spent.append(time.perf_counter() - began)
    return size / median(spent)


def ours(folder: Path, store: Path, size: int) -> dict[str, Any]:
    """A scheduler whose agents are all ready: every offer is declined."""
    used = folder / "used.sqlite"
    stores.copy(store, used)
    with master(folder, agents=size, per_event=size, play_s=PLAY_S) as there:
        flags = stores.flags(folder, used, there.place)
        with running(["cli.py", *flags], log=folder / "ours.log") as process:
            there.wait("the first event of ours", events=1)
            time.sleep(REST_S + PLAY_S + 0.5)
            found = there.figures()
            found["peak_rss_mb"] = usage(process).peak_mb
            if found["calls"].get("ACCEPT") or found["waiting"]:
                raise BenchmarkError(f"not declined all: {found}")
    return found


def _pymesos(folder: Path, python: str, size: int) -> dict[str, Any]:
    program = folder / "peer.py"
    program.write_text(peers.DECLINE_ALL)
    with (
        master(folder, agents=size, per_event=size, play_s=PEER_PLAY_S[size]) as there,
        running([str(program), there.place], log=folder / "peer.log", python=python),
    ):
        there.wait("the first event of pymesos", events=1)
        time.sleep(REST_S + PEER_PLAY_S[size])
        there.wait("the second event of pymesos", events=2)
        return there.figures()


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
