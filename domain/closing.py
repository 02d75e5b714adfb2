"""The end of the framework: every agent is taken out of use, then, if wished, Mesos forgets us.

    ordered -> tearing -> torn-down

`ordered` can be called off. `tearing` is stored before TEARDOWN is sent and only goes forward;
`torn-down` is stored when the master has let go, and a scheduler that finds it never subscribes.
Without the wish for TEARDOWN the order stays `ordered`: whoever joins is taken out of use, too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.agent import Phase

NAMES_SHOWN: Final = 5
WAYS_BACK: Final = "POST /v1/framework/resume calls the order off"
TORN_DOWN: Final = (
    "the framework is torn down: delete this scheduler's app in Marathon, or begin anew with "
    "POST /v1/framework/register"
)


class Stage(enum.Enum):
    ORDERED = "ordered"
    TEARING = "tearing"
    TORN_DOWN = "torn-down"


@attrs.frozen(kw_only=True)
class ClosingRecord:
    """The order as it is stored. `framework_id` is the one that the operator has confirmed."""

    teardown: bool = False
    stage: Stage = Stage.ORDERED
    framework_id: str = ""


@attrs.frozen(kw_only=True)
class Wish:
    """The operator's order: `confirm` names the framework that is to be torn down."""

    teardown: bool = False
    confirm: str = ""


@attrs.frozen(kw_only=True)
class AgentView:
    """An agent as the order sees it. `told`: its own removal is asked for, or done."""

    host: str
    phase: Phase
    told: bool = False


@attrs.frozen(kw_only=True)
class Answer:
    """What the operator is told, and the record that is to be stored (None: there is none)."""

    status: int
    sentence: str
    record: ClosingRecord | None

    @property
    def is_refusal(self) -> bool:
        return self.status >= 400


# -- the operator's words ------------------------------------------------------------------------


def order(standing: ClosingRecord | None, wish: Wish, *, framework_id: str) -> Answer:
    """A second order takes the place of the first, as long as nothing is torn down."""
    if standing is not None and standing.stage is not Stage.ORDERED:
        return Answer(status=409, sentence=_too_late(standing), record=standing)
    if wish.confirm and wish.confirm != framework_id:
        known = f"this framework is {framework_id}" if framework_id else "it is not registered yet"
        return Answer(status=409, sentence=f"confirm is not our id: {known}", record=standing)
    if wish.teardown and not wish.confirm:
        why = "teardown ends the framework: give its id as confirm, GET /v1/status has it"
        return Answer(status=400, sentence=why, record=standing)
    given = ClosingRecord(teardown=wish.teardown, framework_id=wish.confirm)
    last = "then the framework is torn down" if wish.teardown else "the framework stays registered"
    told = f"every agent is taken out of use, {last}; {WAYS_BACK}"
    return Answer(status=202, sentence=told, record=given)


def call_off(standing: ClosingRecord | None) -> Answer:
    """The removals of single agents that are under way stay as they are."""
    if standing is None:
        return Answer(status=409, sentence="there is no order to call off", record=None)
    if standing.stage is not Stage.ORDERED:
        return Answer(status=409, sentence=_too_late(standing), record=standing)
    told = (
        "the order is called off; removals that are under way go on: resume each agent that "
        "is to stay"
    )
    return Answer(status=202, sentence=told, record=None)


def begin_anew(standing: ClosingRecord) -> Answer:
    """`register`, while an order stands."""
    if standing.stage is Stage.TORN_DOWN:
        return Answer(status=202, sentence="this scheduler registers as a new one", record=None)
    why = f"the framework is being removed ({standing.stage.value}): there is nothing to register"
    return Answer(status=409, sentence=why, record=standing)


def why_no_resume(standing: ClosingRecord) -> str:
    """No agent comes back while the order stands."""
    if standing.stage is Stage.ORDERED:
        return (
            "the whole framework is being removed: retry goes on with an agent that is held, and "
            f"{WAYS_BACK}"
        )
    return _too_late(standing)


def _too_late(standing: ClosingRecord) -> str:
    if standing.stage is Stage.TORN_DOWN:
        return TORN_DOWN
    return "the framework is being torn down: there is no way back"


# -- what is done next ---------------------------------------------------------------------------


def to_tell(views: Iterable[AgentView]) -> list[str]:
    """Who has not heard of it yet."""
    return [view.host for view in views if view.phase is not Phase.RETIRED and not view.told]


def waits_for(record: ClosingRecord, views: Iterable[AgentView], *, framework_id: str) -> str:
    """What is still to come before TEARDOWN, as far as we know by ourselves; "" nothing."""
    by_phase: dict[Phase, list[str]] = {}
    for view in views:
        if view.phase is not Phase.RETIRED:
            by_phase.setdefault(view.phase, []).append(view.host)
    left = sum(map(len, by_phase.values()))
    if left:
        told = "; ".join(f"{phase.value}: {names(hosts)}" for phase, hosts in by_phase.items())
        plural = "agent is" if left == 1 else "agents are"
        return f"{left} {plural} not retired yet ({told}): GET /v1/framework/uninstall says why"
    if record.teardown and record.framework_id != framework_id:
        now = f"this is {framework_id} now" if framework_id else "there is none now"
        return (
            f"the order was confirmed for framework {record.framework_id}, and {now}: call it "
            "off, or give it again"
        )
    return ""


def unmet(listed: Mapping[str, str], met: Iterable[str], *, recovered: int) -> str:
    """Why the master's list of agents (id -> host name) forbids TEARDOWN; "" it does not."""
    if recovered:
        return f"the master has just taken over, and {recovered} agents are not back yet"
    known = frozenset(met)
    strangers = [host for agent_id, host in sorted(listed.items()) if agent_id not in known]
    if strangers:
        return f"the master lists agents that have not been looked at yet ({names(strangers)})"
    return ""


def names(hosts: list[str]) -> str:
    more = f" and {len(hosts) - NAMES_SHOWN} more" if len(hosts) > NAMES_SHOWN else ""
    return ", ".join(sorted(hosts)[:NAMES_SHOWN]) + more
