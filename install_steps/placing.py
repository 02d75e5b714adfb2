"""Which of a host's disks are ours, may become ours, or keep it waiting: parts of the assembly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from domain.agent import AgentRecord
from domain.devices import DeviceVerdict, names_of
from domain.facts import Facts
from domain.layout import Layout
from domain.limits import Limits, Member, why_too_many_devices
from domain.plan import PlannedStep

_AS_OURS: Final = frozenset({"open", "in-use"})  # what a disk looks like that an SDS serves


def member(record: AgentRecord, facts: Facts, layout: Layout, *, provides: bool) -> Member:
    return Member(
        host=record.host,
        address=record.address,
        phase=record.phase.value,
        layout=layout,
        sdc_guid=facts.sdc_guid,
        provides=provides,
    )


def too_many(takes: Sequence[DeviceVerdict], ours: Mapping[str, str], limits: Limits) -> str:
    """Why its SDS could not hold what the host has to give, "" if it can."""
    new = [one for one in takes if one.path not in ours]
    size_bytes = sum(one.disk.size_bytes for one in new if one.disk is not None)
    return why_too_many_devices(len(new) + len(ours), size_bytes, limits) if new else ""


def kept_out(steps: tuple[PlannedStep, ...], why: str) -> tuple[PlannedStep, ...]:
    """The first thing that there is to do waits; the others come after it anyway."""
    first = next((step for step in steps if step.state == "wanted"), None)
    if first is None or not why:
        return steps
    blocked = attrs.evolve(first, state="blocked", sentence=why)
    return tuple(blocked if step is first else step for step in steps)


def device_names(record: AgentRecord) -> Mapping[str, tuple[str, ...]]:
    """What the claim task looks at, by how much the operator's word has lifted.

    Only what was written down when it was launched, however often it is posted: that, and nothing
    else, is claimed when it ends well.
    """
    claims = record.task.claims if record.task is not None else {}
    named: dict[str, list[str]] = {"auto": [], "declared": [], "overwrite": []}
    for path, claim in claims.items():
        named[claim.level].append(path)
    return {level: tuple(paths) for level, paths in named.items()}


def is_in(verdict: DeviceVerdict, ours: Mapping[str, str]) -> bool:
    """True if the disk is ours under any of its names: the original added them by /dev/sdX."""
    names = names_of(verdict.disk) if verdict.disk is not None else frozenset({verdict.path})
    return not ours.keys().isdisjoint(names)


def perhaps_ours(verdicts: list[DeviceVerdict]) -> str:
    """Before the first look at the storage cluster, a named disk in use may be in its pool."""
    for verdict in verdicts:
        wish = verdict.wish
        if wish is not None and wish.devices is not None and verdict.verdict.rule in _AS_OURS:
            return (
                f"device {verdict.path}: {verdict.verdict.sentence}; waits for the first look at "
                "the storage cluster, which may have it in a pool"
            )
    return ""


def declared_fault(verdicts: list[DeviceVerdict]) -> str:
    """A device that the operator named and that can't be taken is a failure, not a detail."""
    for verdict in verdicts:
        wish = verdict.wish
        if wish is not None and wish.devices is not None and not verdict.verdict.take:
            return f"device {verdict.path}: {verdict.verdict.sentence}"
    return ""
