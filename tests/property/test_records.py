"""What is stored comes back equal; what is not ours, newer or damaged is named, never guessed."""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import records
from domain.agent import AgentRecord
from domain.closing import ClosingRecord
from domain.records import (
    FrameworkRecord,
    GatewayRecord,
    InstallationRecord,
    Record,
    RecordError,
    decode,
    encode,
)
from domain.told import NoticesRecord

KEY = "agents/a1.example.com"
PLAIN: dict[object, st.SearchStrategy[object]] = {
    str: st.text(max_size=8),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
}


def anything_of(hint: object) -> st.SearchStrategy[object]:
    """Values of a record's field, whatever its type: new fields are tested unasked."""
    if hint in PLAIN:
        return PLAIN[hint]
    inner = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([anything_of(one) for one in inner])
    if origin is tuple and inner[-1] is ...:
        return st.lists(anything_of(inner[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(anything_of(inner[0]), anything_of(inner[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(list(hint))
    assert isinstance(hint, type), hint
    return instances(hint)


def instances(kind: type) -> st.SearchStrategy[object]:
    assert attrs.has(kind), kind
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: anything_of(hints[f.name]) for f in attrs.fields(kind)})


@settings(max_examples=60)
@given(instances(AgentRecord))
def test_any_agent_record_comes_back_equal(record: object) -> None:
    assert isinstance(record, AgentRecord)
    assert decode(encode(record), AgentRecord, key=KEY) == record


@pytest.mark.parametrize(
    "kind", [ClosingRecord, FrameworkRecord, InstallationRecord, GatewayRecord, NoticesRecord]
)
def test_the_small_records_come_back_equal(kind: type[Record]) -> None:
    @settings(max_examples=20)
    @given(instances(kind))
    def there_and_back(record: typing.Any) -> None:
        assert decode(encode(record), kind, key="k") == record

    there_and_back()


WHOLE = encode(AgentRecord(host="a1.example.com", agent_id="S1", reason="waits: ä"))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_record_that_was_cut_is_named(stop: int) -> None:
    with pytest.raises(RecordError, match=KEY):
        decode(WHOLE[:stop], AgentRecord, key=KEY)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_record_are_named(noise: bytes) -> None:
    with pytest.raises(RecordError, match=KEY):
        decode(noise, AgentRecord, key=KEY)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"v": 1}',
        b'{"body": {}}',
        b"\xff\xfe\x00",
        b'{"v": 1, "body": {"host": "\xff"}}',
        b"[" * 100_000,
        b'{"v": 1, "kind": "AgentRecord", "body": null}',
        b'{"v": 1, "kind": "AgentRecord", "body": {}}',
        b'{"v": 1, "kind": "AgentRecord", "body": {"host": 7, "agent_id": "S1"}}',
        b'{"v": 1, "kind": "AgentRecord", "body": {"host": "a", "agent_id": "S", "phase": "x"}}',
    ],
)
def test_garbage_and_damage_are_refused_by_the_records_name(raw: bytes) -> None:
    with pytest.raises(RecordError, match=KEY):
        decode(raw, AgentRecord, key=KEY)


@pytest.mark.parametrize("version", [records.VERSION + 1, 99, 0, -1, "1", None, [], {}])
def test_another_version_than_ours_is_refused_with_what_to_do(version: object) -> None:
    envelope = {**json.loads(WHOLE), "v": version}
    with pytest.raises(RecordError, match=KEY) as refused:
        decode(json.dumps(envelope).encode(), AgentRecord, key=KEY)
    assert "newer program" in str(refused.value)


def test_fields_that_a_later_patch_added_are_no_damage() -> None:
    """Within one version, only what was always optional is added."""
    envelope = json.loads(WHOLE)
    envelope["body"]["brand_new"] = 1
    assert decode(json.dumps(envelope).encode(), AgentRecord, key=KEY).host == "a1.example.com"


def test_a_record_of_an_agent_lies_under_its_host() -> None:
    assert records.agent_key("a1:5052") == "agents/a1:5052"
    assert not any(
        key.startswith(records.AGENT_PREFIX)
        for key in (records.FRAMEWORK_KEY, records.GATEWAY_KEY, records.INSTALLATION_KEY)
    )
