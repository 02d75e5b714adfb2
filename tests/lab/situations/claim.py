"""The last look at disks."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.lab.situations.table import (
    CONTAINER,
    DISK,
    HOLD_LOCK,
    NODE,
    SECOND,
    Situation,
    dials,
    disk,
)

_BARE: Final = partial(Situation, step="claim", base="bare")
MAKE_EXT4: Final = f"mke2fs -q -t ext4 -E nodiscard,lazy_itable_init=1 {NODE}"
_EXT4: Final = disk(signature="ext4", zero=False)
_DECLARED: Final = {"devices": (), "devices_declared": (DISK,)}
_OVERWRITTEN: Final = {"devices": (), "devices_overwrite": (DISK,)}
DATA: Final = f"yes data | head -c 4096 | dd of={NODE} conv=notrunc status=none"
IN_USE: Final = f"""
systemd-run --quiet python3 -c '
import os, pathlib, signal
os.open("{NODE}", os.O_RDWR | os.O_EXCL)
pathlib.Path("/run/held").touch()
signal.pause()'
until [ -e /run/held ]; do sleep 0.05; done
"""
OPEN_TOO: Final = IN_USE.replace("os.O_RDWR | os.O_EXCL", "os.O_RDONLY")  # as qemu has its disks
PARTITION: Final = (
    f"printf '\\000\\000\\000\\000\\203\\000\\000\\000\\000\\010\\000\\000\\000\\000\\001\\000' "
    f"| dd of={NODE} bs=1 seek=446 conv=notrunc status=none\n"
    f"printf '\\125\\252' | dd of={NODE} bs=1 seek=510 conv=notrunc status=none"
)


def _deny(line: str) -> str:
    return f"mkdir -p /etc/scaleio-framework; echo '{line}' >/etc/scaleio-framework/devices.deny"


ROWS: Final = (
    _BARE(name="an empty disk"),
    _BARE(name="two empty disks, one named by the operator", wish={"devices_declared": (SECOND,)}),
    _BARE(name="a name that nothing has", wish={"devices": ("/dev/disk/by-id/scsi-gone",)}),
    _BARE(name="no block device", wish={"devices": ("/dev/null",)}),
    _BARE(name="a missing setting", environment={"DEVICES": ""}),
    _BARE(name="the lock is held", real=HOLD_LOCK, model=dials(lock_held=True)),
    _BARE(name="in a container", inside=CONTAINER, model=dials(no_init=True)),
    _BARE(name="a file system", real=MAKE_EXT4, model=_EXT4),
    _BARE(name="a file system, declared", wish=_DECLARED, real=MAKE_EXT4, model=_EXT4),
    _BARE(
        name="a file system that may be overwritten", wish=_OVERWRITTEN, real=MAKE_EXT4, model=_EXT4
    ),
    _BARE(
        name="mounted, although it may be overwritten",
        wish=_OVERWRITTEN,
        real=f"{MAKE_EXT4}\nmkdir -p /data; mount {NODE} /data",
        model=disk(signature="ext4", zero=False, mounted_at="/data"),
    ),
    _BARE(
        name="a volume of LVM",
        real=f"pvcreate -q {NODE}",
        model=disk(signature="LVM2_member", zero=False),
    ),
    _BARE(
        name="swap space that is not in use",
        real=f"mkswap {NODE}",
        model=disk(signature="swap", zero=False),
    ),
    _BARE(name="a partition table", real=PARTITION, model=disk(signature="dos", zero=False)),
    _BARE(name="data without a signature", real=DATA, model=disk(zero=False)),
    _BARE(
        name="data without a signature, declared",
        wish=_DECLARED,
        real=DATA,
        model=disk(zero=False),
    ),
    _BARE(
        name="data in the last block only",
        real=f"echo data | dd of={NODE} bs=1 seek=$(($(blockdev --getsize64 {NODE}) - 512)) "
        "conv=notrunc status=none",
        model=disk(zero=False),
    ),
    _BARE(name="denied by its node", real=_deny(NODE), model=lambda host: host.denied.append(NODE)),
    _BARE(
        name="denied by a pattern",
        wish=_OVERWRITTEN,
        real=_deny("/dev/disk/by-id/scsi-lab-*  # not this one"),
        model=lambda host: host.denied.append("/dev/disk/by-id/scsi-lab-*"),
    ),
    _BARE(name="read-only", real=f"blockdev --setro {NODE}", model=disk(read_only=True)),
    _BARE(name="open in another program", real=IN_USE, model=disk(in_use=True)),
    _BARE(
        name="open in another program, which leaves it to others too",
        wish=_OVERWRITTEN,
        real=OPEN_TOO,
        model=disk(opened_by="python3"),
    ),
    _BARE(
        name="named in crypttab",
        wish=_DECLARED,
        real=f"echo 'swap {NODE} /dev/urandom swap' >>/etc/crypttab",
        model=disk(configured=f"/etc/crypttab:swap {NODE} /dev/urandom swap"),
    ),
    _BARE(
        name="a partition of it named in fstab, though it has none now",
        real=f"echo '{DISK}-part1 /data ext4 noauto 0 0' >>/etc/fstab",
        model=disk(configured=f"/etc/fstab:{DISK}-part1 /data ext4 noauto 0 0"),
    ),
    _BARE(
        name="named in a comment, and rejected by LVM's filter",
        real=f"""mkdir -p /etc/lvm; printf '\\tfilter = [ "r|{NODE}|" ]\\n' >/etc/lvm/lvm.conf
echo '# {NODE} /data ext4' >>/etc/fstab""",
        model=lambda _: None,
    ),
    _BARE(
        name="the second of two holds data",
        wish={"devices": (DISK, SECOND)},
        real=DATA.replace(NODE, SECOND),
        model=disk(SECOND, zero=False),
    ),
)
