"""The volume driver: package, sealed secret, configuration, service."""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import SimulatedHost
from tests.lab.situations.table import (
    FULL_STATE,
    HOLD_LOCK,
    OTHER_PLATFORM,
    QUICKLY,
    STATE,
    Situation,
    broken_service,
    dials,
    half_installed,
    platform,
    status_field,
    stopped,
    together,
    version,
    with_values,
)

_NEW: Final = partial(Situation, step="rexray", base="connected")
_THERE: Final = partial(Situation, step="rexray", base="driven")
_CONFIG: Final = "/etc/rexray/config.yml"
_OTHER_KEY: Final = "MDEyMzQ1Njc4OQ=="
_SOCKETLESS: Final = """
mkdir -p /etc/systemd/system/rexray.service.d
printf '[Service]\\nExecStart=\\nExecStart=/bin/sleep infinity\\n' \\
    >/etc/systemd/system/rexray.service.d/lab.conf
systemctl daemon-reload
systemctl stop rexray
"""
_UPGRADE: Final = {"PACKAGE_UPGRADE": "yes"}
_OLD: Final = status_field("rexray", "Version", "0.9.2-1")


def _configured(system: str) -> str:
    """Somebody else's file."""
    return (
        "mkdir -p /etc/rexray; printf '%s\\n' 'libstorage:' '  service: scaleio' 'scaleio:' "
        f"'  endpoint: \"https://gateway.example.invalid/api\"' '  systemID: {system}' "
        f"'  userName: me' >{_CONFIG}"
    )


def _theirs(host: SimulatedHost) -> None:
    host.files[_CONFIG] = (
        f"  endpoint: https://gateway.example.invalid/api\n  systemID: {'f' * 16}\n"
    )


def _empty(host: SimulatedHost) -> None:
    host.files[_CONFIG] = ""


def _edit(host: SimulatedHost) -> None:
    host.files[_CONFIG] += "# edited\n"


def _lose(host: SimulatedHost) -> None:
    del host.files[_CONFIG]


ROWS: Final = (
    _NEW(name="a host with an SDC"),
    _NEW(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _NEW(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _NEW(name="the Gateway's user is missing", environment={"GATEWAY_USER": ""}),
    _NEW(name="the system is not named", environment={"SYSTEM_ID": ""}),
    _NEW(
        name="a wrong checksum",
        environment={"PACKAGE_SHA256": "0" * 64},
        model=dials(checksum_wrong=True),
    ),
    _NEW(name="a secret for another key", environment={"SEALED_PASSWORD": _OTHER_KEY}),
    _NEW(name="a secret that is no base64", environment={"SEALED_PASSWORD": "A"}),
    _NEW(
        name="the host's key is gone",
        real=f"rm {STATE}/host_key.pem {STATE}/host_key.pub",
        model=with_values(key=None),
    ),
    _NEW(
        name="the Gateway does not answer",
        environment=QUICKLY,
        wish={"gateway_endpoint": "https://127.0.0.1:9/api"},
        model=dials(service_fails="rexray"),
    ),
    _THERE(name="already done"),
    _THERE(name="the service was stopped", real="systemctl stop rexray", model=stopped("rexray")),
    _THERE(
        name="the service does not come up",
        environment=QUICKLY,
        real=broken_service("rexray"),
        model=together(stopped("rexray"), dials(service_fails="rexray")),
    ),
    _THERE(
        name="the service offers no socket",
        environment=QUICKLY,
        real=_SOCKETLESS,
        model=together(stopped("rexray"), dials(socket_missing=True)),
    ),
    _THERE(name="its file was edited", real=f"echo '# edited' >>{_CONFIG}", model=_edit),
    _THERE(name="its file is gone", real=f"rm {_CONFIG}", model=_lose),
    _THERE(name="its settings changed", wish={"thick": True}),
    _THERE(name="the password changed", wish={"secret_tag": "another"}),
    _NEW(
        name="somebody's file for another cluster",
        real=_configured("f" * 16),
        model=_theirs,
    ),
    _THERE(
        name="somebody's file for our cluster",
        real=_configured("{system}"),
        model=_edit,
    ),
    _THERE(name="its file was emptied by a power cut", real=f": >{_CONFIG}", model=_empty),
    _THERE(
        name="an older version, and no leave to upgrade",
        real=_OLD,
        model=version("rexray", "0.9.2-1"),
    ),
    _THERE(
        name="an upgrade",
        environment=_UPGRADE,
        real=_OLD,
        model=version("rexray", "0.9.2-1"),
    ),
    _THERE(
        name="its installation was cut short",
        real=status_field("rexray", "Status", "install ok half-configured"),
        model=half_installed("rexray"),
    ),
    _THERE(
        name="the receipts are gone",
        real=f"rm -r {STATE}/receipt*",
        model=lambda host: host.receipts.clear(),
    ),
    _THERE(name="another version is installed", environment={"PACKAGE_VERSION": "0.12.0"}),
    _THERE(
        name="its file was edited, and the state folder is full",
        real=f"echo '# edited' >>{_CONFIG}\n{FULL_STATE}",
        model=together(_edit, dials(full="state")),
    ),
    _THERE(
        name="its settings changed, and the state folder is full",
        wish={"thick": True},
        real=FULL_STATE,
        model=dials(full="state"),
    ),
)
