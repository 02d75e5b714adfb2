"""The disks of a survey: from raw sysfs, udev, blkid, wipefs and mount texts to `Disk` values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from domain.facts import Disk
from install_steps.disk_blocks import Block, blocks_of, links_of
from install_steps.disk_uses import Uses, shortened, uses_of
from install_steps.frames import ABSENT, Frame, number

SECTOR_BYTES: Final = 512  # sysfs counts in these, whatever the disk's own sectors are
UNKNOWN: Final = "unknown"
_KINDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"(?:sd|hd|vd|xvd)[a-z]+|nvme\d+n\d+|mmcblk\d+|(?:cciss|ida)!c\d+d\d+", "disk"),
        (r"dm-\d+", "dm"),
        (r"md.*", "md"),
        (r"loop\d+", "loop"),
        (r"sr\d+", "rom"),
        (r"scini.*", "scini"),
    )
)
# Looked for in the path under /sys/devices; the first that fits names the transport.
_TRANSPORTS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), transport)
    for pattern, transport in (
        (r"/usb\d+/", "usb"),
        (r"/rport-", "fc"),
        (r"/session\d+/", "iscsi"),
        (r"/end_device-", "sas"),
        (r"/ata\d+/", "sata"),
        (r"/virtio\d+/", "virtio"),
        (r"/vbd-", "xen"),
        (r"(?i)/vmbus", "hyperv"),
        (r"/mmc\d+/", "mmc"),
        (r"/nvme/nvme\d+/", "nvme"),
        (r"/pci[^/]*/.*/host\d+/", "scsi"),
    )
)
# The names that outlive a reboot and a re-format, best first.
_BY_ID: Final = ("wwn-", "nvme-eui.", "nvme-", "ata-", "scsi-", "virtio-", "")
_NOT_BY_ID: Final = ("emc-vol-", "lvm-pv-uuid-", "dm-", "md-")
_WIPEFS: Final = re.compile(r"(0x[0-9a-f]+),.*?,([^,\s]+)")  # old and new; type comes last
# GPT's own words for what a partition is for.
_PARTITION_TYPES: Final = {
    "4fbd7e29-9d25-41b8-afd0-062c0ceff05d": "Ceph data",
    "45b0969e-9b03-4f30-b4c6-b4b80ceff106": "Ceph journal",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "RAID",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "swap",
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI",
    "ca7d7ccb-63ed-4c53-861c-1742536059cc": "LUKS",
}


def disks_of(frames: Mapping[str, Frame], *, agent_resources: str) -> tuple[Disk, ...]:
    """Every block device of the survey, partitions included (kind `part`)."""
    blocks = blocks_of(frames)
    links = links_of(frames, "links")
    uses = uses_of(frames, blocks, links, agent_resources=agent_resources)
    return tuple(_disk(frames, block, blocks, links.get(block.node, ()), uses) for block in blocks)


def _disk(
    frames: Mapping[str, Frame],
    block: Block,
    blocks: tuple[Block, ...],
    links: tuple[str, ...],
    uses: Uses,
) -> Disk:
    values, udev, name = block.values, block.udev, block.name
    kind, partitions = _kind(block, blocks), values.get("partitions", "").split()
    standing = _standing(block, blocks, links)
    signature, signs = _signature(frames, block)
    evidence = {
        "whole": "" if kind in {"disk", "part"} else block.described,
        "system": uses.system.get(name, ""),
        "mounted": uses.mounted.get(name, ""),
        "holders": shortened(", ".join(standing.values())),
        "mesos": uses.mesos.get(name, ""),
        "denied": uses.denied.get(name, ""),
        "configured": uses.configured.get(name, ""),
        "open": uses.opened.get(name, ""),
        "partitions": shortened(", ".join(_partitions(partitions, blocks))),
        "signature": signs,
    }
    return Disk(
        path=block.node,
        by_id=_by_id(links),
        size_bytes=number(values.get("size", "")) * SECTOR_BYTES,
        kind=kind,
        transport=_transport(values, udev),
        read_only=values.get("ro", "") != "0",
        removable=values.get("removable", "") == "1",
        partitions=len(partitions),
        holders=len(standing),
        signature=signature,
        mounted=name in uses.mounted,
        system=name in uses.system,
        exclusive=frames.get(f"disk.{block.index}.open", ABSENT).status == 0,
        zero=frames.get(f"disk.{block.index}.zero", ABSENT).status == 0,
        denied=name in uses.denied,
        mesos=name in uses.mesos,
        links=links,
        model=_first(values, udev, "model", "ID_MODEL"),
        serial=_first(values, udev, "serial", "ID_SERIAL_SHORT"),
        wwn=udev.get("ID_WWN", "") or values.get("wwid", "") or values.get("device-wwid", ""),
        rotational=values.get("rotational", "") == "1",
        logical_bytes=number(values.get("logical", "")),
        physical_bytes=number(values.get("physical", "")),
        multipath=udev.get("DM_MULTIPATH_DEVICE_PATH", "") == "1",
        opened=name in uses.opened,
        configured=name in uses.configured,
        evidence={rule: seen for rule, seen in evidence.items() if seen},
    )


def _first(values: Mapping[str, str], udev: Mapping[str, str], key: str, property_: str) -> str:
    return shortened(values.get(key, "") or udev.get(property_, ""))


def _standing(block: Block, blocks: tuple[Block, ...], links: tuple[str, ...]) -> Mapping[str, str]:
    """What stands on it or on a part of it: kernel name -> what it is."""
    parts = {other.node for other in blocks if other.parent == block.name}
    nodes = {block.node, *links, *parts}
    found = {name: name for name in block.values.get("holders", "").split()}
    if block.values.get("bcache"):
        found.setdefault("bcache", "bcache has registered it")
    for other in blocks:
        backed = other.values.get("backing", "") in nodes
        if backed or other.name in found or block.name in other.slaves:
            found[other.name] = other.described
    return dict(sorted(found.items()))


def _partitions(names: Iterable[str], blocks: tuple[Block, ...]) -> Iterable[str]:
    """`sdb1 (Ceph journal)`, where udev knows."""
    by_name = {block.name: block for block in blocks}
    for name in names:
        udev = by_name[name].udev if name in by_name else {}
        told = _PARTITION_TYPES.get(udev.get("ID_PART_ENTRY_TYPE", "").lower(), "")
        told = told or udev.get("ID_FS_TYPE", "")
        yield f"{name} ({told})" if told else name


def _kind(block: Block, blocks: tuple[Block, ...]) -> str:
    if block.values.get("partition"):
        return "part"
    if any(other.name == block.name and _is_volume_node(other.node) for other in blocks):
        return "scini"
    for pattern, kind in _KINDS:
        if pattern.fullmatch(block.name):
            mapper = block.values.get("dm-uuid", "")
            return "mpath" if kind == "dm" and mapper.startswith("mpath-") else kind
    return "other"


def _is_volume_node(node: str) -> bool:
    """A ScaleIO volume by its node's name; a lab's has the numbers of a loop device."""
    return node.rpartition("/")[2].startswith("scini")


def _transport(values: Mapping[str, str], udev: Mapping[str, str]) -> str:
    told = values.get("transport", "")
    if told:
        return "nvme" if told == "pcie" else f"nvme-{told}"
    path = values.get("path", "")
    for pattern, transport in _TRANSPORTS:
        if pattern.search(path):
            return transport
    return {"ata": "sata", "usb": "usb"}.get(udev.get("ID_BUS", ""), "")


def _signature(frames: Mapping[str, Frame], block: Block) -> tuple[str, str]:
    """Type and evidence; "" only if every tool that was asked has said "nothing" in its own way."""
    told = frames.get(f"disk.{block.index}.blkid", ABSENT)
    types, fault = _blkid_types(told)
    offsets, wipefs_fault = _wipefs_types(frames.get(f"disk.{block.index}.wipefs"))
    recorded = [
        found for key in ("ID_FS_TYPE", "ID_PART_TABLE_TYPE") if (found := block.udev.get(key))
    ]
    known = dict.fromkeys(kind for kind, _ in offsets)
    seen = [_places(kind, [at for found, at in offsets if found == kind]) for kind in known]
    seen += [kind for kind in types if kind not in known]
    seen += [f"{kind} by udev" for kind in recorded if kind not in {*known, *types}]
    seen += [why for why in (fault, wipefs_fault) if why]
    named = [*types, *(kind for kind, _ in offsets), *recorded]
    signature = named[0] if named else UNKNOWN if fault or wipefs_fault else ""
    return signature, shortened(", ".join(seen))


def _places(kind: str, offsets: list[str]) -> str:
    """`gpt at 0x200 and 0x1ffffe00`; zfs has a hundred of them."""
    shown = " and ".join(offsets[:2])
    return f"{kind} at {shown}" + (f" and {len(offsets) - 2} more" if len(offsets) > 2 else "")


def _blkid_types(frame: Frame) -> tuple[list[str], str]:
    """Only blkid's own word for "nothing", status 2, counts as nothing."""
    if frame.status == 2:
        return [], ""
    found = dict(line.partition("=")[::2] for line in frame.text.splitlines())
    types = [kind for key in ("TYPE", "PTTYPE") if (kind := found.get(key, "").strip())]
    if frame.status != 0:
        return types, f"blkid ended with status {frame.status}"
    return types, "" if types else "blkid found something that it has no type for"


def _wipefs_types(frame: Frame | None) -> tuple[list[tuple[str, str]], str]:
    """(type, offset) of each; nothing is no line at all. None: an older script did not ask."""
    if frame is None:
        return [], ""
    found: list[tuple[str, str]] = []
    fault = f"wipefs ended with status {frame.status}" if frame.status else ""
    for line in frame.text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        entry = _WIPEFS.fullmatch(line.strip())
        if entry is None:
            fault = "wipefs said what is not understood"
        else:
            found.append((entry[2], entry[1]))
    return found, fault


def _by_id(links: tuple[str, ...]) -> str:
    folder = "/dev/disk/by-id/"
    names = [
        name
        for link in links
        if (name := link.removeprefix(folder)) != link and not name.startswith(_NOT_BY_ID)
    ]
    for prefix in _BY_ID:
        for name in names:
            if name.startswith(prefix):
                return folder + name
    return ""
