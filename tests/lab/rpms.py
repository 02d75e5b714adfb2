"""Files of the rpm kind, built by `rpmbuild` inside the lab's own rpm tree: the machine needs none.

The tree has an empty folder /build for it; a mount that lasts as long as the command covers it, so
the tree itself is never written to.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.lab.tree import SYSTEM_PATH

BUILD: Final = "/build"
# Stand-ins need no libraries that are found by themselves, no stripping, no debug package.
_SPEC: Final = """%define __os_install_post %{{nil}}
%define debug_package %{{nil}}
%define _build_id_links none
%define _tmppath %{{_topdir}}/tmp
%define _binary_payload w1.gzdio
Name: {name}
Version: {version}
Release: {release}
Summary: stand-in for {name}, for tests
License: none
AutoReqProv: no
{relations}
%description
Stand-in for {name}, for tests.
%install
mkdir -p %{{buildroot}}
cp -a {build}/tree/. %{{buildroot}}/
{scripts}
%files
%defattr(-,root,root,-)
{files}
"""
_INSIDE: Final = 'mount --bind "$1" "$2$3"; root=$2; shift 3; exec chroot "$root" "$@"'


@attrs.frozen(kw_only=True)
class Rpm:
    """`files`: a folder that is laid over the host's root. `post`, `preun`: scriptlets."""

    name: str
    version: str
    release: str
    files: Path | None = None
    provides: Sequence[str] = ()
    requires: Sequence[str] = ()
    post: str = ""
    preun: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.x86_64.rpm"


def build(root: Path, package: Rpm, folder: Path) -> Path:
    """The file in `folder`, built in the rpm tree `root`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rpm-") as place:
        work = Path(place)
        (work / "tmp").mkdir()
        if package.files is None:
            (work / "tree").mkdir()
        else:
            shutil.copytree(package.files, work / "tree", symlinks=True)
        (work / "package.spec").write_text(_spec(package, work / "tree"))
        words = ("rpmbuild", "--define", f"_topdir {BUILD}", "-bb", f"{BUILD}/package.spec")
        call_inside(root, work, *words)
        built = work / "RPMS" / "x86_64" / package.file_name
        return Path(shutil.move(built, folder / package.file_name))


def index(root: Path, folder: Path) -> None:
    """Make a repository of the packages in that folder."""
    call_inside(root, folder, "createrepo_c", "--quiet", BUILD)


def call_inside(root: Path, work: Path, *command: str) -> None:
    """A command in the tree, with `work` as its /build. Raises RuntimeError when it fails."""
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-euc", _INSIDE),
            *("inside", str(work), str(root), BUILD),
            *command,
        ],
        env={"PATH": SYSTEM_PATH, "HOME": BUILD, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stdout[-2000:]}")


def _spec(package: Rpm, tree: Path) -> str:
    relations = [f"Provides: {what}\n" for what in package.provides]
    relations += [f"Requires: {what}\n" for what in package.requires]
    scripts = [f"%post\n{package.post}\n"] if package.post else []
    scripts += [f"%preun\n{package.preun}\n"] if package.preun else []
    inner = sorted(path for path in tree.rglob("*") if path.is_symlink() or not path.is_dir())
    return _SPEC.format(
        name=package.name,
        version=package.version,
        release=package.release,
        build=BUILD,
        relations="".join(relations),
        scripts="".join(scripts).replace("%{", "%%{"),
        files="\n".join(f'"/{path.relative_to(tree)}"' for path in inner),
    )
