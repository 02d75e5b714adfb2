"""What tasks of the scripts do: a shell command on a real agent, the same in the simulated one."""

from __future__ import annotations

import math
from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Program:
    command: str
    duration_s: float = 0.05
    exit_code: int = 0
    deaf_to_term: bool = False
    ill_after_s: float = math.inf  # when its health check begins to fail


PROGRAMS: Final = {
    "ends": Program(command="exit 0"),
    "fails": Program(command="exit 3", exit_code=3),
    "runs": Program(command="exec sleep 1000", duration_s=math.inf),
    "stubborn": Program(
        command="trap '' TERM; while true; do sleep 0.05; done",
        duration_s=math.inf,
        deaf_to_term=True,
    ),
    "ails": Program(
        command="touch well; sleep 0.8; rm well; exec sleep 1000",
        duration_s=math.inf,
        ill_after_s=0.8,
    ),
}
HEALTH_CHECK: Final = {
    "type": "COMMAND",
    "command": {"value": "test -e well"},
    "delay_seconds": 0.2,
    "interval_seconds": 0.2,
    "grace_period_seconds": 60.0,
    "consecutive_failures": 2,
}
LABEL: Final = "scaleio.step"  # how the simulated agent names a task's program to its host
