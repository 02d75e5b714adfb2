"""The life of one subscription as a table, and what each answer of a master means.

    DISCONNECTED --LOOK--> FINDING --ASKED--> SUBSCRIBING --SUBSCRIBED--> SUBSCRIBED
         ^                   |  ^                 |  |                        |
         |                   |  +----- LOOK ------+  |                        |
         +------- LOST ------+-------- LOST ---------+--------- LOST ---------+

SUPERSEDED and REMOVED are ends: another scheduler holds our id, or the id is dead. Only an
operator leads out of REMOVED (ANEW). A pair that is absent from the table changes nothing.
Facts: Mesos v1 scheduler API, docs/scheduler-http-api.md; texts of src/master/{http,master}.cpp.
"""

from __future__ import annotations

import enum
from typing import Final
from urllib.parse import urlsplit

import attrs

HOST_CHARACTERS_MAX: Final = 253


class State(enum.Enum):
    DISCONNECTED = "disconnected"
    FINDING = "finding"
    SUBSCRIBING = "subscribing"
    SUBSCRIBED = "subscribed"
    SUPERSEDED = "superseded"
    REMOVED = "removed"


class Signal(enum.Enum):
    LOOK = "look"  # for the leader, or where a redirect points
    ASKED = "asked"  # SUBSCRIBE is on its way
    SUBSCRIBED = "subscribed"  # the event has arrived
    LOST = "lost"  # stream ended, silent, or refused
    SUPERSEDED = "superseded"
    REMOVED = "removed"
    ANEW = "anew"  # an operator lets us register as a new framework


