"""The storage server, and what may be wrong with any package of the operator's catalog."""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import SimulatedHost
from tests.lab.situations.table import (
    CONTAINER,
    FULL_SANDBOX,
    FULL_STATE,
    HOLD_LOCK,
    HOLD_PACKAGES,
    OTHER_PLATFORM,
    QUICKLY,
    Situation,
    broken_service,
    dials,
    platform,
    stopped,
    together,
)

_NEW: Final = partial(Situation, step="sds", base="prepared")
_THERE: Final = partial(Situation, step="sds", base="storing")


def _removed(host: SimulatedHost) -> None:
    host.packages.pop("emc-scaleio-sds")
    host.services.discard("sds")


ROWS: Final = (
    _NEW(name="a prepared host"),
    _NEW(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _NEW(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _NEW(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _NEW(
        name="the server does not have the file",
        environment={"PACKAGE_URL": "{server}/gone.deb"},
        model=dials(download_fails=True),
    ),
    _NEW(
        name="the server does not answer",
        environment={"PACKAGE_URL": "http://127.0.0.1:9/sds.deb"},
        model=dials(download_fails=True),
    ),
    _NEW(
        name="a wrong checksum",
        environment={"PACKAGE_SHA256": "0" * 64},
        model=dials(checksum_wrong=True),
    ),
    _NEW(
        name="a longer file than the catalog says",
        environment={"PACKAGE_SIZE": "100"},
        model=dials(size_wrong=True),
    ),
    _NEW(
        name="a shorter file than the catalog says",
        environment={"PACKAGE_SIZE": "99999999"},
        model=dials(size_wrong=True),
    ),
    _NEW(name="plain http is not allowed", environment={"PACKAGE_ALLOW_HTTP": ""}),
    _NEW(name="the version is missing", environment={"PACKAGE_VERSION": ""}),
    _NEW(name="the checksum is missing", environment={"PACKAGE_SHA256": ""}),
    _NEW(
        name="the package database is held", real=HOLD_PACKAGES, model=dials(packages_locked=True)
    ),
    _NEW(name="the sandbox is full", real=FULL_SANDBOX, model=dials(full="sandbox")),
    Situation(name="a bare host without curl", step="sds", base="bare"),
    _THERE(name="already done"),
    _THERE(name="the service was stopped", real="systemctl stop sds", model=stopped("sds")),
    _THERE(
        name="the service does not come up",
        environment=QUICKLY,
        real=broken_service("sds"),
        model=together(stopped("sds"), dials(service_fails="sds")),
    ),
    _THERE(
        name="another version is installed",
        environment={"PACKAGE_VERSION": "2.0-9999.1"},
    ),
    _THERE(
        name="the package was removed",
        real="I_AM_SURE=1 dpkg --purge emc-scaleio-sds",
        model=_removed,
    ),
    _THERE(
        name="the receipts are gone",
        real="rm -r /var/lib/scaleio-framework/receipt*",
        model=lambda host: host.receipts.clear(),
    ),
    _THERE(name="the state folder is full", real=FULL_STATE, model=dials(full="state")),
)
