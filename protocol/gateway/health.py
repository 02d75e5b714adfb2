"""What the Gateway's state words mean: is the MDM cluster normal, is an SDS good, who is an MDM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from protocol.gateway.shapes import (
    AlertShape,
    BwcShape,
    DeviceShape,
    MdmClusterShape,
    PoolStatisticsShape,
    SdcShape,
    SdsShape,
    SystemShape,
    Texts,
)

_NORMAL: Final = "ClusteredNormal"
_UNCLUSTERED: Final = "NotClustered"  # the normal state of a single MDM
_MEMBERS_BY_MODE: Final = {"single": 1, "one": 1, "three": 3, "five": 5}  # by how a mode begins
_NO_ADDRESS: Final = frozenset({"", "N/A"})  # what a disconnected SDC shows in some releases


@attrs.frozen(kw_only=True)
class MdmView:
    """The MDM cluster: its health, and its addresses (`managers`: virtual ones first)."""

    normal: bool
    detail: str
    managers: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


def mdm_view(system: SystemShape, queried: MdmClusterShape | None) -> MdmView:
    """`queried` is the answer of the cluster query: the same as in System, plus virtual IPs."""
    cluster = queried or system.mdm_cluster
    return _nested(cluster) if cluster is not None else _flat(system)


def sds_is_good(sds: SdsShape) -> bool:
    """Three separate health fields, and all must be well."""
    return (sds.sds_state, sds.membership_state, sds.mdm_connection_state) == (
        "Normal",
        "Joined",
        "Connected",
    )


def is_in_maintenance(sds: SdsShape) -> bool:
    """The words for it differ by release; that for none is known."""
    return sds.maintenance_state not in {None, "", "NoMaintenance"}


def sds_detail(sds: SdsShape) -> str:
    words = [sds.sds_state, sds.membership_state, sds.mdm_connection_state]
    if sds.maintenance_state not in {None, "NoMaintenance"}:
        words.append(sds.maintenance_state)
    return " ".join(word or "?" for word in words)


def device_is_good(device: DeviceShape) -> bool:
    return (device.device_state or "Normal") == "Normal" and (
        device.error_state or "None"
    ) == "None"


def device_detail(device: DeviceShape) -> str:
    return f"{device.device_state or '?'} {device.error_state or '?'}"


def sdc_address(sdc: SdcShape) -> str:
    return next(iter(_addresses([sdc.sdc_ip or "", *(sdc.sdc_ips or ())])), "")


def alert_object(alert: AlertShape) -> str:
    """`StoragePool 3e9f…` from a Java-like class path and an id."""
    affected = alert.affected_object
    if affected is None:
        return ""
    kind = (affected.type or "").rpartition(".")[2]
    return " ".join(word for word in (kind, affected.id or affected.object_id or "") if word)


def alert_object_id(alert: AlertShape) -> str:
    affected = alert.affected_object
    return (affected.object_id or affected.id or "") if affected is not None else ""


def tells_of_data(of: PoolStatisticsShape) -> bool:
    """Silence is not health: without these three figures nothing is known about the data."""
    return None not in {
        of.degraded_healthy_capacity_in_kb,
        of.degraded_failed_capacity_in_kb,
        of.failed_capacity_in_kb,
    }


def degraded_kb(of: PoolStatisticsShape) -> int:
    return (of.degraded_healthy_capacity_in_kb or 0) + (of.degraded_failed_capacity_in_kb or 0)


def moving_kb(of: PoolStatisticsShape) -> int:
    """What a rebuild or rebalance still has to move, as far as the release tells it."""
    pending = (
        of.pending_fwd_rebuild_capacity_in_kb,
        of.pending_bck_rebuild_capacity_in_kb,
        of.pending_norm_rebuild_capacity_in_kb,
        of.pending_rebalance_capacity_in_kb,
    )
    return (of.moving_capacity_in_kb or 0) + sum(kb or 0 for kb in pending)


def kb_per_s(of: BwcShape | None) -> int:
    """Of a bandwidth counter; 0 on an idle system, where also the window is 0 seconds."""
    if of is None or not of.num_seconds:
        return 0
    return (of.total_weight_in_kb or 0) // of.num_seconds


def is_moving(of: PoolStatisticsShape) -> bool:
    """A rebuild or rebalance runs, or waits for its turn."""
    return moving_kb(of) > 0


def restricted_mode(system: SystemShape) -> str:
    """Releases that know only on or off mean approval by GUID."""
    return system.restricted_sdc_mode or ("Guid" if system.restricted_sdc_mode_enabled else "None")


def _nested(cluster: MdmClusterShape) -> MdmView:
    voters = [
        member
        for member in (cluster.master, *(cluster.slaves or ()), *(cluster.tie_breakers or ()))
        if member is not None
    ]
    mode = cluster.cluster_mode or "?"
    state = cluster.cluster_state or "?"
    good = cluster.good_nodes_num
    wanted = _members_of(mode) or len(voters)
    managers = [
        m
        for m in (cluster.master, *(cluster.slaves or ()))
        if m is not None and (m.role or "Manager") != "TieBreaker"
    ]
    everyone = [*voters, *(cluster.standby_mdms or ())]
    return MdmView(
        normal=_state_is_normal(state, wanted) and good is not None and 0 < wanted <= good,
        detail=f"{state}, {mode}, {'?' if good is None else good} of {wanted} good",
        managers=_addresses([*(cluster.virtual_ips or ()), *_each(m.ips for m in managers)]),
        members=_addresses(
            [
                *_each(m.ips for m in everyone),
                *_each(m.management_ips for m in everyone),
                *(cluster.virtual_ips or ()),
            ]
        ),
    )


def _flat(system: SystemShape) -> MdmView:
    """Up to 1.3x: two managers and a tie-breaker; the state alone counts the good ones."""
    mode = system.mdm_mode or "?"
    state = system.mdm_cluster_state or "?"
    wanted = 1 if mode == "Single" else 3
    managers = [
        *(system.primary_mdm_actor_ip_list or ()),
        *(system.secondary_mdm_actor_ip_list or ()),
    ]
    return MdmView(
        normal=_state_is_normal(state, wanted),
        detail=f"{state}, {mode}",
        managers=_addresses(managers),
        members=_addresses([*managers, *(system.tiebreaker_mdm_ip_list or ())]),
    )


def _state_is_normal(state: str, members: int) -> bool:
    return state == _NORMAL or (members == 1 and state == _UNCLUSTERED)


def _members_of(mode: str) -> int:
    lower = mode.lower()
    return next((n for word, n in _MEMBERS_BY_MODE.items() if lower.startswith(word)), 0)


def _each(lists: Iterable[Texts]) -> list[str]:
    found: list[str] = []
    for texts in lists:
        found += [text for text in texts or () if text]
    return found


def _addresses(raw: Iterable[str]) -> tuple[str, ...]:
    """In order, each once, without the words that stand for none."""
    return tuple(dict.fromkeys(text for text in raw if text not in _NO_ADDRESS))
