"""The root file system of rpm hosts: the Debian tree, with rpm and yum in place of dpkg and apt.

It says that it is CentOS 7. Its repository holds what a distribution brings: the programs are
Debian's own, the packages around them are made here. A host lacks them until a step brings them.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

import attrs

from tests.lab import rpms, tree
from tests.lab.rpms import Rpm

MANAGER: Final = ("rpm", "dnf", "createrepo-c")
KERNEL: Final = "3.10.0-957.el7.x86_64"
REPOSITORY: Final = "/etc/yum.repos.d/lab.repo"
OS_RELEASE: Final = """NAME="CentOS Linux"
VERSION="7 (Core)"
ID="centos"
ID_LIKE="rhel fedora"
VERSION_ID="7"
PRETTY_NAME="CentOS Linux 7 (Core)"
"""
# A host of the next generation, where dnf has its own name.
ROCKY_8: Final = {
    "/etc/os-release": (
        'NAME="Rocky Linux"\nVERSION="8.9 (Green Obsidian)"\nID="rocky"\n'
        'ID_LIKE="rhel centos fedora"\nVERSION_ID="8.9"\n'
    ),
    "/usr/bin/dnf": '#!/bin/sh\nexec /usr/bin/dnf-3 "$@"\n',
}
_RECIPE: Final = 2  # raised when this tree changes without the first one's recipe


@attrs.frozen(kw_only=True)
class _Brought:
    """A package of the repository, and the Debian packages that its files are taken from."""

    name: str
    version: str
    release: str
    debs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


_BROUGHT: Final = (
    _Brought(name="libaio", version="0.3.109", release="13.el7", debs=("libaio1",)),
    _Brought(name="numactl-libs", version="2.0.12", release="5.el7", debs=("libnuma1",)),
    _Brought(
        name="numactl", version="2.0.12", release="5.el7", debs=("numactl",),
        requires=("numactl-libs",),
    ),
    _Brought(
        name="openssl", version="1.0.2k", release="19.el7", debs=("openssl",),
        requires=("ca-certificates",),
    ),
    _Brought(name="curl", version="7.29.0", release="59.el7", debs=("curl",)),
    _Brought(
        name="ca-certificates", version="2020.2.41", release="70.0.el7_8",
        debs=("ca-certificates",),
    ),
)  # fmt: skip
# Nobody finds the first family's package manager in this tree.
_HIDDEN: Final = ("usr/bin/apt*", "usr/bin/dpkg*", "usr/sbin/dpkg*", "usr/bin/dnf")
_HIDDEN_FOLDERS: Final = ("var/lib/dpkg", "var/lib/apt", "var/cache/apt", "etc/apt", "usr/lib/apt")
_DNF: Final = "[main]\ngpgcheck=0\ncachedir=/var/cache/yum\ntimeout=5\nretries=1\n"


@attrs.frozen
class RpmTree:
    """`root`: never written to by a host. `repository`: what a host's yum is to be served."""

    root: Path
    repository: Path


def prepare() -> RpmTree:
    """Made from the first tree when it is new, in less than a minute."""
    base = tree.prepare()
    made = tree.cached(
        "rpm", f"{base.name} {_RECIPE} {MANAGER} {_BROUGHT}", lambda w: _make(base, w)
    )
    return RpmTree(made / "root", made / "repository")


def repository_file(url: str) -> str:
    return f"[lab]\nname=what the distribution brings\nbaseurl={url}\nenabled=1\ngpgcheck=0\n"


def _make(base: Path, work: Path) -> None:
    root, repository = work / "root", work / "repository"
    tree.call("cp", "-a", str(base), str(root))
    (root / "build").mkdir()
    tree.call("chroot", str(root), "apt-get", "-q", "update")
    install = ("apt-get", "-q", "-y", "--no-install-recommends", "install", *MANAGER)
    tree.call("chroot", str(root), *install)
    with tempfile.TemporaryDirectory(prefix="debs-", dir=work) as place:
        for package in _BROUGHT:
            rpms.build(root, _repacked(root, package, Path(place)), repository)
        rpms.build(root, _kernel(Path(place)), repository)
    rpms.index(root, repository)
    _settle(root)


def _repacked(root: Path, package: _Brought, place: Path) -> Rpm:
    files = place / package.name
    for deb in package.debs:
        tree.call("chroot", str(root), "sh", "-euc", f"cd /build && apt-get -q download {deb}")
        (file,) = (root / "build").glob("*.deb")
        tree.call("dpkg-deb", "--extract", str(file), str(files))
        file.unlink()
    for part in ("usr/share/doc", "usr/share/man", "usr/share/lintian"):
        shutil.rmtree(files / part, ignore_errors=True)
    _merge(files)
    return Rpm(
        name=package.name,
        version=package.version,
        release=package.release,
        requires=package.requires,
        files=files,
    )


def _merge(files: Path) -> None:
    """Debian's packages know /lib still, where the tree has a link."""
    if (old := files / "lib").is_dir():
        shutil.copytree(old, files / "usr/lib", symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(old)


def _kernel(place: Path) -> Rpm:
    version, _, release = KERNEL.removesuffix(".x86_64").partition("-")
    files = place / "kernel"
    (files / "boot").mkdir(parents=True)
    (files / "boot" / f"vmlinuz-{KERNEL}").write_text("no kernel: a lab cannot boot it\n")
    return Rpm(name="kernel", version=version, release=release, files=files)


def _settle(root: Path) -> None:
    """Its package database knows the bare system; the other family's manager goes."""
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").write_text(OS_RELEASE)
    (root / "etc/redhat-release").write_text("CentOS Linux release 7.6.1810 (Core)\n")
    (root / "etc/rpm").mkdir(exist_ok=True)
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
    (root / "etc/dnf/dnf.conf").write_text(_DNF)
    (root / "etc/yum.repos.d").mkdir(exist_ok=True)
    (root / "usr/bin/yum").symlink_to("dnf-3")
    system = Rpm(
        name="centos-release",
        version="7",
        release="6.1810.2.el7.centos",
        provides=("system-release = 7", "/bin/sh", "/usr/bin/python3"),
    )
    # A database that does not know rpm itself would count as one that cannot be read.
    itself = Rpm(name="rpm", version="4.11.3", release="35.el7")
    for package in (system, itself):
        built = rpms.build(root, package, root / "build")
        tree.call("chroot", str(root), "rpm", "--install", f"/build/{built.name}")
        built.unlink()
    for pattern in _HIDDEN:
        for path in root.glob(pattern):
            path.unlink()
    for folder in _HIDDEN_FOLDERS:
        shutil.rmtree(root / folder, ignore_errors=True)
