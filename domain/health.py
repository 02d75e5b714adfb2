"""From what the board shows to conditions: what is wrong now, of which the ledger makes alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from domain import storage_health
from domain.conditions import Finding, finding
from domain.inbox import Doubted
from domain.storage import StorageSnapshot
from domain.storage_health import Limits, Outlook, Rebooting
from domain.trends import DAY_S, spoken

NOT_WAITING: Final = frozenset({"ready", "failed", "lost", "held", "retired"})
MANY_AGENTS: Final = 3  # the same step failing on that many is one condition of its own
SKEW_S: Final = 60.0  # tokens, certificates and logs of several hosts need no better clocks
HOST_SKEW_S: Final = 300.0  # a survey's own time is read somewhat later than it was taken
EXPIRES_S: Final = 30 * DAY_S
EXPIRES_NOW_S: Final = 3 * DAY_S
_TROUBLES: Final[Mapping[str, tuple[str, str]]] = {  # of the Gateway, by the poller's word
    "login": ("gateway-login", "the Gateway refuses the login"),
    "certificate": ("gateway-certificate", "the Gateway is not trusted"),
    "protocol": ("gateway-not-understood", "the Gateway is not understood"),
    "system": ("gateway-wrong-system", "the Gateway is not ours"),
}


@attrs.frozen(kw_only=True)
class AgentView:
    host: str
    phase: str
    error: str = ""
    address: str = ""
    sdc_guid: str = ""
    missing: bool = False  # did not come back whole from our reboot
    later: str = ""  # which step asks to be tried later, and why
    skew_s: float = 0.0  # its clock less ours, by its last survey
    repairs_spent: bool = False  # its SDS was restarted as often as it may be


@attrs.frozen(kw_only=True)
class Scene:
    """All that is judged, as it is at this moment; how long it lasts is the ledger's to know."""

    framework_removed: bool = False
    link_down: bool = False
    link_detail: str = ""
    gateway_error: str = ""
    gateway_fault: str = ""  # its kind: unreachable, login, certificate, protocol, system
    gateway_skew_s: float = 0.0  # its clock less ours
    certificate_left_s: float | None = None
    store_fault: str = ""
    store_bound_to_host: bool = False
    deaf: Mapping[str, str] = attrs.field(factory=dict)  # receiver of notifications -> why
    storage: StorageSnapshot | None = None
    outlooks: Mapping[str, Outlook] = attrs.field(factory=dict)  # by pool id
    agents: tuple[AgentView, ...] = ()


def judge(scene: Scene, limits: Limits, before: Iterable[tuple[str, str]]) -> tuple[Finding, ...]:
    """What holds now; `before` are the (name, subject) pairs of the last look."""
    found = [*_connections(scene), *_receivers(scene.deaf), *_agents(scene.agents)]
    if scene.storage is not None:
        found += _beyond_repair(scene.storage, scene.agents)
        away = [agent for agent in scene.agents if agent.phase == "rebooting"]
        found += storage_health.found(
            scene.storage,
            limits,
            frozenset(before),
            outlooks=scene.outlooks,
            rebooting=Rebooting(
                addresses=frozenset(agent.address for agent in away if not agent.missing),
                clients=frozenset(agent.sdc_guid for agent in away if agent.sdc_guid),
            ),
        )
    return tuple(sorted(found, key=lambda f: (f.name, f.subject)))


