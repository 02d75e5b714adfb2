"""What the storage cluster is wanted to be, from every agent's layout, and what stands against it.

One resolver over all agents: it changes nothing and decides for nobody. An agent's own objects are
made one by one (`joining`); here they are put together, so that people see the whole before it is
there, and what two agents want that cannot both be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.joining import PoolSpec
from domain.limits import Limits, Member, why_over
from domain.storage import PoolState, StorageSnapshot

FAULT_UNITS_MIN: Final = 3  # a pool needs devices in that many before it can hold a volume
POOL_KB_MIN: Final = 300 << 20  # ScaleIO white paper h15148: the smallest pool has 300 GB
HOSTS_SHOWN: Final = 20
_OUT: Final = frozenset({"retired", "draining"})


@attrs.frozen(kw_only=True)
class WantedSds:
    host: str
    address: str
    fault_set: str = ""
    pools: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    there: bool = False  # the storage cluster lists it


@attrs.frozen(kw_only=True)
class WantedPool:
    name: str
    media_type: str = ""
    hosts: tuple[str, ...] = ()
    fault_units: int = 0
    capacity_kb: int = 0  # of the pool as it is there
    there: bool = False


@attrs.frozen(kw_only=True)
class WantedDomain:
    name: str
    pools: tuple[WantedPool, ...] = ()
    fault_sets: tuple[str, ...] = ()
    sds: tuple[WantedSds, ...] = ()
    there: bool = False


@attrs.frozen(kw_only=True)
class Conflict:
    """`blocking`: those hosts wait or fail because of it; else it is advice."""

    kind: str
    sentence: str
    hosts: tuple[str, ...] = ()
    blocking: bool = True


@attrs.frozen(kw_only=True)
class Wanted:
    domains: tuple[WantedDomain, ...] = ()
    clients: tuple[str, ...] = ()  # hosts that consume
    conflicts: tuple[Conflict, ...] = ()


def resolve(
    members: Iterable[Member],
    storage: StorageSnapshot | None,
    limits: Limits,
    described: Mapping[str, PoolSpec],
) -> Wanted:
    """`described`: pools of the layout file, by name. The order of the members does not matter."""
    here = sorted((one for one in members if one.phase not in _OUT), key=lambda one: one.host)
    servers = [one for one in here if one.domain]
    names = sorted({one.domain for one in servers})
    domains = tuple(
        _domain(name, [s for s in servers if s.domain == name], storage, described)
        for name in names
    )
    return Wanted(
        domains=domains,
        clients=tuple(one.host for one in here),
        conflicts=(
            *_of_agents(here, storage, limits),
            *_of_fault_sets(servers, storage),
            *(found for domain in domains for found in _of_pools(domain)),
        ),
    )


def _domain(
    name: str,
    servers: list[Member],
    storage: StorageSnapshot | None,
    described: Mapping[str, PoolSpec],
) -> WantedDomain:
    known = next((d for d in storage.domains if d.name == name), None) if storage else None
    there = {
        pool.name: pool
        for pool in (storage.pools if storage else ())
        if known is not None and pool.domain_id == known.id
    }
    pools = sorted({wish.pool for one in servers for wish in one.layout.provides})
    return WantedDomain(
        name=name,
        pools=tuple(_pool(pool, servers, there.get(pool), described) for pool in pools),
        fault_sets=tuple(sorted({s.layout.fault_set for s in servers} - {""})),
        sds=tuple(
            WantedSds(
                host=one.host,
                address=one.address,
                fault_set=one.layout.fault_set,
                pools=tuple(dict.fromkeys(wish.pool for wish in one.layout.provides)),
                reasons=one.layout.reasons,
                there=storage is not None and storage.sds_at(one.address) is not None,
            )
            for one in servers
        ),
        there=known is not None,
    )


def _pool(
    name: str,
    servers: list[Member],
    there: PoolState | None,
    described: Mapping[str, PoolSpec],
) -> WantedPool:
    members = [s for s in servers if any(wish.pool == name for wish in s.layout.provides)]
    spec = described.get(name)
    return WantedPool(
        name=name,
        media_type=spec.media_type if spec is not None else "",
        hosts=tuple(one.host for one in members),
        fault_units=len({one.layout.fault_set or one.host for one in members}),
        capacity_kb=there.capacity_kb if there is not None else 0,
        there=there is not None,
    )


# -- what stands against it -----------------------------------------------------------------------


def _of_agents(
    here: list[Member], storage: StorageSnapshot | None, limits: Limits
) -> Iterable[Conflict]:
    for one in here:
        for fault in one.layout.faults:
            yield Conflict(kind="attributes", sentence=fault, hosts=(one.host,))
    kept_out: dict[str, list[str]] = {}
    if storage is not None and _may_exceed(here, storage, limits):
        for one in here:
            why = why_over(one, here, storage, limits)
            if why:
                kept_out.setdefault(why.rpartition(": make room")[0].split(",")[0], []).append(
                    one.host
                )
    for why, hosts in kept_out.items():
        yield Conflict(
            kind="limit",
            sentence=f"{why}: {len(hosts)} agents wait until there is room",
            hosts=tuple(hosts[:HOSTS_SHOWN]),
        )
    for one in here:
        if storage is None or not one.domain:
            continue
        sds = storage.sds_at(one.address)
        domain = next((d for d in storage.domains if sds and d.id == sds.domain_id), None)
        if sds is not None and domain is not None and domain.name != one.domain:
            yield Conflict(
                kind="other-domain",
                sentence=f"SDS {sds.name} serves protection domain {domain.name}, and "
                f"{one.domain} is asked for: an SDS can't be moved, remove it there first",
                hosts=(one.host,),
            )


def _may_exceed(here: list[Member], storage: StorageSnapshot, limits: Limits) -> bool:
    """Most sites are far from any limit: they need not be counted agent by agent."""
    servers, clients = len(storage.sds) + len(here), len(storage.sdcs) + len(here)
    objects = len(storage.domains) + len(storage.pools) + len(storage.fault_sets) + len(here)
    near = [one for one in (limits.sds, limits.sds_per_domain) if one and servers > one]
    near += [one for one in (limits.sdc,) if one and clients > one]
    near += [
        one
        for one in (
            limits.domains, limits.pools, limits.pools_per_domain, limits.fault_sets_per_domain
        )
        if one and objects > one
    ]  # fmt: skip
    return bool(near)


def _of_fault_sets(servers: list[Member], storage: StorageSnapshot | None) -> Iterable[Conflict]:
    """Names of fault sets are the whole system's: two domains cannot share one."""
    users: dict[str, dict[str, list[str]]] = {}
    for one in servers:
        if one.layout.fault_set:
            users.setdefault(one.layout.fault_set, {}).setdefault(one.domain, []).append(one.host)
    domains = {d.id: d.name for d in storage.domains} if storage is not None else {}
    for there in storage.fault_sets if storage is not None else ():
        if there.name in users:
            users[there.name].setdefault(domains.get(there.domain_id, there.domain_id), [])
    for name, by_domain in sorted(users.items()):
        if len(by_domain) > 1:
            hosts = sorted(host for group in by_domain.values() for host in group)
            yield Conflict(
                kind="fault-set",
                sentence=f"fault set {name} is wanted in {len(by_domain)} protection domains "
                f"({', '.join(sorted(by_domain))}): its name can be used in one only",
                hosts=tuple(hosts[:HOSTS_SHOWN]),
            )


def _of_pools(domain: WantedDomain) -> Iterable[Conflict]:
    for pool in domain.pools:
        if pool.fault_units < FAULT_UNITS_MIN:
            yield Conflict(
                kind="few-fault-units",
                sentence=f"pool {domain.name}/{pool.name} has agents in {pool.fault_units} fault "
                f"units and cannot hold a volume before it has devices in {FAULT_UNITS_MIN}",
                hosts=pool.hosts[:HOSTS_SHOWN],
                blocking=False,
            )
        elif 0 < pool.capacity_kb < POOL_KB_MIN:
            yield Conflict(
                kind="small-pool",
                sentence=f"pool {domain.name}/{pool.name} has {pool.capacity_kb >> 20} GB, "
                f"and a pool needs {POOL_KB_MIN >> 20} GB before it can hold a volume",
                hosts=pool.hosts[:HOSTS_SHOWN],
                blocking=False,
            )
