"""Packages of the stand-ins, the catalog that names them, and the server that hands them out.

The files are real: `dpkg` or `rpm` installs them in a lab host, and their scripts do what the
originals' do. Every program is one file, a zip archive that Python runs.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.lab import rpms, tree_rpm
from tests.lab.standins import init_script

DEB: Final = "deb"
RPM: Final = "rpm"
FAMILIES: Final = (DEB, RPM)
OS_IDS: Final = {DEB: ("debian",), RPM: ("centos", "rocky")}
STANDINS: Final = Path(__file__).resolve().parent / "standins"
PYTHON: Final = b"#!/usr/bin/python3 -I\n"
GATE: Final = "/run/lab-gate"  # in a host
POLL_S: Final = 0.05  # how soon the server sees that it is to stop
COMPONENTS: Final = ("sds", "sdc", "rexray", "dvdcli")
VERSIONS: Final = {
    "sds": "2.0-10000.2072",
    "sdc": "2.0-10000.2072",
    "rexray": "0.11.4",
    "dvdcli": "0.1.0",
}

# Component -> where in the host its programs are, and which module each of them is.
_PROGRAMS: Final = {
    "sds": {"opt/emc/scaleio/sds/bin/sds": "sds"},
    "sdc": {
        "opt/emc/scaleio/sdc/bin/scini": "scini",
        "opt/emc/scaleio/sdc/bin/drv_cfg": "drv_cfg",
    },
    "rexray": {"usr/bin/rexray": "rexray"},
    "dvdcli": {"dvdcli": "dvdcli"},
}
_UNITS: Final = {"sds": "sds", "sdc": "scini"}
# rpm tells how many versions stay, dpkg a word.
_REMOVED: Final = "case $1 in 0) set -- remove ;; *) exit 0 ;; esac\n"
_UNIT_FOLDERS: Final = {DEB: "lib/systemd/system", RPM: "usr/lib/systemd/system"}


@attrs.frozen(kw_only=True)
class Built:
    """One file, as the catalog says it. `attrs.evolve` makes the catalog say something wrong.

    `family`: whose package it is; empty for one that every host can unpack.
    """

    component: str
    version: str
    file: Path
    sha256: str
    size_bytes: int
    kernels: tuple[str, ...] = ()
    family: str = DEB


def build(
    folder: Path, *, kernels: Sequence[str], families: Sequence[str] = (DEB,)
) -> tuple[Built, ...]:
    """All four in `folder`. `kernels`: those that the SDC has a module for; `*` is allowed."""
    return tuple(
        build_one(component, folder, kernels=kernels, family=family)
        for family in families
        for component in COMPONENTS
        if component != "dvdcli" or family == families[0]  # an archive fits every host
    )


def build_one(
    component: str,
    folder: Path,
    *,
    version: str = "",
    kernels: Sequence[str] = ("*",),
    family: str = DEB,
) -> Built:
    """One of COMPONENTS, perhaps with another version than usual."""
    version = version or VERSIONS[component]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "tree"
        for place, module in _PROGRAMS[component].items():
            _put(tree / place, program(module, version), 0o755)
        if component == "dvdcli":
            file = _archive(tree, folder / f"dvdcli-Linux-x86_64-{version}.tar.gz")
        else:
            if component in _UNITS:
                unit = f"{_UNITS[component]}.service"
                text = (STANDINS / "units" / unit).read_bytes()
                _put(tree / _UNIT_FOLDERS[family] / unit, text, 0o644)
                _put_older_services(component, tree)
            if component == "sdc":
                text = "".join(f"{kernel}\n" for kernel in kernels).encode()
                _put(tree / "opt/emc/scaleio/sdc/kernels.txt", text, 0o644)
            make = _rpm if family == RPM else _deb
            file = make(component, version, tree, folder)
    content = file.read_bytes()
    return Built(
        component=component,
        version=version,
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        kernels=tuple(kernels) if component == "sdc" else (),
        family="" if component == "dvdcli" else family,
    )


def catalog(built: Sequence[Built], base_url: str) -> str:
    """What the scheduler's -catalog file says of these files on that server."""
    entries = []
    for package in built:
        entry: dict[str, object] = {
            "component": package.component,
            "version": package.version,
            "platforms": [{"os_id": os_id} for os_id in _platforms(package.family)],
            "url": f"{base_url}/{package.file.name}",
            "sha256": package.sha256,
            "size_bytes": package.size_bytes,
            "allow_http": True,
        }
        if package.kernels:
            entry["kernels"] = list(package.kernels)
        entries.append(entry)
    return json.dumps({"version": 1, "packages": entries}, indent=1)


def _platforms(family: str) -> tuple[str, ...]:
    return OS_IDS[family] if family else tuple(one for ids in OS_IDS.values() for one in ids)


