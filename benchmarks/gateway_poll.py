"""What one look at the Gateway costs us, by the size of the storage cluster.

The real client, poller and health monitor over a real socket; the Gateway is another process with
answers that were made before, so that only our own CPU seconds are counted.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Mapping
from functools import partial
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Final

import attrs
import msgspec
import trio

from actors.board import Board
from actors.gateway_poller import GatewayPoller
from actors.health_monitor import HealthMonitor
from actors.mailbox import Mailbox, Vitals
from actors.messages import GateInbox, HealthInbox, PollerInbox, Refresh
from adapters.gateway_http import HttpGateway
from adapters.gateway_reader import DEVICES_EVERY_S
from adapters.http_client import make_client
from domain.storage_health import Limits
from protocol.gateway import versions
from simulation import gateway_system_view, gateway_views
from simulation.gateway import SimulatedGateway
from simulation.gateway_model import ClusterState, Device, Domain, Pool, Sdc, Sds
from simulation.http_server import Reply, Request, serve_connection

SIZES: Final = (100, 200, 500, 1000)
DEVICES_EACH: Final = 10
LOOKS: Final = 20
API: Final = (3, 6)
_JSON: Final = (("Content-Type", "application/json"),)
_BWC: Final = {"numSeconds": 5, "totalWeightInKb": 51200, "numOccured": 640}


def run() -> dict[str, Any]:
    """By size: CPU seconds and bytes of a look, and how they grow from the least to the most."""
    rows = [measured(size) for size in SIZES]
    least, most = rows[0], rows[-1]
    times = SIZES[-1] / SIZES[0]
    return {
        "rows": [attrs.asdict(row) for row in rows],
        # 1.0: exactly linear; below: what does not grow is still to be seen
        "cpu_growth": round(most.cpu_s / least.cpu_s / times, 3),
        "bytes_growth": round(most.bytes_each / least.bytes_each / times, 3),
    }


@attrs.frozen(kw_only=True)
class Row:
    sds: int
    devices: int
    calls: int
    bytes_each: int
    cpu_s: float  # median of the looks
    bytes_with_latencies: int  # once a minute
    cpu_with_latencies_s: float


def measured(size: int) -> Row:
    answers = prepared(size)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(answers, theirs), daemon=True)
    server.start()
    try:
        port: int = ours.recv()
        return trio.run(_look, size, port, answers)
    finally:
        server.terminate()
        server.join()


# -- the Gateway ----------------------------------------------------------------------------------


def prepared(size: int) -> Mapping[str, bytes]:
    """Method and path -> the body of the answer."""
    state = _cluster(size)
    ids = partial(gateway_views.ids, state)
    tree: dict[str, object] = {"System": gateway_system_view.system(state)}
    for name, kind in (
        ("protectionDomainList", "ProtectionDomain"),
        ("storagePoolList", "StoragePool"),
        ("sdsList", "Sds"),
        ("deviceList", "Device"),
        ("sdcList", "Sdc"),
    ):
        tree[name] = gateway_views.views(state, kind, ids(kind))
    whole = _statistics(versions.pool_statistics(API))
    joint: dict[str, object] = {
        "StoragePool": dict.fromkeys(state.pools, whole),
        "Sds": dict.fromkeys(state.sds, _statistics(versions.sds_statistics(API))),
    }
    latencies = dict.fromkeys(state.devices, _statistics(versions.device_statistics(API)))
    encode = msgspec.json.encode
    return {
        "GET /api/login": b'"token"',
        "GET /api/version": b'"3.6"',
        "GET /api/logout": b'""',
        "GET /api/instances": encode(tree),
        "GET /api/types/Alert/instances": b"[]",
        "POST /api/instances/System/queryMdmCluster": encode(
            gateway_system_view.queried_mdm_cluster(state)
        ),
        "POST /api/instances/querySelectedStatistics": encode(joint),
        "with latencies": encode({**joint, "Device": latencies}),
    }


def _statistics(names: tuple[str, ...]) -> dict[str, object]:
    return {
        name: _BWC if name.endswith("Bwc") else 900 if "Latency" in name else 0 for name in names
    }


def _cluster(size: int) -> ClusterState:
    model = SimulatedGateway(
        api="3.6",
        user="admin",
        password="none",  # noqa: S106 - nobody logs in to it
        clock=lambda: 0.0,
        rng=random.Random(1),  # noqa: S311 - the same in each run
    )
    state = model.state
    for d in range(-(-size // 100)):
        state.domains[f"{d:016x}"] = Domain(id=f"{d:016x}", name=f"pd{d}")
        state.pools[f"{d:016x}"] = Pool(id=f"{d:016x}", name=f"p{d}", domain_id=f"{d:016x}")
    for n in range(size):
        domain_id, sds_id = f"{n // 100:016x}", f"{n:016x}"
        address = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
        state.sds[sds_id] = Sds(
            id=sds_id, name=f"sds_{address}", domain_id=domain_id, ips=[(address, "all")]
        )
        state.sdcs[sds_id] = Sdc(
            id=sds_id, guid=f"{n:08X}-0000-0000-0000-000000000000", ip=address, connected=True
        )
        for disk in range(DEVICES_EACH):
            device_id = f"{n * DEVICES_EACH + disk:016x}"
            state.devices[device_id] = Device(
                id=device_id,
                name=f"disk{n}-{disk}",
                sds_id=sds_id,
                pool_id=domain_id,
                path=f"/dev/disk/by-id/wwn-0x5000c500{n:06x}{disk:02x}",
                capacity_kb=1 << 30,
                media_type="HDD",
            )
    return state


def _serve(answers: Mapping[str, bytes], tell: Connection) -> None:
    async def answer(request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        key = f"{request.method} {request.path}"
        if b'"Device"' in request.body:
            key = "with latencies"
        return Reply(headers=_JSON, body=answers[key])

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(
                partial(
                    trio.serve_tcp,
                    lambda stream: serve_connection(stream, answer),
                    0,
                    host="127.0.0.1",
                )
            )
            tell.send(listener.socket.getsockname()[1])

    trio.run(main)


# -- our side -------------------------------------------------------------------------------------


async def _look(size: int, port: int, answers: Mapping[str, bytes]) -> Row:
    skipped = [0.0]
    board = Board()
    polls: Mailbox[PollerInbox] = Mailbox(Vitals(name="poller", kind="bench"), 4)
    gate: Mailbox[GateInbox] = Mailbox(Vitals(name="gate", kind="bench"), 100_000)
    health: Mailbox[HealthInbox] = Mailbox(Vitals(name="health", kind="bench"), 4)
    rng = random.Random(1)  # noqa: S311 - the same in each run
    calls = [0]
    async with make_client() as client, trio.open_nursery() as nursery:
        client.event_hooks = {"request": [partial(_count, calls)]}
        gateway = HttpGateway(
            client=client,
            base_url=f"http://127.0.0.1:{port}",
            user="admin",
            password=lambda: "none",
            clock=lambda: trio.current_time() + skipped[0],
        )
        poller = GatewayPoller(
            mailbox=polls,
            gateway=gateway,
            gate=gate,
            health=health,
            agents=lambda _: None,
            board=board,
            chance=rng,
            poll_s=3600.0,
        )
        monitor = HealthMonitor(
            mailbox=health,
            board=board,
            agents=lambda _: None,
            limits=Limits(),
            wall=time.time,  # noqa: TID251 - a benchmark runs in real time
            store_fault=lambda: "",
            store_bound=False,
        )
        nursery.start_soon(poller.run)
        nursery.start_soon(monitor.run)
        timed = partial(_timed, polls, monitor)
        for _ in range(3):  # the login, and what Python does only once
            await timed()
        calls[0] = 0
        plain = [await timed() for _ in range(LOOKS)]
        each = round(calls[0] / LOOKS)
        with_latencies = []
        for _ in range(LOOKS // 2):
            skipped[0] += DEVICES_EVERY_S + 1.0
            with_latencies.append(await timed())
        nursery.cancel_scope.cancel()
    constant = sum(
        len(answers[key])
        for key in (
            "GET /api/instances",
            "GET /api/types/Alert/instances",
            "POST /api/instances/System/queryMdmCluster",
        )
    )
    return Row(
        sds=size,
        devices=size * DEVICES_EACH,
        calls=each,
        bytes_each=constant + len(answers["POST /api/instances/querySelectedStatistics"]),
        cpu_s=round(median(plain), 5),
        bytes_with_latencies=constant + len(answers["with latencies"]),
        cpu_with_latencies_s=round(median(with_latencies), 5),
    )


async def _timed(polls: Mailbox[PollerInbox], monitor: HealthMonitor) -> float:
    """CPU seconds of this process, from the wish for a look until its conditions are judged."""
    judged = monitor.mailbox.vitals.handled
    began = time.process_time()
    await polls.put(Refresh(newer_than=trio.current_time() + 1e9))
    with trio.fail_after(120.0):
        while monitor.mailbox.vitals.handled == judged:  # noqa: ASYNC110 - nobody is told
            await trio.sleep(0.001)
    return time.process_time() - began


async def _count(calls: list[int], _request: object) -> None:
    calls[0] += 1
    await trio.lowlevel.checkpoint()
