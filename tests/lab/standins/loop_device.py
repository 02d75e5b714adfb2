"""Loop devices by the kernel's own calls: a volume of a lab host is one, over a shared file.

A loop device frees itself when its last user is gone, so that a host that loses its power leaves
none behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CONTROL: Final = "/dev/loop-control"
MAJOR: Final = 7
ATTEMPTS_MAX: Final = 50  # hosts that share a kernel race for the next free device
_GET_FREE: Final = 0x4C82
_CONFIGURE: Final = 0x4C0A
_SET_STATUS64: Final = 0x4C04
_GET_STATUS64: Final = 0x4C05
_INFO_BYTES: Final = 232
_SIZE_LIMIT_AT: Final = 32
_FLAGS_AT: Final = 52
_NAME_AT: Final = 56
_NAME_BYTES: Final = 63
_AUTOCLEAR: Final = 4
_SECTOR: Final = 512


def attach(backing: Path, node: Path) -> int:
    """A loop device over `backing`, its node at `node`; the descriptor that holds it.

    Raises OSError.
    """
    temporary = node.with_name(f".{node.name}.new")
    with backing.open("r+b", buffering=0) as file, open_control() as control:
        for _ in range(ATTEMPTS_MAX):
            number = fcntl.ioctl(control, _GET_FREE)
            descriptor = _made(temporary, number)
            try:
                fcntl.ioctl(descriptor, _CONFIGURE, _configuration(file.fileno(), backing))
            except OSError as error:
                os.close(descriptor)
                temporary.unlink()
                if error.errno != errno.EBUSY:
                    raise
                continue
            temporary.replace(node)
            return descriptor
    raise OSError(errno.EBUSY, f"no loop device was free in {ATTEMPTS_MAX} attempts")


def sever(descriptor: int) -> None:
    """Whoever still uses the device reads and writes in vain: as if its storage were gone."""
    info = bytearray(_INFO_BYTES)
    fcntl.ioctl(descriptor, _GET_STATUS64, info)
    struct.pack_into("Q", info, _SIZE_LIMIT_AT, _SECTOR)
    fcntl.ioctl(descriptor, _SET_STATUS64, bytes(info))


def detach(descriptor: int, node: Path) -> None:
    """Take the volume away. A mount that still stands on it keeps the device, but no storage."""
    with contextlib.suppress(OSError):
        sever(descriptor)
    os.close(descriptor)
    node.unlink(missing_ok=True)


@contextlib.contextmanager
def open_control() -> Iterator[int]:
    descriptor = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _made(node: Path, number: int) -> int:
    node.unlink(missing_ok=True)
    os.mknod(node, stat.S_IFBLK | 0o660, os.makedev(MAJOR, number))
    return os.open(node, os.O_RDWR | os.O_CLOEXEC)


def _configuration(file: int, backing: Path) -> bytes:
    """`struct loop_config`: the file, the block size, `struct loop_info64`, and room."""
    info = bytearray(_INFO_BYTES)
    struct.pack_into("I", info, _FLAGS_AT, _AUTOCLEAR)
    name = str(backing).encode()[:_NAME_BYTES]
    info[_NAME_AT : _NAME_AT + len(name)] = name
    return struct.pack("II", file, _SECTOR) + bytes(info) + bytes(64)
