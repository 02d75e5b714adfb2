"""What the board shows, as plain values for JSON and for the page. Nothing here waits or asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs
import msgspec

from actors.board import AgentSnapshot, Board, Condition
from actors.membership import members
from domain.agent import Phase
from domain.closing import TORN_DOWN
from domain.layout import Layout, PoolWish
from domain.storage import PoolState, StorageSnapshot
from domain.wanted import resolve
from install_steps.concerns import concerns
from protocol.mesos.session import State
from settings import Settings

# Those that need somebody's eye come first on the page.
ATTENTION = (Phase.FAILED, Phase.LOST, Phase.HELD, Phase.REBOOTING, Phase.REBOOT_WANTED)
SEVERITIES = ("critical", "warning", "info")
KB = 1024


@attrs.frozen(kw_only=True)
class Times:
    """The run's clock, and what a clock on the wall showed at one of its moments."""

    now: Callable[[], float]
    wall: Callable[[], float]

    def age(self, moment: float) -> float:
        return round(max(0.0, self.now() - moment), 3)

    def unix(self, moment: float) -> float:
        return round(self.wall() - (self.now() - moment), 3)

    def since_unix(self, moment: float) -> dict[str, object]:
        """Of what is stored: its times are unix seconds already."""
        return {"since": moment, "for_s": round(max(0.0, self.wall() - moment), 3)}

    def both(self, moment: float) -> dict[str, object]:
        return {"since": self.unix(moment), "for_s": self.age(moment)}


def plain(value: object) -> dict[str, Any]:
    """An attrs value as dictionaries and lists."""
    built: dict[str, Any] = msgspec.to_builtins(value)
    return built


def agent_line(agent: AgentSnapshot, times: Times, reason: str = "") -> dict[str, object]:
    """What a list shows of an agent."""
    return {
        "host": agent.host,
        "agent_id": agent.agent_id,
        "address": agent.address,
        "phase": agent.phase,
        **times.since_unix(agent.since),
        "step": agent.step,
        "task_id": agent.task_id,
        "reason": reason or agent.reason,
        "error": agent.error,
        "reboot_wanted": agent.reboot_wanted,
        "missing": agent.missing,
        "fault_set": agent.layout.fault_set,
        "reboots_avoided": list(agent.reboots_avoided),
        "keeper_healthy": agent.keeper_healthy,
    }


def agent_whole(agent: AgentSnapshot, times: Times, reason: str = "") -> dict[str, object]:
    return {
        **plain(agent),
        **agent_line(agent, times, reason),
        "concerns": concerns(agent.facts, read_at=agent.surveyed) if agent.facts else (),
        "devices": [{"path": path, "verdict": verdict} for path, verdict in agent.devices],
    }


def attention(board: Board) -> list[AgentSnapshot]:
    """Agents that need somebody's eye, the most urgent first."""
    rank = {phase.value: place for place, phase in enumerate(ATTENTION)}
    wanted = [agent for agent in board.agents.values() if agent.phase in rank]
    return sorted(wanted, key=lambda agent: (rank[agent.phase], agent.host))


def phases(board: Board) -> dict[str, int]:
    count = Counter(agent.phase for agent in board.agents.values())
    return {phase.value: count[phase.value] for phase in Phase}


def conditions(board: Board, times: Times) -> list[dict[str, object]]:
    """The worst first, then the oldest."""

    def order(condition: Condition) -> tuple[int, float, str]:
        known = condition.severity in SEVERITIES
        rank = SEVERITIES.index(condition.severity) if known else len(SEVERITIES)
        return rank, condition.since, condition.name

    return [
        {
            "name": condition.name,
            "severity": condition.severity,
            "subject": condition.subject,
            "text": condition.text,
            "cure": condition.cure,
            "objects": list(condition.objects),
            **times.both(condition.since),
            **_silence(board, condition, times.wall()),
        }
        for condition in sorted(board.conditions, key=order)
    ]


def _silence(board: Board, condition: Condition, unix: float) -> dict[str, object]:
    """Until when nobody is notified of it, and on whose word."""
    covering = [s for s in board.silences if s.covers(condition.name, condition.subject, unix)]
    longest = max(covering, key=lambda silence: silence.until, default=None)
    return {
        "silenced_until": longest.until if longest is not None else None,
        "silenced_by": longest.by if longest is not None else "",
        "silenced_for": longest.reason if longest is not None else "",
    }


def percent_used(pool: PoolState) -> float:
    return round(100 * pool.in_use_kb / pool.capacity_kb, 1) if pool.capacity_kb else 0.0


def pools(storage: StorageSnapshot) -> list[dict[str, object]]:
    domains = {domain.id: domain.name for domain in storage.domains}
    return [
        {
            **plain(pool),
            "domain": domains.get(pool.domain_id, ""),
            "used_percent": percent_used(pool),
        }
        for pool in sorted(storage.pools, key=lambda pool: (pool.domain_id, pool.name))
    ]


def storage(board: Board, times: Times) -> dict[str, object]:
    """The last good look at the storage cluster, how old it is, and what is wrong since."""
    gateway = board.gateway
    seen = gateway.storage
    head: dict[str, object] = {
        "error": gateway.error,
        "fault": gateway.fault,
        **times.both(gateway.since),
        "leaving": [plain(one) for one in board.leaving],
    }
    if seen is None:
        return {**head, "snapshot": None}
    return {
        **head,
        "snapshot": {
            **plain(seen),
            "age_s": times.age(seen.taken_at),
            "data_is_whole": seen.data_is_whole,
            "pools": pools(seen),
        },
    }


