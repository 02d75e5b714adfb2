"""A survey's raw output becomes facts; what is missing, damaged or cut off is said so."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from domain.facts import Disk, Facts, Receipt
from install_steps.facts import SurveyError, parse_survey
from simulation.host_survey import frame, result_line

GUID = "271bad82-08ee-44f2-a2b1-7e2787c27be1"
BOOT = "5f4b1f0e-3c1d-4a55-9a0e-0d8c4c6f2b11"
BASE: Mapping[str, tuple[str, int]] = {
    "os-release": ('ID=debian\nVERSION_ID="12"\n# comment\nBROKEN="x\n', 0),
    "uname": ("6.1.0-18-amd64 x86_64\n", 0),
    "boot-id": (f"{BOOT}\n", 0),
    "machine-id": ("4efb02849e52d670f2484feeb6b3fbcc\n", 0),
    "init": ("systemd\n", 0),
}
PEM = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkq+/=\n-----END PUBLIC KEY-----\n"


def survey(frames: Mapping[str, tuple[str, int]]) -> str:
    merged = {**BASE, **frames}
    text = "".join(frame(name, body, status) for name, (body, status) in merged.items())
    return text + result_line(
        "survey", changed=False, reason="surveyed", extra={"frames": len(merged)}
    )


def facts(**frames: tuple[str, int]) -> Facts:
    return parse_survey(survey(frames))


def flags(**values: str) -> tuple[str, int]:
    return json.dumps({"flags": values}).replace("/", "\\/"), 0


def disk_frames(number: int, sysfs: Mapping[str, str], **others: int) -> dict[str, tuple[str, int]]:
    values = {"size": "419430400", "ro": "0", "removable": "0", "device": f"8:{16 * number}"}
    text = "".join(f"{key}={value}\n" for key, value in {**values, **sysfs}.items())
    checks = {"blkid": 2, "open": 0, "zero": 0, **others}
    return {
        f"disk.{number}.sysfs": (text, 0),
        **{f"disk.{number}.{name}": ("", status) for name, status in checks.items()},
    }


def one_disk(sysfs: Mapping[str, str], **others: int) -> Disk:
    values = {"node": "/dev/sdb", "sysfs": "sdb", **sysfs}
    (disk,) = parse_survey(survey(disk_frames(1, values, **others))).disks
    return disk


def test_a_bare_host_has_empty_facts() -> None:
    found = facts()
    assert (found.os_id, found.os_version, found.kernel) == ("debian", "12", "6.1.0-18-amd64")
    assert (found.init, found.packages, found.prerequisites) == ("systemd", {}, False)
    assert (found.sdc_guid, found.isolation, found.disks, found.public_key) == ("", (), (), "")
    assert found.services == {"sds": False, "scini": False, "rexray": False}


def test_words_of_an_old_executor_between_the_frames_lines_do_no_harm() -> None:
    text = survey({"public-key": (PEM, 0)})
    noisy = text.replace("\n", "\nReceived ACKNOWLEDGED event\nForked command at 123\n")
    assert parse_survey(noisy) == parse_survey(text)
    assert parse_survey(noisy).public_key == PEM


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing here",
        survey({})[:-40],
        survey({})[:200],
        survey({}).replace("@end uname", "@end other"),
        survey({}).replace("@begin uname", "@begin os-release"),
        survey({}).replace('"frames":5', '"frames":6'),
        "@begin a\nAAAAA\n@end a 0\n@result {}",
        survey({"boot-id": ("", 1)}),
        survey({"machine-id": ("", 1)}),
        survey({"machine-id": ("<script>\n", 0)}),
        survey({"uname": ("", 1)}),
    ],
)
def test_a_survey_that_cannot_be_used_says_so_in_a_sentence(text: str) -> None:
    with pytest.raises(SurveyError, match=" "):
        parse_survey(text)


def test_debian_packages_count_only_when_they_are_installed() -> None:
    found = facts(
        **{
            "packages-deb": (
                (
                    "emc-scaleio-sds install ok installed 2.0-10000.2072\n"
                    "emc-scaleio-sdc deinstall ok config-files 2.0-5014.0\n"
                    "rexray hold ok installed 0.11.4-1\n"
                ),
                1,
            )
        },
    )
    assert found.packages == {"sds": "2.0-10000.2072", "rexray": "0.11.4-1"}


def test_prerequisites_are_their_packages_and_the_key() -> None:
    names = ("libaio1t64", "numactl", "openssl", "curl")
    deb = "".join(f"{name} install ok installed 1\n" for name in names)
    assert facts(**{"packages-deb": (deb, 1), "public-key": (PEM, 0)}).prerequisites
    assert not facts(**{"packages-deb": (deb, 1)}).prerequisites
    short = deb.replace("numactl", "other")
    assert not facts(**{"packages-deb": (short, 1), "public-key": (PEM, 0)}).prerequisites


def test_the_family_follows_os_release_where_dpkg_and_rpm_are_both_there() -> None:
    release = 'ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n'
    found = facts(
        **{
            "os-release": (release, 0),
            "packages-deb": ("emc-scaleio-sds install ok installed 1\n", 0),
            "packages-rpm": (
                "EMC-ScaleIO-sdc 2.0-10000.2072.el7\npackage rexray is not installed\n",
                2,
            ),
        }
    )
    assert found.packages == {"sdc": "2.0-10000.2072.el7"}
    assert found.os_like == ("rhel", "fedora")


def test_an_unpacked_tool_has_its_version_while_it_is_unchanged() -> None:
    def packages(actual: str) -> Mapping[str, str]:
        return facts(
            **{
                "binary.dvdcli": (f"{actual}  /usr/bin/dvdcli\n", 0),
                "unpacked.dvdcli": (f"0.1.0 {'a' * 64}\n", 0),
            }
        ).packages

    assert packages("a" * 64) == {"dvdcli": "0.1.0"}
    assert packages("b" * 64) == {"dvdcli": "unknown"}


def test_services_are_read_as_their_init_system_says_it() -> None:
    up = {"service.sds": ("active\n", 0), "service.scini": ("activating\n", 3)}
    assert facts(**up).services == {"sds": True, "scini": False, "rexray": False}
    upstart = facts(
        **{
            "init": ("init\n", 0),
            "init-version": ("init (upstart 1.12.1)\n", 0),
            "service.sds": ("sds start/running, process 812\n", 0),
            "service.scini": ("scini stop/waiting\n", 0),
            "service.rexray": ("rexray is running\n", 0),
        }
    )
    assert upstart.init == "upstart"
    assert upstart.services == {"sds": True, "scini": False, "rexray": True}
    assert facts(init=("init\n", 0)).init == "sysvinit"
    assert facts(init=("containerd-shim\n", 0)).init == ""


def test_the_drivers_words_give_guid_and_managers() -> None:
    line = "MDM-ID 6035b6cf SDC ID d7c5ab30 INSTALLATION ID 7f3a IPs [0]-10.0.0.1 [1]-10.0.0.2"
    found = facts(
        guid=(f"{GUID}\n", 0), mdms=(f"Retrieved 1 mdm(s)\n{line}\n", 0), module=("live\n", 0)
    )
    assert found.sdc_guid == GUID.upper()
    assert found.sdc_mdms == ("10.0.0.1", "10.0.0.2")
    assert found.sdc_module


@pytest.mark.parametrize(
    ("state", "loaded"),
    [
        (("live\n", 0), True),
        (("coming\n", 0), False),
        (("going\n", 0), False),
        (("live\n", 1), False),
        (("", 1), False),
        (("scini 1 0 - Live 0x0 (OE)\n", 0), False),
    ],
)
def test_the_module_is_loaded_when_the_kernel_calls_it_live(
    state: tuple[str, int], *, loaded: bool
) -> None:
    assert facts(module=state).sdc_module is loaded


def test_managers_come_from_the_file_while_the_driver_is_down() -> None:
    file = f"ini_guid {GUID}\nmdm 10.0.0.1,10.0.0.2\n"
    found = facts(mdms=("", 1), **{"drv-cfg-file": (file, 0)})
    assert found.sdc_mdms == ("10.0.0.1", "10.0.0.2")
    assert not found.sdc_module


def test_the_agents_own_flags_give_isolation_and_launcher() -> None:
    found = facts(**{"agent-flags": flags(isolation="posix/cpu, posix/mem", launcher="linux")})
    assert (found.isolation, found.launcher) == (("posix/cpu", "posix/mem"), "linux")
    for closed in (("", 22), ("not json", 0), ('{"flags": 3}', 0), ("[" * 100000, 0)):
        assert facts(**{"agent-flags": closed}).isolation == ()


def test_an_openssl_before_1_0_2_is_told_apart() -> None:
    assert facts(openssl=("OpenSSL 1.0.1f 6 Jan 2014\n", 0)).oaep_digest == "sha1"
    assert facts(openssl=("OpenSSL 1.0.2k-fips 26 Jan 2017\n", 0)).oaep_digest == "sha256"


def test_an_open_receipt_of_an_earlier_boot_is_closed() -> None:
    entries = [
        {"step": "agent-restart", "state": "open", "boot_id": BOOT},
        {"step": "reboot", "state": "open", "boot_id": "other"},
        {"step": "sds", "state": "kept"},
        {"step": "x", "state": "invented"},
        {"step": 3},
        "no object",
    ]
    found = facts(receipt=(json.dumps({"version": 1, "entries": entries}), 0))
    assert found.receipts == (
        Receipt(step="agent-restart", state="open"),
        Receipt(step="reboot", state="kept"),
        Receipt(step="sds", state="kept"),
    )


def test_rexrays_file_counts_while_it_is_what_we_wrote() -> None:
    entry = {"step": "rexray", "state": "kept", "config": "c0ffee", "sha256": "a" * 64}
    receipt = (json.dumps({"entries": [entry]}), 0)

    def digest(actual: str) -> str:
        line = (f"{actual}  /etc/rexray/config.yml\n", 0)
        return facts(**{"receipt": receipt, "rexray-config": line}).rexray_config

    assert digest("a" * 64) == "c0ffee"
    assert digest("b" * 64) == ""
    assert facts(receipt=receipt).rexray_config == ""


@pytest.mark.parametrize(
    ("path", "transport"),
    [
        ("/sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sdb", "sata"),
        ("/sys/devices/pci0/0000:03:00.0/host0/port-0:0/end_device-0:0/x/block/sdb", "sas"),
        ("/sys/devices/pci0/0000:03:00.0/host2/target2:0:0/2:0:0:0/block/sdb", "scsi"),
        ("/sys/devices/pci0/0000:03:00.0/host2/rport-2:0-0/target2/2:0:0:0/block/sdb", "fc"),
        ("/sys/devices/platform/host4/session1/target4:0:0/4:0:0:0/block/sdb", "iscsi"),
        ("/sys/devices/pci0/0000:00:14.0/usb1/1-1/host5/target5/5:0:0:0/block/sdb", "usb"),
        ("/sys/devices/pci0/0000:00:05.0/virtio2/block/vdb", "virtio"),
        ("/sys/devices/vbd-51792/block/xvdf", "xen"),
        ("/sys/devices/virtual/block/sdb", ""),
    ],
)
def test_the_transport_is_what_the_kernel_hung_the_disk_on(path: str, transport: str) -> None:
    assert one_disk({"path": path}).transport == transport


def test_nvme_over_a_network_is_not_local() -> None:
    assert one_disk({"sysfs": "nvme0n1", "transport": "tcp"}).transport == "nvme-tcp"
    assert one_disk({"sysfs": "nvme0n1", "transport": "pcie"}).transport == "nvme"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sdaa", "disk"), ("nvme0n1", "disk"), ("xvdf", "disk"), ("cciss!c0d1", "disk"),
        ("dm-3", "dm"), ("md127", "md"), ("loop7", "loop"), ("sr0", "rom"), ("scinia", "scini"),
        ("zram0", "other"), ("nbd0", "other"), ("nvme0c0n1", "other"), ("sdb!", "other"),
    ],
)  # fmt: skip
def test_a_device_is_what_the_kernel_calls_it(name: str, kind: str) -> None:
    assert one_disk({"node": "/dev/xvdf", "sysfs": name}).kind == kind


def test_a_loop_device_under_a_disks_name_is_still_a_loop_device() -> None:
    disk = one_disk({"node": "/dev/xvdf", "sysfs": "loop3", "path": "/sys/devices/virtual/block/x"})
    assert (disk.path, disk.kind, disk.size_bytes) == ("/dev/xvdf", "loop", 214748364800)


def test_a_mapped_volume_is_one_under_each_of_its_nodes_whatever_the_kernel_calls_it() -> None:
    frames = {
        **disk_frames(1, {"node": "/dev/scinia", "sysfs": "loop3"}),
        **disk_frames(2, {"node": "/dev/xvdg", "sysfs": "loop3"}),
        **disk_frames(3, {"node": "/dev/xvdf", "sysfs": "loop4"}),
    }
    kinds = [disk.kind for disk in parse_survey(survey(frames)).disks]
    assert kinds == ["scini", "scini", "loop"]


@pytest.mark.parametrize("status", [0, 1, 4, 8, 127, 124])
def test_only_blkids_own_word_for_nothing_is_no_signature(status: int) -> None:
    assert one_disk({}, blkid=status).signature == "unknown"
    assert one_disk({}, blkid=2).signature == ""


def test_a_check_that_did_not_succeed_or_run_is_no_proof() -> None:
    assert not one_disk({}, open=127).exclusive
    assert not one_disk({}, zero=124).zero
    bare = {"disk.1.sysfs": ("node=/dev/sdb\nsysfs=sdb\n", 0)}
    (disk,) = parse_survey(survey(bare)).disks
    assert (disk.exclusive, disk.zero, disk.read_only) == (False, False, True)
    assert disk.signature == "unknown"


LVM: Mapping[str, tuple[str, int]] = {
    **disk_frames(
        0,
        {
            "node": "/dev/sda", "sysfs": "sda", "path": "/sys/devices/x/block/sda",
            "device": "8:0", "partitions": "sda1 sda2", "partition-device": "8:2",
            "holders": "dm-0",
        },
    ),
    **disk_frames(
        1,
        {
            "node": "/dev/sda2", "sysfs": "sda2", "path": "/sys/devices/x/block/sda/sda2",
            "device": "8:2", "partition": "2", "holders": "dm-0",
        },
    ),
    **disk_frames(
        2,
        {
            "node": "/dev/dm-0", "sysfs": "dm-0", "path": "/sys/devices/virtual/block/dm-0",
            "device": "253:0", "dm-uuid": "LVM-abc", "slaves": "sda2",
        },
    ),
    **disk_frames(3, {"node": "/dev/sdb", "sysfs": "sdb", "device": "8:16"}),
    "mountinfo": ("22 1 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/vg-root rw\n", 0),
    "swaps": ("Filename Type Size Used Priority\n", 0),
}  # fmt: skip


def test_the_disk_below_the_root_volume_is_the_systems() -> None:
    sda, sda2, dm, sdb = parse_survey(survey(LVM)).disks
    assert [d.system for d in (sda, sda2, dm, sdb)] == [True, True, True, False]
    assert [d.mounted for d in (sda, sda2, dm, sdb)] == [True, True, True, False]
    assert (sda.partitions, sda.holders, sda2.kind, dm.kind) == (2, 1, "part", "dm")


def test_swap_and_a_mount_of_a_partition_mark_their_disk() -> None:
    swap = {**LVM, "mountinfo": ("", 0), "swaps": ("Filename\n/dev/sdb partition 1 0 -2\n", 0)}
    assert [d.system for d in parse_survey(survey(swap)).disks] == [False, False, False, True]
    data = {**LVM, "mountinfo": ("30 1 0:44 / /data rw - btrfs /dev/sdb rw\n", 0)}
    assert [d.mounted for d in parse_survey(survey(data)).disks] == [False, False, False, True]


def test_the_best_stable_name_is_chosen_and_all_are_known() -> None:
    links = (
        "/dev/disk/by-id/ata-VENDOR_1 /dev/sdb\n/dev/disk/by-id/wwn-0x5000 /dev/sdb\n"
        "/dev/disk/by-path/pci-1 /dev/sdb\n/dev/disk/by-id/emc-vol-1-2 /dev/scinia\n"
        "/dev/disk/by-id/ata-OTHER /dev/sdc\n"
    )
    frames = {**disk_frames(1, {"node": "/dev/sdb", "sysfs": "sdb"}), "links": (links, 0)}
    (disk,) = parse_survey(survey(frames)).disks
    assert disk.by_id == "/dev/disk/by-id/wwn-0x5000"
    assert len(disk.links) == 3


@pytest.mark.parametrize(
    ("line", "denied"),
    [
        ("/dev/sdb", True), ("/dev/disk/by-id/ata-V*  # all of this make", True),
        ("/dev/disk/by-path/pci-1", True), ("/dev/sd", False), ("#/dev/sdb", False), ("", False),
    ],
)  # fmt: skip
def test_the_hosts_deny_file_names_disks_by_any_name(line: str, denied: bool) -> None:
    links = "/dev/disk/by-id/ata-VENDOR_1 /dev/sdb\n/dev/disk/by-path/pci-1 /dev/sdb\n"
    frames = {
        **disk_frames(1, {"node": "/dev/sdb", "sysfs": "sdb"}),
        "links": (links, 0),
        "deny": (f"# keep\n{line}\n", 0),
    }
    (disk,) = parse_survey(survey(frames)).disks
    assert disk.denied is denied


def test_a_disk_that_mesos_offers_is_marked_and_its_namesakes_are_not() -> None:
    resources = '[{"name":"disk","disk":{"source":{"type":"RAW","id":"/dev/sdb"}}}]'
    frames = {
        **disk_frames(1, {"node": "/dev/sdb", "sysfs": "sdb"}),
        **disk_frames(2, {"node": "/dev/sdbb", "sysfs": "sdbb"}),
        **disk_frames(3, {"node": "/dev/sd", "sysfs": "sd"}),
        "agent-flags": flags(resources=resources),
    }
    assert [d.mesos for d in parse_survey(survey(frames)).disks] == [True, False, False]
