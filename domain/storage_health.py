"""Conditions of the storage cluster, from one snapshot of it and the trends of its pools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from domain import outliers
from domain.conditions import Finding, finding
from domain.storage import AlertState, PoolState, StorageSnapshot
from domain.trends import DAY_S, spoken

HYSTERESIS_PERCENT: Final = 3  # a pool must fall that far below before its alarm ends
FULL_SOON_S: Final = DAY_S
FULL_SOON_TIMES: Final = 1.5  # of that: it must take so long again before the warning ends
_SEVERITIES: Final = {"ALERT_HIGH": "critical", "ALERT_MEDIUM": "warning", "ALERT_LOW": "info"}
# What the Gateway calls what we find ourselves: shown once, in our words.
SAME: Final[Mapping[str, tuple[str, ...]]] = {
    "MDM_NOT_CLUSTERED": ("mdm-not-normal",),
    "SDS_DISCONNECTED": ("sds-unhealthy",),
    "SDC_DISCONNECTED": ("sdc-disconnected",),
    "DEVICE_FAILED": ("device-error",),
    "STORAGE_POOL_HAS_FAILED_CAPACITY": ("data-failed",),
    "STORAGE_POOL_HAS_DEGRADED_CAPACITY": ("data-degraded", "data-failed"),
    "CAPACITY_UTILIZATION_ABOVE_HIGH_THRESHOLD": ("capacity-high", "capacity-critical"),
    "CAPACITY_UTILIZATION_ABOVE_CRITICAL_THRESHOLD": ("capacity-critical",),
    "PD_INACTIVE": ("domain-inactive",),
}
LICENCE: Final = "LICENSE_"


@attrs.frozen(kw_only=True)
class Limits:
    """Percent. `overallocation`: what thin volumes may grow to, of what the pool can hold."""

    capacity_high: int = 80
    capacity_critical: int = 90
    overallocation: int = 200


@attrs.frozen(kw_only=True)
class Outlook:
    """What a pool's recent figures promise, in seconds; None: nothing, or nothing yet."""

    full_in_s: float | None = None
    moved_in_s: float | None = None
    moved_percent: int | None = None  # of what the rebuild or rebalance had to move at its worst


NO_OUTLOOK: Final = Outlook()


@attrs.frozen(kw_only=True)
class Rebooting:
    """Whom we have sent away ourselves, so that others are not alarmed by it."""

    addresses: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()  # GUIDs

    def __bool__(self) -> bool:
        return bool(self.addresses or self.clients)


def found(
    storage: StorageSnapshot,
    limits: Limits,
    before: frozenset[tuple[str, str]],
    *,
    outlooks: Mapping[str, Outlook],
    rebooting: Rebooting,
) -> Iterator[Finding]:
    """`before`: what was found in the last look. `outlooks` by pool id."""
    own = [*_cluster(storage, rebooting)]
    for pool in storage.pools:
        outlook = outlooks.get(pool.id, NO_OUTLOOK)
        own += _pool(pool, pool_subject(storage, pool), limits, before, outlook, rebooting)
    own += outliers.found(storage, before)
    yield from own
    yield from _alerts(storage, own)


