"""An agent's life: its phases, the one table of their changes, and the record that is stored.

    seen -> surveying -> installing -> joining -> [reboot_wanted -> rebooting] -> activating
         -> ready,  and from anywhere  lost, failed, held, draining -> retired

The table is the whole truth about phases: diagram, web legend and the "every pair is decided"
test are made from it. A pair that is absent changes nothing and is counted.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from domain.facts import Facts
from domain.plan import Claim


class Phase(enum.Enum):
    SEEN = "seen"
    SURVEYING = "surveying"
    INSTALLING = "installing"
    JOINING = "joining"
    REBOOT_WANTED = "reboot_wanted"
    REBOOTING = "rebooting"
    ACTIVATING = "activating"
    READY = "ready"
    LOST = "lost"
    FAILED = "failed"
    HELD = "held"
    DRAINING = "draining"
    RETIRED = "retired"


class Signal(enum.Enum):
    STARTED = "started"  # there is an agent to look at
    SURVEYED = "surveyed"  # facts are here
    INSTALLED = "installed"  # the plan has nothing left
    REBOOT_DUE = "reboot-due"  # what is installed holds after a reboot
    JOINED = "joined"  # the storage cluster has its SDS, devices and SDC
    PERMITTED = "permitted"  # the gate grants the reboot
    DENIED = "denied"  # the host did not reboot: disarmed, or its step failed
    BACK = "back"  # another boot id
    OVERDUE = "overdue"  # it did not return in time from the reboot that we ordered
    ACTIVATED = "activated"  # the keeper runs and its health check passes
    DOUBT = "doubt"  # what we know may no longer hold: look again
    GONE = "gone"  # Mesos says so
    RETURNED = "returned"  # Mesos has it again
    BROKEN = "broken"  # a permanent error, or retries spent
    HOLD = "hold"  # operator, rollout, or observe mode
    RESUME = "resume"  # operator
    RETRY = "retry"  # operator
    DRAIN = "drain"  # operator
    DRAINED = "drained"


_WORKING: Final[dict[Signal, Phase]] = {
    Signal.DOUBT: Phase.SURVEYING,
    Signal.GONE: Phase.LOST,
    Signal.BROKEN: Phase.FAILED,
    Signal.HOLD: Phase.HELD,
    Signal.DRAIN: Phase.DRAINING,
}

NEXT: Final[dict[Phase, dict[Signal, Phase]]] = {
    Phase.SEEN: {
        Signal.STARTED: Phase.SURVEYING,
        Signal.GONE: Phase.LOST,
        Signal.HOLD: Phase.HELD,
        Signal.DRAIN: Phase.DRAINING,
    },
    Phase.SURVEYING: {**_WORKING, Signal.SURVEYED: Phase.INSTALLING},
    Phase.INSTALLING: {
        **_WORKING,
        Signal.INSTALLED: Phase.JOINING,
        Signal.REBOOT_DUE: Phase.REBOOT_WANTED,
    },
    Phase.JOINING: {
        **_WORKING,
        Signal.JOINED: Phase.ACTIVATING,
        Signal.REBOOT_DUE: Phase.REBOOT_WANTED,
    },
    Phase.REBOOT_WANTED: {**_WORKING, Signal.PERMITTED: Phase.REBOOTING},
    # Mesos calls a rebooting agent gone. We asked for it, so it is progress. And nothing may
    # take it out of this phase while the reboot may still come.
    Phase.REBOOTING: {
        Signal.GONE: Phase.REBOOTING,
        Signal.BACK: Phase.SURVEYING,
        Signal.DENIED: Phase.REBOOT_WANTED,
        Signal.OVERDUE: Phase.LOST,
        Signal.BROKEN: Phase.FAILED,
    },
    Phase.ACTIVATING: {**_WORKING, Signal.ACTIVATED: Phase.READY},
    Phase.READY: {
        Signal.DOUBT: Phase.SURVEYING,
        Signal.GONE: Phase.LOST,
        Signal.HOLD: Phase.HELD,
        Signal.DRAIN: Phase.DRAINING,
    },
    Phase.LOST: {
        Signal.RETURNED: Phase.SURVEYING,
        Signal.HOLD: Phase.HELD,
        Signal.DRAIN: Phase.DRAINING,
    },
    Phase.FAILED: {
        Signal.RETRY: Phase.SURVEYING,
        Signal.HOLD: Phase.HELD,
        Signal.DRAIN: Phase.DRAINING,
    },
    Phase.HELD: {Signal.RESUME: Phase.SURVEYING, Signal.DRAIN: Phase.DRAINING},
    # An agent that Mesos loses meanwhile leaves the storage cluster all the same.
    Phase.DRAINING: {
        Signal.DRAINED: Phase.RETIRED,
        Signal.HOLD: Phase.HELD,
        Signal.RESUME: Phase.SURVEYING,
        Signal.BROKEN: Phase.FAILED,
    },
    Phase.RETIRED: {Signal.RESUME: Phase.SURVEYING},
}

AT_REST: Final = frozenset({Phase.READY, Phase.FAILED, Phase.HELD, Phase.RETIRED, Phase.LOST})


def advance(phase: Phase, signal: Signal) -> Phase:
    return NEXT[phase].get(signal, phase)


class TaskState(enum.Enum):
    WANTED = "wanted"  # stored; the ACCEPT may or may not have left
    RUNNING = "running"
    ENDED = "ended"  # terminal status stored; its output is still to be read


@attrs.frozen(kw_only=True)
class TaskRef:
    """The one task in flight on an agent (keeper aside)."""

    task_id: str
    step: str
    agent_id: str
    state: TaskState = TaskState.WANTED
    exit_code: int | None = None  # None while running, or when it never got so far
    message: str = ""
    ended_at: float = 0.0  # unix, by the host's clock; 0 unknown
    wanted_at: float = 0.0  # unix: when it was stored
    began: float = 0.0  # unix: when it was first heard of; 0 not yet
    claims: Mapping[str, Claim] = attrs.field(factory=dict)  # what a claim task looks at, by path


@attrs.frozen(kw_only=True)
class Run:
    """A task that is over. Times are unix seconds, 0 unknown. `outcome`: see domain.history."""

    step: str
    task_id: str
    wanted_at: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    exit_code: int | None = None
    outcome: str = ""
    said: str = ""  # the end of what it said, where it did not hold


@attrs.frozen(kw_only=True)
class KeeperRef:
    task_id: str
    agent_id: str
    running: bool = False
    healthy: bool = False


@attrs.frozen(kw_only=True)
class Reboot:
    """A reboot that is wanted (`permit` empty) or under way. Kept until the boot id changes."""

    boot_id: str  # the boot that has to end
    reason: str
    before_join: bool = False
    permit: str = ""  # unguessable; the host asks for it once more before it reboots
    armed: bool = False  # the host unit waits for its permit


@attrs.frozen(kw_only=True)
class Removal:
    """`stage`: asked, leaving, uninstalling, settling, last (see domain.removal).

    `gone`: its host is taken for lost for ever, and nothing is done there; `ordered`: an operator
    wants our work off that host, too, if it comes back.
    """

    stage: str = "asked"
    gone: bool = False
    ordered: bool = True


@attrs.frozen(kw_only=True)
class AgentRecord:
    """What is stored of one agent. Times are unix seconds. Holds nothing secret."""

    host: str  # HOST KEY
    agent_id: str
    address: str = ""
    port: int = 5051
    attributes: Mapping[str, str] = attrs.field(factory=dict)
    phase: Phase = Phase.SEEN
    since: float = 0.0
    reason: str = ""  # why it waits
    error: str = ""  # last failure: what, and what to do
    tail: str = ""  # end of the failing step's output
    task: TaskRef | None = None
    keeper: KeeperRef | None = None
    attempts: Mapping[str, int] = attrs.field(factory=dict)  # since the step last held
    launches: int = 0  # tasks ever launched: makes task ids tell their order
    done: tuple[str, ...] = ()  # steps that ended well since the last survey
    facts: Facts | None = None
    surveyed: float = 0.0
    look_after: float = 0.0  # unix: what was ordered takes until then, a survey before says nothing
    candidates: Mapping[str, float] = attrs.field(factory=dict)  # device -> first judged empty
    claimed: Mapping[str, str] = attrs.field(factory=dict)  # device that passed all checks -> pool
    claimed_at: float = 0.0
    later: str = ""  # which step asks to be tried later, and why
    later_since: float = 0.0  # of the first such answer since a step held
    sds_id: str = ""
    joined: bool = False
    probe: str = ""  # "", mapped:<volume id>, seen:<volume id>, ok, off, skipped: <why>
    reboot: Reboot | None = None
    disrupt: str = ""  # permit to replace the SDS, held until the storage cluster is whole again
    restart_for: str = ""  # the operator's own step that asked for a restart of the Mesos agent
    restart: bool = False  # what is installed holds after a restart of the Mesos agent
    # Its turn to change the Mesos agent: "", granted, begun (settings may be written), armed (the
    # host watches the restart).
    restarting: str = ""
    undone: str = ""  # "", halt (the host went back to the old settings), forgiven (try again)
    rebooted: bool = False  # came back from our reboot, not yet whole in the storage cluster
    # It did not return in time from our reboot, and is not whole since: nobody else is rebooted.
    missing: bool = False
    spared: str = ""  # why it would have been rebooted; it was not so far
    reboots_avoided: tuple[str, ...] = ()  # why, one for each; the last few
    slot: bool = False  # holds a place of the rollout
    ended: tuple[str, ...] = ()  # last task ids that are over: late updates about them mean nothing
    repairs: tuple[float, ...] = ()  # unix seconds: when its SDS was looked after, the last day
    held_by: str = ""  # operator, observe
    removal: Removal | None = None  # the operator has it removed
    lost_at: float = 0.0  # Mesos lost it then, and has not had it since; 0: it has it
    on_return: str = ""  # of one that was retired as gone: resume, or uninstall, as was ordered
    isolation_before: tuple[str, ...] = ()  # of the Mesos agent, before our isolator step
    runs: tuple[Run, ...] = ()  # its last tasks that are over, the newest last


def parse_task_id(task_id: str) -> tuple[str, str] | None:
    """(host, step) of a task id `<host>.<step>.<attempt>.<8 hex>`; None if it is not ours."""
    parts = task_id.rsplit(".", 3)
    if len(parts) != 4 or not parts[0] or not parts[2].isdigit() or len(parts[3]) != 8:
        return None
    return parts[0], parts[1]
