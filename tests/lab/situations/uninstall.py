"""The way back: what we brought goes, what was there before us stays."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.lab.situations.table import (
    CONTAINER,
    HOLD_LOCK,
    HOLD_PACKAGES,
    Situation,
    dials,
)

_LEFT: Final = {"left_cluster": True}
_WHOLE: Final = partial(Situation, step="uninstall", base="whole")
_ISOLATED: Final = partial(Situation, step="uninstall", base="isolated")
_BACK: Final = {**_LEFT, "isolation_to": ("posix/cpu", "posix/mem")}

ROWS: Final = (
    _WHOLE(name="everything that we bring is there", wish=_LEFT),
    _WHOLE(name="it still belongs to the storage cluster"),
    _WHOLE(name="the lock is held", wish=_LEFT, real=HOLD_LOCK, model=dials(lock_held=True)),
    _WHOLE(
        name="the package database is locked",
        wish=_LEFT,
        real=HOLD_PACKAGES,
        model=dials(packages_locked=True),
    ),
    _WHOLE(name="in a container", wish=_LEFT, inside=CONTAINER, model=dials(no_init=True)),
    Situation(name="nothing is there", step="uninstall", base="bare", wish=_LEFT),
    Situation(name="little is there", step="uninstall", base="prepared", wish=_LEFT),
    _ISOLATED(name="the agent runs with our settings", wish=_BACK),
    _ISOLATED(name="nobody knows the old isolation", wish=_BACK, environment={"ISOLATION_TO": ""}),
)
