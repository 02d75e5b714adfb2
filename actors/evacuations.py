"""Operators' orders to remove objects of the storage cluster, stored first and followed to the end.

A part of the gateway poller: after each look every order gets at most one act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, assert_never

import attrs
import structlog
import trio

from actors import messages
from actors.board import AgentSnapshot, Board, Leaving
from actors.journal import Journal
from actors.ports import Gateway
from domain import evacuation, records
from domain.agent import Phase
from domain.evacuation import KINDS, Order, OrdersRecord
from domain.joining import Wait
from domain.removal import OBSERVED
from domain.rollout import SNAPSHOT_AGE_MAX_S
from domain.storage import StorageSnapshot
from protocol.gateway.errors import GatewayProtocolError, GatewayRefusedError

ORDERS_MAX: Final = 64
_GIVEN_UP: Final = frozenset({Phase.RETIRED.value, Phase.DRAINING.value})

log = structlog.get_logger()


@attrs.define(kw_only=True)
class Evacuations:
    """`wall`: unix seconds, for people to read."""

    gateway: Gateway
    journal: Journal
    board: Board
    wall: Callable[[], float]
    mode: str = "run"  # observe: nothing is removed
    verbs: tuple[str, ...] = ()  # of the release, to enter and to leave maintenance; () none
    orders: tuple[Order, ...] = ()
    _why: dict[str, str] = attrs.field(factory=dict)  # object id -> what it waits for

    def restore(self, known: OrdersRecord) -> None:
        self.orders = known.orders
        self._show()

    async def obey(self, word: str, kind: str, object_id: str) -> tuple[int, str]:
        """HTTP status and a sentence. Raises GatewayError."""
        if self.mode == "observe" and word != "keep":
            return 409, OBSERVED
        match word:
            case "remove":
                return await self.take(kind, object_id)
            case "keep":
                return await self.call_off(kind, object_id)
            case _:
                return await self._maintain(kind, object_id, enters=word == "enter-maintenance")

    async def _maintain(self, kind: str, sds_id: str, *, enters: bool) -> tuple[int, str]:
        """Asked for once, and believed when the storage cluster shows it."""
        if kind != "sds":
            return 404, "only an sds has a maintenance mode"
        if not self.verbs:
            return 409, (
                "by which actions this release enters and leaves maintenance is not known: name "
                "them with -scaleio.gateway.maintenance=ENTER,LEAVE"
            )
        storage = await self.gateway.snapshot()
        why_not = (_away(self.board) or evacuation.may_rest(storage, sds_id)) if enters else ""
        if why_not:
            return 409, why_not
        log.info("storage", act="maintenance", on=sds_id, enters=enters)
        self._outdate()
        try:
            await self.gateway.sds_maintenance(sds_id=sds_id, verb=self.verbs[not enters])
        except GatewayRefusedError as refused:
            return 409, f"the storage cluster refuses it: {refused}"
        shown = await self.gateway.snapshot()
        state = "in" if enters else "out of"
        if any(s.id == sds_id and s.in_maintenance is enters for s in shown.sds):
            return 200, f"SDS {sds_id} is {state} maintenance"
        return 202, f"SDS {sds_id} is asked to be {state} maintenance, but does not show it yet"

    async def take(self, kind: str, object_id: str) -> tuple[int, str]:
        """HTTP status and a sentence; the order is stored when it returns."""
        storage = self.board.gateway.storage
        if kind not in KINDS:
            return 404, f"there is no kind {kind}: one of {', '.join(KINDS)}"
        if storage is None:
            return 503, "the storage cluster has not been seen yet"
        if any((one.kind, one.id) == (kind, object_id) for one in self.orders):
            return 202, f"{kind} {object_id} is being removed already"
        name = evacuation.name_of(storage, kind, object_id)
        if not name:
            return 404, f"the storage cluster lists no {kind} {object_id}: see /v1/storage"
        if len(self.orders) >= ORDERS_MAX:
            return 503, f"{ORDERS_MAX} removals are under way: try again when some have ended"
        order = Order(kind=kind, id=object_id, name=name, since=self.wall())
        await self._keep((*self.orders, order))
        return 202, f"{kind} {name} is removed as soon as its data is elsewhere: see /v1/storage"

    async def call_off(self, kind: str, object_id: str) -> tuple[int, str]:
        """What the storage cluster has been asked for already goes on there."""
        left = tuple(one for one in self.orders if (one.kind, one.id) != (kind, object_id))
        if left == self.orders:
            return 404, f"nobody has asked to remove {kind} {object_id}"
        await self._keep(left)
        return 202, f"the removal of {kind} {object_id} is called off"

    async def go_on(self, storage: StorageSnapshot) -> None:
        """One act for the first order that may act; what the others wait for is shown."""
        wanted = _wanted(self.board, storage)
        acted, ended = False, set[str]()
        waits = OBSERVED if self.mode == "observe" else _away(self.board)
        for order in self.orders:
            act = evacuation.next_act(storage, order, wanted)
            match act:
                case evacuation.Gone():
                    log.info("removed from the storage cluster", kind=order.kind, name=order.name)
                    ended.add(order.id)
                case Wait(sentence=sentence):
                    self._why[order.id] = sentence
                case _ if waits:
                    self._why[order.id] = waits
                case _ if acted:
                    self._why[order.id] = "another removal is under way"
                case _:
                    acted = True
                    await self._act(order, act)
        if ended:
            await self._keep(tuple(one for one in self.orders if one.id not in ended))
        self._show()

    async def _act(self, order: Order, act: evacuation.Change) -> None:
        log.info("storage", act=type(act).__name__, on=repr(act))
        self._why[order.id] = "it is being removed: its data moves to the others"
        self._outdate()
        try:
            await self._call(act)
        except GatewayRefusedError as refused:
            self._why[order.id] = f"the storage cluster refuses it: {refused}"
        except GatewayProtocolError as error:  # of this order: the others may go on
            self._why[order.id] = f"this Gateway does not do it: {error}"

    def _outdate(self) -> None:
        """No host reboots on a look from before this: the next look tells what it has changed."""
        seen = self.board.gateway
        if seen.storage is not None:
            taken_at = seen.storage.taken_at - SNAPSHOT_AGE_MAX_S
            storage = attrs.evolve(seen.storage, taken_at=taken_at)
            self.board.gateway = attrs.evolve(seen, storage=storage)

    async def _call(self, act: evacuation.Change) -> None:
        match act:
            case evacuation.RemoveDevice():
                await self.gateway.remove_device(act.device_id)
            case evacuation.RemoveSds():
                await self.gateway.remove_sds(act.sds_id)
            case evacuation.RemoveSdc():
                await self.gateway.remove_sdc(act.sdc_id)
            case evacuation.RemovePool():
                await self.gateway.remove_storage_pool(act.pool_id)
            case evacuation.RemoveDomain():
                await self.gateway.remove_protection_domain(act.domain_id)
            case _:
                assert_never(act)

    async def _keep(self, orders: tuple[Order, ...]) -> None:
        """Stored before it is acted on; what is called off ends at once."""
        self.orders = tuple(one for one in self.orders if one in orders)
        try:
            await self.journal.save(_record(orders))
        except trio.Cancelled:
            # It may be written yet, and was told to be refused: what is in force comes after it.
            after = messages.Save(changes=_record(self.orders), done=trio.Event())
            self.journal.mailbox.offer(after)
            raise
        self.orders = orders
        self._why = {one.id: self._why.get(one.id, "") for one in orders}
        self._show()

    def _show(self) -> None:
        shown = tuple(
            Leaving(
                kind=one.kind,
                id=one.id,
                name=one.name,
                since=one.since,
                why=self._why.get(one.id, ""),
            )
            for one in self.orders
        )
        if shown != self.board.leaving:
            self.board.leaving = shown
            self.board.touch()


def _record(orders: tuple[Order, ...]) -> Mapping[str, bytes | None]:
    kept = records.encode(OrdersRecord(orders=orders)) if orders else None
    return {records.ORDERS_KEY: kept}


def _away(board: Board) -> str:
    """A host that reboots may still look healthy: nobody else is taken away beside it."""
    for host, agent in sorted(board.agents.items()):
        if agent.phase == Phase.REBOOTING.value or agent.missing:
            return f"{host} reboots on our account: wait until it is back and whole"
    return ""


def _wanted(board: Board, storage: StorageSnapshot) -> Mapping[str, str]:
    """Object id -> the agent that has it, or would make it anew."""
    found: dict[str, str] = {}
    domains = {domain.id: domain.name for domain in storage.domains}
    pools = {(domains.get(pool.domain_id, ""), pool.name): pool.id for pool in storage.pools}
    for host, agent in sorted(board.agents.items()):
        if agent.phase in _GIVEN_UP:
            continue
        sds = storage.sds_at(agent.address)
        sdc = storage.sdc_by_guid(agent.facts.sdc_guid) if agent.facts is not None else None
        ids = [one.id for one in (sds, sdc) if one is not None]
        joins = agent.phase == Phase.JOINING.value
        named = set(agent.claimed if joins else ())  # what is named or claimed would be added again
        for wish in agent.layout.provides:
            ids.append(pools.get((wish.domain, wish.pool), ""))
            named.update(wish.devices or ())
        if sds is not None:
            ids += [d.id for d in storage.devices_of(sds.id) if d.path in _aliases(agent, named)]
        found.update((one, host) for one in ids if one)
    return found


def _aliases(agent: AgentSnapshot, named: set[str]) -> frozenset[str]:
    """Every name under which the host knows the disks that are named."""
    found = set(named)
    for disk in agent.facts.disks if agent.facts is not None else ():
        names = {disk.path, disk.by_id, *disk.links} - {""}
        if names & named:
            found |= names
    return frozenset(found)
