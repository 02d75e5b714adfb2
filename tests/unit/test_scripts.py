"""Step scripts use only what the oldest supported hosts have, and their pure parts do their work.

No step is executed here: single functions that only read or print are cut out of the text.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from install_steps.catalog import STEPS, script_text
from install_steps.frames import frames_of
from install_steps.texts import source_text
from tests.unit.shell_words import simple_commands

NAMES: Final = (*sorted(STEPS), "keeper_health", "extra")
BUILTINS: Final = frozenset(
    {
        ".", ":", "[", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit",
        "export", "printf", "read", "return", "set", "shift", "test", "trap", "ulimit", "umask",
        "unset",
    }
)  # fmt: skip
HERE_DOCUMENTS: Final = frozenset({"ASK", "CRON", "TOOL", "WATCH"})
# What may be used, by command: known to Ubuntu 14.04 (coreutils 8.21, util-linux 2.20, curl
# 7.35, diffutils 3.3, upstart 1.12) and CentOS 7 (coreutils 8.22, util-linux 2.23, curl 7.29,
# systemd 219), as far as the command exists there at all. For commands with sub-commands, the
# sub-command counts as an option.
FLOOR: Final[Mapping[str, str]] = {
    "apt-cache": "show",
    "apt-get": "-o -s -y --no-install-recommends --no-remove install update",
    "base64": "-d",
    "blkid": "-o -p",
    "cat": "",
    "chcon": "--reference",
    "chmod": "--reference",
    "chown": "--reference",
    "chronyc": "-n",
    "cmp": "-i -n -s",
    "curl": "-q --config --noproxy --connect-timeout --continue-at --fail --globoff --location "
    "--max-filesize --max-time --output --proto --proto-redir --show-error --silent "
    "--speed-limit --speed-time --write-out",
    "cut": "-c -d -f",
    "date": "",
    "dd": "bs= conv=fsync count= if= iflag=direct of= status=none",
    "df": "-P -i -k",
    "dnf": "-y --assumeno --setopt install",
    "dpkg": "--audit --compare-versions --configure --force-confold --force-downgrade "
    "--install --purge --verify -a",
    "dpkg-query": "-W -f",
    "dpkg-deb": "--field",
    "env": "-i",
    "find": "-L -c -exec -f -lname -maxdepth -mtime -name -path -prune -r -type",
    "flock": "-n",
    "grep": "-F -H -c -e -f -i -q -v -x",
    "head": "-c -n",
    "kill": "",
    "logger": "-p -t",
    "id": "-n -u",
    "initctl": "--no-wait reload-configuration restart start status stop version",
    "mkdir": "-p",
    "mktemp": "-d",
    "modinfo": "-n",
    "mv": "-f",
    "ntpq": "-n -p",
    "openssl": "-algorithm -decrypt -in -inkey -out -pkeyopt -pubout genpkey pkey pkeyutl version",
    "perl": "-e",
    "pgrep": "-o -x",
    "python": "-c",
    "python3": "-c",
    "readlink": "-f",
    "restorecon": "",
    "rm": "-f -r",
    "rmdir": "",
    "rpm": "--erase --oldpackage --qf --replacepkgs --upgrade --verify -p -q -qa",
    "sed": "-e -n",
    "service": "",
    "sha256sum": "",
    "shutdown": "-r",
    "sleep": "",
    "sort": "-V",
    "stat": "-L -c",
    "sync": "",
    "systemctl": "--property --quiet add-wants cat daemon-reload disable enable is-active "
    "is-enabled is-failed reboot reset-failed restart show start stop",
    "systemd-run": "--on-active --timer-property --unit",
    "tail": "-n",
    "tar": "-C -O -f -x -z",
    "timedatectl": "",
    "timeout": "",
    "tr": "-d -s",
    "udevadm": "--name --query info",
    "uname": "-m -r",
    "update-rc.d": "-f",
    "wc": "-c -l",
    "wipefs": "-p",
    "wget": "--version",
    "yum": "-y --assumeno --setopt install",
}
SUB_COMMANDS: Final = frozenset(
    {"apt-cache", "apt-get", "dnf", "initctl", "openssl", "systemctl", "udevadm", "yum"}
)
CLUSTERED: Final = frozenset({"grep", "id", "rm", "uname"})
# Paths of our own, or of the product, where no search path is involved.
PATHS: Final = re.compile(
    r"\$.*|/usr/bin/rexray|/usr/libexec/platform-python|/usr/bin/\$|/bin/sh|dvdcli"
)


def functions_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z_]+)\(\)", text, re.MULTILINE))


def options_of(words: list[str]) -> set[str]:
    name, rest = words[0], words[1:]
    found: set[str] = set()
    if name in SUB_COMMANDS:
        found |= set([word for word in rest if re.fullmatch(r"[a-z][a-z-]+", word)][:1])
    for word in rest:
        if name == "dd":
            key, _, value = word.partition("=")
            found.add(word if key in {"conv", "iflag", "status"} and value else f"{key}=")
        elif word.startswith("--"):
            found.add(word.partition("=")[0])
        elif re.fullmatch(r"-[A-Za-z].*", word):
            found |= {f"-{c}" for c in word[1:]} if name in CLUSTERED else {word}
    return found


def strangers(text: str) -> set[str]:
    known = BUILTINS | HERE_DOCUMENTS | functions_of(text)
    found: set[str] = set()
    for words in simple_commands(text):
        command = words[0]
        if command in known or PATHS.fullmatch(command):
            continue
        if command not in FLOOR:
            found.add(command)
        else:
            allowed = set(FLOOR[command].split())
            found |= {f"{command} {option}" for option in options_of(words) - allowed}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_step_uses_only_commands_and_options_of_the_floor(name: str) -> None:
    assert strangers(script_text(name)) == set()


def test_the_floor_test_sees_what_it_should_see() -> None:
    text = (
        'f() {\n    case $x in\n        a | b) lsblk --json "$(findmnt -n /)" ;;\n    esac\n}\n'
        'if ! run grep -qP x <"$y"; then z=$(jq . 2>/dev/null); fi\n'
        "cat <<'TOOL'\nsystemctl mask x\nTOOL\n"
    )
    assert strangers(text) == {"lsblk", "findmnt", "jq", "grep -P", "systemctl mask"}


def test_the_floor_names_nothing_that_no_step_uses() -> None:
    used: dict[str, set[str]] = {}
    for name in NAMES:
        for words in simple_commands(script_text(name)):
            used.setdefault(words[0], set()).update(options_of(words))
    idle = {name for name in FLOOR if name not in used}
    idle |= {
        f"{name} {option}"
        for name, options in FLOOR.items()
        for option in set(options.split()) - used.get(name, set())
    }
    assert idle == set()


@pytest.mark.parametrize("name", NAMES)
def test_the_shell_understands_every_text_and_the_programs_in_it(name: str) -> None:
    text = script_text(name)
    inner = re.findall(r"<<'(\w+)'\n(.*?)\n\1\n", text, re.DOTALL)
    for part in (text, *(body for _, body in inner)):
        checked = subprocess.run(
            ["sh", "-n"], input=part, text=True, capture_output=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_every_step_begins_with_the_check_for_an_init_system(name: str) -> None:
    step = source_text(name)
    first = next(words for words in simple_commands(step.split("\n# shellcheck shell=sh\n")[-1]))
    assert first[:2] == ["begin_step", name]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"survey", "keeper", "keeper_health"}))
def test_every_step_that_acts_takes_the_hosts_lock(name: str) -> None:
    began = f"\nbegin_step {name} lock\n"
    if name == "extra":  # under the operator's name, which has to be looked at first
        began = "\nSTEP=$EXTRA_NAME\ntake_lock\n"
    assert began in script_text(name)


def test_nothing_turns_certificate_checks_off_or_pipes_into_a_shell() -> None:
    for name in NAMES:
        for words in simple_commands(script_text(name)):
            assert not {"--insecure", "--allow-unauthenticated", "--nogpgcheck"} & set(words)
            assert words[0] != "curl" or "-k" not in words
            assert words != ["sh"]


# ---------------------------------------------------------------- pure functions, cut out


def function(step: str, name: str) -> str:
    found = re.search(rf"^{name}\(\) \{{\n.*?^\}}\n", script_text(step), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found.group()


def shell(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"set -euf\n{text}", "sh", *arguments],
        cwd=folder, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_frame_carries_a_commands_output_and_status(tmp_path: Path) -> None:
    body = 'FRAMES=0\nFRAME_BYTES_MAX=1000\nexec 4>&1\nbad() { printf "x\\ny"; return 3; }\n'
    body += function("survey", "frame")
    body += "frame one printf '%s\\n' 'a b'\nframe two bad\nframe three no-such-command\n"
    body += "frame four head -c 5000 /dev/zero\nprintf '%s\\n' \"$FRAMES\"\n"
    done = shell(body, tmp_path)
    frames = frames_of(done.stdout)
    assert (frames["one"].text, frames["one"].status) == ("a b\n", 0)
    assert (frames["two"].text, frames["two"].status) == ("x\ny", 3)
    assert (frames["three"].text, frames["three"].status) == ("", 127)
    assert frames["four"].text == "\0" * 1000
    assert done.stdout.endswith("\n4\n")


SIZE: Final = 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("dirty_at", "claimed", "zero"),
    [
        (None, SIZE, True),
        (0, SIZE, False),
        (16 * 1024 * 1024 - 1, SIZE, False),
        (SIZE - 1, SIZE, False),
        (SIZE - 16 * 1024 * 1024, SIZE, False),
        (None, SIZE + 4096, False),  # ends early: counts as data
        (None, 0, False),
    ],
)
def test_a_disk_looks_zero_only_when_every_sample_was_read_and_is_zero(
    tmp_path: Path, dirty_at: int | None, claimed: int, *, zero: bool
) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(SIZE)
        if dirty_at is not None:
            file.seek(dirty_at)
            file.write(b"x")
    text = "EDGE_BYTES=16777216\nSAMPLE_BYTES=4096\nSAMPLES=256\n"
    text += "".join(function("claim", name) for name in ("run", "zero_at", "looks_zero"))
    done = shell(f'{text}looks_zero "$1" "$2"\n', tmp_path, str(disk), str(claimed))
    assert (done.returncode == 0) is zero


def test_the_samples_lie_evenly_between_the_edges(tmp_path: Path) -> None:
    text = "EDGE_BYTES=16777216\nSAMPLE_BYTES=4096\nSAMPLES=256\n"
    text += 'zero_at() { printf "%s %s\\n" "$2" "$3"; }\n' + function("claim", "looks_zero")
    size = 200 * 1024**3
    lines = shell(f"{text}looks_zero disk {size}\n", tmp_path).stdout.splitlines()
    offsets = [int(line.split()[0]) for line in lines]
    assert len(offsets) == 258
    assert offsets[:2] == [0, size - 16777216]
    steps = {b - a for a, b in pairwise(offsets[2:])}
    assert len(steps) == 1
    assert offsets[2] > 16777216
    assert max(offsets[2:]) + 4096 < size - 16777216
    assert all(offset % 4096 == 0 for offset in offsets)


@pytest.mark.parametrize(
    ("installed", "wanted", "same"),
    [
        ("2.0-10000.2072", "2.0-10000.2072", True),
        ("2.0-10000.2072.el7", "2.0-10000.2072", True),
        ("0.11.4-1", "0.11.4", True),
        ("2.0-10000.20721", "2.0-10000.2072", False),
        ("2.0-5014.0", "2.0-10000.2072", False),
        ("", "1", False),
    ],
)
def test_versions_are_compared_by_whole_parts(
    tmp_path: Path, installed: str, wanted: str, *, same: bool
) -> None:
    text = function("sds", "same_version") + 'same_version "$1" "$2"\n'
    assert (shell(text, tmp_path, installed, wanted).returncode == 0) is same


def test_values_with_other_characters_are_refused(tmp_path: Path) -> None:
    text = 'finish() { printf "%s %s" "$1" "$2"; exit "$1"; }\n'
    text += function("sdc", "require") + function("sdc", "allow")
    call = f"{text}MDM_IP=$1\nrequire MDM_IP '0-9A-Fa-f.:,'\n"
    assert shell(call, tmp_path, "10.0.0.1,fe80::1").returncode == 0
    for wrong in ("", "10.0.0.1 ", "$(x)", "10.0.0.1;y", "a\nb"):
        assert shell(call, tmp_path, wrong).returncode == 78


def test_rexrays_file_holds_each_key_once_and_quotes_what_it_is_given(tmp_path: Path) -> None:
    text = "".join(function("rexray", name) for name in ("quoted", "module", "configuration"))
    settings = {
        "GATEWAY_ENDPOINT": "https://gw/api", "GATEWAY_INSECURE": "false",
        "THIN_OR_THICK": "ThinProvisioned", "GATEWAY_USER": "admin", "SYSTEM_ID": "",
        "SYSTEM_NAME": "it's", "PROTECTION_DOMAIN": "d", "STORAGE_POOL": "p",
        "HEAD": "# ours",
        "password": "a'b: #c",
    }  # fmt: skip
    given = "".join(f"{name}=${{{n}}}\n" for n, name in enumerate(settings, start=1))
    done = shell(f"{given}{text}configuration\n", tmp_path, *settings.values())
    lines = done.stdout.splitlines()
    assert "  password: 'a''b: #c'" in lines
    assert "  systemName: 'it''s'" in lines
    start = lines.index("    mesos:")
    module = lines[start : lines.index("    rexray:")]
    assert [line.strip() for line in module].count("libstorage:") == 1
    assert "                ignoreUsedCount: true" in module
    assert "          preempt: true" in lines


@pytest.mark.parametrize(
    ("state", "loaded"),
    [("live", True), ("coming", False), ("going", False), ("alive", False), (None, False)],
)
@pytest.mark.parametrize("step", ["sdc", "keeper_health"])
def test_the_drivers_module_is_loaded_when_the_kernel_calls_it_live(
    tmp_path: Path, step: str, state: str | None, *, loaded: bool
) -> None:
    if state is not None:
        (tmp_path / "initstate").write_text(f"{state}\n", encoding="utf-8")
    text = function(step, "module_loaded").replace("/sys/module/scini/", f"{tmp_path}/")
    done = shell(f"{text}module_loaded\n", tmp_path)
    assert ((done.returncode == 0), done.stdout, done.stderr) == (loaded, "", "")


def test_no_step_reads_the_list_of_modules() -> None:
    """Each asks the kernel about the one module: a lab host can have that file, not the list."""
    texts = {name: script_text(name) for name in NAMES}
    assert not [name for name, text in texts.items() if "/proc/modules" in text]
    assert {name for name, text in texts.items() if "/sys/module/scini/initstate" in text} == {
        "keeper_health", "sdc", "survey", "uninstall",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "file", "found"),
    [
        ("MDM-ID 1 SDC ID 2 IPs [0]-10.0.0.1 [1]-10.0.0.2", "", "10.0.0.1 10.0.0.2"),
        ("Retrieved 0 mdm(s)", "ini_guid x\nmdm 10.0.0.3,10.0.0.4\n", "10.0.0.3 10.0.0.4"),
        ("Retrieved 0 mdm(s)", "", ""),
    ],
)  # fmt: skip
def test_the_sdcs_managers_are_read_from_driver_or_file(
    tmp_path: Path, answer: str, file: str, found: str
) -> None:
    (tmp_path / "drv_cfg.txt").write_text(file, encoding="utf-8")
    text = f"run() {{ printf '%s\\n' '{answer}'; }}\nDRV_CFG=x\nDRV_CFG_FILE=drv_cfg.txt\n"
    text += function("sdc", "configured_mdms") + "configured_mdms\n"
    assert shell(text, tmp_path).stdout.split() == found.split()


@pytest.mark.parametrize(
    ("file", "settings", "ours"),
    [
        ("  systemID: '0a1B'\n  endpoint: https://other/api", {"SYSTEM_ID": "0A1b"}, True),
        ("  systemId: 2\n  endpoint: https://gw/api", {"SYSTEM_ID": "1"}, False),
        ('  systemName: "s"\n', {"SYSTEM_NAME": "s"}, True),
        ("  systemName: other\n  endpoint: https://gw/api", {"SYSTEM_NAME": "s"}, False),
        ("  endpoint: https://me:p4ss@gw/api\n", {"SYSTEM_NAME": "s"}, True),
        ("  endpoint: 'https://gw:8443/api'\n", {"SYSTEM_NAME": "s"}, False),
        ("  systemName: s\n  endpoint: https://gw/api", {"SYSTEM_ID": "1"}, True),
        ("  region: here\n", {"SYSTEM_ID": "1"}, False),
    ],
)
def test_a_configuration_tells_which_cluster_it_points_to(
    tmp_path: Path, file: str, settings: dict[str, str], *, ours: bool
) -> None:
    (tmp_path / "config.yml").write_text(f"scaleio:\n{file}\n", encoding="utf-8")
    given = {"SYSTEM_ID": "", "SYSTEM_NAME": "", **settings}
    text = "CONFIG=config.yml\nGATEWAY_ENDPOINT=https://gw/api\n"
    text += "".join(f"{name}='{value}'\n" for name, value in given.items())
    text += "".join(function("rexray", name) for name in ("said", "same_words", "points_to_ours"))
    done = shell(f"{text}if points_to_ours; then echo ours; fi\nsaid endpoint\n", tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("ours\n") is ours
    assert "p4ss" not in done.stdout


def _archive_of(folder: Path, members: Mapping[str, str]) -> None:
    """`package.tar`, as the vendor's newer ones."""
    for name, content in members.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755)
    subprocess.run(["tar", "-C", folder / "in", "-cf", folder / "package.tar", "."], check=True)