def program(module: str, version: str) -> bytes:
    """One executable file: the stand-ins, and a start of that one."""
    call = f"main(sys.argv[1:], {version!r})"
    start = f"import sys\nfrom standins.{module} import main\nsys.exit({call})\n"
    content = io.BytesIO(PYTHON)
    content.seek(0, io.SEEK_END)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(STANDINS.glob("*.py")):
            archive.writestr(_entry(f"standins/{path.name}"), path.read_bytes())
        archive.writestr(_entry("__main__.py"), start)
    return content.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _put(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _put_older_services(component: str, tree: Path) -> None:
    """What the package's own script takes on hosts that have another init system."""
    name, (program, *_) = _UNITS[component], _PROGRAMS[component]
    folder = tree / f"opt/emc/scaleio/{component}/services"
    _put(folder / f"{name}.init", init_script.text(name, f"/{program}").encode(), 0o644)
    _put(folder / f"{name}.conf", init_script.job(f"/{program}").encode(), 0o644)


def _archive(tree: Path, file: Path) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        archive.add(tree / "dvdcli", "dvdcli")
    return file


def _deb(component: str, version: str, tree: Path, folder: Path) -> Path:
    """Named, and with the version inside, as the makers' files are."""
    name = component if component == "rexray" else f"emc-scaleio-{component}"
    inside = f"{version}-1" if component == "rexray" else version
    file = folder / f"EMC-ScaleIO-{component}-{version}.Debian.12.x86_64.deb"
    if component == "rexray":
        file = folder / f"rexray_{inside}_amd64.deb"
    for script in (STANDINS / "maintainer").glob(f"{component}.*"):
        text = f"#!/bin/sh\n{_scriptlet(script.name)}"
        _put(tree / "DEBIAN" / script.suffix[1:], text.encode(), 0o755)
    return _deb_of(name, inside, tree, file)


def _deb_of(name: str, version: str, tree: Path, file: Path) -> Path:
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        "Maintainer: the lab <lab@example.invalid>\n"
        f"Description: stand-in for {name}, for tests\n"
    )
    _put(tree / "DEBIAN/control", control.encode(), 0o644)
    for inner in [tree, *tree.rglob("*")]:
        if inner.is_dir():
            inner.chmod(0o755)  # dpkg-deb insists, whatever the umask here
    command = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


def _rpm(component: str, version: str, tree: Path, folder: Path) -> Path:
    """Named, and with the version inside, as the makers' files are."""
    number, _, build = version.partition("-")
    package = rpms.Rpm(
        name=component if component == "rexray" else f"EMC-ScaleIO-{component}",
        version=number,
        release="1" if component == "rexray" else f"{build}.el7",
        files=tree,
        requires=() if component == "rexray" else ("libaio", "numactl"),
        post=_scriptlet(f"{component}.postinst"),
        preun=_REMOVED + _scriptlet(f"{component}.prerm"),
    )
    return rpms.build(tree_rpm.prepare().root, package, folder)


def _scriptlet(name: str) -> str:
    """Without its first line, which rpm has of its own, and behind what they all use."""
    folder = STANDINS / "maintainer"
    return (folder / "_services.sh").read_text() + (folder / name).read_text().partition("\n")[2]


def held_up(folder: Path, family: str) -> Path:
    """A package whose installation, and its lock, last until somebody writes to GATE."""
    folder.mkdir(parents=True, exist_ok=True)
    body = f"[ -e {GATE} ] || mkfifo {GATE}\nread -r _ <{GATE}\n"
    if family == RPM:
        package = rpms.Rpm(name="held-up", version="1", release="1", post=body)
        return rpms.build(tree_rpm.prepare().root, package, folder)
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "tree"
        _put(tree / "DEBIAN/postinst", f"#!/bin/sh\nset -e\n{body}".encode(), 0o755)
        return _deb_of("held-up", "1", tree, folder / "held-up_1_amd64.deb")


# -- handing them out ------------------------------------------------------------------------------


@attrs.frozen
class Served:
    """A running server. `downloads` counts what was asked for, by file name."""

    url: str
    downloads: Counter[str]


class _Handler(http.server.SimpleHTTPRequestHandler):
    downloads: Counter[str]

    def do_GET(self) -> None:
        self.downloads[self.path.rpartition("/")[2]] += 1
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nothing: a test that wants to know asks for the counts."""


@contextlib.contextmanager
def serve(folder: Path, listen: str = "127.0.0.1:0") -> Iterator[Served]:
    """The files of that folder over plain HTTP."""
    downloads: Counter[str] = Counter()
    kind = type("Handler", (_Handler,), {"downloads": downloads})
    handler = functools.partial(kind, directory=str(folder))
    host, _, port = listen.rpartition(":")
    with http.server.ThreadingHTTPServer((host, int(port)), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield Served(f"http://{host}:{server.server_address[1]}", downloads)
        finally:
            server.shutdown()
            thread.join()
