"""The Gateway over HTTP: implements `actors.ports.Gateway`.

Each operation can be repeated safely: what is there already counts as done, and a create that
meets an existing object returns that object's id if it is what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs
import httpx

from adapters.gateway_snapshot import assemble
from adapters.gateway_wire import GatewayWire
from domain.storage import StorageSnapshot
from protocol.gateway import health, requests, responses
from protocol.gateway.errors import (
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnlistedError,
)
from protocol.gateway.requests import GatewayRequest, ObjectType
from protocol.gateway.responses import GatewayAnswer
from protocol.gateway.shapes import (
    AlertShape,
    DeviceShape,
    FaultSetShape,
    MdmClusterShape,
    PoolShape,
    PoolStatisticsShape,
    SdsShape,
    SystemShape,
    TreeShape,
)
from protocol.gateway.versions import (
    ALERTS_SINCE,
    MDM_CLUSTER_SINCE,
    ApiVersion,
    pool_statistics,
    version_text,
)

NAME_NOT_FOUND: Final = frozenset({3, 79})
SDS_LEAVES: Final = frozenset({78, 103})  # not there, or being removed
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

    The client stays the caller's: `close` logs out, and does not close it. `pool_media_type`
    is for new pools on releases that want one; Transitional takes disks of every kind.
    """

    client: httpx.AsyncClient = attrs.field(repr=False)
    base_url: str
    user: str
    password: Callable[[], str] = attrs.field(repr=False)
    clock: Callable[[], float] = attrs.field(repr=False)
    deadline_s: float = DEADLINE_S
    pool_media_type: str = attrs.field(default="Transitional", kw_only=True)
    _wire: GatewayWire = attrs.field(init=False, repr=False)
    _system_id: str = attrs.field(default="", init=False)
    # What this Gateway turned out not to have: asked for once, then left out.
    _lacks: set[str] = attrs.field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._wire = GatewayWire(
            client=self.client,
            base_url=self.base_url,
            user=self.user,
            password=self.password,
            clock=self.clock,
            deadline_s=self.deadline_s,
        )

    # --- reading

    async def snapshot(self) -> StorageSnapshot:
        """Never older than `taken_at`, which is when the reading began."""
        taken_at = self.clock()
        with self._wire.deadline():
            api = await self._wire.version()
            tree = await self._tree()
            self._system_id = tree.system.id
            return assemble(
                tree,
                taken_at=taken_at,
                api_version=api,
                statistics=await self._statistics(tree.storage_pool_list or (), api),
                alerts=await self._alerts(api),
                cluster=await self._mdm_cluster(api),
            )

    async def find_volume(self, name: str) -> str | None:
        with self._wire.deadline():
            return await self._volume_id(name)

    # --- creating

    async def create_protection_domain(self, name: str) -> str:
        with self._wire.deadline():
            made = await self._create(requests.create_protection_domain(name))
            if isinstance(made, str):
                return made
            there = responses.domains(await self._list("ProtectionDomain"))
            return _only([d.id for d in there if d.name == name], made)

    async def create_storage_pool(self, *, domain_id: str, name: str) -> str:
        with self._wire.deadline():
            asked = requests.create_storage_pool(
                domain_id=domain_id,
                name=name,
                media_type=self.pool_media_type,
                api=await self._wire.version(),
            )
            made = await self._create(asked)
            if isinstance(made, str):
                return made
            there = responses.pools(await self._list("StoragePool"))
            return _only(_in_domain(there, name, domain_id), made)

    async def create_fault_set(self, *, domain_id: str, name: str) -> str:
        with self._wire.deadline():
            made = await self._create(requests.create_fault_set(domain_id=domain_id, name=name))
            if isinstance(made, str):
                return made
            there = responses.fault_sets(await self._list("FaultSet"))
            same = _in_domain(there, name, domain_id)
            if not same and any(s.name == name for s in there):
                raise _clash(made, f"the fault set {name!r} exists in another protection domain")
            return _only(same, made)

    async def create_sds(
        self, *, domain_id: str, name: str, address: str, fault_set_id: str = ""
    ) -> str:
        with self._wire.deadline():
            asked = requests.create_sds(
                domain_id=domain_id, name=name, address=address, fault_set_id=fault_set_id
            )
            made = await self._create(asked)
            if isinstance(made, str):
                return made
            return _same_sds(
                responses.sds_list(await self._list("Sds")),
                made,
                domain_id=domain_id,
                name=name,
                address=address,
                fault_set_id=fault_set_id,
            )

    async def add_device(self, *, sds_id: str, pool_id: str, path: str, name: str) -> str:
        with self._wire.deadline():
            made = await self._create(
                requests.create_device(sds_id=sds_id, pool_id=pool_id, path=path, name=name)
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
            system_id = self._system_id or (await self._system()).id
            asked = requests.approve_sdc(system_id=system_id, guid=guid, address=address)
            refused = await self._refusal(asked)
            if refused is None:
                return
            sdcs = responses.sdcs(await self._list("Sdc"))
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

    async def _list(self, of: ObjectType) -> GatewayAnswer:
        return await self._wire.call(requests.listing(of))

    async def _volume_id(self, name: str) -> str | None:
        try:
            return responses.found_id(await self._wire.call(requests.volume_id_by_name(name)))
        except GatewayRefusedError as refused:
            if refused.code in NAME_NOT_FOUND:
                return None
            raise

    async def _system(self) -> SystemShape:
        systems = responses.systems(await self._list("System"))
        if not systems:
            raise GatewayProtocolError("the Gateway lists no system: is an MDM configured in it?")
        return systems[0]

    async def _tree(self) -> TreeShape:
        if "tree" not in self._lacks:
            answer = await self._wire.call(requests.instances_tree())
            if answer.status != 404:
                return responses.tree(answer)
        tree = TreeShape(
            system=await self._system(),
            protection_domain_list=responses.domains(await self._list("ProtectionDomain")),
            storage_pool_list=responses.pools(await self._list("StoragePool")),
            sds_list=responses.sds_list(await self._list("Sds")),
            device_list=responses.devices(await self._list("Device")),
            sdc_list=responses.sdcs(await self._list("Sdc")),
            volume_list=responses.volumes(await self._list("Volume")),
        )
        self._lacks.add("tree")  # only now: a Gateway that answers 404 to all is merely ill
        return tree

    async def _statistics(
        self, pools: Sequence[PoolShape], api: ApiVersion
    ) -> dict[str, PoolStatisticsShape]:
        """One query for all pools; where it is refused with 400, everything about each pool."""
        if not pools:
            return {}
        lack = f"statistics {version_text(api)}"
        found: dict[str, PoolStatisticsShape] = {}
        if lack not in self._lacks:
            asked = requests.selected_statistics(
                "StoragePool", [p.id for p in pools], pool_statistics(api)
            )
            answer = await self._wire.call(asked)
            if answer.status != 400:
                found = responses.pool_statistics_by_id(answer)
        if not found:
            for pool in pools:
                asked = requests.related("StoragePool", pool.id, "Statistics")
                found[pool.id] = responses.pool_statistics(await self._wire.call(asked))
            self._lacks.add(lack)
        for pool in pools:
            if pool.id not in found or not health.tells_of_data(found[pool.id]):
                raise GatewayProtocolError(
                    f"the Gateway does not say whether the data of pool {pool.name!r} is whole"
                )
        return found

    async def _alerts(self, api: ApiVersion) -> list[AlertShape]:
        if api < ALERTS_SINCE:
            return []
        answer = await self._list("Alert")
        return [] if answer.status == 404 else responses.alerts(answer)

    async def _mdm_cluster(self, api: ApiVersion) -> MdmClusterShape | None:
        """The query knows virtual addresses; where it is missing, System has the rest."""
        if api < MDM_CLUSTER_SINCE:
            return None
        answer = await self._wire.call(requests.mdm_cluster())
        if answer.status == 404:
            return None
        try:
            return responses.mdm_cluster(answer)
        except GatewayRefusedError as refused:
            if refused.passing:
                raise
            return None


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
