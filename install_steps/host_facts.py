"""The host in a survey: its release, clock, package database, services and free space.

What a survey does not tell, or not wholly, stays unknown: nothing lost makes a host look better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.facts import Cluster, PackageDatabase, Service, Space
from install_steps.frames import (
    ABSENT,
    TIMED_OUT,
    Frame,
    assignments,
    first_line,
    number,
    sound,
    whole,
)

SPACES: Final[Mapping[str, str]] = {
    "root": "/", "opt": "/opt", "var": "/var", "boot": "/boot",
    "tmp": "/tmp",  # noqa: S108  # a name, nothing is written there
    "state": "state", "sandbox": "sandbox",
}  # fmt: skip
SERVICES: Final = (
    "sds", "scini", "rexray", "lia", "mdm", "scaleio-gateway", "docker", "mesos-slave",
    "mesos-agent",
)  # fmt: skip
TOOLS: Final = frozenset(
    {
        "emc-scaleio-lia", "emc-scaleio-mdm", "emc-scaleio-gateway", "mesos", "libaio",
        "libaio1", "libaio1t64", "numactl", "openssl", "curl", "ca-certificates",
    }
)  # fmt: skip
MADE_BY: Final[Mapping[str, str]] = {"deb": "dpkg", "rpm": "rpm"}  # is in its own database
_RPM_RELEASES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "CentOS": ("centos", ("rhel", "fedora")),
    "Red Hat Enterprise Linux": ("rhel", ("fedora",)),
    "Oracle Linux": ("ol", ("fedora",)),
    "Rocky Linux": ("rocky", ("rhel", "centos", "fedora")),
    "AlmaLinux": ("almalinux", ("rhel", "centos", "fedora")),
    "Scientific Linux": ("scientific", ("rhel", "fedora")),
}
_RPM_RELEASE: Final = re.compile(
    r"([A-Z][A-Za-z ]+?)(?: Linux| Server| Stream)* release (\d[\d.]*)"
)
_LOCK: Final = re.compile(r"lock=\d+: \w+ +\S+ +WRITE +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ")
_SYNCED: Final = re.compile(r"(?:NTP|System clock) synchronized: (yes|no)")
_DF: Final = re.compile(r"\s(\d+)\s+(-?\d+)\s+(-?\d+)\s+(?:\d+%|-)\s+(/.*)$")
_CLUSTER: Final = re.compile(r"MDM-ID (\w+) ")
_ADDRESS: Final = re.compile(r"\[\d+\]-([0-9A-Fa-f.:]+)")
_STATES: Final[Mapping[str, str]] = {
    "active": "active", "reloading": "active", "activating": "starting", "failed": "failed",
    "inactive": "inactive", "deactivating": "inactive", "maintenance": "failed",
}  # fmt: skip
_BOOT: Final[Mapping[str, str]] = {
    "enabled": "enabled", "enabled-runtime": "enabled", "disabled": "disabled",
    "masked": "disabled", "masked-runtime": "disabled", "linked": "disabled",
}  # fmt: skip


@attrs.frozen(kw_only=True)
class Release:
    os_id: str = ""
    version: str = ""
    like: tuple[str, ...] = ()
    told_by: str = "os-release"


def release_of(frames: Mapping[str, Frame]) -> Release:
    """By os-release; a host that has none, or one without a version, by its older files."""
    told = assignments(sound(frames, "os-release"))
    release = Release(
        os_id=told.get("ID", "").lower(),
        version=told.get("VERSION_ID", ""),
        like=tuple(told.get("ID_LIKE", "").lower().split()),
    )
    if release.os_id and release.version:
        return release
    for older in _older_releases(whole(frames, "release-files") or ()):
        if not release.os_id:
            return older
        if older.os_id == release.os_id:
            like = release.like or older.like
            return attrs.evolve(release, version=release.version or older.version, like=like)
    return release


def _older_releases(lines: Iterable[str]) -> Iterable[Release]:
    lsb: dict[str, str] = {}
    for line in lines:
        file, _, text = line.partition("=")
        found = _RPM_RELEASE.match(text)
        known = _RPM_RELEASES.get(found.group(1)) if found else None
        if known is None and found:
            known = _RPM_RELEASES.get(f"{found.group(1)} Linux")
        if file == "lsb-release":
            lsb |= assignments(text)
        elif file == "debian_version":
            yield from _debian(lsb, text)
        elif known and found:
            yield Release(os_id=known[0], version=found.group(2), like=known[1], told_by=file)


def _debian(lsb: Mapping[str, str], version: str) -> Iterable[Release]:
    """Ubuntu has this file too, with the name of a Debian release; lsb-release stands before."""
    name = lsb.get("DISTRIB_ID", "").lower()
    if name == "ubuntu":
        number_ = lsb.get("DISTRIB_RELEASE", "")
        yield Release(os_id=name, version=number_, like=("debian",), told_by="lsb-release")
    elif version[:1].isdigit():
        yield Release(os_id="debian", version=version.partition(".")[0], told_by="debian_version")


# -- clock ------------------------------------------------------------------------------------


def clock_of(frames: Mapping[str, Frame]) -> tuple[int, int, int]:
    """Unix time at the end, uptime, and how long the survey took."""
    begin, end = (number(first_line(frames, f"clock-{edge}")) for edge in ("begin", "end"))
    uptime_s = number(first_line(frames, "uptime").partition(".")[0])
    return end, uptime_s, max(0, end - begin) if begin and end else 0


def clock_synced(frames: Mapping[str, Frame]) -> str:
    words = set(_SYNCED.findall(sound(frames, "timedatectl")))
    chrony = re.search(r"^Leap status +: (.+)$", sound(frames, "chronyc"), re.MULTILINE)
    if chrony:
        words.add("no" if chrony.group(1).startswith("Not") else "yes")
    peers = sound(frames, "ntpq")
    if "refid" in peers:
        words.add("yes" if re.search(r"^[*o]", peers, re.MULTILINE) else "no")
    return "yes" if "yes" in words else "no" if "no" in words else ""


# -- packages -----------------------------------------------------------------------------------


def tools_of(installed: Mapping[str, str]) -> dict[str, str]:
    """What we need and what others manage, by the name in the database."""
    return {name: version for name, version in sorted(installed.items()) if name in TOOLS}


def database_of(
    frames: Mapping[str, Frame], family: str, installed: Mapping[str, str]
) -> PackageDatabase:
    programs = {
        line.rpartition("/")[2] for line in sound(frames, "package-tools").splitlines() if line
    }
    managers = {"deb": {"apt-get": "apt"}, "rpm": {"dnf": "dnf", "yum": "yum"}}.get(family, {})
    manager = next((name for program, name in managers.items() if program in programs), "")
    if not family:
        return PackageDatabase()
    locks = whole(frames, "package-locks")
    repair = whole(frames, "dpkg-repair") if family == "deb" else ("audit=0",)
    broken = _half_done(repair or ())
    holder = _holder(locks or ())
    query = frames.get(f"packages-{family}", ABSENT)
    readable = MADE_BY[family] in installed
    if holder:
        state = "locked"  # and whatever is half done now is its work
    elif not readable and query.status < TIMED_OUT:
        state = "unreadable"
    elif broken or any(_is_unfinished(line) for line in repair or ()):
        state = "damaged"
    elif not readable or locks is None or not {"audit=0", "audit=1"} & set(repair or ()):
        state = ""
    else:
        state = "free"
    return PackageDatabase(manager=manager, state=state, holder=holder, broken=broken)


def _half_done(lines: Iterable[str]) -> tuple[str, ...]:
    """`dpkg --audit` sets names off by one blank, and says nothing where all is well."""
    names = [line.split()[0] for line in lines if re.match(r" [a-z0-9]", line)]
    return tuple(dict.fromkeys(names))


def _is_unfinished(line: str) -> bool:
    """A note of dpkg that was not merged into its database: their names are numbers."""
    name = line.removeprefix("/var/lib/dpkg/updates/")
    return name != line and name.isdigit()


def _holder(lines: Iterable[str]) -> str:
    files: list[tuple[int, int]] = []
    locks: list[tuple[str, tuple[int, int], int]] = []
    names: dict[str, str] = {}
    for line in lines:
        words = line.split()
        if found := _LOCK.match(line):
            device = (int(found.group(2), 16), int(found.group(3), 16))
            locks.append((found.group(1), device, number(found.group(4))))
        elif line.startswith("file=") and len(words) == 3:
            files.append((number(words[1]), number(words[2], -1)))
        elif line.startswith("holder=") and len(words) > 1:
            names[words[0].removeprefix("holder=")] = words[1]
        elif line.startswith("pid=") and len(words) > 2:
            return words[2]  # yum and dnf write a file, and this process lives
    for pid, device, inode in locks:
        if any(inode == own and _same_device(device, told) for told, own in files):
            return names.get(pid, "another program")
    return ""


def _same_device(kernels: tuple[int, int], told: int) -> bool:
    """Overlays and btrfs tell programs another number than the kernel's list has."""
    mine = (told >> 8 & 0xFFF, told & 0xFF | told >> 12 & 0xFFF00)
    return kernels == mine or not (kernels[0] or mine[0])


