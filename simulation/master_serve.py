"""`simulate-master`: the simulated Mesos on real sockets, for clients of any kind.

Its agents have trivial hosts: every step ends at once with status 0. Each agent listens on a
port of its own; a hostname like `agent7.sim` resolves nowhere, the address in offers does.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import signal
import sys
from collections.abc import Mapping
from functools import partial
from typing import Final

import attrs
import trio

from simulation.http_server import Handler, serve_connection
from simulation.master_play import Player
from simulation.mesos import SimulatedMesos
from simulation.mesos_values import Address, version_of

AGENTS_MAX: Final = 10_000
FILES_SPARE: Final = 256  # for connections, beside one listening socket per agent
WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
STALL_LIMIT_S: Final = 60.0  # a slow reader on a real socket is given time


@attrs.frozen(kw_only=True)
class NothingDone:
    exit_code: int = 0
    stdout: str = '@result {"changed": false}\n'
    stderr: str = ""


@attrs.frozen(kw_only=True)
class InstantRun:
    step: str
    environment: Mapping[str, str]
    duration_s: float

    def finish(self) -> NothingDone:
        return NothingDone()

    def abort(self) -> None:
        """Nothing was begun."""


@attrs.frozen(kw_only=True)
class TrivialHost:
    hostname: str
    address: str
    isolation: tuple[str, ...] = ("filesystem/linux", "docker/volume")
    launcher: str = "linux"

    def begin(self, step: str, environment: Mapping[str, str]) -> InstantRun:
        duration_s = math.inf if step == "keeper" else 0.0
        return InstantRun(step=step, environment=environment, duration_s=duration_s)

    def health(self, environment: Mapping[str, str]) -> bool:
        return "SICK" not in environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", default="127.0.0.1:5050", metavar="HOST:PORT", help="port 0 takes a free one"
    )
    parser.add_argument("--agents", type=int, default=3, metavar="N")
    parser.add_argument(
        "--offers-per-event",
        type=int,
        default=0,
        metavar="N",
        help="at most N offers in one OFFERS event; 0: all of a pass in one",
    )
    parser.add_argument(
        "--play",
        type=float,
        metavar="SECONDS",
        help="a still cluster that only offers: all agents once and after each REVIVE, and for so "
        "long without pause; GET /play tells how fast they were answered",
    )
    parser.add_argument(
        "--play-after", type=float, default=0.0, metavar="SECONDS", help="after the first event"
    )
    parser.add_argument("--mesos-version", default="1.11.0", metavar="VERSION")
    parser.add_argument("--seed", type=int, default=1, metavar="N")


class ArgumentError(Exception):
    """One line for the operator."""


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ArgumentError(f"--listen={listen}: not HOST:PORT with a port up to 65535")
    return host.strip("[]"), int(port)


async def _open(host: str, port: int) -> list[trio.SocketListener]:
    """Listeners of one port; with port 0 the free one that the first address got."""
    try:
        return await trio.open_tcp_listeners(port, host=host or None)
    except (OSError, UnicodeError) as error:
        raise ArgumentError(f"cannot listen on {host}:{port}: {error}") from error


def _port(listeners: list[trio.SocketListener]) -> int:
    return int(listeners[0].socket.getsockname()[1])


def _allow_files(agents: int) -> None:
    """Raise our own limit of open files as far as it goes, when the agents need it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = agents + FILES_SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        if limit < wanted:
            raise ArgumentError(f"--agents={agents}: only {hard} files may be open here")


async def _serve_one(handler: Handler, stream: trio.SocketStream) -> None:
    """One connection; a client that goes away in the middle of a stream is no error."""
    try:
        await serve_connection(stream, handler)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.aclose_forcefully(stream)


async def run(namespace: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 2 and one line on stderr when the arguments are wrong."""
    try:
        host, port = _address(namespace.listen)
        if not 0 <= namespace.agents <= AGENTS_MAX:
            raise ArgumentError(f"--agents={namespace.agents}: not between 0 and {AGENTS_MAX}")
        if namespace.offers_per_event < 0:
            raise ArgumentError(f"--offers-per-event={namespace.offers_per_event}: negative")
        _check_version(namespace.mesos_version)
        if namespace.play is not None and not (namespace.agents and 0 <= namespace.play < math.inf):
            raise ArgumentError(f"--play={namespace.play:g}: needs agents, and no negative time")
        listeners = await _open(host, port)
        shown = WILDCARDS.get(host, host)
        if namespace.play is not None:
            await _play(namespace, shown, listeners)
            return 0
        _allow_files(namespace.agents)
        agent_listeners = [await _open(shown, 0) for _ in range(namespace.agents)]
    except ArgumentError as error:
        sys.stderr.write(f"simulate-master: {error}\n")
        return 2
    mesos = SimulatedMesos(
        rng=random.Random(namespace.seed),  # noqa: S311 - a simulation's chance, replayable
        version=namespace.mesos_version,
        masters=(Address(ip=shown, port=_port(listeners)),),
        offers_per_event=namespace.offers_per_event,
        stall_limit_s=STALL_LIMIT_S,
    )
    await _serve(mesos, shown, listeners, agent_listeners)
    return 0


async def _play(
    namespace: argparse.Namespace, shown: str, listeners: list[trio.SocketListener]
) -> None:
    player = Player(
        agents=namespace.agents,
        per_event=min(namespace.offers_per_event or namespace.agents, namespace.agents),
        play_s=namespace.play,
        rest_s=namespace.play_after,
        address=shown,
        version=namespace.mesos_version,
    )
    player.prepare()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            serve = partial(_serve_one, player.handle)
            await nursery.start(trio.serve_listeners, serve, listeners)
            _say_where(shown, listeners)
            async for _ in signals:
                break
            nursery.cancel_scope.cancel(reason="a signal asks to stop")


def _say_where(shown: str, listeners: list[trio.SocketListener]) -> None:
    place = f"[{shown}]" if ":" in shown else shown
    sys.stdout.write(f"simulated Mesos master: http://{place}:{_port(listeners)}\n")
    sys.stdout.flush()


def _check_version(text: str) -> None:
    try:
        version_of(text)
    except ValueError:
        raise ArgumentError(f"--mesos-version={text}: not a version like 1.11.0") from None


async def _serve(
    mesos: SimulatedMesos,
    shown: str,
    listeners: list[trio.SocketListener],
    agent_listeners: list[list[trio.SocketListener]],
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            for number, own in enumerate(agent_listeners):
                host = TrivialHost(hostname=f"agent{number}.sim", address=shown)
                mesos.add_agent(host, port=_port(own))
                handler = mesos.agent_handler(host.hostname)
                nursery.start_soon(trio.serve_listeners, partial(_serve_one, handler), own)
            await nursery.start(mesos.run)
            serve = partial(_serve_one, mesos.master_handler)
            await nursery.start(trio.serve_listeners, serve, listeners)
            _say_where(shown, listeners)
            async for _ in signals:
                break
            nursery.cancel_scope.cancel(reason="a signal asks to stop")
