"""What is known of one host: observed by a survey, never remembered in place of looking."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Disk:
    """One block device as the survey saw it. Sizes in bytes."""

    path: str  # kernel name, /dev/sdb: changes between boots, never stored alone
    by_id: str = ""  # /dev/disk/by-id/...: what is stored and given to the Gateway; "" if none
    size_bytes: int = 0
    kind: str = "disk"  # disk, part, loop, rom, dm, md, mpath, scini
    transport: str = ""  # sata, sas, nvme, virtio, xen, fc, iscsi, usb; "" unknown
    read_only: bool = False
    removable: bool = False
    partitions: int = 0
    holders: int = 0  # device-mapper, md, bcache devices that stand on it
    signature: str = ""  # type that blkid -p found; "" none
    mounted: bool = False
    system: bool = False  # carries /, /boot, or swap
    exclusive: bool = False  # could be opened with O_EXCL
    zero: bool = False  # first and last 16 MiB and 256 samples between are all zero
    denied: bool = False  # listed in /etc/scaleio-framework/devices.deny
    mesos: bool = False  # named by the Mesos agent's own disk resources
    links: tuple[str, ...] = ()  # every name under /dev/disk/by-id and by-path


@attrs.frozen(kw_only=True)
class Receipt:
    """A change of ours that the host is still watching (DESIGN section 4, agent restart)."""

    step: str
    state: str  # open, kept, rolled-back


@attrs.frozen(kw_only=True)
class Facts:
    """One survey. Absent things are empty strings, zero, or false, never missing."""

    machine_id: str
    boot_id: str
    os_id: str  # /etc/os-release ID: debian, ubuntu, centos, rhel, ...
    os_version: str  # VERSION_ID
    os_like: tuple[str, ...] = ()
    kernel: str  # uname -r
    architecture: str = "x86_64"  # uname -m
    init: str = "systemd"  # systemd, upstart, sysvinit; "" when process 1 is no init system
    packages: Mapping[str, str] = attrs.field(factory=dict)  # sds, sdc, rexray, dvdcli -> version
    prerequisites: bool = False  # what the prerequisites step brings is there
    services: Mapping[str, bool] = attrs.field(factory=dict)  # sds, scini, rexray -> is active
    sdc_guid: str = ""  # upper-case UUID from drv_cfg --query_guid
    sdc_mdms: tuple[str, ...] = ()  # addresses from drv_cfg --query_mdms
    sdc_module: bool = False  # scini is loaded in the running kernel
    rexray_config: str = ""  # digest of what our step wrote; "" when it never did
    isolation: tuple[str, ...] = ()  # the Mesos agent's effective isolators
    launcher: str = ""
    public_key: str = ""  # PEM of the host key for sealed secrets; "" before prerequisites
    oaep_digest: str = "sha256"  # what the host's openssl opens: sha1 before openssl 1.0.2
    disks: tuple[Disk, ...] = ()
    receipts: tuple[Receipt, ...] = ()
