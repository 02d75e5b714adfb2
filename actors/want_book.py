"""Tasks that want an offer: one for each agent, and how long each has waited for what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from actors.messages import Want

ASK_AFTER_S: Final = 7.0  # a want that old without an offer asks for a REVIVE
ASK_AGAIN_S: Final = 30.0
ASK_CEILING_S: Final = 600.0
OFFERLESS_S: Final = 300.0  # then the master may believe that we hold its agent's offers


@attrs.define
class Wanted:
    """Times of the run's clock.

    `judged_at`: when an offer of its agent was last found wanting. `offerable_since`: since then
    nothing that we know of keeps Mesos from offering it.
    """

    want: Want
    offerable_since: float
    ask_at: float
    asks: int = 0
    judged_at: float | None = None

    def judged(self, now: float) -> None:
        """Mesos does offer this agent: a bigger offer comes by itself when there is one."""
        self.judged_at = now
        self.ask_at = now + OFFERLESS_S

    def asked(self, now: float) -> None:
        self.asks += 1
        self.ask_at = now + min(ASK_CEILING_S, ASK_AGAIN_S * 2.0 ** min(self.asks - 1, 8))

    def blocked(self, now: float) -> None:
        self.offerable_since = now

    def offerless_s(self, now: float) -> float:
        return now - max(self.offerable_since, self.judged_at or self.offerable_since)


@attrs.define
class WantBook:
    _by_host: dict[str, Wanted] = attrs.field(factory=dict)
    _by_agent: dict[str, str] = attrs.field(factory=dict)  # agent id -> host

    def __len__(self) -> int:
        return len(self._by_host)

    def __iter__(self) -> Iterator[Wanted]:
        return iter(self._by_host.values())

    def __contains__(self, host: str) -> bool:
        return host in self._by_host

    def get(self, host: str) -> Wanted | None:
        return self._by_host.get(host)

    def put(self, want: Want, now: float) -> Wanted | None:
        """The newest want of an agent is the one that counts; the one before, if there was one."""
        before = self.pop(want.host)
        self._by_host[want.host] = Wanted(want, now, now + ASK_AFTER_S)
        self._by_agent[want.task.agent_id] = want.host
        return before

    def pop(self, host: str) -> Wanted | None:
        found = self._by_host.pop(host, None)
        if found is not None and self._by_agent.get(found.want.task.agent_id) == host:
            del self._by_agent[found.want.task.agent_id]
        return found

    def afresh(self, now: float) -> None:
        """Another subscription: offers come anew."""
        for wanted in self:
            wanted.blocked(now)

    def names(self, agent_id: str) -> bool:
        return agent_id in self._by_agent

    def of_agents(self, agent_ids: Iterable[str]) -> list[Wanted]:
        hosts = [self._by_agent.get(agent_id) for agent_id in dict.fromkeys(agent_ids)]
        return [self._by_host[host] for host in hosts if host is not None]
