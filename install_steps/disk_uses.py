"""Who uses a disk, or is set up to: mounts, swap, processes, configuration, Mesos, the deny file.

Each of these gives kernel name -> evidence; a name that is missing is not used in that way.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from install_steps.disk_blocks import Block, below, links_of
from install_steps.frames import ABSENT, Frame

EVIDENCE_CHARACTERS_MAX: Final = 160  # it is stored, and stands in a sentence
_SYSTEM_MOUNTS: Final = re.compile(r"/|/(?:boot|usr|var|etc|opt|home|srv)(?:/efi)?")
_OPEN: Final = re.compile(r"([0-9a-f]{1,8}):([0-9a-f]{1,8}) (\d{1,10})(?: (.*))?")
_LVM_CONF: Final = re.compile(r"/etc/lvm/lvm[a-z]*\.conf")
_ACCEPT: Final = re.compile(r'"a(\W)([^"]*?)\1"')  # what LVM rejects is free for others
_NAMED: Final = re.compile(
    r"/dev/[^\s\"',;<>|=()\[\]{}]+|(?:PART)?(?:UUID|LABEL)=[^\s\"',;<>]+|IDNAME=[^\s\"',;<>]+"
)
_PARTITION_ENDS: Final = (r"-part\d+$", r"(?<=\d)p\d+$", r"(?<=[a-z])\d+$")
_CONTENT_NAMES: Final = (
    ("/dev/disk/by-uuid/", "UUID="),
    ("/dev/disk/by-label/", "LABEL="),
    ("/dev/disk/by-partuuid/", "PARTUUID="),
    ("/dev/disk/by-partlabel/", "PARTLABEL="),
)


@attrs.frozen(kw_only=True)
class Uses:
    """By kernel name."""

    mounted: Mapping[str, str]
    system: Mapping[str, str]
    opened: Mapping[str, str]
    configured: Mapping[str, str]
    mesos: Mapping[str, str]
    denied: Mapping[str, str]


def uses_of(
    frames: Mapping[str, Frame],
    blocks: tuple[Block, ...],
    links: Mapping[str, tuple[str, ...]],
    *,
    agent_resources: str,
) -> Uses:
    mounts = tuple(_mounts(frames, blocks, links))
    mounted = {block.name: f"{block.name} on {at}" for block, at in reversed(mounts)}
    system = {
        block.name: f"{block.name} on {at}"
        for block, at in reversed(mounts)
        if _SYSTEM_MOUNTS.fullmatch(at)
    }
    names = {block.name: frozenset({block.node, *links.get(block.node, ())}) for block in blocks}
    return Uses(
        mounted=below(blocks, {**_btrfs(frames), **mounted}),
        system=below(blocks, {**_swaps(frames, blocks, links), **system}),
        opened=_opened(frames, blocks),
        configured=_configured(frames, blocks, names),
        mesos=below(blocks, _offered(agent_resources, names, mounts)),
        denied=_denied(frames, names),
    )


def shortened(text: str) -> str:
    """One line of at most so many characters."""
    line = " ".join(text.split())
    if len(line) <= EVIDENCE_CHARACTERS_MAX:
        return line
    return line[: EVIDENCE_CHARACTERS_MAX - 3] + "..."


def _by_path(
    blocks: tuple[Block, ...], links: Mapping[str, tuple[str, ...]]
) -> Mapping[str, Block]:
    found = {block.node: block for block in blocks}
    return found | {link: block for block in blocks for link in links.get(block.node, ())}


def _by_device(blocks: tuple[Block, ...]) -> Mapping[str, Block]:
    """A partition's number means the partition; its disk, where that has no node."""
    found = {device: block for block in blocks for device in block.devices}
    return found | {block.values.get("device", ""): block for block in blocks}


def _mounts(
    frames: Mapping[str, Frame], blocks: tuple[Block, ...], links: Mapping[str, tuple[str, ...]]
) -> Iterable[tuple[Block, str]]:
    by_device, by_path = _by_device(blocks), _by_path(blocks, links)
    for line in frames.get("mountinfo", ABSENT).text.splitlines():
        left, dash, right = line.partition(" - ")
        words, source = left.split(" "), [*right.split(" "), ""][1]
        if not dash or len(words) < 5:
            continue
        for block in (by_device.get(words[2]), by_path.get(source)):
            if block is not None:
                yield block, words[4]


