"""`simulate-master`: the simulated Mesos on real sockets, for any client."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys

import pytest
import trio

from adapters.http_client import make_client
from simulation import master_serve
from tests.unit.sim_mesos import Json, legacy_info

PROGRAM = """
import argparse, sys, trio
from simulation import master_serve
parser = argparse.ArgumentParser()
master_serve.add_arguments(parser)
sys.exit(trio.run(master_serve.run, parser.parse_args()))
"""


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    master_serve.add_arguments(parser)
    return parser.parse_args(list(words))


@pytest.mark.parametrize(
    "words",
    [
        ("--listen", "nonsense"),
        ("--listen", "127.0.0.1:70000"),
        ("--listen", "203.0.113.9:80"),
        ("--agents", "-1"),
        ("--offers-per-event", "-1"),
        ("--mesos-version", "newest"),
    ],
)
async def test_a_wrong_argument_is_named_in_one_line(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with trio.fail_after(10):
        assert await master_serve.run(_arguments(*words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("simulate-master: ")
    assert err.count("\n") == 1


async def _first_line(process: trio.Process) -> str:
    assert process.stdout is not None
    held = b""
    while b"\n" not in held:
        some = await process.stdout.receive_some()
        assert some, "ended before it was ready"
        held += bytes(some)
    return held.decode()


async def _events(url: str, count: int) -> list[Json]:
    """The first events of a subscription that nobody answers."""
    events: list[Json] = []
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": legacy_info()}}
    held = b""
    with trio.CancelScope() as scope:
        async with (
            make_client(read_timeout_s=10.0) as client,
            client.stream("POST", f"{url}/api/v1/scheduler", json=call) as answer,
        ):
            async for part in answer.aiter_raw():
                held += part
                while (end := held.find(b"\n")) >= 0:
                    size = int(held[:end])
                    if len(held) < end + 1 + size:
                        break
                    events.append(json.loads(held[end + 1 : end + 1 + size]))
                    held = held[end + 1 + size :]
                if len(events) >= count:
                    scope.cancel()
    return events


async def test_it_serves_offers_and_agents_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-c", PROGRAM, "--listen", "127.0.0.1:0"]
    command += ["--agents", "5", "--offers-per-event", "2"]
    with trio.fail_after(60):
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        try:
            line = await _first_line(process)
            assert line.startswith("simulated Mesos master: http://127.0.0.1:")
            url = line.split()[-1]
            async with make_client() as client:
                await _registered(url)
                version = await client.get(f"{url}/version")
                assert version.json()["version"] == "1.11.0"
            events = await _events(url, 5)
            sizes = [len(one["offers"]["offers"]) for one in events if one["type"] == "OFFERS"]
            assert sizes == [2, 2, 1]
            address = events[2]["offers"]["offers"][0]["url"]["address"]
            async with make_client() as client:
                flags = await client.get(f"http://{address['ip']}:{address['port']}/flags")
            assert "docker/volume" in flags.json()["flags"]["isolation"]
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        finally:
            process.kill()
            with trio.move_on_after(5, shield=True):
                await process.wait()


async def _registered(url: str) -> None:
    """All five agents are listed: they register within their first second."""
    listed = 0
    async with make_client() as client:
        while listed < 5:
            answer = await client.post(f"{url}/api/v1", json={"type": "GET_AGENTS"})
            listed = len(answer.json()["get_agents"]["agents"])
