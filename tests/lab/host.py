"""One lab host: a booted systemd with a root folder, an address and disks of its own.

Everything that a host uses ends with the process that started it: its root is mounted in a mount
namespace of its own, its processes live in a process namespace that is killed with its parent,
and its disks are loop devices that free themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

import attrs

from tests.lab.tree import SYSTEM_PATH
from tests.lab.tree_sysv import BOOTED, DISKS, SYSTEMD
from tests.scheduler_process import wait_for

REBOOT_STATUS: Final = 133  # of nspawn, when the host inside ordered a reboot
BOOT_S: Final = 120.0
GIB: Final = 1024**3
FREEZER: Final = Path("/sys/fs/cgroup/freezer")
CGROUPS: Final = (FREEZER, Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"))
WATCHES: Final = 4096
_WATCHES: Final = Path("/proc/sys/fs/inotify/max_user_instances")
_LOOP_SET_STATUS64: Final = 0x4C04
_LOOP_GET_STATUS64: Final = 0x4C05
_LOOP_INFO_BYTES: Final = 232
_LOOP_FLAGS_AT: Final = 52
_AUTOCLEAR: Final = 4
# The kernel's death signal follows the thread that made a process, not the process of the thread:
# one thread that lives as long as we do starts all hosts.
_STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="starter")

# Hosts that share a cgroup would end each other's services.
_BOOT: Final = """
set -eu
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$3"
    echo 0 >"$hierarchy/$3/cgroup.procs"
done
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
folder=$2
shift 3
status={again}
while [ "$status" = {again} ]; do
    status=0
    systemd-nspawn -q -D "$folder/root" "$@" </dev/null || status=$?
