"""The list of all agents, read again and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.mesos.agent_list import AgentListReader
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.operator import AgentList, parse_agents

RECORDED = Path(__file__).parent.parent / "data" / "mesos" / "operator_get_agents.json"


def answer() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())["answer"][1]
    return found


def read(reader: AgentListReader, body: dict[str, Any]) -> AgentList:
    [*_, found] = reader.read(json.dumps(body))
    assert found is not None
    return found


def test_it_reads_what_the_whole_parser_reads() -> None:
    body = answer()
    assert read(AgentListReader(), body) == parse_agents(json.dumps(body))


def test_an_agent_of_which_nothing_changed_is_the_same_object_and_a_changed_one_is_new() -> None:
    reader, body = AgentListReader(), answer()
    before = read(reader, body)
    body["get_agents"]["agents"][0]["active"] = False
    after = read(reader, body)
    assert after.agents[1] is before.agents[1]
    assert (before.agents[0].active, after.agents[0].active) == (True, False)
    assert after == parse_agents(json.dumps(body))


def test_ten_thousand_agents_let_others_act_in_between() -> None:
    body = answer()
    one = body["get_agents"]["agents"][0]
    agents = []
    for number in range(1_000):
        info = {**one["agent_info"], "id": {"value": f"S{number}"}}
        agents.append({**one, "agent_info": info})
    body["get_agents"]["agents"] = agents
    found = list(AgentListReader().read(json.dumps(body)))
    assert len(found) == 11
    assert set(found[:-1]) == {None}
    assert found[-1] is not None
    assert len(found[-1].agents) == 1_000


@pytest.mark.parametrize(
    "body",
    [
        '{"get_agents": {"agents": 7}}',
        '{"get_agents": {"agents": [7]}}',
        '{"get_agents": {"agents": [{}]}}',
        '{"get_agents": {"recovered_agents": [{}]}}',
        '{"get_agents": {"recovered_agents": [7]}}',
        "{}",
        "[",
    ],
)
def test_what_is_no_list_is_one_line(body: str) -> None:
    with pytest.raises(RemoteMesosError) as caught:
        list(AgentListReader().read(body))
    assert len(str(caught.value).splitlines()) == 1
