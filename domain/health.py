"""From what the board shows to conditions: thresholds with hysteresis, each with its since-time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.storage import PoolState, StorageSnapshot

HYSTERESIS_PERCENT: Final = 3  # a pool must fall that far below before its alarm ends
GRACE_S: Final = 30.0  # shorter troubles are not worth an alarm
WAITS_LONG_S: Final = 3600.0  # a lock, a full disk or a mirror may well take so long
NOT_WAITING: Final = frozenset({"ready", "failed", "lost", "held", "retired"})
MANY_AGENTS: Final = 3  # the same step failing on that many is one condition of its own


@attrs.frozen(kw_only=True)
class Limits:
    capacity_high: int = 80
    capacity_critical: int = 90


@attrs.frozen(kw_only=True)
class AgentView:
    host: str
    phase: str
    error: str = ""
    address: str = ""
    sdc_guid: str = ""
    missing: bool = False  # did not come back whole from our reboot
    later: str = ""  # which step asks to be tried later, and why
    later_for_s: float = 0.0


@attrs.frozen(kw_only=True)
class Scene:
    """All that is judged. `*_for_s`: how long the trouble lasts already, 0 if there is none."""

    framework_removed: bool = False
    link_down_for_s: float = 0.0
    link_detail: str = ""
    gateway_down_for_s: float = 0.0
    gateway_error: str = ""
    store_fault: str = ""
    store_bound_to_host: bool = False
    storage: StorageSnapshot | None = None
    agents: tuple[AgentView, ...] = ()


@attrs.frozen(kw_only=True)
class Finding:
    """One condition without its time. The pair (name, subject) is its identity."""

    name: str
    severity: str  # info, warning, critical
    subject: str
    text: str


def used_percent(pool: PoolState) -> int:
    """In use against what is there without the spare: the cautious reading of 80/90 %."""
    room = pool.capacity_kb - pool.spare_kb
    return 0 if room <= 0 else min(100, pool.in_use_kb * 100 // room)


def judge(scene: Scene, limits: Limits, standing: Iterable[tuple[str, str]]) -> tuple[Finding, ...]:
    """What holds now; `standing` are the (name, subject) pairs that held before."""
    before = frozenset(standing)
    found: list[Finding] = []
    found += _connections(scene)
    found += _agents(scene.agents)
    if scene.storage is not None:
        found += _storage(scene.storage, limits, before)
    return tuple(sorted(found, key=lambda f: (f.name, f.subject)))


def _connections(scene: Scene) -> Iterable[Finding]:
    if scene.framework_removed:
        yield Finding(
            name="framework-removed", severity="critical", subject="", text=scene.link_detail
        )
    elif scene.link_down_for_s > GRACE_S:
        yield Finding(
            name="master-unreachable",
            severity="critical",
            subject="",
            text=f"no subscription to Mesos: {scene.link_detail or 'looking for the leader'}",
        )
    if scene.gateway_down_for_s > GRACE_S:
        yield Finding(
            name="gateway-unreachable",
            severity="critical",
            subject="",
            text=f"the Gateway cannot be polled: {scene.gateway_error}",
        )
    if scene.store_fault:
        yield Finding(name="store-failing", severity="critical", subject="", text=scene.store_fault)
    if scene.store_bound_to_host:
        yield Finding(
            name="store-bound-to-host",
            severity="info",
            subject="",
            text="state is bound to this host; name a ZooKeeper ensemble with -store.uri",
        )


def _agents(agents: tuple[AgentView, ...]) -> Iterable[Finding]:
    failing: dict[str, list[str]] = {}
    for agent in agents:
        if agent.missing:
            yield Finding(
                name="reboot-overdue",
                severity="critical",
                subject=agent.host,
                text=f"{agent.host} has not come back whole from its reboot; no other host is "
                "rebooted and no Mesos agent restarted until it has: look at its console, or hold "
                "it to let the others go on",
            )
        if agent.later_for_s > WAITS_LONG_S and agent.phase not in NOT_WAITING:
            yield Finding(
                name="waiting-long",
                severity="warning",
                subject=agent.host,
                text=f"{agent.host} is tried again until its cause is gone: {agent.later}",
            )
        if agent.phase == "failed":
            yield Finding(
                name="agent-failed", severity="warning", subject=agent.host, text=agent.error
            )
            step = agent.error.partition(" step ")[2].partition(" ")[0]
            if step:
                failing.setdefault(step, []).append(agent.host)
        elif agent.phase == "lost" and not agent.missing:
            yield Finding(
                name="agent-lost",
                severity="warning",
                subject=agent.host,
                text=f"Mesos cannot reach agent {agent.host}",
            )
    for step, hosts in failing.items():
        if len(hosts) >= MANY_AGENTS:
            yield Finding(
                name="step-failing",
                severity="critical",
                subject=step,
                text=f"step {step} failed on {len(hosts)} agents: {', '.join(sorted(hosts)[:5])}",
            )


def _storage(
    storage: StorageSnapshot, limits: Limits, before: frozenset[tuple[str, str]]
) -> Iterable[Finding]:
    if not storage.mdm_normal:
        yield Finding(
            name="mdm-not-normal",
            severity="critical",
            subject="",
            text=f"the MDM cluster is not normal ({storage.mdm_detail})",
        )
    for pool in storage.pools:
        yield from _pool(pool, _pool_subject(storage, pool), limits, before)
    sds_names = {sds.id: sds.name for sds in storage.sds}
    for sds in storage.sds:
        if not sds.good:
            yield Finding(
                name="sds-unhealthy",
                severity="critical",
                subject=sds.name,
                text=f"SDS {sds.name} is not healthy ({sds.detail})",
            )
    for device in storage.devices:
        if not device.good:
            subject = f"{device.path} of {sds_names.get(device.sds_id, device.sds_id)}"
            yield Finding(
                name="device-error",
                severity="warning",
                subject=subject,
                text=f"device {subject}: {device.detail}",
            )


def _pool_subject(storage: StorageSnapshot, pool: PoolState) -> str:
    """Two protection domains may have pools of the same name: then the domain's is added."""
    if sum(other.name == pool.name for other in storage.pools) < 2:
        return pool.name
    domains = {domain.id: domain.name for domain in storage.domains}
    return f"{domains.get(pool.domain_id, pool.domain_id)}/{pool.name}"


