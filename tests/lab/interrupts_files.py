"""The files that steps write, on hosts that were disturbed and on one that was not."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from tests.lab.host import Host

STATE: Final = "/var/lib/scaleio-framework"
RECEIPT: Final = f"{STATE}/receipt.json"
# Folders are looked at with all that is in them.
PLACES: Final = (
    "var/lib/scaleio-framework",
    "etc/rexray",
    "etc/mesos-slave",
    "etc/systemd/system",
    "opt/emc",
    "usr/bin/emc",
    "usr/lib/systemd/system",
)
PROGRAMS: Final = "usr/bin"
OUR_PROGRAMS: Final = ("dvdcli", "rexray")
SANDBOXES: Final = "var/lib/mesos/slaves/*/frameworks/*/executors/*/runs/*"
# Names under which a file is written before it is whole; none may be left in the end.
TEMPORARY: Final = (
    ".scaleio.*", ".temp.*", ".host_key.new", ".config.yml.scaleio-framework", "step.*",
    "*.dpkg-new", "*.dpkg-tmp", "*;????????", "*.part", ".manifest",
)  # fmt: skip
# Each host's own: a lock, and what a stand-in writes for itself.
NOT_OURS: Final = (
    "*/lock",
    "*.lock",
    f"{STATE}/package.run",
    "/opt/emc/scaleio/sds/cfg/*",
    "/usr/bin/emc/*",
)
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBERS: Final = re.compile(rb"(WAS=|MainPID=)'?\d+'?")
# Lists that grow while steps go on: name -> words in a line.
_WORDS: Final = {
    "changes": 6, "changes.done": 6, "manifest": 5, "packages": 2, "packages.before": 1,
    "packages.going": 1, "made": 1,
}  # fmt: skip
STEP_STATES: Final = frozenset({"open", "kept", "rolled-back"})

Snapshot = dict[str, bytes]  # path in the host -> what it holds, without what is a host's own


def root_of(host: Host) -> Path:
    """As the host sees its files; when it is off, as its next boot will find them."""
    return Path(f"/proc/{host.leader}/root") if host.leader else host.folder / "upper"


def snapshot(host: Host) -> Snapshot:
    top = root_of(host)
    found: Snapshot = {}
    for path in _paths(top):
        content = _content(path)
        if content is not None:
            inside = f"/{path.relative_to(top)}"
            is_download = inside.startswith(f"{STATE}/cache/")
            found[inside] = content if is_download else _plain(host, content)
    return found


def _paths(top: Path) -> Iterator[Path]:
    for place in PLACES:
        for folder, _, names in os.walk(top / place):
            yield from (Path(folder) / name for name in names)
    for path in (top / PROGRAMS).iterdir() if (top / PROGRAMS).is_dir() else ():
        if path.name in OUR_PROGRAMS or is_temporary(path.name):
            yield path
    # A path's own ends where a folder has just gone.
    left = glob.iglob(f"{SANDBOXES}/step.*", root_dir=top, include_hidden=True)  # noqa: PTH207
    yield from (top / found for found in left)


def _content(path: Path) -> bytes | None:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"-> {path.readlink()}".encode()
        if stat.S_ISDIR(mode):
            return b"a folder"
        return path.read_bytes() if stat.S_ISREG(mode) else None  # no file: overlay's "removed"
    except FileNotFoundError:
        return None


def _plain(host: Host, content: bytes) -> bytes:
    content = content.replace(host.name.encode(), b"HOST")
    content = re.sub(rb"%s(?!\d)" % re.escape(host.address.encode()), b"ADDRESS", content)
    return _NUMBERS.sub(rb"\1N", _UUID.sub(b"UUID", content))


def is_temporary(path: str) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in TEMPORARY)


def _is_ours(path: str) -> bool:
    return not any(fnmatch.fnmatchcase(path, pattern) for pattern in NOT_OURS)


@attrs.frozen(kw_only=True)
class Yardstick:
    """What an undisturbed host had before, and has in the end."""

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]

    def half_written(self, found: Mapping[str, bytes]) -> list[str]:
        """At any moment: what is there is as it was before, or as it is in the end."""
        return [
            f"{path} is neither absent nor whole: {content[:200]!r}"
            for path, content in sorted(found.items())
            if _is_ours(path) and not is_temporary(path) and not self._is_whole(path, content)
        ]

    def _is_whole(self, path: str, content: bytes) -> bool:
        if content in (self.before.get(path), self.after.get(path)):
            return True
        if path.startswith(f"{STATE}/receipt.") and path.endswith(".json"):
            return _is_receipt(content)
        if path.startswith(f"{STATE}/host_key."):
            return _is_pem(content)
        if path.startswith(f"{STATE}/cache/"):  # named by what it holds; others end in .part
            name = path.rpartition("/")[2]
            return name.startswith(hashlib.sha256(content).hexdigest())
        if path.startswith(f"{STATE}/backup/"):
            return self._is_backup(path, content)
        return _is_passing(path, content)

    def _is_backup(self, path: str, content: bytes) -> bool:
        """Of a file as it was before; the list of them is renamed when all is well."""
        words = _WORDS.get(path.rpartition("/")[2])
        if words is not None:
            lines = content.splitlines()
            return content[-1:] in (b"", b"\n") and all(len(one.split()) == words for one in lines)
        return content in self.before.values()

    def differs(self, found: Mapping[str, bytes]) -> list[str]:
        """In the end: the same files, with the same in them, and none that is temporary."""
        wanted = {path: content for path, content in self.after.items() if _is_ours(path)}
        mine = {path: content for path, content in found.items() if _is_ours(path)}
        faults = [f"{path} is left over" for path in sorted(mine.keys() - wanted.keys())]
        # A step that is cut when its package stands leaves no list of it; the next run takes it.
        lists = {path for path in wanted if path.startswith(f"{STATE}/verified/")}
        lost = wanted.keys() - mine.keys() - lists
        faults += [f"{path} is missing" for path in sorted(lost)]
        for path in sorted(mine.keys() & wanted.keys()):
            if not _is_same(path, mine[path], wanted[path]):
                faults.append(f"{path} differs: {mine[path][:300]!r}, not {wanted[path][:300]!r}")
        return faults


def _is_same(path: str, mine: bytes, wanted: bytes) -> bool:
    if mine == wanted:
        return True
    if path.startswith(f"{STATE}/host_key."):
        return _is_pem(mine)
    if path.startswith(f"{STATE}/receipt.") and path.endswith(".json"):
        return _said(mine) == _said(wanted)
    if path == f"{STATE}/backup/packages":  # by name: the catalog and the database differ in words
        return _names(mine) == _names(wanted)
    return False


def _names(packages: bytes) -> set[bytes]:
    return {line.partition(b"\t")[0] for line in packages.splitlines()}


def _said(receipts: bytes) -> list[tuple[str, str, str]]:
    """What receipts say of the host, without how and in which order it came about."""
    decoded = json.loads(receipts)
    entries = decoded.get("entries", [decoded])
    return sorted((e["step"], e["state"], e.get("version", "")) for e in entries)


def _is_receipt(content: bytes) -> bool:
    try:
        decoded: dict[str, Any] = json.loads(content)
    except ValueError:
        return False
    entries = decoded.get("entries", [decoded])
    return all(entry["state"] in STEP_STATES and entry["step"] for entry in entries)


def _is_pem(content: bytes) -> bool:
    lines = content.splitlines()
    return (
        len(lines) > 2
        and content.endswith(b"\n")
        and lines[0].startswith(b"-----BEGIN")
        and lines[-1] == lines[0].replace(b"BEGIN", b"END")
    )


def _is_passing(path: str, content: bytes) -> bool:
    """Files that are there for a while only, so that neither yardstick has them."""
    if path.endswith("/scaleio-framework-agent-watch.service"):
        return content.endswith(b"WantedBy=multi-user.target\n") or content.startswith(b"-> ")
    return path == f"{STATE}/bin/agent-watch.more" and content.count(b"\n") == 3


# -- package databases -----------------------------------------------------------------------------

PACKAGES: Final = (
    "emc-scaleio-sds", "emc-scaleio-sdc", "rexray", "libaio1", "numactl", "openssl", "curl",
    "ca-certificates",
)  # fmt: skip


def package_faults(host: Host, like: Host) -> list[str]:
    """By dpkg's own word: nothing is half installed, files are whole, all packages are there."""
    faults = [f"dpkg --audit: {line}" for line in host.sh("dpkg --audit").splitlines()]
    verify = host.run("dpkg", "--verify", *PACKAGES, check=False)
    faults += [f"dpkg --verify: {line}" for line in verify.stdout.splitlines()]
    listing = ("dpkg-query", "-W", "-f", "${Package} ${Version} ${Status}\n")
    mine, wanted = (set(one.run(*listing).stdout.splitlines()) for one in (host, like))
    faults += [f"dpkg-query: {line}" for line in sorted(mine ^ wanted)]
    updates = host.sh("ls /var/lib/dpkg/updates").split()
    return faults + [f"/var/lib/dpkg/updates/{name} is left" for name in updates]


def key_faults(host: Host) -> list[str]:
    """The key opens, and its public half is the one that lies beside it."""
    check = (
        f"openssl pkey -in {STATE}/host_key.pem -check -noout >/dev/null && "
        f"openssl pkey -in {STATE}/host_key.pem -pubout | cmp - {STATE}/host_key.pub"
    )
    done = host.run("sh", "-c", check, check=False)
    return [f"host key: {done.stdout}{done.stderr}"] if done.returncode else []
