"""RecordIO survives any cutting, and garbage ends it with the right error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.events import decode_event
from protocol.mesos.recordio import RecordReader, encode_record


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 50), min_size=1))
def test_any_records_cut_anywhere_come_back_equal(records: list[bytes], strides: list[int]) -> None:
    stream = b"".join(encode_record(record) for record in records)
    reader, found, at, turn = RecordReader(), [], 0, 0
    while at < len(stream):
        stride = strides[turn % len(strides)]
        found += list(reader.feed(stream[at : at + stride]))
        at, turn = at + stride, turn + 1
    assert found == records


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_are_records_or_a_remote_error(noise: bytes) -> None:
    reader = RecordReader(record_bytes_max=100)
    try:
        records = list(reader.feed(noise))
    except RemoteMesosError:
        return
    assert all(len(record) <= 100 for record in records)


@pytest.mark.parametrize("head", [b"12x\n", b"-1\n", b"999999999999\n", b"1" * 30, b"<html>\n"])
def test_a_header_that_is_no_length_is_refused(head: bytes) -> None:
    with pytest.raises(RemoteMesosError):
        list(RecordReader().feed(head + b"abc"))


@given(st.binary(max_size=200))
def test_any_record_is_an_event_or_a_remote_error(record: bytes) -> None:
    try:
        decode_event(record, role="scaleio")
    except RemoteMesosError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KINDS = ["SUBSCRIBED", "OFFERS", "RESCIND", "UPDATE", "FAILURE", "ERROR", "HEARTBEAT", "NEW"]


@given(st.sampled_from(KINDS), json_values)
def test_any_json_under_an_event_type_is_an_event_or_a_remote_error(
    kind: str, inner: object
) -> None:
    import msgspec

    body = msgspec.json.encode({"type": kind, kind.lower(): inner})
    try:
        decode_event(body, role="scaleio")
    except RemoteMesosError:
        return
