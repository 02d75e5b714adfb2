"""One closed union of frozen messages per mailbox, with the overflow policy beside each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from domain.closing import Wish
from domain.joining import JoinSpec
from protocol.mesos.calls import Call, Task
from protocol.mesos.events import Event
from protocol.mesos.offered import Offers
from protocol.mesos.operator import AgentSeen

NAMED_MAX: Final = 20


@attrs.frozen(kw_only=True)
class Brief:
    """What introspection keeps of a message that is large. `first`: some of what is in it."""

    what: str
    count: int
    first: tuple[str, ...] = ()


# -- journal: awaited, never dropped ------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Save:
    """Write these records together. `done` gets one item when they are durable."""

    changes: Mapping[str, bytes | None]
    done: trio.Event


JournalInbox = Save

# -- the writer: awaited by the broker and by agents --------------------------------------------


@attrs.frozen(kw_only=True)
class Send:
    """One call of the current subscription. A call of an older `generation` is not sent."""

    call: Call
    generation: int | None = None  # None: whatever subscription there is
    offered_at: float | None = None  # the oldest of its offers came then (run's clock)


WriterInbox = Send

# -- the broker: awaited by the reader and by agents; it awaits none of them --------------------


@attrs.frozen(kw_only=True)
class FromMaster:
    """An event, stamped with the subscription it came from (the reader awaits at most 5 s)."""

    generation: int
    event: Event
    at: float  # when it was read, on the run's clock

    def brief(self) -> FromMaster | Brief:
        """Offers hold the bytes that they came in: 15 MB for ten thousand agents."""
        if not isinstance(self.event, Offers):
            return self
        agents = tuple(one.agent_id.value for one in self.event.heads[:NAMED_MAX])
        return Brief(what="OFFERS", count=len(self.event.heads), first=agents)


@attrs.frozen(kw_only=True)
class LinkDown:
    """The subscription is over: every offer is void."""

    generation: int


@attrs.frozen(kw_only=True)
class Want:
    """A task that wants an offer. Newest per agent wins; the same task id twice is one want."""

    host: str
    task: Task
    cpus_milli: int
    mem_milli: int


@attrs.frozen(kw_only=True)
class GiveBack:
    host: str
    task_id: str
    dead: bool


@attrs.frozen(kw_only=True)
class TrackTask:
    """Reconcile until heard of."""

    host: str
    task_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class KillTask:
    """Kill it, again and again until it is over."""

    task_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class CallResult:
    """What became of an ACCEPT.

    `outcome`: sent, refused (not processed: try again), rejected (nor will it ever be), unknown.
    """

    call: Call
    outcome: str
    detail: str = ""
    offered_at: float | None = None


BrokerInbox = FromMaster | LinkDown | Want | GiveBack | TrackTask | KillTask | CallResult

# -- the closer of the framework: asked by operators, told by the writer --------------------------


@attrs.frozen(kw_only=True)
class CloseFramework:
    """Every agent is taken out of use, then TEARDOWN if wished. `answer`: status, sentence."""

    wish: Wish
    answer: Callable[[int, str], None]


@attrs.frozen(kw_only=True)
class CallOff:
    answer: Callable[[int, str], None]


@attrs.frozen(kw_only=True)
class BeginAnew:
    """Forget that the framework was torn down."""


CloserInbox = CloseFramework | CallOff | BeginAnew | CallResult

# -- the roster: observations, newest wins -------------------------------------------------------


@attrs.frozen(kw_only=True)
class AgentOffered:
    """An offer shows this agent."""

    agent_id: str
    hostname: str
    ip: str
    port: int
    attributes: Mapping[str, str]


@attrs.frozen(kw_only=True)
class AgentsListed:
    """The whole list of the operator API; `complete_since` is when it was asked for."""

    agents: tuple[AgentSeen, ...]
    recovered: frozenset[str] = frozenset()  # known to the registry, not yet back

    def brief(self) -> Brief:
        hosts = tuple(one.hostname for one in self.agents[:NAMED_MAX])
        return Brief(what="GET_AGENTS", count=len(self.agents), first=hosts)


@attrs.frozen(kw_only=True)
class AgentLost:
    agent_id: str


@attrs.frozen(kw_only=True)
class StrangeTask:
    """An update for a host that has no actor."""

    host: str
    agent_id: str
    event: Event


RosterInbox = AgentOffered | AgentsListed | AgentLost | StrangeTask

# -- the rollout gate: asks are idempotent by host ------------------------------------------------


@attrs.frozen(kw_only=True)
class AskSlot:
    host: str


@attrs.frozen(kw_only=True)
class FreeSlot:
    host: str


@attrs.frozen(kw_only=True)
class AskReboot:
    host: str
    address: str
    provides_storage: bool
    boots: bool = True


@attrs.frozen(kw_only=True)
class FreeReboot:
    host: str
    keep: bool = False


@attrs.frozen(kw_only=True)
class AskRestart:
    host: str
    begun: bool = False


@attrs.frozen(kw_only=True)
class FreeRestart:
    """`outcome` as in domain.effects.FreeRestart."""

    host: str
    outcome: str = ""


@attrs.frozen(kw_only=True)
class AskPermit:
    """The armed host asks once more. `answer` gets (status, sentence), once."""

    permit: str
    answer: Callable[[int, str], None]


@attrs.frozen(kw_only=True)
class SnapshotTaken:
    """The poller has a new snapshot of the storage cluster."""


@attrs.frozen(kw_only=True)
class RolloutOrder:
    """pause, resume, abort, start: answered when it is stored."""

    word: str
    answer: Callable[[int, str], None]


@attrs.frozen(kw_only=True)
class TellMesos:
    """Deactivate this agent: its armed host asks for its permit. `Told` answers."""

    host: str
    agent_id: str
    permit: str


@attrs.frozen(kw_only=True)
class Told:
    """`refusal`: why Mesos was not told; the host may go all the same."""

    permit: str
    refusal: str = ""


GateInbox = (
    AskSlot
    | FreeSlot
    | AskReboot
    | FreeReboot
    | AskRestart
    | FreeRestart
    | AskPermit
    | SnapshotTaken
    | RolloutOrder
    | Told
)

# -- the Gateway poller: commands wait in its bounded mailbox, asked anew by the agent ----------


@attrs.frozen(kw_only=True)
class StorageRequest:
    """join, probe-map, probe-clean for one agent. `claimed_at` names the claim behind `spec`."""

    request: str
    spec: JoinSpec
    asked_at: float  # run's clock: nobody waits for it any more after STORAGE_PATIENCE_S
    claimed_at: float = 0.0
    probe_pool: str = ""
    volume_id: str = ""


@attrs.frozen(kw_only=True)
class Refresh:
    """Take a snapshot, if the last one is older than `newer_than` on the run's clock."""

    newer_than: float


ORDER_PATIENCE_S: Final = 60.0  # a look at the Gateway may be under way


@attrs.frozen(kw_only=True)
class StorageOrder:
    """An operator's word about an object of the storage cluster; answered when it is stored.

    `word`: remove, keep, enter-maintenance, leave-maintenance.
    """

    kind: str
    id: str
    word: str
    answer: Callable[[int, str], None]
    asked_at: float = math.inf  # run's clock: who asked waits for ORDER_PATIENCE_S


PollerInbox = StorageRequest | Refresh | StorageOrder

# -- the health monitor ---------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Look:
    """Judge again."""


HealthInbox = Look
