"""The survey's text as the real script prints it: frames of base64 around raw outputs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from simulation import host_frames
from simulation.host_disks import SimulatedDisk
from simulation.host_packages import database_name

if TYPE_CHECKING:
    from simulation.host import SimulatedHost

_SERVICES = ("sds", "scini", "rexray")
_BINARY = "ab" * 32  # the digest of any program


def frame(name: str, text: str, status: int = 0) -> str:
    """One frame of a survey."""
    encoded = base64.b64encode(text.encode()).decode()
    lines = "".join(f"{encoded[at : at + 76]}\n" for at in range(0, len(encoded), 76))
    return f"@begin {name}\n{lines}@end {name} {status}\n"


def result_line(
    step: str, *, changed: bool, reason: str, extra: Mapping[str, str | int] | None = None
) -> str:
    members = {"step": step, "changed": changed, "reason": reason, **(extra or {})}
    return f"@result {json.dumps(members, separators=(',', ':'))}\n"


def survey_text(host: SimulatedHost) -> str:
    """What the survey step prints on this host now."""
    frames = [*_system(host), *_software(host), *_agent(host), *_storage(host)]
    for rows in (
        host_frames.system, host_frames.packages, host_frames.services, host_frames.module,
        host_frames.agent,
    ):  # fmt: skip
        frames += [frame(name, text, status) for name, text, status in rows(host)]
    for number, disk in enumerate(host.disks):
        frames += _disk(number, disk)
    end = result_line("survey", changed=False, reason="surveyed", extra={"frames": len(frames)})
    return "".join(frames) + end


def _system(host: SimulatedHost) -> Iterable[str]:
    release = f'NAME="Simulated"\nID={host.os.os_id}\nVERSION_ID="{host.os.version}"\n'
    if host.os.like:
        release += f'ID_LIKE="{host.os.like}"\n'
    yield frame("os-release", release)
    yield frame("uname", f"{host.kernel} x86_64\n")
    yield frame("boot-id", f"{host.boot_id}\n")
    yield frame("machine-id", f"{host.machine_id}\n")
    yield frame("init", "systemd\n" if host.os.init == "systemd" else "init\n")
    upstart = host.os.init == "upstart"
    yield frame("init-version", "init (upstart 1.12.1)\n" if upstart else "", 0 if upstart else 127)


def _software(host: SimulatedHost) -> Iterable[str]:
    is_deb = host.os.family == "deb"
    there = {**host.packages, "dpkg" if is_deb else "rpm": "1.0"}
    deb = "".join(f"{name} install ok installed {v}\n" for name, v in there.items())
    rpm = "".join(f"{name} {version}\n" for name, version in there.items())
    yield frame("packages-deb", deb if is_deb else "", 1 if is_deb else 127)
    yield frame("packages-rpm", "" if is_deb else rpm, 127 if is_deb else 1)
    brought = host.installed_by_us - host.unpacked.keys()
    names = sorted(database_name(host, component) for component in brought)
    yield frame("brought", "".join(f"{name}\t1\n" for name in names), int(not names))
    for tool in ("rexray", "dvdcli"):
        yield from _tool(host, tool)
    for service in _SERVICES:
        yield frame(f"service.{service}", *_service(host, service))


def _tool(host: SimulatedHost, tool: str) -> Iterable[str]:
    """Its file, and our own record of it where it came in an archive."""
    there = tool in host.packages or tool in host.unpacked
    version = host.unpacked.get(tool, "")
    yield frame(f"binary.{tool}", f"{_BINARY}  /usr/bin/{tool}\n" if there else "", int(not there))
    yield frame(f"unpacked.{tool}", f"{version} {_BINARY}\n" if version else "", int(not version))


def _service(host: SimulatedHost, service: str) -> tuple[str, int]:
    runs = service in host.services
    if host.os.init == "systemd":
        return ("active\n", 0) if runs else ("inactive\n", 3)
    if host.os.init == "sysvinit":
        return (f"{service} is running\n", 0) if runs else (f"{service} is stopped\n", 3)
    return (
        (f"{service} start/running, process 7\n", 0) if runs else (f"{service} stop/waiting\n", 0)
    )


def _agent(host: SimulatedHost) -> Iterable[str]:
    flags = {"isolation": ",".join(host.isolation), "launcher": host.launcher}
    if host.agent_resources:
        flags["resources"] = host.agent_resources
    text = json.dumps({"flags": flags}).replace("/", "\\/")  # as Mesos does
    status = 0 if host.tells_flags else 22 if "curl" in host.packages else 127
    yield frame("agent-flags", "" if status else text, status)
    yield frame("public-key", host.public_key, 0 if host.public_key else 1)
    known = "openssl" in host.packages
    yield frame("openssl", "OpenSSL 3.0.15 3 Sep 2024\n" if known else "", 0 if known else 127)
    entries = [
        {"step": r.step, "state": r.state, "boot_id": r.boot_id, **r.more}
        for r in host.receipts.values()
    ]
    receipt = json.dumps({"version": 1, "entries": entries}) if entries else ""
    yield frame("receipt", receipt, 0 if entries else 1)
    config = host.files.get("/etc/rexray/config.yml")
    line = f"{digest(config)}  /etc/rexray/config.yml\n" if config is not None else ""
    yield frame("rexray-config", line, 0 if config is not None else 1)
    points = "".join(_points(config or ""))
    yield frame("rexray-points", points, 0 if config is not None else 2)


def _points(config: str) -> Iterable[str]:
    """What the file says of its cluster; ours is kept as what the step was told."""
    told = {"GATEWAY_ENDPOINT": "endpoint", "SYSTEM_ID": "systemID", "SYSTEM_NAME": "systemName"}
    by_id = any(line.startswith("SYSTEM_ID=") for line in config.splitlines())
    for line in config.splitlines():
        name, equals, value = line.partition("=")
        key = line.strip().partition(":")[0]
        if equals and name in told and not (by_id and name == "SYSTEM_NAME"):
            yield f"  {told[name]}: {value}\n"
        elif key in told.values() and not equals:
            yield f"{line}\n"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _storage(host: SimulatedHost) -> Iterable[str]:
    there = host.has_sdc
    up = there and host.module_loaded
    yield frame("guid", f"{host.sdc_guid}\n" if up else "", 0 if up else 127 if not there else 1)
    clusters = [ips for ips in (host.mdm_ips, host.foreign_mdm_ips) if ips]
    query = f"Retrieved {len(clusters)} mdm(s)\n{''.join(map(_cluster, clusters))}" if up else ""
    yield frame("mdms", query, 0 if up else 127 if not there else 1)
    file = f"ini_guid {host.sdc_guid}\nmdm {','.join(host.mdm_ips)}\n" if there else ""
    yield frame("drv-cfg-file", file, 0 if there else 1)
    loaded = host.module_loaded
    yield frame("module", "live\n" if loaded else "", 0 if loaded else 1)
    yield frame("mountinfo", "".join(_mount(n, d) for n, d in enumerate(host.disks)))
    swaps = "".join(f"{disk.path} partition 1 0 -2\n" for disk in host.disks if disk.swap)
    yield frame("swaps", f"Filename Type Size Used Priority\n{swaps}")
    denied = "".join(f"{line}\n" for line in host.denied)
    yield frame("deny", denied, 0 if denied else 1)
    links = "".join(f"{link} {disk.path}\n" for disk in host.disks for link in disk.links)
    yield frame("links", links)
    yield frame("aliases", "")
    yield frame("btrfs", "")
    yield frame("config", "".join(f"{disk.configured}\n" for disk in host.disks if disk.configured))
    for look in ("opened", "opened-again"):
        yield frame(look, "".join(_open(number, disk) for number, disk in enumerate(host.disks)))


def _open(number: int, disk: SimulatedDisk) -> str:
    return f"8:{16 * number:x} {4000 + number} {disk.opener}\n" if disk.opener else ""


def _cluster(addresses: tuple[str, ...]) -> str:
    listed = " ".join(f"[{n}]-{address}" for n, address in enumerate(addresses))
    return f"MDM-ID 1 SDC ID 2 INSTALLATION ID 3 IPs {listed}\n"


def _mount(number: int, disk: SimulatedDisk) -> str:
    if not disk.mounted_at:
        return ""
    part = 1 if disk.partitions else 0
    source = f"{disk.path}{part or ''}"
    device = f"8:{16 * number + part}"
    return f"2{number} 1 {device} / {disk.mounted_at} rw,relatime - ext4 {source} rw\n"


def _disk(number: int, disk: SimulatedDisk) -> Iterable[str]:
    names = "".join(f"{disk.name}{n + 1} " for n in range(disk.partitions))
    values = [
        f"node={disk.path}",
        f"sysfs={disk.name}",
        f"path={disk.sysfs}",
        f"device=8:{16 * number}",
        f"size={disk.size_bytes // 512}",
        f"ro={int(disk.read_only)}",
        f"removable={int(disk.removable)}",
        "partition=",
        "transport=pcie" if disk.transport == "nvme" else "transport=",
        "dm-uuid=",
        "rotational=1",
        "logical=512",
        "physical=4096",
        f"model={disk.model}",
        f"partitions={names}",
        "slaves=",
        *(f"partition-device=8:{16 * number + n + 1}" for n in range(disk.partitions)),
        f"holders={' '.join(disk.holders)}",
    ]
    yield frame(f"disk.{number}.sysfs", "".join(f"{value}\n" for value in values))
    claimed = "DM_MULTIPATH_DEVICE_PATH=1\n" if disk.multipath else ""
    yield frame(f"disk.{number}.udev", f"DEVNAME={disk.path}\n{claimed}")
    found = f"DEVNAME={disk.path}\nTYPE={disk.signature or 'dos'}\n"
    yield frame(f"disk.{number}.blkid", "" if disk.is_blank else found, 2 if disk.is_blank else 0)
    listed = "" if disk.is_blank else f"{disk.offset},,,{disk.signature or 'dos'}\n"
    yield frame(f"disk.{number}.wipefs", listed)
    yield frame(f"disk.{number}.open", "", 0 if disk.is_free else 1)
    if disk.is_free and disk.is_blank:
        yield frame(f"disk.{number}.zero", "", 0 if disk.zero else 1)
