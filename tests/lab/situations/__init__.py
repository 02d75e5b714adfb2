"""All situations, in the order in which a host is brought from bare to whole."""

from __future__ import annotations

from typing import Final

from tests.lab.situations import (
    agent_restart,
    claim,
    isolator,
    keeper,
    prerequisites,
    probe,
    reboot,
    rexray,
    sdc,
    sds,
    survey,
    uninstall,
)
from tests.lab.situations.table import Situation

ALL: Final[tuple[Situation, ...]] = tuple(
    row
    for module in (
        survey, prerequisites, sds, sdc, rexray, isolator, agent_restart, claim, probe, reboot,
        keeper, uninstall,
    )
    for row in module.ROWS
)  # fmt: skip
