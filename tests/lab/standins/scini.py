"""The SDC of a lab host: service `scini`, with the part that is a kernel module in the real one.

It reports to its MDMs, and every volume that they map to it appears as a block device. On a
kernel that the package has no module for, it runs and does nothing, as the real service does.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from . import lab_conf, lines, loop_device, sdc_config
from .drv_cfg import DRIVER
from .sdc_config import Addresses, SdcConfig
from .sdc_link import Cluster, Link, Volume

MODULES: Final = Path("/sys/module")
KERNELS: Final = Path("/opt/emc/scaleio/sdc/kernels.txt")
DEV: Final = Path("/dev")
RESCAN_S: Final = 2.0
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

Attach = Callable[[Path, Path], int]
Detach = Callable[[int, Path], None]


def device_name(number: int) -> str:
    """scinia to sciniz, then sciniaa."""
    name = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, len(LETTERS))
        name = LETTERS[digit] + name
    return f"scini{name}"


class Devices:
    """The volumes that this host sees: a node, and a stable link to it, for each."""

    def __init__(
        self,
        backing: Path,
        dev: Path = DEV,
        attach: Attach = loop_device.attach,
        detach: Detach = loop_device.detach,
    ) -> None:
        self._backing = backing
        self._dev = dev
        self._attach = attach
        self._detach = detach
        self._held: dict[Volume, tuple[int, Path]] = {}
        self._complaints: dict[Volume, str] = {}

    @property
    def volumes(self) -> list[Volume]:
        return sorted(self._held)

    def show(self, wanted: frozenset[Volume]) -> None:
        """Exactly these. What cannot be shown now is tried again with the next list."""
        for volume in [held for held in self._held if held not in wanted]:
            descriptor, node = self._held.pop(volume)
            self._link(volume).unlink(missing_ok=True)
            self._detach(descriptor, node)
            _log(f"volume {volume.volume} is gone from {node}")
        for volume in sorted(wanted - self._held.keys()):
            try:
                self._add(volume)
            except OSError as error:
                if self._complaints.get(volume) != str(error):  # it is tried every second
                    _log(f"volume {volume.volume} cannot be shown: {error}")
                self._complaints[volume] = str(error)

    def _add(self, volume: Volume) -> None:
        taken = {node.name for _, node in self._held.values()}
        names = (device_name(n) for n in range(len(taken) + 1))
        node = self._dev / next(name for name in names if name not in taken)
        descriptor = self._attach(self._backing / volume.volume, node)
        self._held[volume] = (descriptor, node)
        link = self._link(volume)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"../../{node.name}")
        _log(f"volume {volume.volume} is {node}")

    def _link(self, volume: Volume) -> Path:
        return self._dev / "disk/by-id" / f"emc-vol-{volume.system}-{volume.volume}"


class Driver:
    """The module's state: its clusters, its links to them, and the devices that follow."""

    def __init__(self, config: SdcConfig, address: str, devices: Devices, kernel: str = "") -> None:
        self._guid = config.guid
        self._address = address
        self._devices = devices
        self._kernel = kernel
        self._config = SdcConfig(guid=config.guid)
        self._clusters: list[Cluster] = []
        self._links: list[Link] = []
        self._heard = threading.Condition()
        self._configure(config)

    def stop(self) -> None:
        with self._heard:
            for link in self._links:
                link.close()
            self._clusters = []
            self._devices.show(frozenset())

    def answer(self, message: lines.Message) -> Mapping[str, object]:
        """The answer to one request of drv_cfg."""
        match message.get("ask"):
            case "guid":
                return {"ok": True, "guid": self._guid}
            case "mdms":
                with self._heard:
                    return {"ok": True, "clusters": [_told(c) for c in self._clusters]}
            case "volumes":
                with self._heard:
                    found = [vars(volume) for volume in self._devices.volumes]
                return {"ok": True, "volumes": found}
            case "rescan":
                self._rescan()
                return {"ok": True}
            case "add_mdm" | "mod_mdm_ip":
                return self._change(message)
            case other:
                return {"ok": False, "error": f"unknown request {other!r}"}

    def _change(self, message: lines.Message) -> Mapping[str, object]:
        try:
            if message["ask"] == "add_mdm":
                config = self._config.adding(sdc_config.addresses_in(message["ip"]))
            else:
                new = sdc_config.addresses_in(message["new_mdm_ip"])
                config = self._config.changing(message["ip"], new)
            if message.get("file"):
                sdc_config.write(config, Path(message["file"]))
        except (sdc_config.ConfigError, OSError) as error:
            return {"ok": False, "error": str(error)}
        self._configure(config)
        return {"ok": True}

    def _configure(self, config: SdcConfig) -> None:
        """Links to new addresses start, links to old ones end, and what was told is kept."""
        with self._heard:
            for link in self._links:
                link.close()
            before = self._clusters
            self._config = config
            self._clusters = [_kept(before, addresses) for addresses in config.clusters]
            hello: lines.Message = {
                "ask": "hello", "guid": self._guid, "ip": self._address, "kernel": self._kernel,
            }  # fmt: skip
            self._links = [
                Link(self._address, address, hello, partial(self._take, cluster))
                for cluster in self._clusters
                for address in cluster.addresses
            ]
            for link in self._links:
                link.start()

    def _take(self, cluster: Cluster, message: lines.Message) -> None:
        with self._heard:
            if not any(cluster is known for known in self._clusters):
                return
            cluster.take(message)
            wanted: frozenset[Volume] = frozenset()
            self._devices.show(wanted.union(*(known.volumes for known in self._clusters)))
            self._heard.notify_all()

    def _rescan(self) -> None:
        """Until one manager of each cluster has answered, or none does."""
        with self._heard:
            before = {id(cluster): cluster.heard for cluster in self._clusters}
            for link in self._links:
                link.beat()
            self._heard.wait_for(
                lambda: all(c.heard > before.get(id(c), -1) for c in self._clusters), RESCAN_S
            )


