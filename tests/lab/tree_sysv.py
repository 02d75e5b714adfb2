"""The root file system of hosts without systemd: the Debian tree with sysvinit as process 1, and
cron, which every usual host has.

Upstart is not to be had in today's Debian: its hosts have the same process 1, as Ubuntu 14.04's is
called `init`, too, and an `initctl` that stands in for upstart's.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.lab import tree
from tests.lab.standins import init_script

SYSTEMD: Final = "systemd"
SYSVINIT: Final = "sysvinit"
UPSTART: Final = "upstart"
INITS: Final = (SYSTEMD, SYSVINIT, UPSTART)
BOOTED: Final = "/run/lab-booted"  # its presence says that the start scripts have ended
DISKS: Final = "/etc/lab-disks"  # a shell text that makes the stable names of disks
AGENT: Final = "mesos-slave"
_RECIPE: Final = 5  # raised when this tree changes without the first one's recipe
_INITTAB: Final = f"""id:2:initdefault:
si::sysinit:/etc/init.d/rcS
l0:0:wait:/etc/init.d/rc 0
ld:2:wait:/bin/sh {DISKS}
l2:2:wait:/etc/init.d/rc 2
lb:2:wait:/usr/bin/touch {BOOTED}
l6:6:wait:/etc/init.d/rc 6
"""
_AT_START: Final = ("hostname.sh", "bootmisc.sh")  # the rest is nspawn's work
# systemd stays installed, since others need its package, but nothing of it can be run.
_GONE: Final = ("usr/lib/systemd/systemd", "usr/bin/systemctl", "usr/bin/systemd-run")


def prepare() -> Path:
    """The tree's folder, made from the first one when it is new."""
    base = tree.prepare()
    return tree.cached("sysv", f"{base.name} {_RECIPE}", lambda work: _make(base, work)) / "root"


def agent_files(init: str, command: str) -> dict[str, str]:
    """How the Mesos agent is started there."""
    if init == UPSTART:
        return {f"/etc/init/{AGENT}.conf": init_script.job(command), **upstart_files()}
    return {f"/etc/init.d/{AGENT}": init_script.text(AGENT, command)}


def upstart_files() -> dict[str, str]:
    folder = Path(__file__).resolve().parent / "standins" / "upstart"
    return {
        "/usr/local/sbin/initctl": (folder / "initctl").read_text(),
        "/usr/local/sbin/service": (folder / "service").read_text(),
        "/etc/rc.local": "#!/bin/sh\n/usr/local/sbin/initctl emit runlevel\n",
    }


def _make(base: Path, work: Path) -> None:
    root = work / "root"
    tree.call("cp", "-a", str(base), str(root))
    tree.call("chroot", str(root), "apt-get", "-q", "update")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # the machine itself runs no service of the tree
    policy.chmod(0o755)
    install = ("apt-get", "-q", "-y", "--no-install-recommends", "--allow-remove-essential")
    tree.call("chroot", str(root), *install, "install", "sysvinit-core", "cron")
    tree.call("chroot", str(root), "apt-get", "clean")
    policy.unlink()
    (root / "etc/inittab").write_text(_INITTAB)
    for link in (root / "etc/rcS.d").glob("S*"):
        if link.name[3:] not in _AT_START:
            link.unlink()
    for link in root.glob("etc/rc[06].d/K*umount*"):
        link.unlink()  # a root that was made read-only stays so in the host's next boot
    for name in _GONE:
        (root / name).unlink(missing_ok=True)
    shutil.rmtree(root / "var/log/journal", ignore_errors=True)
