"""REX-Ray's part in the host: volumes appear, get a file system, are mounted, and go again."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from .rexray_config import Config
from .rexray_gateway import Json, Storage, mapped_to

MOUNTS: Final = Path("/var/lib/rexray/volumes")
BY_ID: Final = Path("/dev/disk/by-id")
SIZE_GB: Final = 16
COMMAND_S: Final = 120.0
APPEAR_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.2


class VolumeError(Exception):
    """It cannot be done; the text is for who asked."""


def run(*command: str) -> str:
    """Its output. Raises VolumeError, with what it complained of."""
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=COMMAND_S
        )
    except subprocess.CalledProcessError as error:
        raise VolumeError(f"{command[0]} failed: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VolumeError(f"{command[0]}: {error}") from None
    return done.stdout


class Volumes:
    """One operation at a time. Every method raises VolumeError or GatewayError."""

    def __init__(self, storage: Storage, config: Config) -> None:
        self._storage = storage
        self._preempt = config.preempt
        self._drv_cfg = config.drv_cfg
        self._sdc = storage.sdc(run(config.drv_cfg, "--query_guid").strip())
        self._used: Counter[str] = Counter()
        self._lock = threading.Lock()

    def create(self, name: str, options: dict[str, str]) -> None:
        """One that is there already is as good."""
        with self._lock:
            if self._storage.find(name) is None:
                self._storage.create(name, int(options.get("size", SIZE_GB)))

    def remove(self, name: str) -> None:
        with self._lock:
            self._storage.remove(self._known(name))

    def mount(self, name: str) -> Path:
        """Where its data is."""
        with self._lock:
            volume = self._storage.find(name)
            if volume is None:
                self._storage.create(name, SIZE_GB)
                volume = self._known(name)
            self._attach(volume)
            place = MOUNTS / name
            if not os.path.ismount(place):
                device = self._device(volume)
                _format_blank(device)
                place.mkdir(parents=True, exist_ok=True)
                run("mount", str(device), str(place))
            (place / "data").mkdir(exist_ok=True)
            self._used[name] += 1
            return place / "data"

    def unmount(self, name: str, *, ignore_used_count: bool) -> None:
        """The last user's unmount is the one that counts, unless users are not counted."""
        with self._lock:
            self._used[name] -= 1
            if self._used[name] > 0 and not ignore_used_count:
                return
            del self._used[name]
            if os.path.ismount(MOUNTS / name):
                run("umount", str(MOUNTS / name))
            volume = self._known(name)
            if self._sdc in mapped_to(volume):
                self._storage.unmap(volume, self._sdc)

    def path(self, name: str) -> str:
        """ "" when it is not mounted here."""
        return str(MOUNTS / name / "data") if os.path.ismount(MOUNTS / name) else ""

    def get(self, name: str) -> dict[str, str]:
        self._known(name)
        return {"Name": name, "Mountpoint": self.path(name)}

    def list(self) -> list[dict[str, str]]:
        names = [str(volume["name"]) for volume in self._storage.volumes() if volume.get("name")]
        return [{"Name": name, "Mountpoint": self.path(name)} for name in names]

    def _known(self, name: str) -> Json:
        volume = self._storage.find(name)
        if volume is None:
            raise VolumeError(f"resource not found: {name}")
        return volume

    def _attach(self, volume: Json) -> None:
        attached = mapped_to(volume)
        if attached == [self._sdc]:
            return
        if attached:
            if not self._preempt:
                raise VolumeError("volume already attached to a host")
            self._storage.unmap_all(volume)
        self._storage.map(volume, self._sdc)

    def _device(self, volume: Json) -> Path:
        link = BY_ID / f"emc-vol-{self._storage.system}-{volume['id']}"
        end = time.perf_counter() + APPEAR_S
        while not link.exists():
            if time.perf_counter() > end:
                raise VolumeError(f"volume {volume['id']} did not appear in {APPEAR_S:g} s")
            run(self._drv_cfg, "--rescan")
            time.sleep(LOOK_AGAIN_S)
        return link.resolve()


def _format_blank(device: Path) -> None:
    """What has any signature is left as it is."""
    probe = subprocess.run(
        ["blkid", "-p", str(device)], check=False, capture_output=True, timeout=COMMAND_S
    )
    if probe.returncode == 2:
        run("mkfs.ext4", "-F", "-q", "-E", "lazy_journal_init=1", str(device))