def _pool(
    pool: PoolState, subject: str, limits: Limits, before: frozenset[tuple[str, str]]
) -> Iterable[Finding]:
    found = [*_capacity(pool, subject, limits, before)]
    if pool.failed_kb:
        found.append(("data-failed", "critical", f"{pool.failed_kb} KB of data failed"))
    if pool.degraded_kb:
        text = f"{pool.degraded_kb} KB of data have one copy only"
        found.append(("data-degraded", "critical", text))
    if pool.moving:
        found.append(("rebuilding", "info", "data is being rebuilt or rebalanced"))
    for name, severity, text in found:
        yield Finding(name=name, severity=severity, subject=subject, text=f"pool {subject}: {text}")


def _capacity(
    pool: PoolState, subject: str, limits: Limits, before: frozenset[tuple[str, str]]
) -> Iterable[tuple[str, str, str]]:
    used = used_percent(pool)
    for name, severity, limit in (
        ("capacity-critical", "critical", limits.capacity_critical),
        ("capacity-high", "warning", limits.capacity_high),
    ):
        slack = HYSTERESIS_PERCENT if (name, subject) in before else 0
        if used >= limit - slack and pool.capacity_kb:
            yield name, severity, f"{used} % in use, limit {limit} %: add devices"
            return


def doubts(storage: StorageSnapshot, agents: Iterable[AgentView]) -> Mapping[str, str]:
    """Ready agents whose SDS or SDC the storage cluster does not see: host -> why."""
    found: dict[str, str] = {}
    for agent in agents:
        if agent.phase != "ready":
            continue
        sds = storage.sds_at(agent.address)
        if sds is not None and not sds.good:
            found[agent.host] = f"SDS {sds.name} is not healthy ({sds.detail})"
        sdc = storage.sdc_by_guid(agent.sdc_guid) if agent.sdc_guid else None
        if agent.sdc_guid and (sdc is None or not sdc.connected):
            found[agent.host] = "its SDC is not connected to the MDM"
    return found
