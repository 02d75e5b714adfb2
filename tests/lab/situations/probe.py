"""The probe volume: does it appear, and can it be read?"""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import SimulatedHost
from tests.lab.situations.table import (
    CONTAINER,
    HOLD_LOCK,
    SECOND,
    VOLUME,
    Situation,
    dials,
    stopped,
    together,
    with_values,
)

_PROBE: Final = partial(
    Situation, step="probe", base="connected", environment={"PROBE_WAIT_S": "1"}
)
# A volume's node has the numbers of another disk; it is no disk of the host's own.
_APPEARS: Final = f"""
mknod /srv/volume b $(stat -c '0x%t 0x%T' {SECOND})
mkdir -p /dev/disk/by-id
ln -s /srv/volume {VOLUME}
"""
_DEAD: Final = f"mknod /srv/volume b 240 99; mkdir -p /dev/disk/by-id; ln -s /srv/volume {VOLUME}"


def _appears(host: SimulatedHost) -> None:
    host.sees_volume = lambda path: path == VOLUME


ROWS: Final = (
    _PROBE(name="the volume is there", real=_APPEARS, model=_appears),
    _PROBE(name="the volume does not appear"),
    _PROBE(
        name="the volume cannot be read",
        real=_DEAD,
        model=together(_appears, dials(volume_unreadable=True)),
    ),
    _PROBE(name="no volume is named", environment={"VOLUME_PATH": ""}),
    _PROBE(name="not a volume of ScaleIO", wish={"volume_path": SECOND}),
    _PROBE(name="without an SDC", base="prepared"),
    _PROBE(
        name="the SDC is stopped",
        real="systemctl stop scini",
        model=together(stopped("scini"), with_values(module_loaded=False)),
    ),
    _PROBE(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _PROBE(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
)
