"""What the lab tells a host before it boots: its own address, and where volumes are kept.

A real host knows its address from its interfaces. The lab's hosts share the machine's network,
so each is told which loopback address is its own.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATH: Final = Path("/etc/scaleio-lab.conf")


@dataclass(frozen=True, kw_only=True)
class LabConf:
    address: str
    volumes: Path


def read(path: Path = PATH) -> LabConf:
    """Raises OSError, and ValueError when a line is missing."""
    values = dict(
        line.strip().split("=", 1)
        for line in path.read_text(encoding="utf-8").splitlines()
        if "=" in line and not line.startswith("#")
    )
    try:
        return LabConf(address=values["ADDRESS"], volumes=Path(values["VOLUMES"]))
    except KeyError as missing:
        raise ValueError(f"{path}: the line {missing.args[0]}=... is missing") from None


def say_ready() -> None:
    """Tell systemd that a unit of Type=notify has started; nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", address)
