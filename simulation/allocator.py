"""Who is offered what: a pass over the agents each second when there is a reason, and on events.

As in Mesos, resources that come back wait for the next pass of the one-second grid; new agents
and frameworks, REVIVE and changed roles bring a pass at once.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from simulation import mesos_json
from simulation.mesos_json import JsonObject, ResourceForm
from simulation.mesos_observed import OfferMade
from simulation.mesos_resources import Bundle
from simulation.mesos_state import AgentRecord, Filter, Framework, MasterState, Offer
from simulation.mesos_values import Unavailability

INTERVAL_S: Final = 1.0  # --allocation_interval
EVENT_DELAY_S: Final = 0.001  # events of one moment are answered by one pass


@attrs.define(eq=False)
class Allocator:
    """`offers_per_event` bounds an OFFERS event; 0 puts a whole pass into one."""

    state: MasterState
    offers_per_event: int = 0
    interval_s: float = INTERVAL_S
    passes: int = attrs.field(default=0, init=False)
    _ticks: set[int] = attrs.field(factory=set, init=False)
    _poked: bool = attrs.field(default=False, init=False)
    _static: dict[str, JsonObject] = attrs.field(factory=dict, init=False)

    # ---- asking for a pass

    def poke(self) -> None:
        """A pass for an event."""
        if not self._poked:
            self._poked = True
            self.state.timers.later(EVENT_DELAY_S, self._on_poke)

    def next_tick(self, at: float | None = None) -> None:
        """A pass on the first tick of the grid after `at` (default: now)."""
        since = (self.state.now if at is None else at) - self.state.started_at
        tick = math.floor(since / self.interval_s) + 1
        if tick not in self._ticks:
            self._ticks.add(tick)
            self.state.timers.at(
                self.state.started_at + tick * self.interval_s, lambda: self._on_tick(tick)
            )

    def _on_poke(self) -> None:
        self._poked = False
        self.allocate()

    def _on_tick(self, tick: int) -> None:
        self._ticks.discard(tick)
        self.allocate()

    def forget(self) -> None:
        """Another master leads; timers of the old grid only bring a harmless pass."""
        self._ticks.clear()
        self._static.clear()

    def changed(self, agent_id: str) -> None:
        """The agent has (re-)registered: what is told of it is made anew."""
        self._static.pop(agent_id, None)

    # ---- filters

    def recover(self, framework: Framework, offer: Offer, unused: Bundle, refuse_s: float) -> None:
        """Give back what was declined or left over, with a filter unless `refuse_s` is 0."""
        self.state.give_back(offer.agent_id, unused)
        self.next_tick()
        if refuse_s > 0 and unused:
            until = self.state.now + max(refuse_s, self.interval_s)
            key = (offer.agent_id, offer.role)
            framework.filters.setdefault(key, []).append(Filter(until, unused))
            self.next_tick(until)

    def _filtered(self, framework: Framework, agent: AgentRecord, role: str, some: Bundle) -> bool:
        key = (agent.id, role)
        filters = framework.filters.get(key)
        if not filters:
            return False
        valid = [one for one in filters if one.until > self.state.now]
        if len(valid) < len(filters):
            framework.filters[key] = valid
        return any(one.refused.contains(some) for one in valid)

    # ---- a pass

    def allocate(self) -> None:
        self.passes += 1
        self._offer_free()
        if self.state.schedule:
            self._offer_inverse()

    def _offer_free(self) -> None:
        wants = [
            (framework, role)
            for framework in self.state.frameworks.values()
            if framework.connected
            for role in framework.info.roles
            if role not in framework.suppressed
        ]
        if not wants:
            return
        agents = [one for one in self.state.agents.values() if one.offering and one.free]
        self.state.rng.shuffle(agents)
        shares = self._shares(wants)
        made: dict[str, list[Offer]] = {}
        for agent in agents:
            self._offer_agent(agent, wants, shares, made)
        for framework_id, offers in made.items():
            self._send(self.state.frameworks[framework_id], offers)

    def _offer_inverse(self) -> None:
        """Frameworks that use, or are offered, something of an agent with a window coming."""
        made: dict[str, list[JsonObject]] = {}
        for agent in self.state.agents.values():
            if agent.unavailability is None or not agent.connected:
                continue
            using = {key[0]: None for key in agent.tasks}
            using |= {offer.framework_id: None for offer in agent.offers.values()}
            for framework_id in using:
                framework = self.state.frameworks[framework_id]
                if self._wants_inverse(framework, agent):
                    offer = self._inverse_offer(framework, agent, agent.unavailability)
                    made.setdefault(framework_id, []).append(offer)
        for framework_id, offers in made.items():
            framework = self.state.frameworks[framework_id]
            self.state.send(framework, mesos_json.inverse_offers(offers))

    def _wants_inverse(self, framework: Framework, agent: AgentRecord) -> bool:
        outstanding = agent.id in framework.inverse_offers.values()
        filtered = framework.inverse_filters.get(agent.id, 0.0) > self.state.now
        return framework.connected and not outstanding and not filtered

    def _inverse_offer(
        self, framework: Framework, agent: AgentRecord, window: Unavailability
    ) -> JsonObject:
        offer_id = self.state.new_offer_id()
        framework.inverse_offers[offer_id] = agent.id
        return {
            "id": {"value": offer_id},
            "url": self._static_part(agent)["url"],
            "framework_id": {"value": framework.id},
            "agent_id": {"value": agent.id},
            "unavailability": mesos_json.unavailability(window),
        }

    def _shares(self, wants: list[tuple[Framework, str]]) -> dict[tuple[str, str], int]:
        """How many cpus each has in use or offered: who has the least is served first."""
        if len(wants) == 1:
            return {}
        shares = {(framework.id, role): 0 for framework, role in wants}
        for framework in {one.id: one for one, _ in wants}.values():
            for offer in framework.offers.values():
                if (framework.id, offer.role) in shares:
                    shares[framework.id, offer.role] += offer.resources.milli("cpus")
            for task in framework.tasks.values():
                if (framework.id, task.role) in shares:
                    shares[framework.id, task.role] += task.order.resources.milli("cpus")
        return shares

    def _offer_agent(
        self,
        agent: AgentRecord,
        wants: list[tuple[Framework, str]],
        shares: dict[tuple[str, str], int],
        made: dict[str, list[Offer]],
    ) -> None:
        in_turn = wants
        if shares:
            in_turn = sorted(wants, key=lambda want: shares[want[0].id, want[1]])
        for framework, role in in_turn:
            if not agent.port.needs <= framework.info.capabilities:
                continue
            some = agent.free.usable_by(role)
            if not some.worth_offering() or self._filtered(framework, agent, role, some):
                continue
            offer = self.state.make_offer(framework, agent, role, some)
            made.setdefault(framework.id, []).append(offer)
            if shares:
                shares[framework.id, role] += some.milli("cpus")

    def _send(self, framework: Framework, offers: list[Offer]) -> None:
        size = self.offers_per_event or len(offers)
        for start in range(0, len(offers), size):
            batch = offers[start : start + size]
            event = mesos_json.offers(self.offer_object(framework, offer) for offer in batch)
            self.state.send(framework, event)
        for offer in offers:
            self.state.tell(
                OfferMade(
                    at=self.state.now,
                    offer_id=offer.id,
                    framework_id=framework.id,
                    agent_id=offer.agent_id,
                    hostname=self.state.agents[offer.agent_id].hostname,
                    role=offer.role,
                    resources=offer.resources,
                )
            )

    def offer_object(
        self, framework: Framework, offer: Offer, *, whole: bool = False
    ) -> JsonObject:
        """As the framework may see it; `whole`: as it is, for operators."""
        agent = self.state.agents[offer.agent_id]
        form = ResourceForm.for_framework(framework.info, offer.role)
        if whole:
            form = ResourceForm(allocated=offer.role, refined=True)
        static = self._static_part(agent)
        out: JsonObject = {
            "id": {"value": offer.id},
            "framework_id": {"value": framework.id},
            "agent_id": {"value": agent.id},
            "hostname": agent.hostname,
            "url": static["url"],
            "resources": form.objects(offer.resources, ranges_first=True),
            "attributes": static["attributes"],
        }
        if agent.unavailability is not None:
            out["unavailability"] = mesos_json.unavailability(agent.unavailability)
        if framework.info.multi_role or whole:
            out["allocation_info"] = {"role": offer.role}
        return out

    def _static_part(self, agent: AgentRecord) -> JsonObject:
        if agent.id not in self._static:
            self._static[agent.id] = {
                "url": mesos_json.agent_url(agent.port.address),
                "attributes": mesos_json.attribute_objects(agent.port.attributes),
            }
        return self._static[agent.id]
