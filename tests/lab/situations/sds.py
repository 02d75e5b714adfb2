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
    half_installed,
    marked,
    not_enabled,
    platform,
    status_field,
    stopped,
    together,
    version,
)

_FILE: Final = "{server}/EMC-ScaleIO-sds-2.0-10000.2072.Debian.12.x86_64.deb"
_LEFT_OVER: Final = f"""
cd /var/lib/scaleio-framework
mkdir -p cache
curl -s -o part {_FILE}
head -c 1000 part >cache/$(sha256sum part | cut -d ' ' -f 1).part
rm part
"""
_NEW: Final = partial(Situation, step="sds", base="prepared")
_THERE: Final = partial(Situation, step="sds", base="storing")
_PACKAGE: Final = "emc-scaleio-sds"
_PERMIT: Final = {"PERMIT_URL": "{server}/"}  # it answers 200
_UPGRADE: Final = {"PACKAGE_UPGRADE": "yes"}
_OLD: Final = status_field(_PACKAGE, "Version", "2.0-7536")
_IS_OLD: Final = version(_PACKAGE, "2.0-7536")
_OLDER: Final = partial(_THERE, real=_OLD, model=_IS_OLD)
_NEWER: Final = partial(
    _THERE,
    real=status_field(_PACKAGE, "Version", "2.5-0.254"),
    model=version(_PACKAGE, "2.5-0.254"),
)
_CUT_SHORT: Final = status_field(_PACKAGE, "Status", "install ok half-configured")
_PROGRAM_GONE: Final = "rm /opt/emc/scaleio/sds/bin/sds"
# What an earlier step started still works on: its number and its start are on record.
_PACKAGE_MANAGER: Final = """
mkdir -p /var/lib/scaleio-framework
systemd-run --quiet --unit=packages sleep 600
pid=$(systemctl show --property=MainPID packages.service)
pid=${pid#MainPID=}
echo "$pid $(cut -d ' ' -f 22 /proc/$pid/stat)" >/var/lib/scaleio-framework/package.run
"""


def _without_receipt(host: SimulatedHost) -> None:
    del host.receipts["prerequisites"]


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
        name="only the second mirror has the file",
        environment={
            "PACKAGE_URL": "{server}/gone.deb",
            "PACKAGE_MIRRORS": f"http://127.0.0.1:9/sds.deb {_FILE}",
        },
    ),
    _NEW(
        name="one mirror has another file, and another none",
        environment={"PACKAGE_MIRRORS": "{server}/gone.deb", "PACKAGE_SHA256": "0" * 64},
        model=dials(download_fails=True),
    ),
    _NEW(
        name="plain http to the scheduler itself",
        environment={"PACKAGE_ALLOW_HTTP": "", "PACKAGE_OWN": "{server}/"},
    ),
    _NEW(
        name="a file that is on the host already",
        environment={"PACKAGE_URL": "file:///srv/sds.deb"},
        real=f"curl -s -o /srv/sds.deb {_FILE}",
    ),
    _NEW(
        name="an interrupted download is left over",
        real=_LEFT_OVER,
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
    _THERE(name="another version is installed", environment={"PACKAGE_VERSION": "2.0-9999.1"}),
    _THERE(
        name="the package was removed",
        real="I_AM_SURE=1 dpkg --purge emc-scaleio-sds",
        model=_removed,
    ),
    _OLDER(name="an older version, and no leave to upgrade"),
    _OLDER(name="an upgrade without a permit", environment=_UPGRADE),
    _OLDER(name="an upgrade with a permit", environment={**_UPGRADE, **_PERMIT}),
    _THERE(
        name="an upgrade while the service does not run",
        environment=_UPGRADE,
        real=f"systemctl stop sds; {_OLD}",
        model=together(stopped("sds"), _IS_OLD),
    ),
    _NEWER(name="a newer version, and leave to upgrade", environment=_UPGRADE),
    _NEWER(
        name="a downgrade with leave and permit",
        environment={"PACKAGE_DOWNGRADE": "yes", **_PERMIT},
    ),
    _THERE(
        name="an upgrade of a package on hold",
        environment={**_UPGRADE, **_PERMIT},
        real=f"{_OLD}; {status_field(_PACKAGE, 'Status', 'hold ok installed')}",
        model=together(_IS_OLD, marked("held", _PACKAGE)),
    ),
    _NEW(
        name="the file has another version than the catalog says",
        environment={"PACKAGE_VERSION": "2.0-10000.2073"},
        model=dials(version_wrong=True),
    ),
    _THERE(
        name="its installation was cut short, without a permit",
        real=f"systemctl stop sds; {_CUT_SHORT}",
        model=together(stopped("sds"), half_installed(_PACKAGE)),
    ),
    _THERE(
        name="its installation was cut short",
        environment=_PERMIT,
        real=_CUT_SHORT,
        model=half_installed(_PACKAGE),
    ),
    _THERE(
        name="its program is gone",
        environment=_PERMIT,
        real=_PROGRAM_GONE,
        model=marked("damaged", _PACKAGE),
    ),
    _THERE(
        name="its program is gone, without a permit",
        real=_PROGRAM_GONE,
        model=marked("damaged", _PACKAGE),
    ),
    _THERE(
        name="its program was cut by a power cut, and it stopped",
        real=": >/opt/emc/scaleio/sds/bin/sds; systemctl stop sds",
        model=together(stopped("sds"), marked("damaged", _PACKAGE)),
    ),
    _THERE(
        name="no boot starts it",
        real="systemctl disable --quiet sds",
        model=not_enabled("sds"),
    ),
    _THERE(
        name="it is masked",
        real="systemctl mask --quiet sds",
        model=together(marked("masked", "sds"), not_enabled("sds")),
    ),
    _THERE(
        name="an earlier step's package manager still runs",
        environment={"PACKAGE_WAIT_S": "1"},
        real=_PACKAGE_MANAGER,
        model=dials(packages_running=True),
    ),
    _THERE(
        name="a receipt was damaged",
        real="echo '{\"step' >/var/lib/scaleio-framework/receipt.d/prerequisites.json",
        model=_without_receipt,
    ),
    _THERE(
        name="the receipts are gone",
        real="rm -r /var/lib/scaleio-framework/receipt*",
        model=lambda host: host.receipts.clear(),
    ),
    _THERE(name="the state folder is full", real=FULL_STATE, model=dials(full="state")),
)