def used_percent(pool: PoolState) -> int:
    """In use against what is there without the spare: the cautious reading of 80/90 %."""
    room = usable_kb(pool)
    return 0 if room <= 0 else min(100, pool.in_use_kb * 100 // room)


def usable_kb(pool: PoolState) -> int:
    """Raw KB that data may fill: the Gateway's own denominator is not public."""
    return pool.capacity_kb - pool.spare_kb


def pool_subject(storage: StorageSnapshot, pool: PoolState) -> str:
    """Two protection domains may have pools of the same name: then the domain's is added."""
    if sum(other.name == pool.name for other in storage.pools) < 2:
        return pool.name
    domains = {domain.id: domain.name for domain in storage.domains}
    return f"{domains.get(pool.domain_id, pool.domain_id)}/{pool.name}"


def _cluster(storage: StorageSnapshot, rebooting: Rebooting) -> Iterator[Finding]:
    if not storage.mdm_normal:
        yield finding("mdm-not-normal", "", f"the MDM cluster is not normal ({storage.mdm_detail})")
    for domain in storage.domains:
        if not domain.active:
            yield finding(
                "domain-inactive", domain.name, f"protection domain {domain.name} is inactive"
            )
    names = {sds.id: sds.name for sds in storage.sds}
    for sds in storage.sds:
        if sds.in_maintenance:
            yield finding("sds-in-maintenance", sds.name, f"SDS {sds.name} is in maintenance")
        elif not sds.good:
            ours = not rebooting.addresses.isdisjoint(sds.addresses)
            text = f"SDS {sds.name} is not healthy ({sds.detail})"
            yield finding(
                "sds-unhealthy",
                sds.name,
                f"{text}: its host reboots on our account" if ours else text,
                severity="info" if ours else "",
            )
    for device in storage.devices:
        if not device.good:
            subject = f"{device.path} of {names.get(device.sds_id, device.sds_id)}"
            yield finding("device-error", subject, f"device {subject}: {device.detail}")
    for sdc in storage.sdcs:
        if not sdc.connected and sdc.guid not in rebooting.clients:
            name = sdc.name or sdc.guid
            at = f" at {sdc.address}" if sdc.address else ""
            yield finding("sdc-disconnected", name, f"SDC {name}{at} is not connected to the MDMs")


# -- pools ----------------------------------------------------------------------------------------


def _pool(
    pool: PoolState,
    subject: str,
    limits: Limits,
    before: frozenset[tuple[str, str]],
    outlook: Outlook,
    rebooting: Rebooting,
) -> Iterator[Finding]:
    yield from _capacity(pool, subject, limits, before, outlook)
    yield from _growth(pool, subject, limits, before, outlook)
    if pool.failed_kb:
        yield finding("data-failed", subject, f"pool {subject}: {pool.failed_kb} KB of data failed")
    if pool.degraded_kb:
        text = f"pool {subject}: {pool.degraded_kb} KB of data have one copy only"
        yield finding(
            "data-degraded",
            subject,
            f"{text}, as one of our hosts reboots" if rebooting else text,
            severity="warning" if rebooting else "",
        )
    if pool.moving:
        text = f"pool {subject}: data is being rebuilt or rebalanced"
        if pool.moving_kb:
            text += f", {max(1, pool.moving_kb >> 20)} GB to go"
        if outlook.moved_in_s is not None:
            text += f", {spoken(outlook.moved_in_s)}"
        yield finding("rebuilding", subject, text)


def _capacity(
    pool: PoolState,
    subject: str,
    limits: Limits,
    before: frozenset[tuple[str, str]],
    outlook: Outlook,
) -> Iterator[Finding]:
    used = used_percent(pool)
    for name, limit in (
        ("capacity-critical", limits.capacity_critical),
        ("capacity-high", limits.capacity_high),
    ):
        slack = HYSTERESIS_PERCENT if (name, subject) in before else 0
        if used >= limit - slack and pool.capacity_kb:
            soon = "" if outlook.full_in_s is None else f", full in {spoken(outlook.full_in_s)}"
            text = f"pool {subject}: {used} % in use, limit {limit} %{soon}: add devices"
            yield finding(name, subject, text)
            return


def _growth(
    pool: PoolState,
    subject: str,
    limits: Limits,
    before: frozenset[tuple[str, str]],
    outlook: Outlook,
) -> Iterator[Finding]:
    full_s = outlook.full_in_s
    patience_s = FULL_SOON_S * (FULL_SOON_TIMES if ("filling-fast", subject) in before else 1.0)
    if full_s is not None and full_s < patience_s:
        text = f"pool {subject}: as it fills now, it is full in {spoken(full_s)}"
        yield finding("filling-fast", subject, text)
    room_kb = usable_kb(pool)
    if room_kb > 0 and pool.provisioned_kb * 100 > limits.overallocation * room_kb:
        text = (
            f"pool {subject}: thin volumes may grow to {pool.provisioned_kb * 100 // room_kb} % "
            f"of what it holds, limit {limits.overallocation} %"
        )
        yield finding("thin-overallocated", subject, text)


# -- the Gateway's own alerts ---------------------------------------------------------------------


def _alerts(storage: StorageSnapshot, own: Iterable[Finding]) -> Iterator[Finding]:
    """Those that say more than we have found; unknown ones are shown, never dropped."""
    said = {(one.name, one.subject) for one in own}
    names = _names(storage)
    told: set[str] = set()
    for alert in storage.alerts:
        subject = names.get(alert.object_id, alert.object)
        if any((name, subject) in said or (name, "") in said for name in SAME.get(alert.kind, ())):
            continue
        one = _alert(alert, subject)
        if one.subject not in told:
            told.add(one.subject)
            yield one


def _alert(alert: AlertState, subject: str) -> Finding:
    words = " ".join(word for word in (alert.kind, subject) if word)
    name = "licence" if alert.kind.startswith(LICENCE) else "gateway-alert"
    return finding(
        name,
        words,
        f"the storage cluster reports {words}",
        severity=_SEVERITIES.get(alert.severity, "warning"),
        objects=(alert.object,) if alert.object else (),
    )


def _names(storage: StorageSnapshot) -> Mapping[str, str]:
    """Object id -> the subject by which our own conditions call it."""
    sds = {one.id: one.name for one in storage.sds}
    return {
        **sds,
        **{pool.id: pool_subject(storage, pool) for pool in storage.pools},
        **{one.id: one.name or one.guid for one in storage.sdcs},
        **{one.id: one.name for one in storage.domains},
        **{one.id: f"{one.path} of {sds.get(one.sds_id, one.sds_id)}" for one in storage.devices},
    }
