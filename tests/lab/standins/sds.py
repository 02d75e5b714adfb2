"""The SDS of a lab host: opens disks for the storage side, keeps them open, and proves it lives.

It listens on the host's own address, port 7072. Like the real one it takes a disk for itself
(O_EXCL) and writes on it, so that a wrong disk would be ruined, and seen to be.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from . import lab_conf, lines

PORT: Final = 7072
CONFIG: Final = Path("/opt/emc/scaleio/sds/cfg/devices.txt")
MARK: Final = b"ScaleIO lab SDS "
HEADER_BYTES: Final = 4096
BLKGETSIZE64: Final = 0x80081272


class DeviceError(Exception):
    """The disk is not to be had; `code` is the MDM's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Disks:
    """The disks that this SDS serves. They are remembered, and opened again after a restart."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}
        self._remembered: list[str] = []

    def load(self) -> None:
        """Take what was ours before. What is not to be had now is tried again at every ping."""
        if self._config.exists():
            self._remembered = self._config.read_text(encoding="utf-8").splitlines()
        self.recover()

    def recover(self) -> None:
        with self._lock:
            for path in self._remembered:
                if path not in self._open:
                    self._take_again(path)

    def state(self) -> dict[str, list[str]]:
        with self._lock:
            failed = [path for path in self._remembered if path not in self._open]
            return {"devices": list(self._open), "failed": failed}

    def measure(self, path: str) -> int:
        """The size in bytes of a disk that could be taken. Raises DeviceError."""
        with self._lock:
            if path in self._open:
                return _size(self._open[path])
            descriptor = _open(path)
            try:
                _refuse_used(descriptor, path)
                return _size(descriptor)
            finally:
                os.close(descriptor)

    def take(self, path: str) -> int:
        """The size in bytes; the disk is ours from now on, and written on. Raises DeviceError."""
        with self._lock:
            if path in self._open:
                return _size(self._open[path])
            descriptor = _open(path)
            try:
                _refuse_used(descriptor, path)
                size = _size(descriptor)
                _write_header(descriptor, path)
            except (DeviceError, OSError):
                os.close(descriptor)
                raise
            self._open[path] = descriptor
            self._remember([*self._remembered, path])
            return size

    def release(self, path: str) -> None:
        """The MDM gave it up: the mark goes, so that the disk can be taken again."""
        with self._lock:
            descriptor = self._open.pop(path, None)
            if descriptor is not None:
                os.pwrite(descriptor, bytes(HEADER_BYTES), 0)
                os.close(descriptor)
            self._remember([known for known in self._remembered if known != path])

    def _take_again(self, path: str) -> None:
        try:
            descriptor = _open(path)
        except DeviceError as error:
            _log(f"{path} was ours and is not to be had: {error}")
            return
        if os.pread(descriptor, len(MARK), 0) != MARK:
            os.close(descriptor)
            _log(f"{path} was ours, but does not carry our mark")
            return
        self._open[path] = descriptor

    def _remember(self, paths: Sequence[str]) -> None:
        self._remembered = list(dict.fromkeys(paths))
        self._config.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._config.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write("".join(f"{path}\n" for path in self._remembered))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._config)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceError(71, f"Cannot open the device {path}: {error.strerror}") from None


def _size(descriptor: int) -> int:
    """Of a block device; a plain file stands in for one in tests."""
    size = struct.pack("Q", 0)
    try:
        size = fcntl.ioctl(descriptor, BLKGETSIZE64, size)
    except OSError:
        return os.fstat(descriptor).st_size
    return int(struct.unpack("Q", size)[0])


def _refuse_used(descriptor: int, path: str) -> None:
    """Without a force flag, which nobody sends, a real SDS leaves another's disk alone."""
    if os.pread(descriptor, len(MARK), 0) == MARK:
        raise DeviceError(37, f"The device {path} belongs to another SDS")


def _write_header(descriptor: int, path: str) -> None:
    text = MARK + f"took {path}\n".encode()
    header = (text * (HEADER_BYTES // len(text) + 1))[:HEADER_BYTES]
    try:
        os.pwrite(descriptor, header, 0)
        os.fsync(descriptor)
    except OSError as error:
        raise DeviceError(73, f"Device I/O error on {path}: {error.strerror}") from None


def answer(disks: Disks, message: lines.Message) -> Mapping[str, object]:
    """The answer to one request of the storage side."""
    path = str(message.get("path", ""))
    try:
        match message.get("ask"):
            case "ping":
                disks.recover()
                return {"ok": True, **disks.state()}
            case "measure":
                return {"ok": True, "size_bytes": disks.measure(path)}
            case "open":
                return {"ok": True, "size_bytes": disks.take(path)}
            case "close":
                disks.release(path)
                return {"ok": True}
            case other:
                return {"ok": False, "code": 0, "error": f"unknown request {other!r}"}
    except DeviceError as error:
        return {"ok": False, "code": error.code, "error": str(error)}
    except OSError as error:
        return {"ok": False, "code": 73, "error": f"Device I/O error: {error.strerror}"}


def listen(address: str, disks: Disks, ready: Callable[[], None]) -> None:
    """Serve for ever. Raises OSError when it cannot listen."""
    with socket.create_server((address, PORT)) as listener:
        ready()
        while True:
            connection, _ = listener.accept()
            threading.Thread(
                target=lines.serve,
                args=(connection, lambda message: answer(disks, message)),
                daemon=True,
            ).start()


def main(_arguments: Sequence[str], version: str) -> int:
    try:
        conf = lab_conf.read()
        disks = Disks(CONFIG)
        disks.load()
        _log(f"SDS {version} on {conf.address}:{PORT}, disks: {disks.state()}")
        listen(conf.address, disks, lab_conf.say_ready)
    except (OSError, ValueError) as error:
        _log(f"SDS ends: {error}")
        return 1
    return 0


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
