"""The restart of the Mesos agent, as far as it is armed."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.lab.situations.isolator import CLOSED, STOPPED, was_stopped
from tests.lab.situations.table import (
    CONTAINER,
    HOLD_LOCK,
    STATE,
    SYSVINIT,
    Situation,
    dials,
    platform,
    with_values,
)

_WRITTEN: Final = partial(Situation, step="agent-restart", base="agent", before=("isolator",))
_ARMED: Final = ("isolator", "agent-restart")

ROWS: Final = (
    _WRITTEN(name="after the isolator step"),
    Situation(name="already in effect", step="agent-restart", base="isolated"),
    Situation(
        name="in effect, and an operator's step wants it",
        step="agent-restart",
        base="isolated",
        environment={"RESTART_ANYWAY": "yes"},
    ),
    Situation(
        name="in effect, and nothing could watch it",
        step="agent-restart",
        base="isolated",
        environment={"RESTART_ANYWAY": "yes"},
        real=f"rm {STATE}/bin/agent-watch",
        model=with_values(isolation_before=()),
    ),
    Situation(name="nothing was written", step="agent-restart", base="agent"),
    _WRITTEN(name="armed already", before=_ARMED),
    _WRITTEN(
        name="the watcher is gone",
        before=_ARMED,
        real="systemctl stop scaleio-framework-agent-restart.timer",
        model=with_values(armed_restart=False),
    ),
    _WRITTEN(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _WRITTEN(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _WRITTEN(name="an old init system", inside=SYSVINIT, model=platform(init="sysvinit")),
    _WRITTEN(name="the master is not named", environment={"MASTER_ENDPOINT": ""}),
    _WRITTEN(name="the agent was stopped", real=STOPPED, model=was_stopped),
    _WRITTEN(name="a unit that nobody has", wish={"agent_unit": "mesos-other"}),
    _WRITTEN(name="the agent tells nobody its flags", real=CLOSED, model=dials(flags_closed=True)),
    _WRITTEN(
        name="the way back is gone",
        real=f"rm {STATE}/backup/agent/changes",
        model=with_values(next_isolation=()),
    ),
)