NEXT: Final[dict[State, dict[Signal, State]]] = {
    State.DISCONNECTED: {Signal.LOOK: State.FINDING},
    State.FINDING: {Signal.ASKED: State.SUBSCRIBING, Signal.LOST: State.DISCONNECTED},
    State.SUBSCRIBING: {
        Signal.LOOK: State.FINDING,
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
    State.REMOVED: {Signal.ANEW: State.DISCONNECTED},
}


def advance(state: State, signal: Signal) -> State:
    return NEXT[state].get(signal, state)


class Remedy(enum.Enum):
    """What to do before the next attempt."""

    PAUSE = "pause"  # a moment, doubling: time mends it
    NONE = "none"  # again at once
    PERSON = "person"  # a person has to change something: slowly, loudly
    CREDENTIALS = "credentials"  # the same, and the secret's file is read again
    FEWER = "fewer"  # capabilities: the master does not know what we asked for


@attrs.frozen(kw_only=True)
class Verdict:
    """What an answer to SUBSCRIBE, or an ERROR event, means: signal, sentence, remedy."""

    signal: Signal
    sentence: str
    remedy: Remedy = Remedy.PAUSE


def lost(sentence: str, remedy: Remedy = Remedy.PAUSE) -> Verdict:
    return Verdict(signal=Signal.LOST, sentence=sentence, remedy=remedy)


# What an ERROR event begins with, or holds, and what a person can do about it. Any other text
# is told as it is.
_CURES: Final = (
    ("--root_submissions", "change -user, or let root submit tasks (--root_submissions)"),
    ("Changing framework's principal", "give the former -mesos.principal back"),
    ("failover_timeout", "give a smaller -mesos.failover-timeout"),
    ("Not authorized", "let the master's ACLs register this principal in this role"),
    ("role", "change -role, or the master's --roles"),
    ("Role", "change -role, or the master's --roles"),
)


def judge_error(message: str, *, by_ourselves: bool = False) -> Verdict:
    """An ERROR event's text (prefix match; the rest is for people).

    `by_ourselves`: a SUBSCRIBE of ours was never answered, so it may be what took our place.
    """
    told = " ".join(message.split())[:400]
    if told.startswith("Framework failed over") and not by_ourselves:
        return Verdict(
            signal=Signal.SUPERSEDED,
            sentence="another scheduler has subscribed with our framework id; this one stops",
        )
    if told.startswith("Framework failed over"):
        return lost("an earlier subscription of our own took the place of this one")
    if told.startswith("Framework has been removed"):
        return Verdict(
            signal=Signal.REMOVED,
            sentence="the master has removed our framework id and ended its tasks; an operator "
            "must decide: POST /v1/framework/register registers anew",
            remedy=Remedy.PERSON,
        )
    if told.startswith("Authorization failure"):
        return lost(f"the master says: {told}")
    cures = [cure for word, cure in _CURES if word in told]
    cure = cures[0] if cures else "see the master's log"
    return lost(f"the master refuses this framework: {told}; {cure}", Remedy.PERSON)


def judge_answer(status: int, body: str, *, principal: str = "") -> Verdict:
    """A SUBSCRIBE that was answered with something else than a stream or a redirect."""
    text = " ".join(body.split())[:200]
    told = text if text.startswith(str(status)) else f"{status} {text}".strip()
    match status:
        case 401 | 403:
            return lost(_unwelcome(told, principal), Remedy.CREDENTIALS)
        case 404 | 500 | 503:
            return lost(f"no leading master yet ({told})")
        case 400 if "Failed to find enum" in body:
            # Masters before 1.5 refuse a message for any word that is new to them.
            return lost(f"the master is older than it says ({told})", Remedy.FEWER)
        case 400 if "does not match principal" in body:
            return lost(
                f"the master knows us by another name ({told}); -mesos.principal must be the "
                "principal of the secret",
                Remedy.CREDENTIALS,
            )
        case 400 | 405 | 406 | 415 | 501:
            return lost(
                f"the master does not take our subscription ({told}); "
                "is -uri really a Mesos master?",
                Remedy.PERSON,
            )
        case _:
            return lost(f"the master answered {told}")


def _unwelcome(told: str, principal: str) -> str:
    if not principal:
        return (
            f"the master wants credentials ({told}); give -mesos.principal and -mesos.secret-file"
        )
    return (
        f"the master does not accept the credentials of principal {principal!r} ({told}); correct "
        "-mesos.secret-file, it is read again"
    )


class CallFate(enum.Enum):
    """What an answer says of a call."""

    DONE = "done"  # 202: accepted; UPDATE_FRAMEWORK is answered 200, when it is done
    CREDENTIALS = "credentials"  # not looked at: the secret has changed
    LOST = "lost"  # not done: our subscription is not the current one, or nobody leads here
    REFUSED = "refused"  # not done, and never will be like this: a bug of ours
    STRANGE = "strange"  # answered by what may be no master: nobody knows what became of it


def judge_call(status: int, body: str, *, expected: int = 202) -> CallFate:
    if status == expected:
        return CallFate.DONE
    if status < 300:
        return CallFate.STRANGE
    if status == 401:
        return CallFate.CREDENTIALS
    if status in (408, 429, 500, 502, 504):
        return CallFate.STRANGE  # a proxy's: the call may have been passed on
    words = ("stream ID", "Mesos-Stream-Id", "Framework cannot be found")
    stale = status == 400 and any(word in body for word in words)
    elsewhere = status in (301, 302, 307, 308, 403, 404, 503)
    return CallFate.LOST if stale or elsewhere else CallFate.REFUSED


def redirect_base(location: str, *, scheme: str) -> str | None:
    """`scheme://host:port` of a redirect; None if there is none to be read.

    Masters send `//host:port/path`; `http://…` and bare `host:port` occur as well. From https
    none leads to http: our secret would be sent in the open.
    """
    text = location.strip()
    if "//" not in text:
        text = f"//{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or len(host) > HOST_CHARACTERS_MAX or not host.isascii():
        return None
    if not all(c.isalnum() or c in "-._:" for c in host):
        return None
    if parts.scheme not in ("", "http", "https") or (scheme, parts.scheme) == ("https", "http"):
        return None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme or scheme}://{name}:{port or 5050}"
