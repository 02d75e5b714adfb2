"""A site without a way out: one bundle installs three hosts, and nobody else is even asked.

Hosts share the machine's network, so the way out is not cut but watched: all names, the archive of
the distribution and every address in the catalog lead to listeners that must hear nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from cli import main
from tests.lab import evidence, packages, tree
from tests.lab.site import UNIT, HostPlan, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

BROUGHT: Final = ("libaio1", "numactl", "openssl", "curl", "ca-certificates")
NAMESERVERS: Final = range(201, 255)  # 127.0.N.53; labs themselves take lower numbers
READY_S: Final = 300.0  # 16 packages a host, in turns for the agents
CACHE: Final = "/var/lib/scaleio-framework/cache"


@attrs.frozen
class Listener:
    """A socket that nobody should speak to."""

    socket: socket.socket

    @property
    def address(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"{host}:{port}"

    def heard(self) -> bool:
        """True when anybody has knocked: a datagram, or a connection, waits to be taken."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            if self.socket.type == socket.SOCK_DGRAM:
                self.socket.recvfrom(1)
            else:
                self.socket.accept()[0].close()
            return True
        return False


@attrs.frozen
class Offline:
    site: Site
    names: Listener
    archive: Listener
    mirror: Listener
    members: int  # packages in the bundle


def listener(kind: socket.SocketKind, host: str, port: int) -> Listener:
    opened = socket.socket(socket.AF_INET, kind)
    opened.bind((host, port))
    if kind == socket.SOCK_STREAM:
        opened.listen(64)
    return Listener(opened)


def name_server() -> Listener:
    for number in NAMESERVERS:
        with contextlib.suppress(OSError):  # another lab has it
            return listener(socket.SOCK_DGRAM, f"127.0.{number}.53", 53)
    raise RuntimeError("no address is free for a name server that must hear nothing")


def distribution_files() -> Path:
    """The .deb files that a bare host of the lab lacks, as apt itself finds them out."""
    root = tree.prepare()

    def download(work: Path) -> None:
        work.chmod(0o755)
        for folder in ("lists/partial", "cache/archives/partial"):
            (work / folder).mkdir(parents=True)
        apt = (
            "apt-get", "-q", "-o", f"Dir={root}", "-o", f"Dir::State::lists={work}/lists",
            "-o", f"Dir::State::status={root}/var/lib/dpkg/status",
            "-o", f"Dir::Cache={work}/cache",
            "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=true",
        )  # fmt: skip
        tree.call(*apt, "update")
        tree.call(*apt, "install", "-y", "--download-only", "--no-install-recommends", *BROUGHT)

    return tree.cached("debs", f"1 {tree.SUITE} {BROUGHT} {root.name}", download) / "cache/archives"


def dependencies(folder: Path, mirror: str) -> list[dict[str, Any]]:
    """Catalog entries for the distribution's files, copied into `folder` under plain names."""
    entries = []
    for file in sorted(distribution_files().glob("*.deb")):
        told = subprocess.run(
            ["dpkg-deb", "-f", str(file), "Package", "Version"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        name, version = (line.partition(": ")[2] for line in told.splitlines())
        plain = f"{name}.deb"
        (folder / plain).write_bytes(file.read_bytes())
        built = packages.Built(
            component="dependency",
            version=version,
            file=folder / plain,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            size_bytes=file.stat().st_size,
        )
        entry = json.loads(packages.catalog([built], mirror))["packages"][0]
        entries.append({**entry, "name": name})
    return entries


def make_bundle(folder: Path, mirror: str) -> tuple[Path, int]:
    files = folder / "files"
    built = packages.build(files, kernels=[os.uname().release])
    document = json.loads(packages.catalog(built, mirror))
    document["packages"] += dependencies(files, mirror)
    catalog, bundle = folder / "catalog.json", folder / "site.bundle"
    catalog.write_text(json.dumps(document))
    command = ["bundle", "build", f"--catalog={catalog}", f"--output={bundle}", f"--dir={files}"]
    assert main(command) == 0
    assert main(["bundle", "verify", str(bundle)]) == 0
    for path in files.iterdir():
        path.unlink()
    return bundle, len(document["packages"])


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offline]:
    folder = tmp_path_factory.mktemp("offline")
    names = name_server()
    archive = listener(socket.SOCK_STREAM, "127.0.0.1", 0)
    mirror = listener(socket.SOCK_STREAM, "127.0.0.1", 0)
    bundle, members = make_bundle(folder, f"http://{mirror.address}")
    files = {
        "/etc/resolv.conf": f"nameserver {names.address.partition(':')[0]}\n",
        "/etc/apt/sources.list": f"deb http://{archive.address}/debian {tree.SUITE} main\n",
    }
    plans = [HostPlan(files=files, style=style) for style in ("files", UNIT, "files")]
    more = (f"-packages.bundle={bundle}",)
    with contextlib.ExitStack() as stack:
        for one in (names, archive, mirror):
            stack.callback(one.socket.close)
        site = stack.enter_context(Site(folder / "site", plans, more=more, catalog=False))
        site.scheduler.start()
        site.scheduler.wait_phase("ready", list(site.hosts), timeout_s=READY_S)
        yield Offline(site, names, archive, mirror, members)


def test_three_hosts_become_ready_from_one_bundle(offline: Offline) -> None:
    for host in offline.site.hosts.values():
        for package in (*BROUGHT, "emc-scaleio-sds", "emc-scaleio-sdc", "rexray"):
            status = host.sh(f"dpkg-query -W -f '${{Status}}' {package}")
            assert status == "install ok installed", package
        assert host.sh("dpkg --audit") == ""
        applied = [run.step for run in evidence.step_runs(host) if run.changed]
        assert sorted(applied) == sorted([*evidence.INSTALLATION, "agent-restart"])


def test_nobody_but_the_scheduler_was_asked(offline: Offline) -> None:
    """Not even for a name. What was fetched came from the scheduler, each file once a host."""
    assert not offline.names.heard()
    assert not offline.archive.heard()
    assert not offline.mirror.heard()
    text = offline.site.scheduler.read("/metrics").decode()
    counts = dict(re.findall(r'_total\{endpoint="package_file",status="(\w+)"\} ([0-9.]+)', text))
    assert counts == {"2xx": str(float(offline.members * len(offline.site.hosts)))}


def test_nothing_is_left_in_the_cache(offline: Offline) -> None:
    for host in offline.site.hosts.values():
        assert host.sh(f"ls -A {CACHE}") == ""
