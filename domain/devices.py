"""Which disk may be taken: none, unless all rules let it pass; the first that does not is named.

`RULES` is the whole law, in the order in which it is applied. What a survey saw of a rule stands
in `Disk.evidence` under the rule's name, and ends the rule's sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from domain.facts import Disk, Facts
from domain.layout import Layout, PoolWish

GIB: Final = 1024**3
BYTES_MIN: Final = 100 * GIB  # ScaleIO refuses smaller devices
LOCAL_TRANSPORTS: Final = frozenset(
    {"sata", "sas", "scsi", "nvme", "virtio", "xen", "hyperv"}
)  # "" is not among them: what is not known to be local is not taken unasked
_KIND_NAMES: Final = {
    "part": "a partition: name the whole disk",
    "loop": "a loop device",
    "rom": "an optical drive",
    "dm": "a device-mapper volume",
    "md": "a RAID of the host",
    "mpath": "a multipath volume",
    "scini": "a ScaleIO volume",
}
NOTHING: Final = "nothing"
OVERWRITE: Final = "overwrite"
NAMING: Final = "naming"


@attrs.frozen(kw_only=True)
class DeviceRules:
    """The operator's settings. `mode`: auto, or declared (only what is named is ever taken)."""

    mode: str = "auto"
    bytes_min: int = BYTES_MIN
    overwrite: tuple[str, ...] = ()  # names under /dev/disk/by-id whose signature may go
    allow_loop: bool = False  # booted lab hosts only; all rules hold but that of the transport


@attrs.frozen(kw_only=True)
class Rule:
    """`lifted_by`: nothing, overwrite (named in -devices.overwrite and as a device), naming."""

    name: str
    lifted_by: str
    meaning: str  # "a disk is left alone when ...", for the documents
    why: Callable[[Disk, DeviceRules], str]  # what is wrong, without the evidence; "" if nothing


@attrs.frozen(kw_only=True)
class Verdict:
    """`rule` is a fixed word; `sentence` is for people. `level`: auto, declared, overwrite."""

    take: bool
    rule: str
    sentence: str
    level: str = "auto"
    evidence: str = ""  # what was seen on the host; the sentence holds it too


@attrs.frozen(kw_only=True)
class DeviceVerdict:
    """`path` is the name to store and to give to the Gateway. `disk` None: there is none."""

    path: str
    disk: Disk | None
    wish: PoolWish | None
    verdict: Verdict


# ---------------------------------------------------------------- the rules


def _not_whole(disk: Disk, rules: DeviceRules) -> str:
    if disk.kind == "disk" or (disk.kind == "loop" and rules.allow_loop):
        return ""
    return f"it is {_KIND_NAMES.get(disk.kind, 'no whole local disk')}"


def _transport(disk: Disk, _: DeviceRules) -> str:
    if disk.kind == "loop" or disk.transport in LOCAL_TRANSPORTS:
        return ""
    return (
        f"its transport is {disk.transport or 'unknown'}, not a local one: name it if it is meant"
    )


def _small(disk: Disk, rules: DeviceRules) -> str:
    if disk.size_bytes >= rules.bytes_min:
        return ""
    return f"it has {disk.size_bytes // GIB} GiB, less than {rules.bytes_min // GIB} GiB"


def _nameless(disk: Disk, _: DeviceRules) -> str:
    if disk.by_id:  # a by-path link names a slot: another disk may stand there tomorrow
        return ""
    return (
        f"it has no name under /dev/disk/by-id, and {disk.path} may be another disk after a "
        "reboot: name it in an attribute, or give it a stable name there (a serial number, "
        "a udev rule)"
    )


def _if(holds: Callable[[Disk], bool], sentence: str) -> Callable[[Disk, DeviceRules], str]:
    return lambda disk, _: sentence if holds(disk) else ""


