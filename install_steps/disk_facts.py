"""The disks of a survey: from raw sysfs, udev, blkid and mount texts to `Disk` values."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from domain.facts import Disk
from install_steps.frames import ABSENT, Frame, number

SECTOR_BYTES: Final = 512  # sysfs counts in these, whatever the disk's own sectors are
_FRAME: Final = re.compile(r"disk\.(\d+)\.sysfs")
_SYSTEM_MOUNTS: Final = re.compile(r"/|/(?:boot|usr|var|etc|opt|home|srv)(?:/efi)?")
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


@attrs.frozen(kw_only=True)
class _Block:
    """One block device as sysfs tells it; partitions and mappers too, to follow who uses whom."""

    index: str
    node: str
    name: str  # the kernel's own, whatever the node is called
    parent: str  # "" for a whole device
    values: Mapping[str, str]
    devices: frozenset[str]  # major:minor, its partitions' included
    slaves: frozenset[str]


def disks_of(frames: Mapping[str, Frame], *, agent_resources: str) -> tuple[Disk, ...]:
    """Every block device of the survey, partitions included (kind `part`)."""
    blocks = tuple(_blocks(frames))
    links = _links(frames)
    used = _used_nodes(frames, blocks, links)
    denied = tuple(_deny_entries(frames))
    return tuple(
        _disk(frames, block, blocks, links.get(block.node, ()), used, denied, agent_resources)
        for block in blocks
    )


def _blocks(frames: Mapping[str, Frame]) -> Iterable[_Block]:
    for name, frame in frames.items():
        found = _FRAME.fullmatch(name)
        if not found:
            continue
        values: dict[str, str] = {}
        devices: set[str] = set()
        for line in frame.text.splitlines():
            key, _, value = line.partition("=")
            if key == "partition-device":
                devices.add(value.strip())
            else:
                values[key] = value.strip()
        path = values.get("path", "").rstrip("/")
        partition = bool(values.get("partition"))
        yield _Block(
            index=found.group(1),
            node=values.get("node", ""),
            name=values.get("sysfs", ""),
            parent=path.split("/")[-2] if partition and path.count("/") > 1 else "",
            values=values,
            devices=frozenset(devices | {values.get("device", "")}) - {""},
            slaves=frozenset(values.get("slaves", "").split()),
        )


def _links(frames: Mapping[str, Frame]) -> dict[str, tuple[str, ...]]:
    """Node -> its stable names."""
    found: dict[str, list[str]] = {}
    for line in frames.get("links", ABSENT).text.splitlines():
        link, _, node = line.partition(" ")
        if link.startswith("/dev/") and node.startswith("/dev/"):
            found.setdefault(node.strip(), []).append(link)
    return {node: tuple(sorted(names)) for node, names in found.items()}


@attrs.frozen(kw_only=True)
class _Uses:
    """What is mounted, and what the system itself lives on: by kernel name."""

    mounted: frozenset[str]
    system: frozenset[str]


def _used_nodes(
    frames: Mapping[str, Frame], blocks: tuple[_Block, ...], links: Mapping[str, tuple[str, ...]]
) -> _Uses:
    by_device = {device: block for block in blocks for device in block.devices}
    by_device |= {block.values.get("device", ""): block for block in blocks}
    by_path = {block.node: block for block in blocks}
    by_path |= {link: block for block in blocks for link in links.get(block.node, ())}
    mounted: set[str] = set()
    system: set[str] = set()
    for line in frames.get("mountinfo", ABSENT).text.splitlines():
        left, dash, right = line.partition(" - ")
        words, source = left.split(" "), [*right.split(" "), ""][1]
        if not dash or len(words) < 5:
            continue
        for block in (by_device.get(words[2]), by_path.get(source)):
            if block is not None:
                mounted.add(block.name)
                if _SYSTEM_MOUNTS.fullmatch(words[4]):
                    system.add(block.name)
    for line in frames.get("swaps", ABSENT).text.splitlines():
        block = by_path.get(line.partition(" ")[0].partition("\t")[0])
        if block is not None:
            system.add(block.name)
    return _Uses(mounted=_below(blocks, mounted), system=_below(blocks, system))


def _below(blocks: tuple[_Block, ...], names: set[str]) -> frozenset[str]:
    """These, and whatever they stand on: a mapper's slaves, a partition's disk."""
    by_name = {block.name: block for block in blocks}
    reached: set[str] = set()
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        block = by_name.get(name)
        if block is not None:
            waiting += [*block.slaves, *([block.parent] if block.parent else [])]
    for block in blocks:  # a slave may be a partition whose own node is missing
        partitions = set(block.values.get("partitions", "").split())
        if partitions & reached:
            reached.add(block.name)
    return frozenset(reached)


def _deny_entries(frames: Mapping[str, Frame]) -> Iterable[str]:
    for line in frames.get("deny", ABSENT).text.splitlines():
        entry = line.partition("#")[0].strip()
        if entry:
            yield entry


def _disk(
    frames: Mapping[str, Frame],
    block: _Block,
    blocks: tuple[_Block, ...],
    links: tuple[str, ...],
    uses: _Uses,
    denied: tuple[str, ...],
    agent_resources: str,
) -> Disk:
    values = block.values
    udev = frames.get(f"disk.{block.index}.udev", ABSENT).text
    standing = {other.name for other in blocks if block.name in other.slaves}
    names = (block.node, *links)
    return Disk(
        path=block.node,
        by_id=_by_id(links),
        size_bytes=number(values.get("size", "")) * SECTOR_BYTES,
        kind=_kind(block, blocks),
        transport=_transport(values, udev),
        read_only=values.get("ro", "") != "0",
        removable=values.get("removable", "") == "1",
        partitions=len(values.get("partitions", "").split()),
        holders=len(standing | set(values.get("holders", "").split())),
        signature=_signature(frames, block),
        mounted=block.name in uses.mounted,
        system=block.name in uses.system,
        exclusive=frames.get(f"disk.{block.index}.open", ABSENT).status == 0,
        zero=frames.get(f"disk.{block.index}.zero", ABSENT).status == 0,
        denied=any(
            name == entry or fnmatch.fnmatchcase(name, entry) for name in names for entry in denied
        ),
        mesos=any(_names_path(agent_resources, name) for name in names if name),
        links=links,
    )


def _kind(block: _Block, blocks: tuple[_Block, ...]) -> str:
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


def _transport(values: Mapping[str, str], udev: str) -> str:
    told = values.get("transport", "")
    if told:
        return "nvme" if told == "pcie" else f"nvme-{told}"
    path = values.get("path", "")
    for pattern, transport in _TRANSPORTS:
        if pattern.search(path):
            return transport
    bus = next((v for line in udev.splitlines() if (v := line.removeprefix("ID_BUS=")) != line), "")
    return {"ata": "sata", "usb": "usb"}.get(bus, "")


def _signature(frames: Mapping[str, Frame], block: _Block) -> str:
    """Only blkid's own word for "nothing" counts as nothing."""
    frame = frames.get(f"disk.{block.index}.blkid", ABSENT)
    if frame.status == 2:
        return ""
    found = dict(line.partition("=")[::2] for line in frame.text.splitlines())
    return found.get("TYPE") or found.get("PTTYPE") or "unknown"


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


def _names_path(text: str, path: str) -> bool:
    """The path stands in the text as a whole word: /dev/sda is not in /dev/sdaa."""
    return re.search(re.escape(path) + r"(?![A-Za-z0-9_.:-])", text) is not None
