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
    model: str = ""
    serial: str = ""
    wwn: str = ""
    rotational: bool = False
    logical_bytes: int = 0  # sector sizes; 0 where the kernel does not tell
    physical_bytes: int = 0
    multipath: bool = False  # multipathd has claimed it, whether or not a map stands on it
    opened: bool = False  # a process has it open, also without O_EXCL; or nobody could look
    configured: bool = False  # a file of the host's configuration names it; or nobody could look
    evidence: Mapping[str, str] = attrs.field(factory=dict)  # rule -> what was seen


@attrs.frozen(kw_only=True)
class Receipt:
    """A change of ours that the host is still watching (DESIGN section 4, agent restart)."""

    step: str
    state: str  # open, kept, rolled-back
    digest: str = ""  # of what was done, where it is not always the same


@attrs.frozen(kw_only=True)
class Service:
    """`state`: active, starting, failed, inactive, absent. `boot`: enabled, disabled. Or ""."""

    state: str = ""
    boot: str = ""


@attrs.frozen(kw_only=True)
class Space:
    """The file system of one folder. -1 where it is not known; inodes also where none run out."""

    folder: str  # /, /opt, /var, /boot, /tmp, state (what we keep), sandbox (the agent's work)
    mount: str = ""
    size_bytes: int = -1
    free_bytes: int = -1
    free_inodes: int = -1


@attrs.frozen(kw_only=True)
class PackageDatabase:
    """`state`: free, locked, damaged (dpkg has to be run again), unreadable; "" not known."""

    manager: str = ""  # apt, yum, dnf
    state: str = ""
    holder: str = ""  # the program that holds the lock
    broken: tuple[str, ...] = ()  # packages that dpkg has left half done


@attrs.frozen(kw_only=True)
class Cluster:
    """One storage cluster that the SDC knows; no `system_id` while the driver is down."""

    system_id: str = ""
    addresses: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class MesosAgent:
    """The agent on this host. `start`: systemd, upstart, sysvinit, hand, container; "" unknown."""

    version: str = ""
    start: str = ""
    unit: str = ""  # of its init system
    processes: int = 0  # agents that run here
    flags: Mapping[str, str] = attrs.field(factory=dict)  # those that we look at
    sources: Mapping[str, str] = attrs.field(factory=dict)  # flag -> where it is set
    modules: tuple[str, ...] = ()


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
    rexray_points: Mapping[str, str] = attrs.field(factory=dict)  # endpoint, systemid, systemname
    isolation: tuple[str, ...] = ()  # the Mesos agent's effective isolators
    launcher: str = ""
    public_key: str = ""  # PEM of the host key for sealed secrets; "" before prerequisites
    oaep_digest: str = "sha256"  # what the host's openssl opens: sha1 before openssl 1.0.2
    disks: tuple[Disk, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    unfinished: tuple[str, ...] = ()  # components that we brought, of whose step no receipt tells
    release: str = "os-release"  # the file that told os_id, where it was another
    clock: int = 0  # the host's unix time when the survey ended; 0 unknown
    uptime_s: int = 0
    took_s: int = 0  # by the host's own clock
    clock_synced: str = ""  # yes, no; "" when nothing there tells
    tools: Mapping[str, str] = attrs.field(factory=dict)  # what others bring -> version
    database: PackageDatabase = attrs.field(factory=PackageDatabase)
    states: Mapping[str, Service] = attrs.field(factory=dict)  # of every service we look at
    space: tuple[Space, ...] = ()
    sdc_clusters: tuple[Cluster, ...] = ()
    module_version: str = ""  # of the loaded scini
    module_file: str = ""  # where the running kernel would load scini from
    contained: str = ""  # yes: tasks, or the agent, do not live in the host's root; no; "" unknown
    agent: MesosAgent = attrs.field(factory=MesosAgent)
