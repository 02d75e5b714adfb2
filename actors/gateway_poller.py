"""All traffic with the Gateway: a snapshot each few seconds, and commands one after the other."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors import storage_acts as acts
from actors.board import Board, GatewaySnapshot
from actors.evacuations import Evacuations
from actors.mailbox import Mailbox
from actors.messages import (
    ORDER_PATIENCE_S,
    GateInbox,
    HealthInbox,
    Look,
    PollerInbox,
    Refresh,
    SnapshotTaken,
    StorageOrder,
    StorageRequest,
)
from actors.ports import Gateway
from domain import joining, leaving, polling
from domain.agent import Phase
from domain.inbox import AgentInbox, StorageAnswer
from domain.progress import STORAGE_PATIENCE_S
from domain.storage import StorageSnapshot
from protocol.gateway.errors import (
    GatewayCertificateError,
    GatewayError,
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
)

SNAPSHOT_FRESH_S: Final = 2.0  # a command may build on one that young
ACTS_MAX: Final = 64 * 2 + 8  # a device is one act, an SDS holds up to 64
CALL_PATIENCE_S: Final = 60.0
RETRY_CEILING_S: Final = 60.0

log = structlog.get_logger()


class WrongSystemError(GatewayProtocolError):
    """It is somebody else's storage cluster."""


@attrs.define
class GatewayPoller:
    mailbox: Mailbox[PollerInbox]
    gateway: Gateway
    gate: Mailbox[GateInbox]
    health: Mailbox[HealthInbox]
    agents: Callable[[str], Mailbox[AgentInbox] | None]
    board: Board
    chance: random.Random
    poll_s: float
    evacuations: Evacuations | None = None
    system_id: str = ""  # wins over the name
    system_name: str = ""
    _next_poll: float = 0.0
    _failures: int = 0
    _changed_at: float = 0.0  # the last command, or look that showed the cluster not at rest

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
                case StorageOrder():
                    await self._take(message)
                case _:
                    assert_never(message)

    def _age(self) -> float:
        storage = self.board.gateway.storage
        return float("inf") if storage is None else trio.current_time() - storage.taken_at

    async def _take(self, message: StorageOrder) -> None:
        if self.evacuations is None:
            message.answer(503, "orders are not possible here")
            return
        if trio.current_time() > message.asked_at + ORDER_PATIENCE_S:
            return  # who asked was told that nothing was done
        try:
            with trio.fail_after(CALL_PATIENCE_S):
                told = await self.evacuations.obey(message.word, message.kind, message.id)
        except (GatewayError, trio.TooSlowError) as error:
            why = str(error) or "neither store nor Gateway answered in time"
            told = 503, f"nothing is done: {why}"
        message.answer(*told)
        self._next_poll = trio.current_time()

    async def _poll(self) -> None:
        try:
            storage = await self._look()
            if self.evacuations is not None and self.evacuations.orders:
                with trio.fail_after(CALL_PATIENCE_S):
                    await self.evacuations.go_on(storage)
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
                storage=self.board.gateway.storage,
                error=str(error),
                fault=_fault(error),
                since=trio.current_time(),
            )
            self.board.touch()
        self.health.offer(Look())

    async def _look(self) -> StorageSnapshot:
        began = trio.current_time()
        with trio.fail_after(CALL_PATIENCE_S):
            storage = await self.gateway.snapshot()
        self._check_system(storage)
        self._failures = 0
        now = trio.current_time()
        ordered = self.evacuations is not None and self.evacuations.orders
        if ordered or not polling.is_at_rest(storage):
            self._changed_at = now
        self._next_poll = now + polling.pause_s(
            storage,
            poll_s=self.poll_s,
            took_s=now - began,
            quiet_s=now - self._changed_at,
            chance=self.chance.random(),
        )
        if self.board.gateway.error:
            log.info("the Gateway is polled again", gateway=storage.gateway_url)
        since = self.board.gateway.since if not self.board.gateway.error else now
        self.board.gateway = GatewaySnapshot(storage=storage, since=since)
        self.board.touch()
        self.gate.offer(SnapshotTaken())
        self.health.offer(Look())
        return storage

    def _check_system(self, storage: StorageSnapshot) -> None:
        """A wrong address must not put our disks into a stranger's cluster."""
        if self.system_id and storage.system_id != self.system_id:
            raise WrongSystemError(
                f"the Gateway serves system id {storage.system_id}, not {self.system_id}: correct "
                "-scaleio.clusterid or the Gateway's address"
            )
        if not self.system_id and self.system_name and storage.system_name != self.system_name:
            raise WrongSystemError(
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
        self._changed_at = trio.current_time()
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
            answer = acts.waiting("join", "its disks were claimed anew meanwhile")
        target = self.agents(request.spec.host)
        if target is None or not target.offer(answer):
            log.info("an answer of the Gateway found no room", host=request.spec.host)

    async def _carry_out(self, request: StorageRequest) -> StorageAnswer:
        match request.request:
            case "join":
                return await self._join(request)
            case "probe-map":
                return await acts.map_probe(self.gateway, await self._fresh(), request)
            case "probe-clean":
                return await acts.clean_probe(self.gateway, await self._fresh(), request)
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
                    return acts.waiting("join", why)
                case joining.AddDevice() if why := acts.elsewhere(storage, act):
                    return StorageAnswer(request="join", outcome="refused", sentence=why)
                case _:
                    await acts.make(self.gateway, act)
            storage = await self._look()
        sentence = "the Gateway takes our calls, but its snapshots do not show their effect"
        return acts.waiting("join", sentence)

    async def _leave(self, request: StorageRequest) -> StorageAnswer:
        """`leave-check` only looks; `leave-last` finds an SDC that has come back."""
        storage, name = await self._fresh(), request.request
        for _ in range(ACTS_MAX):
            act = leaving.next_act(storage, request.spec, joining.probe_name(request.spec.host))
            match act:
                case leaving.Gone():
                    return StorageAnswer(request=name, outcome="done")
                case joining.Wait(sentence=sentence):
                    return acts.waiting(name, sentence)
                case _ if name == "leave-check":
                    return StorageAnswer(request=name, outcome="done")
                case leaving.RemoveSds() if name == "leave-last":
                    return acts.waiting(name, f"SDS {act.name} is in the cluster again: remove it")
                case _ if not self._is_draining(request):
                    return acts.waiting(name, "the agent is not being removed any more")
                case leaving.RemoveSds():
                    await acts.give_up(self.gateway, act)
                    storage = await self._look()
                    if any(sds.id == act.sds_id for sds in storage.sds):
                        return acts.waiting(name, f"the data of SDS {act.name} moves to the others")
                    continue
                case _:
                    await acts.give_up(self.gateway, act)
            storage = await self._look()
        return acts.waiting(name, "the Gateway takes our calls, but does not show their effect")

    def _is_draining(self, request: StorageRequest) -> bool:
        shown = self.board.agents.get(request.spec.host)
        return shown is not None and shown.phase == Phase.DRAINING.value

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


def _fault(error: Exception) -> str:
    """The kind of trouble, in a word: what an operator has to do differs."""
    match error:
        case GatewayLoginError():
            return "login"
        case GatewayCertificateError():
            return "certificate"
        case WrongSystemError():
            return "system"
        case GatewayProtocolError():
            return "protocol"
        case _:
            return "unreachable"
