"""Metrics for Prometheus, read off the board when asked. Labels are words of closed lists only."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final

import attrs
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from actors.board import HOLD_BOUNDS_S, ActorSnapshot, Board
from domain.conditions import KINDS as KINDS_OF_CONDITIONS
from protocol.mesos.session import State
from web.views import KB, SEVERITIES, Times, phases

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
KINDS: Final = (
    "master_link",
    "offer_broker",
    "roster",
    "agent",
    "rollout_gate",
    "gateway_poller",
    "health_monitor",
    "journal",
    "other",
)
STEPS: Final = (
    "survey", "prerequisites", "sds", "sdc", "rexray", "dvdcli", "isolator", "claim", "probe",
    "reboot", "agent-restart", "uninstall", "other",
)  # fmt: skip
CONDITIONS: Final = (*sorted(KINDS_OF_CONDITIONS), "other")
ROLLOUT_STATES: Final = ("running", "paused", "aborted", "halted", "asking")
STEP_STATES: Final = ("satisfied", "wanted", "running", "failed", "ignored", "blocked", "other")


def _gauge(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _counter(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _known(word: str, words: tuple[str, ...]) -> str:
    return word if word in words else "other"


@attrs.frozen(eq=False)
class BoardCollector(Collector):
    board: Board
    times: Times
    version: str = ""

    def collect(self) -> Iterator[Metric]:
        about = {self.version: 1.0}
        yield _gauge("scaleio_build_info", "1, with the version", "version", about)
        yield from self._agents()
        yield from self._rollout()
        yield from self._conditions()
        yield from self._links()
        yield from self._offers()
        yield from self._storage()
        yield from self._actors()

    def _agents(self) -> Iterator[Metric]:
        board = self.board
        yield _gauge("scaleio_agents", "Agents by phase", "phase", dict(phases(board)))
        states = Tally(
            _known(step.state, STEP_STATES)
            for agent in board.agents.values()
            for step in agent.plan
        )
        yield _gauge(
            "scaleio_steps", "Planned steps by state", "state", {s: states[s] for s in STEP_STATES}
        )
        yield GaugeMetricFamily(
            "scaleio_reboots_avoided",
            "Reboots that the agents were spared, of the last few of each",
            float(sum(len(agent.reboots_avoided) for agent in board.agents.values())),
        )
        failing = Tally(
            _known(run.step, STEPS)
            for agent in board.agents.values()
            if agent.phase == "failed"
            for run in agent.runs[-1:]
        )
        yield _gauge(
            "scaleio_failed_agents",
            "Failed agents by the step that ran last",
            "step",
            {step: float(failing[step]) for step in STEPS},
        )

    def _rollout(self) -> Iterator[Metric]:
        rollout = self.board.rollout
        states = {state: float(state == rollout.state) for state in ROLLOUT_STATES}
        yield _gauge("scaleio_rollout_state", "1 for the rollout's state", "state", states)
        counts = {
            "concerned": rollout.concerned,
            "done": rollout.done,
            "under_way": len(rollout.under_way),
            "failed": len(rollout.failed),
        }
        together = {what: float(count) for what, count in counts.items()}
        yield _gauge("scaleio_rollout_agents", "Agents of the rollout", "what", together)

    def _conditions(self) -> Iterator[Metric]:
        board = self.board
        severities = Tally(condition.severity for condition in board.conditions)
        counted = {severity: float(severities[severity]) for severity in SEVERITIES}
        yield _gauge("scaleio_conditions", "Standing conditions", "severity", counted)
        names = Tally(_known(one.name, CONDITIONS) for one in board.conditions)
        by_name = {name: float(names[name]) for name in CONDITIONS}
        yield _gauge("scaleio_condition", "Standing conditions by name", "name", by_name)
        yield GaugeMetricFamily(
            "scaleio_store_up", "1 while it takes records", not board.store_fault
        )
        deaf = sum(bool(one.last_error) for one in board.notices)
        told = {"good": float(len(board.notices) - deaf), "bad": float(deaf)}
        yield _gauge("scaleio_receivers", "Receivers of notifications", "condition", told)

    def _links(self) -> Iterator[Metric]:
        link, gateway = self.board.link, self.board.gateway
        states = {state.value: float(state.value == link.state) for state in State}
        yield _gauge("scaleio_master_link", "1 for the state of the subscription", "state", states)
        yield CounterMetricFamily(
            "scaleio_master_subscriptions", "Subscriptions so far", link.subscriptions
        )
        yield GaugeMetricFamily(
            "scaleio_gateway_up", "1 while polls succeed", float(not gateway.error)
        )
        if gateway.storage:
            age_s = self.times.age(gateway.storage.taken_at)
            yield GaugeMetricFamily("scaleio_gateway_age_seconds", "Age of the last look", age_s)

    def _offers(self) -> Iterator[Metric]:
        tally = self.board.offers
        counts = {
            "accepted": tally.accepted,
            "declined": tally.declined,
            "void": tally.void,
        }
        family = CounterMetricFamily(
            "scaleio_offers", "Offers by what became of them", labels=["answer"]
        )
        for answer, count in counts.items():
            family.add_metric([answer], count)
        yield family
        bounds = (*(f"{bound:g}" for bound in HOLD_BOUNDS_S), "+Inf")
        buckets = list(zip(bounds, accumulate(float(n) for n in tally.held), strict=True))
        yield HistogramMetricFamily(
            "scaleio_offer_hold_seconds",
            "From an offer's arrival to its answer",
            buckets=buckets,
            sum_value=tally.held_s,
        )

    def _storage(self) -> Iterator[Metric]:
        seen = self.board.gateway.storage
        if seen is None:
            return
        capacity = {
            "total": sum(pool.capacity_kb for pool in seen.pools),
            "used": sum(pool.in_use_kb for pool in seen.pools),
            "spare": sum(pool.spare_kb for pool in seen.pools),
            "available": sum(pool.available_kb for pool in seen.pools),
            "degraded": sum(pool.degraded_kb for pool in seen.pools),
            "failed": sum(pool.failed_kb for pool in seen.pools),
            "moving": sum(pool.moving_kb for pool in seen.pools),
        }
        sizes = {kind: float(kb * KB) for kind, kb in capacity.items()}
        yield _gauge("scaleio_capacity_bytes", "Capacity of all pools", "kind", sizes)
        good = {
            "sds": (sum(sds.good for sds in seen.sds), len(seen.sds)),
            "device": (sum(device.good for device in seen.devices), len(seen.devices)),
            "sdc": (sum(sdc.connected for sdc in seen.sdcs), len(seen.sdcs)),
        }
        family = GaugeMetricFamily(
            "scaleio_objects", "Storage objects", labels=["kind", "condition"]
        )
        for kind, (whole, total) in good.items():
            family.add_metric([kind, "good"], whole)
            family.add_metric([kind, "bad"], total - whole)
        yield family
        yield GaugeMetricFamily("scaleio_mdm_normal", "MDM cluster is whole", seen.mdm_normal)

    def _actors(self) -> Iterator[Metric]:
        actors = [look() for look in self.board.actors.values()]
        kinds: dict[str, list[ActorSnapshot]] = {kind: [] for kind in KINDS}
        for actor in actors:
            kinds[_known(actor.kind, KINDS)].append(actor)

        def over(combine: Callable[[list[int]], int], field: str) -> dict[str, float]:
            return {
                kind: float(combine([getattr(actor, field) for actor in some] or [0]))
                for kind, some in kinds.items()
            }

        yield _gauge("scaleio_mailbox_depth", "Fullest mailbox", "kind", over(max, "mailbox_depth"))
        yield _gauge("scaleio_mailbox_peak", "Its peak", "kind", over(max, "mailbox_peak"))
        yield _counter(
            "scaleio_actor_restarts", "Restarts after crashes", "kind", over(sum, "restarts")
        )
        yield _counter("scaleio_messages_handled", "Messages handled", "kind", over(sum, "handled"))


class Metrics:
    """One registry per app; the library's global one stays untouched."""

    def __init__(self, board: Board, times: Times, version: str = "") -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(BoardCollector(board, times, version))
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "scaleio_http_requests",
            "Requests by endpoint and class of status",
            ["endpoint", "status"],
            registry=self._registry,
        )

    def request(self, endpoint: str, status: int) -> None:
        """`endpoint` is a function's name, "none" where no route matched."""
        self._requests.labels(endpoint, f"{status // 100}xx").inc()

    def text(self) -> str:
        return generate_latest(self._registry).decode()
