"""What an operator should know: every kind of condition, and when one begins and ends.

A condition is told when its cause has lasted for the kind's `raise_s`, and ends when the cause has
been gone for `clear_s`: so it can change at most once in their sum, however the cause flickers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

CLEAR_S: Final = 30.0
OBJECTS_MAX: Final = 20  # named in one condition; its text tells how many there are


@attrs.frozen(kw_only=True)
class Kind:
    """`meaning` for the documents, `cure` for whoever reads the condition."""

    name: str
    severity: str  # info, warning, critical; a finding may say another
    meaning: str
    cure: str
    raise_s: float = 0.0
    clear_s: float = CLEAR_S


def _kind(
    name: str, severity: str, meaning: str, cure: str, *, after: float = 0.0, clear: float = CLEAR_S
) -> Kind:
    return Kind(
        name=name, severity=severity, meaning=meaning, cure=cure, raise_s=after, clear_s=clear
    )


# One kind is one row.
# fmt: off
KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (
    # -- Mesos, the Gateway as such, and our own store
    _kind("framework-removed", "critical", "Mesos has removed this framework",
          "register it anew (POST /v1/framework/register), or end this scheduler", clear=0.0),
    _kind("master-unreachable", "critical", "no subscription to a Mesos master",
          "look at the masters and at -uri; work goes on by itself when one leads", after=30.0),
    _kind("gateway-unreachable", "critical", "the Gateway does not answer",
          "look at the Gateway's host and service, and at the way there; nothing is changed in the "
          "storage cluster meanwhile", after=30.0),
    _kind("gateway-login", "critical", "the Gateway refuses user or password",
          "correct -scaleio.user and -scaleio.password-file, or the account", after=0.0),
    _kind("gateway-certificate", "critical", "the Gateway shows a certificate that is not trusted",
          "find out who answers there; a wanted change is named with "
          "-scaleio.gateway.fingerprint or -scaleio.gateway.ca-file", after=0.0),
    _kind("gateway-not-understood", "critical", "the Gateway's answers make no sense",
          "see whether the address is the Gateway's own and its release is a known one",
          after=30.0),
    _kind("gateway-wrong-system", "critical", "the Gateway serves another storage cluster",
          "correct the Gateway's address, or -scaleio.clustername and -scaleio.clusterid"),
    _kind("certificate-expiring", "warning", "the Gateway's certificate expires within 30 days",
          "renew it; without a CA file the new one has to be named with "
          "-scaleio.gateway.fingerprint", clear=60.0),
    _kind("clock-skew", "warning", "a clock differs by more than a minute from the scheduler's",
          "set up time synchronisation (chrony, ntpd) there and here", after=60.0, clear=60.0),
    _kind("store-failing", "critical", "our state cannot be stored, so nothing is begun",
          "make room, or mend the store that -store.uri names", clear=0.0),
    _kind("store-bound-to-host", "info", "our state is bound to this host",
          "name a ZooKeeper ensemble with -store.uri", clear=0.0),
    _kind("notification-failing", "warning", "a receiver of notifications is not reached",
          "look at it and at its address; what it misses is told when it is back", after=120.0),
    # -- agents
    _kind("reboot-overdue", "critical", "a host has not come back whole from its reboot",
          "look at its console, or hold the agent to let the others go on", clear=0.0),
    _kind("waiting-long", "warning", "a step asks to be tried later for more than an hour",
          "remove the cause that it names", after=3600.0, clear=0.0),
    _kind("agent-failed", "warning", "an agent has given up on a step",
          "mend the cause, then retry the agent", clear=0.0),
    _kind("agent-lost", "warning", "Mesos cannot reach an agent",
          "start its host and its Mesos agent, or retire it if it is gone for good", clear=0.0),
    _kind("step-failing", "critical", "one step fails on several agents",
          "look for what they have in common: the package, the mirror, the platform", clear=0.0),
    _kind("repair-exhausted", "critical",
          "an SDS stays down although it was looked after five times in a day",
          "look at its log on the host and at the network to the MDMs, then retry the agent"),
    # -- the storage cluster
    _kind("mdm-not-normal", "critical", "the MDM cluster is not normal",
          "bring its members back; no host is rebooted meanwhile"),
    _kind("domain-inactive", "critical", "a protection domain is inactive: its volumes are away",
          "activate it when its SDSs are there"),
    _kind("data-failed", "critical", "data has no copy at hand",
          "bring the SDSs and devices back that are away; do not remove any"),
    _kind("data-degraded", "critical", "data has one copy only",
          "bring back what is away; the cluster rebuilds by itself"),
    _kind("rebuilding", "info", "data is rebuilt or rebalanced",
          "nothing; no host is rebooted meanwhile"),
    _kind("capacity-critical", "critical", "a pool is nearly full",
          "add devices or SDSs, or remove volumes, before it is full", clear=60.0),
    _kind("capacity-high", "warning", "a pool fills up",
          "add devices or SDSs, or remove volumes", clear=60.0),
    _kind("filling-fast", "warning", "a pool will be full within a day, as it fills now",
          "find what writes so much, or add devices", after=600.0, clear=600.0),
    _kind("thin-overallocated", "warning",
          "thin volumes may grow to far more than the pool can hold",
          "add capacity before they do, or make no more volumes", after=60.0, clear=60.0),
    _kind("sds-unhealthy", "critical", "an SDS is down, or not connected to the MDMs",
          "look at its host; it is surveyed and repaired if Mesos can reach it"),
    _kind("sds-in-maintenance", "info", "an SDS is in maintenance mode",
          "nothing, if somebody works on it; else let it leave that mode"),
    _kind("sdc-disconnected", "warning", "an SDC is not connected to the MDMs",
          "look at its host and at MDM_IP there", after=60.0, clear=60.0),
    _kind("device-error", "warning", "a device has an error",
          "replace the disk; its data is rebuilt on the others"),
    _kind("device-slow", "warning", "a device is far slower than its peers",
          "look at its health and its controller; replace it before it fails",
          after=180.0, clear=180.0),
    _kind("sds-slow", "warning", "most devices of an SDS are far slower than their peers",
          "look at its host: controller, memory, network, other work", after=180.0, clear=180.0),
    _kind("sds-traffic", "info", "an SDS carries far more traffic than its peers",
          "look at the balance of the pool and at what is read so much",
          after=300.0, clear=300.0),
    _kind("licence", "warning", "the storage cluster's licence ends, or has ended",
          "renew it", clear=60.0),
    _kind("gateway-alert", "warning", "an alert of the storage cluster that is none of the others",
          "see the storage cluster's own documentation of that alert"),
)}
# fmt: on


@attrs.frozen(kw_only=True)
class Finding:
    """One condition without its time. The pair (name, subject) is its identity."""

    name: str  # of KINDS
    severity: str
    subject: str  # pool, agent, ... or ""
    text: str
    cure: str = ""
    objects: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject


def finding(
    name: str,
    subject: str,
    text: str,
    *,
    severity: str = "",
    cure: str = "",
    objects: Iterable[str] = (),
) -> Finding:
    """With what its kind says of severity and cure, where nothing else is said."""
    kind = KINDS[name]
    return Finding(
        name=name,
        severity=severity or kind.severity,
        subject=subject,
        text=text,
        cure=cure or kind.cure,
        objects=tuple(objects)[:OBJECTS_MAX],
    )


@attrs.frozen(kw_only=True)
class Entry:
    """`told`: it has lasted long enough. `gone_at`: its cause is away since then."""

    finding: Finding
    since: float
    told: bool = False
    gone_at: float | None = None


@attrs.frozen(kw_only=True)
class Ledger:
    """Every cause that is there, was told, or waits to be; each look gives a new value."""

    entries: Mapping[tuple[str, str], Entry] = attrs.field(factory=dict)

    def after(self, findings: Iterable[Finding], now: float) -> Ledger:
        """The same ledger after a look that found these."""
        found = {one.key: one for one in findings}
        entries: dict[tuple[str, str], Entry] = {}
        for key, one in found.items():
            old = self.entries.get(key) or Entry(finding=one, since=now)
            told = old.told or now - old.since >= KINDS[one.name].raise_s
            entries[key] = attrs.evolve(old, finding=one, told=told, gone_at=None)
        for key, old in self.entries.items():
            if key in found or not old.told:
                continue
            gone_at = now if old.gone_at is None else old.gone_at
            if now - gone_at < KINDS[old.finding.name].clear_s:
                entries[key] = attrs.evolve(old, gone_at=gone_at)
        return Ledger(entries=entries)

    def standing(self) -> tuple[Entry, ...]:
        """What is told, in a fixed order."""
        return tuple(self.entries[key] for key in sorted(self.entries) if self.entries[key].told)

    def keys(self) -> frozenset[tuple[str, str]]:
        """Causes that hold or held just now, told or not: for thresholds with hysteresis."""
        return frozenset(self.entries)

    def due(self) -> float | None:
        """When the next one begins or ends if nothing changes; None: never."""
        moments = [
            entry.gone_at + KINDS[entry.finding.name].clear_s
            if entry.gone_at is not None
            else entry.since + KINDS[entry.finding.name].raise_s
            for entry in self.entries.values()
            if entry.gone_at is not None or not entry.told
        ]
        return min(moments, default=None)
