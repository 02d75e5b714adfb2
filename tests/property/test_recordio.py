"""RecordIO survives any cutting, and garbage ends it with the right error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Generator
from typing import Any

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


@pytest.mark.parametrize(
    "head",
    [
        b"12x\n",
        b"-1\n",
        b"+1\n",
        b"1.0\n",
        b"0x10\n",
        b"1 2\n",
        b"\xd9\xa3\n",
        b"999999999999\n",
        b"1000000000000000000\n",
        b"314572800\n",
        b"1" * 30,
        b" " * 30,
        b"<html>\n",
        b"\x00\n",
    ],
)
def test_a_header_that_is_no_length_is_refused(head: bytes) -> None:
    with pytest.raises(RemoteMesosError, match="record") as raised:
        list(RecordReader().feed(head + b"abc"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \n", b"\n\n\n"])
def test_blank_lines_between_records_are_passed_over(blank: bytes) -> None:
    """Proxies have been seen to add them; an empty record is another thing."""
    stream = blank + b"2\nab" + blank + b"0\n" + blank + b" 3 \nabc" + blank
    assert list(RecordReader().feed(stream)) == [b"ab", b"", b"abc"]


def test_the_records_before_a_broken_header_are_not_lost() -> None:
    records = RecordReader().feed(b"2\nab3\nabcnonsense\n")
    assert [next(records), next(records)] == [b"ab", b"abc"]
    with pytest.raises(RemoteMesosError):
        next(records)


# -- cost ------------------------------------------------------------------------------------------


class Counting(bytes):
    """Counts the bytes of a chunk that searching and copying touch."""

    touched = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        found = super().find(sub, start, end)
        self.touched += (found if found >= 0 else min(end, len(self))) - start
        return found

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.touched += len(found) if isinstance(key, slice) else 1
        return found


def touched(stream: bytes, stride: int) -> int:
    """Putting pieces together touches the bytes of a record once more: they are counted, too."""
    reader, count = RecordReader(), 0
    touches: list[int] = []
    for at in range(0, len(stream), stride):
        chunk = Counting(stream[at : at + stride])
        held, records = reader.held_bytes, list(reader.feed(chunk))
        count += len(records)
        moved = held + len(chunk) if held and records else 0
        touches.append(chunk.touched + moved)
    assert count > 0
    return sum(touches)


@pytest.mark.parametrize("stride", [1, 7, 1024, 1 << 30])
@pytest.mark.parametrize(
    "stream",
    [
        encode_record(b"x" * 100_000),
        encode_record(b"x") * 20_000,
        encode_record(b"") * 20_000,
        b"\n" * 50_000 + b"1\nx",
        b"                   \n" * 5_000 + b"1\nx",
    ],
    ids=["one large", "many small", "many empty", "blank lines", "long blank lines"],
)
def test_no_byte_is_looked_at_more_than_a_bounded_number_of_times(
    stream: bytes, stride: int
) -> None:
    """Twice the stream would take twice the work, however it is cut: a header is 20 bytes."""
    assert touched(stream, stride) <= 25 * len(stream)
    assert touched(stream * 2, stride) <= 2.1 * touched(stream, stride) + 100


def test_what_a_header_announces_costs_nothing_until_it_comes() -> None:
    reader = RecordReader()
    tracemalloc.start()
    try:
        assert list(reader.feed(b"200000000\n" + b"x" * 1000)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reader.held_bytes == 1000
    assert peak < 100_000


@given(st.binary(max_size=200))
def test_any_record_is_an_event_or_a_remote_error(record: bytes) -> None:
    try:
        decode_event(record)
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
        decode_event(body)
    except RemoteMesosError:
        return


def test_what_its_reader_has_not_asked_for_yet_is_kept() -> None:
    reader = RecordReader()
    records = reader.feed(encode_record(b"one") + encode_record(b"two") + b"5\nth")
    assert isinstance(records, Generator)
    assert next(records) == b"one"
    records.close()
    assert reader.held_bytes == len(b"3\ntwo5\nth")
    assert list(reader.feed(b"ree")) == [b"two", b"three"]
