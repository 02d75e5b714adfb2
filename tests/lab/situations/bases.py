"""Hosts to begin with. Each is made from another by the product's own steps, and then saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from simulation.host import SimulatedHost
from tests.lab.situations.table import Prepare, as_it_is

# What is saved is copied for each situation.
_LIGHT: Final = "apt-get clean; rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin"
_SDS: Final = "systemctl is-active --quiet sds"
_SDC: Final = "systemctl is-active --quiet scini"
# REX-Ray may be too early for its driver or its Gateway, and comes again.
_SOCKET: Final = "systemctl is-active --quiet rexray && test -S /run/docker/plugins/rexray.sock"


@attrs.frozen(kw_only=True)
class Base:
    """`after` "": the bare tree. The steps come first, then `real` and `model`, then a boot."""

    after: str
    steps: tuple[str, ...] = ()
    real: str = ""
    model: Prepare = as_it_is
    has_agent: bool = False
    ready: str = "true"  # what holds a while after its boot


def _with_agent(host: SimulatedHost) -> None:
    host.dials.agent_down = False


BASES: Final[Mapping[str, Base]] = {
    "bare": Base(after=""),
    "prepared": Base(after="bare", steps=("prerequisites",), real=_LIGHT),
    "storing": Base(after="prepared", steps=("sds",), ready=_SDS),
    "connected": Base(after="prepared", steps=("sdc",), ready=_SDC),
    "driven": Base(after="connected", steps=("rexray",), ready=_SOCKET),
    "whole": Base(after="driven", steps=("sds",), ready=f"{_SDS} && {_SOCKET}"),
    "agent": Base(
        after="prepared",
        real="systemctl enable --quiet mesos-slave.service",
        model=_with_agent,
        has_agent=True,
    ),
    "isolated": Base(after="agent", steps=("isolator",), has_agent=True),
}
