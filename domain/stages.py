"""How far a rollout may go: one agent, then a share, then all; halted by failures. Pure.

Everything is judged from what the agents show now and from the operator's last word, so nothing
has to be counted across restarts of the process. A rollout that fits into its places
(-rollout.parallel) is one stage: nobody would learn anything from a canary of three agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import attrs

HALT_AT_LEAST: Final = 3  # agents that have failed, beside the canary: one bad host is no pattern
# Work that has begun goes on: a host that is half installed, or comes back from its reboot, is
# brought to its end whatever becomes of the others.
UNDER_WAY: Final = frozenset({"reboot_wanted", "rebooting", "activating"})
OUT: Final = frozenset({"held", "lost", "draining", "retired"})  # not of this rollout
NAMES_SHOWN: Final = 5


@attrs.frozen(kw_only=True)
class Stages:
    """`canary`: agents that go first, 0 none; `share`, `halt`: percent of all, 0: no such stage.

    `parallel`: places. `asks`: nobody begins before the operator's word (-mode=ask).
    `plan`: what is rolled out, as a digest; another one asks anew.
    """

    canary: int = 1
    share: int = 25
    halt: int = 20
    parallel: int = 10
    asks: bool = False
    plan: str = ""


@attrs.frozen(kw_only=True)
class RolloutRecord:
    """The operator's last word about the rollout of `plan`. Stored.

    `paused`: "", pause, abort. `started`: the plan that was allowed (-mode=ask). `forgiven`:
    agents that have failed, and nobody has to wait for any more.
    """

    plan: str = ""
    paused: str = ""
    started: str = ""
    forgiven: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Course:
    """Where the rollout stands. `phases`: host -> value of domain.agent.Phase, of all known.

    `failed`: agents that failed at work; one that could not be served at all teaches nothing.
    """

    phases: Mapping[str, str]
    begun: frozenset[str] = frozenset()  # hold or want a reboot or a turn, or hold a place
    failed: frozenset[str] = frozenset()

    @cached_property
    def concerned(self) -> frozenset[str]:
        return frozenset(h for h, phase in self.phases.items() if phase not in OUT)

    @cached_property
    def ready(self) -> frozenset[str]:
        return frozenset(h for h, phase in self.phases.items() if phase == "ready")

    @cached_property
    def under_way(self) -> frozenset[str]:
        moving = {host for host, phase in self.phases.items() if phase in UNDER_WAY}
        at_rest = OUT | {"ready", "failed"}
        return frozenset(moving | {h for h in self.begun if self.phases.get(h) not in at_rest})


@attrs.frozen(kw_only=True)
class Standing:
    """`stage`: canary, share, all. `allowed`: agents that may have begun, done ones included.

    `state`: running, paused, aborted, asking, halted. `halted`: why nobody begins, "" if running.
    """

    stage: str
    allowed: int
    state: str = "running"
    halted: str = ""


def standing(course: Course, stages: Stages, word: RolloutRecord) -> Standing:
    stage, allowed = _stage(course, stages)
    state, halted = _paused(stages, word)
    if not halted:
        halted = _too_many_failed(course, stages, word, stage)
        state = "halted" if halted else "running"
    return Standing(stage=stage, allowed=allowed, state=state, halted=halted)


def _stage(course: Course, stages: Stages) -> tuple[str, int]:
    total = len(course.concerned)
    if total <= stages.parallel:
        return "all", total
    passed = len(course.ready)
    if passed < stages.canary:
        return "canary", stages.canary
    share = max(stages.canary, _percent(total, stages.share))
    if stages.share and passed < share:
        return "share", share
    return "all", total


def _percent(total: int, percent: int) -> int:
    """Rounded up: a share of few is at least one."""
    return -(-total * percent // 100)


def _paused(stages: Stages, word: RolloutRecord) -> tuple[str, str]:
    match word.paused:
        case "pause":
            return "paused", "the rollout is paused by the operator: resume it to go on"
        case "abort":
            return "aborted", "the rollout was aborted by the operator: resume it to take it up"
        case _:
            pass
    if stages.asks and word.started != stages.plan:
        sentence = "-mode=ask: nothing is begun before the word to start (POST /v1/rollout/start)"
        return "asking", sentence
    return "running", ""


def _too_many_failed(course: Course, stages: Stages, word: RolloutRecord, stage: str) -> str:
    if not stages.halt:
        return ""
    failed = sorted(course.failed - set(word.forgiven))
    if stage == "canary":
        limit = 1
    else:
        limit = max(HALT_AT_LEAST, _percent(len(course.concerned), stages.halt))
    if len(failed) < limit:
        return ""
    which = "the canary has" if stage == "canary" and limit == len(failed) == 1 else "agents have"
    return (
        f"the rollout is halted: {named(failed)} failed ({which} to be looked at first; halts at "
        f"{limit}); retry what failed, or resume the rollout without it"
    )


def may_begin_work(host: str, course: Course, stages: Stages, now: Standing) -> str:
    """Empty if this agent may begin, as far as the stages go; else why not, for people."""
    if host in course.under_way:
        return ""
    if now.halted:
        return now.halted
    away = len((course.under_way | course.ready) - {host})
    if now.stage == "all" or away < now.allowed:
        return ""
    first = sorted(course.under_way)
    if now.stage == "canary":
        return f"waits for the canary of this rollout ({named(first)})"
    return (
        f"waits for the first {now.allowed} of {len(course.concerned)} agents "
        f"(-rollout.share={stages.share}); under way: {named(first)}"
    )


def named(hosts: list[str]) -> str:
    """A few names, and how many more."""
    shown, more = hosts[:NAMES_SHOWN], len(hosts) - NAMES_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def obey(
    order: str, course: Course, stages: Stages, word: RolloutRecord
) -> tuple[RolloutRecord, int, str]:
    """The word to be stored, HTTP status, and a sentence for the operator."""
    now = standing(course, stages, word)
    match order:
        case "pause":
            told = "the rollout is paused: what has begun comes to its end, no host is rebooted"
            return attrs.evolve(word, paused="pause"), 202, told
        case "abort":
            told = "the rollout is aborted: every agent at work is held after its present step"
            return attrs.evolve(word, paused="abort"), 202, told
        case "resume":
            # Who has failed by now halts nobody any more.
            forgiven = tuple(sorted(course.failed | set(word.forgiven)))
            told = f"the rollout goes on; {len(forgiven)} that failed are not waited for"
            return attrs.evolve(word, paused="", forgiven=forgiven), 202, told
        case "start" if not stages.asks:
            return word, 409, "only with -mode=ask the rollout waits for the word to start"
        case "start":
            told = f"the rollout starts, with stage {now.stage}"
            return attrs.evolve(word, started=stages.plan), 202, told
        case _:
            return word, 404, "there is no such word: one of pause, resume, abort, start"


def still_forgiven(course: Course, word: RolloutRecord) -> RolloutRecord:
    """An agent that fails anew after it was at work counts anew."""
    kept = tuple(host for host in word.forgiven if course.phases.get(host) in (None, "failed"))
    return word if kept == word.forgiven else attrs.evolve(word, forgiven=kept)


def taken_up(word: RolloutRecord, plan: str, failed: frozenset[str]) -> RolloutRecord:
    """At the start of the process: another plan is not judged by who failed under the last one."""
    if word.plan == plan:
        return word
    return attrs.evolve(word, plan=plan, forgiven=tuple(sorted(failed)))
