"""What actors show of themselves and of what they look after: frozen values for the board.

Times are seconds on the run's clock where nothing else is said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

import attrs

from domain.agent import Phase, Run
from domain.facts import Facts
from domain.layout import Layout
from domain.storage import StorageSnapshot

REPR_CHARACTERS_MAX: Final = 100_000
READY: Final = Phase.READY.value
HOLD_BOUNDS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@attrs.frozen(kw_only=True)
class StepSnapshot:
    """One line of an agent's plan. `state`: satisfied, wanted, running, failed, ignored."""

    name: str
    state: str
    detail: str = ""


@attrs.frozen(kw_only=True)
class AgentSnapshot:
    """One Mesos agent as its actor sees it; what is shown is what is stored."""

    host: str  # HOST KEY
    agent_id: str
    address: str
    phase: str  # value of domain.agent.Phase
    since: float  # entered the phase at, unix seconds: it is stored
    step: str = ""  # running or next step
    task_id: str = ""  # in flight
    keeper_id: str = ""
    keeper_healthy: bool = False
    reason: str = ""  # why it waits, in a sentence
    error: str = ""  # last failure: what, where, and what to do
    tail: str = ""  # end of the failing step's output, secrets redacted
    attempts: Mapping[str, int] = attrs.field(factory=dict)
    plan: tuple[StepSnapshot, ...] = ()
    probe: str = ""
    claimed: Mapping[str, str] = attrs.field(factory=dict)  # device that may be given away -> pool
    claimed_at: float = 0.0  # unix seconds
    reboot_wanted: bool = False
    missing: bool = False  # did not come back whole from our reboot: it halts the others'
    later: str = ""  # which step asks to be tried later, and why
    reboots_avoided: tuple[str, ...] = ()  # why, one for each
    working: bool = False  # holds a place of the rollout
    offer_id: str = ""
    last_contact: float = 0.0  # unix seconds of the last word from Mesos about it
    devices: tuple[tuple[str, str], ...] = ()  # (path, verdict with the rule that decided)
    layout: Layout = attrs.field(factory=Layout)
    overrides: tuple[str, ...] = ()  # the operator's rules that had a say on this host
    facts: Facts | None = None
    surveyed: float = 0.0  # unix seconds: when the facts were read
    repairs: tuple[float, ...] = ()  # unix seconds: when its SDS was looked after
    lost_at: float = 0.0  # unix seconds: Mesos has not had it since; 0: it has it
    runs: tuple[Run, ...] = ()  # tasks that are over, the newest last
    began: float = 0.0  # unix seconds: when the running step was first heard of
    held_by: str = ""  # operator, rollout, observe
    removal: str = ""  # the stage of its removal, if it is being removed
    restored: bool = False  # as the store had it; its actor has decided nothing yet

    @property
    def at_rest(self) -> bool:
        """Ready, with its keeper, and nothing on its way: its offers are of no use to us."""
        busy = self.restored or self.working or bool(self.task_id) or self.lost_at > 0
        return self.phase == READY and self.keeper_healthy and not busy


@attrs.frozen(kw_only=True)
class RecentMessage:
    """Rendered only when somebody looks; who shows it redacts first, and cuts after that."""

    at: float
    message: object

    @property
    def kind(self) -> str:
        return type(self.message).__name__

    @property
    def text(self) -> str:
        return repr(self.message)[:REPR_CHARACTERS_MAX]


@attrs.frozen(kw_only=True)
class ActorSnapshot:
    """INTROSPECTION: every field of the contract."""

    name: str
    kind: str
    phase: str  # starting, running, backing-off, quarantined, stopped
    mailbox_depth: int
    mailbox_peak: int
    mailbox_size: int
    handled: int
    last_message: str
    last_message_age_s: float | None
    restarts: int
    last_error: str
    waiting_for: str
    recent: tuple[RecentMessage, ...] = ()


