"""The root file system of lab hosts: a bare Debian, made once by debootstrap, kept in a cache.

It holds an init system, and what the stand-in executor of Mesos needs. It lacks what our steps
bring: curl, openssl, libaio, numactl.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "udev", "iproute2", "procps", "kmod", "util-linux",
    "e2fsprogs", "lvm2", "libstdc++6", "zlib1g", "libsasl2-2", "python3",
)  # fmt: skip
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TOOLS: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "losetup": "mount",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "dpkg-deb": "dpkg",
}  # program -> Debian package
_RECIPE: Final = 2  # raised when the tree changes without its list of packages
_URI: Final = re.compile(r"^URIs: *(\S+)|^deb +(?:\[[^]]*\] *)?(\S+)", re.MULTILINE)


def missing_needs() -> list[str]:
    """What this machine lacks to boot hosts: sentences for people; empty when it can."""
    from tests.real_mesos.library import missing_needs as mesos_needs

    missing = mesos_needs()
    if os.geteuid() != 0:
        missing.append("booted hosts need root: run the lab as root")
    if not Path("/dev/loop-control").exists():
        missing.append("/dev/loop-control is missing: the kernel has to offer loop devices")
    if not Path("/sys/fs/cgroup/freezer").is_dir():
        missing.append("cgroup v1 with a freezer hierarchy is missing: Mesos 1.11 needs it")
    if not _archive():
        missing.append(f"no Debian archive among apt's sources on this {platform.system()}")
    for tool, package in _TOOLS.items():
        if shutil.which(tool, path=SYSTEM_PATH) is None:
            missing.append(f"{tool} is missing: apt-get install {package}")
    return missing


def cache_dir() -> Path:
    chosen = os.environ.get("LAB_CACHE")
    path = Path(chosen) if chosen else Path.home() / ".cache" / "scaleio-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def prepare() -> Path:
    """The tree's folder; never written to by a host. Made in about a minute when it is new."""
    return cached("tree", f"{_RECIPE} {SUITE} {PACKAGES}", _build)


def cached(kind: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled once for this recipe. One process makes it."""
    cache = cache_dir()
    ready = cache / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with _alone(cache / "lock"):
        if not ready.exists():
            work = Path(tempfile.mkdtemp(prefix="build-", dir=cache))
            try:
                make(work)
                work.rename(ready)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return ready


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(work: Path) -> None:
    work.chmod(0o755)
    call("debootstrap", "--variant=minbase", SUITE, str(work), _archive())
    call("chroot", str(work), "apt-get", "-q", "update")
    install = ("apt-get", "-q", "-y", "--no-install-recommends", "install", *PACKAGES)
    call("chroot", str(work), *install)
    call("chroot", str(work), "apt-get", "clean")
    (work / "etc/machine-id").write_text("")  # each host gets its own
    (work / "var/log/journal").mkdir(exist_ok=True)  # what hosts log outlives their reboots
    (work / "etc/hostname").unlink(missing_ok=True)
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer"):
        call("systemctl", f"--root={work}", "mask", unit)


def call(*command: str) -> None:
    """Without our PATH: in tests it holds traps, and these programs act on the tree only."""
    program = shutil.which(command[0], path=SYSTEM_PATH)
    assert program is not None, command
    done = subprocess.run(
        [program, *command[1:]],
        env={"PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stdout[-2000:]}")


def _archive() -> str:
    """Of the machine's own apt sources."""
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*.sources")]
    for source in sources:
        if source.is_file() and (found := _URI.search(source.read_text(errors="replace"))):
            return found.group(1) or found.group(2)
    return ""
