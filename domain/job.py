"""What a task of a step needs, as a value; made by `install_steps`, posted by the agent's actor."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from protocol.mesos.calls import HealthCheck


def last_word(stderr: str, step: str) -> str:
    """What the step said last; Mesos' executor writes into the same file, after it too."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    own = [line.removeprefix(f"{step}: ") for line in lines if line.startswith(f"{step}: ")]
    return (own or lines or [""])[-1][:300]


class StepFaultError(Exception):
    """A step's text can't be made, or its output can't be read; says what is missing."""


@attrs.frozen(kw_only=True)
class Job:
    """`environment` is readable by anybody in Mesos: nothing secret in the clear."""

    command: str
    environment: Mapping[str, str]
    user: str
    cpus_milli: int
    mem_milli: int
    completion_s: float | None
    health: HealthCheck | None = None
