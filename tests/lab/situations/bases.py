"""Hosts to begin with. Each is made from another by the product's own steps, and then saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from simulation.host import SimulatedHost
from tests.lab.situations.table import Prepare, as_it_is


@attrs.frozen(kw_only=True)
class Base:
    """`after` "": the bare tree. The steps come first, then `real` and `model`, then a boot."""

    after: str
    steps: tuple[str, ...] = ()
    real: str = ""
    model: Prepare = as_it_is
    has_agent: bool = False
    services: tuple[str, ...] = ()  # those that run after its boot


def _with_agent(host: SimulatedHost) -> None:
    host.dials.flags_closed = False


BASES: Final[Mapping[str, Base]] = {
    "bare": Base(after=""),
    "prepared": Base(after="bare", steps=("prerequisites",)),
    "storing": Base(after="prepared", steps=("sds",), services=("sds",)),
    "connected": Base(after="prepared", steps=("sdc",), services=("scini",)),
    "driven": Base(after="connected", steps=("rexray",), services=("scini", "rexray")),
    "whole": Base(after="driven", steps=("sds",), services=("sds", "scini", "rexray")),
    "agent": Base(
        after="prepared",
        real="systemctl enable --quiet mesos-slave.service",
        model=_with_agent,
        has_agent=True,
    ),
    "isolated": Base(after="agent", steps=("isolator",), has_agent=True),
}
