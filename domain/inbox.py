"""What an agent's actor can be told: one closed union, frozen values."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from domain.facts import Facts
from domain.plan import Plan
from protocol.mesos.events import Update


@attrs.frozen(kw_only=True)
class Started:
    """The actor runs (again); its record is what the store holds."""


@attrs.frozen(kw_only=True)
class Tick:
    """A wake-up that the agent asked for."""


@attrs.frozen(kw_only=True)
class Sighted:
    """Mesos has this agent now. Newest wins."""

    agent_id: str
    address: str
    port: int
    attributes: Mapping[str, str]


@attrs.frozen(kw_only=True)
class AgentGone:
    """FAILURE for the agent, or it is no longer in the master's list."""

    agent_id: str


@attrs.frozen(kw_only=True)
class Status:
    """A status update of a task on this host. `uuid` empty: not to be acknowledged."""

    task_id: str
    agent_id: str
    state: str
    terminal: bool
    uuid: str = ""
    message: str = ""
    reason: str = ""
    healthy: bool | None = None
    timestamp: float = 0.0  # unix, by the clock of whoever made it; 0 unknown


def status_of(update: Update) -> Status:
    return Status(
        task_id=update.task_id,
        agent_id=update.agent_id,
        state=update.state,
        terminal=update.terminal,
        uuid=update.uuid,
        message=update.message,
        reason=update.reason,
        healthy=update.healthy,
        timestamp=update.timestamp,
    )


@attrs.frozen(kw_only=True)
class NeverSent:
    """The want was given back: its task was not launched, and never will be."""

    task_id: str
    why: str


@attrs.frozen(kw_only=True)
class Output:
    """What the sandbox gave. `fault` says why it could not be read; texts are then empty."""

    task_id: str
    stdout: str = ""
    stderr: str = ""
    fault: str = ""


@attrs.frozen(kw_only=True)
class Surveyed:
    """A survey's output, parsed and planned by the actor; `fault` where it can't be read."""

    task_id: str
    facts: Facts | None = None
    plan: Plan = attrs.field(factory=Plan)
    fault: str = ""


@attrs.frozen(kw_only=True)
class SlotGranted:
    pass


@attrs.frozen(kw_only=True)
class RebootGranted:
    permit: str


@attrs.frozen(kw_only=True)
class RestartGranted:
    """It is this agent's turn to change its settings."""


@attrs.frozen(kw_only=True)
class Waiting:
    """The gate's or broker's reason why this agent waits, for people."""

    reason: str


@attrs.frozen(kw_only=True)
class StorageAnswer:
    """What the Gateway made of the last request.

    `outcome`: done, waiting (ask again), refused (an operator must act).
    """

    request: str  # join, probe-map, probe-clean, leave-check, leave, leave-last
    outcome: str
    sentence: str = ""
    sds_id: str = ""
    volume_id: str = ""


@attrs.frozen(kw_only=True)
class Doubted:
    """The health monitor sees that what should be there is not. `repair`: its SDS is down."""

    why: str
    repair: bool = False


@attrs.frozen(kw_only=True)
class Command:
    """An operator's word, one of domain.words.WORDS.

    abort and take-up are for all agents at once: those at work are held, and taken up again.
    """

    name: str


AgentInbox = (
    Started
    | Tick
    | Sighted
    | AgentGone
    | Status
    | NeverSent
    | Output
    | Surveyed
    | SlotGranted
    | RebootGranted
    | RestartGranted
    | Waiting
    | StorageAnswer
    | Doubted
    | Command
)
