"""Why a pool, the rollout or the framework is as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from actors.board import AgentSnapshot
from domain.agent import Phase
from domain.storage_health import NO_OUTLOOK, pool_subject, used_percent
from domain.trends import spoken
from web.causes import GOES_ON, NAMED_MAX, NOTHING, Link, Why
from web.why import AgentExplainer

# Phases in which something is still to be done by us.
MOVING: Final = frozenset(
    {
        Phase.SEEN.value, Phase.SURVEYING.value, Phase.INSTALLING.value, Phase.JOINING.value,
        Phase.ACTIVATING.value, Phase.REBOOT_WANTED.value, Phase.REBOOTING.value,
        Phase.DRAINING.value,
    }
)  # fmt: skip


class Explainer(AgentExplainer):
    """All there is to ask."""

    def pool(self, domain: str, name: str) -> Why | None:
        storage = self.board.gateway.storage
        if storage is None:
            unknown = (Link(f"pool {name}", "is not known"), self.gateway())
            return Why(subject=name, chain=unknown, unblocked_by="bring the Gateway back")
        domains = {one.id: one.name for one in storage.domains}
        found = (p for p in storage.pools if p.name == name and domains.get(p.domain_id) == domain)
        pool = next(found, None)
        if pool is None:
            return None
        subject = f"pool {pool_subject(storage, pool)}"
        whole = not (pool.failed_kb or pool.degraded_kb or pool.moving)
        chain = [Link(subject, "is whole" if whole else self.pool_state(pool))]
        if not whole:
            chain += [
                link
                for sds in storage.sds
                if sds.domain_id == pool.domain_id and not sds.good
                for link in self.sds_down(attrs.evolve(storage, sds=(sds,)))
            ]
        outlook = self.board.outlooks.get(pool.id, NO_OUTLOOK)
        used = f"{used_percent(pool)} % used"
        full = f", full in {spoken(outlook.full_in_s)}" if outlook.full_in_s is not None else ""
        chain.append(Link("it is", used + full))
        conditions = [c for c in self.board.conditions if c.subject == pool_subject(storage, pool)]
        chain += [Link(c.name, c.text) for c in conditions[:NAMED_MAX]]
        cure = next((c.cure for c in conditions if c.cure), "")
        cure = cure or (NOTHING if whole else GOES_ON)
        return Why(subject=subject, chain=tuple(chain), unblocked_by=cure)

    def rollout(self) -> Why:
        rollout = self.board.rollout
        done = f"{rollout.done} of {rollout.concerned} agents are ready"
        if rollout.state == "running" and rollout.done >= rollout.concerned:
            over = (Link("the rollout", "has nothing left to do"), Link("", done))
            return Why(subject="rollout", chain=over, unblocked_by=NOTHING)
        facts = [Link("the rollout", f"is {rollout.state}"), Link("", done)]
        facts += self.rollout_stops()
        if link := self.master():
            facts.append(link)
        cure = {
            "paused": "resume the rollout",
            "aborted": "resume the rollout",
            "asking": "start the rollout",
            "halted": "retry what failed, or resume the rollout without it",
        }.get(rollout.state, GOES_ON)
        if rollout.state == "running":
            slowest = next((a for a in self._in_the_way()), None)
            if slowest is not None:
                deeper = self.agent(slowest)
                facts += deeper.chain
                cure = deeper.unblocked_by
            elif failed := [a for a in self.board.agents.values() if a.phase == "failed"]:
                worst = min(failed, key=lambda a: (a.since, a.host))
                more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
                deeper = self.agent(worst)
                facts += deeper.chain
                cure = f"{deeper.unblocked_by}{more}"
            elif rollout.estimate:
                facts.append(Link("", rollout.estimate))
        return Why(subject="rollout", chain=tuple(facts), unblocked_by=cure)

    def _in_the_way(self) -> Iterator[AgentSnapshot]:
        """Those at work, the longest in their phase first."""
        moving = [a for a in self.board.agents.values() if a.phase in MOVING]
        yield from sorted(moving, key=lambda a: (not a.working, a.since, a.host))

    def framework(self) -> Why:
        closing, link = self.board.closing, self.master()
        if closing is not None:
            chain = [Link("the framework", f"is being removed ({closing.stage})")]
            if closing.waits_for:
                chain.append(Link("", closing.waits_for))
            cure = NOTHING if closing.is_torn_down else GOES_ON
            return Why(subject="framework", chain=tuple(chain), unblocked_by=cure)
        if link is not None:
            chain = [Link("the framework", "waits for Mesos"), link]
            cure = "bring the Mesos master back, or correct -uri"
            return Why(subject="framework", chain=tuple(chain), unblocked_by=cure)
        chain = [Link("the framework", "is registered, and works")]
        if self.board.gateway.error:
            chain.append(self.gateway())
        return Why(subject="framework", chain=tuple(chain), unblocked_by=NOTHING)