def _connections(scene: Scene) -> Iterator[Finding]:
    if scene.framework_removed:
        yield finding("framework-removed", "", scene.link_detail)
    elif scene.link_down:
        detail = scene.link_detail or "looking for the leader"
        yield finding("master-unreachable", "", f"no subscription to Mesos: {detail}")
    if scene.gateway_error:
        name, what = _TROUBLES.get(
            scene.gateway_fault, ("gateway-unreachable", "the Gateway cannot be polled")
        )
        yield finding(name, "", f"{what}: {scene.gateway_error}")
    if abs(scene.gateway_skew_s) > SKEW_S:
        yield _skew("Gateway", scene.gateway_skew_s)
    left_s = scene.certificate_left_s
    if left_s is not None and left_s < EXPIRES_S:
        told = f"expires in {spoken(left_s)}" if left_s > 0 else "has expired"
        yield finding(
            "certificate-expiring",
            "",
            f"the Gateway's certificate {told}",
            severity="critical" if left_s < EXPIRES_NOW_S else "",
        )
    if scene.store_fault:
        yield finding("store-failing", "", scene.store_fault)
    if scene.store_bound_to_host:
        yield finding(
            "store-bound-to-host",
            "",
            "state is bound to this host; name a ZooKeeper ensemble with -store.uri",
        )


def _receivers(deaf: Mapping[str, str]) -> Iterator[Finding]:
    for receiver, why in deaf.items():
        text = f"{receiver} is not told of conditions: {why}"
        yield finding("notification-failing", receiver, text)


def _skew(subject: str, skew_s: float) -> Finding:
    way = "ahead of" if skew_s > 0 else "behind"
    text = f"the clock of {subject} is {spoken(abs(skew_s))} {way} the scheduler's"
    return finding("clock-skew", subject, text)


def _agents(agents: tuple[AgentView, ...]) -> Iterator[Finding]:
    failing: dict[str, list[str]] = {}
    for agent in agents:
        yield from _agent(agent)
        if agent.phase == "failed":
            step = agent.error.partition(" step ")[2].partition(" ")[0]
            if step:
                failing.setdefault(step, []).append(agent.host)
    for step, hosts in failing.items():
        if len(hosts) >= MANY_AGENTS:
            text = f"step {step} failed on {len(hosts)} agents: {', '.join(sorted(hosts)[:5])}"
            yield finding("step-failing", step, text, objects=sorted(hosts))


def _agent(agent: AgentView) -> Iterator[Finding]:
    host = agent.host
    if agent.missing:
        yield finding(
            "reboot-overdue",
            host,
            f"{host} has not come back whole from its reboot; no other host is "
            "rebooted and no Mesos agent restarted until it has: look at its console, or hold "
            "it to let the others go on",
        )
    if agent.later and agent.phase not in NOT_WAITING:
        text = f"{host} is tried again until its cause is gone: {agent.later}"
        yield finding("waiting-long", host, text)
    if agent.phase == "failed":
        yield finding("agent-failed", host, agent.error)
    elif agent.phase == "lost" and not agent.missing:
        yield finding("agent-lost", host, f"Mesos cannot reach agent {host}")
    if abs(agent.skew_s) > HOST_SKEW_S:
        yield _skew(host, agent.skew_s)


def _beyond_repair(storage: StorageSnapshot, agents: Iterable[AgentView]) -> Iterator[Finding]:
    for agent in agents:
        sds = storage.sds_at(agent.address)
        if agent.repairs_spent and sds is not None and not sds.good:
            text = f"SDS {sds.name} of {agent.host} stays down, though it was looked after"
            yield finding("repair-exhausted", agent.host, text)


def doubts(storage: StorageSnapshot, agents: Iterable[AgentView]) -> Mapping[str, Doubted]:
    """Ready agents whose SDS or SDC the storage cluster does not see."""
    found: dict[str, Doubted] = {}
    for agent in agents:
        if agent.phase != "ready":
            continue
        sds = storage.sds_at(agent.address)
        if sds is not None and not sds.good and not sds.in_maintenance:
            why = f"SDS {sds.name} is not healthy ({sds.detail})"
            found[agent.host] = Doubted(why=why, repair=True)
        sdc = storage.sdc_by_guid(agent.sdc_guid) if agent.sdc_guid else None
        if agent.sdc_guid and (sdc is None or not sdc.connected):
            # What is said of its SDS bounds its repairs.
            found.setdefault(agent.host, Doubted(why="its SDC is not connected to the MDM"))
    return found