done
exit "$status"
"""


class HostError(Exception):
    """A host does not do what it should; the text says which, and what it said."""


@attrs.frozen(kw_only=True)
class DiskPlan:
    """A disk as the host sees it. `by_id` "": it has no stable name."""

    name: str = "xvdf"
    by_id: str = "virtio-lab-xvdf"
    size_bytes: int = 120 * GIB


@attrs.define(kw_only=True)
class Host:
    """`files`: path in the host -> text, there before the first boot. `binds`: same path inside.
    `init`: one of tree_sysv.INITS, which the tree has to fit."""

    name: str
    address: str
    folder: Path
    tree: Path
    disks: Sequence[DiskPlan] = ()
    binds: Sequence[str] = ()  # as nspawn's --bind takes them
    files: Mapping[str, str] = attrs.field(factory=dict)
    init: str = SYSTEMD
    unique: str = attrs.Factory(lambda self: f"lab-{os.getpid()}-{self.name}", takes_self=True)
    _wrapper: subprocess.Popen[bytes] | None = attrs.field(default=None, init=False)
    _console: IO[bytes] | None = attrs.field(default=None, init=False)
    _loops: dict[str, int] = attrs.field(factory=dict, init=False)  # device -> our descriptor

    # -- power --------------------------------------------------------------------------------

    def start(self) -> None:
        """Power on; `wait_booted` tells when it is up."""
        if self.is_on:
            raise HostError(f"{self.name} is on")
        _allow_many_watches()
        self._lay_out()
        self._console = (self.folder / "console.log").open("ab")
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation"]
        command += ["private", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        command += ["sh", "-c", _BOOT.format(again=REBOOT_STATUS)]
        command += ["boot", str(self.tree), str(self.folder), self.unique, *self._nspawn()]
        self._wrapper = _STARTER.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=self._console,
            env={"PATH": SYSTEM_PATH},
            start_new_session=True,
        ).result()

    def wait_booted(self, timeout_s: float = BOOT_S) -> None:
        def booted() -> bool:
            if not self.is_on:
                raise HostError(f"{self.name} is off: {self.console()[-1000:]}")
            if self.init != SYSTEMD:
                return not self.run("test", "-e", BOOTED, check=False).returncode
            state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            if state == "degraded":
                told = self.sh("systemctl --failed --no-legend; journalctl -q -p 4 | tail")
                raise HostError(f"{self.name}: {told}")
            return state == "running"

        wait_for(f"{self.name} is up", booted, timeout_s)

    @property
    def is_on(self) -> bool:
        return self._wrapper is not None and self._wrapper.poll() is None

    def cut(self) -> None:
        """The power goes, now."""
        for pid in (self.leader, self._first()):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """Off in any case, and nothing of it left but its folder."""
        if self.is_on:
            self.cut()
        for descriptor in self._loops.values():
            os.close(descriptor)
        self._loops.clear()
        self._remove_cgroups()

    def reset(self, saved: Path | None = None) -> None:
        """Off, and the next start finds a bare host, or what `save` has kept; disks are blank."""
        self.stop()
        for name in ("upper", "work", "root"):
            remove_folder(self.folder / name)
        for disk in self.disks:
            self.image(disk.name).unlink(missing_ok=True)
        if saved is not None:
            subprocess.run(["cp", "-a", str(saved), str(self.folder / "upper")], check=True)

    def save(self, target: Path) -> None:
        """Keep what was written to the root folder so far; the host is off then."""
        self.run("sync")
        self.cut()
        subprocess.run(["cp", "-a", str(self.folder / "upper"), str(target)], check=True)

    def _ended(self) -> None:
        wrapper, self._wrapper = self._wrapper, None
        if wrapper is None:
            return
        if self._wait(wrapper) is None:
            wrapper.kill()
            wrapper.wait()
        if self._console is not None:
            self._console.close()
            self._console = None

    @staticmethod
    def _wait(process: subprocess.Popen[bytes]) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(20)
        return None

    # -- what it is made of -------------------------------------------------------------------

    def _lay_out(self) -> None:
        first = not (self.folder / "upper").exists()
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if first:
            base = {
                "/etc/machine-id": f"{self._machine_id()}\n",
                "/etc/hostname": f"{self.name}\n",
                **self._stable_names(),
            }
            for path, text in {**base, **self.files}.items():
                self._write(path, text)
        for disk in self.disks:
            if disk.name not in self._loops:
                self._attach(disk)
        (FREEZER / self.unique).mkdir(exist_ok=True)

    def _stable_names(self) -> dict[str, str]:
        """What makes the links of disks at each boot."""
        by_id = {f"/dev/disk/by-id/{d.by_id}": f"/dev/{d.name}" for d in self.disks if d.by_id}
        if self.init == SYSTEMD:
            lines = [f"L {link} - - - - {node}\n" for link, node in by_id.items()]
            return {"/etc/tmpfiles.d/lab-disks.conf": "".join(lines)}
        lines = [f"mkdir -p {Path(link).parent}; ln -s {n} {link}\n" for link, n in by_id.items()]
        return {DISKS: "".join(lines)}

    def _machine_id(self) -> str:
        return hashlib.sha256(f"{self.folder}".encode()).hexdigest()[:32]

    def _write(self, path: str, text: str) -> None:
        target = self.folder / "upper" / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        if text.startswith("#!"):
            target.chmod(0o755)

    def image(self, disk: str) -> Path:
        """The file behind a disk."""
        return self.folder / f"{disk}.img"

    def _attach(self, disk: DiskPlan) -> None:
        image = self.image(disk.name)
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(disk.size_bytes)
        done = subprocess.run(
            ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
        )
        device = done.stdout.strip()
        subprocess.run(["blockdev", "--setrw", device], check=True)  # its last user may have not
        self._loops[disk.name] = descriptor = os.open(device, os.O_RDWR)
        info = bytearray(_LOOP_INFO_BYTES)
        fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, info)
        info[_LOOP_FLAGS_AT] |= _AUTOCLEAR
        fcntl.ioctl(descriptor, _LOOP_SET_STATUS64, bytes(info))

    def _nspawn(self) -> list[str]:
        options = [f"--machine={self.unique}", f"--hostname={self.name}"]
        options += ["--register=no", "--keep-unit", "--boot"]
        options += ["--console=pipe", "--capability=CAP_MKNOD", "--bind=/dev/loop-control"]
        for name, descriptor in self._loops.items():
            device = Path(f"/proc/self/fd/{descriptor}").readlink()
            options.append(f"--bind={device}:/dev/{name}")
        options.append(f"--bind={FREEZER / self.unique}:/mesos-cgroup/freezer")
        return [*options, *(f"--bind={bind}" for bind in self.binds)]

    def _remove_cgroups(self) -> None:
        for hierarchy in CGROUPS:
            top = hierarchy / self.unique
            folders = sorted((f for f in top.rglob("*") if f.is_dir()), key=str, reverse=True)
            for folder in [*folders, top]:
                with contextlib.suppress(OSError):  # something in it is ending still
                    folder.rmdir()

    # -- inside -------------------------------------------------------------------------------

    def _first(self) -> int:
        """The shell that keeps nspawn running: first process of the outer namespace."""
        return next(iter(_children(self._wrapper.pid)), 0) if self._wrapper is not None else 0

    @property
    def leader(self) -> int:
        """The host's process 1, as the machine numbers it; 0 while there is none.

        Before it is the init system it is nspawn's own, whose root folder still is the machine's.
        """
        for pid in (inner for nspawn in _children(self._first()) for inner in _children(nspawn)):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                if any(line.split()[-1] == "1" for line in status.splitlines() if "NSpid" in line):
                    program = Path(f"/proc/{pid}/exe").readlink().name
                    return 0 if program == "systemd-nspawn" else pid
        return 0

    def run(
        self,
        *command: str,
        check: bool = True,
        stdin: str = "",
        timeout_s: float = 300.0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A command in the host. Raises HostError when it fails (or, unchecked, never)."""
        leader = self.leader
        if not leader:
            if check:
                raise HostError(f"{self.name} is off, so it can't run {shlex.join(command)}")
            return subprocess.CompletedProcess(command, 255, "", "off")
        variables = {"PATH": SYSTEM_PATH, "LC_ALL": "C", **(environment or {})}
        done = subprocess.run(
            [
                *("nsenter", "--target", str(leader)),
                *("--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup"),
                *("env", "-i", *(f"{key}={value}" for key, value in variables.items())),
                *command,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
        if check and done.returncode:
            raise HostError(
                f"{self.name}: {shlex.join(command)}: status {done.returncode}: "
                f"{done.stdout[-1000:]}{done.stderr[-1000:]}"
            )
        return done

    def sh(self, text: str) -> str:
        """What a shell text prints in the host. Raises HostError when it fails."""
        return self.run("sh", "-euc", text).stdout

    def put(self, path: str, text: str, mode: str = "0644") -> None:
        self.run("sh", "-euc", 'mkdir -p "${1%/*}"; cat >"$1"; chmod "$2" "$1"', "put", path, mode,
                 stdin=text)  # fmt: skip

    @property
    def boot_id(self) -> str:
        """Empty while it is off."""
        command = ("cat", "/proc/sys/kernel/random/boot_id")
        return self.run(*command, check=False).stdout.strip()

    def console(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")


def _allow_many_watches() -> None:
    """An init system takes some twenty inotify instances, and hosts share the machine's limit."""
    if int(_WATCHES.read_text()) < WATCHES:
        _WATCHES.write_text(f"{WATCHES}\n")


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def remove_folder(folder: Path) -> None:
    """Overlay leaves a folder that only root may read."""
    shutil.rmtree(folder, ignore_errors=True)
