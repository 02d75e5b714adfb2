"""Which disk may be taken: none, unless all rules let it pass; the first that does not is named."""

from __future__ import annotations

from collections.abc import Iterable
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


@attrs.frozen(kw_only=True)
class DeviceRules:
    """The operator's settings. `mode`: auto, or declared (only what is named is ever taken)."""

    mode: str = "auto"
    bytes_min: int = BYTES_MIN
    overwrite: tuple[str, ...] = ()  # names under /dev/disk/by-id whose signature may go
    allow_loop: bool = False  # booted lab hosts only; all rules hold but that of the transport


@attrs.frozen(kw_only=True)
class Verdict:
    """`rule` is a fixed word; `sentence` is for people. `level`: auto, declared, overwrite."""

    take: bool
    rule: str
    sentence: str
    level: str = "auto"


@attrs.frozen(kw_only=True)
class DeviceVerdict:
    """`path` is the name to store and to give to the Gateway. `disk` None: there is none."""

    path: str
    disk: Disk | None
    wish: PoolWish | None
    verdict: Verdict


def judge(disk: Disk, *, wish_paths: tuple[str, ...] | None, settings: DeviceRules) -> Verdict:
    """May this disk be taken? `wish_paths` None: nothing was named, so it has to be empty."""
    named = wish_paths is not None and any(path in names_of(disk) for path in wish_paths)
    if wish_paths is None and settings.mode == "auto":
        refused = _in_use(disk, settings) or _holds_data(disk) or _unfit_unasked(disk, settings)
        return refused or Verdict(take=True, rule="empty", sentence="provably empty")
    if not named:
        return _no("not-named", "no attribute or layout names it", "declared")
    refused = _in_use(disk, settings)
    if refused:
        return attrs.evolve(refused, level="declared")
    data = _holds_data(disk)
    if data is None:
        return Verdict(take=True, rule="declared", sentence="named, unused", level="declared")
    if disk.by_id and any(path in (disk.by_id, *disk.links) for path in settings.overwrite):
        return Verdict(
            take=True,
            rule="overwrite",
            sentence=f"{data.sentence}, and is named by -devices.overwrite",
            level="overwrite",
        )
    return _no(
        data.rule,
        f"{data.sentence}: name {disk.by_id or 'its /dev/disk/by-id link'} in -devices.overwrite "
        "if that may go",
        "declared",
    )


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
        if disk.kind == "part" or disk.path in taken:
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


def _in_use(disk: Disk, settings: DeviceRules) -> Verdict | None:
    """What no naming lifts."""
    if disk.kind != "disk" and not (disk.kind == "loop" and settings.allow_loop):
        return _no("whole", f"it is {_KIND_NAMES.get(disk.kind, 'no whole local disk')}")
    if disk.system:
        return _no("system", "the host itself lives on it, or swaps to it")
    if disk.mounted:
        return _no("mounted", "it, or a part of it, is mounted")
    if disk.holders:
        return _no("holders", "another block device stands on it")
    if disk.mesos:
        return _no("mesos", "the Mesos agent offers it as a disk resource")
    if disk.denied:
        return _no("denied", "the host's devices.deny names it")
    if disk.size_bytes <= 0:
        return _no("size", "it has no size: is there a medium?")
    if disk.read_only:
        return _no("read-only", "it is read-only")
    if not disk.exclusive:
        return _no("in-use", "it could not be opened alone: something uses it")
    return None


def _holds_data(disk: Disk) -> Verdict | None:
    if disk.partitions:
        return _no("partitions", f"it has {disk.partitions} partitions")
    if disk.signature:
        return _no("signature", f"it carries a signature ({disk.signature})")
    return None


def _unfit_unasked(disk: Disk, settings: DeviceRules) -> Verdict | None:
    """What only a disk has to be that nobody named."""
    if disk.removable:
        return _no("removable", "it is removable: name it if it is meant")
    if disk.kind != "loop" and disk.transport not in LOCAL_TRANSPORTS:
        return _no(
            "transport",
            f"its transport is {disk.transport or 'unknown'}, not a local one: "
            "name it if it is meant",
        )
    if disk.size_bytes < settings.bytes_min:
        return _no(
            "size",
            f"it has {disk.size_bytes // GIB} GiB, less than {settings.bytes_min // GIB} GiB",
        )
    if not disk.zero:
        return _no("zero", "it is not all zero where it was sampled: name it if its data may go")
    if not disk.by_id:  # a by-path link names a slot: another disk may stand there tomorrow
        return _no(
            "stable-name",
            f"it has no name under /dev/disk/by-id, and {disk.path} may be another disk after a "
            "reboot: name it in an attribute, or give it a stable name there (a serial number, "
            "a udev rule)",
        )
    return None
