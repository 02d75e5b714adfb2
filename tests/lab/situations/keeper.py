"""The keeper as far as its begin, and its health check."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.lab.situations.table import (
    CONTAINER,
    FULL_STATE,
    HOLD_LOCK,
    NOT_ROOT,
    OTHER_PLATFORM,
    UNTIL_IT_SPOKE,
    Situation,
    dials,
    platform,
    stopped,
    together,
    with_values,
)

_KEEPER: Final = partial(Situation, step="keeper", base="bare", inside=UNTIL_IT_SPOKE)
_HEALTH: Final = partial(Situation, step="keeper_health", base="whole")
_NO_SCINI: Final = together(stopped("scini"), with_values(module_loaded=False))

ROWS: Final = (
    _KEEPER(name="a bare host"),
    _KEEPER(name="a whole host", base="whole"),
    _KEEPER(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _KEEPER(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _KEEPER(
        name="the state folder is full",
        base="prepared",
        real=FULL_STATE,
        model=dials(full="state"),
    ),
    _KEEPER(name="in a container", inside=(*UNTIL_IT_SPOKE, *CONTAINER), model=dials(no_init=True)),
    _KEEPER(name="not as root", inside=(*UNTIL_IT_SPOKE, *NOT_ROOT), model=dials(not_root=True)),
    _HEALTH(name="all is well"),
    _HEALTH(name="the SDS was stopped", real="systemctl stop sds", model=stopped("sds")),
    _HEALTH(
        name="the SDS was stopped, and is not ours",
        wish={"provides_storage": False},
        real="systemctl stop sds",
        model=stopped("sds"),
    ),
    _HEALTH(name="the SDC was stopped", real="systemctl stop scini", model=_NO_SCINI),
    _HEALTH(
        name="the SDC was stopped, and is not watched",
        wish={"watches_sdc": False},
        real="systemctl stop scini",
        model=_NO_SCINI,
    ),
    _HEALTH(name="REX-Ray was stopped", real="systemctl stop rexray", model=stopped("rexray")),
    _HEALTH(
        name="REX-Ray was stopped, and is not watched",
        wish={"watches_rexray": False},
        real="systemctl stop rexray",
        model=stopped("rexray"),
    ),
    _HEALTH(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _HEALTH(name="while the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    Situation(name="a bare host", step="keeper_health", base="bare"),
)
