"""Whatever a disk looks like: with any sign of data or use, it is never taken unasked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.devices import GIB, LOCAL_TRANSPORTS, DeviceRules, candidates, judge
from domain.facts import Disk, Facts
from domain.layout import Layout, PoolWish
from tests.unit.changes import changed
from tests.unit.test_device_situations import RECORDED, Output, Situation, disk_of, recorded

KINDS = ("disk", "part", "loop", "rom", "dm", "md", "mpath", "scini", "other")
TOOLS = ("blkid", "wipefs")
PATHS = ("/dev/sdb", "/dev/sdc", "/dev/sdd")

few = st.integers(min_value=0, max_value=2)
nodes = st.sampled_from(PATHS)
stable = st.sampled_from(("", "/dev/disk/by-id/ata-1", "/dev/disk/by-id/ata-2"))
any_disks = st.builds(
    Disk,
    path=nodes,
    by_id=stable,
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
    multipath=st.booleans(),
    opened=st.booleans(),
    configured=st.booleans(),
)
# Of the disks above hardly one in a thousand may be taken; of these, many.
FIT = Disk(
    path=PATHS[0], by_id="/dev/disk/by-id/ata-1", size_bytes=200 * GIB, transport="sata",
    exclusive=True, zero=True,
)  # fmt: skip
FAULTS: tuple[dict[str, object], ...] = (
    {"by_id": ""}, {"zero": False}, {"signature": "xfs"}, {"mounted": True}, {"transport": ""},
    {"kind": "loop", "transport": ""}, {"opened": True}, {"configured": True}, {"multipath": True},
)  # fmt: skip
nearly_fit = st.builds(
    lambda path, fault: changed(FIT, {"path": path, **fault}),
    nodes,
    st.just({}) | st.sampled_from(FAULTS),
)
disks = any_disks | nearly_fit
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
        or disk.opened or disk.configured or disk.multipath
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
        assert disk.by_id


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


hosts = st.builds(
    Facts,
    machine_id=st.just("m"),
    boot_id=st.just("b"),
    os_id=st.just("debian"),
    os_version=st.just("12"),
    kernel=st.just("6"),
    disks=st.lists(disks, max_size=4, unique_by=lambda disk: disk.path).map(tuple),
)


@given(facts=hosts, settings=rules)
def test_what_is_taken_unasked_is_stored_by_a_name_that_outlives_a_boot(
    facts: Facts, settings: DeviceRules
) -> None:
    layout = Layout(provides=(PoolWish(domain="d", pool="p"),))
    taken = [v.path for v in candidates(facts, layout, settings) if v.verdict.take]
    assert all(path.startswith("/dev/disk/by-id/") for path in taken)


@given(facts=hosts, settings=rules, devices=wishes)
def test_no_disk_is_given_to_two_pools(
    facts: Facts, settings: DeviceRules, devices: tuple[str, ...] | None
) -> None:
    layout = Layout(
        provides=tuple(PoolWish(domain="d", pool=pool, devices=devices) for pool in "pq")
    )
    taken = [v.disk.path for v in candidates(facts, layout, settings) if v.verdict.take and v.disk]
    assert len(taken) == len(set(taken))


# ---------------------------------------------------------------- mutated outputs of tools


texts = (
    st.sampled_from(sorted({one[tool]["text"] for one in RECORDED.values() for tool in TOOLS}))
    | st.text(max_size=30)
    | st.sampled_from(("", "\n", "# offset,uuid,label,type\n", "8:10 812 qemu-kvm\n", "8:11 9\n"))
    | st.sampled_from(("/etc/fstab:/dev/sdb1 /d\n", "/etc/crypttab:x /dev/sdc\n", "sdb u\n"))
)
statuses = st.sampled_from((0, 0, 0, 1, 2, 2, 4, 8, 124, 126, 127, 141, 255))
outputs = st.tuples(texts, statuses)
asked = st.dictionaries(
    st.sampled_from(
        ("disk.1.blkid", "disk.1.wipefs", "disk.1.open", "disk.1.zero", "disk.1.udev", "opened",
         "opened-again", "config", "btrfs", "swaps", "mountinfo", "deny")
    ),
    outputs,
    max_size=3,
)  # fmt: skip


def says_nothing(wipefs: Output) -> bool:
    lines = [line for line in wipefs[0].splitlines() if line.strip()]
    return wipefs[1] == 0 and all(line.startswith("#") for line in lines)


@given(changes=asked, lost=st.sets(st.sampled_from(("blkid", "open", "zero"))))
def test_a_disk_is_taken_only_if_every_tool_has_said_nothing_in_its_own_way(
    changes: dict[str, Output], lost: set[str]
) -> None:
    gone = tuple(f"disk.1.{name}" for name in lost)
    frames = {**Situation(rule="").frames(), **changes}
    disk = disk_of({name: output for name, output in frames.items() if name not in gone})
    if judge(disk, wish_paths=None, settings=DeviceRules()).take:
        assert not lost
        assert frames["disk.1.blkid"][1] == 2
        assert says_nothing(frames["disk.1.wipefs"])
        assert frames["disk.1.open"][1] == frames["disk.1.zero"][1] == 0
        assert frames["opened"][1] == frames["opened-again"][1] == frames["config"][1] == 0
        assert "/dev/sdb" not in frames["config"][0]
        assert "sdb u" not in frames["btrfs"][0].splitlines()
        both = set(frames["opened"][0].splitlines()) & set(frames["opened-again"][0].splitlines())
        assert "8:10 812 qemu-kvm" not in both


@given(
    name=st.sampled_from(sorted(set(RECORDED) - {"empty"})),
    tool=st.sampled_from(TOOLS),
    output=outputs,
)
def test_one_tool_that_fails_or_lies_does_not_make_a_disk_with_data_empty(
    name: str, tool: str, output: Output
) -> None:
    checks = {**recorded(name), tool: output}
    if name == "gpt-backup-only" and tool == "wipefs":
        return  # the one content that only wipefs knows: the samples of its last 16 MiB tell
    disk = disk_of(Situation(rule="signature", checks=checks).frames())
    for paths in (None, (disk.path,)):
        assert not judge(disk, wish_paths=paths, settings=DeviceRules()).take
