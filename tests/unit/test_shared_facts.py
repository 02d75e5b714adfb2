"""Records of many agents: read as ever, with one object for what is the same."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from domain import records
from domain.agent import AgentRecord

SAMPLE = Path(__file__).parent.parent / "data" / "records" / "v1-AgentRecord.json"
KEY = records.agent_key("a1")


def test_a_record_is_the_same_read_either_way_and_its_facts_are_shared() -> None:
    raw = SAMPLE.read_bytes()
    reader = records.AgentReader()
    one, two = reader.read(raw, key=KEY), reader.read(raw, key=KEY)
    assert one == two == records.decode(raw, AgentRecord, key=KEY)
    assert one.facts is not None
    assert two.facts is not None
    large = [f.name for f in attrs.fields(type(one.facts)) if f.name in ("disks", "packages")]
    assert all(getattr(one.facts, name) is getattr(two.facts, name) for name in large)


def test_an_agent_that_was_never_surveyed_has_no_facts() -> None:
    raw = records.encode(AgentRecord(host="a1", agent_id="S1"))
    assert records.AgentReader().read(raw, key=KEY) == AgentRecord(host="a1", agent_id="S1")


def test_what_a_newer_program_has_added_is_left_out() -> None:
    envelope = json.loads(SAMPLE.read_bytes())
    envelope["body"]["facts"]["smell"] = "of roses"
    read = records.AgentReader().read(json.dumps(envelope).encode(), key=KEY)
    assert read == records.decode(SAMPLE.read_bytes(), AgentRecord, key=KEY)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b"{", "is no record of ours"),
        (b'{"v": 7, "kind": "AgentRecord", "body": {}}', "has version 7"),
        (b'{"v": 1, "kind": "AgentRecord", "body": {}}', "is damaged"),
        (b'{"v": 1, "body": {"host": "a1", "agent_id": "S1", "facts": 7}}', "is damaged"),
        (
            b'{"v": 1, "body": {"host": "a1", "agent_id": "S1", "facts": {"disks": 7}}}',
            "is damaged",
        ),
    ],
)
def test_a_damaged_record_is_named(broken: bytes, words: str) -> None:
    with pytest.raises(records.RecordError, match=words) as caught:
        records.AgentReader().read(broken, key=KEY)
    assert KEY in str(caught.value)
