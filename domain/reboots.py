"""A host that does not return from the reboot that we ordered.

It halts all others, until it is back and whole, or the operator says that they need not wait.
"""

from __future__ import annotations

from typing import Final

import attrs

from domain import effects
from domain.agent import Phase, Signal, TaskState
from domain.draft import REBOOT_PATIENCE_S, Draft
from domain.plan import REBOOT

ORDERED: Final = "an operator asked for a reboot"
ORDERED_IN: Final = frozenset(
    {Phase.SURVEYING, Phase.INSTALLING, Phase.JOINING, Phase.ACTIVATING, Phase.READY}
)
LOOKED_S: Final = 180.0  # surveys of a host that is there follow each other more closely


def miss_if_overdue(draft: Draft) -> None:
    """A survey that does not even begin long after the grant: the host is not there."""
    record, reboot = draft.record, draft.record.reboot
    if record.phase is not Phase.REBOOTING or reboot is None:
        return
    if draft.moment.unix - record.since < REBOOT_PATIENCE_S:
        return
    if record.task is not None and record.task.state is not TaskState.WANTED:
        return
    if draft.moment.unix - record.surveyed < LOOKED_S:
        return
    unsent = record.task is not None and record.task.step == REBOOT and not reboot.armed
    if unsent and not record.rebooted:
        # No offer fits its reboot step, so nothing was ordered: others may go first.
        draft.uncount(REBOOT)
        draft.drop_task()
        draft.deny_reboot("no offer of the agent fits the reboot step in 15 minutes")
        return
    # Where nobody knows how far its step came, it counts as armed, and keeps its place.
    draft.change(missing=True, reboot=attrs.evolve(reboot, armed=True))
    draft.signal(
        Signal.OVERDUE,
        "it has not come back from the reboot that was ordered; no other host is rebooted and no "
        "Mesos agent restarted meanwhile: look at its console; if it is given up, hold or "
        "retire it, and the others go on",
    )


def found_again(draft: Draft) -> None:
    """A survey has seen a host that was missing. It halts the others until it is whole, too."""
    reboot = draft.record.reboot
    if not draft.record.missing or reboot is None:
        return
    if draft.same_boot():  # it was up all the time, and only out of Mesos' sight
        draft.change(missing=False, reboot=attrs.evolve(reboot, permit="", armed=False))
        draft.free_place()
    else:
        draft.change(rebooted=True, reboot=None)


def order(draft: Draft) -> None:
    """An operator's wish to reboot a host that works: by the same gate as any other reboot."""
    record = draft.record
    if record.facts is None or record.removal is not None or record.phase not in ORDERED_IN:
        return
    draft.want_reboot(ORDERED, before_join=False)
    if record.phase in (Phase.READY, Phase.ACTIVATING):
        draft.doubt(ORDERED)


def is_ordered_in(phase: str) -> bool:
    """True in the phases in which an agent takes the wish of `order`."""
    return Phase(phase) in ORDERED_IN


def operator_speaks(draft: Draft, word: str) -> None:
    """Nobody has to wait any more for a host that is missing.

    A retry of one that is back leaves it the place of its reboot until it is whole; every other
    word gives it up.
    """
    if not draft.record.missing:
        return
    draft.change(missing=False)
    if word != "retry" or draft.record.phase in (Phase.LOST, Phase.HELD):
        draft.change(rebooted=False, reboot=None)
        draft.do(effects.FreeReboot())
