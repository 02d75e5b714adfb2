"""What the original scheduler answered under `/version` and `/api/state`, from today's facts."""

from __future__ import annotations

from typing import Final

from actors.board import AgentSnapshot, Board
from domain.agent import Phase
from domain.layout import PoolWish
from domain.storage import StorageSnapshot
from settings import Settings
from web.views import Times

PERSONA_DATA: Final = 4
STARS: Final = "***"

# The original's numbers. Whoever waits for 1024 must not be told so by an agent that is gone,
# held or on its way out: those stand at the beginning, or at its "waiting for all".
STATES: Final[dict[Phase, int]] = {
    Phase.SEEN: 0,
    Phase.SURVEYING: 0,
    Phase.INSTALLING: 2,
    Phase.JOINING: 5,
    Phase.ACTIVATING: 6,
    Phase.REBOOT_WANTED: 7,
    Phase.REBOOTING: 8,
    Phase.READY: 1024,
    Phase.FAILED: 4096,
    Phase.HELD: 1,
    Phase.DRAINING: 1,
    Phase.LOST: 0,
    Phase.RETIRED: 0,
}


def version(own: str) -> dict[str, object]:
    return {"versionint": 1, "versionstr": own}


def state(board: Board, settings: Settings, times: Times, address: str) -> dict[str, object]:
    """`GET /api/state`: the same fields; the password is never in it."""
    return {
        "scheduleraddress": address,
        "loglevel": settings.loglevel,
        "debug": settings.debug,
        "experimental": settings.experimental,
        "ScaleIO": _scaleio(board, settings, times),
        "Rexray": {
            "rexraybranch": settings.rexray_branch,
            "rexrayversion": settings.rexray_version,
        },
        "Isolator": {"isolatorbinary": settings.isolator_binary},
    }


def _scaleio(board: Board, settings: Settings, times: Times) -> dict[str, object]:
    seen = board.gateway.storage
    capacity_kb, used_kb = _default_domain(seen, settings.scaleio_protectiondomain)
    agents = [agent for _, agent in sorted(board.agents.items())]
    return {
        "configured": settings.preconfigured,
        "clusterid": settings.scaleio_clusterid or (seen.system_id if seen else ""),
        "clustername": settings.scaleio_clustername,
        "lbgateway": settings.scaleio_lbgateway,
        "protectiondomain": settings.scaleio_protectiondomain,
        "storagepool": settings.scaleio_storagepool,
        "adminpassword": STARS,
        "apiversion": settings.scaleio_apiversion,
        "fakeuseddata": 0,
        "capacitydata": capacity_kb,
        "useddata": used_kb,
        "atleastoneimperative": any(agent.layout.imperative for agent in agents),
        "Nodes": [_node(agent, seen, times) for agent in agents],
        "Preconfig": {
            "preconfigenabled": settings.preconfigured,
            "preconfigprimdm": settings.scaleio_preconfig_primary,
            "preconfigsecmdm": settings.scaleio_preconfig_secondary,
            "preconfigtbmdm": settings.scaleio_preconfig_tiebreaker,
            "preconfiggateway": settings.scaleio_preconfig_gateway,
        },
        "Ubuntu14": _packages("ubuntu14"),
        "Rhel7": _packages("rhel7"),
    }


def _packages(system: str) -> dict[str, object]:
    """Packages come from the catalog; the fields stay for those who read them."""
    return {f"{system}{package}": "" for package in ("mdm", "sds", "sdc", "lia", "gw")}


def _default_domain(seen: StorageSnapshot | None, name: str) -> tuple[int, int]:
    """Capacity and use of its pools, in KB."""
    if seen is None:
        return 0, 0
    ids = {domain.id for domain in seen.domains if domain.name == name}
    own = [pool for pool in seen.pools if pool.domain_id in ids]
    return sum(pool.capacity_kb for pool in own), sum(pool.in_use_kb for pool in own)


def _node(agent: AgentSnapshot, seen: StorageSnapshot | None, times: Times) -> dict[str, object]:
    age_s = times.wall() - agent.last_contact
    return {
        "name": agent.agent_id,
        "taskid": agent.task_id or agent.keeper_id,
        "executorid": f"executor-scaleio-{agent.host}",
        "offerid": agent.offer_id,
        "ipaddress": agent.address,
        "hostname": agent.host,
        "persona": PERSONA_DATA,
        "state": STATES[Phase(agent.phase)],
        "lastcontact": int(agent.last_contact) if age_s >= 0 else int(times.wall()),
        "imperative": agent.layout.imperative,
        "advertised": bool(agent.devices),
        "ProvidesDomains": _domains(agent.layout.provides, agent, seen),
        "ConsumesDomains": _domains(agent.layout.consumes, agent, seen),
    }


def _domains(
    wishes: tuple[PoolWish, ...], agent: AgentSnapshot, seen: StorageSnapshot | None
) -> dict[str, object]:
    grouped: dict[str, dict[str, object]] = {}
    for wish in wishes:
        devices = _taken(wish.pool, agent, seen) if wish.devices is None else list(wish.devices)
        grouped.setdefault(wish.domain, {})[wish.pool] = {"name": wish.pool, "devices": devices}
    return {domain: {"name": domain, "Pools": pools} for domain, pools in grouped.items()}


def _taken(pool: str, agent: AgentSnapshot, seen: StorageSnapshot | None) -> list[str]:
    """The agent's devices in that pool, as the storage cluster has them."""
    sds = seen.sds_at(agent.address) if seen else None
    if seen is None or sds is None:
        return []
    ids = {one.id for one in seen.pools if one.name == pool and one.domain_id == sds.domain_id}
    return [d.path for d in seen.devices if d.sds_id == sds.id and d.pool_id in ids]