SIOB_EXTRACT: Final = '#!/bin/sh\ncp "$1" "${1%.siob}.deb"\n'


@pytest.mark.parametrize(
    ("members", "family", "member", "found"),
    [
        ({"a/sds.deb": "x"}, "deb", "", "a/sds.deb"),
        ({"sds.rpm": "x"}, "rpm", "", "sds.rpm"),
        ({"sds.deb": "x", "sdc.deb": "y"}, "deb", "", "78 member"),
        ({"sds.deb": "x", "sdc.deb": "y"}, "deb", "sdc.deb", "sdc.deb"),
        ({"sds.deb": "x"}, "deb", "other.deb", "65 archive"),
        ({"readme": "x"}, "deb", "", "65 archive"),
        ({"s.siob": "x", "s.siob.sig": "y", "siob_extract": SIOB_EXTRACT}, "deb", "", "s.deb"),
        ({"s.siob": "x"}, "deb", "", "65 archive"),
        ({"s.siob": "x", "siob_extract": SIOB_EXTRACT}, "rpm", "", "78 package-kind"),
        ({"s.siob": "x", "siob_extract": "#!/bin/sh\nexit 3\n"}, "deb", "", "1 archive"),
        ({"s.siob": "x", "siob_extract": "#!/bin/sh\n:\n"}, "deb", "", "65 archive"),
    ],
)
def test_the_package_is_taken_out_of_the_vendors_archive(
    tmp_path: Path, members: dict[str, str], family: str, member: str, found: str
) -> None:
    _archive_of(tmp_path, members)
    names = ("open_archive", "package_in_siob", "only_file")
    text = f"FAMILY={family}\nPACKAGE_MEMBER={member}\nFETCH_CACHE=$PWD\nWORK=$PWD\n"
    text += 'PACKAGE_FILE=$PWD/package.tar\nrun() { "$@" </dev/null; }\n'
    text += 'finish() { printf "%s %s" "$1" "$2"; exit 0; }\nroom_to_unpack() { :; }\n'
    archive = source_text("sds").partition("\n# The vendor's newer archives")[2]
    for name in names:
        start = archive.index(f"{name}() {{")
        text += archive[start : archive.index("\n}\n", start) + 3]
    text += "open_archive sds\nprintf '%s' \"${INSTALL_FILE#$PWD/unpacked/}\"\n"
    assert shell(text, tmp_path).stdout.removeprefix("./") == found
