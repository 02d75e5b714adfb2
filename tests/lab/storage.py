"""The storage side of the lab in one process: Gateway, MDM, and the volumes' data.

python -m tests.lab.storage --listen 127.0.0.1:0 --mdm 127.0.0.241 127.0.0.242 \\
    --password-file FILE --volumes FOLDER

It prints one JSON line when it is ready, then answers each line on stdin with one JSON line:
`state`, `sds ADDRESS up|down` (on paper: its process is not touched), `mdm ADDRESS up|down`,
`volume NAME GB` (thick, in the first pool), `removals` (what was removed, in order and with times).
It ends with its stdin, or on SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from simulation.gateway import APIS, SimulatedGateway
from simulation.gateway_model import pool_health
from simulation.gateway_serve import make_identity, parse_listen, serve_gateway
from tests.lab.storage_mdm import MdmPort
from tests.lab.storage_sds import Supervision
from tests.lab.storage_volumes import Volumes

COMMAND_BYTES_MAX: Final = 65536
REMOVALS: Final = frozenset({"sds-leaving", "device-removed", "sds-removed", "sdc-removed"})


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.lab.storage", allow_abbrev=False)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--mdm", nargs=2, required=True, metavar="ADDRESS")
    parser.add_argument("--tiebreaker", default="10.0.0.3", metavar="ADDRESS", help="on paper")
    parser.add_argument("--password-file", required=True, type=Path)
    parser.add_argument("--volumes", required=True, type=Path)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--api", default="2.5", choices=APIS)
    parser.add_argument("--rebuild-s", default=2.0, type=float)
    parser.add_argument("--evacuate-s", default=0.0, type=float, help="to move an SDS's data away")
    return parser.parse_args(words)


def make_gateway(options: argparse.Namespace, chance: random.Random) -> SimulatedGateway:
    """Seeded: one domain, one pool, three SDSs and two SDCs that exist on paper."""
    gateway = SimulatedGateway(
        api=options.api,
        user=options.user,
        password=options.password_file.read_text(encoding="utf-8").rstrip("\r\n"),
        clock=trio.current_time,
        rng=chance,
        mdm_addresses=(options.mdm[0], options.mdm[1]),
        tiebreaker=options.tiebreaker,
        rebuild_s=options.rebuild_s,
        evacuate_s=options.evacuate_s,
    )
    gateway.seed()
    return gateway


@attrs.frozen
class VolumeData:
    """The files follow the volumes. Register `listener` at the Gateway."""

    gateway: SimulatedGateway
    volumes: Volumes

    def listener(self, kind: str, facts: Mapping[str, object]) -> None:
        volume_id = str(facts.get("id"))
        match kind:
            case "volume-created":
                self.volumes.create(volume_id, int(str(facts["size_kb"])) * 1024)
            case "volume-removed":
                self.volumes.remove(volume_id)
            case "volume-unmapped" if not self.gateway.state.volumes[volume_id].mapped:
                self.volumes.fence(volume_id)


@attrs.frozen
class Removals:
    """What left the cluster, when, and what it left behind. Register `listener` at the Gateway."""

    gateway: SimulatedGateway
    wall: Callable[[], float]
    found: list[dict[str, object]] = attrs.field(factory=list)

    def listener(self, kind: str, facts: Mapping[str, object]) -> None:
        if kind in REMOVALS:
            state = self.gateway.state
            holding = [sds.ips[0][0] for sds in state.sds.values() if state.devices_of_sds(sds.id)]
            self.found.append({"at": self.wall(), "kind": kind, "holding": holding, **facts})


@attrs.frozen
class Desk:
    """Answers the commands of a test."""

    gateway: SimulatedGateway
    removals: Removals

    def answer(self, line: str) -> dict[str, object]:
        match line.split():
            case ["state"]:
                return self._state()
            case ["removals"]:
                self.gateway.settle()
                return {"ok": True, "removals": self.removals.found}
            case ["volume", name, size_gb]:
                return {"ok": True, "id": self.gateway.add_volume(name, int(size_gb))}
            case [("sds" | "mdm") as kind, address, ("up" | "down") as word]:
                return self._set(kind, address, up=word == "up")
            case _:
                return {"ok": False, "error": f"unknown command {line!r}"}

    def _set(self, kind: str, address: str, *, up: bool) -> dict[str, object]:
        known = [m.ip for m in self.gateway.state.mdms]
        switch: Callable[[str, bool], None] = self.gateway.set_mdm_connected
        if kind == "sds":
            known = [ip for sds in self.gateway.state.sds.values() for ip, _ in sds.ips]
            switch = self.gateway.set_sds_connected
        if address not in known:
            return {"ok": False, "error": f"no {kind} at {address}, only at {known}"}
        switch(address, up)
        return {"ok": True}

    def _state(self) -> dict[str, object]:
        self.gateway.settle()
        state = self.gateway.state
        guids = {sdc.id: sdc.guid for sdc in state.sdcs.values()}
        return {
            "ok": True,
            "sdcs": [
                {"guid": s.guid, "ip": s.ip, "connected": s.connected} for s in state.sdcs.values()
            ],
            "sds": [
                {
                    "ip": s.ips[0][0],
                    "name": s.name,
                    "connected": s.connected,
                    "devices": [d.path for d in state.devices_of_sds(s.id)],
                    "failed": [d.path for d in state.devices_of_sds(s.id) if d.failed],
                }
                for s in state.sds.values()
            ],
            "volumes": [
                {"id": v.id, "name": v.name, "mapped": [guids[m.sdc_id] for m in v.mapped]}
                for v in state.volumes.values()
            ],
            "degraded": any(pool_health(state, pool).degraded for pool in state.pools.values()),
        }


async def read_commands(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """Lines until the other side closes."""
    held = b""
    while chunk := bytes(await stream.receive_some(COMMAND_BYTES_MAX)):
        *found, held = (held + chunk).split(b"\n")
        for line in found:
            yield line.decode(errors="replace")


def say(message: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def run(options: argparse.Namespace) -> None:
    """Raises OSError when it cannot listen."""
    chance = random.SystemRandom()
    gateway = make_gateway(options, chance)
    port = MdmPort(gateway, f"{chance.getrandbits(64):016x}")
    options.volumes.mkdir(parents=True, exist_ok=True)
    data = VolumeData(gateway, Volumes(options.volumes))
    removals = Removals(gateway, time.time)  # noqa: TID251 - compared with hosts' own journals
    # The data is there before it is mapped.
    gateway.listeners += [data.listener, port.listener, removals.listener]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signal, nursery.cancel_scope)
        Supervision(gateway, nursery).start()
        for address in options.mdm:
            await nursery.start(port.serve, address)
        identity = make_identity(parse_listen(options.listen)[0])
        serve = partial(serve_gateway, gateway, options.listen, plain=False, identity=identity)
        serving = await nursery.start(serve)
        say(
            {
                "url": serving.url,
                "system_id": gateway.system_id,
                "certificate": serving.certificate_pem.decode(),
                "mdm": options.mdm,
            }
        )
        desk = Desk(gateway, removals)
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
            async for line in read_commands(stdin):
                say(desk.answer(line))
        nursery.cancel_scope.cancel(reason="nobody commands any more")


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel(reason="told to stop")


if __name__ == "__main__":
    trio.run(run, arguments(sys.argv[1:]))