def plan(board: Board, settings: Settings) -> dict[str, object]:
    """What is done and left to do on each agent, and what the cluster is to be in the end."""
    wanted = resolve(members(board), board.gateway.storage, board.limits, board.described)
    return {
        "mode": settings.mode,
        "agents": [
            {
                "host": host,
                "phase": agent.phase,
                "reason": board.why_waiting(agent),
                "reboot_wanted": agent.reboot_wanted,
                "steps": [plain(step) for step in agent.plan],
                "overrides": list(agent.overrides),
                "devices": [{"path": path, "verdict": verdict} for path, verdict in agent.devices],
                "layout": _layout(agent.layout),
            }
            for host, agent in sorted(board.agents.items())
        ],
        "wanted": {"domains": [plain(one) for one in wanted.domains]},
        "conflicts": [plain(one) for one in wanted.conflicts],
    }


def _layout(of: Layout) -> dict[str, object]:
    """What that agent is asked to provide and consume, and who asks."""

    def places(wishes: Iterable[PoolWish]) -> list[dict[str, object]]:
        return [
            {
                "domain": one.domain,
                "pool": one.pool,
                "devices": None if one.devices is None else list(one.devices),
                "media": one.media,
            }
            for one in wishes
        ]

    return {
        "provides": places(of.provides),
        "consumes": [{"domain": one.domain, "pool": one.pool} for one in of.consumes],
        "fault_set": of.fault_set,
        "reasons": list(of.reasons),
        "faults": list(of.faults),
    }


def rollout(board: Board) -> dict[str, object]:
    """Stage, who is under way, why nobody begins, and the estimate with its reason."""
    return {**plain(board.rollout), "deactivated": list(board.deactivated)}


def troubles(board: Board) -> list[str]:
    """Why the service is less than whole, in sentences."""
    found: list[str] = []
    link, gateway = board.link, board.gateway
    if link.state != State.SUBSCRIBED.value and not is_torn_down(board):
        found.append(f"master: {link.state}{_because(link.detail)}")
    if gateway.error:
        found.append(f"gateway: {gateway.error}")
    elif gateway.storage is None:
        found.append("gateway: not asked yet")
    for name, look in sorted(board.actors.items()):
        actor = look()
        if actor.phase in {"backing-off", "quarantined"}:
            found.append(f"actor {name}: {actor.phase}{_because(actor.last_error)}")
    found += [f"{c.name}: {c.text}" for c in board.conditions if c.severity == "critical"]
    return found


REASONS_MAX: Final = 5


def verdict(board: Board) -> tuple[str, list[str]]:
    """ok, warning or error, and up to five reasons."""
    bad = troubles(board)
    warned = [f"{c.name}: {c.text}" for c in board.conditions if c.severity == "warning"]
    failed = sum(agent.phase == Phase.FAILED.value for agent in board.agents.values())
    if failed and not any(c.name == "agent-failed" for c in board.conditions):
        warned.append(f"{failed} agents have failed")
    if board.rollout.why:
        warned.append(board.rollout.why)
    word = "error" if bad else "warning" if warned else "ok"
    return word, [*bad, *warned][:REASONS_MAX]


def is_torn_down(board: Board) -> bool:
    return board.closing is not None and board.closing.is_torn_down


def closing(board: Board) -> dict[str, object] | None:
    """The order to remove the framework; None while there is none."""
    standing = board.closing
    if standing is None:
        return None
    stays = "" if standing.teardown else "every agent is retired; the framework stays registered"
    told = TORN_DOWN if standing.is_torn_down else standing.waits_for or stays
    return {
        "stage": standing.stage,
        "teardown": standing.teardown,
        "framework_id": standing.framework_id,
        "text": told,
    }


def _because(detail: str) -> str:
    return f": {detail}" if detail else ""


def not_ready(board: Board) -> list[str]:
    """What has not happened once yet: a subscription, and a look at the Gateway."""
    missing: list[str] = []
    if is_torn_down(board):
        return [TORN_DOWN]
    if not board.link.subscriptions:
        missing.append(f"not subscribed to a master yet{_because(board.link.detail)}")
    if board.gateway.storage is None:
        missing.append(f"the Gateway has not been read yet{_because(board.gateway.error)}")
    return missing


def _offers(board: Board) -> dict[str, object]:
    tally = board.offers
    answered = tally.accepted + tally.declined
    return {
        "received": tally.received,
        "accepted": tally.accepted,
        "declined": tally.declined,
        "void": tally.void,
        "held_mean_s": round(tally.held_s / answered, 6) if answered else 0.0,
        "held_max_s": round(tally.held_max_s, 6),
    }


def status(
    board: Board, settings: Settings, times: Times, about: Mapping[str, object]
) -> dict[str, object]:
    """The head of the page: who we are, and how the parts stand."""
    severities = Counter(condition.severity for condition in board.conditions)
    seen = board.gateway.storage
    word, reasons = verdict(board)
    return {
        **about,
        "verdict": word,
        "reasons": reasons,
        "mode": settings.mode,
        "debug": settings.debug,
        "role": settings.role,
        "store": board.store_kind,
        "revision": board.revision,
        "agents": len(board.agents),
        "phases": phases(board),
        "conditions": {severity: severities[severity] for severity in SEVERITIES},
        "master": {**plain(board.link), **times.both(board.link.since)},
        "closing": closing(board),
        "rollout": rollout(board),
        "offers": _offers(board),
        "gateway": {
            "address": settings.gateway_address,
            "error": board.gateway.error,
            **times.both(board.gateway.since),
            "age_s": times.age(seen.taken_at) if seen else None,
            "system": seen.system_name if seen else "",
            "mdm_normal": seen.mdm_normal if seen else None,
        },
        "troubles": troubles(board),
        "warnings": list(settings.warnings),
    }
