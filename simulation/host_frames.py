"""What a simulated host tells of its system, packages, services, room and agent: raw outputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

Row = tuple[str, str, int]  # of one frame: name, output, exit status

SERVICES: Final = (
    "sds", "scini", "rexray", "lia", "mdm", "scaleio-gateway", "docker", "mesos-slave",
    "mesos-agent",
)  # fmt: skip
OWN_FRAMES: Final = frozenset({"sds", "scini", "rexray"})  # whatever the init system
ROOMS: Final[Mapping[str, str]] = {
    "root": "/", "opt": "/", "var": "/", "boot": "/", "tmp": "/", "state": "/", "sandbox": "/",
}  # fmt: skip
ROOM_KB: Final = 40 * 1024**2
LOCK_FILE: Final[Mapping[str, str]] = {
    "deb": "/var/lib/dpkg/lock-frontend", "rpm": "/var/lib/rpm/.rpm.lock",
}  # fmt: skip
HALF_DONE: Final = "libhalf1"
_RELEASES: Final[Mapping[str, str]] = {
    "debian": "debian_version={}.5", "ubuntu": "debian_version=jessie/sid",
    "centos": "system-release=CentOS Linux release {}.9.2009 (Core)",
}  # fmt: skip


def system(host: SimulatedHost) -> Iterable[Row]:
    release = _RELEASES.get(host.os.os_id, "").format(host.os.version)
    yield "release-files", f"{release}\n.\n" if release else ".\n", 0
    yield "uptime", "4000.00 8000.00\n", 0
    yield "timedatectl", "", 127
    yield "chronyc", "", 127
    yield "ntpq", "", 127
    for room, mount in ROOMS.items():
        free_kb = 0 if room == host.dials.no_room else ROOM_KB
        yield f"space.{room}", _df(mount, free_kb), 0


def _df(mount: str, free_kb: int) -> str:
    size_kb = 2 * ROOM_KB
    return (
        "Filesystem     1024-blocks     Used Available Capacity Mounted on\n"
        f"/dev/sda1 {size_kb} {size_kb - free_kb} {free_kb} 50% {mount}\n"
        "Filesystem       Inodes  IUsed    IFree IUse% Mounted on\n"
        f"/dev/sda1 16777216 559617 16217599 4% {mount}\n"
    )


def packages(host: SimulatedHost) -> Iterable[Row]:
    deb = host.os.family == "deb"
    programs = ("apt-get", "dpkg") if deb else ("yum", "rpm")
    yield "package-tools", "".join(f"/usr/bin/{program}\n" for program in programs), 0
    lines = [f"file={LOCK_FILE[host.os.family]} 2049 4711"]
    if host.dials.packages_locked:
        lines += ["lock=1: POSIX  ADVISORY  WRITE 812 08:01:4711 0 EOF", "holder=812 python3"]
    yield "package-locks", _ended(lines), 0
    half = f"The following packages are only half configured\n {HALF_DONE}  a library\n"
    told = f"{half}audit=1" if host.dials.packages_half_done else "audit=0"
    yield "dpkg-repair", _ended([told]) if deb else "", 0 if deb else 127


def services(host: SimulatedHost) -> Iterable[Row]:
    if host.os.init == "systemd":
        yield "units", "\n".join(_unit(host, name) for name in SERVICES), 0
        yield "job-files", _ended([]), 0
        return
    yield "job-files", _ended(line for name in SERVICES for line in _job_file(host, name)), 0
    for name in SERVICES:
        if name not in OWN_FRAMES:
            yield f"service.{name}", *_status(host, name)


def _status(host: SimulatedHost, name: str) -> tuple[str, int]:
    if not is_known(host, name):
        return "", 1
    if host.os.init == "upstart":
        return f"{name} start/running, process 700\n" if runs(host, name) else (
            f"{name} stop/waiting\n"
        ), 0
    return (f"{name} is running\n", 0) if runs(host, name) else (f"{name} is stopped\n", 3)


def _unit(host: SimulatedHost, name: str) -> str:
    if not is_known(host, name):
        return f"Id={name}.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n"
    active = runs(host, name)
    return (
        f"MainPID={700 if active else 0}\nId={name}.service\nLoadState=loaded\n"
        f"ActiveState={'active' if active else 'inactive'}\n"
        f"SubState={'running' if active else 'dead'}\n"
        f"FragmentPath=/lib/systemd/system/{name}.service\n"
        f"UnitFileState={'enabled' if _starts_at_boot(host, name) else 'disabled'}\n"
    )


def _job_file(host: SimulatedHost, name: str) -> Iterable[str]:
    if not is_known(host, name):
        return
    if host.os.init == "upstart":
        yield f"file=/etc/init/{name}.conf"
        yield "start on runlevel [2345]" if _starts_at_boot(host, name) else "manual"
        return
    yield f"file=/etc/init.d/{name}"
    if _starts_at_boot(host, name):
        yield f"file=/etc/rc3.d/S90{name}"


def is_known(host: SimulatedHost, name: str) -> bool:
    match name:
        case "sds":
            return any(package.lower() == "emc-scaleio-sds" for package in host.packages)
        case "scini":
            return host.has_sdc
        case "rexray":
            return name in host.packages or bool(host.unpacked.get(name))
        case _:
            return name == host.agent_unit


def runs(host: SimulatedHost, name: str) -> bool:
    return not host.dials.agent_down if name == host.agent_unit else name in host.services


def _starts_at_boot(host: SimulatedHost, name: str) -> bool:
    return name in host.enabled or (name == host.agent_unit and not host.dials.agent_down)


def agent(host: SimulatedHost) -> Iterable[Row]:
    closed = 22 if "curl" in host.packages else 127
    answers = "curl" in host.packages and not host.dials.agent_down
    version = json.dumps({"version": "1.11.0"})
    yield "agent-version", version if answers else "", 0 if answers else closed
    folder = f"/etc/{host.agent_unit}/"
    files = [f"{folder}launcher"] if host.agent_style == "files" else []
    yield "agent-files", _ended(files), 0
    systemd = host.os.init == "systemd"
    yield "process.init", _process(1, "/init.scope" if systemd else "/"), 0
    unit = f"/system.slice/{host.agent_unit}.service" if systemd else "/"
    yield "process.self", _process("self", unit), 0
    if not host.dials.agent_down:
        yield "process.agent3", _process(700, unit, ("flag=launcher", "flag=work_dir")), 0


def _process(pid: int | str, cgroup: str, flags: Iterable[str] = ()) -> str:
    told = (f"pid={pid}", "exe=/usr/sbin/mesos-slave", "root=2049:2", *flags)
    return _ended((*told, f"cgroup=1:name=systemd:{cgroup}"))


def module(host: SimulatedHost) -> Iterable[Row]:
    """A driver of the lab is no file of the kernel's, and tells no version."""
    yield "module-version", "", 1
    yield "module-file", "", 127 if host.os.family == "rpm" else 1


def _ended(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (*lines, "."))