# One rule is one row.
# fmt: off
RULES: Final[tuple[Rule, ...]] = tuple(
    Rule(name=name, lifted_by=lifted_by, meaning=meaning, why=why)
    for name, lifted_by, meaning, why in (
        ("whole", NOTHING,
         "it is no whole disk: a partition, mapper, RAID, loop, network, optical, ScaleIO device",
         _not_whole),
        ("system", NOTHING, "the host itself lives on it, or swaps to it",
         _if(lambda d: d.system, "the host itself lives on it, or swaps to it")),
        ("mounted", NOTHING,
         "it, a partition of it or a volume on it is mounted, also as one of several btrfs disks",
         _if(lambda d: d.mounted, "it, or a part of it, is mounted")),
        ("holders", NOTHING,
         "a mapper (LVM, dm-crypt, multipath, Docker), RAID, bcache or loop device stands on it",
         _if(lambda d: d.holders > 0, "another block device stands on it")),
        ("multipath", NOTHING, "multipathd has claimed it as a path",
         _if(lambda d: d.multipath, "multipathd has claimed it as a path of a volume")),
        ("mesos", NOTHING, "the Mesos agent offers it, or what is mounted from it, as a resource",
         _if(lambda d: d.mesos, "the Mesos agent offers it as a disk resource")),
        ("denied", NOTHING,
         "`/etc/scaleio-framework/devices.deny` on the host names it (a path or pattern a line)",
         _if(lambda d: d.denied, "the host's devices.deny names it")),
        ("configured", NOTHING,
         "a file of the host's configuration names it, in use now or not (list below)",
         _if(lambda d: d.configured, "a file of the host's configuration names it")),
        ("medium", NOTHING, "it has no size",
         _if(lambda d: d.size_bytes <= 0, "it has no size: is there a medium?")),
        ("read-only", NOTHING, "it is read-only", _if(lambda d: d.read_only, "it is read-only")),
        ("open", NOTHING,
         "a process (a virtual machine, a database, an SDS) has it or a partition of it open",
         _if(lambda d: d.opened, "a process has it open")),
        ("in-use", NOTHING, "the kernel does not let it be opened alone",
         _if(lambda d: not d.exclusive, "it could not be opened alone: something uses it")),
        ("partitions", OVERWRITE, "it has partitions",
         lambda d, _: f"it has {d.partitions} partitions" if d.partitions else ""),
        ("signature", OVERWRITE,
         "blkid, wipefs or udev find a table, a file system, any label, or do not answer",
         _if(lambda d: bool(d.signature), "it carries a signature")),
        ("removable", NAMING, "it is removable",
         _if(lambda d: d.removable, "it is removable: name it if it is meant")),
        ("transport", NAMING,
         "its transport is none of " + ", ".join(sorted(LOCAL_TRANSPORTS)), _transport),
        ("size", NAMING, "it is smaller than `-devices.min-size-gb`", _small),
        ("zero", NAMING, "its first and last 16 MiB and 256 samples between are not all zero",
         _if(lambda d: not d.zero,
             "it is not all zero where it was sampled: name it if its data may go")),
        ("stable-name", NAMING, "it has no name under `/dev/disk/by-id`", _nameless),
    )
)
# fmt: on


def broken(
    disk: Disk, settings: DeviceRules, lifted_by: Iterable[str], *, level: str = "auto"
) -> Verdict | None:
    """The first rule of these kinds that the disk breaks."""
    kinds = frozenset(lifted_by)
    for rule in RULES:
        why = rule.why(disk, settings) if rule.lifted_by in kinds else ""
        if why:
            seen = disk.evidence.get(rule.name, "")
            if rule.name == "signature":
                seen = seen or disk.signature
            sentence = f"{why}: {seen}" if seen else why
            return Verdict(
                take=False, rule=rule.name, sentence=sentence, level=level, evidence=seen
            )
    return None