# -- services -----------------------------------------------------------------------------------


def services_of(frames: Mapping[str, Frame], init: str) -> dict[str, Service]:
    files = _job_files(frames)
    if init == "systemd":
        return _units(frames, files)
    if not init:
        return dict.fromkeys(SERVICES, Service())
    return {name: _job(frames, files, init, name) for name in SERVICES}


def _units(
    frames: Mapping[str, Frame], files: Mapping[str, tuple[str, ...]] | None
) -> dict[str, Service]:
    found = {name: Service() for name in SERVICES}
    for block in sound(frames, "units").split("\n\n"):
        told = dict(line.partition("=")[::2] for line in block.splitlines())
        name = told.get("Id", "").removesuffix(".service")
        if name not in found:
            continue
        if told.get("LoadState") == "not-found":
            found[name] = Service(state="absent")
            continue
        state = _STATES.get(told.get("ActiveState", ""), "")
        if frames.get(f"service.{name}", ABSENT).text.strip() == "activating":
            state = "starting"  # it does not stay, and is active for moments only
        boot = _BOOT.get(told.get("UnitFileState", "")) or _linked(files, name)
        found[name] = Service(state=state, boot=boot)
    return found


def _job(
    frames: Mapping[str, Frame],
    files: Mapping[str, tuple[str, ...]] | None,
    init: str,
    name: str,
) -> Service:
    frame = frames.get(f"service.{name}")
    if files is None or frame is None or frame.status >= TIMED_OUT:
        return Service()
    if not _known(files, name):
        return Service(state="absent")
    runs = frame.status == 0 and "stop/waiting" not in frame.text
    boot = _linked(files, name)
    if f"/etc/init/{name}.conf" in files and init == "upstart":
        started = any(line.startswith("start on") for line in files[f"/etc/init/{name}.conf"])
        by_hand = any(
            line.startswith("manual")
            for file in (f"/etc/init/{name}.conf", f"/etc/init/{name}.override")
            for line in files.get(file, ())
        )
        boot = "enabled" if started and not by_hand else "disabled"
    return Service(state="active" if runs else "inactive", boot=boot)


