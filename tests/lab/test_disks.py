"""Only a disk that is provably empty is taken, and the others are left as they were."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from tests.lab.host import GIB, DiskPlan, Host
from tests.lab.operating import order, steps_flag, token_flag
from tests.lab.site import HostPlan, Site
from tests.scheduler_process import wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

HOST: Final = "h0.lab"
STORAGE_ONLY: Final = ("-probe=off", "-components.rexray=ignore", "-components.dvdcli=ignore")
BLOCK_BYTES: Final = 1 << 20
MIB: Final = 1 << 20
EMPTY: Final = "empty: provably empty"
DENY: Final = "/etc/scaleio-framework/devices.deny"

# A loop device has partitions only where it was told that it may.
_PARTITION: Final = """
import fcntl, os, struct
entry = struct.pack("<B3sB3sII", 0, bytes(3), 0x83, bytes(3), 2048, 2**21)
disk = os.open("{node}", os.O_RDWR)
os.write(disk, bytes(446) + entry + bytes(48) + b"\\x55\\xaa")
os.fsync(disk)
info = bytearray(232)
fcntl.ioctl(disk, 0x4C05, info)
info[52] |= 8
fcntl.ioctl(disk, 0x4C04, bytes(info))
"""
_BYTES: Final = """
import os, random
disk = os.open("{node}", os.O_RDWR)
os.pwrite(disk, random.Random(7).randbytes({length}), {offset})
os.fsync(disk)
"""


@attrs.frozen(kw_only=True)
class Kept:
    """A disk that must not be taken. `fill`: a shell text that makes it what it is."""

    name: str
    verdict: str  # how it begins
    fill: str = ""
    by_id: bool = True
    size_bytes: int = 120 * GIB
    own_bytes: int = 120 * GIB  # what is behind them its user may write on

    @property
    def path(self) -> str:
        return f"/dev/disk/by-id/virtio-lab-{self.name}" if self.by_id else f"/dev/{self.name}"

    @property
    def plan(self) -> DiskPlan:
        by_id = f"virtio-lab-{self.name}" if self.by_id else ""
        return DiskPlan(name=self.name, by_id=by_id, size_bytes=self.size_bytes)


def python(text: str, **values: object) -> str:
    return f"python3 -I - <<'END'{text.format(**values)}END\n"


HELD_OPEN: Final = "systemd-run --quiet sh -c 'exec sleep 3600 </dev/xvdm'"  # as qemu does
KEPT: Final = (
    Kept(
        name="xvdc",
        verdict="signature: it carries a signature: ext4 at 0x438",
        fill="mkfs.ext4 -q -N 1024 /dev/xvdc",
    ),
    Kept(
        name="xvdd",
        verdict="signature: it carries a signature: LVM2_member at 0x218",
        fill="pvcreate -q /dev/xvdd && vgcreate -q lab /dev/xvdd",
    ),
    Kept(
        name="xvde",
        verdict="mounted: ",
        fill="mkfs.ext4 -q -N 1024 -E lazy_itable_init=0 /dev/xvde && mkdir /mnt/data &&"
        " mount /dev/xvde /mnt/data && echo precious >/mnt/data/file",
    ),
    Kept(
        name="xvdf",
        verdict="zero: ",
        fill=python(_BYTES, node="/dev/xvdf", offset=0, length=64 * MIB),
    ),
    Kept(
        name="xvdg",
        verdict="zero: ",
        fill=python(_BYTES, node="/dev/xvdg", offset=120 * GIB - 512, length=512),
    ),
    Kept(
        name="xvdh",
        verdict="partitions: ",
        fill=python(_PARTITION, node="/dev/xvdh") + "partx --add /dev/xvdh",
    ),
    Kept(name="xvdi", verdict="denied: "),
    Kept(name="xvdj", verdict="stable-name: ", by_id=False),
    Kept(name="xvdk", verdict="size: ", size_bytes=50 * GIB),
    Kept(name="xvdm", verdict="open: a process has it open: sleep (process ", fill=HELD_OPEN),
    Kept(
        name="xvdn",
        verdict="configured: a file of the host's configuration names it: /etc/crypttab",
        fill="echo 'swap /dev/disk/by-id/virtio-lab-xvdn /dev/urandom swap' >>/etc/crypttab",
    ),
    # Small, for it is the whole machine's while it is used.
    Kept(name="xvdl", verdict="system: ", fill="mkswap -q /dev/xvdl 16384", own_bytes=4096),
)
TAKEN: Final = Kept(name="xvdb", verdict=EMPTY)


def verdicts(site: Site) -> dict[str, str]:
    """What the scheduler shows of the host's disks; empty before it has looked."""
    agent = site.scheduler.get(f"/v1/agents/{HOST}")
    return {one["path"]: one["verdict"] for one in agent.get("devices", ())}


def taken(site: Site) -> list[str]:
    """Disks of the host that the storage cluster has."""
    address = site.hosts[HOST].address
    found = [sds["devices"] for sds in site.storage.state()["sds"] if sds["ip"] == address]
    return [path for devices in found for path in devices]


def contents(host: Host) -> dict[str, str]:
    """Disk -> digest of all that is not zero on it, and of where that is."""
    host.run("sync")
    return {one.name: content(host, one) for one in KEPT}


