"""How long a rollout will take, and why: from what it took so far. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import attrs

WORK_S: Final = 300.0  # an agent's place, where none was measured yet
REBOOT_S: Final = 480.0  # from the grant until data is whole again
RATIO_AFTER: Final = 3  # agents done before their share of reboots tells anything of the others


@attrs.frozen(kw_only=True)
class Work:
    """`to_do`: agents not ready yet, those that wait for the operator left out.

    `reboots`: known to be wanted or under way; `work_s`, `reboot_s`: as measured on those done.
    `rebooted`, `done`: agents that were finished by this process, and how many with a reboot.
    """

    to_do: int
    places: int
    reboots: int
    reboots_at_once: int
    work_s: Sequence[float] = ()
    reboot_s: Sequence[float] = ()
    rebooted: int = 0
    done: int = 0
    waits: str = ""  # why nothing goes on by itself


@attrs.frozen(kw_only=True)
class Estimate:
    """`seconds` is None where nobody can tell. `sentence` says it with its reason."""

    seconds: float | None
    sentence: str


def estimate(work: Work) -> Estimate:
    if not work.to_do and not work.reboots:
        return Estimate(seconds=0.0, sentence="nothing is left to do")
    reboots = max(work.reboots, _expected(work))
    each_work_s = median(work.work_s) if work.work_s else WORK_S
    each_reboot_s = median(work.reboot_s) if work.reboot_s else REBOOT_S
    working_s = -(-work.to_do // max(1, work.places)) * each_work_s
    rebooting_s = -(-reboots // max(1, work.reboots_at_once)) * each_reboot_s
    parts = []
    if work.to_do:
        parts.append(
            f"{work.to_do} agents to do, {work.places} at a time, {_span(each_work_s)} each"
            f"{_by(work.work_s)}"
        )
    if reboots:
        at_once = "one" if work.reboots_at_once == 1 else str(work.reboots_at_once)
        more = "" if reboots == work.reboots else "about "
        parts.append(
            f"{more}{reboots} reboots, {at_once} at a time and one fault unit of a protection "
            f"domain, {_span(each_reboot_s)} each{_by(work.reboot_s)}"
        )
    reason = "; ".join(parts)
    if work.waits:
        return Estimate(seconds=None, sentence=f"no end in sight: {work.waits} ({reason})")
    if reboots and not work.reboots_at_once:
        return Estimate(seconds=None, sentence=f"reboots are switched off ({reason})")
    seconds = max(working_s, rebooting_s)
    return Estimate(seconds=seconds, sentence=f"about {_span(seconds)}: {reason}")


def _expected(work: Work) -> int:
    """Reboots that the rest will need, by what those needed that are done."""
    if work.done < RATIO_AFTER:
        return 0
    return round(work.to_do * work.rebooted / work.done)


def _by(measured: Sequence[float]) -> str:
    return f" (measured on {len(measured)})" if measured else " (a guess, none is done yet)"


def _span(seconds: float) -> str:
    """For people: `50 s`, `4 min`, `3 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest:02d} min" if rest else f"{hours} h"
