"""A table of what disks look like, each with its verdict: unasked, named, and named to overwrite.

Contents are real outputs of blkid and wipefs (tests/data/devices/INDEX.md says how they were made).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

from domain.devices import GIB, NAMING, NOTHING, OVERWRITE, RULES, DeviceRules, judge
from domain.facts import Disk
from install_steps.facts import parse_survey
from simulation.host_survey import frame, result_line

Output = tuple[str, int]
NODE: Final = "/dev/sdb"
BY_ID: Final = "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4"
SATA: Final = "/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sdb"
VIRTUAL: Final = "/sys/devices/virtual/block"
RECORDED: Final = {
    one["name"]: one
    for one in json.loads(
        (Path(__file__).parents[1] / "data" / "devices" / "outputs.json").read_text()
    )
}
LIFTED_BY: Final = {rule.name: rule.lifted_by for rule in RULES}
BASE: Final[Mapping[str, Output]] = {
    "os-release": ("ID=debian\n", 0),
    "uname": ("6.1.0 x86_64\n", 0),
    "boot-id": ("5f4b1f0e-3c1d-4a55\n", 0),
    "machine-id": ("4efb02849e52d670\n", 0),
    "init": ("systemd\n", 0),
    "links": (f"{BY_ID} {NODE}\n/dev/disk/by-path/pci-0 {NODE}\n", 0),
    "aliases": ("", 0),
    "btrfs": ("", 0),
    "config": ("", 0),
    "opened": ("", 0),
    "mountinfo": ("22 1 0:5 / /proc rw - proc proc rw\n", 0),
    "swaps": ("Filename Type Size Used Priority\n", 0),
    "deny": ("", 1),
    "opened-again": ("", 0),
}
SYSFS: Final[Mapping[str, str]] = {
    "node": NODE, "sysfs": "sdb", "path": SATA, "device": "8:16", "size": str(200 * GIB // 512),
    "ro": "0", "removable": "0", "partition": "", "transport": "", "dm-uuid": "",
    "rotational": "1", "logical": "512", "physical": "4096", "model": "ST2000NM0008-2F3",
    "partitions": "", "slaves": "", "holders": "",
}  # fmt: skip
CHECKS: Final[Mapping[str, Output]] = {
    "udev": ("ID_BUS=ata\nID_SERIAL_SHORT=ZC11\nID_WWN=0x5000c500a1b2c3d4\n", 0),
    "blkid": ("", 2),
    "wipefs": ("", 0),
    "open": ("", 0),
    "zero": ("", 0),
}


def block(
    number: int, values: Mapping[str, str], checks: Mapping[str, Output]
) -> Mapping[str, Output]:
    lines = [f"{key}={value}\n" for key, value in values.items()]
    return {
        f"disk.{number}.sysfs": ("".join(lines), 0),
        **{f"disk.{number}.{name}": output for name, output in checks.items()},
    }


def other(number: int, node: str, **values: str) -> Mapping[str, Output]:
    """Another block device beside the disk."""
    name = node.rpartition("/")[2]
    named = {key.replace("_", "-"): value for key, value in values.items()}
    given = {"node": node, "sysfs": name, "path": f"{VIRTUAL}/{name}", "size": "2048", "ro": "0"}
    return block(number, {**given, **named}, {})


@attrs.frozen(kw_only=True)
class Situation:
    """`rule`: what decides of itself. `seen`: what the sentence has to show."""

    rule: str
    seen: str = ""
    sysfs: Mapping[str, str] = attrs.field(factory=dict)
    checks: Mapping[str, Output] = attrs.field(factory=dict)
    without: tuple[str, ...] = ()  # frames that are not there
    host: Mapping[str, Output] = attrs.field(factory=dict)
    resources: str = ""

    def frames(self) -> Mapping[str, Output]:
        disk = block(1, {**SYSFS, **self.sysfs}, {**CHECKS, **self.checks})
        frames = {**BASE, **disk, **self.host}
        if self.resources:
            frames["agent-flags"] = (json.dumps({"flags": {"resources": self.resources}}), 0)
        return {name: output for name, output in frames.items() if name not in self.without}


def disk_of(frames: Mapping[str, Output]) -> Disk:
    text = "".join(frame(name, body, status) for name, (body, status) in frames.items())
    end = result_line("survey", changed=False, reason="surveyed", extra={"frames": len(frames)})
    disks = parse_survey(text + end).disks
    return next(disk for disk in disks if disk.path == NODE or disk.by_id == BY_ID)


def recorded(name: str) -> Mapping[str, Output]:
    one = RECORDED[name]
    return {tool: (one[tool]["text"], one[tool]["status"]) for tool in ("blkid", "wipefs")}


def old_form(wipefs: Output) -> Output:
    """As before util-linux 2.31: a head line, and one entry a type."""
    first: dict[str, str] = {}
    for line in wipefs[0].splitlines():
        first.setdefault(line.rpartition(",")[2], line)
    lines = ["# offset,uuid,label,type", *first.values()] if first else []
    return "".join(f"{line}\n" for line in lines), wipefs[1]


def config(line: str) -> Mapping[str, Output]:
    return {"config": (f"{line}\n", 0)}


def opened(first: str, again: str) -> Mapping[str, Output]:
    return {"opened": (first, 0), "opened-again": (again, 0)}


QEMU: Final = "8:10 812 qemu-kvm\n"
PART: Final = {"partitions": "sdb1", "partition-device": "8:17"}
SITUATIONS: Final[Mapping[str, Situation]] = {
    "empty": Situation(rule=""),
    "empty, from a survey of an older script": Situation(
        rule="", without=("disk.1.wipefs", "opened", "opened-again", "config", "aliases", "btrfs")
    ),
    # whole
    "a loop device": Situation(
        rule="whole", seen="loop3 (backed by /srv/x.img)",
        sysfs={"sysfs": "loop3", "path": f"{VIRTUAL}/loop3", "backing": "/srv/x.img"}),
    "a volume of LVM": Situation(
        rule="whole", seen="dm-3 (LVM vg-data)",
        sysfs={"sysfs": "dm-3", "dm-uuid": "LVM-x", "dm-name": "vg-data"}),
    "a dm-crypt mapping": Situation(
        rule="whole", seen="dm-crypt secret",
        sysfs={"sysfs": "dm-4", "dm-uuid": "CRYPT-LUKS2-x", "dm-name": "secret"}),
    "a multipath volume": Situation(
        rule="whole", seen="multipath mpatha",
        sysfs={"sysfs": "dm-5", "dm-uuid": "mpath-3600", "dm-name": "mpatha"}),
    "a RAID of the host": Situation(rule="whole", seen="md127", sysfs={"sysfs": "md127"}),
    "a DRBD device": Situation(rule="whole", seen="drbd0", sysfs={"sysfs": "drbd0"}),
    "a network block device": Situation(rule="whole", seen="nbd0", sysfs={"sysfs": "nbd0"}),
    "a Ceph block device": Situation(rule="whole", seen="rbd0", sysfs={"sysfs": "rbd0"}),
    "a bcache device": Situation(rule="whole", seen="bcache0", sysfs={"sysfs": "bcache0"}),
    "a zvol": Situation(rule="whole", seen="zd0", sysfs={"sysfs": "zd0"}),
    "compressed memory": Situation(rule="whole", seen="zram0", sysfs={"sysfs": "zram0"}),
    "an optical drive": Situation(rule="whole", seen="sr0", sysfs={"sysfs": "sr0"}),
    "a ScaleIO volume": Situation(rule="whole", seen="scinia", sysfs={"sysfs": "scinia"}),
    "a path of a native multipath NVMe": Situation(rule="whole", sysfs={"sysfs": "nvme0c0n1"}),
    "a partition": Situation(rule="whole", sysfs={"partition": "1"}),
    # system, mounted
    "the root disk": Situation(
        rule="system", seen="sdb on /",
        host={"mountinfo": (f"22 1 8:16 / / rw - ext4 {NODE} rw\n", 0)}),
    "below the root volume": Situation(
        rule="system", seen="dm-0 on /",
        host={"mountinfo": ("22 1 253:0 / / rw - xfs /dev/mapper/r rw\n", 0),
              **other(2, "/dev/dm-0", device="253:0", slaves="sdb", dm_uuid="LVM-r")}),
    "swap": Situation(
        rule="system", seen="swap on sdb",
        host={"swaps": (f"Filename Type\n{NODE} partition 1 0 -2\n", 0)}),
    "swap on a partition": Situation(
        rule="system", seen="swap on sdb1", sysfs=PART,
        host={"swaps": ("Filename Type\n/dev/sdb1 partition 1 0 -2\n", 0),
              **other(2, "/dev/sdb1", device="8:17", partition="1", path=f"{SATA}/sdb1")}),
    "mounted": Situation(
        rule="mounted", seen="sdb on /data",
        host={"mountinfo": (f"22 1 8:16 / /data rw - ext4 {NODE} rw\n", 0)}),
    "a partition of it mounted": Situation(
        rule="mounted", seen="sdb on /data", sysfs=PART,
        host={"mountinfo": ("22 1 8:17 / /data rw - ext4 /dev/sdb1 rw\n", 0)}),
    "the second disk of a mounted btrfs": Situation(
        rule="mounted", seen="one of the disks of btrfs 5699f67b",
        host={"btrfs": ("sdb 5699f67b-e668\nsdc 5699f67b-e668\n", 0)}),
    # holders
    "an active volume group": Situation(
        rule="holders", seen="dm-0 (LVM vg-data)", sysfs={"holders": "dm-0"},
        host=other(2, "/dev/dm-0", slaves="sdb", dm_uuid="LVM-x", dm_name="vg-data")),
    "an open LUKS volume": Situation(
        rule="holders", seen="dm-crypt secret", sysfs={"holders": "dm-1"},
        host=other(2, "/dev/dm-1", slaves="sdb", dm_uuid="CRYPT-LUKS1-x", dm_name="secret")),
    "Docker's thin pool": Situation(
        rule="holders", seen="docker-thinpool", sysfs={"holders": "dm-2"},
        host=other(2, "/dev/dm-2", slaves="sdb", dm_name="docker-thinpool")),
    "a multipath member": Situation(
        rule="holders", seen="multipath mpathb", sysfs={"holders": "dm-6"},
        host=other(2, "/dev/dm-6", slaves="sdb", dm_uuid="mpath-36", dm_name="mpathb")),
    "a member of an active RAID": Situation(
        rule="holders", seen="md0", sysfs={"holders": "md0"}),
    "a backing disk of bcache": Situation(
        rule="holders", seen="bcache0", sysfs={"holders": "bcache0", "bcache": "registered"}),
    "a cache disk of bcache": Situation(
        rule="holders", seen="bcache has registered it", sysfs={"bcache": "registered"}),
    "the backing file of a loop device": Situation(
        rule="holders", seen=f"loop4 (backed by {NODE})",
        host=other(2, "/dev/loop4", backing=NODE)),
    "a loop device on it by its stable name": Situation(
        rule="holders", seen="loop4", host=other(2, "/dev/loop4", backing=BY_ID)),
    # multipath, mesos, denied
    "claimed by multipathd without a map": Situation(
        rule="multipath", checks={"udev": ("DM_MULTIPATH_DEVICE_PATH=1\n", 0)}),
    "a raw disk of Mesos": Situation(
        rule="mesos", seen=NODE,
        resources='[{"name":"disk","disk":{"source":{"type":"RAW","id":"/dev/sdb"}}}]'),
    "a block disk of Mesos by its stable name": Situation(
        rule="mesos", seen=BY_ID,
        resources=f'[{{"disk":{{"source":{{"type":"BLOCK","id":"{BY_ID}"}}}}}}]'),
    "a mount disk of Mesos": Situation(
        rule="mounted", seen="sdb on /mnt/d1",
        host={"mountinfo": (f"22 1 8:16 / /mnt/d1 rw - xfs {NODE} rw\n", 0)},
        resources='[{"disk":{"source":{"type":"MOUNT","mount":{"root":"/mnt/d1"}}}}]'),
    "denied by its name": Situation(
        rule="denied", seen=NODE, host={"deny": (f"# kept\n{NODE}\n", 0)}),
    "denied by a pattern": Situation(
        rule="denied", seen="/dev/disk/by-id/wwn-*",
        host={"deny": ("/dev/disk/by-id/wwn-*  # all\n", 0)}),
    # configured
    "in fstab, not mounted": Situation(
        rule="configured", seen="/etc/fstab: /dev/sdb /data",
        host=config("/etc/fstab:/dev/sdb /data ext4 noauto 0 0")),
    "a partition in fstab that is gone": Situation(
        rule="configured", seen="/etc/fstab", host=config("/etc/fstab:/dev/sdb1 /d ext4 noauto")),
    "in fstab by the UUID of what is on it": Situation(
        rule="configured", seen="UUID=c20311c0",
        host={**config("/etc/fstab:UUID=c20311c0 /data ext4 defaults 0 2"),
              "aliases": (f"/dev/disk/by-uuid/c20311c0 {NODE}\n", 0)}),
    "plain dm-crypt in crypttab": Situation(
        rule="configured", seen="/etc/crypttab",
        host=config(f"/etc/crypttab:swap {BY_ID} /dev/urandom swap,cipher=aes-xts-plain64")),
    "in LVM's accept filter": Situation(
        rule="configured", seen="lvm.conf",
        host=config('/etc/lvm/lvm.conf:\tfilter = [ "a|^/dev/sdb$|", "r|.*|" ]')),
    "in LVM's devices file": Situation(
        rule="configured", seen="system.devices", sysfs={"device-wwid": "naa.5000c500a1b2c3d4"},
        host=config("/etc/lvm/devices/system.devices:IDTYPE=sys_wwid "
                    "IDNAME=naa.5000c500a1b2c3d4 DEVNAME=/dev/sdq PVID=x")),
    "a lower disk of DRBD": Situation(
        rule="configured", seen="r0.res", host=config("/etc/drbd.d/r0.res:  disk /dev/sdb;")),
    "Docker's direct-lvm disk": Situation(
        rule="configured", seen="daemon.json",
        host=config('/etc/docker/daemon.json: "dm.directlvm_device=/dev/sdb"')),
    "a raw device of a database": Situation(
        rule="configured", seen="rawdevices",
        host=config("/etc/sysconfig/rawdevices:/dev/raw/raw1 /dev/sdb1")),
    "the disk of a virtual machine that is off": Situation(
        rule="configured", seen="vm.xml",
        host=config(f"/etc/libvirt/qemu/vm.xml:      <source dev='{BY_ID}'/>")),
    "an iSCSI target's disk": Situation(
        rule="configured", seen="targets.conf",
        host=config("/etc/tgt/targets.conf:  backing-store /dev/sdb")),
    "a fencing disk of SBD": Situation(
        rule="configured", seen="sbd", host=config('/etc/sysconfig/sbd:SBD_DEVICE="/dev/sdb"')),
    "configuration that cannot be read": Situation(
        rule="configured", seen="could not be read", host={"config": ("", 2)}),
    "named in comments only": Situation(
        rule="", host=config("/etc/fstab:# /dev/sdb /data\n/etc/fstab:/dev/sdbb /x\n"
                             '/etc/lvm/lvm.conf:# filter = [ "a|/dev/sdb|" ]')),
    "rejected by LVM's filter": Situation(
        rule="", host=config('/etc/lvm/lvm.conf:filter = [ "r|/dev/sdb|", "a|.*|" ]')),
    # medium, read-only, open, in-use
    "no medium": Situation(
        rule="medium", sysfs={"size": "0"},
        without=("disk.1.blkid", "disk.1.wipefs", "disk.1.open", "disk.1.zero")),
    "read-only": Situation(rule="read-only", sysfs={"ro": "1"}),
    "the kernel does not say whether it is read-only": Situation(
        rule="read-only", sysfs={"ro": ""}),
    "open in a virtual machine": Situation(
        rule="open", seen="qemu-kvm (process 812)", host=opened(QEMU, QEMU)),
    "a partition open in a database": Situation(
        rule="open", seen="oracle (process 99)", sysfs=PART,
        host=opened("8:11 99 oracle\n", "8:11 99 oracle\n")),
    "open in an SDS of another cluster": Situation(
        rule="open", seen="sds-2.0-10000.2", checks={"open": ("", 1)},
        host=opened("8:10 7 sds-2.0-10000.2\n", "8:10 7 sds-2.0-10000.2\n")),
    "open at the first look only": Situation(rule="", host=opened(QEMU, "")),
    "open in another process at each look": Situation(
        rule="", host=opened(QEMU, QEMU.replace("812", "813"))),
    "the namesake of an open device": Situation(rule="", host=opened("8:20 1 x\n", "8:20 1 x\n")),
    "nobody could look who has it open": Situation(
        rule="open", seen="could not be looked at (status 124)", host={"opened": ("", 124)}),
    "who has it open is not understood": Situation(
        rule="open", seen="could not be looked at", host=opened("gibberish\n", "")),
    "opened alone by somebody": Situation(rule="in-use", checks={"open": ("", 1)}),
    "nothing there that can open alone": Situation(rule="in-use", checks={"open": ("", 127)}),
    # partitions, signature: contents are below
    "partitions of Ceph": Situation(
        rule="partitions", seen="sdb1 (Ceph journal)", sysfs=PART,
        host={**other(2, "/dev/sdb1", partition="1", path=f"{SATA}/sdb1"),
              "disk.2.udev": ("ID_PART_ENTRY_TYPE=45b0969e-9b03-4f30-b4c6-b4b80ceff106\n", 0)}),
    "known to udev only": Situation(
        rule="signature", seen="mpath_member by udev",
        checks={"udev": ("ID_FS_TYPE=mpath_member\n", 0)}),
    "blkid is missing": Situation(
        rule="signature", seen="blkid ended with status 127", checks={"blkid": ("", 127)}),
    "blkid took too long": Situation(
        rule="signature", seen="status 124", checks={"blkid": ("", 124)}),
    "blkid fails": Situation(rule="signature", seen="status 4", checks={"blkid": ("", 4)}),
    "blkid finds what it has no word for": Situation(
        rule="signature", seen="no type", checks={"blkid": ("DEVNAME=/dev/sdb\nUUID=1\n", 0)}),
    "wipefs is missing": Situation(
        rule="signature", seen="wipefs ended with status 127", checks={"wipefs": ("", 127)}),
    "wipefs speaks another language": Situation(
        rule="signature", seen="not understood",
        checks={"wipefs": ("DEVICE OFFSET TYPE UUID LABEL\n", 0)}),
    # what naming lifts
    "removable": Situation(rule="removable", sysfs={"removable": "1"}),
    "USB": Situation(
        rule="transport", seen="usb",
        sysfs={"path": "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/host5/block/sdb"}),
    "iSCSI": Situation(
        rule="transport", seen="iscsi",
        sysfs={"path": "/sys/devices/platform/host4/session1/target4:0:0/4:0:0:0/block/sdb"}),
    "Fibre Channel": Situation(
        rule="transport", seen="fc",
        sysfs={"path": "/sys/devices/pci0/0000:04:00.0/host3/rport-3:0-0/t/3:0:0:0/block/sdb"}),
    "NVMe over TCP": Situation(
        rule="transport", seen="nvme-tcp", sysfs={"sysfs": "nvme0n1", "transport": "tcp"}),
    "no bus at all": Situation(
        rule="transport", seen="unknown", sysfs={"path": f"{VIRTUAL}/sdb"},
        checks={"udev": ("", 1)}),
    "an SD card": Situation(
        rule="transport", seen="mmc",
        sysfs={"sysfs": "mmcblk0", "path": "/sys/devices/platform/s/mmc0/mmc0:1/block/mmcblk0"}),
    "too small": Situation(
        rule="size", seen="50 GiB", sysfs={"size": str(50 * GIB // 512)}),
    "data without a signature": Situation(rule="zero", checks={"zero": ("", 1)}),
    "a read error where it was sampled": Situation(rule="zero", checks={"zero": ("", 2)}),
    "not sampled": Situation(rule="zero", without=("disk.1.zero",)),
    "a slot's name only": Situation(
        rule="stable-name", host={"links": (f"/dev/disk/by-path/pci-0 {NODE}\n", 0)}),
    "a name of what is on it only": Situation(
        rule="stable-name", host={"links": (f"/dev/disk/by-id/lvm-pv-uuid-x {NODE}\n", 0)}),
}  # fmt: skip
CONTENTS: Final = sorted(set(RECORDED) - {"empty"})


def rule_of(disk: Disk, *, named: bool, overwrite: bool = False) -> str:
    """The rule that refuses; "" where the disk is taken."""
    settings = DeviceRules(overwrite=(disk.by_id or BY_ID,) if overwrite else ())
    verdict = judge(disk, wish_paths=(disk.path,) if named else None, settings=settings)
    return "" if verdict.take else verdict.rule


@pytest.mark.parametrize("name", SITUATIONS)
def test_each_situation_has_its_verdict(name: str) -> None:
    situation = SITUATIONS[name]
    disk = disk_of(situation.frames())
    assert rule_of(disk, named=False) == situation.rule
    verdict = judge(disk, wish_paths=None, settings=DeviceRules())
    assert situation.seen in verdict.sentence
    lifts = LIFTED_BY.get(situation.rule, NAMING)
    assert rule_of(disk, named=True) == ("" if lifts == NAMING else situation.rule)
    after = rule_of(disk, named=True, overwrite=True)
    assert after == (situation.rule if lifts == NOTHING else "")


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("old", [False, True], ids=["2.38", "before 2.31"])
def test_whatever_is_on_a_disk_is_seen_and_goes_only_where_it_may_be_overwritten(
    name: str, *, old: bool
) -> None:
    checks = dict(recorded(name))
    if old:
        checks["wipefs"] = old_form(checks["wipefs"])
    disk = disk_of(Situation(rule="signature", checks=checks).frames())
    assert rule_of(disk, named=False) == "signature"
    assert rule_of(disk, named=True) == "signature"
    assert rule_of(disk, named=True, overwrite=True) == ""
    assert " at 0x" in disk.evidence["signature"]
    assert LIFTED_BY["signature"] == OVERWRITE


def test_a_sentence_tells_where_the_signature_stands() -> None:
    def sentence(name: str) -> str:
        disk = disk_of(Situation(rule="", checks=recorded(name)).frames())
        return judge(disk, wish_paths=None, settings=DeviceRules()).sentence

    assert sentence("ext4") == "it carries a signature: ext4 at 0x438"
    assert sentence("gpt-ceph-journal").startswith(
        "it carries a signature: gpt at 0x200 and 0x1ffffe00, PMBR at 0x1fe"
    )
    assert sentence("ext4-and-swap").endswith("blkid ended with status 8")
    assert "zfs_member at 0x27c00 and 0x27800 and" in sentence("zfs")


def test_a_backup_table_that_blkid_does_not_see_is_seen() -> None:
    checks = recorded("gpt-backup-only")
    assert checks["blkid"] == ("", 2)
    disk = disk_of(Situation(rule="", checks=checks).frames())
    assert rule_of(disk, named=True) == "signature"


def test_what_is_shown_of_a_disk() -> None:
    disk = disk_of(Situation(rule="").frames())
    assert (disk.model, disk.serial, disk.wwn) == (
        "ST2000NM0008-2F3",
        "ZC11",
        "0x5000c500a1b2c3d4",
    )
    assert (disk.rotational, disk.logical_bytes, disk.physical_bytes) == (True, 512, 4096)
    assert disk.evidence == {}


def test_the_table_is_long_enough_and_every_rule_is_in_it() -> None:
    assert len(SITUATIONS) + len(CONTENTS) >= 60
    assert {row.rule for row in SITUATIONS.values()} - {""} == set(LIFTED_BY)
