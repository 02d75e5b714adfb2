"""Deliberate wrongs for `simulate --plant NAME`: each sits in a double, never in the product."""

from __future__ import annotations

from typing import Any, Final

import attrs
import msgspec

from commands.wires import Plant
from simulation.http_server import Cut, Handler, Reply, Request, StreamReply
from simulation.mesos_observed import TaskChanged
from simulation.world import GATEWAY_NAME, HostEvent, World, WorldEvent

HOT_LOOP_CALLS: Final = 3000
STRANGE_KERNEL: Final = "6.9.12-rescue"
SEEDED_SDS: Final = "10.0.1.1"  # one of those that are no agents


@attrs.define
class Silent:
    """Changes nothing on the wire: the wrong is elsewhere in the world, or in a kind of it."""

    def subscription(self, body: bytes) -> bytes:
        return body

    def call(self, body: bytes) -> bytes:
        return body

    def stream(self, stream_id: str) -> str:
        return stream_id

    def times(self, body: bytes) -> int:  # noqa: ARG002 - of any call
        return 1


@attrs.define
class DoubleLaunch(Silent):
    """The wire between product and master launches the first installation twice."""

    done: bool = False

    def call(self, body: bytes) -> bytes:
        task = _task(body, "prerequisites")
        if self.done or task is None:
            return body
        self.done = True
        call = msgspec.json.decode(body)
        tasks = call["accept"]["operations"][0]["launch"]["task_infos"]
        twin = msgspec.json.decode(msgspec.json.encode(tasks[0]))
        head = twin["task_id"]["value"][:-8]
        twin["task_id"]["value"] = f"{head}ffffffff"
        tasks.append(twin)
        return msgspec.json.encode(call)


@attrs.define
class LeakedSecret(Silent):
    """The password is put into the environment of one task."""

    password: str = attrs.field(repr=False)
    done: bool = False

    def call(self, body: bytes) -> bytes:
        task = _task(body, "sdc")
        if self.done or task is None:
            return body
        self.done = True
        call = msgspec.json.decode(body)
        tasks = call["accept"]["operations"][0]["launch"]["task_infos"]
        variables = tasks[0]["command"]["environment"]["variables"]
        variables.append({"name": "DEBUG_LOGIN", "value": f"admin:{self.password}"})
        return msgspec.json.encode(call)


@attrs.define
class ForgottenIdentity(Silent):
    """The second SUBSCRIBE leaves without our framework id."""

    seen: int = 0

    def subscription(self, body: bytes) -> bytes:
        self.seen += 1
        if self.seen != 2:
            return body
        call = msgspec.json.decode(body)
        call.pop("framework_id", None)
        call["subscribe"]["framework_info"].pop("id", None)
        return msgspec.json.encode(call)


@attrs.define
class DeadStream(Silent):
    """One call leaves on the stream before the present one."""

    first: str = ""
    done: bool = False

    def stream(self, stream_id: str) -> str:
        self.first = self.first or stream_id
        if self.done or stream_id == self.first:
            return stream_id
        self.done = True
        return self.first


@attrs.define
class HotLoop(Silent):
    """One REVIVE leaves thousands of times."""

    done: bool = False

    def times(self, body: bytes) -> int:
        if self.done or msgspec.json.decode(body).get("type") != "REVIVE":
            return 1
        self.done = True
        return HOT_LOOP_CALLS


def plant(name: str, world: World) -> Plant:
    """Arm the wrong of that name. Raises ValueError with the names there are."""
    match name:
        case "double-launch":
            return DoubleLaunch()
        case "leaked-secret":
            return LeakedSecret(world.shape.password)
        case "forgotten-identity":
            return ForgottenIdentity()
        case "dead-stream":
            return DeadStream()
        case "hot-loop":
            return HotLoop()
        case "forced-device":
            world.network.listen(GATEWAY_NAME, 443, _forcing(world.gateway.handler))
            return Silent()
        case "device-with-data":
            world.listeners.append(lambda event: _write_data_after_claim(world, event))
            return Silent()
        case "kernel-mismatch":
            _wrong_kernel(world)
            return Silent()
        case "reboot-while-degraded":
            world.gateway.faults.excused = False
            world.listeners.append(lambda event: _degrade_unseen(world, event))
            return Silent()
        case _:
            raise ValueError(f"--plant {name}: expected one of {', '.join(NAMES)}")


NAMES: Final = (
    "double-launch", "device-with-data", "reboot-while-degraded", "leaked-secret",
    "forgotten-identity", "dead-stream", "hot-loop", "forced-device", "kernel-mismatch",
)  # fmt: skip
NO_WRONG_OF_OURS: Final = frozenset({"kernel-mismatch"})  # the product is to tell of it, no more


def _wrong_kernel(world: World) -> None:
    """One host has booted a kernel for which there is no SDC, and would boot it again."""
    host = world.hosts[sorted(world.hosts)[min(2, len(world.hosts) - 1)]]
    host.kernel = host.next_kernel = STRANGE_KERNEL
    host.kernels.add(STRANGE_KERNEL)


def right_kernel(world: World, name: str) -> str:
    """What an operator does about it at that host's console; a word for people."""
    host = world.hosts[name]
    host.kernels.discard(STRANGE_KERNEL)
    host.kernel = host.next_kernel = host.os.kernel
    return f"{name} runs kernel {host.kernel}"


def _forcing(handler: Handler) -> Handler:
    """Between product and Gateway: every device is taken over by force."""

    async def forced(request: Request) -> Reply | StreamReply | Cut:
        if request.method == "POST" and request.path == "/api/types/Device/instances":
            body = {**msgspec.json.decode(request.body), "forceDeviceTakeover": "TRUE"}
            request = attrs.evolve(request, body=msgspec.json.encode(body))
        return await handler(request)

    return forced


def _write_data_after_claim(world: World, event: WorldEvent) -> None:
    """The host's claim step says "empty", and is wrong about one disk."""
    if isinstance(event, TaskChanged) and event.step == "claim" and not event.running:
        for disk in world.hosts[event.hostname].disks:
            if disk.mounted_at != "/":
                disk.zero = False


def _degrade_unseen(world: World, event: WorldEvent) -> None:
    """The Gateway shows a healthy cluster that has lost an SDS, until the host is back."""
    armed = isinstance(event, TaskChanged) and event.step == "reboot" and not event.running
    if armed and not world.gateway.faults.stale:
        world.gateway.faults.stale = True
        world.gateway.set_sds_connected(SEEDED_SDS, connected=False)
    if isinstance(event, HostEvent) and event.kind == "up":
        world.gateway.faults.stale = False
        world.gateway.set_sds_connected(SEEDED_SDS, connected=True)


def _task(body: bytes, step: str) -> dict[str, Any] | None:
    """The task of a LAUNCH of that step in a call's body."""
    call = msgspec.json.decode(body)
    if call.get("type") != "ACCEPT":
        return None
    task: dict[str, Any] = call["accept"]["operations"][0]["launch"]["task_infos"][0]
    labels = {label["key"]: label["value"] for label in task["labels"]["labels"]}
    return task if labels.get("scaleio.step") == step else None
