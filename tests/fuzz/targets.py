"""What must hold for any bytes at all. A target raises for a finding, and for nothing else.

The first byte of an input chooses the target, so that one corpus serves them all. Whatever is
refused is refused with the documented exception, in one line of bounded length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import attrs

from protocol.mesos import calls, events, operator, session
from protocol.mesos.errors import RemoteMesosError
from protocol.mesos.offered import Head, Offer, Offers, Sketch
from protocol.mesos.recordio import RecordReader
from protocol.mesos.resources import MILLI, Resource

ROLE: Final = "scaleio"
LINE_MAX: Final = 600  # characters of a sentence that reaches logs and pages
RECORD_BYTES_MAX: Final = 2048  # small, so that inputs of a few KiB reach the bound
BASE: Final = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9._-]+):[0-9]{1,5}", re.ASCII)


@attrs.define
class Caught:
    """What the block raised, whatever it is: it is what a fuzzer looks for."""

    error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None


class FindingError(AssertionError):
    """Something that no input may bring about."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise FindingError(what)


@contextmanager
def refusable() -> Iterator[None]:
    """The only exception that may come out is the master's fault, in one line."""
    try:
        yield
    except RemoteMesosError as error:
        one_line(str(error))


def one_line(sentence: str) -> None:
    demand(len(sentence.splitlines()) <= 1, f"more than one line: {sentence[:80]!r}")
    demand(len(sentence) <= LINE_MAX, f"{len(sentence)} characters: {sentence[:80]!r}")


def sane(value: object) -> None:
    """No `nan`, no `inf`, no text that can't be sent, anywhere in a decoded value."""
    match value:
        case str():
            value.encode()
        case float():
            demand(math.isfinite(value), "a number that is none")
        case Resource():
            demand(0 < value.amount_milli < 2**63, f"amount {value.amount_milli}")
        case dict():
            for name, inner in value.items():
                sane(name)
                sane(inner)
        case tuple() | list() | frozenset():
            for inner in value:
                sane(inner)
        case None | bool() | int():
            pass
        case Head():
            sane((value.id.value, value.agent_id.value))
        case Offers():
            sane(value.heads)
            with refusable():
                sane(value.sketches())
        case Sketch():
            sane((value.id.value, value.agent_id.value, value.hostname))
            with refusable():
                sane((value.where(), value.whole(ROLE)))
        case _:
            demand(attrs.has(type(value)), f"a value of type {type(value).__name__}")
            for inner in attrs.astuple(value, recurse=False):  # type: ignore[arg-type]
                sane(inner)


# -- targets ------------------------------------------------------------------------------------


def stream(data: bytes) -> None:
    """The first bytes say how the rest is cut; cut or whole, the same records come out."""
    strides, rest = [byte % 64 + 1 for byte in data[:4]] or [1], data[4:]
    whole, whole_refused = _records([rest])
    pieces: list[bytes] = []
    at = 0
    while at < len(rest):
        stride = strides[len(pieces) % len(strides)]
        pieces.append(rest[at : at + stride])
        at += stride
    cut, cut_refused = _records(pieces)
    demand(cut == whole, "records depend on how the stream is cut")
    demand(cut_refused == whole_refused, "a refusal depends on how the stream is cut")
    for record in whole:
        event(record)


def _records(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    reader, found = RecordReader(record_bytes_max=RECORD_BYTES_MAX), []
    try:
        for piece in pieces:
            for record in reader.feed(piece):
                found.append(record)  # noqa: PERF402 - those before a refusal count
            demand(reader.held_bytes <= RECORD_BYTES_MAX + len(piece), "more is held than may be")
    except RemoteMesosError as error:
        one_line(str(error))
        return found, True
    return found, False


def event(data: bytes) -> None:
    with refusable():
        found = events.decode_event(data)
        sane(found)
        if isinstance(found, events.Subscribed):
            demand(1.0 <= found.heartbeat_s <= 300.0, f"heartbeat {found.heartbeat_s}")
            demand(found.framework_id != "", "subscribed without an id")
        if isinstance(found, events.ErrorEvent):
            one_line(found.message)
        if isinstance(found, Offers):
            demand(all(one.id.value for one in found.heads), "an offer without an id")
            for sketch in found.sketches():
                with refusable():
                    _accepted(sketch.whole(ROLE))


def _accepted(offer: Offer) -> None:
    """What was offered can be taken: it comes back as it was, and is read as it was."""
    demand(0 < offer.port < 65536, f"port {offer.port}")
    taken = tuple(calls.Taken(one, one.amount_milli) for one in offer.resources)
    task = calls.Task(
        task_id="t", name="t", agent_id=offer.agent_id, command="", environment={}, labels={}
    )
    accept = calls.Accept(offer_ids=(offer.offer_id,), task=task, taken=taken, refuse_s=5.0)
    _deeper(30, lambda: calls.encode_call(accept, framework_id="F", role=ROLE, version=(1, 11)))
    for one in taken:
        again = one.amount_milli / MILLI
        demand(round(again * MILLI) == one.amount_milli or again > 2**40, f"dust in {again}")


def _deeper(frames: int, act: Callable[[], object]) -> object:
    """Calls are encoded elsewhere than events are decoded: with less of the stack left."""
    return act() if frames == 0 else _deeper(frames - 1, act)


def agents(data: bytes) -> None:
    with refusable():
        found = operator.parse_agents(data)
        sane(found)
        for agent in found.agents:
            demand(agent.agent_id != "", "an agent without an id")
            demand(0 < agent.port < 65536, f"port {agent.port}")


def frameworks(data: bytes) -> None:
    with refusable():
        sane(operator.parse_frameworks(data))


def tasks(data: bytes) -> None:
    with refusable():
        sane(operator.parse_tasks(data))


def maintenance(data: bytes) -> None:
    with refusable():
        sane(operator.parse_maintenance(data))


def version(data: bytes) -> None:
    """As text too: adapters hand over what they decoded."""
    text = data.decode(errors="replace")
    for parse in (operator.parse_version_call, operator.parse_version_answer):
        with refusable():
            found = parse(data)
            sane(found)
            calls.parse_version(found)
        with refusable():
            parse(text)
    major, minor = calls.parse_version(text)
    demand(0 <= major < 10_000 and 0 <= minor < 10_000, f"version {major}.{minor}")


def redirect(data: bytes) -> None:
    base = session.redirect_base(data.decode(errors="surrogateescape"), scheme="http")
    demand(base is None or BASE.fullmatch(base) is not None, f"redirected to {base!r}")


def answer(data: bytes) -> None:
    status = 100 + data[0] * 2 if data else 200
    body = data[1:].decode(errors="replace")
    one_line(session.judge_answer(status, body).sentence)
    one_line(session.judge_error(body).sentence)
    session.judge_call(status, body)


TARGETS: Final[tuple[Callable[[bytes], None], ...]] = (
    stream, event, agents, frameworks, tasks, maintenance, version, redirect, answer,
)  # fmt: skip


def run(data: bytes) -> None:
    """One input, as the fuzzer and the saved findings have it."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


def name_of(data: bytes) -> str:
    return TARGETS[data[0] % len(TARGETS)].__name__ if data else "nothing"


def as_input(target: Callable[[bytes], None], data: bytes) -> bytes:
    return bytes([TARGETS.index(target)]) + data
