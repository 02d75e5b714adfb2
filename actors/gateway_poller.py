"""All traffic with the Gateway: a snapshot each few seconds, and commands one after the other."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors.board import Board, GatewaySnapshot
from actors.mailbox import Mailbox
from actors.messages import GateInbox, PollerInbox, Refresh, SnapshotTaken, StorageRequest
from actors.ports import Gateway
from domain import joining, leaving
from domain.agent import Phase
from domain.inbox import AgentInbox, StorageAnswer
from domain.progress import STORAGE_PATIENCE_S
from domain.storage import StorageSnapshot
from protocol.gateway.errors import (
    GatewayError,
    GatewayProtocolError,
    GatewayRefusedError,
)

SNAPSHOT_FRESH_S: Final = 2.0  # a command may build on one that young
ACTS_MAX: Final = 64 * 2 + 8  # a device is one act, an SDS holds up to 64
CALL_PATIENCE_S: Final = 60.0
PROBE_GB: Final = 8  # the smallest volume there is
RETRY_CEILING_S: Final = 60.0
TOO_FEW_UNITS: Final = frozenset({45, 67, 144})  # no devices, not enough resources, < 3 SDSs
ABSENT: Final = frozenset({79, 84})
WORLDWIDE: Final = ("wwn-", "nvme-eui.")  # by-id names that no two disks have

log = structlog.get_logger()


@attrs.define
class GatewayPoller:
    mailbox: Mailbox[PollerInbox]
    gateway: Gateway
    gate: Mailbox[GateInbox]
    agents: Callable[[str], Mailbox[AgentInbox] | None]
    board: Board
    chance: random.Random
    poll_s: float
    system_id: str = ""  # wins over the name
    system_name: str = ""
    _next_poll: float = 0.0
    _failures: int = 0

    async def run(self) -> None:
        while True:
            message: PollerInbox | None = None
            with trio.move_on_at(self._next_poll):
                message = await self.mailbox.receive()
            match message:
                case None:
                    await self._poll()
                case Refresh(newer_than=newer_than):
                    storage = self.board.gateway.storage
                    if storage is None or storage.taken_at < newer_than:
                        await self._poll()
                    self.gate.offer(SnapshotTaken())
                case StorageRequest():
                    await self._serve(message)
                case _:
                    assert_never(message)

    def _age(self) -> float:
        storage = self.board.gateway.storage
        return float("inf") if storage is None else trio.current_time() - storage.taken_at

    async def _poll(self) -> None:
        try:
            await self._look()
        except GatewayError as error:
            self._failed(error)
        except trio.TooSlowError:
            self._failed(TimeoutError(f"the Gateway did not answer in {CALL_PATIENCE_S:g} s"))

    def _failed(self, error: Exception) -> None:
        """Back off, keep the last good snapshot (its age tells), show why."""
        self._failures += 1
        pause_s = min(RETRY_CEILING_S, self.poll_s * 2.0 ** min(self._failures, 6))
        self._next_poll = trio.current_time() + self.chance.uniform(pause_s / 2, pause_s)
        if self.board.gateway.error != str(error):
            log.warning("the Gateway cannot be polled", error=str(error))
            self.board.gateway = GatewaySnapshot(
                storage=self.board.gateway.storage, error=str(error), since=trio.current_time()
            )
            self.board.touch()

    async def _look(self) -> StorageSnapshot:
        with trio.fail_after(CALL_PATIENCE_S):
            storage = await self.gateway.snapshot()
        self._check_system(storage)
        self._failures = 0
        self._next_poll = trio.current_time() + self.poll_s
        since = self.board.gateway.since if not self.board.gateway.error else trio.current_time()
        self.board.gateway = GatewaySnapshot(storage=storage, since=since)
        self.board.touch()
        self.gate.offer(SnapshotTaken())
        return storage

    def _check_system(self, storage: StorageSnapshot) -> None:
        """A wrong address must not put our disks into a stranger's cluster."""
        if self.system_id and storage.system_id != self.system_id:
            raise GatewayProtocolError(
                f"the Gateway serves system id {storage.system_id}, not {self.system_id}: correct "
                "-scaleio.clusterid or the Gateway's address"
            )
        if not self.system_id and self.system_name and storage.system_name != self.system_name:
            raise GatewayProtocolError(
                f"the Gateway serves system {storage.system_name or '(unnamed)'!r}, not "
                f"{self.system_name!r}: correct -scaleio.clustername or the Gateway's address, or "
                f"name the system with -scaleio.clusterid={storage.system_id}"
            )

    # -- commands -------------------------------------------------------------------------------

    async def _serve(self, request: StorageRequest) -> None:
        """Carry it out; whatever happens, an agent that still waits for it gets one answer."""
        if trio.current_time() - request.asked_at > STORAGE_PATIENCE_S:
            log.info("a request has grown old in the queue", host=request.spec.host)
            return  # it has been put anew since, with what holds now
        try:
            with trio.fail_after(CALL_PATIENCE_S):
                answer = await self._carry_out(request)
        except GatewayRefusedError as error:
            outcome = "waiting" if error.passing else "refused"
            answer = StorageAnswer(request=request.request, outcome=outcome, sentence=str(error))
        except GatewayError as error:
            self._failed(error)
            answer = StorageAnswer(request=request.request, outcome="waiting", sentence=str(error))
        except trio.TooSlowError:
            answer = StorageAnswer(
                request=request.request,
                outcome="waiting",
                sentence=f"the Gateway did not answer in {CALL_PATIENCE_S:g} s",
            )
        if self._has_another_claim(request):
            answer = _waiting("join", "its disks were claimed anew meanwhile")
        target = self.agents(request.spec.host)
        if target is None or not target.offer(answer):
            log.info("an answer of the Gateway found no room", host=request.spec.host)

    async def _carry_out(self, request: StorageRequest) -> StorageAnswer:
        match request.request:
            case "join":
                return await self._join(request)
            case "probe-map":
                return await self._probe_map(request)
            case "probe-clean":
                return await self._probe_clean(request)
            case "leave-check" | "leave" | "leave-last":
                return await self._leave(request)
            case other:
                raise ValueError(f"no such request: {other}")

    async def _fresh(self) -> StorageSnapshot:
        storage = self.board.gateway.storage
        if storage is not None and self._age() <= SNAPSHOT_FRESH_S:
            return storage
        return await self._look()

    async def _join(self, request: StorageRequest) -> StorageAnswer:
        storage = await self._fresh()
        for _ in range(ACTS_MAX):
            act = joining.next_act(storage, request.spec)
            match act:
                case joining.Joined(sds_id=sds_id):
                    return StorageAnswer(request="join", outcome="done", sds_id=sds_id)
                case joining.Wait(sentence=sentence):
                    return StorageAnswer(request="join", outcome="waiting", sentence=sentence)
                case joining.Refuse(sentence=sentence):
                    return StorageAnswer(request="join", outcome="refused", sentence=sentence)
                case joining.AddDevice() if why := self._no_longer(request, act):
                    return _waiting("join", why)
                case joining.AddDevice() if why := _elsewhere(storage, act):
                    return StorageAnswer(request="join", outcome="refused", sentence=why)
                case _:
                    await self._act(act)
            storage = await self._look()
        sentence = "the Gateway takes our calls, but its snapshots do not show their effect"
        return _waiting("join", sentence)

    async def _leave(self, request: StorageRequest) -> StorageAnswer:
        """`leave-check` only looks; `leave-last` finds an SDC that has come back."""
        storage, name = await self._fresh(), request.request
        for _ in range(ACTS_MAX):
            act = leaving.next_act(storage, request.spec, probe_name(request.spec.host))
            match act:
                case leaving.Gone():
                    return StorageAnswer(request=name, outcome="done")
                case joining.Wait(sentence=sentence):
                    return _waiting(name, sentence)
                case _ if name == "leave-check":
                    return StorageAnswer(request=name, outcome="done")
                case leaving.RemoveSds() if name == "leave-last":
                    return _waiting(name, f"SDS {act.name} is in the cluster again: remove it")
                case _ if not self._is_draining(request):
                    return _waiting(name, "the agent is not being removed any more")
                case leaving.RemoveSds():
                    log.info("storage", act="RemoveSds", on=repr(act))
                    await self.gateway.remove_sds(act.sds_id)
                    storage = await self._look()
                    if any(sds.id == act.sds_id for sds in storage.sds):
                        return _waiting(name, f"the data of SDS {act.name} moves to the others")
                    continue
                case _:
                    await self._give_up(act)
            storage = await self._look()
        return _waiting(name, "the Gateway takes our calls, but does not show their effect")

    def _is_draining(self, request: StorageRequest) -> bool:
        shown = self.board.agents.get(request.spec.host)
        return shown is not None and shown.phase == Phase.DRAINING.value

    async def _give_up(
        self, act: leaving.UnmapProbe | leaving.RemoveProbe | leaving.RemoveSdc
    ) -> None:
        log.info("storage", act=type(act).__name__, on=repr(act))
        match act:
            case leaving.UnmapProbe():
                await self.gateway.unmap_volume(volume_id=act.volume_id, sdc_id=act.sdc_id)
            case leaving.RemoveProbe():
                await self.gateway.remove_volume(act.volume_id)
            case leaving.RemoveSdc():
                await self.gateway.remove_sdc(act.sdc_id)
            case _:
                assert_never(act)

    def _no_longer(self, request: StorageRequest, act: joining.AddDevice) -> str:
        """Why the disk may not be given away any more, "" if it may: looked at before each."""
        shown = self.board.agents.get(request.spec.host)
        if shown is None or shown.phase != Phase.JOINING.value:
            return f"device {act.path} stays out: the agent has left the phase joining"
        held = shown.claimed.get(act.path) == request.spec.devices[act.path]
        if not held or self._has_another_claim(request):
            return f"device {act.path} stays out: the agent looks at its disks again"
        return ""

    def _has_another_claim(self, request: StorageRequest) -> bool:
        shown = self.board.agents.get(request.spec.host)
        if shown is None or request.request != "join":
            return False
        return shown.claimed_at != request.claimed_at

    async def _act(
        self,
        act: joining.CreateDomain
        | joining.CreatePool
        | joining.CreateFaultSet
        | joining.CreateSds
        | joining.AddDevice
        | joining.ApproveSdc,
    ) -> None:
        log.info("storage", act=type(act).__name__, on=repr(act))
        match act:
            case joining.CreateDomain(name=name):
                await self.gateway.create_protection_domain(name)
            case joining.CreatePool(domain_id=domain_id, name=name):
                await self.gateway.create_storage_pool(domain_id=domain_id, name=name)
            case joining.CreateFaultSet(domain_id=domain_id, name=name):
                await self.gateway.create_fault_set(domain_id=domain_id, name=name)
            case joining.CreateSds():
                fault_set_id = ""
                if act.fault_set:
                    fault_set_id = await self.gateway.create_fault_set(
                        domain_id=act.domain_id, name=act.fault_set
                    )
                await self.gateway.create_sds(
                    domain_id=act.domain_id,
                    name=act.name,
                    addresses=((act.address, "all"),),
                    fault_set_id=fault_set_id,
                )
            case joining.AddDevice():
                await self.gateway.add_device(
                    sds_id=act.sds_id, pool_id=act.pool_id, path=act.path, name=act.name
                )
            case joining.ApproveSdc(guid=guid, address=address):
                await self.gateway.approve_sdc(guid=guid, address=address)
            case _:
                assert_never(act)

    async def _probe_map(self, request: StorageRequest) -> StorageAnswer:
        """A small thin volume, named after the host so that a crash finds it again."""
        storage = await self._fresh()
        spec = request.spec
        pool = next((p for p in storage.pools if p.name == request.probe_pool), None)
        if pool is None:
            return _skipped(f"there is no storage pool {request.probe_pool}")
        sdc = storage.sdc_by_guid(spec.sdc_guid)
        if sdc is None:
            return StorageAnswer(
                request="probe-map", outcome="waiting", sentence="the SDC is not listed yet"
            )
        name = probe_name(spec.host)
        volume_id = await self.gateway.find_volume(name)
        if volume_id is None:
            try:
                volume_id = await self.gateway.create_volume(
                    pool_id=pool.id, name=name, size_gb=PROBE_GB
                )
            except GatewayRefusedError as error:
                if error.code in TOO_FEW_UNITS:
                    return _skipped(f"pool {pool.name} cannot hold a volume yet: {error}")
                raise
        await self.gateway.map_volume(volume_id=volume_id, sdc_id=sdc.id)
        return StorageAnswer(request="probe-map", outcome="done", volume_id=volume_id)

    async def _probe_clean(self, request: StorageRequest) -> StorageAnswer:
        storage = await self._fresh()
        sdc = storage.sdc_by_guid(request.spec.sdc_guid)
        try:
            if sdc is not None:
                await self.gateway.unmap_volume(volume_id=request.volume_id, sdc_id=sdc.id)
            await self.gateway.remove_volume(request.volume_id)
        except GatewayRefusedError as error:
            if error.code not in ABSENT:
                raise
        return StorageAnswer(request="probe-clean", outcome="done")


def _elsewhere(storage: StorageSnapshot, act: joining.AddDevice) -> str:
    """Where the disk is given away already: two hosts on one shelf may see the same one."""
    if not act.path.rpartition("/")[2].startswith(WORLDWIDE):
        return ""
    there = next(
        (d for d in storage.devices if d.path == act.path and d.sds_id != act.sds_id), None
    )
    if there is None:
        return ""
    name = next((s.name for s in storage.sds if s.id == there.sds_id), there.sds_id)
    return (
        f"device {act.path} is in use by SDS {name} already: two hosts must not share a disk; "
        "name each host's own disks in its attributes, or list it in devices.deny on one of them"
    )


def _waiting(request: str, sentence: str) -> StorageAnswer:
    return StorageAnswer(request=request, outcome="waiting", sentence=sentence)


def _skipped(sentence: str) -> StorageAnswer:
    return StorageAnswer(request="probe-map", outcome="skipped", sentence=sentence)


def probe_name(host: str) -> str:
    """At most 31 characters, and no collisions by cutting."""
    return f"probe-{hashlib.sha256(host.encode()).hexdigest()[:20]}"
