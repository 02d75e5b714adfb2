"""The storage client: package, module, and the list of managers."""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import SimulatedHost
from tests.lab.situations.table import (
    FULL_STATE,
    HOLD_LOCK,
    MANAGERS,
    OTHER_PLATFORM,
    QUICKLY,
    STATE,
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
    with_values,
)

_NEW: Final = partial(Situation, step="sdc", base="prepared")
_THERE: Final = partial(Situation, step="sdc", base="connected")
_FIRST: Final = MANAGERS[0]
_OTHERS: Final = ("127.0.19.1", "127.0.19.2")  # nobody is there
_NO_MODULE: Final = with_values(module_loaded=False)
_PACKAGE: Final = "emc-scaleio-sdc"
_UPGRADE: Final = {"PACKAGE_UPGRADE": "yes"}
_OLD: Final = status_field(_PACKAGE, "Version", "2.0-7536")
_IS_OLD: Final = version(_PACKAGE, "2.0-7536")
_MAPPED: Final = "touch /dev/scinia"  # a volume's node, as the driver makes one
_IDENTITY: Final = "/bin/emc/scaleio/drv_cfg.txt"


def _forget(host: SimulatedHost) -> None:
    host.mdm_ips = ()


def _waits(host: SimulatedHost) -> None:
    host.write_receipt("sdc", "open")


ROWS: Final = (
    _NEW(name="a prepared host"),
    _NEW(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _NEW(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _NEW(name="an unsupported kernel", environment={"SUPPORTED_KERNELS": "3.10.0-* 4.4.0-38"}),
    _NEW(name="no managers are named", environment={"MDM_IP": ""}),
    _NEW(
        name="the server does not have the file",
        environment={"PACKAGE_URL": "{server}/gone.deb"},
        model=dials(download_fails=True),
    ),
    _NEW(
        name="a wrong checksum",
        environment={"PACKAGE_SHA256": "0" * 64},
        model=dials(checksum_wrong=True),
    ),
    _THERE(name="already done"),
    _THERE(
        name="the service was stopped",
        real="systemctl stop scini",
        model=together(stopped("scini"), _NO_MODULE),
    ),
    _THERE(
        name="the service does not come up",
        environment=QUICKLY,
        real=broken_service("scini"),
        model=together(stopped("scini"), _NO_MODULE, dials(service_fails="scini")),
    ),
    _THERE(
        name="the service runs without its module",
        environment=QUICKLY,
        real="rm /sys/module/scini/initstate",
        model=_NO_MODULE,
    ),
    _THERE(
        name="there is no module for this kernel",
        environment=QUICKLY,
        # The package was always so.
        real="echo 3.10.0-1 >/opt/emc/scaleio/sdc/kernels.txt; systemctl restart scini\n"
        f"dpkg --verify {_PACKAGE} | sed -n '/^..5/p' >{STATE}/verified/{_PACKAGE}",
        model=together(_NO_MODULE, dials(module_missing=True)),
    ),
    _THERE(name="one manager was replaced", wish={"mdm_addresses": (_FIRST, _OTHERS[0])}),
    _THERE(name="one manager went", wish={"mdm_addresses": (_FIRST,)}),
    _THERE(name="the managers in another order", wish={"mdm_addresses": tuple(reversed(MANAGERS))}),
    _THERE(name="it serves another cluster", wish={"mdm_addresses": _OTHERS}),
    _THERE(
        name="it serves two clusters",
        real=f"/opt/emc/scaleio/sdc/bin/drv_cfg --add_mdm --ip {','.join(_OTHERS)} "
        "--file /bin/emc/scaleio/drv_cfg.txt",
        model=with_values(foreign_mdm_ips=_OTHERS),
    ),
    _THERE(
        name="it knows no managers",
        real="systemctl stop scini; sed -i /^mdm/d /bin/emc/scaleio/drv_cfg.txt\n"
        "systemctl start scini",
        model=_forget,
    ),
    _THERE(name="another version is installed", environment={"PACKAGE_VERSION": "2.0-9999.1"}),
    _THERE(name="an older version, and no leave to upgrade", real=_OLD, model=_IS_OLD),
    _THERE(
        name="an upgrade, and no volume is mapped", environment=_UPGRADE, real=_OLD, model=_IS_OLD
    ),
    _THERE(
        name="an upgrade while a volume is mapped",
        environment=_UPGRADE,
        real=f"{_OLD}; {_MAPPED}",
        model=together(_IS_OLD, with_values(module_in_use=True)),
    ),
    _THERE(
        name="an upgraded module still waits for a reboot",
        real=f"{_MAPPED}; {STATE}/bin/receipt sdc open",
        model=together(with_values(module_in_use=True), _waits),
    ),
    _THERE(
        name="an upgraded module waited, and the volume went",
        real=f"{STATE}/bin/receipt sdc open",
        model=_waits,
    ),
    _THERE(
        name="an upgrade of an SDC that serves another cluster",
        environment=_UPGRADE,
        wish={"mdm_addresses": _OTHERS},
        real=_OLD,
        model=_IS_OLD,
    ),
    _THERE(
        name="its installation was cut short",
        real=status_field(_PACKAGE, "Status", "install ok half-configured"),
        model=half_installed(_PACKAGE),
    ),
    _THERE(
        name="drv_cfg is gone",
        real="rm /opt/emc/scaleio/sdc/bin/drv_cfg",
        model=marked("damaged", _PACKAGE),
    ),
    _THERE(
        name="no boot starts it",
        real="systemctl disable --quiet scini",
        model=not_enabled("scini"),
    ),
    _THERE(
        name="its own file was emptied by a power cut",
        real=f": >{_IDENTITY}",
        model=with_values(identity_lost=True),
    ),
    _THERE(
        name="its own file was emptied, and it started as another SDC",
        real=f"systemctl stop scini; : >{_IDENTITY}; systemctl start scini",
        model=with_values(identity_lost=True),
    ),
    _THERE(
        name="the receipts are gone",
        real=f"rm -r {STATE}/receipt*",
        model=lambda host: host.receipts.clear(),
    ),
    _THERE(name="the state folder is full", real=FULL_STATE, model=dials(full="state")),
)
