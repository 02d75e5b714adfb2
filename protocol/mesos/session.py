"""The life of one subscription as a table, and what each answer of a master means.

    DISCONNECTED -- looking for the leader -->  SUBSCRIBING -- SUBSCRIBED --> SUBSCRIBED
         ^                                          |                             |
         +------- stream ended, refused, silent ----+-----------------------------+

SUPERSEDED and REMOVED are ends: another scheduler holds our id, or the id is dead. A pair that
is absent from the table changes nothing. Facts: mesos-v1 API, sections SUBSCRIBE and errors.
"""

from __future__ import annotations

import enum
from typing import Final
from urllib.parse import urlsplit

import attrs


class State(enum.Enum):
    DISCONNECTED = "disconnected"
    SUBSCRIBING = "subscribing"
    SUBSCRIBED = "subscribed"
    SUPERSEDED = "superseded"
    REMOVED = "removed"


class Signal(enum.Enum):
    ASKED = "asked"  # SUBSCRIBE is on its way
    SUBSCRIBED = "subscribed"  # the event has arrived
    LOST = "lost"  # stream ended, silent, or refused
    SUPERSEDED = "superseded"
    REMOVED = "removed"


NEXT: Final[dict[State, dict[Signal, State]]] = {
    State.DISCONNECTED: {Signal.ASKED: State.SUBSCRIBING},
    State.SUBSCRIBING: {
        Signal.SUBSCRIBED: State.SUBSCRIBED,
        Signal.LOST: State.DISCONNECTED,
        Signal.SUPERSEDED: State.SUPERSEDED,
        Signal.REMOVED: State.REMOVED,
    },
    State.SUBSCRIBED: {
        Signal.LOST: State.DISCONNECTED,
        Signal.SUPERSEDED: State.SUPERSEDED,
        Signal.REMOVED: State.REMOVED,
    },
    State.SUPERSEDED: {},
    State.REMOVED: {},
}


def advance(state: State, signal: Signal) -> State:
    return NEXT[state].get(signal, state)


@attrs.frozen(kw_only=True)
class Verdict:
    """What an answer to SUBSCRIBE or an ERROR event means: signal, sentence, slow retry or not."""

    signal: Signal
    sentence: str
    slow: bool = False  # a person has to change something: retry each minute, loudly


def judge_error(message: str) -> Verdict:
    """An ERROR event's text (prefix match; the rest is for people)."""
    if message.startswith("Framework failed over"):
        return Verdict(
            signal=Signal.SUPERSEDED,
            sentence="another scheduler has subscribed with our framework id; this one stops",
        )
    if message.startswith("Framework has been removed"):
        return Verdict(
            signal=Signal.REMOVED,
            sentence="the master has removed our framework id and ended its tasks; an operator "
            "must decide: delete the record 'framework' from the store to register anew",
        )
    if message.startswith("Authorization failure"):
        return Verdict(signal=Signal.LOST, sentence=f"the master says: {message}")
    return Verdict(
        signal=Signal.LOST,
        sentence=f"the master refuses this framework: {message}; change -role, -user or the "
        "master's settings",
        slow=True,
    )


def judge_answer(status: int, body: str) -> Verdict:
    """A SUBSCRIBE that was answered with something else than a stream."""
    text = " ".join(body.split())[:200]
    match status:
        case 401 | 403:
            return Verdict(
                signal=Signal.LOST,
                sentence=f"the master wants credentials ({status} {text})",
                slow=True,
            )
        case 404 | 503:
            return Verdict(signal=Signal.LOST, sentence=f"no leading master yet ({status} {text})")
        case 400 | 405 | 406 | 415:
            return Verdict(
                signal=Signal.LOST,
                sentence=f"the master does not take our subscription ({status} {text}); "
                "is -uri really a Mesos master?",
                slow=True,
            )
        case _:
            return Verdict(signal=Signal.LOST, sentence=f"the master answered {status} {text}")


def redirect_base(location: str, *, scheme: str) -> str | None:
    """`scheme://host:port` of a redirect; None if there is none to be read.

    Masters send `//host:port/path`; `http://…` and bare `host:port` occur as well.
    """
    text = location.strip()
    if "//" not in text:
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or not all(c.isalnum() or c in "-._:" for c in host):
        return None
    if parts.scheme not in ("", "http", "https"):
        return None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme or scheme}://{name}:{port or 5050}"


def call_lost_the_session(status: int, body: str) -> bool:
    """True if that answer to a call means that our subscription is not the current one."""
    if status == 403:
        return True
    return status == 400 and (
        "stream ID" in body or "Framework cannot be found" in body or "Mesos-Stream-Id" in body
    )
