"""The survey itself: what it tells of hosts and disks, and where it refuses."""

from __future__ import annotations

from functools import partial
from typing import Final

from simulation.host import Receipt, SimulatedHost
from tests.lab.situations.claim import DATA, IN_USE, MAKE_EXT4, PARTITION
from tests.lab.situations.isolator import CLOSED, POSIX, STOPPED, set_flag
from tests.lab.situations.table import (
    CONTAINER,
    HOLD_LOCK,
    HOLD_PACKAGES,
    NODE,
    NOT_ROOT,
    OTHER_PLATFORM,
    SECOND,
    SYSVINIT,
    Situation,
    dials,
    disk,
    platform,
    stopped,
    together,
    with_values,
)

_BARE: Final = partial(Situation, step="survey", base="bare")
_CONNECTED: Final = partial(Situation, step="survey", base="connected")
_AGENT: Final = partial(Situation, step="survey", base="agent")
_OPEN_RECEIPT: Final = """
boot=$(cat /proc/sys/kernel/random/boot_id)
rm /var/lib/scaleio-framework/receipt.d/*
printf '{{"step":"reboot","state":"open","boot_id":"%s"}}\n' {} \
    >/var/lib/scaleio-framework/receipt.d/reboot.json
"""
_RESOURCES: Final = (
    '[{"name":"cpus","type":"SCALAR","scalar":{"value":2}},'
    '{"name":"disk","type":"SCALAR","scalar":{"value":1024},'
    '"disk":{"source":{"type":"PATH","path":{"root":"/dev/xvdf"}}}}]'
)

_HALF_DONE: Final = """
mkdir -p /run/half/DEBIAN
printf '%s\\n' 'Package: libhalf1' 'Version: 1' 'Architecture: all' \
    'Maintainer: the lab <lab@example.invalid>' 'Description: a library' >/run/half/DEBIAN/control
dpkg-deb --build /run/half /run/half.deb
dpkg --unpack /run/half.deb
"""


def _open_receipt(host: SimulatedHost, boot_id: str = "") -> None:
    host.receipts.clear()
    host.receipts["reboot"] = Receipt(step="reboot", state="open", boot_id=boot_id or host.boot_id)


def _by_hand(host: SimulatedHost) -> None:
    host.unpacked["rexray"] = ""


ROWS: Final = (
    _BARE(name="a bare host"),
    _BARE(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _BARE(name="not as root", inside=NOT_ROOT, model=dials(not_root=True)),
    _BARE(name="while the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _BARE(
        name="an unknown platform", real=OTHER_PLATFORM, model=platform(os_id="gentoo", version="")
    ),
    _BARE(
        name="while another program holds the package database",
        real=HOLD_PACKAGES,
        model=dials(packages_locked=True),
    ),
    _BARE(
        name="a package that is half done", real=_HALF_DONE, model=dials(packages_half_done=True)
    ),
    _BARE(name="a file system", real=MAKE_EXT4, model=disk(signature="ext4", zero=False)),
    _BARE(
        name="a mounted file system",
        real=f"{MAKE_EXT4}\nmkdir -p /data; mount {NODE} /data",
        model=disk(signature="ext4", zero=False, mounted_at="/data"),
    ),
    _BARE(name="a partition table", real=PARTITION, model=disk(signature="dos", zero=False)),
    _BARE(name="data without a signature", real=DATA, model=disk(zero=False)),
    _BARE(
        name="data without a signature on a small disk",
        real=DATA.replace(NODE, SECOND),
        model=disk(SECOND, zero=False),
    ),
    _BARE(name="a disk that is in use", real=IN_USE, model=disk(in_use=True)),
    _BARE(
        name="a disk that is read-only", real=f"blockdev --setro {NODE}", model=disk(read_only=True)
    ),
    _BARE(
        name="disks that are denied",
        real="mkdir -p /etc/scaleio-framework\n"
        f"printf '# ours\\n{NODE}\\n/dev/xvd[g-z] # more\\n' >/etc/scaleio-framework/devices.deny",
        model=lambda host: host.denied.extend((NODE, "/dev/xvd[g-z]")),
    ),
    _CONNECTED(name="an SDC"),
    _CONNECTED(
        name="an SDC that is stopped",
        real="systemctl stop scini",
        model=together(stopped("scini"), with_values(module_loaded=False)),
    ),
    _CONNECTED(
        name="a volume driver that nobody knows",
        real="printf '#!/bin/sh\\n' >/usr/bin/rexray; chmod 0755 /usr/bin/rexray",
        model=_by_hand,
    ),
    _CONNECTED(
        name="a reboot that is under way", real=_OPEN_RECEIPT.format("$boot"), model=_open_receipt
    ),
    _CONNECTED(
        name="a reboot that took place",
        real=_OPEN_RECEIPT.format("another"),
        model=lambda host: _open_receipt(host, "another"),
    ),
    Situation(name="everything is there", step="survey", base="whole"),
    _AGENT(name="an agent"),
    _AGENT(
        name="an agent that tells nobody its flags", real=CLOSED, model=dials(flags_closed=True)
    ),
    _AGENT(name="an agent with another launcher", real=POSIX, model=with_values(launcher="posix")),
    _AGENT(
        name="an agent that owns a disk",
        # Stopped before: one that registers just now would write the link again.
        real=f"{STOPPED}\nrm -f /var/lib/mesos/meta/slaves/latest\n"
        + set_flag("resources", _RESOURCES),
        model=with_values(agent_resources=_RESOURCES),
    ),
    Situation(name="an agent with the volume isolator", step="survey", base="isolated"),
    Situation(
        name="an old init system",
        step="survey",
        base="bare",
        inside=SYSVINIT,
        # The lab's agent is a unit of systemd, which no other init system knows.
        model=together(platform(init="sysvinit"), with_values(agent_unit="")),
    ),
)
