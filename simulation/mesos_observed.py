"""What happened in the simulated Mesos, for checkers: frozen values, told as they happen.

`at` is simulated time. Task changes are the truth on the host; updates are what was told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from simulation.mesos_resources import Bundle


@attrs.frozen(kw_only=True)
class OfferMade:
    at: float
    offer_id: str
    framework_id: str
    agent_id: str
    hostname: str
    role: str
    resources: Bundle


@attrs.frozen(kw_only=True)
class OfferRescinded:
    """A RESCIND was sent: the offer need not be answered any more."""

    at: float
    offer_id: str
    framework_id: str


@attrs.frozen(kw_only=True)
class OfferVoided:
    """The offer is gone without a word: the stream broke, or a master or framework died."""

    at: float
    offer_id: str
    framework_id: str
    why: str


@attrs.frozen(kw_only=True)
class OfferAnswered:
    """One id of an ACCEPT or DECLINE; `outstanding` is false for an unknown or answered one.

    `lost`: a dial made the master forget the call, so it goes on to hold the offer.
    """

    at: float
    offer_id: str
    framework_id: str
    by: Literal["ACCEPT", "DECLINE"]
    outstanding: bool
    refuse_s: float
    lost: bool = False


@attrs.frozen(kw_only=True)
class CallReceived:
    """`current`: it carried the live stream id of its framework. `lost`: answered, not done."""

    at: float
    kind: str
    framework_id: str
    stream_id: str
    current: bool
    status: int
    lost: bool = False


@attrs.frozen(kw_only=True)
class TaskLaunched:
    """The master accepted the task and sends it to the agent."""

    at: float
    task_id: str
    framework_id: str
    agent_id: str
    hostname: str
    step: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    resources: Bundle
    offer_ids: tuple[str, ...]
    offered: Bundle


@attrs.frozen(kw_only=True)
class TaskRefused:
    """The master answered TASK_ERROR, TASK_DROPPED or TASK_LOST instead of launching."""

    at: float
    task_id: str
    framework_id: str
    agent_id: str
    state: str
    reason: str
    message: str


@attrs.frozen(kw_only=True)
class TaskChanged:
    """On the host: `running` from the start of the command until its end."""

    at: float
    task_id: str
    framework_id: str
    agent_id: str
    hostname: str
    step: str
    state: str
    running: bool


@attrs.frozen(kw_only=True)
class UpdateSent:
    """An UPDATE event was put on the stream; `again` when the same uuid had been sent before."""

    at: float
    framework_id: str
    task_id: str
    agent_id: str
    state: str
    reason: str
    uuid: str
    again: bool


@attrs.frozen(kw_only=True)
class Acknowledged:
    """`known`: the uuid was sent to this framework. `duplicate`: it was acknowledged before."""

    at: float
    framework_id: str
    task_id: str
    agent_id: str
    uuid: str
    known: bool
    duplicate: bool


@attrs.frozen(kw_only=True)
class StreamOpened:
    at: float
    framework_id: str
    stream_id: str
    fresh: bool  # the framework id was made for this subscription


@attrs.frozen(kw_only=True)
class StreamClosed:
    at: float
    framework_id: str
    stream_id: str
    why: str


@attrs.frozen(kw_only=True)
class FrameworkRemoved:
    at: float
    framework_id: str
    why: str


AgentState = Literal["registered", "reregistered", "disconnected", "unreachable", "removed"]


@attrs.frozen(kw_only=True)
class AgentChanged:
    """What the master thinks of an agent."""

    at: float
    agent_id: str
    hostname: str
    state: AgentState


@attrs.frozen(kw_only=True)
class FaultInjected:
    at: float
    fault: str
    target: str


MesosEvent = (
    OfferMade
    | OfferRescinded
    | OfferVoided
    | OfferAnswered
    | CallReceived
    | TaskLaunched
    | TaskRefused
    | TaskChanged
    | UpdateSent
    | Acknowledged
    | StreamOpened
    | StreamClosed
    | FrameworkRemoved
    | AgentChanged
    | FaultInjected
)

Listener = Callable[[MesosEvent], None]
