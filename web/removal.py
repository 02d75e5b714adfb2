"""What the removal of an agent would take away, and what it waits for: shown before it is begun."""

from __future__ import annotations

from actors.board import AgentSnapshot, Board
from domain import joining, leaving
from domain.joining import JoinSpec, Wait
from domain.storage import StorageSnapshot

UNSEEN = "the storage cluster has not been seen yet"
BROUGHT = ("rexray", "dvdcli", "sdc", "sds")


def plan(
    board: Board, agent: AgentSnapshot, *, keeps_sds: bool, keeps_sdc: bool
) -> dict[str, object]:
    """Nothing is decided here: the poller asks the same questions again before each act."""
    guid = agent.facts.sdc_guid if agent.facts is not None and not keeps_sdc else ""
    spec = JoinSpec(
        host=agent.host,
        address=agent.address,
        domain="",
        sdc_guid=guid,
        keeps_sds=keeps_sds,
        keeps_sdc=keeps_sdc,
    )
    storage = board.gateway.storage
    return {
        "host": agent.host,
        "phase": agent.phase,
        "waits_for": _waits_for(storage, spec),
        "storage": _objects(storage, spec) if storage is not None else [],
        "host_steps": _host_steps(agent),
    }


def why_not_gone(agent: AgentSnapshot) -> str:
    """Why its host is not taken for gone; "" if it may be."""
    if agent.phase == "rebooting":
        return f"{agent.host} is rebooting: wait for it, or until it is overdue"
    if agent.phase == "retired":
        return f"{agent.host} is retired"
    if not agent.lost_at:
        return f"Mesos has {agent.host}: uninstall it; only a host that is gone is retired"
    return ""


def _waits_for(storage: StorageSnapshot | None, spec: JoinSpec) -> str:
    if storage is None:
        return UNSEEN
    act = leaving.next_act(storage, spec, joining.probe_name(spec.host))
    return act.sentence if isinstance(act, Wait) else ""


def _objects(storage: StorageSnapshot, spec: JoinSpec) -> list[str]:
    """What leaves the cluster, in order."""
    found: list[str] = []
    sds = leaving.server_of(storage, spec)
    if sds is not None:
        devices = [d.path for d in storage.devices if d.sds_id == sds.id]
        named = f" with {', '.join(devices)}" if devices else ""
        found.append(f"SDS {sds.name}{named}, when its data is on the others")
    sdc = leaving.client_of(storage, spec)
    if sdc is not None:
        found.append(f"SDC {sdc.guid}")
    return found


def _host_steps(agent: AgentSnapshot) -> list[str]:
    if agent.phase == "retired":
        return []
    there = agent.facts.packages if agent.facts is not None else {}
    brought = [f"{name} {there[name]}" for name in BROUGHT if there.get(name)]
    named = ", ".join(brought) or "nothing is known of it"
    return [
        "end the keeper task; tasks of applications are their operators' matter",
        "put the Mesos agent's settings back, and restart it, watched by the host",
        f"remove what we installed ({named}); what was there before us stays",
        "put changed files back as they were; those changed since are kept and named",
        "remove units, receipts and the state folder",
    ]