def _swaps(
    frames: Mapping[str, Frame], blocks: tuple[Block, ...], links: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    by_path, found = _by_path(blocks, links), dict[str, str]()
    for line in frames.get("swaps", ABSENT).text.splitlines():
        block = by_path.get(line.partition(" ")[0].partition("\t")[0])
        if block is not None:
            found[block.name] = f"swap on {block.name}"
    return found


def _btrfs(frames: Mapping[str, Frame]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in frames.get("btrfs", ABSENT).text.splitlines():
        name, _, uuid = line.strip().partition(" ")
        if name:
            found[name] = f"{name} is one of the disks of btrfs {uuid}"
    return found


# ---------------------------------------------------------------- processes


def _opened(frames: Mapping[str, Frame], blocks: tuple[Block, ...]) -> Mapping[str, str]:
    """Open before and after all other looks: what only looks at disks is gone by then."""
    looks = [frames[name] for name in ("opened", "opened-again") if name in frames]
    held: dict[tuple[str, str], str] | None = None
    for look in looks:
        lines = [_OPEN.fullmatch(line) for line in look.text.splitlines()]
        if look.status != 0 or None in lines:
            why = f"who has it open could not be looked at (status {look.status})"
            return {block.name: why for block in blocks}
        now = {
            (f"{int(m[1], 16)}:{int(m[2], 16)}", m[3]): (m[4] or "a process").strip()
            for m in lines
            if m is not None
        }
        held = now if held is None else {key: name for key, name in held.items() if key in now}
    by_device = _by_device(blocks)
    seen: dict[str, str] = {}
    for (device, process), command in (held or {}).items():
        block = by_device.get(device)
        if block is not None:
            seen.setdefault(block.name, shortened(f"{command} (process {process})"))
    return below(blocks, seen)


# ---------------------------------------------------------------- configuration


def _configured(
    frames: Mapping[str, Frame], blocks: tuple[Block, ...], names: Mapping[str, frozenset[str]]
) -> Mapping[str, str]:
    frame = frames.get("config")
    if frame is None:
        return {}
    if frame.status != 0:
        why = f"the host's configuration could not be read (status {frame.status})"
        return {block.name: why for block in blocks}
    named = _named_in(frame.text)
    aliases = links_of(frames, "aliases")
    seen: dict[str, str] = {}
    for block in blocks:
        wwid = block.values.get("wwid") or block.values.get("device-wwid")
        own = {*names[block.name], *_content_names(aliases.get(block.node, ()))}
        own |= {f"IDNAME={wwid}"} if wwid else set()
        found = next((named[name] for name in sorted(own) if name in named), "")
        if found:
            seen[block.name] = found
    return below(blocks, seen)


def _named_in(text: str) -> Mapping[str, str]:
    """Whatever names a device -> the line; a partition's name is its disk's too."""
    named: dict[str, str] = {}
    for line in text.splitlines():
        file, _, content = line.partition(":")
        content = content.strip()
        if content.startswith(("#", ";", "//", "<!--")):
            continue
        evidence = shortened(f"{file}: {content}")
        if _LVM_CONF.fullmatch(file):
            accepted = " ".join(found[1] for found in _ACCEPT.findall(content))
            content = accepted.replace(".*", " ").replace("^", " ").replace("$", " ")
        for word in _NAMED.findall(content.replace('="', "=")):
            name = word.rstrip(".,:")
            for known in (name, *(re.sub(end, "", name) for end in _PARTITION_ENDS)):
                named.setdefault(known, evidence)
    return named


def _content_names(links: Iterable[str]) -> Iterable[str]:
    """`/dev/disk/by-uuid/X` is also written `UUID=X`."""
    for link in links:
        yield link
        for folder, key in _CONTENT_NAMES:
            if link.startswith(folder):
                yield key + link.removeprefix(folder)


# ---------------------------------------------------------------- Mesos and the deny file


def _offered(
    agent_resources: str,
    names: Mapping[str, frozenset[str]],
    mounts: Iterable[tuple[Block, str]],
) -> dict[str, str]:
    """Kernel name -> the name by which the agent's resources call it, or a mount of it."""
    found = {
        block.name: f"{at} is mounted from {block.name}"
        for block, at in mounts
        if at != "/" and _stands_in(agent_resources, at)
    }
    for block_name, own in names.items():
        told = next(
            (name for name in sorted(own) if name and _stands_in(agent_resources, name)), ""
        )
        if told:
            found[block_name] = told
    return found


def _stands_in(text: str, path: str) -> bool:
    """The path stands in the text as a whole word: /dev/sda is not in /dev/sdaa."""
    return path in text and (re.search(re.escape(path) + r"(?![A-Za-z0-9_.:-])", text) is not None)


def _denied(frames: Mapping[str, Frame], names: Mapping[str, frozenset[str]]) -> Mapping[str, str]:
    entries = [
        entry
        for line in frames.get("deny", ABSENT).text.splitlines()
        if (entry := line.partition("#")[0].strip())
    ]
    found: dict[str, str] = {}
    for block_name, own in names.items():
        for entry in entries:
            if any(name == entry or fnmatch.fnmatchcase(name, entry) for name in own):
                found[block_name] = shortened(entry)
                break
    return found
