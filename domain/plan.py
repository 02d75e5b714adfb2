"""What is left to do on one agent, as values. Made by `install_steps.catalog` from facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

SURVEY: Final = "survey"
CLAIM: Final = "claim"
PROBE: Final = "probe"
REBOOT: Final = "reboot"
AGENT_RESTART: Final = "agent-restart"
KEEPER: Final = "keeper"
ISOLATOR: Final = "isolator"
UNINSTALL: Final = "uninstall"


@attrs.frozen(kw_only=True)
class PlannedStep:
    """One installation of the plan, in order.

    `state`: satisfied, wanted, blocked (the sentence says what is missing), ignored.
    `reboot_blocks_join`: what comes after it needs the host rebooted first.
    `survey_after`: what comes after it needs facts that it makes (the host's key).
    `restarts_agent`: it changes the Mesos agent's settings, which hosts do one after the other.
    `disrupts`: it restarts a running SDS, which takes a fault unit down for a moment.
    """

    name: str
    state: str
    sentence: str = ""
    timeout_s: float = 0.0
    reboot_blocks_join: bool = False
    survey_after: bool = False
    restarts_agent: bool = False
    disrupts: bool = False


def is_own(step: str) -> bool:
    """True for a step of the operator's own, which stands before or after one of ours."""
    return step.startswith(("before-", "after-"))


def in_pool(pool: str) -> str:
    """The verdict on a device that is ours."""
    return f"in pool {pool}"


@attrs.frozen
class Claim:
    """Where a disk goes. `level`: auto, declared, overwrite (what the operator's word lifts)."""

    pool: str
    level: str = "auto"


@attrs.frozen(kw_only=True)
class Plan:
    """`fault` is the one sentence why this host cannot be served at all; empty if it can."""

    steps: tuple[PlannedStep, ...] = ()
    fault: str = ""
    provides_storage: bool = False
    devices: tuple[str, ...] = ()  # paths that may be taken, judged on these facts
    device_pools: tuple[str, ...] = ()  # the pool of each, same order
    device_levels: tuple[str, ...] = ()  # of domain.devices.Verdict, same order; none: all auto
    verdicts: tuple[tuple[str, str], ...] = ()  # (path, "rule: sentence")
    overrides: tuple[str, ...] = ()  # the operator's rules that had a say on this host

    def claims(self) -> Mapping[str, Claim]:
        """What a claim step would look at: path -> where it goes."""
        levels = self.device_levels or ("auto",) * len(self.devices)
        rows = zip(self.devices, self.device_pools, levels, strict=True)
        return {path: Claim(pool, level) for path, pool, level in rows}

    def pooled(self, claimed: Mapping[str, str]) -> Plan:
        """The same, where the storage cluster has taken these devices since: path -> pool."""
        shown = tuple(
            (path, in_pool(claimed[path]) if path in claimed else verdict)
            for path, verdict in self.verdicts
        )
        return attrs.evolve(self, verdicts=shown)

    def next_wanted(self, done: frozenset[str]) -> PlannedStep | None:
        """The first step that is neither satisfied nor done since the survey."""
        return next(
            (
                step
                for step in self.steps
                if step.state in ("wanted", "blocked") and step.name not in done
            ),
            None,
        )
