"""Reading the whole cluster from a Gateway: few calls, whatever its size.

At any size one look is four calls from 2.5 on: the tree, the MDM cluster, the alerts, and one
query of statistics. Older releases take one query for each type of statistics. Latencies of
devices, the largest answer, are read each minute only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
import structlog

from adapters.gateway_snapshot import assemble
from adapters.gateway_tls import Seen
from adapters.gateway_wire import GatewayWire
from domain.storage import StorageSnapshot
from protocol.gateway import health, requests, responses
from protocol.gateway.errors import GatewayProtocolError, GatewayRefusedError
from protocol.gateway.requests import ObjectType
from protocol.gateway.responses import GatewayAnswer
from protocol.gateway.shapes import (
    AlertShape,
    DeviceStatisticsShape,
    JointStatisticsShape,
    MdmClusterShape,
    PoolShape,
    PoolStatisticsShape,
    SdsStatisticsShape,
    SystemShape,
    TreeShape,
)
from protocol.gateway.versions import (
    ALERTS_SINCE,
    JOINT_STATISTICS_SINCE,
    MDM_CLUSTER_SINCE,
    ApiVersion,
    device_statistics,
    pool_essentials,
    pool_statistics,
    sds_statistics,
)

DEVICES_EVERY_S: Final = 60.0  # ten thousand latencies are a megabyte

log = structlog.get_logger()


@attrs.define(kw_only=True)
class GatewayReader:
    """What a Gateway turned out not to have is asked for once, and left out from then on."""

    wire: GatewayWire
    clock: Callable[[], float] = attrs.field(repr=False)
    seen: Seen
    system_id: str = attrs.field(default="", init=False)
    _lacks: set[str] = attrs.field(factory=set, init=False)
    _version: ApiVersion | None = attrs.field(default=None, init=False)
    _latencies: Mapping[str, DeviceStatisticsShape] = attrs.field(factory=dict, init=False)
    _latencies_at: float = attrs.field(default=float("-inf"), init=False)

    async def snapshot(self) -> StorageSnapshot:
        """Never older than `taken_at`, which is when the reading began."""
        while True:
            api = await self.wire.version()
            if api != self._version:  # another Gateway, or a newer one: what it lacks is not known
                self._version, self._lacks, self._latencies_at = api, set(), float("-inf")
            shown = await self._look(api)
            if await self.wire.version() == api:
                return shown  # else it was replaced in the middle of the look

    async def _look(self, api: ApiVersion) -> StorageSnapshot:
        taken_at = self.clock()
        tree = await self._tree()
        self.system_id = tree.system.id
        statistics = await self._statistics(tree.storage_pool_list or (), api)
        return assemble(
            tree,
            taken_at=taken_at,
            api_version=api,
            statistics=statistics.pools,
            traffic=statistics.sds,
            latencies=self._latencies,
            alerts=await self._alerts(api),
            cluster=await self._mdm_cluster(api),
            gateway_url=self.wire.url,
            gateway_time=self.wire.gateway_time,
            certificate=self.seen,
        )

    async def system(self) -> SystemShape:
        systems = responses.systems(await self.list("System"))
        if not systems:
            raise GatewayProtocolError("the Gateway lists no system: is an MDM configured in it?")
        return systems[0]

    async def list(self, of: ObjectType) -> GatewayAnswer:
        return await self.wire.call(requests.listing(of))

    async def _tree(self) -> TreeShape:
        if "tree" not in self._lacks:
            answer = await self.wire.call(requests.instances_tree())
            if answer.status != 404:
                return responses.tree(answer)
        tree = TreeShape(
            system=await self.system(),
            protection_domain_list=responses.domains(await self.list("ProtectionDomain")),
            storage_pool_list=responses.pools(await self.list("StoragePool")),
            fault_set_list=responses.fault_sets(await self.list("FaultSet")),
            sds_list=responses.sds_list(await self.list("Sds")),
            device_list=responses.devices(await self.list("Device")),
            sdc_list=responses.sdcs(await self.list("Sdc")),
            volume_list=responses.volumes(await self.list("Volume")),
        )
        self._lacks.add("tree")  # only now: a Gateway that answers 404 to all is merely ill
        return tree

    # --- statistics

    async def _statistics(
        self, pools: Sequence[PoolShape], api: ApiVersion
    ) -> JointStatisticsShape:
        """Of pools in each look; of SDSs and devices as far as the release tells them."""
        with_devices = self.clock() - self._latencies_at >= DEVICES_EVERY_S
        found = await self._joint(pools, api, with_devices=with_devices)
        if found is None:
            found = JointStatisticsShape(
                pools=await self._of_pools(pools, api),
                sds=await self._of_sds(api),
                devices=await self._of_devices(api) if with_devices else {},
            )
        for pool in pools:
            if pool.id not in found.pools or not health.tells_of_data(found.pools[pool.id]):
                raise GatewayProtocolError(
                    f"the Gateway does not say whether the data of pool {pool.name!r} is whole"
                )
        if with_devices:
            self._latencies, self._latencies_at = found.devices, self.clock()
        return found

    async def _joint(
        self, pools: Sequence[PoolShape], api: ApiVersion, *, with_devices: bool
    ) -> JointStatisticsShape | None:
        """Everything in one query; None where the release does not know it, or refuses a name."""
        if api < JOINT_STATISTICS_SINCE or "joint statistics" in self._lacks:
            return None
        wanted: dict[ObjectType, Sequence[str]] = {"Sds": sds_statistics(api)}
        if pools:
            wanted["StoragePool"] = pool_statistics(api)
        if with_devices:
            wanted["Device"] = device_statistics(api)
        answer = await self.wire.call(requests.joint_statistics(wanted))
        if answer.status in {400, 404}:
            self._is_lacking("joint statistics", answer)
            return None
        return responses.joint_statistics(answer)

    async def _of_pools(
        self, pools: Sequence[PoolShape], api: ApiVersion
    ) -> dict[str, PoolStatisticsShape]:
        """One query for all; where that is refused with 400, everything about each pool."""
        if not pools:
            return {}
        ids = [pool.id for pool in pools]
        for lack, names in (
            ("pool statistics", pool_statistics(api)),
            ("essential pool statistics", pool_essentials(api)),
        ):
            if lack in self._lacks:
                continue
            answer = await self.wire.call(requests.selected_statistics("StoragePool", ids, names))
            if answer.status != 400:
                return responses.pool_statistics_by_id(answer)
            self._is_lacking(lack, answer)
        found: dict[str, PoolStatisticsShape] = {}
        for pool in pools:
            asked = requests.related("StoragePool", pool.id, "Statistics")
            found[pool.id] = responses.pool_statistics(await self.wire.call(asked))
        return found

    async def _of_sds(self, api: ApiVersion) -> dict[str, SdsStatisticsShape]:
        answer = await self._of_all("Sds", sds_statistics(api))
        return {} if answer is None else responses.sds_statistics_by_id(answer)

    async def _of_devices(self, api: ApiVersion) -> dict[str, DeviceStatisticsShape]:
        answer = await self._of_all("Device", device_statistics(api))
        return {} if answer is None else responses.device_statistics_by_id(answer)

    async def _of_all(self, of: ObjectType, names: Sequence[str]) -> GatewayAnswer | None:
        """None where the release refuses a name: it is good to know, but nothing depends on it."""
        lack = f"{of} statistics"
        if lack in self._lacks:
            return None
        answer = await self.wire.call(requests.statistics_of_all(of, names))
        if answer.status == 400:
            self._is_lacking(lack, answer)
            return None
        return answer

    def _is_lacking(self, what: str, answer: GatewayAnswer) -> None:
        self._lacks.add(what)
        log.info("the Gateway does not have it", what=what, call=answer.call, status=answer.status)

    # --- the rest

    async def _alerts(self, api: ApiVersion) -> Sequence[AlertShape]:
        if api < ALERTS_SINCE:
            return []
        answer = await self.list("Alert")
        return [] if answer.status == 404 else responses.alerts(answer)

    async def _mdm_cluster(self, api: ApiVersion) -> MdmClusterShape | None:
        """The query knows virtual addresses; where it is missing, System has the rest."""
        if api < MDM_CLUSTER_SINCE:
            return None
        answer = await self.wire.call(requests.mdm_cluster())
        if answer.status == 404:
            return None
        try:
            return responses.mdm_cluster(answer)
        except GatewayRefusedError as refused:
            if refused.passing:
                raise
            return None
