"""The Gateway over HTTP: implements `actors.ports.Gateway`.

Each operation can be repeated safely: what is there already counts as done, and a create that
meets an existing object returns that object's id if it is what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs
import httpx

from adapters.gateway_reader import GatewayReader
from adapters.gateway_tls import Seen
from adapters.gateway_wire import GatewayWire, Place
from domain.storage import StorageSnapshot
from protocol.gateway import requests, responses
from protocol.gateway.errors import GatewayRefusedError, GatewayUnlistedError
from protocol.gateway.requests import GatewayRequest
from protocol.gateway.shapes import DeviceShape, FaultSetShape, PoolShape, SdsShape

NAME_NOT_FOUND: Final = frozenset({3, 79})
SDS_LEAVES: Final = frozenset({78, 103})  # not there, or being removed
DEVICE_LEAVES: Final = frozenset({126, 135})
POOL_GONE: Final = frozenset({171})
DOMAIN_GONE: Final = frozenset({142})
SDC_GONE: Final = frozenset({80})
VOLUME_GONE: Final = frozenset({79})
# SDS attached, its address, its name; volume; device; domain; pool (twice); device name.
NAME_TAKEN: Final = frozenset({75, 93, 98, 99, 100, 141, 170, 173, 206})
ALREADY_MAPPED: Final = frozenset({81})
NOT_MAPPED: Final = frozenset({79, 84})  # a volume that is gone is mapped nowhere
DEADLINE_S: Final = 30.0


@attrs.define
class HttpGateway:
    """`password` is read at each login; `clock` gives monotonic seconds for session ages.

    `others` are further Gateways of the same cluster, for when the first does not answer;
    `chance` (0 to 1) spreads repetitions. The client stays the caller's: `close` logs out, and
    does not close it. `pool_media_type` is for new pools on releases that want one; Transitional
    takes disks of every kind.
    """

    client: httpx.AsyncClient = attrs.field(repr=False)
    base_url: str
    user: str
    password: Callable[[], str] = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    deadline_s: float = DEADLINE_S
    others: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    pool_media_type: str = attrs.field(default="Transitional", kw_only=True)
    chance: Callable[[], float] = attrs.field(default=lambda: 0.5, kw_only=True, repr=False)
    seen: Seen = attrs.field(factory=Seen, kw_only=True)
    _wire: GatewayWire = attrs.field(init=False, repr=False)
    _reader: GatewayReader = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._wire = GatewayWire(
            client=self.client,
            places=tuple(Place(url=url) for url in (self.base_url, *self.others)),
            user=self.user,
            password=self.password,
            clock=self.clock,
            chance=self.chance,
            deadline_s=self.deadline_s,
        )
        self._reader = GatewayReader(wire=self._wire, clock=self.clock, seen=self.seen)

    # --- reading

    async def snapshot(self) -> StorageSnapshot:
        """Never older than `taken_at`, which is when the reading began."""
        with self._wire.deadline():
            return await self._reader.snapshot()

    async def find_volume(self, name: str) -> str | None:
        with self._wire.deadline():
            return await self._volume_id(name)

    # --- creating

    async def create_protection_domain(self, name: str) -> str:
        with self._wire.deadline():
            made = await self._create(requests.create_protection_domain(name))
            if isinstance(made, str):
                return made
            there = responses.domains(await self._reader.list("ProtectionDomain"))
            return _only([d.id for d in there if d.name == name], made)

    async def create_storage_pool(
        self, *, domain_id: str, name: str, media_type: str = "", spare_percent: int = 0
    ) -> str:
        with self._wire.deadline():
            asked = requests.create_storage_pool(
                domain_id=domain_id,
                name=name,
                media_type=media_type or self.pool_media_type,
                api=await self._wire.version(),
                spare_percent=spare_percent,
            )
            made = await self._create(asked)
            if isinstance(made, str):
                return made
            there = responses.pools(await self._reader.list("StoragePool"))
            return _only(_in_domain(there, name, domain_id), made)

    async def create_fault_set(self, *, domain_id: str, name: str) -> str:
        with self._wire.deadline():
            made = await self._create(requests.create_fault_set(domain_id=domain_id, name=name))
            if isinstance(made, str):
                return made
            there = responses.fault_sets(await self._reader.list("FaultSet"))
            same = _in_domain(there, name, domain_id)
            if not same and any(s.name == name for s in there):
                raise _clash(made, f"the fault set {name!r} exists in another protection domain")
            return _only(same, made)

    async def create_sds(
        self,
        *,
        domain_id: str,
        name: str,
        addresses: Sequence[tuple[str, str]],
        fault_set_id: str = "",
    ) -> str:
        """`addresses`: (ip, role); by the first one an SDS that is there already is known."""
        with self._wire.deadline():
            asked = requests.create_sds(
                domain_id=domain_id, name=name, addresses=addresses, fault_set_id=fault_set_id
            )
            made = await self._create(asked)
            if isinstance(made, str):
                return made
            return _same_sds(
                responses.sds_list(await self._reader.list("Sds")),
                made,
                domain_id=domain_id,
                name=name,
                address=addresses[0][0],
                fault_set_id=fault_set_id,
            )

    async def add_device(
        self, *, sds_id: str, pool_id: str, path: str, name: str, test_mode: str = ""
    ) -> str:
        with self._wire.deadline():
            made = await self._create(
                requests.create_device(
                    sds_id=sds_id, pool_id=pool_id, path=path, name=name, test_mode=test_mode
                )
            )
            if isinstance(made, str):
                return made
            answer = await self._wire.call(requests.related("Sds", sds_id, "Device"))
            there = responses.devices(answer)
            return _same_device(there, made, pool_id=pool_id, path=path, name=name)

    async def create_volume(self, *, pool_id: str, name: str, size_gb: int) -> str:
        """The size is rounded up to the next 8 GB, as the storage would."""
        with self._wire.deadline():
            made = await self._create(
                requests.create_volume(pool_id=pool_id, name=name, size_gb=size_gb)
            )
            if isinstance(made, str):
                return made
            found = await self._volume_id(name)
            if found is None:
                raise _unlisted(made)
            volume = responses.volume(await self._wire.call(requests.one("Volume", found)))
            wanted_kb = requests.volume_size_kb(size_gb)
            if volume.storage_pool_id != pool_id or volume.size_in_kb != wanted_kb:
                raise _clash(
                    made,
                    f"the volume {name!r} exists with another pool or size "
                    f"({volume.size_in_kb} KB in pool {volume.storage_pool_id})",
                )
            return found

    # --- changing

    async def approve_sdc(self, *, guid: str, address: str) -> None:
        """Also done when the Gateway refuses, but lists the SDC as approved."""
        with self._wire.deadline():
            system_id = self._reader.system_id or (await self._reader.system()).id
            asked = requests.approve_sdc(system_id=system_id, guid=guid, address=address)
            refused = await self._refusal(asked)
            if refused is None:
                return
            sdcs = responses.sdcs(await self._reader.list("Sdc"))
            wanted = guid.upper()
            if not any((s.sdc_guid or "").upper() == wanted and s.sdc_approved for s in sdcs):
                raise refused

    async def map_volume(self, *, volume_id: str, sdc_id: str) -> None:
        await self._do(requests.map_volume(volume_id=volume_id, sdc_id=sdc_id), ALREADY_MAPPED)

    async def unmap_volume(self, *, volume_id: str, sdc_id: str) -> None:
        await self._do(requests.unmap_volume(volume_id=volume_id, sdc_id=sdc_id), NOT_MAPPED)

    async def remove_volume(self, volume_id: str) -> None:
        await self._do(requests.remove_volume(volume_id), VOLUME_GONE)

    async def remove_sds(self, sds_id: str) -> None:
        await self._do(requests.remove_sds(sds_id), SDS_LEAVES)

    async def remove_sdc(self, sdc_id: str) -> None:
        await self._do(requests.remove_sdc(sdc_id), SDC_GONE)

    async def remove_device(self, device_id: str) -> None:
        await self._do(requests.remove_device(device_id), DEVICE_LEAVES)

    async def remove_storage_pool(self, pool_id: str) -> None:
        await self._do(requests.remove_storage_pool(pool_id), POOL_GONE)

    async def remove_protection_domain(self, domain_id: str) -> None:
        await self._do(requests.remove_protection_domain(domain_id), DOMAIN_GONE)

    async def name_sdc(self, *, sdc_id: str, name: str) -> None:
        await self._do(requests.name_sdc(sdc_id=sdc_id, name=name), frozenset())

    async def set_capacity_thresholds(self, *, pool_id: str, high: int, critical: int) -> None:
        asked = requests.set_capacity_thresholds(pool_id=pool_id, high=high, critical=critical)
        await self._do(asked, frozenset())

    async def add_sds_address(self, *, sds_id: str, address: str, role: str) -> None:
        asked = requests.add_sds_address(sds_id=sds_id, address=address, role=role)
        await self._do(asked, frozenset())

    async def set_sds_address_role(self, *, sds_id: str, address: str, role: str) -> None:
        asked = requests.set_sds_address_role(sds_id=sds_id, address=address, role=role)
        await self._do(asked, frozenset())

    async def sds_maintenance(self, *, sds_id: str, verb: str) -> None:
        """Enter or leave it, by the verb that the operator has named for the release."""
        await self._do(requests.sds_maintenance(sds_id=sds_id, verb=verb), frozenset())

    async def close(self) -> None:
        """Log out, within a short timeout; raises nothing."""
        await self._wire.log_out()

    # --- steps

    async def _do(self, request: GatewayRequest, done_already: frozenset[int]) -> None:
        with self._wire.deadline():
            refused = await self._refusal(request)
            if refused is not None and refused.code not in done_already:
                raise refused

    async def _refusal(self, request: GatewayRequest) -> GatewayRefusedError | None:
        answer = await self._wire.call(request)
        try:
            responses.done(answer)
        except GatewayRefusedError as refused:
            return refused
        return None

    async def _create(self, request: GatewayRequest) -> str | GatewayRefusedError:
        """The new id, or the refusal: it may mean that the object is there already."""
        answer = await self._wire.call(request)
        try:
            return responses.created_id(answer)
        except GatewayRefusedError as refused:
            if refused.passing:
                raise
            return refused

    async def _volume_id(self, name: str) -> str | None:
        try:
            return responses.found_id(await self._wire.call(requests.volume_id_by_name(name)))
        except GatewayRefusedError as refused:
            if refused.code in NAME_NOT_FOUND:
                return None
            raise


def _in_domain(
    objects: Iterable[PoolShape | FaultSetShape], name: str, domain_id: str
) -> list[str]:
    return [o.id for o in objects if o.name == name and o.protection_domain_id == domain_id]


def _only(ids: Sequence[str], refused: GatewayRefusedError) -> str:
    """The id of what is there already; otherwise the refusal had another reason."""
    if not ids:
        raise _unlisted(refused)
    return ids[0]


def _same_sds(
    there: Sequence[SdsShape],
    refused: GatewayRefusedError,
    *,
    domain_id: str,
    name: str,
    address: str,
    fault_set_id: str,
) -> str:
    at_address = next((s for s in there if address in _addresses(s)), None)
    if at_address is None:
        other = next((s for s in there if s.name == name), None)
        if other is None:
            raise _unlisted(refused)
        raise _clash(
            refused,
            f"the name {name!r} belongs to the SDS at {', '.join(_addresses(other))}, "
            f"not at {address}",
        )
    if at_address.protection_domain_id != domain_id:
        raise _clash(
            refused,
            f"{address} already serves as SDS {at_address.name!r} in protection domain "
            f"{at_address.protection_domain_id}, not in {domain_id}",
        )
    if (at_address.fault_set_id or "") != fault_set_id:
        raise _clash(
            refused,
            f"the SDS {at_address.name!r} at {address} is in fault set "
            f"{at_address.fault_set_id or '(none)'}, not in {fault_set_id or '(none)'}; "
            "that can only be changed by removing and adding it",
        )
    return at_address.id


def _addresses(sds: SdsShape) -> list[str]:
    return [at.ip for at in sds.ip_list or () if at.ip]


def _same_device(
    there: Sequence[DeviceShape],
    refused: GatewayRefusedError,
    *,
    pool_id: str,
    path: str,
    name: str,
) -> str:
    for device in there:
        if path in {device.device_current_path_name, device.device_original_path_name}:
            if device.storage_pool_id == pool_id:
                return device.id
            raise _clash(refused, f"{path} is already in storage pool {device.storage_pool_id}")
    if name and (other := next((d for d in there if d.name == name), None)) is not None:
        raise _clash(
            refused, f"the name {name!r} belongs to the device {other.device_current_path_name}"
        )
    raise _unlisted(refused)


def _clash(refused: GatewayRefusedError, what: str) -> GatewayRefusedError:
    return GatewayRefusedError(code=refused.code, message=what, status=refused.status)


def _unlisted(refused: GatewayRefusedError) -> GatewayRefusedError:
    """What has the name must be somewhere: the list is behind, and shows it later."""
    if refused.code not in NAME_TAKEN:
        return refused
    return GatewayUnlistedError(
        code=refused.code,
        message=f"{refused.message}, but the Gateway does not list it yet",
        status=refused.status,
    )