def judge(disk: Disk, *, wish_paths: tuple[str, ...] | None, settings: DeviceRules) -> Verdict:
    """May this disk be taken? `wish_paths` None: nothing was named, so it has to be empty."""
    named = wish_paths is not None and any(path in names_of(disk) for path in wish_paths)
    if wish_paths is None and settings.mode == "auto":
        refused = broken(disk, settings, (NOTHING, OVERWRITE, NAMING))
        return refused or Verdict(take=True, rule="empty", sentence="provably empty")
    if not named:
        return _no("not-named", "no attribute or layout names it", "declared")
    refused = broken(disk, settings, (NOTHING,), level="declared")
    if refused:
        return refused
    data = broken(disk, settings, (OVERWRITE,), level="declared")
    if data is None:
        return Verdict(take=True, rule="declared", sentence="named, unused", level="declared")
    if disk.by_id and any(path in (disk.by_id, *disk.links) for path in settings.overwrite):
        return attrs.evolve(
            data,
            take=True,
            rule="overwrite",
            sentence=f"{data.sentence}, and is named by -devices.overwrite",
            level="overwrite",
        )
    name = disk.by_id or "its /dev/disk/by-id link"
    sentence = f"{data.sentence}; name {name} in -devices.overwrite if that may go"
    return attrs.evolve(data, sentence=sentence)


# ---------------------------------------------------------------- a host's disks


def names_of(disk: Disk) -> frozenset[str]:
    return frozenset({disk.path, disk.by_id, *disk.links}) - {""}


def candidates(facts: Facts, layout: Layout, rules: DeviceRules) -> tuple[DeviceVerdict, ...]:
    """A verdict on every disk of a host that provides storage, and on every name without one."""
    if not layout.provides:
        return ()
    verdicts: list[DeviceVerdict] = []
    taken: set[str] = set()
    for wish in layout.provides:
        if wish.devices is None:
            verdicts += _unasked(facts.disks, wish, rules, taken)
        else:
            verdicts += _named(facts.disks, wish, wish.devices, rules, taken)
    judged = {v.disk.path for v in verdicts if v.disk is not None}
    verdicts += (
        DeviceVerdict(
            path=stable_name(disk),
            disk=disk,
            wish=None,
            verdict=judge(disk, wish_paths=(), settings=rules),
        )
        for disk in facts.disks
        if disk.path not in judged and disk.kind != "part"
    )
    return tuple(verdicts)


def stable_name(disk: Disk) -> str:
    """What outlives a boot; the kernel's name only where the host has nothing better."""
    return disk.by_id or disk.path


def _unasked(
    disks: Iterable[Disk], wish: PoolWish, rules: DeviceRules, taken: set[str]
) -> Iterable[DeviceVerdict]:
    for disk in disks:
        if disk.kind == "part" or disk.path in taken or not wish.looks_for(disk):
            continue
        verdict = judge(disk, wish_paths=None if rules.mode == "auto" else (), settings=rules)
        if verdict.take:
            taken.add(disk.path)
        yield DeviceVerdict(path=stable_name(disk), disk=disk, wish=wish, verdict=verdict)


def _named(
    disks: tuple[Disk, ...],
    wish: PoolWish,
    paths: tuple[str, ...],
    rules: DeviceRules,
    taken: set[str],
) -> Iterable[DeviceVerdict]:
    for path in paths:
        disk = next((d for d in disks if path in names_of(d)), None)
        if disk is None:
            verdict = _no(
                "missing",
                f"{path} is named for pool {wish.pool}, but the host has no such device: "
                "correct the attribute, or add the disk",
                "declared",
            )
        elif disk.path in taken:
            verdict = _no("twice", f"{path} is named twice: name it once", "declared")
        else:
            verdict = judge(disk, wish_paths=(path,), settings=rules)
            if verdict.take:
                taken.add(disk.path)
        yield DeviceVerdict(
            path=(disk.by_id if disk is not None else "") or path,  # else as the operator named it
            disk=disk,
            wish=wish,
            verdict=verdict,
        )


def _no(rule: str, sentence: str, level: str = "auto") -> Verdict:
    return Verdict(take=False, rule=rule, sentence=sentence, level=level)