def _told(cluster: Cluster) -> dict[str, object]:
    return {
        "addresses": cluster.addresses,
        "system": cluster.system,
        "sdc": cluster.sdc,
        "installation": cluster.installation,
    }


def _kept(before: Sequence[Cluster], addresses: Addresses) -> Cluster:
    """The cluster that has one of these addresses, with what it told, else a new one."""
    for cluster in before:
        if set(cluster.addresses) & set(addresses):
            cluster.addresses = addresses
            return cluster
    return Cluster(addresses=addresses)


# -- the module, as the host sees it ---------------------------------------------------------------


def has_module(kernel: str, kernels: Path = KERNELS) -> bool:
    patterns = kernels.read_text(encoding="utf-8").split()
    return any(fnmatch.fnmatchcase(kernel, pattern) for pattern in patterns)


def running_kernel() -> str:
    """By the program that steps ask, too: a lab's host may say that it runs another."""
    told = subprocess.run(["uname", "-r"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def load_module(modules: Path = MODULES) -> None:
    """/sys/module/scini/initstate says live. The mount covers the kernel's own in this host only,
    and ends with the host."""
    if not (modules / "scini").exists() and not os.path.ismount(modules):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(modules)], check=True)
    (modules / "scini").mkdir(exist_ok=True)
    (modules / "scini/initstate").write_text("live\n", encoding="utf-8")
    control = DEV / "scini"
    if not control.exists():  # the numbers are those of /dev/null: nothing is behind it
        os.mknod(control, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def unload_module(modules: Path = MODULES) -> None:
    (modules / "scini/initstate").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (modules / "scini").rmdir()
    (DEV / "scini").unlink(missing_ok=True)


def control_socket(path: str) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)  # noqa: PTH101 - the path is a socket's
    listener.listen()
    return listener


def answer_for_ever(listener: socket.socket, driver: Driver) -> None:
    while True:
        connection, _ = listener.accept()
        lines.serve(connection, driver.answer)


def main(_arguments: Sequence[str], version: str) -> int:
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    kernel = running_kernel()
    try:
        if not has_module(kernel):
            _log(f"SDC {version} has no module for kernel {kernel}: none is loaded")
            lab_conf.say_ready()
            signal.sigwait(ends)
            return 0
        conf = lab_conf.read()
        load_module()
        listener = control_socket(DRIVER)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        _log(f"SDC ends: {error}")
        return 1
    driver = Driver(sdc_config.read(), conf.address, Devices(conf.volumes), kernel)
    threading.Thread(target=answer_for_ever, args=(listener, driver), daemon=True).start()
    _log(f"SDC {version} at {conf.address}, kernel {kernel}: module is live")
    lab_conf.say_ready()
    signal.sigwait(ends)
    driver.stop()
    Path(DRIVER).unlink(missing_ok=True)
    unload_module()
    return 0


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
