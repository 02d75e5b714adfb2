"""Health of the simulated MDM cluster, and the alerts that should stand now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from simulation.gateway_model import ClusterState, Mdm, Pool, PoolHealth


@attrs.frozen(kw_only=True)
class MdmHealth:
    state: str
    mode: str
    good: int
    master: Mdm | None
    others: tuple[Mdm, ...]  # managers that are not master
    tie_breakers: tuple[Mdm, ...]


def mdm_health(state: ClusterState) -> MdmHealth:
    managers = [m for m in state.mdms if not m.tie_breaker]
    tie_breakers = tuple(m for m in state.mdms if m.tie_breaker)
    master = next((m for m in managers if m.good), None)
    managers_good = all(m.good for m in managers)
    tie_breakers_good = all(m.good for m in tie_breakers)
    if len(state.mdms) == 1:
        word = "NotClustered"
    elif managers_good:
        word = "ClusteredNormal" if tie_breakers_good else "ClusteredTiebreakerDown"
    else:
        word = "ClusteredDegraded" if tie_breakers_good else "ClusteredDegradedTiebreakerDown"
    return MdmHealth(
        state=word,
        mode={1: "OneNode", 3: "ThreeNodes", 5: "FiveNodes"}.get(len(state.mdms), "ThreeNodes"),
        good=sum(m.good for m in state.mdms),
        master=master,
        others=tuple(m for m in managers if m is not master),
        tie_breakers=tie_breakers,
    )


def alert_conditions(
    state: ClusterState, health: Mapping[str, PoolHealth]
) -> Iterator[tuple[str, str, str, str]]:
    """Every alert that should stand now: type, severity, type of the object, its id.

    `health` is that of each pool, by its id.
    """
    if mdm_health(state).state != "ClusteredNormal":
        yield "MDM_NOT_CLUSTERED", "ALERT_HIGH", "System", state.system_id
    for sds in state.sds.values():
        if not sds.connected:
            yield "SDS_DISCONNECTED", "ALERT_HIGH", "Sds", sds.id
    for sdc in state.sdcs.values():
        if not sdc.connected:
            yield "SDC_DISCONNECTED", "ALERT_LOW", "Sdc", sdc.id
    for device in state.devices.values():
        if device.failed:
            yield "DEVICE_FAILED", "ALERT_HIGH", "Device", device.id
    for pool in state.pools.values():
        yield from _pool_alerts(pool, health[pool.id])


def _pool_alerts(pool: Pool, health: PoolHealth) -> Iterator[tuple[str, str, str, str]]:
    if health.failed_kb:
        yield "STORAGE_POOL_HAS_FAILED_CAPACITY", "ALERT_HIGH", "StoragePool", pool.id
    if health.degraded_kb:
        yield "STORAGE_POOL_HAS_DEGRADED_CAPACITY", "ALERT_MEDIUM", "StoragePool", pool.id
    if pool.unbalanced_kb:
        yield "STORAGE_POOL_UNBALANCED", "ALERT_MEDIUM", "StoragePool", pool.id
    fill_percent = health.figures.fill_percent
    if fill_percent >= pool.critical_percent:
        kind = "CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD"
        yield kind, "ALERT_HIGH", "StoragePool", pool.id
    elif fill_percent >= pool.high_percent:
        kind = "CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD"
        yield kind, "ALERT_MEDIUM", "StoragePool", pool.id
