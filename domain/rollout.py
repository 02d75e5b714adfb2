"""Who may work and who may reboot now: storage first, one fault unit at a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from domain.storage import SdsState, StorageSnapshot

SNAPSHOT_AGE_MAX_S: Final = 10.0
STALE: Final = "the last look at the storage cluster is too old"
TELLING: Final = "Mesos is told first that nobody may be offered this agent"


@attrs.frozen(kw_only=True)
class Limits:
    """`own_addresses`: of the scheduler's host; `own_may_reboot`: its state is elsewhere."""

    parallel: int = 10
    reboots: int = 1
    own_addresses: frozenset[str] = frozenset()
    own_names: frozenset[str] = frozenset()
    own_may_reboot: bool = True
    pillars: frozenset[str] = frozenset()  # addresses of masters, Gateway, ZooKeeper; not of MDMs


@attrs.frozen(kw_only=True)
class Rebooting:
    """A host whose reboot is granted; it holds its place until it is whole again.

    `boots` False: its SDS is replaced, which takes its data away for a moment, as a reboot does.
    """

    host: str
    address: str
    provides_storage: bool
    permit: str
    boots: bool = True


@attrs.frozen(kw_only=True)
class View:
    now: float
    subscribed: bool
    storage: StorageSnapshot | None
    rebooting: Mapping[str, Rebooting]
    wanting: frozenset[str]
    phases: Mapping[str, str]
    missing: frozenset[str] = frozenset()  # not back, or not whole, since our reboot
    let_go: frozenset[str] = frozenset()  # their permits were answered: no look may show it yet


def may_restart(
    host: str,
    *,
    restarting: frozenset[str],
    undone: frozenset[str],
    kept: int,
    limits: Limits,
    missing: frozenset[str] = frozenset(),
) -> str:
    """Empty if this Mesos agent's settings may be changed and it be restarted; else why not.

    The first goes alone, and each that is kept allows one more at a time, up to
    -rollout.parallel. `undone`: hosts that went back to their old settings; nobody goes then.
    """
    others = restarting - {host}
    if halted := halted_by(host, missing):
        return halted
    if undone - {host}:
        names = ", ".join(sorted(undone - {host}))
        return (
            f"restarts of Mesos agents are halted: the one of {names} did not come back with its "
            "new settings; mend the cause there, then retry it"
        )
    if len(others) >= min(1 + kept, limits.parallel):
        names = ", ".join(sorted(others))
        return f"{len(others)} Mesos agents are being restarted ({names}), each watched by its host"
    return ""


def pillar_waits(
    address: str,
    *,
    away: Mapping[str, str],
    storage: StorageSnapshot | None,
    now: float,
    limits: Limits,
) -> str:
    """Of the hosts that carry an MDM, the Gateway, a master or ZooKeeper one is away at a time.

    `away`: host -> address of the others that are restarted, rebooted, missing or lost. Empty
    if this one may go, too; else why not.
    """
    members = frozenset(storage.member_addresses) if storage is not None else frozenset()
    pillars = limits.pillars | members
    if storage is None or address not in pillars:
        return ""
    if address in members:
        if storage.taken_at < now - SNAPSHOT_AGE_MAX_S:
            return STALE
        if not storage.mdm_normal:
            return f"it is an MDM, and the MDM cluster is not normal ({storage.mdm_detail})"
    others = sorted(host for host, there in away.items() if there in pillars)
    if not others:
        return ""
    return (
        "it carries a part of the cluster's control (MDM, Gateway, Mesos master or ZooKeeper), "
        f"and so does {others[0]}, which is away"
    )


def halted_by(host: str, missing: frozenset[str]) -> str:
    """A host that did not come back whole from our reboot halts all others, until it is."""
    names = ", ".join(sorted(missing - {host}))
    if not names:
        return ""
    return (
        f"reboots and restarts are halted: {names} did not come back in time from the ordered "
        "reboot, or is not whole since; look at its console, or hold it to let the others go on"
    )


def may_change_soon(why_not: str) -> bool:
    """A fresh snapshot, or Mesos' answer, is on its way; all else is a reason to disarm now."""
    return why_not in (STALE, TELLING)


def may_begin(candidate: Rebooting, view: View, limits: Limits) -> str:
    """Empty if the reboot may be prepared now; otherwise why not, for people."""
    others = [r for host, r in view.rebooting.items() if host != candidate.host]
    at_once = limits.reboots if candidate.boots else max(limits.reboots, 1)
    if len(others) >= at_once:
        names = ", ".join(sorted(r.host for r in others))
        return f"{len(others)} of {at_once} reboots are under way ({names})"
    if why_not := may_go(candidate, view, limits):
        return why_not
    for other in others:
        # It would be armed in vain: the other's data has to be whole before anybody goes.
        if view.storage is not None and view.storage.sds_at(other.address) is not None:
            return f"{other.host} reboots or is about to, and it holds data"
    return ""


def may_go(
    candidate: Rebooting, view: View, limits: Limits, *, looked_after: float = float("-inf")
) -> str:
    """The conditions that must hold at the very moment of the reboot.

    `looked_after`: the snapshot must be younger than that, as well as younger than 10 s.
    """
    if limits.reboots < 1 and candidate.boots:
        return "reboots are switched off (-rollout.reboots, -debug or -mode=observe)"
    if not view.subscribed:
        return "there is no subscription to Mesos: nobody would see it come back"
    if halted := halted_by(candidate.host, view.missing):
        return halted
    storage = view.storage
    if storage is None or storage.taken_at < max(looked_after, view.now - SNAPSHOT_AGE_MAX_S):
        return STALE
    if not storage.mdm_normal:
        return f"the MDM cluster is not normal ({storage.mdm_detail})"
    if not storage.data_is_whole:
        return "data is degraded, failed, or being rebuilt"
    others = [r for host, r in view.rebooting.items() if host != candidate.host]
    for other in others:
        if other.host in view.let_go and storage.sds_at(other.address) is not None:
            return f"{other.host} was let go, and its SDS is not known to be whole again"
    mine = storage.sds_at(candidate.address)
    wrong = unit_down(storage, mine, others) if mine is not None else ""
    return wrong or (_own_host(candidate, view, limits) if candidate.boots else "")


def unit_down(storage: StorageSnapshot, mine: SdsState, others: Sequence[Rebooting] = ()) -> str:
    """Another fault unit of that SDS's protection domain that is down or going; "" if none is.

    At most one of a domain is down on our account.
    """
    for sds in storage.sds:
        if sds.id == mine.id or sds.domain_id != mine.domain_id:
            continue
        same_unit = _same_unit(sds, mine)
        if not sds.whole and not same_unit:
            return f"SDS {sds.name} of the same protection domain is not healthy ({sds.detail})"
        if not same_unit and any(other.address in sds.addresses for other in others):
            return f"SDS {sds.name} of the same protection domain is rebooting"
    return ""


def _same_unit(one: SdsState, other: SdsState) -> bool:
    return bool(one.fault_set_id) and one.fault_set_id == other.fault_set_id


def _own_host(candidate: Rebooting, view: View, limits: Limits) -> str:
    named = candidate.host.partition(":")[0] in limits.own_names
    if not named and candidate.address not in limits.own_addresses:
        return ""
    if not limits.own_may_reboot:
        return "the scheduler runs on this host and its state is bound to it: reboot it by hand"
    waiting = (view.wanting | view.rebooting.keys()) - {candidate.host}
    if waiting:
        return "the scheduler runs on this host: it is rebooted last"
    return ""
