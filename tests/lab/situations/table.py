"""A situation is a row: which step, in which host, told what, and how host and model get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from simulation.host import SimulatedHost
from simulation.host_disks import SimulatedDisk

Prepare = Callable[[SimulatedHost], None]

DISK: Final = "/dev/disk/by-id/scsi-lab-xvdf"  # the host's first disk by its stable name
NODE: Final = "/dev/xvdf"
SECOND: Final = "/dev/xvdg"  # a disk without a stable name
MANAGERS: Final = ("{network}.251", "{network}.252")
VOLUME: Final = "/dev/disk/by-id/emc-vol-0000000000000001-0000000000000002"
STATE: Final = "/var/lib/scaleio-framework"

# How the real step is begun, where it is not simply a task. The step's `sh -c TEXT` follows.
CONTAINER: Final = ("unshare", "--pid", "--fork", "--mount-proc")
NOT_ROOT: Final = ("setpriv", "--reuid", "nobody", "--clear-groups")
SYSVINIT: Final = (
    "sh", "-euc",
    'cp /bin/sh /run/init; shift; exec unshare --pid --fork --mount-proc /run/init "$@"',
    "begin",
)  # fmt: skip
UNTIL_IT_SPOKE: Final = (
    "sh", "-uc",
    """
    "$@" >/run/spoken & step=$!
    until grep -q '^@result ' /run/spoken || ! kill -0 $step 2>/dev/null; do sleep 0.05; done
    kill -TERM $step 2>/dev/null
    status=0; wait $step || status=$?
    cat /run/spoken
    exit $status
    """,
    "begin",
)  # fmt: skip

HOLD_LOCK: Final = """
mkdir -p /var/lib/scaleio-framework
systemd-run --quiet flock /var/lib/scaleio-framework/lock sh -c 'touch /run/held; exec sleep 600'
until [ -e /run/held ]; do sleep 0.05; done
"""
HOLD_PACKAGES: Final = """
systemd-run --quiet python3 -c '
import fcntl, pathlib, signal
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
pathlib.Path("/run/held").touch()
signal.pause()'
until [ -e /run/held ]; do sleep 0.05; done
"""
OTHER_PLATFORM: Final = "rm /etc/os-release; echo ID=gentoo >/etc/os-release"
FULL_SANDBOX: Final = "mount -t tmpfs -o size=4k tmpfs {sandbox}"
FULL_STATE: Final = """
mkdir -p /var/lib/scaleio-framework
cp -a /var/lib/scaleio-framework /run/state
mount -t tmpfs -o size=64k tmpfs /var/lib/scaleio-framework
cp -a /run/state/. /var/lib/scaleio-framework
filler=/var/lib/scaleio-framework/filler # page by page: a longer write may leave some free
while head -c 4096 /dev/zero >$filler 2>/dev/null; do filler=${filler}r; done
"""

AGENT_IS_BACK: Final = """
until python3 -c '
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen("http://{agent}/flags")
except urllib.error.HTTPError:
    pass
except OSError:
    sys.exit(1)'
do sleep 0.1; done
"""
QUICKLY: Final = {"SERVICE_WAIT_S": "2"}  # how long a step waits for a service


def broken_service(name: str) -> str:
    """It is stopped, and its program ends at once from now on."""
    return f"""
    mkdir -p /etc/systemd/system/{name}.service.d
    printf '[Service]\nType=simple\nExecStart=\nExecStart=/bin/false\n' \
        >/etc/systemd/system/{name}.service.d/lab.conf
    systemctl daemon-reload
    systemctl stop {name}.service
    """


def status_field(package: str, field: str, value: str) -> str:
    """The package database says so of a package."""
    return (
        f"sed -i '/^Package: {package}$/,/^$/s/^{field}: .*/{field}: {value}/' /var/lib/dpkg/status"
    )


def version(package: str, value: str) -> Prepare:
    """The same for the version in the model's database."""

    def change(host: SimulatedHost) -> None:
        host.packages[package] = value

    return change


def half_installed(package: str) -> Prepare:
    def change(host: SimulatedHost) -> None:
        host.half_installed[package] = host.packages.pop(package)

    return change


def marked(name: str, value: str) -> Prepare:
    """Add to one of the model's sets."""

    def change(host: SimulatedHost) -> None:
        found = getattr(host, name)
        assert isinstance(found, set), name
        found.add(value)

    return change


def not_enabled(service: str) -> Prepare:
    def change(host: SimulatedHost) -> None:
        host.enabled.discard(service)

    return change


def as_it_is(_host: SimulatedHost) -> None:
    """Nothing more is done to the model."""


@attrs.frozen(kw_only=True)
class Situation:
    """`before`: steps that have run since the boot. `wish` changes what the product knows,
    `environment` what it made of that ("" removes).

    `{server}`, `{sandbox}`, `{agent}` and `{network}` stand for what is known later.
    """

    name: str
    step: str
    base: str
    before: tuple[str, ...] = ()
    wish: Mapping[str, object] = attrs.field(factory=dict)
    environment: Mapping[str, str] = attrs.field(factory=dict)
    inside: tuple[str, ...] = ()
    real: str = ""
    model: Prepare = as_it_is

    @property
    def title(self) -> str:
        return f"{self.step}: {self.name}"


def dials(**values: object) -> Prepare:
    """Turn dials of the model."""

    def turn(host: SimulatedHost) -> None:
        for name, value in values.items():
            if not hasattr(host.dials, name):
                raise AttributeError(f"the model has no dial {name}")
            setattr(host.dials, name, value)

    return turn


def disk(path: str = NODE, **values: object) -> Prepare:
    """Change a disk of the model."""

    def change(host: SimulatedHost) -> None:
        found = host.disk_named(path)
        assert isinstance(found, SimulatedDisk), path
        for name, value in values.items():
            if not hasattr(found, name):
                raise AttributeError(f"a disk has no {name}")
            setattr(found, name, value)

    return change


def platform(**values: str) -> Prepare:
    """Change what os-release says."""

    def change(host: SimulatedHost) -> None:
        host.os = attrs.evolve(host.os, **values)

    return change


def with_values(**values: object) -> Prepare:
    """Change what the model is."""

    def change(host: SimulatedHost) -> None:
        for name, value in values.items():
            if not hasattr(host, name):
                raise AttributeError(f"a simulated host has no {name}")
            setattr(host, name, value)

    return change


def stopped(*services: str) -> Prepare:
    def stop(host: SimulatedHost) -> None:
        host.services -= set(services)

    return stop


def together(*parts: Prepare) -> Prepare:
    def all_of_them(host: SimulatedHost) -> None:
        for part in parts:
            part(host)

    return all_of_them
