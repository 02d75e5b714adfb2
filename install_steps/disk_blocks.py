"""Block devices of a survey as sysfs and udev tell them, and what stands on what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from install_steps.frames import ABSENT, Frame

_FRAME: Final = re.compile(r"disk\.(\d+)\.sysfs")
# How a mapper's UUID begins, which its makers agreed on.
_MAPPERS: Final = (
    ("LVM-", "LVM"),
    ("CRYPT-", "dm-crypt"),
    ("mpath-", "multipath"),
    ("DMRAID-", "dmraid"),
    ("VDO-", "VDO"),
    ("stratis-", "Stratis"),
)


@attrs.frozen(kw_only=True)
class Block:
    """One block device as sysfs tells it; partitions and mappers too, to follow who uses whom."""

    index: str
    node: str
    name: str  # the kernel's own, whatever the node is called
    parent: str  # "" for a whole device
    values: Mapping[str, str]
    udev: Mapping[str, str]
    devices: frozenset[str]  # major:minor, its partitions' included
    slaves: frozenset[str]

    @property
    def described(self) -> str:
        """`dm-0 (LVM vg-root)`, `loop3 (backed by /dev/sdb)`, `md0`."""
        uuid, name = self.values.get("dm-uuid", ""), self.values.get("dm-name", "")
        kind = next((kind for start, kind in _MAPPERS if uuid.startswith(start)), "")
        told = " ".join(part for part in (kind, name) if part)
        backing = self.values.get("backing", "")
        told = told or (f"backed by {backing}" if backing else "")
        return f"{self.name} ({told})" if told else self.name


def blocks_of(frames: Mapping[str, Frame]) -> tuple[Block, ...]:
    return tuple(_blocks(frames))


def _blocks(frames: Mapping[str, Frame]) -> Iterable[Block]:
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
        index = found.group(1)
        yield Block(
            index=index,
            node=values.get("node", ""),
            name=values.get("sysfs", ""),
            parent=path.split("/")[-2] if partition and path.count("/") > 1 else "",
            values=values,
            udev=_properties(frames.get(f"disk.{index}.udev", ABSENT).text),
            devices=frozenset(devices | {values.get("device", "")}) - {""},
            slaves=frozenset(values.get("slaves", "").split()),
        )


def _properties(text: str) -> Mapping[str, str]:
    return dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)


def links_of(frames: Mapping[str, Frame], name: str) -> dict[str, tuple[str, ...]]:
    """Node -> its other names, of the frame with that name."""
    found: dict[str, list[str]] = {}
    for line in frames.get(name, ABSENT).text.splitlines():
        link, _, node = line.partition(" ")
        if link.startswith("/dev/") and node.startswith("/dev/"):
            found.setdefault(node.strip(), []).append(link)
    return {node: tuple(sorted(names)) for node, names in found.items()}


def below(blocks: tuple[Block, ...], seen: Mapping[str, str]) -> Mapping[str, str]:
    """What is seen of a device is seen of all it stands on: a mapper's slaves, a partition's disk.

    `seen`: kernel name -> evidence.
    """
    by_name = {block.name: block for block in blocks}
    reached: dict[str, str] = {}
    waiting = sorted(seen.items(), reverse=True)
    while waiting:
        name, evidence = waiting.pop()
        if name in reached:
            continue
        reached[name] = evidence
        block = by_name.get(name)
        if block is not None:
            under = [*sorted(block.slaves), *([block.parent] if block.parent else [])]
            waiting += [(lower, evidence) for lower in under]
    for block in blocks:  # a slave may be a partition whose own node is missing
        for part in sorted(block.values.get("partitions", "").split()):
            if part in reached:
                reached.setdefault(block.name, reached[part])
    return reached