def _job_files(frames: Mapping[str, Frame]) -> dict[str, tuple[str, ...]] | None:
    """File -> the lines of it that say when it is started."""
    lines = whole(frames, "job-files")
    if lines is None:
        return None
    files: dict[str, tuple[str, ...]] = {}
    file = ""
    for line in lines:
        if line.startswith("file="):
            file = line.removeprefix("file=")
            files[file] = ()
        elif file:
            files[file] += (line,)
    return files


def _known(files: Mapping[str, tuple[str, ...]], name: str) -> bool:
    return f"/etc/init/{name}.conf" in files or f"/etc/init.d/{name}" in files


def _linked(files: Mapping[str, tuple[str, ...]] | None, name: str) -> str:
    if files is None or f"/etc/init.d/{name}" not in files:
        return ""
    link = re.compile(rf"/etc/rc[2-5]\.d/S\d\d{re.escape(name)}")
    return "enabled" if any(link.fullmatch(file) for file in files) else "disabled"


# -- room, storage client -------------------------------------------------------------------------


def spaces_of(frames: Mapping[str, Frame]) -> tuple[Space, ...]:
    return tuple(
        _space(folder, frame.text)
        for name, folder in SPACES.items()
        if (frame := frames.get(f"space.{name}")) is not None
    )


def _space(folder: str, text: str) -> Space:
    """Of two tables of df; the second, if its columns are inodes, is told apart by its head."""
    space = Space(folder=folder)
    inodes = False
    for line in text.splitlines():
        if line.startswith("Filesystem"):
            inodes = "Inodes" in line
        elif row := _DF.search(line):
            total, free = number(row.group(1)), number(row.group(3))
            if inodes:
                space = attrs.evolve(space, free_inodes=free if total else -1)
            else:
                space = attrs.evolve(
                    space, mount=row.group(4), size_bytes=total * 1024, free_bytes=free * 1024
                )
    return space


def clusters_of(frames: Mapping[str, Frame]) -> tuple[Cluster, ...]:
    """What the driver uses; where it is not up, what stands in its file."""
    found = [
        Cluster(system_id=told.group(1), addresses=tuple(_ADDRESS.findall(line)))
        for line in sound(frames, "mdms").splitlines()
        if (told := _CLUSTER.search(line)) and _ADDRESS.search(line)
    ]
    if not found:
        for line in sound(frames, "drv-cfg-file").splitlines():
            words = line.replace(",", " ").split()
            if words[:1] == ["mdm"]:
                found.append(Cluster(addresses=tuple(words[1:])))
    return tuple(found)
