"""A reboot of the host, as far as it is armed."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.lab.situations.table import (
    CONTAINER,
    FULL_STATE,
    HOLD_LOCK,
    NOT_ROOT,
    SYSVINIT,
    Situation,
    dials,
    platform,
)

_READY: Final = partial(Situation, step="reboot", base="prepared")

ROWS: Final = (
    _READY(name="a prepared host"),
    _READY(name="armed already", before=("reboot",)),
    _READY(
        name="an authority of our own",
        wish={"permit_url": "https://127.0.0.1:9/v1/permits/x", "permit_ca": "PEM of it\n"},
    ),
    _READY(name="no permit is named", environment={"PERMIT_URL": ""}),
    _READY(name="a permit of another kind", environment={"PERMIT_URL": "ftp://127.0.0.1/permit"}),
    _READY(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _READY(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _READY(name="not as root", inside=NOT_ROOT, model=dials(not_root=True)),
    _READY(name="an old init system", inside=SYSVINIT, model=platform(init="sysvinit")),
    _READY(name="the state folder is full", real=FULL_STATE, model=dials(full="state")),
    Situation(name="a bare host without curl", step="reboot", base="bare"),
)
