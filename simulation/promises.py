"""The INVARIANTS of DESIGN: their names, their sentences, and the book of what was found.

The checkers stand in `checkers` and the `watch_*` modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

ONE_TASK: Final = "1-one-task-per-agent"
ORDER: Final = "2-predecessors-first"
ANSWERED: Final = "3-every-offer-answered-once"
WITHIN: Final = "4-within-the-offer"
FAULT_UNIT: Final = "5-one-fault-unit-down"
HEALTHY: Final = "6-no-reboot-while-degraded"
NO_DATA: Final = "7-no-device-with-data"
ACKNOWLEDGED: Final = "8-acknowledged-once-when-stored"
NOT_TWICE: Final = "9-nothing-twice-nothing-forgotten"
ARRIVES: Final = "10-all-ready-or-named-failure"
NO_SECRET: Final = "11-no-secret-shown"  # noqa: S105 - the name of a checker
MAILBOXES: Final = "12-mailboxes-within-bounds"
IDENTITY: Final = "13-framework-id-stays"
LIVE_STREAM: Final = "14-no-call-on-a-dead-stream"
PACE: Final = "15-launches-and-calls-bounded"
STANDS_STILL: Final = "16-held-and-failed-stand-still"
OWN_HOST_LAST: Final = "17-own-host-last"
NO_FORCE: Final = "18-no-force-flag"
MEMBERS: Final = "19-no-member-beside-a-member-down"
SHOWN: Final = "20-shown-is-stored"
DEBTS: Final = "21-debts-are-paid"

SENTENCES: Final[Mapping[str, str]] = MappingProxyType({
    ONE_TASK: "no two tasks of ours run on one agent at once (keeper aside)",
    ORDER: "no step starts while its predecessor is not satisfied",
    ANSWERED: "every offer is answered exactly once, within 10 virtual seconds",
    WITHIN: "offered resources are never exceeded",
    FAULT_UNIT: "at most one fault unit of a protection domain is down on our account",
    HEALTHY: "no reboot while any data is degraded, or the MDM cluster is not normal",
    NO_DATA: "no device with data is ever added to a pool",
    ACKNOWLEDGED: "every update is acknowledged once, only after it is stored",
    NOT_TWICE: "after a scheduler crash nothing runs twice and nothing is forgotten",
    ARRIVES: "with faults over, all agents reach ready or a named failure",
    NO_SECRET: "no secret in any log line, state, label or reply",
    MAILBOXES: "no mailbox grows beyond its bound",
    IDENTITY: "the framework id never changes without an operator's word",
    LIVE_STREAM: "no call is sent on a stream id that the scheduler knows to be dead",
    PACE: "launches of each step and calls per agent stay bounded",
    STANDS_STILL: "a held or failed agent never moves by itself",
    OWN_HOST_LAST: "the scheduler's host is not rebooted while another agent's reboot is due",
    NO_FORCE: "no force flag is ever sent for a device",
    MEMBERS: "no agent on the host of an MDM or master is restarted or rebooted with another down",
    SHOWN: "what page and API show equals what is stored",
    DEBTS: "no agent stays deactivated on our account",
})  # fmt: skip
ALL: Final = tuple(SENTENCES)

VIOLATIONS_KEPT: Final = 50


@attrs.frozen(kw_only=True)
class Violation:
    invariant: str
    at: float
    text: str


@attrs.define
class Book:
    """`counts` says how often each promise was put to the test, `violations` where it broke."""

    violations: list[Violation] = attrs.field(factory=list)
    counts: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(ALL, 0))
    now: float = 0.0  # virtual seconds, of the event that is looked at

    def check(self, invariant: str, holds: object, text: str) -> None:
        self.counts[invariant] += 1
        if not holds and len(self.violations) < VIOLATIONS_KEPT:
            self.violations.append(Violation(invariant=invariant, at=self.now, text=text))
