"""The list of all agents, read again and again: what has not changed since is not read anew.

The answer to GET_AGENTS (v1 master.proto) is 10 to 30 MB for ten thousand agents. It is cut into
agents without being decoded; each is decoded by itself, and only if its bytes are new.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import msgspec

from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.fields import malformed
from protocol.mesos.operator import AgentList, AgentSeen, agent_seen, parse_agents, recovered_ids

AT_ONCE: Final = 100  # agents that are decoded before others get their turn


class _Agents(msgspec.Struct, frozen=True, gc=False):
    agents: list[msgspec.Raw] = []
    recovered_agents: list[dict[str, object]] = []


class _Answer(msgspec.Struct, frozen=True, gc=False):
    get_agents: _Agents


_ANSWER: Final = msgspec.json.Decoder(_Answer)


@attrs.define
class AgentListReader:
    _known: dict[int, AgentSeen] = attrs.field(factory=dict, init=False)

    def read(self, body: str) -> Iterator[AgentList | None]:
        """The list comes last; None before it is a good moment for others to act.

        Raises RemoteMesosError as `parse_agents` does.
        """
        try:
            answer = _ANSWER.decode(body).get_agents
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            yield parse_agents(body)  # says in one line what is wrong with it
            return
        known: dict[int, AgentSeen] = {}
        found: list[AgentSeen] = []
        for raw in answer.agents:
            looks = hash(bytes(raw))
            agent = self._known.get(looks)
            if agent is None:
                agent = _decoded(raw)
                if len(found) % AT_ONCE == 0:
                    yield None
            known[looks] = agent
            found.append(agent)
        with malformed("answer to GET_AGENTS"):
            recovered = recovered_ids(answer.recovered_agents)
        self._known = known
        yield AgentList(tuple(found), recovered)


def _decoded(raw: msgspec.Raw) -> AgentSeen:
    try:
        with malformed("answer to GET_AGENTS"):
            return agent_seen(msgspec.json.decode(raw))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RemoteMesosError(f"a malformed answer to GET_AGENTS: {error}") from error