@attrs.frozen(kw_only=True)
class LinkSnapshot:
    """The Mesos subscription. `state` is a value of protocol.mesos.session.State."""

    state: str = "disconnected"
    master: str = ""  # scheme://host:port of the leader
    version: str = ""
    framework_id: str = ""
    since: float = 0.0
    detail: str = ""  # last error, with what to do
    subscriptions: int = 0


@attrs.frozen(kw_only=True)
class ClosingSnapshot:
    """The order to remove the framework. `stage`: ordered, tearing, torn-down."""

    stage: str
    teardown: bool
    framework_id: str = ""  # as the operator confirmed it
    waits_for: str = ""

    @property
    def is_torn_down(self) -> bool:
        return self.stage == "torn-down"


@attrs.frozen(kw_only=True)
class OfferTally:
    """Offers since the process began. An answered one was held from arrival to its answer.

    `held` counts them by HOLD_BOUNDS_S (the last bound is infinity); `void` ones were answered by
    nobody: rescinded, or gone with their subscription.
    """

    received: int = 0
    accepted: int = 0
    declined: int = 0
    void: int = 0
    held: tuple[int, ...] = (0,) * (len(HOLD_BOUNDS_S) + 1)
    held_s: float = 0.0  # sum
    held_max_s: float = 0.0

    def answered(self, count: int, held_s: float, *, accepted: bool) -> OfferTally:
        at = bisect_left(HOLD_BOUNDS_S, held_s)
        return attrs.evolve(
            self,
            accepted=self.accepted + count * accepted,
            declined=self.declined + count * (not accepted),
            held=(*self.held[:at], self.held[at] + count, *self.held[at + 1 :]),
            held_s=self.held_s + count * held_s,
            held_max_s=max(self.held_max_s, held_s),
        )


@attrs.frozen(kw_only=True)
class GatewaySnapshot:
    """`storage` is the last good one; `error` is empty while polls succeed.

    `fault`: unreachable, login, certificate, protocol, system; "" without an error.
    """

    storage: StorageSnapshot | None = None
    error: str = ""
    fault: str = ""
    since: float = 0.0


@attrs.frozen(kw_only=True)
class Leaving:
    """An object of the storage cluster that an operator has asked to remove."""

    kind: str  # device, sds, sdc, pool, domain
    id: str
    name: str
    since: float  # unix seconds
    why: str = ""  # what it waits for


@attrs.frozen(kw_only=True)
class Condition:
    """Something an operator should know, with hysteresis behind it."""

    name: str  # closed vocabulary, e.g. gateway-unreachable
    severity: str  # info, warning, critical
    subject: str  # pool, agent, ... or ""
    text: str
    since: float
    cure: str = ""  # what to do
    objects: tuple[str, ...] = ()  # what is affected, where that is more than the subject


@attrs.frozen(kw_only=True)
class NoticeSnapshot:
    """One receiver of notifications. `state`: waiting, retrying, refused."""

    receiver: str  # without path and query: they may be a secret
    kind: str  # webhook, alertmanager
    state: str = "waiting"
    since: float = 0.0  # in this state, on the run's clock
    last_error: str = ""  # empty while messages are taken
    sent: int = 0  # messages
    failed: int = 0  # tries


@attrs.frozen(kw_only=True)
class RolloutSnapshot:
    """`state`: running, paused, aborted, halted, asking. `stage`: canary, share, all."""

    state: str = "running"
    stage: str = "all"
    allowed: int = 0  # agents that may have begun, done ones included
    concerned: int = 0
    done: int = 0
    under_way: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()  # at work, and not forgiven
    why: str = ""  # nobody begins
    estimate_s: float | None = None
    estimate: str = ""


@attrs.frozen(kw_only=True)
class OfferAnswer:
    """One event of offers, and what became of them. `why`: reason of a decline -> how many."""

    at: float  # unix seconds
    offers: int
    accepted: tuple[str, ...] = ()  # hosts
    why: Mapping[str, int] = attrs.field(factory=dict)