def content(host: Host, disk: Kept) -> str:
    host.run("blockdev", "--flushbufs", f"/dev/{disk.name}")
    digest = hashlib.sha256()
    with host.image(disk.name).open("rb") as image:
        for offset in data_blocks(image.fileno()):
            length = min(BLOCK_BYTES, disk.own_bytes - offset)
            block = os.pread(image.fileno(), max(length, 0), offset)
            if block.strip(b"\0"):
                digest.update(b"%d:" % offset + block)
    return digest.hexdigest()


def data_blocks(descriptor: int) -> Iterator[int]:
    """Offsets of the blocks that are not a hole, whole blocks."""
    end = os.fstat(descriptor).st_size
    at = 0
    while at < end:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA) // BLOCK_BYTES * BLOCK_BYTES
        except OSError:  # nothing but a hole from here on
            return
        yield at
        at += BLOCK_BYTES


@contextlib.contextmanager
def swap_on(host: Host, disk: str) -> Iterator[None]:
    host.run("swapon", f"/dev/{disk}")
    try:
        yield
    finally:
        host.run("swapoff", f"/dev/{disk}")


def test_of_many_disks_only_the_empty_one_is_taken_and_each_refusal_names_its_rule(
    tmp_path: Path,
) -> None:
    plan = HostPlan(
        disks=[one.plan for one in (TAKEN, *KEPT)],
        files={DENY: "# kept for the database\n/dev/disk/by-id/virtio-lab-xvdi\n"},
    )
    with Site(tmp_path / "site", [plan], more=STORAGE_ONLY) as site, contextlib.ExitStack() as used:
        host = site.hosts[HOST]
        for one in KEPT:
            host.sh(one.fill or "true")
        used.enter_context(swap_on(host, "xvdl"))
        before = contents(host)
        assert len(set(before.values())) == len(KEPT) - 4, "five are empty, and all others differ"
        site.scheduler.start()

        site.scheduler.wait("it has looked", lambda: verdicts(site))
        shown = verdicts(site)
        assert shown.keys() == {one.path for one in (TAKEN, *KEPT)}
        wrong = {
            one.name: shown[one.path]
            for one in (TAKEN, *KEPT)
            if not shown[one.path].startswith(one.verdict)
        }
        assert wrong == {}

        site.scheduler.wait_phase("ready", [HOST])
        assert taken(site) == [TAKEN.path]
        after = verdicts(site)
        assert after.pop(TAKEN.path) == "in pool default"
        assert after == {one.path: shown[one.path] for one in KEPT}
        assert contents(host) == before
        assert host.sh("head -c 15 /dev/xvdb") == "ScaleIO lab SDS"
        assert host.sh("cat /mnt/data/file") == "precious\n"


def test_a_disk_that_changes_while_it_is_looked_at_is_not_taken(tmp_path: Path) -> None:
    """Three empty disks: one stays so, one changes between the two surveys, one after them."""
    disks = [TAKEN, Kept(name="xvdc", verdict=EMPTY), Kept(name="xvdd", verdict=EMPTY)]
    stays, early, late = disks
    go = "/run/lab-claim"
    wait = f"until [ -e {go} ]; do sleep 0.1; done\nbegin_step claim lock\n"
    more = (
        *STORAGE_ONLY,
        "-devices.claim-delay=20",
        token_flag(tmp_path / "operator"),
        steps_flag(tmp_path / "steps", {"claim.sh": ("begin_step claim lock\n", wait)}),
    )
    plan = HostPlan(disks=[one.plan for one in disks])
    with Site(tmp_path / "site", [plan], more=more) as site:
        host, scheduler = site.hosts[HOST], site.scheduler
        scheduler.start()
        scheduler.wait("it has looked", lambda: verdicts(site))
        assert verdicts(site) == dict.fromkeys((one.path for one in disks), EMPTY)
        write_a_byte(host, early)

        scheduler.wait("the claim", lambda: scheduler.agents()[HOST]["step"] == "claim")
        shown = verdicts(site)
        assert shown.pop(early.path).startswith("zero: ")
        assert shown == {stays.path: EMPTY, late.path: EMPTY}
        write_a_byte(host, late)
        host.run("touch", go)

        scheduler.wait_phase("failed", [HOST])
        error = scheduler.agents()[HOST]["error"]
        assert late.path in error
        assert "nothing was given to ScaleIO" in error
        assert taken(site) == []
        assert order(scheduler, "retry", HOST)

        scheduler.wait_phase("ready", [HOST])
        assert taken(site) == [stays.path]
        for one in (early, late):
            assert verdicts(site)[one.path].startswith("zero: ")
            assert a_byte(host, one) == b"x"


BYTE_AT: Final = 5 * MIB


def write_a_byte(host: Host, disk: Kept) -> None:
    host.sh(f"printf x | dd of=/dev/{disk.name} bs=1 seek={BYTE_AT} conv=fsync,notrunc status=none")
    wait_for("the byte is on the disk", lambda: a_byte(host, disk) == b"x")


def a_byte(host: Host, disk: Kept) -> bytes:
    with host.image(disk.name).open("rb") as image:
        return os.pread(image.fileno(), 1, BYTE_AT)
