"""The MDM's hand on SDSs: it asks before it takes one or a disk, and sees one go and come back."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

import attrs
import trio

from simulation.gateway import DeviceSize, Refused, SimulatedGateway
from simulation.gateway_capacity import DEVICE_KB_MAX, DEVICE_KB_MIN
from tests.lab.standins import lines
from tests.lab.storage_mdm import messages

PORT: Final = 7072
ASK_S: Final = 2.0
BEAT_S: Final = 0.5
COMMUNICATION: Final = 69


def asked(address: str, message: Mapping[str, object]) -> lines.Message:
    """The SDS's answer to one question; blocks. Raises OSError, ProtocolError.

    The Gateway's hooks are synchronous: a change either happened or was refused when a hook
    returns. A stand-in on this machine answers in well under a millisecond, and a dead one is
    given up after ASK_S; the whole storage side standing still for so long harms no test.
    """
    with socket.create_connection((address, PORT), ASK_S) as connection:
        return lines.ask(connection, message)


@attrs.define(eq=False)
class Supervision:
    """Call `start` within a nursery that lives as long as the Gateway, after it was seeded.

    What the Gateway knows before has no host: its SDSs exist on paper.
    """

    gateway: SimulatedGateway
    nursery: trio.Nursery
    _watched: dict[str, trio.CancelScope] = attrs.field(factory=dict, init=False)
    _devices: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)
    _absent: set[tuple[str, str]] = attrs.field(factory=set, init=False)

    def start(self) -> None:
        self.gateway.on_sds_added = self._sds_added
        self.gateway.on_device_added = self._device_added
        self.gateway.listeners.append(self._listener)

    @property
    def addresses(self) -> frozenset[str]:
        """Of SDSs that run in hosts."""
        return frozenset(self._watched)

    def _sds_added(self, address: str) -> Refused | None:
        try:
            asked(address, {"ask": "ping"})
        except (OSError, lines.ProtocolError) as error:
            return Refused(COMMUNICATION, f"Communication error with the SDS {address}: {error}")
        return None

    def _device_added(self, address: str, path: str) -> Refused | DeviceSize | None:
        if address not in self._watched:
            return None
        try:
            answer = asked(address, {"ask": "measure", "path": path})
            if answer.get("ok") and _fits(answer):
                answer = asked(address, {"ask": "open", "path": path})
        except (OSError, lines.ProtocolError) as error:
            return Refused(COMMUNICATION, f"Communication error with the SDS {address}: {error}")
        if not answer.get("ok"):
            return Refused(int(answer["code"]), str(answer["error"]))
        return DeviceSize(int(answer["size_bytes"]) // 1024)  # the MDM refuses what does not fit

    def _listener(self, kind: str, facts: Mapping[str, object]) -> None:
        match kind:
            case "sds-created":
                address = str(facts["sds_ip"])
                scope = self._watched[address] = trio.CancelScope()
                self.nursery.start_soon(self._watch, address, scope)
            case "sds-removed":
                if (ended := self._watched.pop(str(facts["sds_ip"]), None)) is not None:
                    ended.cancel(reason="the SDS was removed")
            case "device-added":
                self._devices[str(facts["id"])] = (str(facts["sds_ip"]), str(facts["path"]))
            case "device-removed":
                self._release(str(facts["id"]))

    def _release(self, device_id: str) -> None:
        address, path = self._devices.pop(device_id, ("", ""))
        if address in self._watched:
            with contextlib.suppress(OSError, lines.ProtocolError):  # a dead SDS keeps its mark
                asked(address, {"ask": "close", "path": path})

    async def _watch(self, address: str, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                with contextlib.suppress(OSError):
                    await self._converse(address)
                self.gateway.set_sds_connected(address, False)
                await trio.sleep(BEAT_S)

    async def _converse(self, address: str) -> None:
        """Until the SDS is gone."""
        with trio.move_on_after(ASK_S) as connecting:
            stream = await trio.open_tcp_stream(address, PORT)
        if connecting.cancelled_caught:
            return
        async with stream:
            ping = lines.encode({"ask": "ping"})
            answers = messages(stream)
            while True:
                with trio.move_on_after(ASK_S) as scope:
                    try:
                        await stream.send_all(ping)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        return
                    answer = await anext(answers, None)
                if scope.cancelled_caught or answer is None:
                    return
                self._seen(address, answer)
                await trio.sleep(BEAT_S)

    def _seen(self, address: str, answer: lines.Message) -> None:
        """A disk that the SDS does not serve has failed. One answer may be from before it was
        added, so the second one counts."""
        self.gateway.set_sds_connected(address, True)
        for path in self.gateway.devices_of(address):
            absent = path not in answer.get("devices", ())
            failed = absent and (address, path) in self._absent
            self.gateway.set_device_failed(address, path, failed)
            (self._absent.add if absent else self._absent.discard)((address, path))


def _fits(answer: lines.Message) -> bool:
    return DEVICE_KB_MIN <= int(answer["size_bytes"]) // 1024 <= DEVICE_KB_MAX
