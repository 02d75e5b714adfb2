"""What speaks against a host, in sentences: before anything is tried, and for whoever looks at it.

`concerns` are shown; `hindrance` keeps a step from being tried. Where a fact is not known, nobody
is warned and nothing is held up: the step itself finds out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from domain.facts import Facts, Space

MIB: Final = 1024**2
SKEW_S: Final = 60.0  # certificates and receipts are judged by the clock
LOW_BYTES: Final = 256 * MIB  # logs and package lists fill this in days
LOW_SHARE: Final = 10  # of a small file system (/boot) that part is little
LOW_INODES: Final = 2000  # a package of the storage server brings some hundred files
LISTS_BYTES: Final = 128 * MIB  # apt's lists of one Debian release: 19 to 55 MiB, and the archives
MARGIN_BYTES: Final = 16 * MIB  # package database, logs, receipts
PACKAGE: Final = -1  # in place of a figure: as much as the catalog's file
NEEDS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "prerequisites": (("/var", LISTS_BYTES), ("state", MIB)),
    "sds": (("sandbox", PACKAGE), ("/opt", PACKAGE), ("/var", MARGIN_BYTES)),
    "sdc": (("sandbox", PACKAGE), ("/opt", PACKAGE), ("/var", MARGIN_BYTES)),
    "rexray": (("sandbox", PACKAGE), ("/", PACKAGE), ("/var", MARGIN_BYTES)),
    "isolator": (("sandbox", PACKAGE), ("/", PACKAGE), ("state", MIB)),
}
COMPONENTS: Final[Mapping[str, str]] = {
    "sds": "sds", "sdc": "sdc", "rexray": "rexray", "isolator": "dvdcli"
}  # fmt: skip
# The oldest releases whose tools the scripts are written for.
OLDEST: Final[Mapping[str, tuple[int, ...]]] = {
    "debian": (8,), "ubuntu": (14, 4), "centos": (7,), "rhel": (7,), "ol": (7,),
    "rocky": (8,), "almalinux": (8,), "scientific": (7,),
}  # fmt: skip


def too_old(facts: Facts) -> str:
    """Why the release is none that we know; "" where it is, or where nobody tells its version."""
    oldest = OLDEST.get(facts.os_id)
    parts = facts.os_version.split(".")
    if oldest is None or not all(part.isascii() and part.isdigit() for part in parts):
        return ""
    if tuple(int(part) for part in parts) >= oldest:
        return ""
    first = ".".join(f"{part:02}" if at else str(part) for at, part in enumerate(oldest))
    return f"{facts.os_id} {facts.os_version} is too old: {first} or newer is supported"


def hindrance(step: str, facts: Facts, package_bytes: int) -> str:
    """Why the step cannot work on this host as it is now; "" when nothing known speaks against it.

    `package_bytes` is what the step would download where nothing is installed yet.
    """
    if step not in NEEDS or COMPONENTS.get(step, "") in facts.packages:
        return ""
    if facts.database.state == "unreadable" and (package_bytes or step == "prerequisites"):
        tool = "dpkg" if facts.database.manager == "apt" else "rpm"
        return f"the package database cannot be read: mend it on the host ({tool})"
    needs = [
        (folder, package_bytes if needed == PACKAGE else needed) for folder, needed in NEEDS[step]
    ]
    return _no_room(facts.space, needs) if package_bytes or step == "prerequisites" else ""


def _no_room(spaces: Iterable[Space], needs: Iterable[tuple[str, int]]) -> str:
    """Folders of one file system need their room together."""
    by_folder = {space.folder: space for space in spaces if space.free_bytes >= 0}
    wanted: dict[str, tuple[list[str], int, Space]] = {}
    for folder, needed in needs:
        space = by_folder.get(folder)
        if space is not None:
            folders, total, _ = wanted.get(space.mount, ([], 0, space))
            wanted[space.mount] = ([*folders, folder], total + needed, space)
    for folders, total, space in wanted.values():
        if space.free_bytes < total:
            return (
                f"too little room in {_named(folders)}: {_mib(space.free_bytes)} are free, "
                f"{_mib(total)} are needed; make room on the host's {space.mount}"
            )
        if 0 <= space.free_inodes < LOW_INODES:
            return (
                f"too few inodes in {_named(folders)}: {space.free_inodes} are free, {LOW_INODES} "
                f"are needed; remove files on the host's {space.mount}"
            )
    return ""


def concerns(facts: Facts, *, read_at: float = 0.0) -> tuple[str, ...]:
    """What an operator should know of the host. `read_at`: unix time when the survey was read."""
    return (
        *_clock(facts, read_at),
        *_database(facts),
        *_low(facts.space),
        *_agent(facts),
        *_services(facts),
        *_clusters(facts),
    )


def _clock(facts: Facts, read_at: float) -> Iterable[str]:
    skew_s = facts.clock - read_at
    if facts.clock and read_at and abs(skew_s) > SKEW_S:
        where = "ahead of" if skew_s > 0 else "behind"
        yield (
            f"its clock is {abs(skew_s):.0f} s {where} ours: TLS and receipts depend on it; set up "
            "time synchronization on the host"
        )
    elif facts.clock_synced == "no":
        yield "nothing keeps its clock right: set up time synchronization (NTP) on the host"


def _database(facts: Facts) -> Iterable[str]:
    database = facts.database
    match database.state:
        case "locked":
            yield (
                f"{database.holder} holds the package database: steps that install are tried "
                "again until it is free"
            )
        case "damaged":
            named = f" ({', '.join(database.broken[:5])})" if database.broken else ""
            yield (
                f"dpkg was interrupted{named}: the prerequisites step brings it to its end when it "
                "runs, else do it on the host (dpkg --configure -a)"
            )
        case "unreadable":
            yield "the package database cannot be read: nothing can be installed"
        case _:
            pass


def _low(spaces: Iterable[Space]) -> Iterable[str]:
    """Each file system once, by the first of its folders."""
    seen: set[str] = set()
    for space in spaces:
        if not space.mount or space.mount in seen:
            continue
        seen.add(space.mount)
        if 0 <= space.free_bytes < min(LOW_BYTES, space.size_bytes // LOW_SHARE):
            yield f"little room in {space.mount}: {_mib(space.free_bytes)} are free"
        if 0 <= space.free_inodes < LOW_INODES:
            yield f"few inodes in {space.mount}: {space.free_inodes} are free"


def _agent(facts: Facts) -> Iterable[str]:
    if facts.contained == "yes":
        yield "its Mesos agent runs in a container: nothing is installed on the host from there"
    elif facts.agent.start == "hand":
        yield (
            "its Mesos agent was started by hand: it does not come back after a reboot, and its "
            "settings cannot be changed"
        )
    if facts.agent.processes > 1:
        yield f"{facts.agent.processes} Mesos agents run on it: name the one's unit (-agent.unit)"


def _services(facts: Facts) -> Iterable[str]:
    ours = ["sds", "scini", "rexray", *([facts.agent.unit] if facts.agent.unit else [])]
    for name in ours:
        service = facts.states.get(name)
        if service is None:
            continue
        if service.state == "failed":
            yield f"service {name} has failed: see its log on the host"
        elif service.state == "active" and service.boot == "disabled":
            yield f"service {name} runs, but is not started at boot: enable it on the host"


def _clusters(facts: Facts) -> Iterable[str]:
    if len(facts.sdc_clusters) > 1:
        named = ", ".join(c.system_id or "/".join(c.addresses) for c in facts.sdc_clusters)
        yield f"its SDC belongs to {len(facts.sdc_clusters)} storage clusters ({named})"


def _named(folders: Iterable[str]) -> str:
    words = {"sandbox": "the sandbox", "state": "/var/lib/scaleio-framework"}
    return " and ".join(dict.fromkeys(words.get(folder, folder) for folder in folders))


def _mib(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count // 1024} KiB"
