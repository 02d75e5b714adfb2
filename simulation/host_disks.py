"""Disks of a simulated host, and where the kernel shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

GIB: Final = 1024**3
_PCI: Final = "/sys/devices/pci0000:00/0000:"
_SYSFS: Final[Mapping[str, str]] = {
    "sata": "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/{}",
    "sas": _PCI + "02:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/{}",
    "scsi": "/sys/devices/pci0000:00/0000:03:00.0/host2/target2:0:0/2:0:0:0/block/{}",
    "nvme": "/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/{}",
    "virtio": "/sys/devices/pci0000:00/0000:00:05.0/virtio2/block/{}",
    "xen": "/sys/devices/vbd-51792/block/{}",
    "hyperv": "/sys/devices/LNXSYSTM:00/VMBUS:01/vmbus_0_1/host0/target0:0:0/0:0:0:0/block/{}",
    "fc": "/sys/devices/pci0000:00/0000:04:00.0/host3/rport-3:0-0/target3:0:0/3:0:0:0/block/{}",
    "iscsi": "/sys/devices/platform/host4/session1/target4:0:0/4:0:0:0/block/{}",
    "usb": _PCI + "00:14.0/usb1/1-1/1-1:1.0/host5/target5:0:0/5:0:0:0/block/{}",
    "": "/sys/devices/virtual/block/{}",
}
_OFFSETS: Final[Mapping[str, str]] = {
    "ext4": "0x438", "swap": "0xff6", "LVM2_member": "0x218", "dos": "0x1fe", "gpt": "0x200",
}  # fmt: skip


@attrs.define(kw_only=True)
class SimulatedDisk:
    """`serial` "": the host has no stable name for it. Not `zero`: there is data, signed or not."""

    name: str = "sdb"  # the kernel's
    node: str = ""  # "" : /dev/<name>; a lab's loop device is bound to another name
    size_bytes: int = 200 * GIB
    transport: str = "sata"
    serial: str = ""
    signature: str = ""
    partitions: int = 0
    holders: tuple[str, ...] = ()
    mounted_at: str = ""
    swap: bool = False
    in_use: bool = False  # opened by the SDS, or anybody
    zero: bool = True
    removable: bool = False
    read_only: bool = False
    multipath: bool = False  # multipathd has claimed it
    opened_by: str = ""  # a process that has it open, not alone
    configured: str = ""  # a line of a configuration file that names it: FILE:LINE
    model: str = "SIMULATED"

    @property
    def path(self) -> str:
        return self.node or f"/dev/{self.name}"

    @property
    def links(self) -> tuple[str, ...]:
        if not self.serial:
            return ()
        bus = {"sata": "ata", "nvme": "nvme", "virtio": "virtio"}.get(self.transport, "scsi")
        return (f"/dev/disk/by-id/{bus}-{self.serial}",)

    @property
    def sysfs(self) -> str:
        return _SYSFS[self.transport].format(self.name)

    @property
    def opener(self) -> str:
        """The program that has it open, alone or not."""
        return self.opened_by or ("sds" if self.in_use else "")

    @property
    def offset(self) -> str:
        """Where wipefs finds the signature."""
        return _OFFSETS.get(self.signature or "dos", "0x0")

    @property
    def is_free(self) -> bool:
        """Can be opened alone."""
        return not (self.in_use or self.mounted_at or self.swap or self.holders)

    @property
    def is_blank(self) -> bool:
        return not (self.signature or self.partitions)


def system_disk() -> SimulatedDisk:
    return SimulatedDisk(
        name="sda", serial="SYSTEM", size_bytes=64 * GIB, signature="gpt", partitions=1,
        mounted_at="/", zero=False,
    )  # fmt: skip


def empty_disks(count: int, *, size_bytes: int = 200 * GIB) -> tuple[SimulatedDisk, ...]:
    """sdb, sdc, ...: what most hosts of a scenario have."""
    return tuple(
        SimulatedDisk(name=f"sd{'bcdefghijklmnop'[n]}", serial=f"DISK{n}", size_bytes=size_bytes)
        for n in range(count)
    )
