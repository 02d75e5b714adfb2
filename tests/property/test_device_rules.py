"""Whatever a disk looks like: with any sign of data or use, it is never taken unasked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.devices import GIB, LOCAL_TRANSPORTS, DeviceRules, candidates, judge
from domain.facts import Disk, Facts
from domain.layout import Layout, PoolWish

KINDS = ("disk", "part", "loop", "rom", "dm", "md", "mpath", "scini", "other")
PATHS = ("/dev/sdb", "/dev/sdc", "/dev/sdd")

few = st.integers(min_value=0, max_value=2)
disks = st.builds(
    Disk,
    path=st.sampled_from(PATHS),
    by_id=st.sampled_from(("", "/dev/disk/by-id/ata-1", "/dev/disk/by-id/ata-2")),
    size_bytes=st.sampled_from((0, 1, 50 * GIB, 100 * GIB, 200 * GIB)),
    kind=st.sampled_from(KINDS),
    transport=st.sampled_from(("", "fc", "iscsi", "usb", "nvme-tcp", *sorted(LOCAL_TRANSPORTS))),
    read_only=st.booleans(),
    removable=st.booleans(),
    partitions=few,
    holders=few,
    signature=st.sampled_from(("", "xfs", "unknown")),
    mounted=st.booleans(),
    system=st.booleans(),
    exclusive=st.booleans(),
    zero=st.booleans(),
    denied=st.booleans(),
    mesos=st.booleans(),
)
rules = st.builds(
    DeviceRules,
    mode=st.sampled_from(("auto", "declared")),
    overwrite=st.lists(st.sampled_from(("/dev/disk/by-id/ata-1", "/dev/sdb"))).map(tuple),
    allow_loop=st.booleans(),
)
wishes = st.none() | st.lists(st.sampled_from((*PATHS, "/dev/disk/by-id/ata-1"))).map(tuple)


def in_use(disk: Disk) -> bool:
    return (
        disk.mounted or disk.system or disk.denied or disk.mesos or disk.read_only
        or disk.holders > 0 or not disk.exclusive or disk.size_bytes == 0
    )  # fmt: skip


def holds_data(disk: Disk) -> bool:
    return bool(disk.signature) or disk.partitions > 0


@given(disk=disks, settings=rules)
def test_a_disk_with_any_sign_of_data_or_use_is_never_taken_unasked(
    disk: Disk, settings: DeviceRules
) -> None:
    if judge(disk, wish_paths=None, settings=settings).take:
        assert not in_use(disk)
        assert not holds_data(disk)
        assert disk.zero
        assert not disk.removable
        assert disk.size_bytes >= settings.bytes_min
        assert disk.kind == "disk" or (disk.kind == "loop" and settings.allow_loop)
        assert disk.kind == "loop" or disk.transport in LOCAL_TRANSPORTS
        assert settings.mode == "auto"


@given(disk=disks, settings=rules, paths=wishes)
def test_no_naming_gives_away_a_disk_in_use_or_an_unmentioned_signature(
    disk: Disk, settings: DeviceRules, paths: tuple[str, ...] | None
) -> None:
    verdict = judge(disk, wish_paths=paths, settings=settings)
    assert verdict.rule
    assert verdict.sentence
    if verdict.take:
        assert not in_use(disk)
        assert not holds_data(disk) or disk.by_id in settings.overwrite


@given(
    found=st.lists(disks, max_size=4, unique_by=lambda disk: disk.path),
    settings=rules,
    devices=wishes,
)
def test_no_disk_is_given_to_two_pools(
    found: list[Disk], settings: DeviceRules, devices: tuple[str, ...] | None
) -> None:
    facts = Facts(
        machine_id="m", boot_id="b", os_id="debian", os_version="12", kernel="6",
        disks=tuple(found),
    )  # fmt: skip
    layout = Layout(
        provides=tuple(PoolWish(domain="d", pool=pool, devices=devices) for pool in "pq")
    )
    taken = [v.disk.path for v in candidates(facts, layout, settings) if v.verdict.take and v.disk]
    assert len(taken) == len(set(taken))
